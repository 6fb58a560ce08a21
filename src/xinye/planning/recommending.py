"""The rules that make the plan of a recommender. They were found by experiment (docs/log.md)."""

import math
from dataclasses import dataclass

import torch

from xinye.model.config import GPTConfig
from xinye.planning import pretraining
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.planning.units import parse_count

SIZE = "1M"
LAYERS = 2
CONTEXT = 100  # items of a history that the model reads


@dataclass(frozen=True)
class Histories:
    """The facts about the training histories that the rules use."""

    items: int  # that are learned
    features: int  # of an item's text
    longest: int  # history, in items


def shape(plan: Draft, settings: FinetuneSettings, facts: Histories) -> GPTConfig:
    """The config of the size nearest to the one asked for: two layers, and the width that the rest
    leaves."""
    context = min(settings.context or CONTEXT, max(8, facts.longest))
    read = "the last items of a history" if settings.context is None else "given"
    plan.note("context", context, read)
    asked = settings.size or SIZE
    size = parse_count(asked)
    widths = [config_of(facts, width, context) for width in range(16, 2049, 16)]
    config = min(
        widths, key=lambda each: abs(math.log((each.parameters + extra(each, facts)) / size))
    )
    plan.note("architecture", config.architecture, "usual")
    plan.note("layers", config.num_hidden_layers, "found by experiment")
    plan.note("width", config.hidden_size, f"nearest to {asked} parameters")
    plan.note("heads", config.num_attention_heads, "usual")
    return config


def config_of(facts: Histories, width: int, context: int) -> GPTConfig:
    """The config of a GPT over items with this width."""
    heads = 2 if width % 32 == 0 else 1
    inner = max(32, round(width * 8 / 3 / 32) * 32)
    return GPTConfig(
        *("modern", facts.items, width, LAYERS, heads, heads, width // heads, inner, context)
    )


def extra(config: GPTConfig, facts: Histories) -> int:
    """The weights of the projection of texts, and the vector of new items."""
    return (facts.features + 1) * config.hidden_size


def make_plan(plan: Draft, settings: FinetuneSettings, samples: int, device: torch.device) -> None:
    """Fill in the numbers of the steps. `samples` are the pieces of histories in an epoch."""
    batch_size = settings.batch_size or min(32, samples)
    epochs = settings.epochs or 20
    total, often = max(1, round(epochs * samples / batch_size)), "found by experiment"
    ends = settings.steps or total
    if settings.steps or settings.total_steps:
        planned = settings.total_steps or ((0, ends),)
        total, ends = planned[0][1], planned[-1][1]
        epochs, often = round(ends * batch_size / samples, 2), "follows from the steps"
    found = "found by experiment"
    plan.choose_each(
        settings,
        batch_size=(batch_size, "usual for fine-tuning"),
        micro_batch_size=(batch_size, "fast, and fits in memory"),
        epochs=(epochs, often),
        steps=(ends, f"passes over the histories: {epochs:g}"),
        warmup=(max(1, total // 50), "2 % of the steps"),
        optimizer=("muon", "Muon for matrices, AdamW for the rest"),
        dropout=(0.3, found),
    )
    muon = plan.values["optimizer"] == "muon"
    if muon:
        plan.choose_each(settings, matrix_learning_rate=(0.01, found))
    plan.choose_each(
        settings,
        learning_rate=(0.003 if plan.values["optimizer"] != "sgd" else 0.1, found),
        weight_decay=(0.1, found),
    )
    pretraining.precision(plan, settings, device, (torch.float32, "the model is small"))
