"""Improves a desk from what operators have approved: new wordings, corrected and new answers.

An approved answer holds for its own question only, also if the FAQ gave that the answer of others.
The new desk is compared with the old one on the questions that were kept apart, and takes its place
only if it is not worse. If neither answers any, it does so because its answers were approved. The
old one is kept beside it.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from xinye.apps.folders import kept_beside
from xinye.apps.support.calibrating import Calibrated, Tested, Trial, calibrated
from xinye.apps.support.cases import case_signs
from xinye.apps.support.context import unclear_alone
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.desk_folder import Contents, DeskFolder, TestQuestion, beside
from xinye.apps.support.desk_settings import SETTINGS
from xinye.apps.support.exchanges import (
    NO_QUESTION,
    REFERS,
    Exchange,
    Talk,
    exchanges,
    has_mark,
    only_tells,
)
from xinye.apps.support.faq import LONG_ANSWER, OFTEN, Entry
from xinye.apps.support.feedback import Feedback
from xinye.apps.support.groups import near_groups, plain, typical
from xinye.apps.support.held_out import without, wordings
from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.retrieval.changing import alone

MARKED = "answers with personal data of the customer, which was masked"
OF_ONE = "answers about the case of a customer, such as “it will come tomorrow”"
ADDED, CORRECTED, REWORDED, KNOWN = "added", "corrected", "reworded", "known"


@dataclass(frozen=True)
class Improvement:
    """What was learned from feedback: how many approved answers there are; how many of them were
    `left_out`, with the reasons; and what the others did to the FAQ. `conflicts` has the questions
    to which different answers were approved, of which the last one counts. `uncorrected` has
    the old answers that were corrected for some wordings only, with the others. `before` and
    `after` are the figures of the old and the new desk on the same questions. `kept` is the folder
    of the old desk, or "" if it stays."""

    desk: str
    approved: int
    left_out: Mapping[str, int]
    added: int  # new entries
    corrected: int  # questions with another answer
    reworded: int  # new wordings of entries
    known: int  # answers that the FAQ had
    conflicts: Mapping[str, Sequence[str]]
    uncorrected: Mapping[str, Sequence[str]]
    before: Tested
    after: Tested
    kept: str

    @property
    def replaced(self) -> bool:
        """Whether the new desk took the place of the old one."""
        return bool(self.kept)

    @property
    def judged(self) -> bool:
        """Whether the test can tell the desks apart: one of them answered something."""
        return bool(self.before.answered or self.after.answered)


def improve(folder: Path, store: Path, observer: Observer | None = None) -> Improvement:
    """Learn from the approved feedback of a store. Raises `XinyeError` if there is none that is
    new, and for a damaged desk."""
    observer = observer or Observer()
    folder = folder.resolve()
    desk = DeskFolder.read(folder)
    conversations = Conversations(store, create=False)
    try:
        records = conversations.feedback.records()
    finally:
        conversations.close()
    dropped = Notes()
    learned = [found for each in records for found in _exchanges(each, store.name, dropped)]
    faq = Merged(desk.entries, learned)
    if not any(faq.counts[what] for what in (ADDED, CORRECTED, REWORDED)):
        if dropped.counts:
            [(why, times)] = dropped.counts.most_common(1)
            raise XinyeError(
                f"{store}: no approved answer is new to {folder.name}; most of what was left out: "
                f"{why} ({times:,})"
            )
        raise XinyeError(
            f"{store}: no approved answer is new to {folder.name}; approve feedback on the desk's "
            "page first"
        )
    observer.stage("calibrating")
    precision, test = desk.settings.precision, faq.test(desk.test)
    old = replace(desk, entries=without(desk.entries, test))
    before = Trial(old.matcher, old.entries, test).tested(precision)
    best, after = _best_matcher(old, without(faq.entries, test), test)
    kept = ""
    if _worth(after, precision) >= _worth(before, precision):
        contents = Contents(
            desk.settings,
            desk.models,
            faq.entries,
            desk.templates,
            test,
            desk.labelled,
            best.unsure if best else desk.unsure,
            desk.calibrations,
            best.matcher if best else desk.matcher,
            desk.report | {"improved": {**faq.counts, "tested": asdict(after)}},
        )
        kept = str(_replaced(desk, contents))
    return Improvement(
        desk=str(folder),
        approved=len(records),
        left_out=dict(dropped.counts.most_common()),
        added=faq.counts[ADDED],
        corrected=faq.counts[CORRECTED],
        reworded=faq.counts[REWORDED],
        known=faq.counts[KNOWN],
        conflicts=faq.conflicts,
        uncorrected=faq.uncorrected,
        before=before,
        after=after,
        kept=kept,
    )


def _best_matcher(
    old: DeskFolder, entries: Sequence[Entry], test: Sequence[TestQuestion]
) -> tuple[Calibrated | None, Tested]:
    """A matcher of the new entries that does better than by the old calibration, or None; and what
    the better one does."""
    precision = old.settings.precision
    same = replace(old, entries=entries)
    tested = Trial(same.matcher, entries, test).tested(precision)
    new = calibrated(entries, precision)
    newly = Trial(new.matcher, entries, test).tested(precision)
    if _worth(newly, precision) > _worth(tested, precision):
        return new, newly
    return None, tested


def _exchanges(feedback: Feedback, file: str, dropped: Notes) -> list[Exchange]:
    """The question and the approved answer, as `prepare` would read them."""
    place = f"feedback {feedback.number}"
    if len(feedback.turns) > 1 and unclear_alone(feedback.question):
        dropped.add(place, REFERS)
        return []
    if len(feedback.turns) > 1 and only_tells(feedback.question):
        dropped.add(place, NO_QUESTION)
        return []
    if has_mark(feedback.chosen):
        dropped.add(place, MARKED)
        return []
    if case_signs(feedback.question, feedback.chosen) >= OFTEN:  # an operator has approved it
        dropped.add(place, OF_ONE)
        return []
    question = {"role": "user", "content": feedback.question}
    answer = {"role": "assistant", "content": feedback.chosen}
    return [*exchanges(Talk([question, answer], place), file, None, dropped)]


def _worth(tested: Tested, precision: float) -> tuple[bool, float]:
    """Whether the answers are as precise as they should be, and then how many are right; if not,
    less the wrong ones, each of which counts as many as may stand beside it."""
    wrong = tested.answered - tested.right
    if wrong <= tested.answered * (1 - precision):
        return True, tested.right
    return False, tested.right - wrong * precision / (1 - precision)


class Merged:
    """The entries of a FAQ, with what was learned; `counts` says how often what was done.

    An approved answer holds for its question and for what nearly equals that, and for no other
    wording of their entry, since nobody has approved it for those. If the entry has another answer,
    the question becomes an entry of its own, and the entry keeps its answer. Of several answers
    that were approved for a question, the last one is learned; `conflicts` has such questions,
    with their answers, the last one last."""

    def __init__(self, entries: Sequence[Entry], learned: Sequence[Exchange]) -> None:
        self.entries = [*entries]
        self.counts: Counter[str] = Counter()
        known = [each.text for each in wordings(entries)]
        asked = [*known, *(each.question for each in learned)]
        groups = near_groups(asked)
        self._groups = {plain(text): group for text, group in zip(asked, groups, strict=True)}
        self._near: dict[int, list[str]] = {}
        for text, group in zip(asked, groups, strict=True):
            self._near.setdefault(group, []).append(text)
        self._of_question: dict[str, int] = {}  # the number of the entry
        self._of_group: dict[int, int] = {}
        self._of_answer: dict[str, int] = {}
        for number in reversed(range(len(entries))):  # the first one counts
            self._know(number)
        self._split: dict[int, None] = {}  # the entries that wordings were taken from
        self._approved = {*groups[len(known) :]}
        approved = [*zip(learned, groups[len(known) :], strict=True)]
        answers: dict[int, dict[str, Exchange]] = {}
        for each, group in approved:
            given = answers.setdefault(group, {})
            given.pop(plain(each.answer), None)
            given[plain(each.answer)] = each  # as the last one
        for each, group in approved:
            if plain(each.answer) == next(reversed(answers[group])):
                self._learn(each, group)
        self.conflicts = {
            next(iter(given.values())).question: [each.answer for each in given.values()]
            for given in answers.values()
            if len(given) > 1
        }

    @property
    def uncorrected(self) -> dict[str, list[str]]:
        """The answers that were corrected for some wordings of their entries, with the wordings
        that keep them although nobody has approved that."""
        found: dict[str, list[str]] = {}
        for entry in (self.entries[number] for number in self._split):
            groups = ((text, self._groups[plain(text)]) for text in entry.wordings)
            if kept := [text for text, group in groups if group not in self._approved]:
                found.setdefault(entry.answer, []).extend(kept)
        return found

    def _know(self, number: int) -> None:
        """Note what an entry has. As in `make_faq`, a short answer, such as "yes", does not make
        one entry of different questions."""
        entry = self.entries[number]
        for text in map(plain, entry.wordings):
            self._of_question[text] = number
            self._of_group[self._groups[text]] = number
        if entry.answered and len(entry.answer) >= LONG_ANSWER:
            self._of_answer[plain(entry.answer)] = number

    def _learn(self, learned: Exchange, group: int) -> None:
        question, answer = plain(learned.question), plain(learned.answer)
        number = self._of_question.get(question, self._of_group.get(group))
        what = KNOWN
        if number is None and (number := self._of_answer.get(answer)) is None:
            number, what = len(self.entries), ADDED
            where = learned.file, learned.line
            self.entries.append(
                Entry(learned.question, learned.answer, (), "", *where, offered=False)
            )
        entry = self.entries[number]
        if plain(entry.answer) != answer or not entry.answered:
            number, what = self._corrected(number, group, learned), CORRECTED
        entry = self.entries[number]
        if question not in map(plain, entry.wordings):
            self.entries[number] = replace(entry, variants=(*entry.variants, learned.question))
            self.counts[REWORDED] += 1
        if what != KNOWN or entry is self.entries[number]:
            self.counts[what] += 1
        self._know(number)

    def _corrected(self, number: int, group: int, learned: Exchange) -> int:
        """Give the wordings of an entry that are of this group the answer that was learned, as an
        entry of their own, or in the one that has this answer. Returns its number."""
        entry = self.entries[number]
        near = [text for text in entry.wordings if self._groups[plain(text)] == group]
        rest = [text for text in entry.wordings if text not in near]
        right = replace(
            entry, answer=learned.answer, file=learned.file, line=learned.line, answered=True
        )
        if not rest:
            if self._of_answer.get(plain(entry.answer)) == number:
                del self._of_answer[plain(entry.answer)]
            self._split.pop(number, None)
            self.entries[number] = right
            return number
        question = entry.question if entry.question in rest else typical(rest)
        self.entries[number] = replace(
            entry,
            question=question,
            variants=tuple(text for text in rest if text != question),
            offered=entry.offered and question == entry.question,
        )
        if entry.answered:
            self._split[number] = None
        other = self._of_answer.get(plain(learned.answer))
        if other is not None:
            found = self.entries[other]
            self.entries[other] = replace(found, variants=(*found.variants, *near))
            return other
        first, *variants = near
        offered = entry.offered and first == entry.question
        self.entries.append(
            replace(right, question=first, variants=tuple(variants), offered=offered)
        )
        return len(self.entries) - 1

    def test(self, test: Sequence[TestQuestion]) -> list[TestQuestion]:
        """The questions of a test, with the answers of today. What was learned and nearly equals
        one of them is left out of the FAQ while it is tested."""
        changed = []
        for each in test:
            number = self._of_question.get(plain(each.question))
            if number is not None and each.answer:
                near = self._near[self._groups[plain(each.question)]]
                update = {
                    "answer": self.entries[number].answer,
                    "near": list(dict.fromkeys([*each.near, *near])),
                }
                each = each.model_copy(update=update)
            changed.append(each)
        left = {plain(entry.answer) for entry in without(self.entries, changed) if entry.answered}
        return [
            each.model_copy(update={"answerable": plain(each.answer) in left}) for each in changed
        ]


def _replaced(desk: DeskFolder, contents: Contents) -> Path:
    """Put the new desk in the place of the old one. Returns where that is kept."""
    kept = kept_beside(desk.folder)
    with ExitStack() as held:
        if desk.knowledge:  # no document may change meanwhile
            held.enter_context(alone(desk.knowledge.folder))
        with beside(desk.folder, kept=kept) as new:
            written_last = shutil.ignore_patterns(SETTINGS)
            shutil.copytree(desk.folder, new, True, written_last, dirs_exist_ok=True)
            contents.write(new)
    return kept
