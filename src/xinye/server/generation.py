"""What the two routes that generate texts share: from a request's fields to sequences, and from
what is generated to answers."""

import asyncio
import json
import math
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any, ClassVar

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from xinye.errors import XinyeError, checked
from xinye.generation.constraint import constraint_for
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.server.bodies import json_response, log_texts
from xinye.server.errors import APIError, as_api_error, check_count
from xinye.server.models import ServedModel
from xinye.server.schemas import Answer, GenerationRequest
from xinye.server.worker import Job, Piece

LEAST_SHARE = 1e-30  # of the likeliest tokens: one
LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI writes the same
CONSTRAINTS = ("json_schema", "regex", "choices")
PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")
SAME = (*PENALTIES, "min_p", "min_tokens", "stop_token_ids", "regex", "choices")

# -- from a request to sequences ---------------------------------------------------------------


async def begin_texts(
    body: GenerationRequest, model: ServedModel, tokens: list[int], **more: Any
) -> list[Sequence]:
    """The texts that go on from these tokens, `n` of them. OpenAI's defaults of sampling hold, not
    those of `xinye generate`. `more` are the fields of one route only."""
    if body.stream_options and body.stream_options.include_usage and not body.stream:
        raise APIError(400, "stream_options: only with stream", "stream_options")
    biases = {int(token): bias for token, bias in (body.logit_bias or {}).items()}
    model.check_tokens(biases, "logit_bias")
    model.check_tokens(body.stop_token_ids or (), "stop_token_ids")
    stop = [body.stop] if isinstance(body.stop, str) else body.stop
    given = {name: getattr(body, name) for name in SAME}
    given |= {
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "top_k": body.top_k if body.top_k and body.top_k > 0 else None,
        "top_p": LEAST_SHARE if body.top_p == 0 else body.top_p,
        "seed": None if body.seed is None or body.seed == -1 else body.seed % 2**63,
        "stop": [*filter(None, stop or ())],
        "logit_bias": biases,
    }
    given = {name: value for name, value in (given | more).items() if value is not None}
    constraint = next((name for name in CONSTRAINTS if name in given), "")
    param = "response_format" if constraint == "json_schema" else constraint
    try:
        sampling = checked(Sampling, given, "request")
        if constraint:  # its grammar is built here, so that no other text waits for a large one
            await asyncio.to_thread(constraint_for, model.tokenizer, sampling)
    except XinyeError as error:
        refusal = as_api_error(error, param or None)
        if constraint:
            refusal.detail = refusal.detail.replace(constraint, param, 1)
        raise refusal from None
    return [Sequence([*tokens], len(tokens), sampling, number) for number in range(body.n or 1)]


def token_limit(
    request: Request,
    model: ServedModel,
    prompt_tokens: int,
    asked: int | None,
    param: str,
    prompt: str = "prompt",
) -> int:
    """How many tokens a text may get: what is asked for, or all that fit. No part of the prompt is
    dropped to make room."""
    limit = request.app.state.settings.max_tokens
    check_count(asked or 1, limit, param, "tokens")
    if prompt_tokens + (asked or 1) > model.context:
        raise model.too_long(
            f"the {prompt} takes {prompt_tokens}, and {asked or 1} are to be written: shorten the "
            "one or the other",
            param if prompt_tokens < model.context else prompt,
        )
    return asked or min(limit, model.context - prompt_tokens)


def check_choices(request: Request, count: int, param: str) -> None:
    limit = request.app.state.settings.max_choices
    check_count(count, limit, param, "texts, prompts times n,")


# -- from what is generated to answers ---------------------------------------------------------


class AnswerFormat(ABC):
    """How one of the routes words its answers, by their choices."""

    id_prefix: ClassVar[str]
    whole: ClassVar[type[Answer]]
    chunk: ClassVar[type[Answer]]

    @abstractmethod
    def choice(self, text: Piece) -> BaseModel:
        """A whole text."""

    @abstractmethod
    def parts(self, piece: Piece) -> Iterator[BaseModel]:
        """A piece of a text in a stream."""


async def respond(
    request: Request,
    body: GenerationRequest,
    model: ServedModel,
    sequences: list[Sequence],
    wording: AnswerFormat,
) -> Response:
    """The answer once it is whole; with `stream` as server-sent events, as OpenAI writes them."""
    job = Job(request, model, sequences)
    await job.first()
    head = {
        "id": f"{wording.id_prefix}-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": model.id,
    }
    if body.stream:
        return StreamingResponse(
            _events(request, body, job, wording, head),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
    await job.finish()
    texts = job.whole_texts()
    log_texts(request, body, [text.text for text in texts])
    choices = [*map(wording.choice, texts)]
    return json_response(_answer(wording.whole, head, choices=choices, usage=job.usage))


def _answer(kind: type[Answer], head: dict[str, Any], **fields: Any) -> Answer:
    return kind.model_validate({"object": kind.model_fields["object"].default, **head, **fields})


async def _events(
    request: Request,
    body: GenerationRequest,
    job: Job,
    wording: AnswerFormat,
    head: dict[str, Any],
) -> AsyncIterator[str]:
    """Chunks, the last with the usage if that is asked for, then `[DONE]`. After an error nothing
    more comes."""
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    if with_usage:
        head["usage"] = None
    try:
        with closing(job):
            async for piece in job:
                for choice in wording.parts(piece):
                    yield _event(_answer(wording.chunk, head, choices=[choice]))
        log_texts(request, body, [text.text for text in job.whole_texts()])
        if with_usage:
            yield _event(_answer(wording.chunk, head | {"usage": job.usage}, choices=[]))
        yield "data: [DONE]\n\n"
    except Exception as error:
        yield f"data: {json.dumps(as_api_error(error).body())}\n\n"


def _event(chunk: Answer) -> str:
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


def streams(chunk: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: an answer may also come as a stream of events, of this form."""
    data = {"type": "string", "description": f"a {chunk.__name__} as JSON; of the last, [DONE]"}
    schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {200: {"content": {"text/event-stream": {"schema": schema}}}}


# -- tokens in answers -------------------------------------------------------------------------


def token_text(model: ServedModel, token: int) -> str:
    """What a token stands for; a control token's own name; of part of a character its bytes, as
    OpenAI writes them."""
    data = model.tokenizer.token_bytes[token]
    try:
        return data.decode() if data else model.tokenizer.backend.id_to_token(token) or ""
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else LEAST_LOGPROB
