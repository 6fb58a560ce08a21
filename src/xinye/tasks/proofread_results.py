"""What a proofreader returns for a text, and how it is shown."""

import math
from collections.abc import Iterable, Sequence

from xinye.data.records import Row
from xinye.evaluation.edits import applied
from xinye.evaluation.proofreading import Candidate, edits_between


def result_of(text: str, changes: Sequence[Candidate]) -> Row:
    """The result for a text with these changes. A probability is that of the change against none,
    as the network sees it."""
    return {
        "text": text,
        "corrected": applied(text, (each.edit for each in changes)),
        "edits": [
            {**edit._asdict(), "probability": 1 / (1 + math.exp(-evidence))}
            for edit, evidence in changes
        ],
    }


def marked(text: str, edits: Iterable[Row]) -> str:
    """The text with its edits: deleted characters in [-…-], inserted ones in {+…+}."""
    pieces, at = [], 0
    for edit in edits:
        deleted = text[edit["start"] : edit["end"]]
        pieces.append(text[at : edit["start"]])
        pieces.append(f"[-{deleted}-]" if deleted else "")
        pieces.append(f"{{+{edit['replacement']}+}}" if edit["replacement"] else "")
        at = edit["end"]
    return "".join([*pieces, text[at:]])


def corrections(wrong: str, right: str) -> str:
    """The wrong text with what makes it right, marked as in `marked`."""
    return marked(wrong, [edit._asdict() for edit in edits_between(wrong, right)])
