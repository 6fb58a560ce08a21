"""What a person would not want of a plan, and what to give instead."""

import math

import torch

from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.planning.plan import Draft
from xinye.planning.pretraining import EVALUATING, batches, shape
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count

SIZES = ("250k", "500k", "1M", "2M", "5M", "15M", "50M", "125M")  # that are proposed
FEW_STEPS = 60  # fewer do not learn to write
MANY_TIMES = 50  # that a text is read: more than that, it is learned by heart


def doubts(
    plan: Draft,
    settings: PretrainSettings,
    config: Config,
    windows: int,
    step_seconds: float,
    device: torch.device,
) -> list[str]:
    """What a person would not want of a plan, and what to give instead. Of a time, a third more is
    named than steps take, for what is evaluated."""
    found, steps = [], plan.values["steps"]
    if steps < FEW_STEPS and settings.steps is None and not settings.total_steps:
        budget = next(
            name
            for name in ("tokens", "epochs", "time")
            if getattr(settings, name) or name == "time"
        )
        advice = f"give more --{budget}"
        if settings.seconds is not None:
            advice = f"give --time {short_time(FEW_STEPS * step_seconds / (1 - EVALUATING))}"
            smaller = smaller_size(plan, settings, config, settings.seconds / step_seconds, device)
            advice += f", or --size {smaller}" if smaller else ""
        found.append(
            f"{steps} {'step is' if steps == 1 else 'steps are'} too few to learn much: {advice}"
        )
    times = steps * plan.values["batch_size"] / windows
    if times > MANY_TIMES:
        enough = max(1, round(steps * 10 / times))
        budget = f"--steps {enough:,}"
        if settings.seconds is not None:
            budget = f"--time {short_time(enough * step_seconds / (1 - EVALUATING))}"
        found.append(
            f"the text is read {times:,.0f} times and learned by heart: give more text, or {budget}"
        )
    return found


def short_time(seconds: float) -> str:
    """A time as it is typed, rounded up."""
    return f"{math.ceil(seconds)}s" if seconds < 90 else f"{math.ceil(seconds / 60)}min"


def smaller_size(
    plan: Draft, settings: PretrainSettings, config: Config, steps: float, device: torch.device
) -> str | None:
    """The largest size, below that of a plan of which so many steps fit, of which enough steps
    would fit."""
    if settings.width or settings.layers or settings.from_:
        return None
    context = plan.values["context"]
    cost = plan.values["batch_size"] * config.flops_per_token(context)
    for size in reversed(SIZES):
        if parse_count(size, "size") >= parse_count(settings.size, "size"):
            continue
        other = Draft({"context": context, "training_tokens": plan.values["training_tokens"]})
        try:
            smaller = shape(
                other, settings.model_copy(update={"size": size}), config.vocab_size, context
            )
            batches(other, settings, smaller, device)
        except XinyeError:
            continue
        if (
            steps * cost / (other.values["batch_size"] * smaller.flops_per_token(context))
            >= FEW_STEPS
        ):
            return size
    return None
