"""Answers a question from a passage, from texts, or from a knowledge base, by a model that was
fine-tuned for it; or says why there is no answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from xinye.data.sentences import sentences
from xinye.errors import XinyeError, plural
from xinye.jobs.judge import context_of
from xinye.retrieval.knowledge import LONGEST_QUESTION, KnowledgeBase
from xinye.retrieval.results import Found
from xinye.tasks.answer import Answer, Extract
from xinye.tasks.task import Judged

Knowledge = str | Sequence[str] | KnowledgeBase


@dataclass(frozen=True)
class Answered:
    """The answer to a question. `text` is quoted from `source`, a passage of those in `found`, and
    `sentence` is where it stands there. Without an answer `text` is "", and `refused` says why.
    `confidence`, from 0 to 1, is the probability that the model gives to the answer."""

    question: str
    text: str
    sentence: str
    confidence: float
    refused: str
    source: Found | None
    found: tuple[Found, ...]


def answer(judged: Judged, question: str, knowledge: Knowledge, count: int = 5) -> Answered:
    """Answer a question from a passage, from texts, or from the `count` passages of a knowledge
    base that match it best. Raises `XinyeError` for an empty question or knowledge."""
    check_question(question)
    found = passages_for(question, knowledge, count)
    if not found:
        refused = "no passage has a word of the question"
        return Answered(question, "", "", 0.0, refused, None, ())
    pairs = [(question, each.text) for each in found]
    context = context_of(judged.model)
    extracts = Answer().extracts(judged.model, judged.tokenizer, pairs, context)
    best = max(range(len(found)), key=lambda number: extracts[number].margin)
    return answered(question, found, found[best], extracts[best])


def check_question(question: str) -> None:
    """Raise `XinyeError` for a question that is empty or too long."""
    if not question.strip():
        raise XinyeError("the question is empty")
    if len(question) > LONGEST_QUESTION:
        raise XinyeError(
            f"the question has {len(question):,} characters; at most {LONGEST_QUESTION:,}"
        )


def passages_for(question: str, knowledge: Knowledge, count: int) -> tuple[Found, ...]:
    """The passages to look in: of a knowledge base the best ones, otherwise all that are given."""
    if isinstance(knowledge, KnowledgeBase):
        return tuple(knowledge.search(question, count))
    texts = [knowledge] if isinstance(knowledge, str) else knowledge
    given = [Found(text, 0.0, "", "", "", None, 0) for text in texts if text.strip()]
    if not given:
        raise XinyeError("the passage is empty")
    return tuple(given)


def answered(question: str, found: tuple[Found, ...], source: Found, extract: Extract) -> Answered:
    """The answer that an extract of a passage is, or the refusal."""
    sentence = sentence_around(source.text, extract.start, extract.end)
    if extract.margin > 0:
        return Answered(question, extract.text, sentence, extract.probability, "", source, found)
    refused = f"the model finds no answer in {plural(len(found), 'passage')}"
    return Answered(question, "", "", extract.probability, refused, None, found)


def sentence_around(passage: str, start: int, end: int) -> str:
    """The sentence, or the sentences, of a passage that a span stands in."""
    inside = [span for span in sentences(passage) if span[0] < end and span[1] > start]
    return passage[inside[0][0] : inside[-1][1]] if inside else passage[start:end]
