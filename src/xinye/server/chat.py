"""`/v1/chat/completions`: answer messages, by the model's own chat template."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request

from xinye.errors import XinyeError
from xinye.generation.sequence import Sequence
from xinye.server.errors import APIError, refused
from xinye.server.models import Served
from xinye.server.requests import JSONRoute
from xinye.server.schemas import ChatAnswer, ChatChunk, ChatRequest, Message
from xinye.server.writing import (
    Texts,
    answer,
    begin,
    chat_logprobs,
    check_choices,
    event_stream,
    log_texts,
    most_tokens,
    sampling_of,
    served,
    streams,
)

router = APIRouter(route_class=JSONRoute)


async def encode_messages(model: Served, messages: list[Message]) -> list[int]:
    """Messages as tokens. The template is filled in by another process, so that nobody waits for a slow one."""
    plain = [
        {"role": "system" if message.role == "developer" else message.role, "content": message.text}
        for message in messages
    ]
    model.check_length([message["content"] for message in plain], "messages")
    try:
        return await asyncio.to_thread(model.tokenizer.encode_chat, plain)
    except XinyeError as error:
        raise refused(error, "messages") from None


def constraint(body: ChatRequest) -> dict[str, Any]:
    """What `response_format` asks for, in `Sampling`'s words."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return {}
    if (wanted.type == "json_schema") != (wanted.json_schema is not None):
        place = "response_format.json_schema"
        raise APIError(400, f"{place}: belongs to the type json_schema, and to no other", place)
    return {"json_schema": wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}}


@router.post("/v1/chat/completions", response_model=ChatAnswer, responses=streams(ChatChunk))
async def chat(body: ChatRequest, request: Request) -> Any:
    """Answer the last message. With `stream`, the answer comes as server-sent events."""
    model, n = served(request, body.model), body.n or 1
    model.require("chat")
    check_choices(request, n, "n")
    if body.top_logprobs and not body.logprobs:
        raise APIError(400, "top_logprobs: only with logprobs", "top_logprobs")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise APIError(
            400, "max_tokens: the old name of max_completion_tokens; give one of them", "max_tokens"
        )
    param = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
    tokens = await encode_messages(model, body.messages)
    most = most_tokens(
        request,
        model,
        len(tokens),
        body.max_completion_tokens or body.max_tokens,
        param,
        "messages",
    )
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    sampling = await sampling_of(
        body, model, max_tokens=most, logprobs=logprobs, **constraint(body)
    )
    sequences = [Sequence([*tokens], len(tokens), sampling, number) for number in range(n)]
    texts = begin(request, model, sequences)
    await texts.first()
    head = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": model.id,
    }
    if body.stream:
        return event_stream(
            chunks(body, request, model, texts, head | {"object": "chat.completion.chunk"})
        )
    await texts.whole()
    log_texts(request, body, [sequence.text for sequence in sequences])
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": sequence.text, "refusal": None},
            "logprobs": chat_logprobs(model, sequence.logprobs) if body.logprobs else None,
            "finish_reason": sequence.finish_reason,
        }
        for index, sequence in enumerate(sequences)
    ]
    return answer(ChatAnswer(**head, object="chat.completion", choices=choices, usage=texts.usage))


async def chunks(
    body: ChatRequest, request: Request, model: Served, texts: Texts, head: dict[str, Any]
) -> AsyncIterator[ChatChunk]:
    """First the role of each choice, then its text, then why it ended; last the usage."""
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    head |= {"usage": None} if with_usage else {}

    def chunk(
        index: int, delta: dict[str, str], logprobs: Any = None, finish_reason: Any = None
    ) -> ChatChunk:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return ChatChunk(**head, choices=[choice])

    try:
        for number in range(len(texts.job.sequences)):
            yield chunk(number, {"role": "assistant", "content": ""})
        async for piece in texts.pieces():
            logprobs = (
                chat_logprobs(model, piece.logprobs) if body.logprobs and piece.logprobs else None
            )
            if piece.text or logprobs:
                yield chunk(piece.number, {"content": piece.text}, logprobs)
            if piece.finish_reason:
                yield chunk(piece.number, {}, finish_reason=piece.finish_reason)
    finally:
        texts.close()
    log_texts(request, body, [sequence.text for sequence in texts.job.sequences])
    if with_usage:
        yield ChatChunk(**{**head, "usage": texts.usage}, choices=[])
