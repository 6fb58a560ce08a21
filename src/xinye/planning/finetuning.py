"""The rules of fine-tuning's plan, found by experiment on Chinese and English tasks
(docs/log.md)."""

from dataclasses import dataclass

import torch

from xinye import machine
from xinye.model.config import GPTConfig
from xinye.planning import pretraining
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings

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
    context = context_length(settings, shape)
    plan.note("context", context, f"the longest record has {records.longest:,} tokens")
    steps(plan, settings, records, device)
    rates(plan, settings, records, shape)
    dropout(plan, settings, shape)
    attention(plan, settings, records)
    dtype, reason = machine.fast_dtype(device)
    asked = None if settings.dtype == "auto" else settings.dtype
    plan.choose("dtype", asked, str(dtype).removeprefix("torch."), reason)
    plan.note("device", device.type, "the fastest there is")


def steps(plan: Draft, settings: FinetuneSettings, records: Records, device: torch.device) -> None:
    """How many records a step reads, and how often all are read."""
    count = records.count
    batch_size = plan.choose(
        "batch_size", settings.batch_size, min(32, count), "usual for fine-tuning"
    )
    at_once, reason = max(1, 65_536 // records.longest), "fast, and fits in memory"
    if device.type == "cpu":  # where padding costs more than small matrices do
        at_once = max(1, min(8, 8192 // records.longest))
        reason = "texts of like length together are padded least"
    plan.choose("micro_batch_size", settings.micro_batch_size, min(batch_size, at_once), reason)
    derived = round(min(20.0, max(4.0, 4 * (10_000 / count) ** 0.5)))
    epochs = plan.choose("epochs", settings.epochs, derived, f"for {count:,} records")
    total = plan.note(
        "steps", max(1, round(epochs * count / batch_size)), f"{epochs:g} times the records"
    )
    plan.choose("warmup", settings.warmup, min(100, max(1, total // 20)), "5 % of the steps")


def rates(plan: Draft, settings: FinetuneSettings, records: Records, shape: GPTConfig) -> None:
    """The optimizer, its learning rates and its decay."""
    adapter = settings.adapter_settings
    asked = None if settings.optimizer == "auto" else settings.optimizer
    reason = f"usual for {settings.method}" if adapter else "Muon for matrices, AdamW for the rest"
    optimizer = plan.choose("optimizer", asked, "adamw" if adapter else "muon", reason)
    usual, reason = {"muon": 0.001, "adamw": 5e-5, "sgd": 0.01}[optimizer], f"usual for {optimizer}"
    if records.writes and not adapter:  # it goes on with what it did before
        names = {"learning_rate", "matrix_learning_rate", "weight_decay"}
        given = settings.model_dump(include=names) | {
            "optimizer": optimizer,
            "from": settings.model,
        }
        pretraining.rates(plan, PretrainSettings(**given), shape)
        usual, reason = plan.values["learning_rate"], plan.reasons["learning_rate"]
    elif optimizer == "muon":
        rate, reason = (
            (0.01, "few records") if records.count < FEW else (0.004, "a fifth of pretraining's")
        )
        plan.choose("matrix_learning_rate", settings.matrix_learning_rate, rate, reason)
        reason = "found by trial"
    elif adapter and optimizer == "adamw":
        usual = adapter_rate(adapter.method, shape.hidden_size)
        reason = f"for {adapter.method} on layers {shape.hidden_size:,} wide"
    plan.choose("learning_rate", settings.learning_rate, usual, reason)
    reason = "few weights are trained" if adapter else "usual"
    plan.choose("weight_decay", settings.weight_decay, 0.0 if adapter else 0.1, reason)


def adapter_rate(method: str, width: int) -> float:
    """The learning rate of AdamW: what was found on tiny models, and less for larger ones, as 1 /
    width.

    A bottleneck learns like LoRA; AdaLoRA's change is a product of three, which moves less; a
    prefix is no matrix but keys and values themselves, and starts as large as those are.
    """
    low_rank = min(0.01, max(2e-4, 0.6 / width))
    return round(low_rank * {"lora": 1, "adapter": 1, "adalora": 2, "prefix": 20}[method], 5)


def dropout(plan: Draft, settings: FinetuneSettings, shape: GPTConfig) -> None:
    share, reason = 0.1, "records are read several times"
    if settings.method != "full":
        share, reason = 0.0, "layers that do not learn cannot get used to it"
    elif shape.num_hidden_layers > DEEP:
        share, reason = 0.0, f"of {shape.num_hidden_layers} layers it would drown the text"
    plan.choose("dropout", settings.dropout, share, reason)


def attention(plan: Draft, settings: FinetuneSettings, records: Records) -> None:
    """What a token sees."""
    asked = None if settings.attention == "auto" else settings.attention
    if records.writes:
        plan.note("attention", "causal", "each token is written after those before it")
    elif settings.method != "full" and records.frozen_attention == "causal":
        plan.choose(
            "attention", asked, "causal", "layers that do not learn go on as they were taught"
        )
    else:
        plan.choose(
            "attention", asked, "both", "nothing is written, so that every token may see all others"
        )
