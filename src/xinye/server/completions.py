"""The route `/v1/completions`, which continues texts, and what it shares with `chat.py`: from a
request's fields to sequences, and from generated text to answers.
"""

import asyncio
import codecs
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from xinye.errors import XinyeError, checked
from xinye.generation.constraint import constraint_for
from xinye.generation.prompt_logprobs import prompt_log_probabilities
from xinye.generation.sampling import CONSTRAINTS, Sampling, ToolSampling
from xinye.generation.sequence import Sequence
from xinye.server.bodies import JSONRoute, json_response, log_texts
from xinye.server.errors import APIError, as_api_error
from xinye.server.models import ServedModel, check_choices, find_model, token_limit
from xinye.server.schemas import (
    Answer,
    Completion,
    CompletionChoice,
    CompletionRequest,
    GenerationRequest,
    LegacyLogprobs,
)
from xinye.server.worker import Job, Piece

router = APIRouter(route_class=JSONRoute)
SCORED_AT_ONCE = 8  # prompts whose tokens are scored in one batch
# A token, its log-probability, and the most probable tokens at its place. The first token of a
# prompt has neither.
Scored = tuple[int, float | None, list[tuple[int, float]] | None]
LEAST_SHARE = 1e-30  # a top_p that leaves only the most probable token
LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI uses the same value
# fields with the same name and meaning in a request and in `Sampling`
SAME = (
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
    *("min_p", "min_tokens", "stop_token_ids", "regex", "choices"),
)

# -- shared by both routes -------------------------------------------------------------------------


@dataclass
class Writing(ABC):
    """One request for generated texts: what it asks of which model, and how its route forms the
    answer.
    """

    request: Request
    body: GenerationRequest
    model: ServedModel

    id_prefix: ClassVar[str]
    whole: ClassVar[type[Answer]]
    chunk: ClassVar[type[Answer]]

    @abstractmethod
    def choice(self, text: Piece) -> BaseModel:
        """The complete text as a choice of the answer."""

    @abstractmethod
    def parts(self, piece: Piece) -> Iterator[BaseModel]:
        """A piece of a text as the choices of chunks in a stream."""

    async def begin(self, tokens: list[int], **more: Any) -> list[Sequence]:
        """The `n` sequences that continue these tokens. The sampling defaults are OpenAI's, not
        those of `xinye generate`. `more` are the sampling fields of a single route.
        """
        body, model = self.body, self.model
        if body.stream_options and body.stream_options.include_usage and not body.stream:
            raise APIError(400, "stream_options: requires stream", "stream_options")
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
            sampling = checked(ToolSampling if "tools" in given else Sampling, given, "request")
            if constraint:  # builds the grammar in another thread, so that other texts do not wait
                await asyncio.to_thread(constraint_for, model.tokenizer, sampling)
        except XinyeError as error:
            refusal = as_api_error(error, param or None)
            if constraint:
                refusal.detail = refusal.detail.replace(constraint, param, 1)
            raise refusal from None
        return [Sequence([*tokens], len(tokens), sampling, number) for number in range(body.n or 1)]

    async def respond(self, sequences: list[Sequence]) -> Response:
        """The complete answer, or, with `stream`, server-sent events in OpenAI's format."""
        job = Job(self.request, self.model, sequences)
        await job.first()
        head = {
            "id": f"{self.id_prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": self.model.id,
        }
        if self.body.stream:
            return StreamingResponse(
                self._events(job, **head),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store"},
            )
        await job.finish()
        self._log(job)
        choices = [*map(self.choice, job.whole_texts())]
        return json_response(_answer(self.whole, **head, choices=choices, usage=job.usage))

    async def _events(self, job: Job, **head: Any) -> AsyncIterator[str]:
        """The chunks, the usage if requested, and `[DONE]`. After an error the stream ends."""
        options = self.body.stream_options
        if options and options.include_usage:
            head["usage"] = None
        try:
            with closing(job):
                async for piece in job:
                    for choice in self.parts(piece):
                        yield _event(_answer(self.chunk, **head, choices=[choice]))
            self._log(job)
            if "usage" in head:
                head["usage"] = job.usage
                yield _event(_answer(self.chunk, **head, choices=[]))
            yield "data: [DONE]\n\n"
        except Exception as error:
            yield f"data: {json.dumps(as_api_error(error).body())}\n\n"

    def _log(self, job: Job) -> None:
        log_texts(self.request, self.body, [each.text for each in job.sequences])


def _answer(kind: type[Answer], **fields: Any) -> Answer:
    return kind.model_validate({"object": kind.model_fields["object"].default, **fields})


def _event(chunk: Answer) -> str:
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


def streams(chunk: type[BaseModel]) -> dict[int | str, Any]:
    """An entry for the OpenAPI document: an answer may also be a stream of events with this
    chunk.
    """
    data = {"type": "string", "description": f"a {chunk.__name__} as JSON; of the last, [DONE]"}
    schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {200: {"content": {"text/event-stream": {"schema": schema}}}}


