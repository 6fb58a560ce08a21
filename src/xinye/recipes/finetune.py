"""Fine-tune a language model on a task: from a model and files of records to a run's folder.

Read the records; put a head where the model wrote words, where the task wants one; derive the plan; train, judging and
saving as it goes; judge at the end, beside the task's baseline on the same records. More text is pretraining's.
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye import machine
from xinye.checkpoints.heads import is_head, load_head
from xinye.checkpoints.huggingface import load_weights, read_json
from xinye.checkpoints.load import load_model
from xinye.checkpoints.store import checkpoints, load_checkpoint
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.classification import scikit_learn
from xinye.evaluation.runs import is_running, training_process
from xinye.model.gpt import GPT
from xinye.model.heads import Head, Labelled
from xinye.model.quantization import unpack
from xinye.recipes import plan as planning
from xinye.recipes.finetune_settings import FinetuneSettings
from xinye.recipes.plan import Plan
from xinye.recipes.pretrain import pretrain
from xinye.recipes.run_folder import check_output, forget_metrics, start_run
from xinye.recipes.settings import PretrainSettings
from xinye.recipes.task_data import Task, TaskData, prepare_data
from xinye.recipes.training_run import Job, Run, memory_told, report, run_training
from xinye.recipes.watcher import Watcher
from xinye.tasks.chat import Chat
from xinye.tasks.examples import Examples
from xinye.training.distributed import Processes, processes
from xinye.training.optimizers import make_optimizers
from xinye.training.stopwatch import Stopwatch
from xinye.training.trackers import Trackers


def finetune(
    settings: FinetuneSettings, watcher: Watcher | None = None, overwrite: bool = False, resume: bool = False
) -> Run:
    """Do what the settings say. Raises `XinyeError` for whatever a person can put right.

    Where `torchrun` started several processes, all call this, and they train one model together.
    """
    if settings.task == "text":
        run = pretrain(settings.as_pretraining(), watcher, overwrite)
        assert run is not None
        return run
    with processes() as group:
        talking = watcher if watcher and group.first else Watcher()
        return finetune_together(group, settings, talking, overwrite, resume)


def finetune_together(
    group: Processes, settings: FinetuneSettings, watcher: Watcher, overwrite: bool, resume: bool
) -> Run:
    """The job, top to bottom. Only the first process writes files and validates; all take the steps."""
    stopwatch = Stopwatch()
    scikit_learn()
    output, device = settings.output or Path("runs") / settings.task, machine.device()
    if group.first and is_running(output):
        raise XinyeError(f"{output}: this run is going on; wait for its end, or stop it first")
    if resume:
        settings = saved_finetune_settings(output, settings.micro_batch_size)
    elif group.first:
        check_output(output, overwrite)

    base, tokenizer = base_of(settings, next(reversed(checkpoints(output)), output) if resume else None)
    plan = Plan()
    context = min(settings.context or base.max_position_embeddings, base.max_position_embeddings)
    data = prepare_data(settings, tokenizer, context, plan, watcher)
    if resume and data.fingerprint != read_json(output / "training" / "settings.json").get("text"):
        raise XinyeError(f"{output}: its records have changed since the run began; start anew with --overwrite")
    stopwatch.lap("text")
    make_plan(plan, settings, data, base, context, device)
    values = plan.values
    if values["batch_size"] < group.count:
        raise XinyeError(f"a batch of {values['batch_size']} cannot be shared by {group.count} processes")

    backbone = replace(base, dropout=values["dropout"], is_causal=values["attention"] == "causal")
    model = data.task.network(backbone)
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if not resume:
        begin(model, settings.model)
    if settings.method == "head" and isinstance(model, Head):
        model.freeze()
    # Adapters go here: `attach(model.gpt, …)` freezes the base and adds the weights that are trained.
    model.to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    plan.choose("parameters", None, model.config.parameters, "all weights")
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    plan.choose("trained_parameters", None, trained, f"method {settings.method}")
    watcher.plan(plan)
    optimizers = make_optimizers(
        model, settings.optimizer, values["learning_rate"], values.get("matrix_learning_rate", 0.0),
        values["weight_decay"],
    )  # fmt: skip
    if resume:
        with group.first_first():
            progress = load_checkpoint(output, model, optimizers)
        if group.first:
            forget_metrics(output, progress["step"])
    elif group.first:
        start_run(output, settings, plan, data, overwrite)
    loss_sum = group.together(LossSum(data.task, model, device))
    micro_batches = partial(batches_of_step, data.examples, values["batch_size"], values["micro_batch_size"], group)
    stopwatch.lap("planning")
    told = settings.model_dump(mode="json", exclude_none=True) | values
    track = settings.track if group.first else ()
    try:
        with (
            training_process(output) if group.first else nullcontext(),
            Trackers(track, output, told, progress["step"], watcher.warn) as trackers,
            memory_told(values),
        ):
            return run_training(
                group, output, settings, values, data.tokenizer, model, optimizers, loss_sum, micro_batches, progress,
                job_of(values, data, model, context), watcher, stopwatch, trackers,
            )  # fmt: skip
    finally:
        if group.first:
            report(output, watcher)


# -- before training -------------------------------------------------------------------------------------------------


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted labels."""

    def __init__(self, task: Task, model: Any, device: torch.device) -> None:
        super().__init__()
        self.task, self.model, self.device = task, model, device

    def forward(self, batch: Labelled) -> Tensor:
        return self.task.loss(self.model, batch.to(self.device))


