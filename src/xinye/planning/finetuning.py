"""The rules of fine-tuning's plan, found by experiment on Chinese and English tasks
(docs/log.md)."""

from dataclasses import dataclass

import torch

from xinye import machine
from xinye.errors import plural
from xinye.model.config import GPTConfig
from xinye.planning import pretraining
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft

FEW = 1000  # records, which make few steps
DEEP = 12  # layers, in which dropout would drown the text


@dataclass(frozen=True)
class Records:
    """What the rules ask of a task and its records."""

    count: int
    longest: int  # tokens of a record
    writes: bool  # its model goes on writing, as it did before
    frozen_attention: str  # that suits layers which do not learn: causal or both


def context_length(settings: FinetuneSettings, shape: GPTConfig) -> int:
    """How many tokens of a record are read at most."""
    readable, adapter = shape.max_position_embeddings, settings.adapter_settings
    if adapter and adapter.method == "prefix":
        readable = max(1, readable - adapter.num_virtual_tokens)
    return min(settings.context or readable, readable)


def make_plan(
    plan: Draft,
    settings: FinetuneSettings,
    records: Records,
    shape: GPTConfig,
    device: torch.device,
) -> None:
    """Every number of the run, with its reason."""
    read = context_length(settings, shape)
    plan.note("context", read, f"the longest record has {plural(records.longest, 'token')}")
    steps(plan, settings, records, device)
    rates(plan, settings, records, shape)
    share, reason = 0.1, "records are read several times"
    if settings.method != "full":
        share, reason = 0.0, "frozen layers cannot adapt to it"
    elif shape.num_hidden_layers > DEEP:
        layers = plural(shape.num_hidden_layers, "layer")
        share, reason = 0.0, f"with {layers} it would hide the text"
    plan.choose_each(settings, dropout=(share, reason))
    sees = ("both", "the model writes nothing, so every token may see all others")
    if settings.method != "full" and records.frozen_attention == "causal":
        sees = ("causal", "frozen layers keep the attention they were trained with")
    if records.writes:
        plan.note("attention", "causal", "the model writes each token from those before it")
    else:
        plan.choose_each(settings, attention=sees)
    pretraining.precision(plan, settings, device, machine.fast_dtype(device))


def steps(plan: Draft, settings: FinetuneSettings, records: Records, device: torch.device) -> None:
    """How many records a step reads, and how often all are read."""
    count = records.count
    batch_size = settings.batch_size or min(32, count)
    epochs = settings.epochs or round(min(20.0, max(4.0, 4 * (10_000 / count) ** 0.5)))
    total = max(1, round(epochs * count / batch_size))
    often = f"for {plural(count, 'record')}"
    ends = settings.steps or total
    if settings.steps or settings.total_steps:
        planned = settings.total_steps or ((0, ends),)
        total, ends = planned[0][1], planned[-1][1]
        epochs = round(ends * batch_size / count, 2)
        often = "follows from the steps"
    at_once, reason = max(1, 65_536 // records.longest), "fast, and fits in memory"
    if device.type == "cpu":  # where padding costs more than small matrices do
        at_once = max(1, min(8, 8192 // records.longest))
        reason = "texts of similar length need little padding"
    plan.choose_each(
        settings,
        batch_size=(batch_size, "usual for fine-tuning"),
        micro_batch_size=(min(batch_size, at_once), reason),
        epochs=(epochs, often),
        steps=(ends, f"the records are read {epochs:g} times"),
        warmup=(min(100, max(1, total // 20)), "5 % of the steps"),
    )


def rates(plan: Draft, settings: FinetuneSettings, records: Records, shape: GPTConfig) -> None:
    """The optimizer, its learning rates and its decay."""
    adapter = settings.adapter_settings
    suits = ("muon", "Muon for matrices, AdamW for the rest")
    decay = (0.1, "usual")
    if adapter:
        suits = ("adamw", f"usual for {settings.method}")
        decay = (0.0, "few weights are trained")
    plan.choose_each(settings, optimizer=suits)
    optimizer = plan.values["optimizer"]
    usual, reason = {"muon": 0.001, "adamw": 5e-5, "sgd": 0.01}[optimizer], f"usual for {optimizer}"
    if records.writes and not adapter:  # it goes on with what it did before
        pretraining.rates(plan, settings, shape)
        usual, reason = plan.values["learning_rate"], plan.reasons["learning_rate"]
    elif optimizer == "muon":
        rate = (
            (0.01, "few records")
            if records.count < FEW
            else (0.004, "a fifth of the rate in pretraining")
        )
        plan.choose_each(settings, matrix_learning_rate=rate)
        reason = "found by experiment"
    elif adapter and optimizer == "adamw":
        usual = adapter_rate(adapter.method, shape.hidden_size)
        reason = f"usual for {adapter.method} at width {shape.hidden_size:,}"
    plan.choose_each(settings, learning_rate=(usual, reason), weight_decay=decay)


def adapter_rate(method: str, width: int) -> float:
    """The learning rate of AdamW: what was found on tiny models, and less for larger ones, as 1 /
    width.

    A bottleneck learns like LoRA; AdaLoRA's change is a product of three, which moves less; a
    prefix is no matrix but keys and values themselves, and starts as large as those are.
    """
    low_rank = min(0.01, max(2e-4, 0.6 / width))
    return round(low_rank * {"lora": 1, "adapter": 1, "adalora": 2, "prefix": 20}[method], 5)
