"""Evaluates a reader end to end: each question is answered from a knowledge base, and compared with
its right answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.evaluation import answers
from xinye.jobs.answering import Answered, answer
from xinye.jobs.judge import refuse_settings, settings_of, training_records
from xinye.planning.column_settings import BESIDE_COLUMNS
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import calibration_notes
from xinye.retrieval.search import FEW
from xinye.retrieval.sentences import best_sentence
from xinye.tasks.answer import Answer
from xinye.tasks.answer_passages import whole_places
from xinye.tasks.answer_records import Question
from xinye.tasks.records import leaks, refuse
from xinye.tasks.settings import task_settings
from xinye.tasks.task import Figures, Judged
from xinye.tasks.task_data import columns_of, reading


@dataclass(frozen=True)
class _Asked:
    """A question of the test, and the answer to it."""

    record: Question
    answered: Answered

    @property
    def sentence(self) -> str:
        """The baseline's answer: of the best passage the sentence that shares most with the
        question, or ""."""
        best = [each.text for each in self.answered.found[:1]]
        sentence = best_sentence(self.record.question, best)
        return sentence.text if sentence else ""

    @property
    def is_found(self) -> bool:
        """Whether one of the passages that were found has a right answer."""
        return any(
            whole_places(passage.text, right)
            for passage in self.answered.found
            for right in self.record.answers
        )


def evaluate_from_knowledge(
    judged: Judged, files: Sequence[str], knowledge: str | Path | KnowledgeBase, **settings: Any
) -> Figures:
    """The figures of a reader that answers the questions of files from a knowledge base, without
    their passages, beside the best sentence of the best passage.

    `measured` has, besides the figures of the task, `found`: the share of the answerable questions
    for which one of the passages that were found has a right answer. `settings` are about the
    records. Raises `XinyeError` for files without questions.
    """
    base = knowledge if isinstance(knowledge, KnowledgeBase) else KnowledgeBase(knowledge)
    judged.observer.stage("reading the records")
    notes = Notes()
    records = _read(judged, files, base, settings, notes)
    warnings = [*_warnings(judged, base, records)]
    judged.observer.stage("answering from the knowledge base")
    count = judged.observer.counting("answering the questions", len(records))
    asked = list[_Asked]()
    for number, record in enumerate(records, 1):
        asked.append(_Asked(record, answer(judged, record.question, base)))
        count(number)
    right = [each.record.answers for each in asked]
    measured = answers.measure([each.answered.text for each in asked], right)
    found: Figures = {
        "model": str(judged.folder),
        "task": Answer.verb,
        "files": list(files),
        "knowledge": str(base.folder),
        "records": len(records),
        "measured": measured,
        "baseline": None,
        "notes": notes.sentences() + warnings,
    }
    if judged.with_baseline:
        sentences = answers.measure([each.sentence for each in asked], right)
        found["baseline"] = {"name": Answer.baseline_name, **sentences}
    answerable = [each for each in asked if each.record.answers]
    total, with_answer = len(asked), len(answerable)
    without = total - with_answer
    if with_answer:
        there = sum(each.is_found for each in answerable)
        measured["found"] = there / with_answer
        found["notes"].append(
            f"for {there:,} of {with_answer:,} questions, the first {FEW} passages have a right "
            "answer"
        )
    if without:
        found["notes"].append(
            f"{without:,} of {total:,} questions have no right answer in the file: refusing "
            "them is right"
        )
    return found


def _warnings(judged: Judged, base: KnowledgeBase, records: Sequence[Question]) -> Iterator[str]:
    """That the model or the base has learned from these questions."""
    try:
        training = training_records(settings_of(judged.folder, Answer()), Answer())
        # The passages are found again, so only the questions are compared.
        yield from leaks(
            [replace(each, passage="") for each in training],
            [replace(each, passage="") for each in records],
        )
    except XinyeError as error:
        yield f"not compared with the training records: {error}"
    yield from calibration_notes(base, [each.question for each in records])


def _read(
    judged: Judged,
    files: Sequence[str],
    base: KnowledgeBase,
    settings: dict[str, Any],
    notes: Notes,
) -> list[Question]:
    """The questions of files, read as the records of the model's run unless `settings` say
    otherwise."""
    known = (*Answer.columns, *BESIDE_COLUMNS)
    refuse_settings(
        Answer(), judged.folder, {name: settings[name] for name in settings if name not in known}
    )
    own = settings_of(judged.folder, Answer()).model_dump(exclude_unset=True)
    # An answer that is not in its own passage is an error here, or finding it would be wrong.
    given = {"sheet": None, "absent_answers": None, **settings, "knowledge": base.folder}
    columns = task_settings(own | given, "evaluate")
    with reading(columns, notes):
        return Answer.read_questions(files, refuse, notes, **columns_of(columns))
