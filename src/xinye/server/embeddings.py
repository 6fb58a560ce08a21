"""The routes `/tokenize`, `/detokenize` and `/v1/embeddings`."""

import asyncio
import base64
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from xinye.model.pooling import mean_states
from xinye.server.bodies import JSONRoute, json_response, log_texts
from xinye.server.errors import APIError, check_count
from xinye.server.models import ServedModel, find_model
from xinye.server.schemas import (
    DetokenizeAnswer,
    DetokenizeRequest,
    Embedding,
    EmbeddingAnswer,
    EmbeddingRequest,
    PromptUsage,
    TokenizeAnswer,
    TokenizeRequest,
)

router = APIRouter(route_class=JSONRoute)


@router.post("/tokenize", response_model=TokenizeAnswer)
async def tokenize(body: TokenizeRequest, request: Request) -> Any:
    """The tokens of a text, or of messages rendered by the chat template."""
    model = find_model(request, body.model, "chat" if body.messages else "")
    if (body.prompt is None) == (body.messages is None):
        raise APIError(400, "prompt: give either prompt or messages", "prompt")
    if body.messages is not None:
        tokens = await model.encode_messages([message.plain for message in body.messages])
    else:
        (tokens,) = await model.encode([body.prompt], "prompt")
        if body.add_special_tokens is False:
            tokens = tokens[len(model.tokenizer.prefix) :] if body.prompt else []
    answer = TokenizeAnswer(tokens=tokens, count=len(tokens), max_model_len=model.context)
    return json_response(answer)


@router.post("/detokenize", response_model=DetokenizeAnswer)
async def detokenize(body: DetokenizeRequest, request: Request) -> Any:
    """The text of tokens. Control tokens have no text."""
    model = find_model(request, body.model)
    if len(body.tokens) > model.longest:
        raise model.too_long(f"at most {model.longest:,} tokens are allowed", "tokens")
    model.check_tokens(body.tokens, "tokens")
    text = await asyncio.to_thread(model.tokenizer.decode, body.tokens)
    return json_response(DetokenizeAnswer(prompt=text))


@router.post("/v1/embeddings", response_model=EmbeddingAnswer)
async def embed(body: EmbeddingRequest, request: Request) -> Any:
    """A vector for each text: the mean of the last layer's states over the text's tokens, not
    normalized.
    """
    model, given, state = find_model(request, body.model), body.input, request.app.state
    texts: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else [*given]
    check_count(len(texts), state.settings.max_inputs, "input")
    log_texts(request, body)
    rows = await model.encode(texts, "input")
    longest = max(map(len, rows))
    if longest > model.context:
        raise model.too_long(f"the input has {longest} tokens; shorten it", "input")
    # The tokens that the tokenizer puts before a text do not count.
    before = len(model.tokenizer.prefix) if isinstance(texts[0], str) else 0
    vectors = await state.worker.work(request, rows, partial(means, model, before), 1)
    if body.encoding_format == "base64":
        vectors = [base64.b64encode(np.array(row, "<f4").tobytes()).decode() for row in vectors]
    data = [
        Embedding(object="embedding", index=index, embedding=vector)
        for index, vector in enumerate(vectors)
    ]
    count = sum(map(len, rows))
    usage = PromptUsage(prompt_tokens=count, total_tokens=count)
    return json_response(EmbeddingAnswer(object="list", model=model.id, data=data, usage=usage))


def means(model: ServedModel, before: int, texts: list[list[int]]) -> list[list[float]]:
    """The mean of the last layer's states, (C,), over each text's tokens after the first
    `before`.
    """
    rows: list[list[float]] = mean_states(model.model.network, texts, before).tolist()
    return rows
