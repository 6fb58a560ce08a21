"""Written answers: a model writes from passages and cites them. What it writes is shown only if all
of its numbers and names stand in the passages; otherwise the best sentence is quoted.

The passages come from anywhere. They are quoted in the user's message, where control tokens stay
text, and the model is told not to follow them. No model is sure to obey that.
"""

import re
from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from xinye.data.sentences import sentences
from xinye.errors import XinyeError
from xinye.generation.chat import Conversation, Message, start_answer
from xinye.generation.engine import Engine
from xinye.generation.sampling import ChatSampling
from xinye.jobs.answering import LookedUp, look_up
from xinye.jobs.composing_prompts import PROMPT, PROMPT_ZH
from xinye.retrieval.follow_up import in_context
from xinye.retrieval.index import Index, rarity_of
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.passages import cut
from xinye.retrieval.results import Found
from xinye.retrieval.sentences import best_sentence
from xinye.retrieval.support import CITATION, share_said, unsupported

PASSAGES = 3  # that a chat reads for each question
# An answer of which fewer terms stand in the passages is no answer from them. Of statements written
# from a text 12 % have fewer, of those written from another text 85 % (KdConv test).
LEAST_SAID = 0.2
GREEDY = ChatSampling(temperature=0)
_HAN = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Citation:
    """A passage that an answer cites: `number` is the one in brackets in the text."""

    number: int
    source: Found


