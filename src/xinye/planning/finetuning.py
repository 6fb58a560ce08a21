"""The rules that make the plan of a fine-tuning. They were found by experiment on Chinese and
English tasks (docs/log.md)."""

import math
from dataclasses import dataclass

import torch

from xinye.errors import plural
from xinye.model.config import GPTConfig
from xinye.planning import pretraining
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft

FEW = 1000  # fewer records than this make few steps
MANY = 2000  # records, for which a `Pace` is the second one
GENTLY = "so that little is memorized or forgotten"
DEEP = 12  # in more layers than this, dropout would hide the text


@dataclass(frozen=True)
class Pace:
    """How a language model learns a task of which it soon memorizes, or that makes it forget: with
    a share of pretraining's `rates`. `batch_sizes` and `epochs` are for few records and for at
    least `MANY`. Without `epochs` there are as many as usual."""

    rates: float
    batch_sizes: tuple[int, int]
    epochs: tuple[int, int] | None = None
    dropout: bool = True


@dataclass(frozen=True)
class Records:
    """The facts about a task and its records that the rules use."""

    count: int
    longest: int  # the tokens of the longest record that are read
    cut: bool  # whether longer ones are cut
    writes: bool  # whether the model generates text
    frozen_attention: str  # the attention that suits frozen layers: causal or both
    fast_dtype: tuple[torch.dtype, str]  # of this machine, and the reason
    pace: Pace | None = None  # None for the usual one


def context_length(settings: FinetuneSettings, shape: GPTConfig) -> int:
    """The largest number of tokens of a record that the model reads."""
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
    """Fill in every number of the run, with its reason."""
    read = context_length(settings, shape)
    longest = f"the longest record has {plural(records.longest, 'token')}"
    if records.cut:
        longest = "longer records are cut"
    plan.note("context", read, longest)
    steps(plan, settings, records, device)
    rates(plan, settings, records, shape)
    share, reason = 0.1, "usual for fine-tuning"
    if settings.method != "full":
        share, reason = 0.0, "frozen layers cannot adapt to dropout"
    elif records.pace and not records.pace.dropout:
        share, reason = 0.0, GENTLY
    elif shape.num_hidden_layers > DEEP:
        layers = plural(shape.num_hidden_layers, "layer")
        share, reason = 0.0, f"with {layers}, dropout would do more harm than good"
    plan.choose_each(settings, dropout=(share, reason))
    sees = ("both", "the model generates no text, so each token can attend to all others")
    if settings.method != "full" and records.frozen_attention == "causal":
        sees = ("causal", "frozen layers keep the attention they were trained with")
    if records.writes:
        plan.note("attention", "causal", "the model predicts each token from those before it")
    else:
        plan.choose_each(settings, attention=sees)
    pretraining.precision(plan, settings, device, records.fast_dtype)


def steps(plan: Draft, settings: FinetuneSettings, records: Records, device: torch.device) -> None:
    """Fill in the batch size, the epochs and the steps."""
    count = records.count
    batch_size, usual = min(32, count), "usual for fine-tuning"
    epochs = round(min(20.0, max(4.0, 4 * (10_000 / count) ** 0.5)))
    if records.pace:
        many = count >= MANY
        batch_size, usual = min(count, records.pace.batch_sizes[many]), GENTLY
        if records.pace.epochs:
            epochs = records.pace.epochs[many]
    batch_size, epochs = settings.batch_size or batch_size, settings.epochs or epochs
    total = max(1, round(epochs * count / batch_size))
    often = f"for {plural(count, 'record')}"
    ends = settings.steps or total
    if settings.steps or settings.total_steps:
        planned = settings.total_steps or ((0, ends),)
        total, ends = planned[0][1], planned[-1][1]
        epochs = round(ends * batch_size / count, 2)
        often = "follows from the steps"
    at_once, reason = max(1, 65_536 // records.longest), "fast, and fits in memory"
    if device.type == "cpu":  # on a CPU padding costs more than small matrices do
        at_once = max(1, min(max(8, batch_size // 4), 8192 // records.longest))
        reason = "texts of similar length need little padding"
    plan.choose_each(
        settings,
        batch_size=(batch_size, usual),
        micro_batch_size=(min(batch_size, at_once), reason),
        epochs=(epochs, often),
        steps=(ends, f"passes over the records: {epochs:g}"),
        warmup=(min(100, max(1, total // 20)), "5 % of the steps, at most 100"),
    )
    follow_validation(plan, settings)


def follow_validation(plan: Draft, settings: FinetuneSettings) -> None:
    """Unless the settings say how long to train, plan to evaluate once per epoch, and to end the
    run soon after the validation loss rises."""
    told = (settings.epochs, settings.steps, settings.total_steps, settings.patience)
    cools = settings.cooldown or (settings.cooldown is None and not any(told))
    if cools:
        epochs, steps = plan.values["epochs"], plan.values["steps"]
        plan.choose_each(
            settings,
            evaluations=(max(4, math.ceil(epochs)), "once per epoch, at least four times"),
            cooldown=(
                max(1, round(steps / max(4.0, epochs))),
                "steps to decay the rate in when the validation loss rises",
            ),
        )


def rates(plan: Draft, settings: FinetuneSettings, records: Records, shape: GPTConfig) -> None:
    """Fill in the optimizer, its learning rates and its weight decay."""
    adapter = settings.adapter_settings
    suits = ("muon", "Muon for matrices, AdamW for the rest")
    decay = (0.1, "usual")
    if adapter:
        suits = ("adamw", f"usual for {settings.method}")
        decay = (0.0, "few weights are trained")
    plan.choose_each(settings, optimizer=suits)
    optimizer = plan.values["optimizer"]
    usual, reason = {"muon": 0.001, "adamw": 5e-5, "sgd": 0.01}[optimizer], f"usual for {optimizer}"
    if records.writes and not adapter:  # it continues to predict text, as in pretraining
        pretraining.rates(plan, settings, shape, records.pace.rates if records.pace else 1.0)
        usual, reason = plan.values["learning_rate"], plan.reasons["learning_rate"]
    elif optimizer == "muon":
        rate = (
            (0.01, "there are few records")
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
    """The learning rate of AdamW for an adapter. It was found on tiny models, and decreases as 1 /
    width for larger ones.

    A bottleneck uses the rate of LoRA. AdaLoRA's change is a product of three factors and moves
    less, so its rate is higher. A prefix consists of keys and values themselves and starts as large
    as those, so its rate is the highest.
    """
    low_rank = min(0.01, max(2e-4, 0.6 / width))
    return round(low_rank * {"lora": 1, "adapter": 1, "adalora": 2, "prefix": 20}[method], 5)
