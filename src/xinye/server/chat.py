"""`/v1/chat/completions`: answer messages, by the model's own chat template."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request

from xinye.generation.sequence import LogProbability
from xinye.generation.sequence import Sequence as TextSequence
from xinye.server.bodies import JSONRoute
from xinye.server.errors import APIError
from xinye.server.generation import (
    AnswerFormat,
    check_choices,
    finite,
    respond,
    sampling_of,
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
    Delta,
    TokenLogprob,
    TopLogprob,
)
from xinye.server.worker import Job, Piece

router = APIRouter(route_class=JSONRoute)


@router.post("/v1/chat/completions", response_model=ChatAnswer, responses=streams(ChatChunk))
async def chat(body: ChatRequest, request: Request) -> Any:
    """Answer the last message. With `stream`, the answer comes as server-sent events."""
    model, n = find_model(request, body.model, "chat"), body.n or 1
    check_choices(request, n, "n")
    if body.top_logprobs and not body.logprobs:
        raise APIError(400, "top_logprobs: only with logprobs", "top_logprobs")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise APIError(
            400, "max_tokens: the old name of max_completion_tokens; give one of them", "max_tokens"
        )
    param = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
    asked = body.max_completion_tokens or body.max_tokens
    tokens = await model.encode_messages([message.plain for message in body.messages])
    sampling = await sampling_of(
        body,
        model,
        max_tokens=token_limit(request, model, len(tokens), asked, param, "messages"),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        json_schema=asked_schema(body),
    )
    sequences = [TextSequence([*tokens], len(tokens), sampling, number) for number in range(n)]
    return await respond(request, body, Job(request, model, sequences), ChatFormat(model, body))


def asked_schema(body: ChatRequest) -> dict[str, Any] | None:
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
    body: ChatRequest
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
        if piece.number not in self.begun:
            self.begun.add(piece.number)
            yield self.part(piece.number, Delta(role="assistant", content=""))
        logprobs = self.logprobs(piece.logprobs) if piece.logprobs else None
        if piece.text or logprobs:
            yield self.part(piece.number, Delta(content=piece.text), logprobs)
        if piece.finish_reason:
            yield self.part(piece.number, Delta(), finish_reason=piece.finish_reason)

    @staticmethod
    def part(
        index: int, delta: Delta, logprobs: ChatLogprobs | None = None, finish_reason: Any = None
    ) -> ChatChunkChoice:
        return ChatChunkChoice(
            index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason
        )

    def logprobs(self, logprobs: Sequence[LogProbability]) -> ChatLogprobs | None:
        if not self.body.logprobs:
            return None
        content = [
            TokenLogprob(
                **self.of_token(token, logprob),
                top_logprobs=[TopLogprob(**self.of_token(*other)) for other in others],
            )
            for token, logprob, others in logprobs
        ]
        return ChatLogprobs(content=content, refusal=None)

    def of_token(self, token: int, logprob: float) -> dict[str, Any]:
        data = list(self.model.tokenizer.token_bytes[token])
        return {
            "token": token_text(self.model, token),
            "logprob": finite(logprob),
            "bytes": data,
        }
