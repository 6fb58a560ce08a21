"""What the two ways to write share: from a request's fields to sequences, and from pieces to answers."""

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from xinye.errors import XinyeError, checked
from xinye.generation.constraint import constraint_for
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import LogProbability
from xinye.generation.sequence import Sequence as TextSequence
from xinye.server.errors import APIError, refused
from xinye.server.models import Served
from xinye.server.schemas import Usage, Writing
from xinye.server.worker import Job, Piece

log = logging.getLogger("xinye.server")
LEAST_SHARE = 1e-30  # of the likeliest tokens: one
LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI writes the same


def served(request: Request, name: str) -> Served:
    models: dict[str, Served] = request.app.state.models
    if name not in models:
        raise APIError(
            404,
            f"the model {name!r} is not here; /v1/models tells which are",
            "model",
            "model_not_found",
        )
    return models[name]


# -- from a request to sequences -------------------------------------------------------------------------------------


async def sampling_of(body: Writing, model: Served, **more: Any) -> Sampling:
    """How to write. OpenAI's defaults hold, not those of `xinye generate`. `more` are the fields of one way only."""
    if body.stream_options is not None and body.stream_options.include_usage and not body.stream:
        raise APIError(400, "stream_options: only with stream", "stream_options")
    for name, tokens in (
        ("logit_bias", map(int, body.logit_bias or ())),
        ("stop_token_ids", body.stop_token_ids or ()),
    ):
        if unknown := [token for token in tokens if token >= model.tokenizer.vocab_size]:
            raise APIError(400, f"{name}: the vocabulary has no token {unknown[0]}", name)
    same = (
        "presence_penalty",
        "frequency_penalty",
        "min_p",
        "repetition_penalty",
        "min_tokens",
        "regex",
    )
    given: dict[str, Any] = {name: getattr(body, name) for name in same}
    given |= {
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "top_k": body.top_k if body.top_k and body.top_k > 0 else None,
        "top_p": LEAST_SHARE if body.top_p == 0 else body.top_p,
        "seed": None if body.seed in (None, -1) else body.seed % 2**63,
        "stop": [body.stop] if body.stop and isinstance(body.stop, str) else body.stop or None,
        "stop_token_ids": body.stop_token_ids,
        "logit_bias": {int(token): bias for token, bias in body.logit_bias.items()}
        if body.logit_bias
        else None,
        "choices": body.choices,
    }
    given = {name: value for name, value in (given | more).items() if value is not None}
    constraint = next((name for name in ("json_schema", "regex", "choices") if name in given), None)
    param = "response_format" if constraint == "json_schema" else constraint
    try:
        sampling = checked(Sampling, given, "request")
        if constraint:  # its grammar is built here, so that no other text waits for a large one
            await asyncio.to_thread(constraint_for, model.tokenizer, sampling)
    except XinyeError as error:
        shown = refused(error, param)
        if param and constraint:
            shown.detail = shown.detail.replace(constraint, param, 1)
        raise shown from None
    return sampling


async def encode(
    model: Served, texts: Sequence[str | list[int] | None], param: str
) -> list[list[int]]:
    """The tokens of texts, with what the model is used to see before one; tokens stay as they are. None begins anew."""
    for text in texts:
        if isinstance(text, str):
            model.check_length([text], param)
    return await asyncio.to_thread(_encode, model, texts, param)


def _encode(model: Served, texts: Sequence[str | list[int] | None], param: str) -> list[list[int]]:
    prefix, vocabulary = [*model.tokenizer.prefix], model.tokenizer.vocab_size
    encoded = iter(model.tokenizer.encode_batch([text for text in texts if isinstance(text, str)]))
    result = []
    for text in texts:
        if isinstance(text, list):
            if unknown := [token for token in text if token >= vocabulary]:
                raise APIError(400, f"{param}: the vocabulary has no token {unknown[0]}", param)
            result.append(text)
        else:
            tokens = [] if text is None else next(encoded)
            result.append([*prefix, *tokens] or [model.tokenizer.bos_id])
    return result


def most_tokens(
    request: Request,
    model: Served,
    prompt_tokens: int,
    asked: int | None,
    param: str,
    prompt: str = "prompt",
) -> int:
    """How many tokens a text may get: what is asked for, or all that fit. Nothing is forgotten to make room."""
    limit = request.app.state.settings.max_tokens
    if asked is not None and asked > limit:
        raise APIError(400, f"{param}: at most {limit} here", param)
    if prompt_tokens + (asked or 1) > model.context:
        message = (
            f"this model's maximum context length is {model.context} tokens; the {prompt} takes {prompt_tokens}, and "
            f"{asked or 1} are to be written: shorten the one or the other"
        )
        raise APIError(
            400,
            message,
            param if prompt_tokens < model.context else prompt,
            "context_length_exceeded",
        )
    return asked or min(limit, model.context - prompt_tokens)


def begin(request: Request, model: Served, sequences: list[TextSequence]) -> "Texts":
    """Put the sequences into the line. Raises `APIError` where it is too long."""
    state, line = request.app.state, model.require("generate")
    settings = state.settings
    if line.texts + len(sequences) > settings.max_running + settings.max_waiting:
        message = f"{line.texts} texts run or wait already; try again"
        raise APIError(429, message, code="rate_limit_exceeded", retry_after=1)
    return Texts(request, model, Job(state.worker, line, sequences))