@dataclass(frozen=True)
class Composed:
    """A written answer with its sources. Without one `text` is "", and `refused` says why.

    `fallen_back` is True if `text` is a sentence of a passage, because the model wrote no
    answer from the passages, or the numbers and names in `unsupported`, which stand in none.
    `written` is what the model wrote. `passages` are those that it read, or, without an answer,
    those that were found; `left_out` counts those that did not fit into its context.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    fallen_back: bool = False
    unsupported: tuple[str, ...] = ()
    written: str = ""
    passages: tuple[Found, ...] = ()
    left_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: str = ""


def compose_or_refuse(
    engine: Engine,
    question: str,
    looked_up: LookedUp,
    sampling: ChatSampling = GREEDY,
    system: str = "",
) -> Composed:
    """As `compose`; but if the knowledge base refuses the question, the model writes nothing."""
    found, verdict = looked_up
    if verdict and verdict.refused:
        return Composed("", passages=found, refused=verdict.refused)
    return compose(engine, question, found, sampling, system)


def compose(
    engine: Engine,
    question: str,
    found: Sequence[Found],
    sampling: ChatSampling = GREEDY,
    system: str = "",
) -> Composed:
    """Let a model answer from passages, the best first, by its chat template.

    Passages that do not fit into the context are left out; of texts without a score the parts that
    match the question are read. Raises `XinyeError` for a model without a chat template, and for a
    question that fills the context.
    """
    prompt = _Prompt(engine, question, sampling, system)
    passages, left_out = prompt.fitting(found)
    messages = prompt.messages(passages)
    reply, _ = start_answer(engine.tokenizer, messages, engine.context, sampling)
    for _ in engine.generate([reply]):
        pass
    if reply.error:
        raise reply.error
    written = reply.text.strip()
    if reply.finish_reason == "length":
        written = _whole_sentences(written)
    sources = [" ".join((each.title, each.section, each.text)) for each in passages]
    missing = unsupported(written, [*sources, question])
    fallen_back = bool(missing) or share_said(written, question, sources) < LEAST_SAID
    text = _extract(question, passages) if fallen_back else _with_citations(written, passages)
    return Composed(
        text, _citations(text, passages), fallen_back, missing, written, passages, left_out,
        reply.prompt_tokens, reply.completion_tokens,
    )  # fmt: skip


# -- the prompt ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Prompt:
    """What a model reads for one question, in the language of the question."""

    engine: Engine
    question: str
    sampling: ChatSampling
    system: str

    def messages(self, passages: Sequence[Found]) -> list[Message]:
        quoted = [f"[{number}] {_quoted(each)}" for number, each in enumerate(passages, 1)]
        prompt = PROMPT_ZH if _HAN.search(self.question) else PROMPT
        content = prompt.format(passages="\n\n".join(quoted), question=self.question)
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": content}]

    def fits(self, passages: Sequence[Found]) -> bool:
        """Whether the passages leave room in the context for the answer."""
        context = self.engine.context
        tokens = len(self.engine.tokenizer.encode_chat(self.messages(passages)))
        return tokens + min(self.sampling.max_tokens, context // 2) <= context

    def fitting(self, found: Sequence[Found]) -> tuple[tuple[Found, ...], int]:
        """The passages that fit, the best first, and how many do not. A first one that is too long
        is cut."""
        if not any(each.score for each in found) and not self.fits(found):
            found = _ranked_parts(self.question, found)
        counts = range(1, len(found) + 1)
        fitting = bisect_right(counts, False, key=lambda count: not self.fits(found[:count]))
        if fitting:
            return tuple(found[:fitting]), len(found) - fitting
        best = found[0]
        lengths = range(1, len(best.text) + 1)
        longest = bisect_right(
            lengths,
            False,
            key=lambda length: not self.fits([replace(best, text=best.text[:length])]),
        )
        if not longest:
            raise XinyeError(
                f"the question does not fit into the context of {self.engine.context:,} tokens "
                "beside a passage: shorten it"
            )
        return (replace(best, text=best.text[:longest]),), len(found)


def _quoted(passage: Found) -> str:
    """A passage in one line with its title. References in brackets get round ones, because they
    would read like numbers of passages."""
    text = " ".join(passage.text.split())
    title = passage.title if passage.title and not text.startswith(passage.title) else ""
    return CITATION.sub(r" (\1)", f"{title}: {text}" if title else text)


def _ranked_parts(question: str, found: Sequence[Found]) -> list[Found]:
    """The parts of long texts, those that match the question best first (BM25)."""
    parts = [
        replace(each, text=part.text, section=part.section, offset=each.offset + part.offset)
        for each in found
        for part in cut(each.text)
    ]
    index = Index.of([part.text for part in parts])
    scores = index.scores(rarity_of(question, [index]))
    scored = [replace(part, score=float(score)) for part, score in zip(parts, scores, strict=True)]
    return sorted(scored, key=lambda part: -part.score)


# -- the answer ------------------------------------------------------------------------------------


def _whole_sentences(text: str) -> str:
    """A text without a last sentence that was cut off, if others stand before it."""
    spans = [*sentences(text)]
    return text[: spans[-2][1]] if len(spans) > 1 else text


def _extract(question: str, passages: Sequence[Found]) -> str:
    """The sentence that answers best, of the best passage or of those that match equally well."""
    equal = [each.text for each in passages if each.score == passages[0].score]
    sentence = best_sentence(question, equal)
    return f"{sentence.text} [{sentence.passage + 1}]" if sentence else ""


def _with_citations(written: str, passages: Sequence[Found]) -> str:
    """The answer without citations of passages that do not exist. One that cites none gets the
    passage with the sentence that is most like it."""

    def kept(match: re.Match[str]) -> str:
        return match[0] if 1 <= int(match[1]) <= len(passages) else ""

    text = CITATION.sub(kept, written).strip()
    if CITATION.search(text):
        return text
    like = best_sentence(text, [each.text for each in passages])
    return f"{text} [{like.passage + 1}]" if like else text


def _citations(text: str, passages: Sequence[Found]) -> tuple[Citation, ...]:
    cited = sorted({int(match[1]) for match in CITATION.finditer(text)})
    return tuple(
        Citation(number, passages[number - 1]) for number in cited if 1 <= number <= len(passages)
    )


# -- conversations ---------------------------------------------------------------------------------


class Consultation(Conversation):
    """A chat that answers each question from a knowledge base. `composed` is the last answer; the
    model reads the passages of one question at a time, and no earlier answers."""

    def __init__(
        self, engine: Engine, sampling: ChatSampling, base: KnowledgeBase, system: str = ""
    ) -> None:
        super().__init__(engine, sampling, system)
        self.base = base
        self.composed = Composed("")
        self.answers = self.fallen_back = 0

    def answer(self, question: str) -> Generator[str, None, None]:
        """Yield the answer, whole, because it is checked before it is shown."""
        before = [each["content"] for each in self.messages if each["role"] == "user"]
        asked = in_context(question, before[-1] if before else "")
        assert isinstance(self.sampling, ChatSampling)
        self.composed = compose_or_refuse(
            self.engine, asked, look_up(asked, self.base, PASSAGES), self.sampling, self.system
        )
        self.answers += bool(self.composed.text)
        self.fallen_back += self.composed.fallen_back
        if self.composed.text:
            self.messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": self.composed.text},
            ]
            yield self.composed.text
