"""Fine-tune a language model on a task: from a model and files of records to a run's folder.

Read the records; put a head where the model wrote words, where the task wants one; derive the plan; train, judging and
saving as it goes; judge at the end, beside the task's baseline on the same records. More text is pretraining's.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye import machine
from xinye.checkpoints.adapters import fingerprint
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.heads import is_head, load_head
from xinye.checkpoints.huggingface import load_weights, write_json
from xinye.checkpoints.load import is_small, load_model
from xinye.data.files import read_json
from xinye.data.sources import check_libraries
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.generation.decoder import prepare_decoder
from xinye.libraries import install_command, installed
from xinye.model.adapters import (
    attach,
    attached,
    extra_loss,
    flops_per_token,
    ranks_of,
    trainable_table,
)
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head, Labelled
from xinye.model.quantization import unpack
from xinye.planning import plan as planning
from xinye.planning.finetune_settings import AUGMENTATIONS, NOT_OF, FinetuneSettings
from xinye.planning.models import FROM_SCRATCH, Models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import is_running
from xinye.runs.run_folder import FREE, check_output, check_same, forget_metrics, start_run
from xinye.runs.store import Store
from xinye.tasks.chat import Chat
from xinye.tasks.examples import Examples
from xinye.tasks.task_data import Task, TaskData, prepare_data
from xinye.training.distributed import Processes, processes
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.pretrain import pretrain
from xinye.training.schedule import Schedule
from xinye.training.stopwatch import Stopwatch
from xinye.training.trackers import warn_of_missing
from xinye.training.training_run import Job, Run, repeatable, report, run_training
from xinye.watcher import Watcher


def finetune(
    settings: FinetuneSettings,
    watcher: Watcher | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> Run:
    """Do what the settings say. Raises `XinyeError` for whatever a person can put right.

    A run with augmentation is followed by the same one without it, unless the setting `control` is off. Where
    `torchrun` started several processes, all call this, and they train one model together.
    """
    if settings.task == "text":
        run = pretrain(settings.as_pretraining(), watcher, overwrite)
        assert run is not None
        return run
    with processes() as group, repeatable():
        talking = watcher if watcher and group.first else Watcher()
        run = finetune_together(group, settings, talking, overwrite, resume)
        settings = saved_finetune_settings(Path(run.run), FinetuneSettings())
        if settings.augment and settings.control and not run.interrupted:
            run = beside_control(group, settings, run, talking)
        return run


def finetune_together(
    group: Processes, settings: FinetuneSettings, watcher: Watcher, overwrite: bool, resume: bool
) -> Run:
    """The job, top to bottom. Only the first process writes files and validates; all take the steps."""
    stopwatch = Stopwatch()
    output, device = settings.output or Path("runs") / settings.task, machine.device()
    if group.first and is_running(output):
        raise XinyeError(f"{output}: this run is going on; wait for its end, or stop it first")
    if resume:
        settings = saved_finetune_settings(output, settings)
    elif group.first:
        check_output(output, overwrite)

    check_libraries((*settings.data, *settings.validation))
    warn_of_missing(settings.track, watcher.warn)
    if settings.task == "classify" and not installed("sklearn"):
        watcher.warn(
            f"no baseline beside the model: that needs scikit-learn ({install_command()}); training goes on"
        )
    with group.first_first():
        prepare_decoder(device, watcher)

    adapter, models = settings.adapter_settings, FROM_SCRATCH
    if adapter:  # which is noise on any other base
        models = Models(
            told={"base": {"model": settings.model, "fingerprint": fingerprint(settings.model)}}
        )
        if resume and models.told != read_json(output / "training" / "settings.json").get("models"):
            raise XinyeError(
                f"{output}: its base, {settings.model}, has changed since the run began; put it back"
            )
    base, shape, tokenizer = base_of(
        settings, next(reversed(checkpoints(output)), output) if resume else None
    )
    plan, context = Plan(), context_of(settings, shape)
    data = prepare_data(settings, tokenizer, context, plan, watcher)
    if resume and data.fingerprint != read_json(output / "training" / "settings.json").get("text"):
        raise XinyeError(
            f"{output}: its records have changed since the run began; start anew with --overwrite"
        )
    stopwatch.lap("text")
    make_plan(plan, settings, data, shape, context, device)
    values = plan.values
    if values["batch_size"] < group.count:
        raise XinyeError(
            f"a batch of {values['batch_size']} cannot be shared by {group.count} processes"
        )

    backbone = replace(shape, dropout=values["dropout"], is_causal=values["attention"] == "causal")
    model = data.task.network(backbone, base)
    del base
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if settings.method == "head" and isinstance(model, Head):
        model.freeze()
    elif adapter:
        attach(
            model,
            adapter.scheduled(values["steps"]) if adapter.method == "adalora" else adapter,
            settings.seed,
        )
    model.to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    table = trainable_table(model)
    plan.choose("parameters", None, table[-1].total, "all weights")
    plan.choose("trained_parameters", None, table[-1].trainable, f"method {settings.method}")
    watcher.plan(plan)
    watcher.trainable(table)
    optimization = Optimization(
        values["optimizer"], values["learning_rate"], values.get("matrix_learning_rate", 0.0),
        values["weight_decay"], dtype=model.compute_dtype,
    )  # fmt: skip
    optimizers = make_optimizers(model, optimization)
    if resume:
        with group.first_first():
            progress = Store(output, model, data.tokenizer, optimizers).load()
        if group.first:
            forget_metrics(output, progress["step"])
    elif group.first:
        start_run(output, settings, plan, data, overwrite, models)
    loss_sum = group.together(LossSum(data.task, model, device))
    micro_batches = partial(
        batches_of_step, data.examples, values["batch_size"], values["micro_batch_size"], group
    )
    totals = [(0, values["steps"])]
    schedule = Schedule(
        totals, values["warmup"], settings.schedule, settings.decay, settings.evaluations
    )
    stopwatch.lap("planning")
    return run_training(
        group, output, settings, values, data.tokenizer, model, optimizers, loss_sum, micro_batches, progress,
        job_of(values, data, model, context), schedule, watcher, stopwatch,
    )  # fmt: skip


# -- before training -------------------------------------------------------------------------------------------------


def plan_of(settings: FinetuneSettings, watcher: Watcher) -> dict[str, Any]:
    """What a run would be planned to be; nothing is left behind."""
    _, shape, tokenizer = base_of(settings, None)
    plan, context = Plan(), context_of(settings, shape)
    data = prepare_data(settings, tokenizer, context, plan, watcher)
    make_plan(plan, settings, data, shape, context, machine.device())
    return plan.values


def context_of(settings: FinetuneSettings, shape: GPTConfig) -> int:
    """How many tokens of a record are read at most."""
    readable, adapter = shape.max_position_embeddings, settings.adapter_settings
    if adapter and adapter.method == "prefix":
        readable = max(1, readable - adapter.num_virtual_tokens)
    return min(settings.context or readable, readable)


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted labels.

    AdaLoRA's penalty gives its gradient, but is left out of the figure: that is the loss of the labels alone.
    """

    def __init__(self, task: Task, model: Any, device: torch.device) -> None:
        super().__init__()
        self.task, self.model, self.device = task, model, device

    def forward(self, batch: Labelled) -> Tensor:
        penalty = extra_loss(self.model)
        return self.task.loss(self.model, batch.to(self.device)) + batch.counted * (
            penalty - penalty.detach()
        )


