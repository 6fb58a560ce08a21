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
    model, n = find_model(request, body.model, "generate"), body.n or 1
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
    with_prompt = sequences if body.echo else []
    echoed = {
        number: model.tokenizer.decode(each.tokens) for number, each in enumerate(with_prompt)
    }
    wording = CompletionFormat(model, echoed, body.logprobs is not None)
    return await respond(request, body, Job(request, model, sequences), wording)


@dataclass
class CompletionFormat(AnswerFormat):
    """Before each text comes its prompt, where it is to be echoed."""

    model: ServedModel
    echoed: dict[int, str]  # what was not sent yet
    with_logprobs: bool
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
