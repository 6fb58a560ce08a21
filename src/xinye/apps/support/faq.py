"""Makes a FAQ of questions and answers: near-equal questions become one entry with several
wordings, and one answer."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from xinye.apps.support.cases import case_signs
from xinye.apps.support.exchanges import Exchange
from xinye.apps.support.groups import near_groups, plain, typical
from xinye.data.duplicates import members

LONG_ANSWER = 12  # characters; shorter ones, such as "yes", answer many questions
# An answer that is different each time depends on the case: "Where is my parcel?"
SEVERAL, COMMON = 3, 1 / 3
# Signs of a case from which on an answer holds for one customer only, if it was given in one
# conversation, and if in several.
ONCE, OFTEN = 1, 2
SHOWN = 5  # answers of a conflict that are listed
# With these one answer begins after "May I …?", and not after "How do I …?"
_YES = re.compile(
    r"(?:(?:可以|有|好|是|能|会|支持)(?:的|哦|呢|啊)*+|亲|您好|嗯)(?:[，,。！!~～\s]+(?:亲[，,\s]*)?|亲[，,\s]*)"
    r"|(?:yes|sure|of course|certainly|hi|hello)\s*[,.!:;–—]+\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Entry:
    """A question of the FAQ with its answer. `variants` are other wordings, and `file` and `line`
    say where the answer was read. `offered` says whether other customers may read the question: one
    that a single customer wrote may tell about that customer. `answered` is false if the answer is
    about one customer's case: the bot knows the question by it, and asks a person to answer."""

    question: str
    answer: str
    variants: tuple[str, ...]
    intent: str
    file: str
    line: int | None
    offered: bool = True
    answered: bool = True

    @property
    def wordings(self) -> tuple[str, ...]:
        """All ways to ask."""
        return (self.question, *self.variants)


@dataclass(frozen=True)
class Conflict:
    """A question with different answers, and the one that was chosen; "" if there is no common
    one."""

    question: str
    chosen: str
    others: tuple[str, ...]
    places: tuple[str, ...]


@dataclass
class Faq:
    """The entries, the conflicts, and how many questions were merged with an equal or near-equal
    one. `by_case` are the entries whose answers differ each time."""

    entries: list[Entry] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    merged: int = 0
    by_case: list[Entry] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        """The entries that are only suggested to operators."""
        return sum(not entry.answered for entry in self.entries)


def make_faq(exchanges: Sequence[Exchange]) -> Faq:
    """The FAQ of questions and their answers. Where the answers to a question differ, the most
    common one is chosen, and of equally common ones the latest in the files. An entry has the
    question of the row of a table, if it has one, or else the most typical one."""
    faq = Faq()
    asked = [each for each in exchanges if each.answer]
    groups = members(near_groups([each.question for each in asked]))
    faq.merged = len(asked) - len(groups)
    entries: list[Entry] = []
    for group in groups:
        entry, by_case = _entry([asked[number] for number in group], faq)
        (faq.by_case if by_case else entries).append(entry)
    entries = _one_for_each_question([*_one_for_each_answer(entries, faq), *faq.by_case])
    rows = {plain(each.question) for each in asked if each.is_row}
    faq.entries = [_with_shown_question(entry, rows) for entry in entries]
    return faq


def _entry(group: Sequence[Exchange], faq: Faq) -> tuple[Entry, bool]:
    """The entry for near-equal questions, and whether their answers have nothing in common."""
    answers = members(near_groups([each.answer for each in group]))
    latest = max(answers, key=lambda numbers: (len(numbers), numbers[-1]))
    chosen = group[latest[-1]]
    rows = [each.question for each in group if each.is_row]
    question = typical(rows or [each.question for each in group])
    by_case = not chosen.is_row and len(answers) >= SEVERAL and len(latest) / len(group) <= COMMON
    if len(answers) > 1:
        others = [group[numbers[-1]] for numbers in answers if by_case or numbers is not latest]
        faq.conflicts.append(
            Conflict(
                question,
                "" if by_case else chosen.answer,
                tuple(each.answer for each in others[:SHOWN]),
                tuple(each.place for each in others[:SHOWN]),
            )
        )
    answered = not by_case and _for_all([group[number] for number in latest], question)
    wordings = [text for each in group for text in (each.question, *each.wordings)]
    entry = Entry(
        question, chosen.answer, _variants(question, wordings), _intent(group), chosen.file,
        chosen.line, len(group) > 1 or chosen.is_row, answered,
    )  # fmt: skip
    return entry, by_case


def _for_all(said: Sequence[Exchange], question: str) -> bool:
    """Whether an answer that was given in these exchanges holds for all customers. A row of a table
    does; one from conversations, unless it seems to be about a case."""
    talks = {(each.file, each.line) for each in said}
    fewest = ONCE if len(talks) == 1 else OFTEN
    return said[-1].is_row or case_signs(question, said[-1].answer) < fewest


def _variants(question: str, wordings: Sequence[str]) -> tuple[str, ...]:
    """The different wordings, without the question itself."""
    first = {plain(question): question}
    for text in wordings:
        first.setdefault(plain(text), text)
    return tuple(text for text in first.values() if text != question)


def _intent(group: Sequence[Exchange]) -> str:
    """The most common intent, or ""."""
    named = Counter(each.intent for each in group if each.intent)
    return named.most_common(1)[0][0] if named else ""


def _one_for_each_answer(entries: Sequence[Entry], faq: Faq) -> list[Entry]:
    """The entries, with those of the same long answer as one. A "yes" before it does not count, and
    is left out if one of the questions was answered without it."""
    found: dict[str, Entry] = {}
    for number, entry in enumerate(entries):
        long = len(entry.answer) >= LONG_ANSWER
        key = plain(_without_yes(entry.answer)) if long else f"{number} {entry.question}"
        first = found.get(key)
        if first is None:
            found[key] = entry
            continue
        faq.merged += 1
        variants = (*first.variants, *entry.wordings)
        intent = first.intent or entry.intent
        answered = first.answered or entry.answered or _agree(first, entry)
        said = min(first, entry, key=lambda each: len(plain(each.answer)))
        found[key] = Entry(
            first.question, said.answer, variants, intent, said.file, said.line, True, answered
        )
    return [*found.values()]


def _without_yes(answer: str) -> str:
    """An answer without "yes" at its beginning."""
    found = _YES.match(answer)
    return answer[found.end() :] if found else answer


def _agree(one: Entry, other: Entry) -> bool:
    """Whether the answer of two entries holds for all, because it was given to both."""
    signs = max(case_signs(each.question, each.answer) for each in (one, other))
    return (one.file, one.line) != (other.file, other.line) and signs < OFTEN


def _with_shown_question(entry: Entry, rows: Collection[str]) -> Entry:
    """The entry with the question that is most like all its wordings: of those that rows of a table
    have, if there are any."""
    of_rows = [text for text in entry.wordings if plain(text) in rows]
    question = typical(of_rows or entry.wordings)
    return replace(entry, question=question, variants=_variants(question, entry.wordings))


def _one_for_each_question(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without wordings that are the question of another entry, or that several entries
    have: those say nothing about which is meant."""
    questions = {plain(entry.question) for entry in entries}
    counts = Counter(plain(text) for entry in entries for text in entry.variants)
    return [
        replace(
            entry,
            variants=tuple(
                text
                for text in entry.variants
                if counts[plain(text)] == 1 and plain(text) not in questions
            ),
        )
        for entry in entries
    ]
