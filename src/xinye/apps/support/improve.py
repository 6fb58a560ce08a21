"""Improves a desk from what operators have approved: new wordings, corrected and new answers.

The new desk is compared with the old one on the questions that were kept apart, and takes its place
only if it is not worse. The old one is kept beside it.
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
from xinye.apps.support.exchanges import REFERS, Exchange, Talk, exchanges, has_mark
from xinye.apps.support.faq import OFTEN, Entry
from xinye.apps.support.feedback import Feedback
from xinye.apps.support.groups import near_groups, plain
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
    to which different answers were approved, of which the last one counts. `before` and `after` are
    the figures of the old and the new desk on the same questions. `kept` is the folder of the old
    desk, or "" if it stays."""

    desk: str
    approved: int
    left_out: Mapping[str, int]
    added: int  # new entries
    corrected: int  # entries with another answer
    reworded: int  # new wordings of entries
    known: int  # answers that the FAQ had
    conflicts: Mapping[str, Sequence[str]]
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
    """The entries of a FAQ, with what was learned; `counts` says how often what was done."""

    def __init__(self, entries: Sequence[Entry], learned: Sequence[Exchange]) -> None:
        self.entries = [*entries]
        self.counts: Counter[str] = Counter()
        known = wordings(entries)
        asked = [each.text for each in known] + [each.question for each in learned]
        self._groups = near_groups(asked)
        self._asked = asked
        self._entry_of = {
            group: each.entry or 0 for group, each in zip(self._groups, known, strict=False)
        }
        self._learned: dict[int, dict[str, Exchange]] = {}  # by the number of the entry
        self._answers = {plain(entry.answer): at for at, entry in enumerate(entries)}
        for group, each in zip(self._groups[len(known) :], learned, strict=True):
            self._learn(each, group)

    def _learn(self, learned: Exchange, group: int) -> None:
        answer = plain(learned.answer)
        found = self._entry_of.get(group, self._answers.get(answer))
        number = len(self.entries) if found is None else found
        if found is None:
            where = learned.file, learned.line
            entry = Entry(learned.question, learned.answer, (), "", *where, offered=False)
            self.entries.append(entry)
            self.counts[ADDED] += 1
        else:
            entry = self.entries[number]
            if plain(entry.answer) != answer or not entry.answered:
                entry = replace(
                    entry, answer=learned.answer, file=learned.file, line=learned.line,
                    answered=True,
                )  # fmt: skip
                self.counts[CORRECTED] += 1
            if plain(learned.question) not in map(plain, entry.wordings):
                entry = replace(entry, variants=(*entry.variants, learned.question))
                self.counts[REWORDED] += 1
            elif entry is self.entries[number]:
                self.counts[KNOWN] += 1
            self.entries[number] = entry
        self._entry_of[group] = number
        self._answers[answer] = number
        given = self._learned.setdefault(number, {})
        given.pop(answer, None)
        given[answer] = learned  # as the last one

    @property
    def conflicts(self) -> dict[str, list[str]]:
        """The questions to which different answers were learned, with these, the last one last."""
        return {
            next(iter(given.values())).question: [each.answer for each in given.values()]
            for given in self._learned.values()
            if len(given) > 1
        }

    def test(self, test: Sequence[TestQuestion]) -> list[TestQuestion]:
        """The questions of a test, with the answers of today. What was learned and nearly equals
        one of them is left out of the FAQ while it is tested."""
        groups = {plain(text): group for text, group in zip(self._asked, self._groups, strict=True)}
        near: dict[int, list[str]] = {}
        for text, number in zip(self._asked, self._groups, strict=True):
            near.setdefault(number, []).append(text)
        changed = []
        for each in test:
            group = groups.get(plain(each.question), -1)
            entry = self._entry_of.get(group)
            if entry is not None and each.answer:
                update = {
                    "answer": self.entries[entry].answer,
                    "near": list(dict.fromkeys([*each.near, *near[group]])),
                }
                each = each.model_copy(update=update)
            changed.append(each)
        return changed


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
