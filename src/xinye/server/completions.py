"""`/v1/completions` goes on with texts; `/v1/chat/completions` answers messages, by the model's own
chat template."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from xinye.generation.sampling import Schema
from xinye.generation.sequence import LogProbability
from xinye.server.bodies import JSONRoute
from xinye.server.errors import APIError
from xinye.server.generation import (
    AnswerFormat,
    begin_texts,
    check_choices,
    finite,
    respond,
    streams,
    token_limit,
    token_text,
)
from xinye.server.models import ServedModel, find_model
from xinye.server.schemas import (
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatLogprobs,
    ChatRequest,
    Completion,
    CompletionChoice,
    CompletionRequest,
    Delta,
    LegacyLogprobs,
    TokenLogprob,
    TopLogprob,
)
from xinye.server.worker import Piece

router = APIRouter(route_class=JSONRoute)

# -- going on with texts ---------------------------------------------------------------------------


@router.post("/v1/completions", response_model=Completion, responses=streams(Completion))
async def complete(body: CompletionRequest, request: Request) -> Any:
    """Go on with a prompt, or with several. With `stream`, the answer comes as server-sent
    events."""
    model, n = find_model(request, body.model, "generate"), body.n or 1
    if body.echo and body.logprobs is not None:
        raise APIError(400, "logprobs: not together with echo: prompts have none here", "logprobs")
    if body.best_of not in (None, n):
        raise APIError(400, "best_of: only what n is: all texts are in the answer", "best_of")
    prompts = [body.prompt] if isinstance(body.prompt, str | None) else body.prompt
    prompts = [prompts] if isinstance(prompts[0], int) else prompts
    check_choices(request, len(prompts) * n, "n" if len(prompts) == 1 else "prompt")
    sequences = []
    for tokens in await model.encode(prompts, "prompt"):
        limit = token_limit(request, model, len(tokens), body.max_tokens or 16, "max_tokens")
        sequences += await begin_texts(
            body, model, tokens, max_tokens=limit, logprobs=body.logprobs
        )
    echoed = {
        number: model.tokenizer.decode(each.tokens)
        for number, each in enumerate(sequences if body.echo else [])
    }
    return await respond(request, body, model, sequences, CompletionFormat(model, echoed))


@dataclass
class CompletionFormat(AnswerFormat):
    """Before each text comes its prompt, where it is to be echoed."""

    model: ServedModel
    echoed: dict[int, str]  # what was not sent yet
    offsets: Counter[int] = field(default_factory=Counter)  # characters of each text so far

    id_prefix = "cmpl"
    whole = Completion
    chunk = Completion

    def choice(self, text: Piece) -> CompletionChoice:
        offset = self.offsets[text.number]
        self.offsets[text.number] += len(text.text)
        return CompletionChoice(
            index=text.number,
            text=self.echoed.pop(text.number, "") + text.text,
            logprobs=self.logprobs(text.logprobs, offset),
            finish_reason=text.finish_reason,
        )

    def parts(self, piece: Piece) -> Iterator[CompletionChoice]:
        yield self.choice(piece)

    def logprobs(self, logprobs: Sequence[LogProbability], offset: int) -> LegacyLogprobs | None:
        if not logprobs:
            return None
        lengths = self.model.tokenizer.token_bytes
        offsets = []
        for token, _, _ in logprobs:
            offsets.append(offset)
            offset += len(lengths[token].decode("utf-8", "ignore"))
        return LegacyLogprobs(
            tokens=[token_text(self.model, token) for token, _, _ in logprobs],
            token_logprobs=[finite(logprob) for _, logprob, _ in logprobs],
            top_logprobs=[
                {token_text(self.model, other): finite(logprob) for other, logprob in others}
                for _, _, others in logprobs
            ],
            text_offset=offsets,
        )


# -- answering messages ---------------------------------------------------------------------------


@router.post("/v1/chat/completions", response_model=ChatAnswer, responses=streams(ChatChunk))
async def chat(body: ChatRequest, request: Request) -> Any:
    """Answer the last message. With `stream`, the answer comes as server-sent events."""
    model = find_model(request, body.model, "chat")
    check_choices(request, body.n or 1, "n")
    if body.top_logprobs and not body.logprobs:
        raise APIError(400, "top_logprobs: only with logprobs", "top_logprobs")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise APIError(
            400, "max_tokens: the old name of max_completion_tokens; give one of them", "max_tokens"
        )
    param = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
    asked = body.max_completion_tokens or body.max_tokens
    tokens = await model.encode_messages([message.plain for message in body.messages])
    sequences = await begin_texts(
        body,
        model,
        tokens,
        max_tokens=token_limit(request, model, len(tokens), asked, param, "messages"),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        json_schema=asked_schema(body),
    )
    return await respond(request, body, model, sequences, ChatFormat(model))


def asked_schema(body: ChatRequest) -> Schema | None:
    """The JSON schema that `response_format` asks for."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if (wanted.type == "json_schema") != (wanted.json_schema is not None):
        place = "response_format.json_schema"
        raise APIError(400, f"{place}: belongs to the type json_schema, and to no other", place)
    return wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}


@dataclass
class ChatFormat(AnswerFormat):
    """First the role of each choice, then its text, then why it ended."""

    model: ServedModel
    begun: set[int] = field(default_factory=set)  # the choices whose role was sent

    id_prefix = "chatcmpl"
    whole = ChatAnswer
    chunk = ChatChunk

    def choice(self, text: Piece) -> ChatChoice:
        return ChatChoice(
            index=text.number,
            message=AnswerMessage(role="assistant", content=text.text, refusal=None),
            logprobs=self.logprobs(text.logprobs),
            finish_reason=text.finish_reason,
        )

    def parts(self, piece: Piece) -> Iterator[ChatChunkChoice]:
        part = partial(ChatChunkChoice, index=piece.number, logprobs=None, finish_reason=None)
        if piece.number not in self.begun:
            self.begun.add(piece.number)
            yield part(delta=Delta(role="assistant", content=""))
        if piece.text or piece.logprobs:
            logprobs = self.logprobs(piece.logprobs)
            yield part(delta=Delta(content=piece.text), logprobs=logprobs)
        if piece.finish_reason:
            yield part(delta=Delta(), finish_reason=piece.finish_reason)

    def logprobs(self, logprobs: Sequence[LogProbability]) -> ChatLogprobs | None:
        if not logprobs:
            return None
        content = [
            TokenLogprob(
                **vars(self.of_token(token, logprob)),
                top_logprobs=[self.of_token(*other) for other in others],
            )
            for token, logprob, others in logprobs
        ]
        return ChatLogprobs(content=content, refusal=None)

    def of_token(self, token: int, logprob: float) -> TopLogprob:
        return TopLogprob(
            token=token_text(self.model, token),
            logprob=finite(logprob),
            bytes=list(self.model.tokenizer.token_bytes[token]),
        )
