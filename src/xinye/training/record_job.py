"""A run on the records of a task: its plan, and what it asks of its model. Fine-tuning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye import machine
from xinye.checkpoints.adapters import fingerprint
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.huggingface import load_weights
from xinye.checkpoints.load import is_small, load_model
from xinye.data.sources import check_libraries
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.libraries import PACKAGES, install_command, installed
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
from xinye.observer import Observer
from xinye.planning import finetuning as rules
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import FROM_SCRATCH, Models
from xinye.planning.plan import Draft
from xinye.runs.folder import RunFolder
from xinye.runs.resume import saved_finetune_values
from xinye.tasks.registry import find_task
from xinye.tasks.task import Task, task_settings
from xinye.tasks.task_data import TaskData, prepare_data
from xinye.training.job import Figures, Job, Start


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted labels.

    AdaLoRA's penalty gives its gradient, but is left out of the figure: that is the loss of the
    labels alone.
    """

    def __init__(self, task: Task, model: Any, device: torch.device) -> None:
        super().__init__()
        self.task, self.model, self.device = task, model, device

    def forward(self, batch: Labelled) -> Tensor:
        penalty = extra_loss(self.model)
        loss = self.task.loss(self.model, batch.to(self.device))
        return loss + batch.counted * (penalty - penalty.detach())


class RecordJob(Job):
    """Records to learn from, and a model that learns a task from them."""

    data: TaskData

    @staticmethod
    def check(settings: FinetuneSettings, begun: Start) -> None:
        """Tell of missing packages before any work."""
        check_libraries((*settings.data, *settings.validation))
        library = find_task(settings.task).baseline_library
        if library and not installed(library):
            missing = f"that needs {PACKAGES.get(library, library)} ({install_command()})"
            begun.observer.warn(f"no baseline beside the model: {missing}; training goes on")

    def __init__(self, settings: FinetuneSettings, begun: Start) -> None:
        """Load the base, read the records, plan, and put on the head or the adapter."""
        self.group, self.device = begun.group, begun.device
        adapter = settings.adapter_settings
        self.base = settings.model
        self.models = FROM_SCRATCH
        if adapter:  # which is noise on any other base
            self.models = Models(
                told={"base": {"model": settings.model, "fingerprint": fingerprint(settings.model)}}
            )
            if begun.resume and self.models.told != RunFolder(begun.folder).about().get("models"):
                changed = (
                    f"its base, {settings.model}, has changed since the run began; put it back"
                )
                raise XinyeError(f"{begun.folder}: {changed}")
        checkpoint = (
            next(reversed(checkpoints(begun.folder)), begun.folder) if begun.resume else None
        )
        base, shape, tokenizer = base_of(settings, checkpoint)
        draft, context = Draft(), rules.context_length(settings, shape)
        self.data = prepare_data(settings, tokenizer, context, draft, begun.observer)
        if begun.resume and self.data.fingerprint != RunFolder(begun.folder).about().get("text"):
            changed = "its records have changed since the run began; start anew with --overwrite"
            raise XinyeError(f"{begun.folder}: {changed}")
        begun.stopwatch.lap("text")
        self.task, self.tokenizer = self.data.task, self.data.tokenizer
        rules.make_plan(draft, settings, records_of(self.data), shape, self.device)
        begun.check_shares(draft.values["batch_size"])
        self.model = self._built(draft, settings, base, shape)
        self.table = trainable_table(self.model)
        draft.note("parameters", self.table[-1].total, "all weights")
        draft.note("trained_parameters", self.table[-1].trainable, f"method {settings.method}")
        self.plan = draft.finished(settings)
        self.last: dict[str, Any] = {}  # what was measured last, with its tables
        self.figures, self.better = self.task.figures, self.task.better
        self.lower_is_better, self.judge_first = (
            self.task.lower_is_better,
            self.task.baseline_is_base,
        )
        self.words = self.task.words
        length = self.data.mean_length
        targets = sum(batch.counted for _, batch in self.data.examples.in_order(256))
        self.tokens_per_step = self.plan.batch_size * length
        self.tokens_per_target = length * len(self.data.examples) / max(1, targets)
        self.flops_per_token = flops_per_token(self.model, round(length))

    def _built(self, draft: Draft, settings: FinetuneSettings, base: GPT, shape: GPTConfig) -> Any:
        """The base with what the task and the method put on it."""
        values, adapter = draft.values, settings.adapter_settings
        causal = values["attention"] == "causal"
        model = self.task.network(replace(shape, dropout=values["dropout"], is_causal=causal), base)
        if settings.method == "head" and isinstance(model, Head):
            model.gpt.requires_grad_(False)
        elif adapter:
            scheduled = (
                adapter.scheduled(values["steps"]) if adapter.method == "adalora" else adapter
            )
            attach(model, scheduled, settings.seed)
        model.to(self.device)
        model.compute_dtype = getattr(torch, values["dtype"])
        return model

    def network(self) -> Any:
        return self.model

    def loss_sum(self, model: Any) -> nn.Module:
        return LossSum(self.task, model, self.device)

    def micro_batches(self, step: int) -> list[Labelled]:
        """Samples `step × batch_size` and on, of those this process's share."""
        first, size = self.group.share(step * self.plan.batch_size, self.plan.batch_size)
        return self.data.examples.micro_batches(first, size, self.plan.micro_batch_size)

    def clock(self, spent: float) -> None:
        """No budget of a task is in time."""

    # -- judging -----------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, model: Any, last: bool) -> Figures:
        model.eval()
        data, writes = self.data, self.task.writes
        self.last.update(self.task.losses(model, data.tokenizer, data.validation_examples))
        if last or not writes:  # to write answers takes its time
            self.last.update(
                self.task.measure(model, data.tokenizer, data.validation, self.plan.context)
            )
        model.train()
        shown = {name for name in self.last if name in self.figures or (last and writes)}
        return {name: value for name, value in self.last.items() if name in shown}

    def sample(self, model: Any, step: int) -> str:
        record = self.data.validation[step % len(self.data.validation)]
        text = self.task.sample(model, self.tokenizer, record, self.plan.context)
        model.train()
        return text

    def texts(self, step: int) -> list[str]:
        size, examples = self.plan.batch_size, self.data.examples
        numbers = examples.numbers((step - 1) * size, size)
        return [self.tokenizer.decode(examples.examples[number].tokens) for _, number in numbers]

    def results(self, model: Any, before: Figures | None) -> dict[str, Any]:
        findings, baseline = list(self.data.facts["findings"]), None
        try:
            figures = self.task.baseline(self.data.training, self.data.validation, before)
            baseline = {"name": self.task.baseline_name, **figures}
        except XinyeError as error:  # the model is trained, and none the worse without it
            findings.append(f"no baseline: {error}")
        found: dict[str, Any] = {
            "task": self.task.verb,
            "measured": dict(self.last),
            "baseline": baseline,
        }
        found |= {
            "findings": findings,
            "trainable": [row._asdict() for row in trainable_table(model)],
        }
        if "adalora" in {row["name"] for row in found["trainable"]}:
            found["ranks"] = ranks_of(model)
        return found


