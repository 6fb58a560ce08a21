"""The rules that make the plan of a pretraining from the settings, the data and the machine.

They were found by experiment on Chinese and English text (docs/log.md).
"""

import math
from dataclasses import replace

import numpy as np
import torch

from xinye import machine
from xinye.checkpoints.head_sizes import refusal
from xinye.errors import XinyeError, plural
from xinye.model.build import Config
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.memory import Memory, Room, choose_parallel, memory_of_process
from xinye.planning.network import network
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings, TrainingSettings
from xinye.planning.units import parse_count

# The largest share of a budget of time for evaluations. A slow machine therefore makes fewer.
EVALUATING = 0.25
SIZES = ("250k", "500k", "1M", "2M", "5M", "15M", "50M", "125M")  # the sizes that `doubts` suggests
FEW_STEPS = 60  # with fewer steps a model does not learn to write
MOST_TOKENS = 262_144  # in a step
MOST_LAYERS = 96
MANY_TIMES = 50  # a model that reads a text more often memorizes it


def vocabulary_size(size: int, characters: int, chinese: bool) -> tuple[int, str]:
    """The vocabulary size in tokens for a model of `size` parameters and a text of this many
    characters, and the reason."""
    wanted = 2 ** round(math.log2(30 * size**0.4))
    if size < 30e6:
        wanted = 2 ** round(math.log2(size / 1000))
    wanted = min(max(wanted, 1024), 65536) * (2 if chinese and size < 30e6 else 1)
    supported = max(512, characters // 200)
    if wanted > supported:
        return supported, f"{characters:,} characters are too few for a larger one"
    if chinese:
        return wanted, f"for {size:,} parameters and Chinese text"
    return wanted, f"for {size:,} parameters"


def shape(plan: Draft, settings: PretrainSettings, vocab_size: int, context: int) -> Config:
    """The config nearest to the size asked for: a GPT with about width / 64 layers, or an LSTM with
    two.

    Notes the numbers in the plan. Raises `XinyeError` if no shape is near enough.
    """
    size, recurrent = parse_count(settings.size), settings.architecture == "lstm"
    widths = range(64, 8192 + 1, 16 if recurrent else 64 if size < 30e6 else 128)

    def depth(width: int, layers: int) -> float:  # relative to the usual depth
        return layers / (2.0 if recurrent else max(2.0, width / 64))

    candidates = [
        network(settings, size, vocab_size, context, width, layers)
        for width in ([settings.width] if settings.width else widths)
        for layers in ([settings.layers] if settings.layers else range(1, MOST_LAYERS + 1))
        if settings.layers or 0.5 <= depth(width, layers) <= 2
    ]
    if not candidates:
        raise XinyeError(
            f"--width {settings.width}: no depth of up to {MOST_LAYERS} layers suits it; give "
            "--layers, too"
        )
    largest = max(each.parameters for each in candidates)
    if not settings.width and not settings.layers and size > 1.05 * largest:
        raise XinyeError(
            f"--size {settings.size}: the largest that the planner has is {largest / 1e9:.1f}B; "
            "for a larger model, give --layers and --width"
        )
    config = min(
        candidates,
        key=lambda each: (
            abs(math.log(each.parameters / size))
            + 0.1 * abs(math.log(depth(each.hidden_size, each.num_hidden_layers)))
        ),
    )
    _note_shape(plan, settings, config)
    near = 0.5 < config.parameters / size < 2
    plan.note("parameters", config.parameters, _reason_of_parameters(settings, config, near))
    if not settings.width and not settings.layers and not near:
        raise XinyeError(
            f"--size {settings.size}: with a vocabulary of {vocab_size:,} the nearest model has "
            f"{config.parameters:,} parameters; give a smaller --vocab-size or another --size"
        )
    return config


def _note_shape(plan: Draft, settings: PretrainSettings, config: Config) -> None:
    nearest, recurrent = f"nearest to {settings.size}", isinstance(config, LSTMConfig)
    deep = f"{nearest}, and two layers are usual" if recurrent else f"{nearest}, about width / 64"
    if not recurrent and config.num_hidden_layers == MOST_LAYERS:
        deep = f"{nearest}, and the most that the planner takes"
    plan.choose_each(
        settings,
        layers=(config.num_hidden_layers, deep),
        width=(config.hidden_size, nearest),
    )
    if isinstance(config, GPTConfig):
        heads, key_value_heads = config.num_attention_heads, config.num_key_value_heads
        cache = "halves the KV cache" if key_value_heads < heads else "one for each head"
        plan.choose_each(
            settings,
            heads=(heads, refusal(config.head_dim) or f"{config.head_dim} dimensions per head"),
            key_value_heads=(key_value_heads, cache),
        )


def _reason_of_parameters(settings: PretrainSettings, config: Config, near: bool) -> str:
    if (settings.width or settings.layers) and not near:
        return f"--layers and --width win over --size {settings.size}"
    tied = config.tie_word_embeddings
    return "embedding and output head share a matrix" if tied else "all weights"


def shape_of(plan: Draft, name: str, config: Config) -> None:
    """Note in the plan the shape of a model that is trained further."""
    shape = {
        "architecture": config.architecture,
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
    }
    if isinstance(config, GPTConfig):
        heads = {"heads": config.num_attention_heads, "key_value_heads": config.num_key_value_heads}
        shape |= heads
    for each, value in (shape | {"parameters": config.parameters}).items():
        plan.note(each, value, f"as in {name}")


def context_length(size: int, document_lengths: np.ndarray, tokens: int) -> tuple[int, str]:
    """The context in tokens, and the reason: what a model of this size can use, but not more than
    nearly all documents have."""
    usual = 256 if size < 30e6 else 512 if size < 100e6 else 1024
    longest = int(np.quantile(document_lengths, 0.99)) if len(document_lengths) else usual
    needed = 2 ** math.ceil(math.log2(max(16, longest)))
    possible = 2 ** int(math.log2(max(16, tokens // 20)))
    if possible < min(usual, needed):
        return possible, "a twentieth of the text"
    if needed < usual:
        return needed, "99 % of the documents fit"
    return usual, f"usual for {size:,} parameters"


def batches(
    plan: Draft,
    settings: PretrainSettings,
    config: Config,
    device: torch.device,
    room: Room | None = None,
) -> int:
    """Note in the plan the batch size and the micro-batch size, in windows, and how several
    processes share the work. Returns the bytes that each process needs. Raises `XinyeError` if the
    model does not fit into memory."""
    most, processes = room or Room(memory_of_process(device))
    context, size = plan.values["context"], config.parameters
    wanted = 2 ** round(math.log2(min(max(size / 1000, 2048), MOST_TOKENS)))
    reason = f"{wanted:,} tokens per step suit {settings.size}"
    if size / 1000 > MOST_TOKENS:
        reason = f"{wanted:,} tokens per step, the most that the planner takes"
    if settings.from_:  # a large model and little text should still get some steps
        wanted = min(wanted, 2 ** int(math.log2(max(2048, plan.values["training_tokens"] / 64))))
        reason = f"{wanted:,} tokens per step suit this size, or are 1/64 of the text"
    batch_size = plan.choose(
        "batch_size",
        settings.batch_size,
        max(1, wanted // context),
        reason,
    )
    at_once = 8192 if device.type == "cpu" else 65_536
    share = math.ceil(batch_size / processes)  # a process never computes more at once
    micro = max(1, min(share, at_once // context))
    again = settings.activation_checkpointing
    whole = Memory(config, context, settings.optimizer, again, processes, device=device)
    split = choose_parallel(
        plan, settings, processes, whole.total <= most, splits=not isinstance(config, LSTMConfig)
    )

    def memory_for(windows: int) -> Memory:
        return replace(whole, tokens=windows * context, split=split)

    while micro > 1 and memory_for(micro).total > 0.7 * most:
        micro //= 2
    given = None if settings.micro_batch_size == "auto" else settings.micro_batch_size
    reason = "fast, and fits in memory"
    if given and given > share:
        reason = f"all that a process has of a step, fewer than the {given:,} given"
        given, micro = None, share
    micro = plan.choose("micro_batch_size", given, micro, reason)
    needed = memory_for(micro)
    if needed.total > most:
        less = "choose a smaller --size, --context or --micro-batch-size"
        if processes > 1:
            less = f"start more processes, or {less}"
        if replace(needed, again=True).total <= most:
            less = f"use --activation-checkpointing, or {less}"
        raise XinyeError(
            f"this model does not fit: {needed.arithmetic}, but {most / 1e9:.1f} GB are free; "
            f"{less}"
        )
    return needed.total


def rates(
    plan: Draft,
    settings: PretrainSettings | FinetuneSettings,
    config: Config,
    share: float = 1.0,
) -> None:
    """Note in the plan learning rates and weight decay, found by search on novels (docs/log.md),
    and the numbers of distillation. A small model takes a `share` of the rates."""
    wider, recurrent = (config.hidden_size / 128) ** -0.5, isinstance(config, LSTMConfig)
    optimizer = plan.values.get("optimizer", settings.optimizer)
    usual = 0.1 if optimizer == "sgd" else min(3e-3, 0.3 / config.hidden_size)
    rows = {"learning_rate": (usual, f"usual for {optimizer} at this width")}
    if optimizer == "muon" and recurrent:
        rows = {
            "matrix_learning_rate": (0.08, "each matrix holds four gates"),
            "learning_rate": (0.1 * wider, "0.1 · √(128 / width)"),
        }
    elif optimizer == "muon":
        rows = {
            "matrix_learning_rate": (0.02, "the rate of Muon does not depend on the width"),
            "learning_rate": (0.014 * wider, "0.014 · √(128 / width)"),
        }
    # Smaller models learn best at the full rates (docs/log.md).
    from_scratch = isinstance(settings, PretrainSettings) and not settings.from_
    if not from_scratch and config.parameters >= 30e6:
        already = "× 0.1, because the model is trained already"
        rows = {name: (0.1 * rate, f"{reason}; {already}") for name, (rate, reason) in rows.items()}
    elif share < 1:
        less = f"× {share:g}, so that little is memorized or forgotten"
        rows = {name: (share * rate, f"{reason}; {less}") for name, (rate, reason) in rows.items()}
    plan.choose_each(settings, **rows, weight_decay=(0.1, "usual"))
    if isinstance(settings, PretrainSettings) and settings.teacher:
        plan.choose_each(
            settings,
            temperature=(2.0, "softens the predictions"),
            alpha=(0.5, "share of the teacher in the loss"),
        )


def schedule(plan: Draft, settings: PretrainSettings, steps: int, reason: str) -> None:
    """Note in the plan the number of steps and of warm-up steps."""
    steps = plan.choose("steps", settings.steps, max(1, steps), reason)
    share, usual = 50, "2 % of the steps, at most 100"
    if settings.from_:
        share, usual = 20, "5 % of the steps, at most 100, because the optimizers start fresh"
    plan.choose("warmup", settings.warmup, min(100, max(1, steps // share)), usual)


def precision(
    plan: Draft, settings: TrainingSettings, device: torch.device, fast: tuple[torch.dtype, str]
) -> None:
    """Note in the plan the dtype and the device. `fast` is the fastest dtype of this machine, and
    the reason."""
    dtype, reason = str(fast[0]).removeprefix("torch."), fast[1]
    plan.choose_each(
        settings, dtype=(dtype, reason), device=(device.type, "the fastest device here")
    )
    if settings.activation_checkpointing:
        plan.choose("activation_checkpointing", True, None, "")


def budgeted_steps(plan: Draft, settings: PretrainSettings, windows: int) -> tuple[int, str] | None:
    """The steps that the budget allows, and the reason; None for a budget of time."""
    batch_size, context = plan.values["batch_size"], plan.values["context"]
    if settings.steps or settings.total_steps:
        asked = "steps" if settings.steps else "total_steps"
        return settings.steps or settings.total_steps[0][1], plan.origin(asked)
    if settings.tokens:
        tokens = parse_count(settings.tokens)
        return max(1, round(tokens / (batch_size * context))), f"{settings.tokens} tokens"
    if settings.epochs:
        steps = max(1, round(settings.epochs * windows / batch_size))
        return steps, f"passes over the text: {settings.epochs:g}"
    return None


def regularisation(
    plan: Draft, settings: PretrainSettings, windows: int, steps: int, step_seconds: float
) -> None:
    """Note in the plan what prevents memorizing the text, and whether to compile, which pays off in
    long runs."""
    values = plan.values
    times = steps * values["batch_size"] / windows
    dropout = 0.2 if times > 8 else 0.1 if times > 4 else 0.0
    passes = f"about {times:.1f} passes over the text"
    if times < 0.1:
        passes = "less than 0.1 passes over the text"
    plan.choose("dropout", settings.dropout, dropout, passes)
    for name in ("label_smoothing", "l1", "patience"):
        if getattr(settings, name):
            plan.choose(name, getattr(settings, name), None, "")
    recurrent = values.get("architecture", settings.architecture) == "lstm"
    worth, reason = False, "compiling takes longer than it saves here"
    if recurrent:
        reason = "PyTorch does not compile an LSTM"
    elif values["device"] != "cuda" and not machine.cpp_compiler():
        reason = "no C++ compiler here"
    elif values["device"] != "mps" and steps * step_seconds > 180:
        worth, reason = True, "compiling pays off in a run of this length"
    given = None if settings.compile == "auto" else settings.compile == "yes"
    plan.choose("compile", given, worth, reason)


def doubts(
    plan: Draft,
    settings: PretrainSettings,
    config: Config,
    windows: int,
    step_seconds: float,
    device: torch.device,
) -> list[str]:
    """Warnings about a plan, each with better settings. Times that they suggest are a third longer
    than the steps take, to leave time for evaluations."""
    found, steps = [], plan.values["steps"]
    if steps < FEW_STEPS and settings.steps is None and not settings.total_steps:
        budget = next(
            name
            for name in ("tokens", "epochs", "time")
            if getattr(settings, name) or name == "time"
        )
        advice = f"increase --{budget}"
        if settings.seconds is not None:
            enough = short_time(FEW_STEPS * step_seconds / (1 - EVALUATING))
            advice = f"use --time {enough}"
            smaller = smaller_size(plan, settings, config, settings.seconds / step_seconds, device)
            if smaller:
                advice = f"use --time {enough}, or --size {smaller}"
        found.append(f"the plan has only {plural(steps, 'step')}, too few to learn much: {advice}")
    times = steps * plan.values["batch_size"] / windows
    if times > MANY_TIMES:
        fewer = max(1, round(steps * 10 / times))
        budget = f"--steps {fewer:,}"
        if settings.seconds is not None:
            budget = f"--time {short_time(fewer * step_seconds / (1 - EVALUATING))}"
        found.append(
            f"the model would read the text {times:,.0f} times and overfit: add more text, "
            f"or {budget}"
        )
    return found


def short_time(seconds: float) -> str:
    """A time as the user would type it, rounded up."""
    return f"{math.ceil(seconds)}s" if seconds < 90 else f"{math.ceil(seconds / 60)}min"


def smaller_size(
    plan: Draft, settings: PretrainSettings, config: Config, steps: float, device: torch.device
) -> str | None:
    """The largest size below that of the plan with which enough steps fit into the same budget, or
    None. `steps` is the number of steps of the plan that fit."""
    if settings.width or settings.layers or settings.from_:
        return None
    context = plan.values["context"]
    cost = plan.values["batch_size"] * config.flops_per_token(context)
    for size in reversed(SIZES):
        if parse_count(size) >= parse_count(settings.size):
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
