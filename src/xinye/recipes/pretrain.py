"""Pretrain a GPT from scratch on text: from files to a run's folder.

Read the text and learn its tokenizer; tokenize once; derive the plan; train, validating and saving as it goes; save the
model as every tool of the field loads it.
"""

import itertools
import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from xinye import machine
from xinye.checkpoints.huggingface import read_json, write_json
from xinye.checkpoints.store import load_checkpoint, save_checkpoint
from xinye.data.batches import Batch, Windows
from xinye.data.cleaning import clean
from xinye.data.corpus import prepare, split
from xinye.data.sources import Piece, find_files, fingerprint, read_pieces
from xinye.data.tokenizer import Kind, Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.bits_per_byte import evaluate
from xinye.generation.generate import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.gpt import GPT
from xinye.recipes import plan as planning
from xinye.recipes.plan import Plan
from xinye.recipes.settings import PretrainSettings, parse_count, parse_time
from xinye.recipes.tokenizer import learn_tokenizer
from xinye.training.loop import Step, train
from xinye.training.optimizers import make_optimizers, rate_factor

VALIDATION_TOKENS = 500_000  # at most; more does not change the figure
FORMAT = 1


class Watcher:
    """Told what happens in a run; this one stays silent."""

    def stage(self, text: str) -> None: ...
    def prepared(self, characters: int) -> None: ...
    def plan(self, plan: Plan) -> None: ...
    def step(self, step: Step, steps: int) -> None: ...
    def validated(self, step: int, loss: float, bits_per_byte: float, sample: str) -> None: ...


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its folder and its figures."""

    run: str
    parameters: int
    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    model_flops_utilization: float
    validation: dict[str, float]
    interrupted: bool = False


@dataclass
class Text:
    """A corpus ready to train on."""

    tokenizer: Tokenizer
    training: Windows
    validation: Windows
    document_lengths: np.ndarray
    about: dict[str, Any]


def pretrain(
    settings: PretrainSettings,
    watcher: Watcher | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
) -> Run | None:
    """Do what the settings say; None after a dry run. Raises `XinyeError` for whatever a person can put right."""
    watcher = watcher or Watcher()
    output = settings.output or default_output(settings)
    if resume:
        settings = saved_settings(output)
    elif not dry_run:
        check_output(output, overwrite)

    plan = Plan()
    text = prepare_text(settings, plan, watcher)
    config = planning.shape(plan, settings, text.tokenizer.vocab_size, text.training.context)
    device = machine.device()
    planning.batches(plan, settings, config, device)
    planning.rates(plan, settings, config)
    choose_precision(plan, settings, device)
    values = plan.values
    speed = machine.matrix_flops_per_second(device, getattr(torch, values["dtype"]))
    expected = expected_steps(
        settings, text, values, 0.4 * speed / config.flops_per_token(config.max_position_embeddings)
    )
    choose_regularisation(plan, settings, text, expected, values)
    config = dataclass_with(config, dropout=float(values["dropout"]))

    model = GPT(config).to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    loss_sum = loss_function(model, compiled=values["compile"], device=device)
    micro_batches = partial(batches_of_step, text.training, values["batch_size"], values["micro_batch_size"])
    optimizers = make_all(model, settings, values)
    if resume:
        steps, reason = int(read_json(output / "training" / "plan.json")["values"]["steps"]), "as the run was planned"
    elif settings.time is not None or not (settings.tokens or settings.epochs or settings.steps):
        watcher.stage("measuring the speed")
        seconds = parse_time(settings.time or "10min")
        steps, reason = calibrate(model, loss_sum, optimizers, micro_batches, text, settings, values, seconds)
        optimizers = make_all(model, settings, values)
    else:
        steps, reason = expected_steps(settings, text, values, 0.0), budget_reason(settings)
    planning.schedule(plan, settings, steps, reason)
    watcher.plan(plan)
    if dry_run:
        return None

    model.initialize(settings.seed)
    first_step, trained_seconds = 0, 0.0
    if resume:
        progress = load_checkpoint(output, model, optimizers)
        first_step, trained_seconds = int(progress["step"]), float(progress["seconds"])
    else:
        start_run(output, settings, plan, overwrite)
    return run_training(
        output, settings, plan, text, model, optimizers, loss_sum, micro_batches, first_step, trained_seconds, speed,
        watcher,
    )  # fmt: skip


# -- before training -------------------------------------------------------------------------------------------------


def prepare_text(settings: PretrainSettings, plan: Plan, watcher: Watcher) -> Text:
    """Read, clean, learn the tokenizer, tokenize, split and cut into windows."""
    files = find_files(settings.files)
    total = sum(path.stat().st_size for path in files)
    watcher.stage(f"reading {len(files)} file{'s' * (len(files) != 1)}, {total / 1e6:,.1f} MB")

    def pieces() -> Iterator[Piece]:
        found = False
        for piece in clean(read_pieces(files, settings.field, settings.document_separator), settings.cleaning):
            found = True
            yield piece
        if not found:
            raise XinyeError(f"{', '.join(settings.files)}: there is no text in these files")

    size = parse_count(settings.size, "size")
    tokenizer = get_tokenizer(settings, plan, pieces, size, watcher)
    watcher.stage("tokenizing")
    key = {
        "files": fingerprint(files),
        "field": settings.field,
        "separator": settings.document_separator,
        "cleaning": settings.cleaning.model_dump(),
    }
    corpus = prepare(pieces, tokenizer, key, watcher.prepared)
    spans, held_out = split(corpus, settings.validation, VALIDATION_TOKENS)
    lengths = np.diff(corpus.documents)
    plan.choose("documents", None, len(lengths), "in the files, after cleaning")
    training_tokens = int((spans[:, 1] - spans[:, 0]).sum())
    validation_tokens = int((held_out[:, 1] - held_out[:, 0]).sum())
    if training_tokens < 64 or validation_tokens < 8:
        raise XinyeError(
            f"{', '.join(settings.files)}: {int(lengths.sum())} tokens are too few to train on "
            "and to hold some back for validation; give at least a few hundred characters"
        )
    plan.choose("training_tokens", None, training_tokens, "once through the text")
    by_document = len(lengths) >= 20
    plan.choose(
        "validation_tokens", None, validation_tokens, "whole documents" if by_document else "the end of each document"
    )
    derived, reason = planning.context_length(size, lengths, training_tokens)
    context: int = plan.choose("context", settings.context, derived, reason)
    training = Windows(corpus.tokens, spans, context, tokenizer.bos_id, settings.seed)
    validation = Windows(corpus.tokens, held_out, context, tokenizer.bos_id, shuffle=False)
    return Text(tokenizer, training, validation, lengths, corpus.about)


def get_tokenizer(
    settings: PretrainSettings,
    plan: Plan,
    pieces: Callable[[], Iterator[Piece]],
    size: int,
    watcher: Watcher,
) -> Tokenizer:
    """The tokenizer named by its folder, or one learned from the text."""
    if settings.tokenizer not in get_args(Kind):
        tokenizer = Tokenizer.load(settings.tokenizer)
        plan.choose("vocabulary", None, tokenizer.vocab_size, f"of {settings.tokenizer}")
        return tokenizer
    watcher.stage("learning the tokenizer")
    tokenizer, reason = learn_tokenizer(
        (piece.text for piece in pieces()), settings.tokenizer, settings.vocab_size, size
    )
    plan.choose("vocabulary", settings.vocab_size, tokenizer.vocab_size, reason)
    return tokenizer


def choose_precision(plan: Plan, settings: PretrainSettings, device: torch.device) -> None:
    dtype, reason = machine.fast_dtype(device)
    given = None if settings.dtype == "auto" else settings.dtype
    plan.choose("dtype", given, str(dtype).removeprefix("torch."), reason)
    plan.choose("device", None, device.type, "the fastest there is")


def expected_steps(settings: PretrainSettings, text: Text, values: dict[str, Any], tokens_per_second: float) -> int:
    """The steps that the budget comes to; a time budget by an estimate of the speed."""
    per_step = values["batch_size"] * text.training.context
    if settings.steps:
        return settings.steps
    if settings.tokens:
        return max(1, round(parse_count(settings.tokens, "tokens") / per_step))
    if settings.epochs:
        return max(1, round(settings.epochs * len(text.training) / values["batch_size"]))
    return max(1, round(parse_time(settings.time or "10min") * tokens_per_second / per_step))


def budget_reason(settings: PretrainSettings) -> str:
    if settings.steps:
        return "given"
    return f"{settings.tokens} tokens" if settings.tokens else f"{settings.epochs:g} times the text"


def choose_regularisation(
    plan: Plan, settings: PretrainSettings, text: Text, steps: int, values: dict[str, Any]
) -> None:
    """Dropout against learning the text by heart; compiling where the run is long enough to win the time back."""
    times = steps * values["batch_size"] / len(text.training)
    dropout = 0.2 if times > 8 else 0.1 if times > 4 else 0.0
    plan.choose("dropout", settings.dropout, dropout, f"the text is read about {times:.1f} times")
    flops = steps * values["batch_size"] * text.training.context * 6 * values["parameters"]
    speed = machine.matrix_flops_per_second(torch.device(values["device"]), getattr(torch, values["dtype"]))
    seconds = flops / (0.4 * speed)
    compiler = values["device"] == "cuda" or shutil.which("g++") or shutil.which("clang++")
    worth = bool(compiler) and values["device"] != "mps" and seconds > 180
    reason = "the run is long enough to win back compiling" if worth else "compiling takes longer than it wins here"
    given = None if settings.compile == "auto" else settings.compile == "yes"
    plan.choose("compile", given, worth, reason if compiler else "no C++ compiler here")


def loss_function(model: GPT, compiled: bool, device: torch.device) -> Callable[[Batch], torch.Tensor]:
    loss = torch.compile(model.loss) if compiled else model.loss

    def loss_sum(batch: Batch) -> torch.Tensor:
        batch = batch.to(device)
        return loss(batch.tokens, batch.targets, batch.positions, batch.documents)

    return loss_sum


def batches_of_step(windows: Windows, batch_size: int, micro_batch_size: int, step: int) -> list[Batch]:
    """The micro-batches of a step: windows `step × batch_size` and on."""
    return [
        windows.batch(step * batch_size + first, min(micro_batch_size, batch_size - first))
        for first in range(0, batch_size, micro_batch_size)
    ]


def make_all(model: GPT, settings: PretrainSettings, values: dict[str, Any]) -> list[torch.optim.Optimizer]:
    return make_optimizers(
        model,
        settings.optimizer,
        values["learning_rate"],
        values.get("matrix_learning_rate", 0.0),
        values["weight_decay"],
    )


def calibrate(
    model: GPT,
    loss_sum: Callable[[Batch], torch.Tensor],
    optimizers: list[torch.optim.Optimizer],
    micro_batches: Callable[[int], list[Batch]],
    text: Text,
    settings: PretrainSettings,
    plan_values: dict[str, Any],
    seconds: float,
) -> tuple[int, str]:
    """How many steps fit into a time: a few are taken and timed on weights that are thrown away."""
    begin = time.perf_counter()
    model.initialize(settings.seed)
    model.train()
    times: list[float] = []
    trial = train(loss_sum, list(model.parameters()), optimizers, micro_batches, lambda step: 1.0, 0, 10_000)
    for record in trial:
        times.append(record.seconds)
        if len(times) >= 4 and sum(times[2:]) > min(5.0, 0.03 * seconds):
            break
    step_seconds = float(np.median(times[2:]))
    begin_validation = time.perf_counter()
    evaluate(model, text.validation.in_order(8, 8), text.tokenizer.token_lengths)
    per_window = (time.perf_counter() - begin_validation) / min(8, len(text.validation))
    write_sample(model, text.tokenizer, settings)
    per_sample = time.perf_counter() - begin_validation - 8 * per_window
    left = seconds - (time.perf_counter() - begin)
    often, last = validation_windows(text.validation, int(left / step_seconds) * plan_values["batch_size"])
    aside = per_window * (often * settings.evaluations + last) + per_sample * settings.evaluations
    return max(1, int((left - aside) / step_seconds)), f"{step_seconds * 1000:.0f} ms each, {aside:.0f} s to validate"


def validation_windows(validation: Windows, trained: int) -> tuple[int, int]:
    """How many windows are looked at during a run that trains on `trained` of them, and at its end.

    So many that validating takes a small share of the time; always the same ones.
    """
    during = min(len(validation), max(8, min(16_384 // validation.context, trained // 200)))
    return during, min(len(validation), max(during, trained // 10))


def dataclass_with(config: Any, **changes: Any) -> Any:
    return type(config)(**(asdict(config) | changes))


# -- the run's folder ------------------------------------------------------------------------------------------------


def default_output(settings: PretrainSettings) -> Path:
    """`runs/` and the first file's name; with a number behind it where that exists."""
    name = Path(settings.files[0]).stem.split(".")[0].strip("*") if settings.files else ""
    candidates = (Path("runs") / (f"{name or 'run'}-{i}" if i else name or "run") for i in itertools.count())
    return next(path for path in candidates if not path.exists())


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse to touch what is there, unless it is a run and may be overwritten."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / "training" / "settings.json").is_file():
        raise XinyeError(f"{output}: exists and is not a run; choose another folder with -o")
    if not overwrite:
        raise XinyeError(f"{output}: this run exists; go on with it with --resume, or replace it with --overwrite")


