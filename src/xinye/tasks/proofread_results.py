"""What a proofreader returns for a text, and how it is shown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xinye.data.records import Row
from xinye.evaluation.edits import Edit, applied
from xinye.evaluation.proofreading import Candidate, edits_between


@dataclass(frozen=True)
class Corrected:
    """A text and the changes that a proofreader makes in it, in order."""

    text: str
    changes: Sequence[Candidate]

    @property
    def edits(self) -> list[Edit]:
        """The changes without their evidence."""
        return [edit for edit, _ in self.changes]

    def row(self, diff: bool = False) -> Row:
        """The result as users get it; with `diff` also the text with its edits `marked`. A
        probability is that of the change against none, as the logistic regression sees it."""
        result: Row = {
            "text": self.text,
            "corrected": applied(self.text, self.edits),
            "edits": [
                {**edit._asdict(), "probability": 1 / (1 + math.exp(-max(evidence, -99.0)))}
                for edit, evidence in self.changes
            ],
        }
        return result | {"marked": marked(self.text, self.edits)} if diff else result


def marked(text: str, edits: Iterable[Edit]) -> str:
    """The text with its edits: deleted characters in [-…-], inserted ones in {+…+}."""
    pieces, at = [], 0
    for start, end, replacement in edits:
        deleted = text[start:end]
        pieces.append(text[at:start])
        pieces.append(f"[-{deleted}-]" if deleted else "")
        pieces.append(f"{{+{replacement}+}}" if replacement else "")
        at = end
    return "".join([*pieces, text[at:]])


def corrections(wrong: str, right: str) -> str:
    """The wrong text with what makes it right, marked as in `marked`."""
    return marked(wrong, edits_between(wrong, right))