def batches_of_step(
    examples: Examples, batch_size: int, micro_batch_size: int, group: Processes, step: int
) -> list[Labelled]:
    """The micro-batches of a step: samples `step × batch_size` and on, of those this process's share."""
    first, size = group.share(step * batch_size, batch_size)
    return examples.micro_batches(first, size, micro_batch_size)


def saved_finetune_settings(output: Path, asked: FinetuneSettings) -> FinetuneSettings:
    """The settings a run was started with, and all that was derived for it; what is `asked` for may say the same again.

    Another value is refused, but for those of `FREE`, and where the records lie.
    """
    path = output / "training" / "settings.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no run to resume")
    saved = read_json(path)
    if saved.get("recipe") != FinetuneSettings.recipe:
        raise XinyeError(
            f"{output}: not a fine-tuning; go on with it by xinye pretrain -o {output} --resume"
        )
    plan = read_json(output / "training" / "plan.json")["values"]
    useless = NOT_OF.get(saved["settings"].get("task", "classify"), ())
    derived = {
        name: plan[name]
        for name in plan
        if name in FinetuneSettings.model_fields and name not in useless
    }
    check_same(output, asked, saved["settings"], plan)
    values = saved["settings"] | derived | {"output": output}
    values |= {
        name: getattr(asked, name) for name in ("data", "validation", *FREE) if getattr(asked, name)
    }
    return checked(FinetuneSettings, values, str(path))