def saved_settings(output: Path) -> PretrainSettings:
    """The settings a run was started with."""
    path = output / "training" / "settings.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no run to resume")
    return checked(PretrainSettings, {**read_json(path)["settings"], "output": output}, str(path))


def start_run(output: Path, settings: PretrainSettings, plan: Plan, overwrite: bool) -> None:
    needed = plan.values["parameters"] * 4 * 5  # the model twice while it is replaced, weights and optimizer beside
    try:
        if overwrite and output.exists():
            shutil.rmtree(output)
        (output / "training").mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(output).free
        if free < needed:
            raise XinyeError(
                f"{output}: saving needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there", exit_code=1
            )
        data = {
            "format": FORMAT,
            "settings": settings.model_dump(mode="json", exclude_defaults=True, exclude={"output"}),
        }
        write_json(output / "training" / "settings.json", data)
        write_json(output / "training" / "plan.json", {"values": plan.values, "reasons": plan.reasons})
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only sets a flag, which the function tells; the second one ends the program as usual."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, ask) if in_main_thread else None
    try:
        yield lambda: asked
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


# -- training --------------------------------------------------------------------------------------------------------


def run_training(
    output: Path,
    settings: PretrainSettings,
    plan: Plan,
    text: Text,
    model: GPT,
    optimizers: list[torch.optim.Optimizer],
    loss_sum: Callable[[Batch], torch.Tensor],
    micro_batches: Callable[[int], list[Batch]],
    first_step: int,
    trained_seconds: float,
    speed: float,
    watcher: Watcher,
) -> Run:
    """Take the steps; validate, write a sample and save at even distances and at the end; note everything."""
    values, config = plan.values, model.config
    steps, context = values["steps"], config.max_position_embeddings
    every = max(1, math.ceil(steps / settings.evaluations))
    rate = partial(rate_factor, steps=steps, warmup=values["warmup"], shape=settings.schedule, decay=settings.decay)
    lengths = text.tokenizer.token_lengths
    windows, last_windows = validation_windows(text.validation, steps * values["batch_size"])
    figures: dict[str, float] = {}
    done, tokens, seconds = first_step, 0, trained_seconds
    model.train()
    with interruptible() as interrupted, open(output / "training" / "metrics.jsonl", "a", encoding="utf-8") as metrics:

        def note(**record: Any) -> None:
            metrics.write(json.dumps(record, ensure_ascii=False) + "\n")
            metrics.flush()

        records = train(
            loss_sum, list(model.parameters()), optimizers, micro_batches, rate, first_step, steps, settings.clip,
            settings.seed,
        )  # fmt: skip
        for record in records:
            done, tokens, seconds = record.step, tokens + record.tokens, seconds + record.seconds
            note(kind="step", **asdict(record))
            watcher.step(record, steps)
            if done % every == 0 and done < steps and not interrupted():
                figures = evaluate(model, text.validation.in_order(8, windows), lengths)
                sample = write_sample(model, text.tokenizer, settings, done)
                note(kind="validation", step=done, seconds=seconds, sample=sample, **figures)
                watcher.validated(done, figures["loss"], figures["bits_per_byte"], sample)
                save_checkpoint(output, model, text.tokenizer, optimizers, {"step": done, "seconds": seconds})
            if interrupted():
                break
        save_checkpoint(output, model, text.tokenizer, optimizers, {"step": done, "seconds": seconds})
        if not interrupted():
            figures = evaluate(model, text.validation.in_order(8, last_windows), lengths)
            sample = write_sample(model, text.tokenizer, settings, done)
            note(kind="result", step=done, seconds=seconds, sample=sample, **figures)
            watcher.validated(done, figures["loss"], figures["bits_per_byte"], sample)
    per_second = tokens / max(1e-9, seconds - trained_seconds)
    run = Run(
        run=str(output),
        parameters=config.parameters,
        steps=done,
        tokens=done * values["batch_size"] * context,
        seconds=round(seconds, 2),
        tokens_per_second=round(per_second, 1),
        model_flops_utilization=round(per_second * config.flops_per_token(context) / speed, 4),
        validation={name: round(figures[name], 5) for name in ("loss", "bits_per_byte") if name in figures},
        interrupted=interrupted(),
    )
    write_json(output / "training" / "result.json", asdict(run))
    return run


def write_sample(model: GPT, tokenizer: Tokenizer, settings: PretrainSettings, step: int = 0) -> str:
    """A short text from the model as it stands, the same whenever the same run is at this step."""
    sequence = start(tokenizer, settings.prompt, model.config.max_position_embeddings)
    for _ in generate(
        model, tokenizer, [sequence], Sampling(max_tokens=60, temperature=0.7, seed=settings.seed + step)
    ):
        pass
    return settings.prompt + sequence.text
