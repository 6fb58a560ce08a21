"""Fine-tuning: the `Job` of a run on the records of a task."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from xinye.checkpoints.adapters import fingerprint
from xinye.checkpoints.folders import checkpoints, note_beside
from xinye.checkpoints.huggingface import load_weights
from xinye.checkpoints.load import is_small, load_model
from xinye.data.sources import check_libraries
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.libraries import PACKAGES, install_command, installed, need
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
from xinye.planning.memory import STATES, choose_parallel
from xinye.planning.models import Models
from xinye.planning.plan import Plan
from xinye.runs.folder import Extension, RunFolder
from xinye.runs.resume import saved_finetune_values, saved_values
from xinye.runs.store import cannot_save
from xinye.tasks.classify_mix import COUNTS
from xinye.tasks.registry import find_task, find_text_task
from xinye.tasks.settings import task_settings
from xinye.tasks.task import Trained
from xinye.tasks.task_data import TaskData, data_files, prepare_data
from xinye.training.distributed import ALONE
from xinye.training.job import Figures, Job, LossSum, Start


class RecordJob(Job):
    """A job that trains a model on the records of a task."""

    settings: FinetuneSettings
    data: TaskData

    def check(self) -> None:
        names = (*self.settings.data, *self.settings.validation)
        check_libraries(data_files(self.settings, names))
        library = find_text_task(self.settings.task).baseline_library
        if library and not installed(library):
            if self.begun.resume and (self.begun.folder / COUNTS).exists():
                need("a classifier that is mixed with word counts", library)
            needed = (
                f"it needs {PACKAGES.get(library, library)}, to install with {install_command()}"
            )
            self.begun.observer.warn(f"no baseline: {needed}; training continues without it")

    def read(self) -> None:
        """Load the base model and read the records. Raises `XinyeError` if a resumed run's records
        or base have changed."""
        settings, begun, checkpoint = self.settings, self.begun, None
        self.base = settings.model
        if settings.adapter_settings:  # an adapter works only on its own base
            known = {"model": settings.model, "fingerprint": fingerprint(settings.model)}
            self.models = Models(told={"base": known})
        if begun.resume:
            checkpoint = next(reversed(checkpoints(begun.folder)), begun.folder)
        # Where the model may be split, no process has memory for more than a layer at once.
        whole = begun.group.count == 1 or settings.parallel == "ddp"
        stored = torch.float32 if whole else None
        self.gpt, self.shape, tokenizer = base_of(settings, checkpoint, stored)
        context = rules.context_length(settings, self.shape)
        self.data = prepare_data(settings, tokenizer, context, self.draft, begun.observer)
        if begun.resume:
            about = RunFolder(begun.folder).about()
            changed = "its records have changed since the run began; start again with --overwrite"
            if settings.adapter_settings and self.models.told != about.get("models"):
                changed = f"its base, {self.base}, has changed since the run began; restore it"
            elif self.data.fingerprint == about.get("text"):
                changed = ""
            if changed:
                raise XinyeError(f"{begun.folder}: {changed}")
        self.samples, self.tokenizer = self.data.examples, self.data.tokenizer
        self.task = task = self.data.task
        self.figures, self.better, self.words = task.figures, task.better, task.words
        self.lower_replaced = task.lower_replaced
        self.judge_first = task.baseline_is_base
        # A new head learns in leaps; a language model that begins to memorize goes on doing so.
        self.worse_allowed = 1 if task.writes else 2
        self.learns_threshold = task.learns_threshold

    def choose_numbers(self) -> None:
        """Fill in the numbers that follow from the data alone, such as steps and learning rates."""
        data, task = self.data, self.task
        examples = data.examples.examples
        longest = max(len(example.tokens) for example in examples)
        facts = rules.Records(
            count=len(examples),
            longest=longest,
            cut=any(example.cut for example in examples),
            writes=task.writes,
            frozen_attention=task.frozen_attention,
            pace=task.pace,
            fast_dtype=self.fast_dtype,
        )
        rules.make_plan(self.draft, self.settings, facts, self.shape, self.device)

    def make_plan(self) -> Plan:
        """The plan. This builds the model with its head or adapter, because their weights are
        counted."""
        settings, draft, data = self.settings, self.draft, self.data
        self.choose_numbers()
        self._choose_parallel()
        if not self.sharded:
            self.gpt.float()
        self.check_longer()
        self.check_shares()
        self.model = self._network()
        del self.gpt  # the model has taken what it needs from it
        self.table = trainable_table(self.model)
        draft.note("parameters", self.table[-1].total, "all weights")
        draft.note("trained_parameters", self.table[-1].trainable, f"method {settings.method}")
        self.plan = draft.finished(settings)
        self.measured: dict[str, Any] = {}  # the latest figures, with their tables
        self.completed: dict[str, Any] = {}  # what the task adds at the end
        targets = sum(batch.counted for _, batch in data.examples.in_order(256))
        self.tokens_per_step = self.plan.batch_size * data.mean_length
        self.tokens_per_target = data.mean_length * len(data.examples) / max(1, targets)
        self.flops_per_token = flops_per_token(self.model, round(data.mean_length))
        return self.plan

    def _choose_parallel(self) -> None:
        """Note in the plan how several processes share the work."""
        settings, method = self.settings, self.settings.method
        splits = method not in ("adalora", "prefix")
        if settings.parallel == "fsdp" and not splits:
            raise XinyeError(f"--parallel fsdp: {method} computes with whole matrices; choose ddp")
        weights = self.shape.parameters
        trained = 0 if settings.adapter_settings else weights
        most, processes = self.room
        gradients = (4 if processes == 1 else 8) * trained  # DDP exchanges a copy of them
        needed = 4 * weights + gradients + STATES[self.draft.optimizer] * trained
        choose_parallel(self.draft, settings, processes, needed <= most, splits)

    def build(self) -> Any:
        return self.model

    def resumed(self) -> None:
        if self.begun.group.first:
            self.task.forget(self.begun.folder)
            note_beside(self.begun.folder, self.task.beside)

    def _network(self) -> Any:
        """The base model with the head and adapter of the task and method."""
        values, adapter = self.draft.values, self.settings.adapter_settings
        causal = values["attention"] == "causal"
        shape = replace(self.shape, dropout=values["dropout"], is_causal=causal)
        model = self.task.network(shape, self.gpt)
        if self.settings.method == "head" and isinstance(model, Head):
            model.gpt.requires_grad_(False)
        if adapter and adapter.method == "adalora":
            adapter = adapter.scheduled(self.first_steps)
        if adapter:
            attach(model, adapter, self.settings.seed)
        return self.prepared(model)

    def loss_sum(self, model: Any, compiled: bool) -> LossSum:
        """The loss of the task. AdaLoRA's penalty adds its gradient, but not its value."""

        def loss(batch: Labelled) -> Tensor:
            total, penalty = self.task.loss(model, batch), extra_loss(model)
            if not penalty.requires_grad:
                return total
            # A GPU is waited for here, where it counts its targets.
            return total + batch.counted * (penalty - penalty.detach())

        return LossSum(model, loss, self.device)

    # -- evaluation --------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, model: Any, last: bool) -> Figures:
        model.eval()
        data, task = self.data, self.task
        self.measured |= task.losses(model, data.tokenizer, data.validation_examples)
        if last or not task.writes:  # generating answers is slow
            context = self.plan.context
            self.measured |= task.validate(
                model, data.tokenizer, data.validation, context, self.settings
            )
        model.train()
        shown = self.measured if last and task.writes else self.figures
        return {name: value for name, value in self.measured.items() if name in shown}

    @torch.no_grad()
    def complete(self, model: Any) -> Figures:
        data = self.data
        parts = (data.tokenizer, data.training, data.validation, self.plan.context, self.settings)
        stage = self.task.completing(self.settings)
        if stage:
            self.begun.observer.stage(stage)
        model.eval()
        try:
            with self._folder_for_files() as folder:
                self.completed = self.task.complete(Trained(model, *parts, folder))
                note_beside(folder, self.task.beside)
        except OSError as error:
            raise cannot_save(self.begun.folder, error) from error
        if stage:
            self.begun.stopwatch.lap("completion")
        found = self.completed.get("measured", {})
        self.measured = found or self.measured
        return {name: found[name] for name in self.figures if name in found}

    @contextmanager
    def _folder_for_files(self) -> Iterator[Path]:
        """The run's folder. Other processes that compute with the first one write what is thrown
        away."""
        if self.begun.group.first:
            yield self.begun.folder
        else:
            with TemporaryDirectory() as folder:
                yield Path(folder)

    def sample(self, model: Any, step: int) -> str:
        record = self.data.validation[step % len(self.data.validation)]
        text = self.task.sample(model, self.tokenizer, record, self.plan.context)
        model.train()
        return text

    def texts(self, step: int) -> list[str]:
        size, examples = self.plan.batch_size, self.data.examples
        numbers = examples.numbers((step - 1) * size, size)
        return [self.tokenizer.decode(examples.examples[number].tokens) for _, number in numbers]

    def results(self, model: Any, before: Figures | None) -> Mapping[str, object]:
        findings = list(self.data.facts["findings"])
        baselines = self.task.baselines(self.data.training, self.data.validation, before, findings)
        self.begun.stopwatch.lap("baselines")
        trainable = [row._asdict() for row in trainable_table(model)]
        found = {
            "task": self.task.verb,
            "measured": dict(self.measured),
            **baselines,
            "findings": findings,
            "trainable": trainable,
        }
        found |= {name: value for name, value in self.completed.items() if name != "measured"}
        if any(row["name"] == "adalora" for row in trainable):
            found["ranks"] = ranks_of(model)
        return found


