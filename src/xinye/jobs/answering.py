"""Answers a question from a passage, from texts, or from a knowledge base, by a model that was
fine-tuned for it; or says why there is no answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from xinye.data.sentences import sentences
from xinye.errors import XinyeError
from xinye.jobs.judge import context_of
from xinye.retrieval import refusal
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import Verdict
from xinye.retrieval.results import Found
from xinye.retrieval.search import FEW, check_question
from xinye.retrieval.terms import terms
from xinye.tasks.answer import Answer
from xinye.tasks.answer_spans import is_in_passage
from xinye.tasks.answer_windows import windows_of
from xinye.tasks.task import Judged

NOT_IN_HERE = "the model finds no answer in the text that is likely enough"
NOT_IN_THESE = "the model finds no answer in the passages found that is likely enough"
RANKED = 20.0  # nats that the best passage is ahead of one that matches nothing

Knowledge = str | Sequence[str] | KnowledgeBase
LookedUp = tuple[tuple[Found, ...], Verdict | None]


@dataclass(frozen=True)
class Answered:
    """The answer to a question. `text` is quoted from `source`, a passage of those in `found`, and
    `sentence` is where it stands there. Without an answer `text` is "", and `refused` says why.
    `confidence`, from 0 to 1, is how sure a calibrated knowledge base is that it can answer, or
    else the F1 that the model expects of its answer. `left_out` counts the tokens at the end of a
    long question that the model did not read."""

    question: str
    text: str
    sentence: str
    confidence: float
    refused: str
    source: Found | None
    found: tuple[Found, ...]
    left_out: int = 0


def answer(
    judged: Judged,
    question: str,
    knowledge: Knowledge,
    count: int | None = None,
    precision: float | None = None,
) -> Answered:
    """Answer a question from a passage, from texts, or from the `count` passages of a knowledge
    base that match it best, by default 5. Raises `XinyeError` for an empty question or knowledge,
    and for a `count` or `precision` without effect.

    A knowledge base that is calibrated says from which confidence on its answers have the wanted
    `precision`; below that there is none. That is about its best passage, which alone is read then.
    Otherwise the model reads all of them, and decides by the threshold that it learned. Of other
    texts only those are read that share a word with the question."""
    found, verdict = look_up(question, knowledge, count, precision)
    if verdict and verdict.refused:
        return Answered(question, "", "", verdict.confidence, verdict.refused, None, found)
    read = found if verdict is None else found[:1]
    texts, context = [each.text for each in read], context_of(judged.model)
    left_out = windows_of(judged.tokenizer, question, "", context)[0].cut
    extracts = Answer().answer(judged.model, judged.tokenizer, question, texts, context)
    top = max(each.score for each in read) or 1.0
    numbers = [*range(len(read))]
    if verdict is None:
        numbers = [at for at in numbers if is_in_passage(judged.model, extracts[at])]
    if not numbers:
        confidence = max(each.expected_f1 for each in extracts)
        reason = NOT_IN_THESE if isinstance(knowledge, KnowledgeBase) else NOT_IN_HERE
        return Answered(question, "", "", confidence, reason, None, found, left_out)
    best = max(
        numbers, key=lambda number: extracts[number].score + RANKED * read[number].score / top
    )
    source, extract = read[best], extracts[best]
    sentence = sentence_around(source.text, extract.start, extract.end)
    confidence = verdict.confidence if verdict else extract.expected_f1
    return Answered(question, extract.text, sentence, confidence, "", source, found, left_out)


def look_up(
    question: str, knowledge: Knowledge, count: int | None, precision: float | None = None
) -> LookedUp:
    """The passages to answer a question from, and whether they answer it. The verdict is None if
    nothing tells: there are passages, and they are not of a calibrated knowledge base."""
    check_question(question)
    check_reading(knowledge, count, precision)
    found = passages_for(question, knowledge, FEW if count is None else count)
    if not found:
        return (), refusal.NOTHING_FOUND
    if isinstance(knowledge, KnowledgeBase):
        return found, refusal.judge(knowledge, question, found, precision)
    return found, None


def check_reading(knowledge: object, count: int | None, precision: float | None) -> None:
    """Raises `XinyeError` for a `count` that is no number of passages, and for one or a `precision`
    if the answer does not come from a knowledge base, where they have an effect."""
    if count is not None and (not isinstance(count, int) or count < 1):
        raise XinyeError(f"count: {count!r} is not a whole number of at least 1")
    for name, value in (("count", count), ("precision", precision)):
        if value is not None and not isinstance(knowledge, KnowledgeBase):
            raise XinyeError(f"{name} has an effect on a knowledge base only; leave it out")


def passages_for(question: str, knowledge: Knowledge, count: int) -> tuple[Found, ...]:
    """The passages to look in: of a knowledge base the best ones, otherwise all that are given."""
    if isinstance(knowledge, KnowledgeBase):
        return tuple(knowledge.search(question, count))
    texts = [knowledge] if isinstance(knowledge, str) else knowledge
    if not any(text.strip() for text in texts):
        raise XinyeError("the passage is empty")
    asked = set(terms(question))
    shared = [text for text in texts if not asked.isdisjoint(terms(text))]
    return tuple(Found(text, 0.0, "", "", "", None, 0) for text in shared)


def sentence_around(passage: str, start: int, end: int) -> str:
    """The sentence, or the sentences, of a passage that a span stands in."""
    inside = [span for span in sentences(passage) if span[0] < end and span[1] > start]
    return passage[inside[0][0] : inside[-1][1]] if inside else passage[start:end]