def records_of(data: TaskData) -> rules.Records:
    """What the rules of the plan ask of them."""
    examples = data.examples.examples
    longest = max(len(example.tokens) for example in examples)
    frozen = data.task.frozen_attention
    return rules.Records(len(examples), longest, data.task.writes, frozen)


def plan_of(settings: FinetuneSettings, observer: Observer) -> dict[str, Any]:
    """What a run would be planned to be; nothing is left behind."""
    _, shape, tokenizer = base_of(settings, None)
    draft, context = Draft(), rules.context_length(settings, shape)
    data = prepare_data(settings, tokenizer, context, draft, observer)
    rules.make_plan(draft, settings, records_of(data), shape, machine.device())
    return draft.values


def base_of(
    settings: FinetuneSettings, checkpoint: Path | None
) -> tuple[GPT, GPTConfig, Tokenizer]:
    """The model to begin with, or of the checkpoint to go on from; its shape and tokenizer.

    Where its own weights are to be trained, or saved, quantized ones are unpacked; beside an
    adapter only small models.
    """
    if (
        checkpoint is not None
        and not settings.adapter_settings
        and (checkpoint / "config.json").is_file()
    ):
        saved = load_weights(checkpoint)
        gpt = saved.gpt if isinstance(saved, Head) else saved
        assert isinstance(gpt, GPT)
        config = saved.config.backbone if isinstance(saved, Head) else gpt.config
        return gpt, config, Tokenizer.load(checkpoint)
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


def saved_settings_of_task(folder: Path, asked: FinetuneSettings) -> FinetuneSettings:
    """The settings that a fine-tuning was started with; what is `asked` for may say the same."""
    run = RunFolder(folder)
    about = run.about()
    if about.get("recipe") != FinetuneSettings.recipe:
        other = f"go on with it by xinye pretrain -o {folder} --resume"
        raise XinyeError(f"{folder}: not a fine-tuning; {other}")
    task = find_task(about["settings"].get("task", FinetuneSettings().task))
    values = saved_finetune_values(folder, asked, task.unused_settings)
    return task_settings(values, str(run.training))