def base_of(
    settings: FinetuneSettings, checkpoint: Path | None
) -> tuple[GPT, GPTConfig, Tokenizer]:
    """The model to begin with, or of the checkpoint to go on from; its shape and tokenizer.

    Where its own weights are to be trained, or saved, quantized ones are unpacked; beside an adapter only small models.
    """
    if (
        checkpoint is not None
        and not settings.adapter_settings
        and (checkpoint / "config.json").is_file()
    ):
        saved = load_head(checkpoint) if is_head(checkpoint) else load_weights(checkpoint)
        gpt = saved.gpt if isinstance(saved, Head) else saved
        assert isinstance(gpt, GPT)
        return (
            gpt,
            saved.config.backbone if isinstance(saved, Head) else gpt.config,
            Tokenizer.load(checkpoint),
        )
    model, tokenizer = load_model(settings.model)
    if not isinstance(model, GPT):
        raise XinyeError(
            f"{settings.model}: an lstm cannot be fine-tuned; take a modern, llama or gpt2 model"
        )
    if attached(model):
        raise XinyeError(
            f"{settings.model}: its adapter cannot be merged; take the model that it was made for"
        )
    if not settings.adapter_settings or is_small(model):
        unpack(model)
    return model, model.config, tokenizer


def make_plan(
    plan: Plan,
    settings: FinetuneSettings,
    data: TaskData,
    shape: GPTConfig,
    context: int,
    device: torch.device,
) -> None:
    """Every number of the run, with its reason."""
    records = len(data.examples)
    longest = max(len(example.tokens) for example in data.examples.examples)
    plan.choose("context", None, context, f"the longest record has {longest:,} tokens")
    batch_size = plan.choose(
        "batch_size", settings.batch_size, min(32, records), "usual for fine-tuning"
    )
    at_once, reason = max(1, 65_536 // longest), "fast, and fits in memory"
    if device.type == "cpu":  # where padding costs more than small matrices do
        at_once, reason = (
            max(1, min(8, 8192 // longest)),
            "texts of like length together are padded least",
        )
    plan.choose("micro_batch_size", settings.micro_batch_size, min(batch_size, at_once), reason)
    derived = round(min(20.0, max(4.0, 4 * (10_000 / records) ** 0.5)))
    epochs = plan.choose("epochs", settings.epochs, derived, f"for {records:,} records")
    steps = plan.choose(
        "steps", None, max(1, round(epochs * records / batch_size)), f"{epochs:g} times the records"
    )
    plan.choose("warmup", settings.warmup, min(100, max(1, steps // 20)), "5 % of the steps")
    adapter = settings.adapter_settings
    asked = None if settings.optimizer == "auto" else settings.optimizer
    reason = f"usual for {settings.method}" if adapter else "Muon for matrices, AdamW for the rest"
    optimizer = plan.choose("optimizer", asked, "adamw" if adapter else "muon", reason)
    usual, reason = {"muon": 0.001, "adamw": 5e-5, "sgd": 0.01}[optimizer], f"usual for {optimizer}"
    if data.task.writes and not adapter:  # it goes on with what it did before
        names = {"learning_rate", "matrix_learning_rate", "weight_decay"}
        given = settings.model_dump(include=names) | {
            "optimizer": optimizer,
            "from": settings.model,
        }
        planning.rates(plan, PretrainSettings(**given), shape)
        usual, reason = plan.values["learning_rate"], plan.reasons["learning_rate"]
    elif optimizer == "muon":
        few = records < 1000  # which make few steps; see docs/log.md
        rate, reason = (0.01, "few records") if few else (0.004, "a fifth of pretraining's")
        plan.choose("matrix_learning_rate", settings.matrix_learning_rate, rate, reason)
        reason = "found by trial"
    elif adapter and optimizer == "adamw":
        usual = adapter_rate(adapter.method, shape.hidden_size)
        reason = f"for {adapter.method} on layers {shape.hidden_size:,} wide"
    plan.choose("learning_rate", settings.learning_rate, usual, reason)
    reason = "few weights are trained" if adapter else "usual"
    plan.choose("weight_decay", settings.weight_decay, 0.0 if adapter else 0.1, reason)
    dropout, reason = 0.1, "records are read several times"
    if settings.method != "full":
        dropout, reason = 0.0, "layers that do not learn cannot get used to it"
    elif shape.num_hidden_layers > 12:
        dropout, reason = (
            0.0,
            f"of {shape.num_hidden_layers} layers it would drown the text",
        )  # see docs/log.md
    plan.choose("dropout", settings.dropout, dropout, reason)
    attention = None if settings.attention == "auto" else settings.attention
    if data.task.writes:
        plan.choose("attention", None, "causal", "each token is written after those before it")
    elif settings.method != "full" and data.task.verb == "classify":
        plan.choose(
            "attention", attention, "causal", "layers that do not learn go on as they were taught"
        )
    else:
        plan.choose(
            "attention",
            attention,
            "both",
            "nothing is written, so that every token may see all others",
        )
    dtype, reason = machine.fast_dtype(device)
    plan.choose(
        "dtype",
        None if settings.dtype == "auto" else settings.dtype,
        str(dtype).removeprefix("torch."),
        reason,
    )
    plan.choose("device", None, device.type, "the fastest there is")


def adapter_rate(method: str, width: int) -> float:
    """The learning rate of AdamW: what was found on tiny models, and less for larger ones, as 1 / width.

    A bottleneck learns like LoRA; AdaLoRA's change is a product of three, which moves less; a prefix is no matrix
    but keys and values themselves, and starts as large as those are.
    """
    low_rank = min(0.01, max(2e-4, 0.6 / width))
    return round(low_rank * {"lora": 1, "adapter": 1, "adalora": 2, "prefix": 20}[method], 5)


# -- what augmentation was worth -------------------------------------------------------------------------------------


def beside_control(group: Processes, settings: FinetuneSettings, run: Run, watcher: Watcher) -> Run:
    """Train once more without augmentation, all else the same, and note in the run what that comes to on validation."""
    output, folder = Path(run.run), Path(run.run) / "control"
    path, begun = folder / "training" / "result.json", bool(checkpoints(folder))
    if not path.is_file() or read_json(path)["interrupted"]:
        watcher.stage(f"the same without augmentation, to see what it is worth: {folder}")
        without = {
            "augment": (),
            **{name: None for name, _ in AUGMENTATIONS.values()},
            "output": folder,
        }
        control = finetune_together(
            group, settings.model_copy(update=without), watcher, not begun, begun
        )
        if control.interrupted:
            return replace(run, interrupted=control.interrupted)
    if group.first:
        measured = {
            name: value
            for name, value in read_json(path)["measured"].items()
            if isinstance(value, float)
        }
        records = read_json(output / "training" / "plan.json")["values"]["validation_records"]
        told = {
            "name": "without augmentation",
            "run": str(folder),
            "augment": settings.augment,
            "records": records,
        }
        result = output / "training" / "result.json"
        write_json(result, read_json(result) | {"control": told | measured})
        report(output, watcher)
    return run


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
        return {
            name: value
            for name, value in last.items()
            if name in task.figures or (final and task.writes)
        }

    def sample(step: int) -> str:
        text = task.sample(
            model, data.tokenizer, data.validation[step % len(data.validation)], context
        )
        model.train()
        return text

    def read(step: int) -> list[str]:
        numbers = data.examples.numbers((step - 1) * size, size)
        return [
            data.tokenizer.decode(data.examples.examples[number].tokens) for _, number in numbers
        ]

    def results(before: dict[str, float] | None) -> dict[str, Any]:
        findings, baseline = list(data.facts["findings"]), None
        try:
            figures = (
                before if isinstance(task, Chat) else task.baseline(data.training, data.validation)
            )
            baseline = {"name": task.baseline_name, **(figures or {})}
        except XinyeError as error:  # the model is trained, and none the worse without it
            findings.append(f"no baseline: {error}")
        told: dict[str, Any] = {
            "task": task.verb,
            "measured": dict(last),
            "baseline": baseline,
            "findings": findings,
        }
        told["trainable"] = [row._asdict() for row in trainable_table(model)]
        if "adalora" in {row["name"] for row in told["trainable"]}:
            told["ranks"] = ranks_of(model)
        return told

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
        flops_per_token=flops_per_token(model, round(data.mean_length)),
        tokens_per_target=data.mean_length * len(data.examples) / max(1, targets),
        judge_first=task.writes,
    )
