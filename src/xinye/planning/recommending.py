"""The plan of a recommender: its rules are in `ranking/item_rules.py`."""

import torch

from xinye.model.config import GPTConfig
from xinye.planning import pretraining
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.planning.units import parse_count
from xinye.ranking.item_rules import ItemRules, shape_of

SIZE = "1M"
FOUND = "found by experiment"
RULES = ItemRules()
LOGITS = 40_000_000  # of a micro-batch: a gigabyte with all that the backward pass keeps of them


def shape(plan: Draft, settings: FinetuneSettings, items: int, features: int) -> GPTConfig:
    """The config of the network for so many items and features of their texts."""
    asked = settings.size or SIZE
    context = settings.context or RULES.context
    config = shape_of(parse_count(asked), items, features, context)
    plan.note("architecture", config.architecture, "usual")
    plan.note("layers", config.num_hidden_layers, "usual")
    plan.note("width", config.hidden_size, f"nearest to {asked} parameters")
    plan.note("heads", config.num_attention_heads, "usual")
    plan.choose_each(settings, context=(context, "the last items of a history are read"))
    parameters = config.parameters + (features + 1) * config.hidden_size
    plan.note("parameters", parameters, "all weights, with those for the texts of the items")
    return config


def make_plan(
    plan: Draft, settings: FinetuneSettings, pieces: int, items: int, device: torch.device
) -> None:
    """Fill in the numbers of the steps. `pieces` of histories make an epoch; there are so many
    `items` to choose from."""
    batch_size = min(settings.batch_size or RULES.batch_size, pieces)
    fits = max(1, LOGITS // (plan.values["context"] * items))
    epochs: float = settings.epochs or RULES.epochs
    total, often = max(1, round(epochs * pieces / batch_size)), FOUND
    ends = settings.steps or total
    if settings.steps or settings.total_steps:
        planned = settings.total_steps or ((0, ends),)
        total, ends = planned[0][1], planned[-1][1]
        epochs, often = round(ends * batch_size / pieces, 2), "follows from the steps"
    plan.choose_each(
        settings,
        batch_size=(batch_size, FOUND),
        micro_batch_size=(min(batch_size, fits), "fast, and fits in memory"),
        epochs=(epochs, often),
        steps=(ends, f"passes over the histories: {epochs:g}"),
        warmup=(max(1, round(RULES.warmup * total)), f"{RULES.warmup:.0%} of the steps"),
        optimizer=(RULES.optimizer, "Muon for matrices, AdamW for the rest"),
    )
    if plan.values["optimizer"] == "muon":
        plan.choose_each(settings, matrix_learning_rate=(RULES.matrix_learning_rate, "usual"))
    plan.choose_each(
        settings,
        learning_rate=(RULES.learning_rate, "usual"),
        weight_decay=(RULES.weight_decay, "usual"),
        dropout=(RULES.dropout, FOUND),
    )
    pretraining.precision(plan, settings, device, (torch.float32, "the network is small"))
