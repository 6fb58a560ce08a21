"""Records for proofreading: pairs of a wrong and the correct text, or correct texts alone, in which
errors are made by rule."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinye.data.columns import FIELD_NAMES, find_column
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sentences import sentence_ends
from xinye.data.sources import read_lines, read_records
from xinye.errors import XinyeError
from xinye.evaluation.edits import Edit, steps_between, units_of
from xinye.evaluation.proofreading import Pair, edits_between
from xinye.tasks.proofread_confusions import Confusions
from xinye.tasks.proofread_errors import ErrorMaker
from xinye.tasks.records import OnBad, expected, note_unread, nothing_to_learn, refuse_line, text_in
from xinye.tasks.writing_records import Named

WRONG = (
    "wrong", "error", "incorrect", "source", "src", "original_text", "original", "input",
    "错误", "错句", "错误文本", "错误句子", "病句", "原文", "原句", "改前", "修改前",
)  # fmt: skip
RIGHT = (
    "right", "correct", "corrected", "correction", "target", "tgt", "correct_text", "output",
    "正确", "正句", "正确文本", "正确句子", "改正", "修改", "纠正", "改后", "修改后",
)  # fmt: skip
TOGETHER = 60  # characters: shorter sentences of a text are learned together
MOST_EDITED = 0.5  # share of the units of a text that may be wrong


NO_FILES = ErrorMaker()


@dataclass(frozen=True)
class ProofText(Pair):
    """A text with errors and the correct one. `maker` makes other errors in the correct text;
    `made` is True if those of `wrong` were made by it, too. `place` and `format` are as in other
    records."""

    place: str
    format: str = field(default="", compare=False)
    made: bool = False
    maker: ErrorMaker = field(default=NO_FILES, compare=False, repr=False)

    @property
    def whole(self) -> str:
        """The correct text: of it there may be several wrong ones."""
        return self.right

    @property
    def answer(self) -> str:
        """The wrong text, to compare records."""
        return self.wrong

    @property
    def kinds(self) -> list[str]:
        """The kind of each edit, or one for a text without errors."""
        return [kind_of(edit) for edit in edits_between(self.wrong, self.right)] or [
            "without errors"
        ]


def kind_of(edit: Edit) -> str:
    """What an edit does, as it is printed."""
    if not edit.replacement.strip():
        return "to be deleted"
    return "to be replaced" if edit.start < edit.end else "to be inserted"


def read_texts(
    path: Path, on_bad: OnBad, named: Named, confusions: Sequence[str], notes: Notes
) -> Iterator[ProofText]:
    """The records of a file; a plain-text file has a correct text on each line. `confusions` are
    files of characters that are taken for each other."""
    maker = ErrorMaker(Confusions(confusions))
    if suffix_of(path) in PLAIN_SUFFIXES:
        if named.columns:
            raise XinyeError(f"{path}: plain text has no columns; leave {named.columns[0]!r} out")
        for number, text in read_lines(path):
            place = place_of(path, number)
            yield from _made(text, place, "correct texts, one per line", maker, notes)
        return
    rows = read_records(path, refuse_line(on_bad), named.columns, tabbed=True, notes=notes)
    for line, row in rows:
        place = place_of(path, line)
        try:
            if not isinstance(row, dict):
                raise expected(place, "an object with a wrong and a correct text", row)
            yield from _of_row(row, place, named, maker, notes)
        except XinyeError as error:
            on_bad(error)


def _of_row(
    row: Row, place: str, named: Named, maker: ErrorMaker, notes: Notes
) -> Iterator[ProofText]:
    wrong, right = _columns(row, place, named)
    note_unread(row, {wrong or right, right, "wrong_ids"}, place, notes)
    if wrong is None:
        text = text_in(row, right, place)
        yield from _made(text, place, f"correct texts in {right!r}", maker, notes)
        return
    pair = ProofText(
        text_in(row, wrong, place),
        text_in(row, right, place),
        place,
        f"{wrong!r} → {right!r}",
        maker=maker,
    )
    for name, text in ((wrong, pair.wrong), (right, pair.right)):
        if not text.strip():
            raise nothing_to_learn(f"{place}, field {name!r}", "the text is empty")
    ours, theirs = ([unit.text for unit in units_of(text)] for text in (pair.wrong, pair.right))
    steps = steps_between(ours, theirs)
    if steps is None:
        notes.add(place, "a long pair differs in too many places to compare it: left out")
    elif len(steps) > max(1, MOST_EDITED * len(ours)):
        notes.add(place, "more than half of the text is different: left out")
    else:
        yield pair


def _columns(row: Row, place: str, named: Named) -> tuple[str | None, str]:
    """The columns of the wrong text, None if the row has a correct text alone, and of the correct
    one."""
    named.check(row, place, ("text_field", "answer_field"))
    if [*row] == ["1", "2"]:  # a table without a header
        wrong, right = named.find(row, ["1"], ["2"])
    else:
        wrong, right = named.find(row, WRONG, RIGHT, endings=True)
    if right and wrong:
        return wrong, right
    if right and (named.answer_field or not find_column(row, FIELD_NAMES, endings=True)):
        there = ", ".join(map(str, row))
        raise XinyeError(
            f"{place}: there is a correct text in {right!r}, but no wrong one among {there}; name "
            "its column with --text-field"
        )
    texts = [name for name, value in row.items() if isinstance(value, str)]
    text = named.prompt_field or find_column(row, FIELD_NAMES, endings=True) or wrong
    if text is None and len(texts) == 1:
        [text] = texts
    if text is None:
        raise XinyeError(
            f"{place}: expected fields 'wrong' and 'right', or a field 'text' with correct texts, "
            f"found {', '.join(map(str, row))}; name them with --text-field and --answer-field"
        )
    return None, text


def _made(text: str, place: str, form: str, maker: ErrorMaker, notes: Notes) -> Iterator[ProofText]:
    """The sentences of a correct text, a few together, with errors made by rule."""
    for right in in_parts(text):
        if sum(unit.text[0].isalpha() for unit in units_of(right)) < 2:
            notes.add(place, "a sentence without words is left out")
        else:
            yield ProofText(maker.judged(right), right, place, form, True, maker)


def in_parts(text: str) -> Iterator[str]:
    """The text in parts of whole sentences, of up to `TOGETHER` characters if possible, without
    the space around them."""
    start = end = 0
    for border in [*sentence_ends(text), len(text)]:
        if end > start and border - start > TOGETHER:
            yield text[start:end].strip()
            start = end
        end = border
    if text[start:].strip():
        yield text[start:].strip()


def confused(records: Iterable[ProofText]) -> dict[str, list[str]]:
    """What is right instead of each unit that people wrote, each as often as it was."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        if not record.made:
            for start, end, right in edits_between(record.wrong, record.right):
                wrong = record.wrong[start:end]
                if wrong and right and len(units_of(wrong)) == 1:
                    found[wrong].append(right)
    return dict(found)
