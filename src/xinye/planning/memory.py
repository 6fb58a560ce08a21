"""How much memory a training needs."""

import os
from typing import NamedTuple

import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import LSTMConfig
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings, TrainingSettings
from xinye.planning.units import parse_count

BLOCK_BYTES = 4 * 256  # bytes of the attention scores and probabilities of one token, bf16
STATES = {"muon": 4, "adamw": 8, "sgd": 4}  # bytes of optimizer state for each weight


class Room(NamedTuple):
    """The memory in bytes that each of so many processes may take."""

    most: int
    processes: int = 1


def memory_of_process(device: torch.device) -> int:
    """The memory in bytes that this process may take. Those on the CPU of one host share it."""
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE") or 1) if device.type == "cpu" else 1
    return machine.memory_bytes(device) // neighbours


def check_size(settings: PretrainSettings, most: int, processes: int = 1) -> None:
    """Raise `XinyeError` if the weights of this size alone do not fit into the memory of the
    processes, `most` bytes each, before any text is read."""
    if settings.width or settings.layers or settings.from_:
        return  # the size is then only approximate, or not known yet
    size, states = parse_count(settings.size), STATES[settings.optimizer]
    whole = settings.parallel == "ddp" or settings.architecture == "lstm"
    shards = 1 if whole else processes
    needed = size * (8 + states) / shards
    if needed > most:
        shared = f" / {shards} processes" if shards > 1 else ""
        more = ", or start more processes" if processes > 1 else ""
        raise XinyeError(
            f"size {settings.size} does not fit: {size:,} parameters × (4 weight + 4 gradient + "
            f"{states} optimizer) bytes{shared} = {needed / 1e9:,.1f} GB, but "
            f"{most / 1e9:.1f} GB are free; choose a smaller --size{more}"
        )


def choose_parallel(
    plan: Draft, settings: TrainingSettings, processes: int, fits: bool, splits: bool = True
) -> int:
    """Note in the plan how several processes share the work. Returns in how many parts the model is
    split: if it `splits`, and does not fit as a whole into the memory of each process."""
    if processes == 1:
        return 1
    plan.note("processes", processes, "started together, without effect on the result")
    usual = ("ddp", "each process has memory for the whole model")
    if not splits:
        usual = ("ddp", "this model cannot be split")
    elif not fits:
        usual = ("fsdp", "each process keeps a part of the model, whose whole does not fit")
    plan.choose_each(settings, parallel=usual)
    return processes if plan.values["parallel"] == "fsdp" else 1


def memory_needed(
    config: Config,
    micro_batch_tokens: int,
    optimizer: str,
    again: bool = False,
    shards: int = 1,
) -> tuple[int, str]:
    """The bytes that training needs in each process, and the calculation in words; with `again`, if
    each layer is computed again in the backward pass. The model may be split into `shards`."""
    states = STATES[optimizer]
    weights = config.parameters * (4 + 4 + states) // shards
    if isinstance(config, LSTMConfig):
        per_layer = 24 * config.hidden_size * 2
    else:
        per_layer = (16 * config.hidden_size + 4 * config.intermediate_size) * 2
        per_layer += config.num_attention_heads * BLOCK_BYTES
    layers = config.num_hidden_layers * per_layer
    if again:
        layers = config.num_hidden_layers * 2 * config.hidden_size + per_layer
    per_token = config.vocab_size * 10 + layers
    activations = micro_batch_tokens * per_token
    split, gathered, also = "", 0, ""
    if shards > 1:
        gathered = gathered_bytes(config)
        split = f" / {shards} processes"
        also = f", {gathered / 1e9:.1f} GB for weights that are gathered"
    arithmetic = (
        f"{config.parameters:,} parameters × (4 weight + 4 gradient + {states} optimizer) bytes"
        f"{split} = {weights / 1e9:.1f} GB{also}, and {activations / 1e9:.1f} GB for "
        f"{micro_batch_tokens:,} tokens at once"
    )
    return weights + gathered + activations, arithmetic


def gathered_bytes(config: Config) -> int:
    """What a process of several needs besides its part of the model: embeddings and head with their
    gradients; two layers, of which one is gathered ahead; and the gradients of one."""
    tables = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    layer = (config.parameters - tables) // config.num_hidden_layers
    return tables * (4 + 4) + layer * (2 * 4 + 4)