def batches_of_step(
    examples: Examples, batch_size: int, micro_batch_size: int, group: Processes, step: int
) -> list[Labelled]:
    """The micro-batches of a step: samples `step × batch_size` and on, of those this process's share."""
    first, size = group.share(step * batch_size, batch_size)
    return examples.micro_batches(first, size, micro_batch_size)


def saved_finetune_settings(output: Path, micro_batch_size: int | None) -> FinetuneSettings:
    """The settings a run was started with, and all that was derived for it. Only `micro_batch_size` may be another."""
    path = output / "training" / "settings.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no run to resume")
    saved = read_json(path)
    if saved.get("recipe") != FinetuneSettings.recipe:
        raise XinyeError(f"{output}: not a fine-tuning; go on with it by xinye pretrain -o {output} --resume")
    plan = read_json(output / "training" / "plan.json")["values"]
    derived = {name: value for name, value in plan.items() if name in FinetuneSettings.model_fields}
    values = saved["settings"] | derived | {"output": output}
    values["micro_batch_size"] = micro_batch_size or values["micro_batch_size"]
    return checked(FinetuneSettings, values, str(path))


def base_of(settings: FinetuneSettings, checkpoint: Path | None) -> tuple[Any, Tokenizer]:
    """The shape and tokenizer of the model to begin with, or of the checkpoint to go on from."""
    if checkpoint is not None and (checkpoint / "config.json").is_file():
        saved = load_head(checkpoint).config.backbone if is_head(checkpoint) else load_weights(checkpoint).config
        return saved, Tokenizer.load(checkpoint)
    model, tokenizer = load_model(settings.model)
    if not isinstance(model, GPT):
        raise XinyeError(f"{settings.model}: an lstm cannot be fine-tuned; take a modern, llama or gpt2 model")
    return model.config, tokenizer


def begin(model: GPT | Head, base: str) -> None:
    """Take over the weights of the model to begin with; quantized ones cannot be trained, and are made plain."""
    loaded, _ = load_model(base)
    assert isinstance(loaded, GPT)
    unpack(loaded)
    if isinstance(model, Head):
        model.begin(loaded)
    else:
        model.load_state_dict(loaded.state_dict())


