"""A `Job` is the work that a run does; a `Run` is its result."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye import machine
from xinye.data.batches import Windows
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.model.adapters import ParameterCount
from xinye.model.gpt import gpt_in
from xinye.model.kernels import product_dtype
from xinye.observer import Observer
from xinye.planning.command_line import command_line
from xinye.planning.memory import Room, memory_of_process
from xinye.planning.models import FROM_SCRATCH
from xinye.planning.plan import Draft, Plan
from xinye.runs.folder import Extension, Values
from xinye.runs.model_files import LanguageFiles, ModelFiles
from xinye.runs.resume import Data
from xinye.runs.store import Store
from xinye.runs.words import TaskWords
from xinye.tasks.records import Examples
from xinye.training.clock import Clock, Stopwatch
from xinye.training.distributed import Processes
from xinye.training.loop import Counted, Idle
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.sharded_store import ShardedStore
from xinye.training.sharding import compile_layers, evaluating, hollow, shard

Figures = dict[str, float]


@dataclass
class Start:
    """How a run starts: its processes, folder and observer, and whether it is new or resumed."""

    group: Processes
    folder: Path
    observer: Observer
    began: float  # when a budget of time began, in seconds of `clock.now`
    resume: bool = False  # continue the run in the folder
    overwrite: bool = False  # replace another run in the folder
    dry_run: int = 0  # only make the plan, for so many processes
    typed: Set[str] | None = None  # the settings that a resumed run was given again
    longer: Extension | None = None  # how the run is extended now
    extended: tuple[Extension, ...] = ()  # all extensions of the run, with this one
    device: torch.device = field(default_factory=machine.device)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


class LossSum(nn.Module):
    """A module that maps a batch to the sum of the losses of its counted targets, in nats."""

    def __init__(self, model: nn.Module, loss: Callable[[Any], Tensor], where: torch.device):
        super().__init__()
        self.model = model  # several processes exchange the gradients of this submodule
        self.loss, self.where = loss, where

    def forward(self, batch: Any) -> Tensor:
        return self.loss(batch.to(self.where))


class Job(ABC):
    """The work of a run: its data, its model, and how the model is evaluated.

    `check`, `read`, `make_plan` and `build` are called once each, in this order.
    """

    base = ""  # the model that an adapter is attached to
    models = FROM_SCRATCH  # the models that the run starts from
    words: TaskWords | None = None  # the names of a task's figures; None for plain text
    table: Sequence[ParameterCount] = ()  # the table of trained weights, for fine-tuning

    figures: tuple[str, ...]  # the names of its figures, in the order in which they are shown
    better: str  # the figure that decides which checkpoint is the best
    lower_replaced: bool
    judge_first: bool  # whether the model is also evaluated before the first step
    worse_allowed = 1  # evaluations in a row without a gain, before a run returns to its best model
    learns_threshold = False  # whether `validate` sets a threshold, which is saved with the model

    data: Data
    samples: Windows | Examples  # the training samples
    tokenizer: Tokenizer
    plan: Plan
    whole: Any  # the model without values, if it is sharded; checkpoints are saved through it
    tokens_per_step: float
    tokens_per_target: float  # tokens read for each target that the loss counts
    flops_per_token: float  # floating-point operations to train on one token

    def __init__(self, settings: Any, begun: Start) -> None:
        self.settings, self.begun, self.device = settings, begun, begun.device
        if self.device.type == "cuda":  # a thread does not inherit which GPU is the process's own
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.draft = Draft(settings=settings, typed=begun.typed)  # becomes the plan

    @property
    def numbers(self) -> Plan | Draft:
        """The numbers of the run: the plan, or its draft until the plan is made."""
        return self.__dict__.get("plan", self.draft)

    @property
    def first_steps(self) -> int:
        """The number of steps that were planned at first. Even if a run is extended, its validation
        text and AdaLoRA's ranks follow this number."""
        planned = self.numbers.total_steps or ((0, self.numbers.steps),)
        for first in self.begun.extended[:1]:
            planned = first.total_steps
        return planned[0][1]

    def check_longer(self) -> None:
        """Raise `XinyeError` if the run is to be extended but has as many steps already."""
        longer, steps = self.begun.longer, self.numbers.steps
        if longer and steps <= longer.step:
            asked = " ".join(command_line("", longer.budget)[2:])
            less = f"{asked} is only {steps:,} in total"
            none = f"{asked} adds no more steps"
            raise XinyeError(
                f"{self.begun.folder}: {plural(longer.step, 'step')} are already done, and "
                f"{less if steps < longer.step else none}; give more, or leave it out"
            )
        if longer:
            done = f"steps done already: {longer.step:,}"
            self.draft.reasons["steps"] += f"; {done}"

    # -- before the first step ---------------------------------------------------------------------

    @abstractmethod
    def check(self) -> None:
        """Raise `XinyeError` for what cannot be done, and warn of what is missing, before anything
        is read."""

    @abstractmethod
    def read(self) -> None:
        """Read the training data, and the models to start from."""

    @abstractmethod
    def make_plan(self) -> Plan:
        """The plan: every number of the run, with its reason."""

    @abstractmethod
    def build(self) -> Any:
        """The model with its initial weights, on its device."""

    @property
    def fast_dtype(self) -> tuple[torch.dtype, str]:
        """The fastest dtype, and the reason. Each process measures it, so all take the answer of
        the first one."""
        dtype, reason = machine.fast_dtype(self.device)
        [bfloat16] = self.begun.group.agreed([dtype == torch.bfloat16])
        return (torch.bfloat16 if bfloat16 else torch.float32), reason

    @property
    def count(self) -> int:
        """The number of processes that train together, or would after a dry run."""
        return max(self.begun.dry_run, self.begun.group.count)

    @property
    def room(self) -> Room:
        """The memory that each process may take: the least that one of them finds free."""
        free = memory_of_process(self.device, max(1, self.begun.dry_run))
        return Room(int(-self.begun.group.most([-free])[0]), self.count)

    @property
    def sharded(self) -> bool:
        """Whether each process keeps only a part of the model, so that all must compute with it
        together."""
        return self.begun.group.count > 1 and self.numbers.parallel == "fsdp"

    def prepared(self, model: Any) -> Any:
        """The model on its device, or this process's part of it, to compute as the plan says."""
        model.compute_dtype = getattr(torch, self.numbers.dtype)
        gpt = gpt_in(model)
        if gpt is not None:
            gpt.activation_checkpointing = self.numbers.activation_checkpointing
        if gpt is None or not self.sharded:
            return model.to(self.device)
        self.whole = hollow(model).float()
        if isinstance(self.numbers, Plan) and self.numbers.compile:
            compile_layers(gpt)
        shard(model, gpt, self.device, self.begun.group)
        return model

    def resumed(self) -> None:
        """What is to be done as soon as a checkpoint is loaded to train on."""
        return None

    def facts(self) -> Values:
        """The facts about the data that the run's folder keeps for the report."""
        return self.data.facts

    # -- training ----------------------------------------------------------------------------------

    @abstractmethod
    def loss_sum(self, model: Any, compiled: bool) -> LossSum:
        """A module that maps a batch to the sum of the losses of its counted targets, in nats."""

    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        """The optimizers for a model's trainable weights, with the numbers of the plan."""
        numbers = self.numbers
        return make_optimizers(
            model,
            Optimization(
                numbers.optimizer,
                numbers.learning_rate,
                numbers.matrix_learning_rate or 0.0,
                numbers.weight_decay,
                numbers.l1 or 0.0,
                product_dtype(model.compute_dtype, next(model.parameters()).device),
                numbers.compile is True,  # a draft may not have decided it yet
            ),
            self.begun.group,
        )

    def micro_batches(self, step: int) -> Sequence[Counted]:
        """This process's share of the batch of a step, which begins at sample `step ×
        batch_size`."""
        size, at_once = self.numbers.batch_size, self.numbers.micro_batch_size
        share = self.begun.group.share(step * size, size)
        batches: list[Counted] = [*self.samples.micro_batches(*share, at_once)]
        if self.sharded:  # all processes gather the layers equally often
            most = math.ceil(math.ceil(size / self.begun.group.count) / at_once)
            batches += [Idle(batches[-1])] * (most - len(batches))
        return batches

    def check_shares(self) -> None:
        """Raise `XinyeError` if a batch has fewer samples than there are processes."""
        batch_size, count = self.numbers.batch_size, self.count
        if batch_size < count:
            raise XinyeError(
                f"a batch of {batch_size} cannot be shared by {count} processes; give a larger "
                "--batch-size, or start fewer processes"
            )

    def clock(self, spent: float) -> Clock | None:
        """The clock of a budget of time, of which `spent` seconds were used before; None without
        such a budget."""
        return None

    def store(self, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> Store:
        """What saves and loads the model with the state of its optimizers."""
        folder = self.begun.folder
        if not self.sharded:
            return Store(folder, self.files(model), model, optimizers)
        files = self.files(self.whole)
        return ShardedStore(folder, files, model, optimizers, self.whole, self.begun.group)

    def files(self, model: Any) -> ModelFiles:
        """How the model is saved in a checkpoint."""
        return LanguageFiles(self.begun.folder, model, self.tokenizer, self.base)

    # -- evaluation --------------------------------------------------------------------------------

    def evaluating(self, model: Any) -> AbstractContextManager[None]:
        """A context in which the model is evaluated."""
        return evaluating(model, self.room.most) if self.sharded else nullcontext()

    @abstractmethod
    def texts(self, step: int) -> Sequence[str]:
        """The texts of the batch of step number `step`, counted from 1."""

    def agreed(self, figures: Figures) -> Figures:
        """The figures, with the numbers of the first process where all evaluate together."""
        if not self.sharded:
            return figures
        mine = {name: each for name, each in figures.items() if isinstance(each, int | float)}
        values = zip(mine, self.begun.group.agreed([*mine.values()]), strict=True)
        return figures | {name: type(mine[name])(value) for name, value in values}

    @abstractmethod
    def validate(self, model: Any, last: bool) -> Figures:
        """The figures of the model on the validation data; with `last`, those of the end of the
        run."""

    @abstractmethod
    def sample(self, model: Any, step: int) -> str:
        """A text that shows what the model can do after this step."""

    def complete(self, model: Any) -> Figures:
        """Learn and save what belongs to a trained model beside its network. Returns the figures
        that change with it."""
        return {}

    @abstractmethod
    def results(self, model: Any, before: Figures | None) -> Mapping[str, object]:
        """What the job adds to `result.json`. `before` has the figures before the first step."""


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run: its folder and its figures.

    `parameters` counts all weights. `tokens` were trained on in `seconds`, the time spent in steps;
    `tokens_per_second` is the speed since the last resume. `model_flops_utilization` is the share
    of the machine's matrix speed. `validation` has the last figures by name, and `model_step` is
    the step of the saved model.
    """

    run: str
    parameters: int
    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    model_flops_utilization: float
    validation: Figures
    interrupted: int = 0  # the number of the signal, 0 if there was none
    stopped_early: bool = False
    model_step: int = 0
    cooled_from: int | None = None  # the step of the model that the last, decaying steps began with
    before: Figures | None = None  # the figures before the first step