def token_text(model: ServedModel, token: int) -> str:
    """The text of a token, as OpenAI writes it: a control token's name, and the bytes of a partial
    character.
    """
    data = model.tokenizer.token_bytes[token]
    try:
        return data.decode() if data else model.tokenizer.backend.id_to_token(token) or ""
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


# -- /v1/completions -------------------------------------------------------------------------------


@router.post("/v1/completions", response_model=Completion, responses=streams(Completion))
async def complete(body: CompletionRequest, request: Request) -> Any:
    """Continue one prompt or several. With `stream`, the answer is sent as server-sent events."""
    model, n = find_model(request, body.model, "generate"), body.n or 1
    if body.max_tokens == 0 and not body.echo:
        raise APIError(400, "max_tokens: 0 is allowed only with echo", "max_tokens")
    if body.best_of not in (None, n):
        raise APIError(400, "best_of: must be equal to n; the answer holds all texts", "best_of")
    prompts = [body.prompt] if isinstance(body.prompt, str | None) else body.prompt
    prompts = [prompts] if isinstance(prompts[0], int) else prompts
    check_choices(request, len(prompts) * n, "n" if len(prompts) == 1 else "prompt")
    writing = CompletionWriting(request, body, model)
    sequences = []
    asked = 16 if body.max_tokens is None else body.max_tokens
    encoded = await model.encode(prompts, "prompt")
    for tokens in encoded:
        limit = token_limit(request, model, len(tokens), asked, "max_tokens")
        sequences += await writing.begin(tokens, max_tokens=limit or 1, logprobs=body.logprobs)
    if asked == 0:
        for each in sequences:
            each.finish_reason = "length"
    if body.echo:
        prefix = [] if isinstance(prompts[0], list) else model.tokenizer.prefix
        await writing.echo(encoded, len(prefix))
    return await writing.respond(sequences)


@dataclass
class CompletionWriting(Writing):
    """A request for completions. With `echo`, each text begins with its prompt."""

    body: CompletionRequest
    # For each text: its prompt, and the log-probabilities of the prompt's tokens, until they are
    # sent.
    echoed: dict[int, str] = field(default_factory=dict)
    scored: dict[int, list[Scored]] = field(default_factory=dict)
    offsets: Counter[int] = field(default_factory=Counter)  # characters of each text that were sent

    id_prefix = "cmpl"
    whole = Completion
    chunk = Completion

    async def echo(self, prompts: list[list[int]], prefix: int) -> None:
        """Put each prompt before its texts. If it came as text, the `prefix` tokens that the
        tokenizer added are not listed.
        """
        n, tokenizer = self.body.n or 1, self.model.tokenizer
        texts = [text for tokens in prompts for text in [tokenizer.decode(tokens)] * n]
        self.echoed = dict(enumerate(texts))
        if self.body.logprobs is None:
            return
        score = partial(
            prompt_log_probabilities,
            self.model.model.gpt,
            tokenizer.vocab_size,
            self.body.logprobs,
        )
        worker = self.request.app.state.worker
        found = await worker.work(self.request, prompts, score, SCORED_AT_ONCE)
        for prompt, (tokens, scores) in enumerate(zip(prompts, found, strict=True)):
            first: list[Scored] = [(token, None, None) for token in tokens[prefix : prefix + 1]]
            for number in range(prompt * n, prompt * n + n):
                self.scored[number] = first + scores[prefix:]

    def choice(self, text: Piece) -> CompletionChoice:
        offset = self.offsets[text.number]
        whole = self.echoed.pop(text.number, "") + text.text
        scored = [*self.scored.pop(text.number, []), *text.logprobs]
        self.offsets[text.number] += len(whole)
        return CompletionChoice(
            index=text.number,
            text=whole,
            logprobs=self.logprobs(scored, offset),
            finish_reason=text.finish_reason,
        )

    def parts(self, piece: Piece) -> Iterator[CompletionChoice]:
        yield self.choice(piece)

    def logprobs(self, scored: list[Scored], offset: int) -> LegacyLogprobs | None:
        if self.body.logprobs is None:
            return None
        answer = LegacyLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
        # A character of several tokens counts with its last token.
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        for token, logprob, others in scored:
            answer.tokens.append(token_text(self.model, token))
            answer.text_offset.append(offset)
            offset += len(characters.decode(self.model.tokenizer.token_bytes[token]))
            if logprob is None or others is None:
                answer.token_logprobs.append(None)
                answer.top_logprobs.append(None)
                continue
            answer.token_logprobs.append(max(LEAST_LOGPROB, logprob))
            answer.top_logprobs.append(
                {token_text(self.model, one): max(LEAST_LOGPROB, log) for one, log in others}
            )
        return answer
