"""Reads questions with their passages and answers: the JSON of SQuAD, CMRC 2018 and DRCD as it is,
rows of Hugging Face's `squad`, and tables with a column for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError, did_you_mean
from xinye.retrieval.search import check_question

QUESTIONS = ("question", "query", "query_text", "问题", "提问", "问")
PASSAGES = (
    "context", "passage", "context_text", "paragraph", "document", "text", "content",
    "原文", "篇章", "段落", "文章", "材料", "正文", "内容",
)  # fmt: skip
ANSWERS = ("answers", "answer", "答案", "回答", "答")
STARTS = ("answer_start", "answer_begin", "start")
FORMAT = "questions with passages"


@dataclass(frozen=True)
class Question:
    """A question about a passage. `answers` are all right answers, none if the passage has none;
    `start` is where the first stands in the passage, in characters. `passage` is "" until it is
    found in a knowledge base. `place` is for messages ("train.json, record 17"), and `format`
    describes how the record was read."""

    question: str
    passage: str
    answers: tuple[str, ...]
    start: int
    place: str
    format: str = field(default="", compare=False)
    # Where the answer stands in the one short window that is learned from, from 0 to 1; None if the
    # whole passage is.
    at: float | None = None

    @property
    def whole(self) -> str:
        """The question and its passage."""
        return f"{self.question}\n{self.passage}"

    @property
    def answer(self) -> tuple[str, ...]:
        """The right answers, to compare records."""
        return self.answers

    @property
    def span(self) -> tuple[int, int] | None:
        """The characters of the first answer in the passage, or None."""
        if not self.answers:
            return None
        return self.start, self.start + len(self.answers[0])


@dataclass(frozen=True)
class Named:
    """The columns that a person named, what to do with an answer that is not in its passage, and
    the knowledge base that has the passages of records without one."""

    question_field: str | None = None
    passage_field: str | None = None
    answer_field: str | None = None
    absent_answers: str | None = None
    knowledge: Path | None = None

    @property
    def fields(self) -> list[str]:
        """The columns that are named."""
        return [
            name for name in (self.question_field, self.passage_field, self.answer_field) if name
        ]


def flat(row: Any, place: str) -> Iterator[tuple[str, Row]]:
    """The questions of a row, each with its place: of an article, all that are asked about its
    paragraphs."""
    if not isinstance(row, dict):
        raise XinyeError(f"{place}: expected an object with a question and a passage")
    if isinstance(row.get("paragraphs"), list):
        for number, paragraph in enumerate(row["paragraphs"], 1):
            yield from flat(paragraph, f"{place}, paragraph {number}")
    elif isinstance(row.get("qas"), list):
        passage = _value(row, PASSAGES, None, place, "passage")
        for number, asked in enumerate(row["qas"], 1):
            if not isinstance(asked, dict):
                raise XinyeError(f"{place}, question {number}: expected an object")
            yield f"{place}, question {number}", {**asked, "context": passage}
    else:
        yield place, row


def read_question(row: Row, place: str, named: Named, notes: Notes) -> Question:
    """The question in a row. Raises `XinyeError` for a row without question or passage, and for an
    answer that is not in its passage. If a knowledge base is named, a row needs no passage."""
    question = _text(_value(row, QUESTIONS, named.question_field, place, "question"))
    passage = _passage(row, place, named)
    if not question.strip():
        raise XinyeError(f"{place}: the question is empty")
    if not passage:
        _check_length(question, place)
    impossible = row.get("is_impossible") is True or row.get("answerable") is False
    answers, start = _answers(row, named.answer_field, place)
    if impossible or not answers:
        return Question(question, passage, (), -1, place, FORMAT)
    if not passage:
        return Question(question, "", answers, -1, place, FORMAT)
    found = place_in(passage, answers[0], start)
    if found < 0:
        if named.absent_answers != "none":
            raise XinyeError(
                f"{place}: the answer {answers[0][:40]!r} is not in its passage; correct it, or "
                "learn that the passage has no answer: --absent-answers none"
            )
        notes.add(place, "the answer is not in its passage: learned as no answer")
        return Question(question, passage, (), -1, place, FORMAT)
    if start is not None and found != start:
        notes.add(place, "the answer is not where its number says: the nearest place is taken")
    return Question(question, passage, answers, found, place, FORMAT)


def _passage(row: Row, place: str, named: Named) -> str:
    """The passage of a row; "" if it is to be found in a knowledge base."""
    without = named.passage_field is None and not any(row.get(each) for each in PASSAGES)
    if named.knowledge and without:
        return ""
    passage = _text(_value(row, PASSAGES, named.passage_field, place, "passage"))
    if passage.strip():
        return passage
    if named.knowledge:
        return ""
    raise XinyeError(
        f"{place}: the passage is empty; fill it in, or name a knowledge base that has it: "
        "--knowledge KB"
    )


def _check_length(question: str, place: str) -> None:
    """Raises `XinyeError` for a question that is too long to search for."""
    try:
        check_question(question)
    except XinyeError as error:
        raise XinyeError(f"{place}: {error}") from None


def place_in(passage: str, answer: str, start: int | None) -> int:
    """Where an answer stands in a passage: the place nearest to `start`, or the first; -1 if
    nowhere."""
    places, at = list[int](), passage.find(answer)
    while at >= 0:
        places.append(at)
        at = passage.find(answer, at + 1)
    return min(places, key=lambda place: abs(place - (start or 0)), default=-1)


def _answers(row: Row, name: str | None, place: str) -> tuple[tuple[str, ...], int | None]:
    """All answers of a row, each once, and where the first one is said to stand."""
    if name is not None and name not in row:
        raise _unknown(row, name, place)
    value = row[name] if name else next((row[key] for key in ANSWERS if row.get(key)), None)
    if isinstance(value, Mapping):  # {"text": […], "answer_start": […]}
        texts, starts = _listed(value.get("text")), _listed(value.get(STARTS[0]))
        value = [
            {"text": text, STARTS[0]: start}
            for text, start in zip(texts, [*starts, *[None] * len(texts)], strict=False)
        ]
    answers, first = dict[str, None](), None
    for each in _listed(value):
        text = _text(each.get("text") if isinstance(each, Mapping) else each)
        answer = text.strip()
        if not answer:
            continue
        if not answers:
            first = _start(each, row)
            if first is not None:
                first += len(text) - len(text.lstrip())
        answers[answer] = None
    return tuple(answers), first


def _start(answer: Any, row: Row) -> int | None:
    holder = answer if isinstance(answer, Mapping) else row
    starts = (holder.get(name) for name in STARTS)
    return next((s for s in starts if isinstance(s, int) and not isinstance(s, bool)), None)


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _value(row: Row, names: Sequence[str], named: str | None, place: str, what: str) -> Any:
    if named is not None:
        if named not in row:
            raise _unknown(row, named, place)
        return row[named]
    found = next((row[name] for name in names if row.get(name) is not None), None)
    if found is None:
        there = ", ".join(list(map(str, row))[:8])
        if what == "question":
            raise XinyeError(
                f"{place}: there is no question; name its column with --question-field (it has: "
                f"{there})"
            )
        raise XinyeError(
            f"{place}: there is no passage; name its column with --passage-field (it has: {there})"
            ", or a knowledge base that has it: --knowledge KB"
        )
    return found


def _unknown(row: Row, name: str, place: str) -> XinyeError:
    return XinyeError(f"{place}: there is no field {name!r}{did_you_mean(name, map(str, row))}")


def counted(records: Sequence[Question]) -> dict[str, int]:
    """How many questions have an answer in their passage, and how many have none."""
    answered = sum(bool(record.answers) for record in records)
    return {"answered": answered, "not in the passage": len(records) - answered}
