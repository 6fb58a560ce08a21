"""`/v1/completions`: go on with texts."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request

from xinye.generation.sequence import Sequence
from xinye.server.errors import APIError
from xinye.server.models import Served
from xinye.server.requests import JSONRoute
from xinye.server.schemas import Completion, CompletionRequest
from xinye.server.writing import (
    Texts,
    answer,
    begin,
    check_choices,
    encode,
    event_stream,
    legacy_logprobs,
    log_texts,
    most_tokens,
    sampling_of,
    served,
    streams,
)

router = APIRouter(route_class=JSONRoute)


@router.post("/v1/completions", response_model=Completion, responses=streams(Completion))
async def complete(body: CompletionRequest, request: Request) -> Any:
    """Go on with a prompt, or with several. With `stream`, the answer comes as server-sent events."""
    model, n = served(request, body.model), body.n or 1
    model.require("generate")
    if body.echo and body.logprobs is not None:
        raise APIError(400, "logprobs: not together with echo: prompts have none here", "logprobs")
    if body.best_of not in (None, n):
        raise APIError(400, "best_of: only what n is: all texts are told", "best_of")
    prompts = [body.prompt] if isinstance(body.prompt, str | None) else body.prompt
    prompts = [prompts] if isinstance(prompts[0], int) else prompts
    check_choices(request, len(prompts) * n, "n" if len(prompts) == 1 else "prompt")
    sequences: list[Sequence] = []
    for tokens in await encode(model, prompts, "prompt"):
        most = most_tokens(request, model, len(tokens), body.max_tokens or 16, "max_tokens")
        sampling = await sampling_of(body, model, max_tokens=most, logprobs=body.logprobs)
        sequences += [Sequence([*tokens], len(tokens), sampling, number) for number in range(n)]
    echoed = [""] * len(sequences)
    if body.echo:
        echoed = [model.tokenizer.decode(sequence.tokens) for sequence in sequences]
    texts = begin(request, model, sequences)
    await texts.first()
    head: dict[str, Any] = {
        "id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", "created": int(time.time()),
        "model": model.id,
    }  # fmt: skip
    if body.stream:
        return event_stream(chunks(body, request, model, texts, echoed, head))
    await texts.whole()
    log_texts(request, body, [sequence.text for sequence in sequences])
    choices = [
        {
            "index": index,
            "text": before + sequence.text,
            "logprobs": None
            if body.logprobs is None
            else legacy_logprobs(model, sequence.logprobs, 0),
            "finish_reason": sequence.finish_reason,
        }
        for index, (sequence, before) in enumerate(zip(sequences, echoed, strict=True))
    ]
    return answer(Completion(**head, choices=choices, usage=texts.usage))


async def chunks(
    body: CompletionRequest,
    request: Request,
    model: Served,
    texts: Texts,
    echoed: list[str],
    head: dict[str, Any],
) -> AsyncIterator[Completion]:
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    head |= {"usage": None} if with_usage else {}
    offsets, before = [0] * len(echoed), [*echoed]
    async for piece in texts.pieces():
        number = piece.number
        logprobs = None
        if body.logprobs is not None:
            logprobs = legacy_logprobs(model, piece.logprobs, offsets[number])
        offsets[number] += len(piece.text)
        choice = {
            "index": number, "text": before[number] + piece.text, "logprobs": logprobs,
            "finish_reason": piece.finish_reason,
        }  # fmt: skip
        before[number] = ""
        yield Completion(**head, choices=[choice])
    log_texts(request, body, [sequence.text for sequence in texts.job.sequences])
    if with_usage:
        yield Completion(**{**head, "usage": texts.usage}, choices=[])