def make_plan(
    plan: Plan, settings: FinetuneSettings, data: TaskData, base: Any, context: int, device: torch.device
) -> None:
    """Every number of the run, with its reason."""
    records = len(data.examples)
    longest = max(len(example.tokens) for example in data.examples.examples)
    plan.choose("context", None, context, f"the longest record has {longest:,} tokens")
    batch_size = plan.choose("batch_size", settings.batch_size, min(32, records), "usual for fine-tuning")
    at_once = max(1, (8192 if device.type == "cpu" else 65_536) // longest)
    plan.choose("micro_batch_size", settings.micro_batch_size, min(batch_size, at_once), "fast, and fits in memory")
    derived = round(min(20.0, max(4.0, 4 * (10_000 / records) ** 0.5)))
    epochs = plan.choose("epochs", settings.epochs, derived, f"for {records:,} records")
    steps = plan.choose("steps", None, max(1, round(epochs * records / batch_size)), f"{epochs:g} times the records")
    plan.choose("warmup", settings.warmup, min(100, max(1, steps // 20)), "5 % of the steps")
    if data.task.writes:  # what it did before it goes on doing, with other texts
        names = {"optimizer", "learning_rate", "matrix_learning_rate", "weight_decay"}
        planning.rates(plan, PretrainSettings(from_=settings.model, **settings.model_dump(include=names)), base)
    elif settings.optimizer == "muon":
        plan.choose("matrix_learning_rate", settings.matrix_learning_rate, 0.004, "a fifth of pretraining's")
        plan.choose("learning_rate", settings.learning_rate, 0.001, "found by trial")
    else:
        usual = 5e-5 if settings.optimizer == "adamw" else 0.01
        plan.choose("learning_rate", settings.learning_rate, usual, f"usual for {settings.optimizer}")
    plan.choose("weight_decay", settings.weight_decay, 0.1, "usual")
    plan.choose("dropout", settings.dropout, 0.1, "records are read several times")
    plan.choose("mask_tokens", settings.mask_tokens, 0.0, "off")
    attention = None if settings.attention == "auto" else settings.attention
    if data.task.writes:
        plan.choose("attention", None, "causal", "each token is written after those before it")
    else:
        plan.choose("attention", attention, "both", "nothing is written, so that every token may see all others")
    dtype, reason = machine.fast_dtype(device)
    plan.choose(
        "dtype", None if settings.dtype == "auto" else settings.dtype, str(dtype).removeprefix("torch."), reason
    )
    plan.choose("device", None, device.type, "the fastest there is")


# -- what the run asks -----------------------------------------------------------------------------------------------


def job_of(values: dict[str, Any], data: TaskData, model: Any, context: int) -> Job:
    """What the run validates on, and shows."""
    task, size = data.task, values["batch_size"]
    last: dict[str, Any] = {}  # what was measured last, with its tables

    @torch.no_grad()
    def validate(final: bool) -> dict[str, float]:
        model.eval()
        last.update(task.losses(model, data.tokenizer, data.validation_examples))
        if final or not task.writes:  # to write answers takes its time
            last.update(task.measure(model, data.tokenizer, data.validation, context))
        model.train()
        return {name: value for name, value in last.items() if name in task.figures or (final and task.writes)}

    def sample(step: int) -> str:
        text = task.sample(model, data.tokenizer, data.validation[step % len(data.validation)], context)
        model.train()
        return text

    def read(step: int) -> list[str]:
        numbers = data.examples.numbers((step - 1) * size, size)
        return [data.tokenizer.decode(data.examples.examples[number].tokens) for _, number in numbers]

    def results(before: dict[str, float] | None) -> dict[str, Any]:
        figures = before if isinstance(task, Chat) else task.baseline(data.training, data.validation)
        baseline = {"name": task.baseline_name, **(figures or {})}
        return {"task": task.verb, "measured": dict(last), "baseline": baseline, "findings": data.facts["findings"]}

    targets = sum(batch.counted for _, batch in data.examples.in_order(256))
    return Job(
        validate=validate,
        sample=sample,
        read=read,
        results=results,
        figures=task.figures,
        better=task.better,
        lower_is_better=task.writes,
        tokens_per_step=size * data.mean_length,
        tokens_per_target=data.mean_length * len(data.examples) / max(1, targets),
        judge_first=task.writes,
    )
