"""How much memory a training needs."""

import os
from dataclasses import astuple, dataclass
from typing import NamedTuple

import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import LSTMConfig
from xinye.model.loss import logits_at_once
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings, TrainingSettings
from xinye.planning.units import parse_count

BLOCK_BYTES = 4 * 256  # bytes of the attention scores and probabilities of one token, bf16
LOGIT_BYTES = 10  # for each token and entry of the vocabulary, as far as computed together
STATES = {"muon": 4, "adamw": 8, "sgd": 4}  # bytes of optimizer state for each weight


class Room(NamedTuple):
    """The memory in bytes that each of so many processes may take."""

    most: int
    processes: int = 1


def memory_of_process(device: torch.device, planned: int = 1) -> int:
    """The memory in bytes that this process may take, or one of as many as are planned. Those on
    the CPU of one host share it."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or planned)
    return machine.memory_bytes(device) // (here if device.type == "cpu" else 1)


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
            f"--size {settings.size} does not fit: {size:,} parameters × (4 weight + 4 gradient + "
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


@dataclass(frozen=True)
class Memory:
    """The memory in bytes that training takes in each process, by what it holds."""

    parameters: int
    gradients: int
    optimizer: int
    gathered: int  # what a process of several holds besides its part of the model
    layers: int  # activations that the backward pass needs
    logits: int  # with their gradients and the embedded tokens

    @property
    def total(self) -> int:
        return sum(astuple(self))


def memory_of(
    config: Config,
    micro_batch_tokens: int,
    optimizer: str,
    again: bool = False,
    shards: int = 1,
    *,
    device: torch.device,
) -> Memory:
    """What training takes in each process; with `again`, if each layer is computed again in the
    backward pass. The model may be split into `shards`."""
    per_layer, layers = layer_bytes(config), config.num_hidden_layers
    kept = layers * 2 * config.hidden_size + per_layer if again else layers * per_layer
    return Memory(
        parameters=config.parameters * 4 // shards,
        gradients=config.parameters * 4 // shards,
        optimizer=config.parameters * STATES[optimizer] // shards,
        gathered=gathered_bytes(config) if shards > 1 else 0,
        layers=micro_batch_tokens * kept,
        logits=logit_bytes(config, micro_batch_tokens, device),
    )


def logit_bytes(config: Config, tokens: int, device: torch.device) -> int:
    """The bytes of the logits of so many tokens. Of many, only some are computed together, and a
    gradient of the head in fp32 is kept beside them (`model/loss.py`)."""
    logits, at_once = tokens * config.vocab_size, logits_at_once(device)
    if logits <= at_once:
        return logits * LOGIT_BYTES
    return at_once * LOGIT_BYTES + 4 * config.vocab_size * config.hidden_size


def layer_bytes(config: Config) -> int:
    """The bytes of activations that one layer keeps of each token for the backward pass."""
    if isinstance(config, LSTMConfig):
        return 24 * config.hidden_size * 2
    per_layer = (16 * config.hidden_size + 4 * config.intermediate_size) * 2
    return per_layer + config.num_attention_heads * BLOCK_BYTES


def memory_needed(
    config: Config,
    micro_batch_tokens: int,
    optimizer: str,
    again: bool = False,
    shards: int = 1,
    *,
    device: torch.device,
) -> tuple[int, str]:
    """The bytes of `memory_of` in total, and the calculation in words."""
    memory = memory_of(config, micro_batch_tokens, optimizer, again, shards, device=device)
    weights = memory.parameters + memory.gradients + memory.optimizer
    activations = memory.layers + memory.logits
    split, also = "", ""
    if shards > 1:
        split = f" / {shards} processes"
        also = f", {memory.gathered / 1e9:.1f} GB for weights that are gathered"
    arithmetic = (
        f"{config.parameters:,} parameters × (4 weight + 4 gradient + {STATES[optimizer]} "
        f"optimizer) bytes{split} = {weights / 1e9:.1f} GB{also}, and {activations / 1e9:.1f} GB "
        f"for {micro_batch_tokens:,} tokens at once"
    )
    return memory.total, arithmetic


def gathered_bytes(config: Config) -> int:
    """What a process of several needs besides its part of the model: embeddings and head with their
    gradients; two layers, of which one is gathered ahead; and the gradients of one."""
    tables = table_parameters(config)
    layer = (config.parameters - tables) // config.num_hidden_layers
    return tables * (4 + 4) + layer * (2 * 4 + 4)


def table_parameters(config: Config) -> int:
    """The number of weights in embeddings and head."""
    return config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
