"""The models of a server: loaded one after the other, each with its own engine, all owned by one worker."""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from xinye import machine
from xinye.api import Model, load
from xinye.checkpoints.adapters import base_of, is_adapter
from xinye.checkpoints.heads import is_head
from xinye.checkpoints.hub import find_downloaded
from xinye.data.files import open_regular
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import Engine, affordable_tokens
from xinye.jobs.judge import context_of
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.heads import Head
from xinye.runs.folder import never_taught_to_answer
from xinye.server.errors import APIError
from xinye.server.settings import ServeSettings
from xinye.server.worker import Line, Worker


@dataclass(frozen=True)
class Served:
    """One model: `line` leads to its engine where it writes, `tasks` is what can be asked of it, first what it is for,
    and `context` is how many tokens it reads at once."""

    id: str
    model: Model
    line: Line | None
    tasks: list[str]
    created: int

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @property
    def context(self) -> int:
        return context_of(self.model.network) if self.line is None else self.line.engine.context

    @property
    def longest(self) -> int:
        """No text of more bytes fits its context: no token stands for more than the longest, and of four bytes a
        normalizer leaves one at least."""
        shrinks = self.tokenizer.backend.normalizer is not None
        return self.context * int(self.tokenizer.token_lengths.max()) * (4 if shrinks else 1)

    def check_length(self, texts: Sequence[str], param: str, contexts: int = 1) -> None:
        """Raises `APIError` where the texts, together, are sure to be longer than so many contexts: tokenizing what is
        far too long would take seconds."""
        size, most = sum(len(text.encode()) for text in texts), contexts * self.longest
        if size > most:
            message = (
                f"this model's maximum context length is {self.context} tokens; the {param} has {size:,} bytes, and at "
                f"most {most:,} are read here: shorten it"
            )
            raise APIError(400, message, param, "context_length_exceeded")

    def require(self, task: str) -> Line:
        """The line to its engine. Raises `APIError` where it has not learned this."""
        if task not in self.tasks or self.line is None:
            raise APIError(
                400, f"{self.id}: this model can {', '.join(self.tasks)}, not {task}", "model"
            )
        return self.line


def load_models(names: Sequence[str], settings: ServeSettings, worker: Worker) -> dict[str, Served]:
    """The models by id: the last part of each name, or what stands before its `=`.

    Raises `XinyeError` where two have one id, one cannot be loaded, or they do not fit in memory together.
    """
    paths: dict[str, str] = {}
    for name in names:
        given, _, path = (
            name.partition("=") if "=" in name and not Path(name).exists() else ("", "", name)
        )
        is_file = Path(path).exists()
        identity = given or (Path(path).resolve().name.removesuffix(".gguf") if is_file else path)
        if identity in paths:
            raise XinyeError(
                f"two models are called {identity}: name one of them otherwise, as in other={path}"
            )
        paths[identity] = path
    where = machine.device()
    dtype = {"auto": machine.fast_dtype(where)[0], "bfloat16": torch.bfloat16}.get(
        settings.dtype, torch.float32
    )
    needs = {identity: memory_need(path, dtype.itemsize) for identity, path in paths.items()}
    free = machine.memory_bytes(where)
    if sum(needs.values()) > free:
        each = ", ".join(f"{identity} {need / 1e9:.1f} GB" for identity, need in needs.items())
        raise XinyeError(
            f"the weights do not fit in memory together ({each}; {free / 1e9:.1f} GB are free)", 1
        )
    room = (free - sum(needs.values())) // len(paths)  # for each model's cache
    models = {}
    for identity, path in paths.items():
        model = load(path, settings.dtype)
        line = None
        if not model.learned_task:
            tokens = cache_tokens(identity, model.gpt, settings, room)
            line = Line(partial(Engine, model.gpt, model.tokenizer, tokens, settings.max_running))
            worker.lines.append(line)
        _ = model.tokenizer.token_lengths  # computed now, not in the first request
        folder = _folder(path)
        created = int(folder.stat().st_mtime) if folder else 0
        models[identity] = Served(identity, model, line, tasks_of(model), created)
    return models


def tasks_of(model: Model) -> list[str]:
    if isinstance(model.network, Head):
        return ["classify" if model.network.config.kind == "sequence" else "tag", "embed"]
    if model.tokenizer.chat_template is None:
        return ["generate", "embed"]
    return (
        ["generate", "chat", "embed"]
        if never_taught_to_answer(model.folder)
        else ["chat", "generate", "embed"]
    )


def cache_tokens(
    identity: str, model: LanguageModel, settings: ServeSettings, room: int
) -> int | None:
    """The tokens whose keys and values a model's cache holds, in at most so many bytes: those asked for, or what the
    engine would take. Raises `XinyeError` where they, or one context, do not fit."""
    if not isinstance(model, GPT):
        return settings.cache_tokens  # a state is small
    context, size = (
        model.config.max_position_embeddings,
        model.config.cache_bytes_per_token(model.compute_dtype.itemsize),
    )
    needed = settings.cache_tokens or context
    if needed * size > room:
        raise XinyeError(
            f"{identity}: keys and values for {needed:,} tokens take {needed * size / 1e9:,.1f} GB, and beside weights "
            f"there is room for {room / 1e9:,.1f}; give --cache-tokens {room // size}, or fewer models", 1
        )  # fmt: skip
    return settings.cache_tokens or min(
        affordable_tokens(model, settings.max_running * context), room // size
    )


def memory_need(path: str, bytes_per_weight: int) -> int:
    """The memory that a model's weights take, from the heads of its files; 0 where they are not files we know.

    Loading tells what is wrong with those. What judges is kept in fp32, and what is quantized as it is.
    """
    folder = _folder(path)
    if folder is None:
        return 0
    if folder.is_file():
        return folder.stat().st_size
    if is_head(folder):
        bytes_per_weight = torch.float32.itemsize
    need = memory_need(str(base_of(folder)), bytes_per_weight) if is_adapter(folder) else 0
    return need + sum(bytes_per_weight * _weights(file) for file in folder.glob("*.safetensors"))


def _folder(path: str) -> Path | None:
    return Path(path) if Path(path).exists() else find_downloaded(path)


def _weights(file: Path) -> int:
    """The number of weights in a safetensors file, from its head."""
    try:
        with open_regular(file) as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            head = json.loads(stream.read(min(length, 2**27)))
        return max(
            0,
            sum(
                math.prod(tensor["shape"])
                for name, tensor in head.items()
                if name != "__metadata__"
            ),
        )
    except (
        OSError,
        XinyeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        struct.error,
    ):
        return 0
