"""Loads the models of a server. Each has its own engine, and one worker owns all of them."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from fastapi import Request
from safetensors import SafetensorError, safe_open

from xinye import machine
from xinye.api import Model, load
from xinye.checkpoints.bases import base_of, is_adapter, place_of
from xinye.checkpoints.families import is_head
from xinye.data.tokenizer import Tokenizer
from xinye.data.tool_calls import as_text
from xinye.errors import XinyeError
from xinye.generation.chat import Message
from xinye.generation.engine import affordable_tokens
from xinye.jobs.judge import context_of
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.runs.taught import can_chat
from xinye.server.errors import APIError, as_api_error, check_count
from xinye.server.settings import ServeSettings
from xinye.server.team import Team
from xinye.server.worker import EngineQueue, Worker


@dataclass(frozen=True)
class ServedModel:
    """One model. `queue` leads to its engine, or is None if it does not generate text. `tasks`
    lists what it can do, its main purpose first; `created` is a Unix time.
    """

    id: str
    model: Model
    queue: EngineQueue | None
    tasks: list[str]
    created: int

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @property
    def context(self) -> int:
        """The number of tokens that the model reads at once."""
        return self.queue.engine.context if self.queue else context_of(self.model.network)

    @property
    def longest(self) -> int:
        """A number of bytes that no text within the context exceeds. A normalizer may shorten a
        text to a quarter.
        """
        shrinks = self.tokenizer.backend.normalizer is not None
        return self.context * int(self.tokenizer.token_lengths.max()) * (4 if shrinks else 1)

    def too_long(self, what: str, param: str) -> APIError:
        """The error for input that exceeds the context."""
        return APIError(
            400,
            f"this model's maximum context length is {self.context} tokens; {what}",
            param,
            "context_length_exceeded",
        )

    def check_length(self, texts: Sequence[str], param: str, contexts: int = 1) -> None:
        """Raises `APIError` if the texts together certainly exceed this number of contexts.
        Tokenizing a far too long text would take seconds.
        """
        size = sum(len(text.encode()) for text in texts)
        limit = contexts * self.longest
        if size > limit:
            raise self.too_long(
                f"there are {size:,} bytes in the {param}, but at most {limit:,} are allowed; "
                "shorten it",
                param,
            )

    def check_tokens(self, tokens: Iterable[int], param: str) -> None:
        """Raises `APIError` for a token that is not in the vocabulary."""
        if unknown := [token for token in tokens if token >= self.tokenizer.vocab_size]:
            raise APIError(400, f"{param}: token {unknown[0]} is not in the vocabulary", param)

    async def encode(self, texts: Sequence[Any], param: str) -> list[list[int]]:
        """The tokens of texts, with the tokenizer's prefix; None stands for an empty text. Lists of
        tokens are checked and returned as they are.
        """
        if isinstance(texts[0], list):
            self.check_tokens(chain.from_iterable(texts), param)
            return [*texts]
        words = [text or "" for text in texts]
        for word in words:
            self.check_length([word], param)
        # Always as a batch, because `encode` does not release Python's lock.
        rows = await asyncio.to_thread(self.tokenizer.encode_batch, words)
        return [[*self.tokenizer.prefix, *row] or [self.tokenizer.bos_id] for row in rows]

    async def encode_messages(self, messages: list[Message], param: str = "messages") -> list[int]:
        """The tokens of messages. Another process fills in the template, so a slow one delays no
        other request.
        """
        self.check_length([*map(as_text, messages)], param)
        try:
            return await asyncio.to_thread(self.tokenizer.encode_chat, messages)
        except XinyeError as error:
            raise as_api_error(error, param) from None


def find_model(request: Request, name: str, task: str = "") -> ServedModel:
    """The model with this id. Raises `APIError` if there is none, or if it does not support the
    task.
    """
    model: ServedModel | None = request.app.state.models.get(name)
    if model is None:
        raise APIError(
            404,
            f"there is no model {name!r}; /v1/models lists the models of this server",
            "model",
            "model_not_found",
        )
    if task and task not in model.tasks:
        can = ", ".join(model.tasks)
        untaught = task == "chat" and "generate" in model.tasks
        raise APIError(
            400,
            f"{model.id}: this model supports {can}, not {task}"
            f"{'; to train it for chat, see xinye finetune --task chat' if untaught else ''}",
            "model",
        )
    return model


def token_limit(
    request: Request,
    model: ServedModel,
    prompt_tokens: int,
    asked: int | None,
    param: str,
    prompt: str = "prompt",
) -> int:
    """The most tokens that a text may get: as requested, or all that fit. Raises `APIError` if they
    do not fit, because the prompt is never shortened.
    """
    limit = request.app.state.settings.max_tokens
    least = 1 if asked is None else asked
    check_count(least, limit, param, "tokens")
    if prompt_tokens + least > model.context:
        raise model.too_long(
            f"there are {prompt_tokens} tokens in the {prompt}, and {least} new ones are requested"
            "; shorten one of them",
            param if prompt_tokens < model.context else prompt,
        )
    return min(limit, model.context - prompt_tokens) if asked is None else asked


def check_choices(request: Request, count: int, param: str) -> None:
    """Raises `APIError` if a request asks for too many texts."""
    limit = request.app.state.settings.max_choices
    check_count(count, limit, param, "texts, prompts times n,")


# -- loading -----------------------------------------------------------------------------------


def load_models(
    names: Sequence[str], settings: ServeSettings, worker: Worker, team: Team | None = None
) -> dict[str, ServedModel]:
    """The models by id, which is the last part of the name, or what comes before its `=`. The
    engines are made for one worker of the team, with its share of the limits.

    Raises `XinyeError` if two have the same id, one cannot be loaded, or they do not fit in memory
    together.
    """
    team = team or Team()
    paths = paths_by_id(names)
    room = room_for_cache(paths, settings.dtype)
    models = {}
    for identity, path in paths.items():
        model = load(path, settings.dtype, settings.speculation)
        queue = None
        if not model.learned_task:
            tokens = cache_tokens(identity, model.gpt, settings, room)
            most = settings.max_running // team.workers
            queue = EngineQueue(partial(model.new_engine, tokens, most), team.tally())
            worker.queues.append(queue)
        _ = model.tokenizer.token_lengths  # compute this now instead of in the first request
        created = int((_folder(path) or Path(path)).stat().st_mtime)
        models[identity] = ServedModel(identity, model, queue, tasks_of(model), created)
    return models


def paths_by_id(names: Sequence[str]) -> dict[str, str]:
    """The folder, file or hub name of each model or knowledge base, by id. Raises `XinyeError` if
    two have the same id.
    """
    paths: dict[str, str] = {}
    for name in names:
        identity, path = "", name
        if "=" in name and not Path(name).exists():
            identity, _, path = name.partition("=")
        if not identity:
            is_file = Path(path).exists()
            identity = Path(path).resolve().name.removesuffix(".gguf") if is_file else path
        if identity in paths:
            raise XinyeError(
                f"the name {identity} is given twice; give one of them another name, as in "
                f"other={path}"
            )
        paths[identity] = path
    return paths


def room_for_cache(paths: dict[str, str], dtype: str) -> int:
    """The bytes of memory that each model's KV cache may take. Raises `XinyeError` if the weights
    do not fit.
    """
    where = machine.device()
    dtypes = {"auto": machine.fast_dtype(where)[0], "bfloat16": torch.bfloat16}
    size = dtypes.get(dtype, torch.float32).itemsize
    needs = {identity: memory_need(path, size) for identity, path in paths.items()}
    free = machine.memory_bytes(where)
    left = free - sum(needs.values())
    if left < 0:
        each = ", ".join(f"{identity} {need / 1e9:.1f} GB" for identity, need in needs.items())
        raise XinyeError(
            f"the weights do not fit in memory together ({each}; {free / 1e9:.1f} GB are free)", 1
        )
    return left // len(paths)


def tasks_of(model: Model) -> list[str]:
    """What a model can do, its main purpose first."""
    learned = [model.task.verb] if model.task else []
    if model.learned_task:
        return [*learned, "embed"]
    if not can_chat(model.folder, model.tokenizer.chat_template):
        return ["generate", "embed"]
    return [*dict.fromkeys([*learned, "chat"]), "generate", "embed"]


def cache_tokens(
    identity: str, model: LanguageModel, settings: ServeSettings, room: int
) -> int | None:
    """The number of tokens that a model's KV cache holds in each worker: its share of those in the
    settings, or of as many as the engine would take, in at most `room` bytes. Raises `XinyeError`
    if they do not fit, or one context for each worker does not.
    """
    given, workers = settings.cache_tokens, settings.workers
    if not isinstance(model, GPT):
        return given and -(-given // workers)  # an LSTM's state is small
    context = model.config.max_position_embeddings
    size = model.config.cache_bytes_per_token(model.compute_dtype.itemsize)
    if given and workers > 1 and given < workers * context:
        least = workers * context
        raise XinyeError(
            f"{identity}: --cache-tokens {given} is less than one context for each of the "
            f"{workers} workers; use at least {least}, or fewer --workers"
        )
    needed = given or workers * context
    if needed * size > room:
        raise XinyeError(
            f"{identity}: the KV cache for {needed:,} tokens takes {needed * size / 1e9:,.1f} GB, "
            f"but the weights leave only {room / 1e9:,.1f} GB; use --cache-tokens {room // size}, "
            "or fewer models",
            1,
        )
    affordable = affordable_tokens(model, settings.max_running * context)
    return max((given or min(affordable, room // size)) // workers, min(context, needed))


def memory_need(path: str, bytes_per_weight: int) -> int:
    """The bytes of memory that a model's weights take, read from the headers of its files. 0 for
    unknown files; loading them reports the error.

    Models with a task head are kept in fp32, and quantized ones as they are.
    """
    folder = _folder(path)
    if folder is None:
        return 0
    if folder.is_file():
        return folder.stat().st_size
    if is_head(folder):
        bytes_per_weight = torch.float32.itemsize
    need = memory_need(str(base_of(folder)), bytes_per_weight) if is_adapter(folder) else 0
    files = filter(Path.is_file, folder.glob("*.safetensors"))
    return need + bytes_per_weight * sum(map(_weights, files))


def _folder(path: str) -> Path | None:
    place = place_of(path)
    return place if place.exists() else None


def _weights(file: Path) -> int:
    """The number of weights in a safetensors file, from its header."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
    except (OSError, SafetensorError):
        return 0
    return sum(map(math.prod, shapes))