def plan_of(settings: FinetuneSettings, observer: Observer) -> dict[str, Any]:
    """The values of the plan that a run with these settings would have. It writes no files."""
    job = RecordJob(settings, Start(ALONE, Path(), observer, began=0.0))
    job.read()
    job.choose_numbers()
    return job.draft.values


def base_of(
    settings: FinetuneSettings, checkpoint: Path | None, dtype: torch.dtype | None = torch.float32
) -> tuple[GPT, GPTConfig, Tokenizer]:
    """The model to start from, or that of the checkpoint to resume from, with its weights in
    `dtype`, or as they are stored; its shape and tokenizer.

    Quantized weights are unpacked if all weights are to be trained. With an adapter, only those of
    small models are.
    """
    if checkpoint and not settings.adapter_settings and (checkpoint / "config.json").is_file():
        saved = load_weights(checkpoint)
        gpt = saved.gpt if isinstance(saved, Head) else saved
        assert isinstance(gpt, GPT)
        config = saved.config.backbone if isinstance(saved, Head) else gpt.config
        return gpt, config, Tokenizer.load(checkpoint)
    model, tokenizer = load_model(settings.model, dtype)
    if not isinstance(model, GPT):
        raise XinyeError(
            f"{settings.model}: an lstm cannot be fine-tuned; take a modern, llama or gpt2 model"
        )
    if attached(model):
        raise XinyeError(
            f"{settings.model}: its adapter cannot be merged; take the base that it was trained on"
        )
    if not settings.adapter_settings or is_small(model):
        unpack(model)
    return model, model.config, tokenizer


def saved_settings_of_task(
    folder: Path, asked: FinetuneSettings, longer: Extension | None = None
) -> FinetuneSettings:
    """The settings of the fine-tuning run in a folder. Raises `XinyeError` if the `asked` ones
    differ from them, except for what may change."""
    run = RunFolder(folder)
    given = saved_values(run, FinetuneSettings)
    task = find_task(task_settings(given, str(run.settings_file)).task)
    values = saved_finetune_values(folder, asked, task.unused_settings, longer)
    return task_settings(values, f"{run.plan_file}: damaged file")
