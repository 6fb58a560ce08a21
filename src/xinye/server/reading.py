"""What is asked of a model that it writes nothing for: tokens, embeddings, and the tasks it was trained for."""

import asyncio
import base64
from typing import Any

import torch
from fastapi import APIRouter, Request

from xinye.jobs.judge import classify, tag
from xinye.model.heads import Head
from xinye.server.chat import encode_messages
from xinye.server.errors import APIError
from xinye.server.models import Served
from xinye.server.requests import JSONRoute
from xinye.server.schemas import (
    DetokenizeAnswer,
    DetokenizeRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
    TaskAnswer,
    TaskRequest,
    TokenizeAnswer,
    TokenizeRequest,
)
from xinye.server.writing import answer, encode, log_texts, served

router = APIRouter(route_class=JSONRoute)
TOGETHER = 8  # texts that are judged in one go
CONTEXTS = 4  # a text to judge may be so much longer than what fits: it is cut, or tagged in parts


@router.post("/tokenize", response_model=TokenizeAnswer)
async def tokenize(body: TokenizeRequest, request: Request) -> Any:
    """The tokens of a text, or of messages by the chat template."""
    model = served(request, body.model)
    if (body.prompt is None) == (body.messages is None):
        raise APIError(400, "prompt: give either prompt or messages", "prompt")
    if body.messages is not None:
        model.require("chat")
        tokens = await encode_messages(model, body.messages)
    else:
        (tokens,) = await encode(model, [body.prompt], "prompt")
        if body.add_special_tokens is False:
            tokens = tokens[len(model.tokenizer.prefix) :] if body.prompt else []
    return answer(TokenizeAnswer(tokens=tokens, count=len(tokens), max_model_len=model.context))


@router.post("/detokenize", response_model=DetokenizeAnswer)
async def detokenize(body: DetokenizeRequest, request: Request) -> Any:
    """The text of tokens; control tokens have none."""
    model = served(request, body.model)
    if len(body.tokens) > model.longest:
        message = f"tokens: at most {model.longest:,} here"
        raise APIError(400, message, "tokens", "context_length_exceeded")
    await encode(model, [body.tokens], "tokens")
    return answer(
        DetokenizeAnswer(prompt=await asyncio.to_thread(model.tokenizer.decode, body.tokens))
    )


@router.post("/v1/embeddings", response_model=EmbeddingAnswer)
async def embed(body: EmbeddingRequest, request: Request) -> Any:
    """A vector for each text: the mean of the last layer's states over the text's tokens, not normalized."""
    model, given = served(request, body.model), body.input
    texts: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else [*given]
    check_inputs(request, len(texts))
    log_texts(request, body)
    rows = await encode(model, texts, "input")
    if any(len(row) > model.context for row in rows):
        longest = max(map(len, rows))
        message = f"this model's maximum context length is {model.context} tokens; the input has {longest}: shorten it"
        raise APIError(400, message, "input", "context_length_exceeded")
    data = []
    for index, (text, tokens) in enumerate(zip(texts, rows, strict=True)):
        await check_client(request)
        before = len(model.tokenizer.prefix) if isinstance(text, str) else 0
        vector = await request.app.state.worker.work(
            lambda tokens=tokens, before=before: mean(model, tokens, before)
        )
        embedding = vector if body.encoding_format != "base64" else to_base64(vector)
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    count = sum(map(len, rows))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return answer(EmbeddingAnswer(object="list", model=model.id, data=data, usage=usage))


@torch.inference_mode()
def mean(model: Served, tokens: list[int], before: int) -> list[float]:
    """The mean of the last layer's states, (C,), over the tokens of which the first `before` do not count."""
    network = model.model.network
    gpt = network.gpt if isinstance(network, Head) else network
    gpt.eval()
    states = gpt.hidden(torch.tensor([tokens], device=gpt.device))  # (1, T, C)
    return states[0, before:].float().mean(0).tolist()


def to_base64(vector: list[float]) -> str:
    return base64.b64encode(
        torch.tensor(vector, dtype=torch.float32).numpy().astype("<f4").tobytes()
    ).decode()


@router.post("/v1/tasks/{task}", response_model=TaskAnswer)
async def do_task(task: str, body: TaskRequest, request: Request) -> Any:
    """Judge texts with a model that was trained to: `classify`, or `tag`."""
    model, given = served(request, body.model), body.input
    if task not in ("classify", "tag"):
        raise APIError(
            404,
            "the tasks are classify and tag; to write, see /v1/completions",
            "task",
            "not_found",
        )
    if task not in model.tasks:
        raise APIError(
            400, f"{model.id}: this model can {', '.join(model.tasks)}, not {task}", "model"
        )
    texts: list[Any] = [given] if isinstance(given, str) else [*given]
    if task == "tag" and not all(isinstance(text, str) for text in texts):
        raise APIError(400, "input: a pair of texts can be classified, not tagged", "input")
    check_inputs(request, len(texts))
    for text in texts:
        model.check_length([text] if isinstance(text, str) else text, "input", CONTEXTS)
    data: list[Any] = []
    for begin in range(0, len(texts), TOGETHER):
        await check_client(request)
        part = texts[begin : begin + TOGETHER]
        data += await request.app.state.worker.work(lambda part=part: judge(model, part))
    log_texts(request, body, [str(each) for each in data])
    return answer(TaskAnswer(object="list", model=model.id, task=task, data=data))


def judge(model: Served, texts: list[Any]) -> list[Any]:
    network = model.model.network
    assert isinstance(network, Head)
    if network.config.kind == "token":
        return tag(network, model.tokenizer, texts)
    pairs = [(text, "") if isinstance(text, str) else (text[0], text[1]) for text in texts]
    return classify(network, model.tokenizer, pairs)


def check_inputs(request: Request, count: int) -> None:
    most = request.app.state.settings.max_inputs
    if count > most:
        raise APIError(400, f"input: at most {most} texts here", "input")


async def check_client(request: Request) -> None:
    """Raises `APIError` where the client has left, and nobody would read the answer."""
    if await request.is_disconnected():
        raise APIError(499, "the client has left")
