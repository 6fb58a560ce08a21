"""How much memory a training needs."""

import os
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import LSTMConfig
from xinye.model.loss import IN_PLACE, logits_at_once
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
) -> bool:
    """Note in the plan how several processes share the work. Returns whether the model is split: if
    it `splits`, and does not fit as a whole into the memory of each process."""
    if processes == 1:
        if settings.parallel != "auto":
            plan.note("parallel", settings.parallel, "without effect in one process")
        return False
    plan.note("processes", processes, "started together, without effect on the result")
    usual = ("ddp", "each process has memory for the whole model")
    if not splits:
        usual = ("ddp", "this model cannot be split")
    elif not fits:
        usual = ("fsdp", "each process keeps a part of the model, whose whole does not fit")
    plan.choose_each(settings, parallel=usual)
    return bool(plan.values["parallel"] == "fsdp")


@dataclass(frozen=True)
class Memory:
    """The memory in bytes that training takes in each process, by what it holds."""

    config: Config
    tokens: int  # computed at once
    optimizer: str
    again: bool = False  # whether each layer is computed again in the backward pass
    processes: int = 1
    split: bool = False  # whether each process has a part of the model
    device: torch.device = field(kw_only=True)

    @property
    def shards(self) -> int:
        return self.processes if self.split else 1

    @property
    def parameters(self) -> int:
        return self.config.parameters * 4 // self.shards

    @property
    def gradients(self) -> int:
        return self.parameters

    @property
    def buckets(self) -> int:
        """The copy of the gradients that DDP exchanges. Processes on the CPU of one host, which
        share the memory of weights and state, need less; the plan does not count on it."""
        return 4 * self.config.parameters if self.processes > 1 and not self.split else 0

    @property
    def state(self) -> int:
        """What the optimizer keeps."""
        return (self.config.parameters * STATES[self.optimizer] + self.for_tables) // self.shards

    @property
    def for_tables(self) -> int:
        """What the optimizer keeps for embeddings and head, beyond the other weights: Muon leaves
        them to AdamW."""
        adamw = STATES["adamw"] - STATES["muon"]
        return table_parameters(self.config) * adamw if self.optimizer == "muon" else 0

    @property
    def gathered(self) -> int:
        """What a process of several needs besides its part of the model: embeddings and head with
        their gradients; two layers, of which one is gathered ahead; and the gradients of one."""
        if self.shards == 1:
            return 0
        tables = table_parameters(self.config)
        layer = (self.config.parameters - tables) // self.config.num_hidden_layers
        return tables * (4 + 4) + layer * (2 * 4 + 4)

    @property
    def layers(self) -> int:
        """Activations that the backward pass needs."""
        config = self.config
        per_layer, layers = layer_bytes(config), config.num_hidden_layers
        if self.again:
            return self.tokens * (layers * 2 * config.hidden_size + per_layer)
        return self.tokens * layers * per_layer

    @property
    def logits(self) -> int:
        """With their gradients and the embedded tokens. Of many, only some are computed together,
        and a gradient of the head in fp32 is kept beside them (`model/loss.py`)."""
        config = self.config
        logits, at_once = self.tokens * config.vocab_size, logits_at_once(self.device)
        if logits <= at_once:
            return logits * LOGIT_BYTES
        some = at_once * LOGIT_BYTES
        if self.device.type == "cpu":
            some = max(some, min(4 * logits, IN_PLACE))
        return some + 4 * config.vocab_size * config.hidden_size

    @property
    def by_part(self) -> dict[str, int]:
        return {
            "parameters": self.parameters,
            "gradients": self.gradients,
            "buckets": self.buckets,
            "optimizer": self.state,
            "gathered": self.gathered,
            "layers": self.layers,
            "logits": self.logits,
        }

    @property
    def total(self) -> int:
        return sum(self.by_part.values())

    @property
    def arithmetic(self) -> str:
        """The calculation in words."""
        weights = self.parameters + self.gradients + self.state
        activations = self.layers + self.logits
        split = also = ""
        if self.shards > 1:
            split = f" / {self.shards} processes"
            also = f", {self.gathered / 1e9:.1f} GB for weights that are gathered"
        elif self.buckets:
            also = f", {self.buckets / 1e9:.1f} GB for the copy of the gradients that DDP exchanges"
        if self.for_tables:
            split = f" + {self.for_tables / 1e9:.1f} GB for AdamW on embeddings and head{split}"
        return (
            f"{self.config.parameters:,} parameters × (4 weight + 4 gradient + "
            f"{STATES[self.optimizer]} optimizer) bytes{split} = {weights / 1e9:.1f} "
            f"GB{also}, and {activations / 1e9:.1f} GB for {self.tokens:,} tokens at once"
        )


def layer_bytes(config: Config) -> int:
    """The bytes of activations that one layer keeps of each token for the backward pass."""
    if isinstance(config, LSTMConfig):
        return 24 * config.hidden_size * 2
    per_layer = (16 * config.hidden_size + 4 * config.intermediate_size) * 2
    return per_layer + config.num_attention_heads * BLOCK_BYTES


def table_parameters(config: Config) -> int:
    """The number of weights in embeddings and head."""
    return config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