def check_choices(request: Request, count: int, param: str) -> None:
    most = request.app.state.settings.max_choices
    if count > most:
        raise APIError(
            400, f"{param}: a request gets at most {most} texts here, prompts times n", param
        )


class Texts:
    """A request's texts while they are written. Should the client leave, they leave the engine at once."""

    def __init__(self, request: Request, model: Served, job: Job) -> None:
        self.request, self.model, self.job = request, model, job
        self.metrics, self.began = request.app.state.metrics, monotonic()
        self._watch = asyncio.create_task(self._leave_with_client())
        self._pieces = aiter(job)
        self._first: Piece | None = None
        self._closed = False

    async def _leave_with_client(self) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        self.job.close()

    async def first(self) -> None:
        """Wait for the first piece, so that what fails at once has a status of its own, also where it is streamed."""
        try:
            self._first = await anext(self._pieces, None)
        except BaseException:
            self.close()
            raise
        self.metrics.first.labels(self.model.id).observe(monotonic() - self.began)

    async def pieces(self) -> AsyncIterator[Piece]:
        """All that is written. Closes the job at the end, whichever it is."""
        try:
            if self._first is not None:
                yield self._first
            async for piece in self._pieces:
                yield piece
        finally:
            self.close()

    async def whole(self) -> None:
        """Wait until all texts are written."""
        async for _ in self.pieces():
            pass
        if self.job.open:  # the client has left; nobody reads this
            raise APIError(499, "the client has left")

    def close(self) -> None:
        """Leave the engine, and count. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._watch.cancel()
        self.job.close()
        usage = self.usage
        self.metrics.prompt_tokens.labels(self.model.id).inc(usage.prompt_tokens)
        self.metrics.completion_tokens.labels(self.model.id).inc(usage.completion_tokens)

    @property
    def usage(self) -> Usage:
        """The tokens of each prompt once, and of all texts."""
        sequences = self.job.sequences
        prompt = sum(sequence.prompt_tokens for sequence in sequences if sequence.number == 0)
        completion = sum(sequence.completion_tokens for sequence in sequences)
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )


def log_texts(request: Request, body: BaseModel, texts: Sequence[str] = ()) -> None:
    """Only where the one who runs the server has asked for it."""
    if request.app.state.settings.log_texts:
        asked = body.model_dump(exclude_unset=True, by_alias=True)
        log.info(
            json.dumps(
                {"path": request.url.path, "request": asked, "answers": list(texts)},
                ensure_ascii=False,
            )
        )


# -- answers ---------------------------------------------------------------------------------------------------------


def answer(body: BaseModel) -> Response:
    """As it is: it was checked when it was made."""
    return Response(body.model_dump_json(exclude_unset=True), media_type="application/json")


def streams(chunk: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: an answer may also come as a stream of these."""
    schema = {
        "type": "string",
        "description": f"`data: ` lines, each with a {chunk.__name__} as JSON, then [DONE]",
    }
    return {200: {"content": {"text/event-stream": {"schema": schema}}}}


def event_stream(chunks: AsyncIterator[BaseModel]) -> StreamingResponse:
    """Server-sent events, as OpenAI writes them: chunks, then `[DONE]`; or an error, and nothing more."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for chunk in chunks:
                yield f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
            yield "data: [DONE]\n\n"
        except APIError as error:
            yield f"data: {json.dumps(error.body())}\n\n"

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


# -- tokens in answers -----------------------------------------------------------------------------------------------


def token_text(model: Served, token: int) -> str:
    """What a token stands for; a control token's own name; of part of a character its bytes, as OpenAI writes them."""
    data = model.tokenizer.token_bytes[token]
    try:
        return data.decode() if data else model.tokenizer.backend.id_to_token(token) or ""
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else LEAST_LOGPROB


def token_and_logprob(model: Served, token: int, logprob: float) -> dict[str, Any]:
    data = list(model.tokenizer.token_bytes[token])
    return {"token": token_text(model, token), "logprob": finite(logprob), "bytes": data}


def chat_logprobs(model: Served, logprobs: Sequence[LogProbability]) -> dict[str, Any]:
    content = [
        {
            **token_and_logprob(model, token, logprob),
            "top_logprobs": [token_and_logprob(model, *other) for other in others],
        }
        for token, logprob, others in logprobs
    ]
    return {"content": content, "refusal": None}


def legacy_logprobs(
    model: Served, logprobs: Sequence[LogProbability], offset: int
) -> dict[str, Any]:
    """The form of `/v1/completions`; `offset` is how many characters the text had before."""
    offsets = []
    for token, _, _ in logprobs:
        offsets.append(offset)
        offset += len(model.tokenizer.token_bytes[token].decode("utf-8", "ignore"))
    return {
        "tokens": [token_text(model, token) for token, _, _ in logprobs],
        "token_logprobs": [finite(logprob) for _, logprob, _ in logprobs],
        "top_logprobs": [
            {token_text(model, other): finite(its_logprob) for other, its_logprob in others}
            for _, _, others in logprobs
        ],
        "text_offset": offsets,
    }
