"""The rules of pretraining's plan: from what a person asked for to every number of a run.

The rules of thumb here were found by experiment on Chinese and English text; `docs/log.md` tells
which.
"""

import math
from typing import Any

import numpy as np
import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count

# the largest share of a budget in time for evaluations: on a slow machine there are fewer of them
EVALUATING = 0.25


def vocabulary_size(size: int, characters: int, chinese: bool) -> tuple[int, str]:
    """How many tokens a vocabulary should have for a model of `size` parameters and a text of so
    many characters."""
    wanted = (
        2 ** round(math.log2(size / 1000)) if size < 30e6 else 2 ** round(math.log2(30 * size**0.4))
    )
    wanted = min(max(wanted, 1024), 65536) * (2 if chinese and size < 30e6 else 1)
    supported = max(512, characters // 200)
    reason = f"for {size:,} parameters" + (" and Chinese text" if chinese else "")
    return (
        (wanted, reason)
        if wanted <= supported
        else (supported, f"{characters:,} characters support no more")
    )


def shape(plan: Draft, settings: PretrainSettings, vocab_size: int, context: int) -> Config:
    """The network nearest to the size asked for: a GPT about as deep as width / 64, an LSTM of two
    layers."""
    size, recurrent = parse_count(settings.size, "size"), settings.architecture == "lstm"
    widths = range(64, 8192 + 1, 16 if recurrent else 64 if size < 30e6 else 128)
    best: tuple[float, Config] | None = None
    for width in [settings.width] if settings.width else widths:
        for layers in [settings.layers] if settings.layers else range(1, 97):
            depth = layers / (2.0 if recurrent else max(2.0, width / 64))
            if not settings.layers and not 0.5 <= depth <= 2:
                continue
            config = network(settings, size, vocab_size, context, width, layers)
            cost = abs(math.log(config.parameters / size)) + 0.1 * abs(math.log(depth))
            if best is None or cost < best[0]:
                best = cost, config
    assert best is not None
    config = best[1]
    usual = "two are usual" if recurrent else "about width / 64"
    plan.choose(
        "layers", settings.layers, config.num_hidden_layers, f"nearest to {settings.size}, {usual}"
    )
    plan.choose("width", settings.width, config.hidden_size, f"nearest to {settings.size}")
    if isinstance(config, GPTConfig):
        plan.choose(
            "heads", settings.heads, config.num_attention_heads, f"heads of {config.head_dim}"
        )
        halved = config.num_key_value_heads < config.num_attention_heads
        reason = "halves the cache" if halved else "one for each head"
        plan.choose("key_value_heads", settings.key_value_heads, config.num_key_value_heads, reason)
    reason = "embedding and head are one matrix" if config.tie_word_embeddings else "all weights"
    plan.choose("parameters", None, config.parameters, reason)
    if not settings.width and not settings.layers and not 0.5 < config.parameters / size < 2:
        raise XinyeError(
            f"size {settings.size}: with a vocabulary of {vocab_size:,} the nearest model has "
            f"{config.parameters:,} parameters; give a smaller --vocab-size or another --size"
        )
    return config


def shape_of(plan: Draft, name: str, config: Config) -> None:
    """Note the shape of a model that is gone on with."""
    reason = f"of {name}"
    plan.choose("architecture", None, config.architecture, reason)
    plan.choose("layers", None, config.num_hidden_layers, reason)
    plan.choose("width", None, config.hidden_size, reason)
    if isinstance(config, GPTConfig):
        plan.choose("heads", None, config.num_attention_heads, reason)
        plan.choose("key_value_heads", None, config.num_key_value_heads, reason)
    plan.choose("parameters", None, config.parameters, reason)


def network(
    settings: PretrainSettings, size: int, vocab_size: int, context: int, width: int, layers: int
) -> Config:
    """The network of a width and depth; in GPT-2 and below 30 M parameters embedding and head are
    one matrix."""
    tied = size < 30e6 or settings.architecture == "gpt2"  # SGLang, for one, knows no other GPT-2
    if settings.architecture == "lstm":
        return LSTMConfig(vocab_size, width, layers, context, tied)
    heads = settings.heads or max(1, width // 64)
    if width % heads and not settings.heads:
        heads = next(count for count in range(heads, 0, -1) if width % count == 0)
    if width % heads:
        raise XinyeError(f"width {width} cannot be divided among {heads} heads; choose a multiple")
    grouped = (
        heads // 2 if size >= 50e6 and heads % 2 == 0 and settings.architecture != "gpt2" else heads
    )
    return GPTConfig(
        architecture=settings.architecture,
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=settings.key_value_heads or grouped,
        head_dim=width // heads,
        intermediate_size=4 * width
        if settings.architecture == "gpt2"
        else max(32, round(width * 8 / 3 / 32) * 32),
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        norm_eps=1e-5 if settings.architecture == "gpt2" else 1e-6,
    )


def context_length(size: int, document_lengths: np.ndarray, tokens: int) -> tuple[int, str]:
    """Tokens that the model sees at once: what its size can use, but no more than nearly all
    documents have."""
    usual = 256 if size < 30e6 else 512 if size < 100e6 else 1024
    longest = int(np.quantile(document_lengths, 0.99)) if len(document_lengths) else usual
    needed = 2 ** math.ceil(math.log2(max(16, longest)))
    possible = 2 ** int(math.log2(max(16, tokens // 20)))
    if possible < min(usual, needed):
        return possible, "a twentieth of the text"
    return (
        (needed, "99 % of the documents fit")
        if needed < usual
        else (usual, f"usual for {size:,} parameters")
    )


BLOCK_BYTES = 4 * 256  # scores and probabilities of one token with its window, bf16


STATES = {"muon": 4, "adamw": 8, "sgd": 4}  # bytes of optimizer state for each weight


def check_size(settings: PretrainSettings, device: torch.device) -> None:
    """Refuse a size whose weights alone do not fit, before any text is read."""
    if settings.width or settings.layers or settings.from_:
        return  # the size is only a wish then, or not known yet
    size, most, states = (
        parse_count(settings.size, "size"),
        machine.memory_bytes(device),
        STATES[settings.optimizer],
    )
    if size * (8 + states) > most:
        raise XinyeError(
            f"size {settings.size} does not fit: {size:,} parameters × (4 weight + 4 gradient + "
            f"{states} optimizer) bytes = {size * (8 + states) / 1e9:,.1f} GB, but "
            f"{most / 1e9:.1f} GB are free; choose a smaller --size"
        )


def memory_needed(config: Config, micro_batch_tokens: int, optimizer: str) -> tuple[int, str]:
    """Bytes that training takes, and the arithmetic."""
    states = STATES[optimizer]
    weights = config.parameters * (4 + 4 + states)
    if isinstance(config, LSTMConfig):
        per_layer = 24 * config.hidden_size * 2
    else:
        per_layer = (16 * config.hidden_size + 4 * config.intermediate_size) * 2
        per_layer += config.num_attention_heads * BLOCK_BYTES
    per_token = config.vocab_size * 10 + config.num_hidden_layers * per_layer
    activations = micro_batch_tokens * per_token
    arithmetic = (
        f"{config.parameters:,} parameters × (4 weight + 4 gradient + {states} optimizer) bytes "
        f"= {weights / 1e9:.1f} GB, and {activations / 1e9:.1f} GB for {micro_batch_tokens:,} "
        "tokens at once"
    )
    return weights + activations, arithmetic


def batches(plan: Draft, settings: PretrainSettings, config: Config, device: torch.device) -> None:
    """How much text one step reads, and how much of it at once."""
    context, size = plan.values["context"], config.parameters
    wanted = 2 ** round(math.log2(min(max(size / 1000, 2048), 262_144)))
    reason = f"suit {settings.size}"
    if settings.from_:  # a large model and little text: steps are needed, too
        wanted = min(wanted, 2 ** int(math.log2(max(2048, plan.values["training_tokens"] / 64))))
        reason = "suit its size, or are a 64th of the text"
    batch_size = plan.choose(
        "batch_size",
        settings.batch_size,
        max(1, wanted // context),
        f"{wanted:,} tokens a step {reason}",
    )
    at_once = 8192 if device.type == "cpu" else 65_536
    most = machine.memory_bytes(device)
    micro = max(1, min(batch_size, at_once // context))
    while micro > 1 and memory_needed(config, micro * context, settings.optimizer)[0] > 0.7 * most:
        micro //= 2
    given = None if settings.micro_batch_size == "auto" else settings.micro_batch_size
    micro = plan.choose("micro_batch_size", given, micro, "fast, and fits in memory")
    needed, arithmetic = memory_needed(config, micro * context, settings.optimizer)
    if needed > most:
        raise XinyeError(
            f"this model does not fit: {arithmetic}, but {most / 1e9:.1f} GB are free; "
            "choose a smaller --size, --context or --micro-batch-size"
        )


def rates(plan: Draft, settings: PretrainSettings, config: Config) -> None:
    """Learning rates, decay and dropout."""
    width = config.hidden_size
    # found by search on the novels, docs/log.md
    if settings.optimizer == "muon" and isinstance(config, LSTMConfig):
        plan.choose(
            "matrix_learning_rate",
            settings.matrix_learning_rate,
            0.08,
            "four gates lie in each matrix",
        )
        plan.choose(
            "learning_rate",
            settings.learning_rate,
            0.1 * (width / 128) ** -0.5,
            "0.1 · √(128 / width)",
        )
    elif settings.optimizer == "muon":
        plan.choose(
            "matrix_learning_rate",
            settings.matrix_learning_rate,
            0.02,
            "Muon's does not depend on the width",
        )
        plan.choose(
            "learning_rate",
            settings.learning_rate,
            0.014 * (width / 128) ** -0.5,
            "0.014 · √(128 / width)",
        )
    else:
        usual = min(3e-3, 0.3 / width) if settings.optimizer == "adamw" else 0.1
        plan.choose(
            "learning_rate",
            settings.learning_rate,
            usual,
            f"usual for {settings.optimizer} at this width",
        )
    # smaller ones learn best at the full rates, docs/log.md
    if settings.from_ and config.parameters >= 30e6:
        share = 0.1
        for name in ("matrix_learning_rate", "learning_rate"):
            if name in plan.values and getattr(settings, name) is None:
                plan.values[name] *= share
                plan.reasons[name] += f"; × {share:g}, for it has learned already"
    plan.choose("weight_decay", settings.weight_decay, 0.1, "usual")
    if settings.teacher:
        plan.choose("temperature", settings.temperature, 2.0, "of the softened predictions")
        plan.choose("alpha", settings.alpha, 0.5, "share of the teacher in the loss")


def schedule(plan: Draft, settings: PretrainSettings, steps: int, reason: str) -> None:
    """The number of steps and how the rate goes."""
    steps = plan.choose("steps", settings.steps, max(1, steps), reason)
    share, usual = (
        (20, "5 % of the steps, for the optimizers begin anew")
        if settings.from_
        else (50, "2 % of the steps")
    )
    plan.choose("warmup", settings.warmup, min(100, max(1, steps // share)), usual)


def precision(
    plan: Draft, settings: PretrainSettings, device: torch.device, fast: tuple[torch.dtype, str]
) -> None:
    """The dtype, of which `fast` is the fastest one here and why, and the device."""
    dtype, reason = fast
    given = None if settings.dtype == "auto" else settings.dtype
    plan.choose("dtype", given, str(dtype).removeprefix("torch."), reason)
    plan.choose("device", None, device.type, "the fastest there is")


def budgeted_steps(
    settings: PretrainSettings, windows: int, values: dict[str, Any]
) -> tuple[int, str] | None:
    """The steps that the budget comes to, and why; None for a budget in time."""
    per_step = values["batch_size"] * values["context"]
    if settings.steps:
        return settings.steps, "given"
    if settings.total_steps:
        return settings.total_steps[0][1], "given"
    if settings.tokens:
        return max(
            1, round(parse_count(settings.tokens, "tokens") / per_step)
        ), f"{settings.tokens} tokens"
    if settings.epochs:
        return max(
            1, round(settings.epochs * windows / values["batch_size"])
        ), f"{settings.epochs:g} times the text"
    return None


def regularisation(
    plan: Draft, settings: PretrainSettings, windows: int, steps: int, step_seconds: float
) -> None:
    """What is against learning the text by heart; compiling where the run is long enough to win the
    time back."""
    values = plan.values
    times = steps * values["batch_size"] / windows
    dropout = 0.2 if times > 8 else 0.1 if times > 4 else 0.0
    plan.choose("dropout", settings.dropout, dropout, f"the text is read about {times:.1f} times")
    for name in ("label_smoothing", "l1", "patience"):
        if getattr(settings, name):
            plan.choose(name, getattr(settings, name), None, "")
    seconds = steps * step_seconds
    compiler = values["device"] == "cuda" or machine.cpp_compiler()
    recurrent = values.get("architecture", settings.architecture) == "lstm"
    worth = bool(compiler) and values["device"] != "mps" and seconds > 180 and not recurrent
    reason = (
        "the run is long enough to win back compiling"
        if worth
        else "compiling takes longer than it wins here"
    )
    if not compiler or recurrent:
        reason = "PyTorch does not compile an LSTM" if recurrent else "no C++ compiler here"
    given = None if settings.compile == "auto" else settings.compile == "yes"
    plan.choose("compile", given, worth, reason)
