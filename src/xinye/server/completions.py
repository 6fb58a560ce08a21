"""`/v1/completions`: go on with texts."""

from collections import Counter
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
from xinye.server.schemas import Completion, CompletionChoice, CompletionRequest, LegacyLogprobs
from xinye.server.worker import Job, Piece

router = APIRouter(route_class=JSONRoute)


@router.post("/v1/completions", response_model=Completion, responses=streams(Completion))
async def complete(body: CompletionRequest, request: Request) -> Any:
    """Go on with a prompt, or with several. With `stream`, the answer comes as server-sent
    events."""
    model, n = find_model(request, body.model), body.n or 1
    model.check_task("generate")
    if body.echo and body.logprobs is not None:
        raise APIError(400, "logprobs: not together with echo: prompts have none here", "logprobs")
    if body.best_of not in (None, n):
        raise APIError(400, "best_of: only what n is: all texts are in the answer", "best_of")
    prompts = [body.prompt] if isinstance(body.prompt, str | None) else body.prompt
    prompts = [prompts] if isinstance(prompts[0], int) else prompts
    check_choices(request, len(prompts) * n, "n" if len(prompts) == 1 else "prompt")
    sequences: list[TextSequence] = []
    for tokens in await model.encode(prompts, "prompt"):
        limit = token_limit(request, model, len(tokens), body.max_tokens or 16, "max_tokens")
        sampling = await sampling_of(body, model, max_tokens=limit, logprobs=body.logprobs)
        sequences += [TextSequence([*tokens], len(tokens), sampling, number) for number in range(n)]
    echoed = [""] * len(sequences)
    if body.echo:
        echoed = [model.tokenizer.decode(sequence.tokens) for sequence in sequences]
    wording = CompletionFormat(model, echoed, body.logprobs is not None)
    return await respond(request, body, Job(request, model, sequences), wording)


@dataclass
class CompletionFormat(AnswerFormat):
    """Before each text comes its prompt, where it is to be echoed."""

    model: ServedModel
    echoed: list[str]
    with_logprobs: bool
    offsets: Counter[int] = field(default_factory=Counter)  # characters that a text had before

    id_prefix = "cmpl"
    whole = Completion
    chunk = Completion

    def choice(self, index: int, sequence: TextSequence) -> CompletionChoice:
        return CompletionChoice(
            index=index,
            text=self.echoed[index] + sequence.text,
            logprobs=self.logprobs(sequence.logprobs),
            finish_reason=sequence.finish_reason,
        )

    def opening(self, index: int) -> Iterator[CompletionChoice]:
        if text := self.echoed[index]:
            yield CompletionChoice(index=index, text=text, logprobs=None, finish_reason=None)

    def choices_of(self, piece: Piece) -> Iterator[CompletionChoice]:
        logprobs = self.logprobs(piece.logprobs, self.offsets[piece.number])
        self.offsets[piece.number] += len(piece.text)
        yield CompletionChoice(
            index=piece.number,
            text=piece.text,
            logprobs=logprobs,
            finish_reason=piece.finish_reason,
        )

    def logprobs(
        self, logprobs: Sequence[LogProbability], offset: int = 0
    ) -> LegacyLogprobs | None:
        if not self.with_logprobs:
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
