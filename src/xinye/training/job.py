"""What a run is made for, and what it comes to."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
from xinye.observer import Observer
from xinye.planning.command_line import command_line
from xinye.planning.models import FROM_SCRATCH
from xinye.planning.plan import Draft, Plan
from xinye.runs.folder import Extension, Values
from xinye.runs.resume import Data
from xinye.runs.words import TaskWords
from xinye.tasks.records import Examples
from xinye.training.clock import Clock, Stopwatch
from xinye.training.distributed import Processes
from xinye.training.loop import Counted
from xinye.training.optimizers import Optimization, make_optimizers

Figures = dict[str, float]


@dataclass
class Start:
    """How a run is begun: who takes part, where it lies, who is told; anew or not."""

    group: Processes
    folder: Path
    observer: Observer
    began: float  # of the clock that a budget in time counts from
    resume: bool = False  # from where it stands
    overwrite: bool = False  # what another run wrote there
    dry_run: bool = False  # only plan it
    longer: Extension | None = None  # than it was planned
    extended: tuple[Extension, ...] = ()  # each time that it was, this one included
    device: torch.device = field(default_factory=machine.device)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted targets, in nats."""

    def __init__(self, model: nn.Module, loss: Callable[[Any], Tensor], where: torch.device):
        super().__init__()
        self.model = model  # whose gradients several processes exchange
        self.loss, self.where = loss, where

    def forward(self, batch: Any) -> Tensor:
        return self.loss(batch.to(self.where))


class Job(ABC):
    """What a run is made for: its data and model, how it is judged, what it shows.

    `check`, `read`, `make_plan` and `build` are called once each, in this order.
    """

    base = ""  # the model that an adapter was attached to
    models = FROM_SCRATCH  # that the run begins with
    words: TaskWords | None = None  # of a task
    table: Sequence[ParameterCount] = ()  # of the trained weights, where not all are

    figures: tuple[str, ...]  # what it is judged by, in the order in which it is told
    better: str  # which of them says what checkpoint is the best
    lower_is_better: bool
    judge_first: bool  # the figures of the end also before the first step

    data: Data
    samples: Windows | Examples  # to train on
    tokenizer: Tokenizer
    plan: Plan
    tokens_per_step: float
    tokens_per_target: float  # tokens read for each target that the loss counts
    flops_per_token: float  # floating-point operations to train on one

    def __init__(self, settings: Any, begun: Start) -> None:
        self.settings, self.begun, self.device = settings, begun, begun.device
        self.draft = Draft(settings=settings)  # of the plan

    @property
    def numbers(self) -> Plan | Draft:
        """What the run is made with: the plan, or what is drafted of it while it is made."""
        return self.__dict__.get("plan", self.draft)

    @property
    def first_steps(self) -> int:
        """How many steps were planned at first. What is judged on, and AdaLoRA's ranks, follow
        that in a run that is extended, too."""
        planned = self.numbers.total_steps or ((0, self.numbers.steps),)
        for first in self.begun.extended[:1]:
            planned = first.total_steps
        return planned[0][1]

    def check_longer(self) -> None:
        """Raises `XinyeError` where a run is to go on for longer, and is as long already."""
        longer, steps = self.begun.longer, self.numbers.steps
        if longer and steps <= longer.step:
            asked = " ".join(command_line("", longer.budget)[2:])
            less = f"{asked} is only {steps:,} in all"
            none = f"{asked} adds no more steps"
            raise XinyeError(
                f"{self.begun.folder}: {plural(longer.step, 'step')} are done already, and "
                f"{less if steps < longer.step else none}; give more, or leave it out"
            )
        if longer:
            done = f"steps done already: {longer.step:,}"
            self.draft.reasons["steps"] += f"; {done}"

    # -- before the first step ---------------------------------------------------------------------

    @abstractmethod
    def check(self) -> None:
        """Refuse what cannot be done, and warn of what is missing, before anything is read."""

    @abstractmethod
    def read(self) -> None:
        """Read what is learned from, and the models to begin with."""

    @abstractmethod
    def make_plan(self) -> Plan:
        """Every number of the run, with its reason."""

    @abstractmethod
    def build(self) -> Any:
        """The model with its first weights, where it computes."""

    def facts(self) -> Values:
        """What the run's folder notes of the data, for the report."""
        return self.data.facts

    # -- training ----------------------------------------------------------------------------------

    @abstractmethod
    def loss_sum(self, model: Any, compiled: bool) -> LossSum:
        """A batch to the sum of the losses of its counted targets, in nats."""

    def optimizers(self, model: Any) -> list[torch.optim.Optimizer]:
        """Those that move a model's trainable weights, as drafted."""
        numbers = self.numbers
        return make_optimizers(
            model,
            Optimization(
                numbers.optimizer,
                numbers.learning_rate,
                numbers.matrix_learning_rate or 0.0,
                numbers.weight_decay,
                numbers.l1 or 0.0,
                model.compute_dtype,
            ),
        )

    def micro_batches(self, step: int) -> Sequence[Counted]:
        """This process's part of the batch of a step: of the samples `step × batch_size` and on."""
        size = self.numbers.batch_size
        share = self.begun.group.share(step * size, size)
        return self.samples.micro_batches(*share, self.numbers.micro_batch_size)

    def check_shares(self) -> None:
        """Raises `XinyeError` where a batch has nothing for some process."""
        batch_size, count = self.numbers.batch_size, self.begun.group.count
        if batch_size < count:
            raise XinyeError(f"a batch of {batch_size} cannot be shared by {count} processes")

    def clock(self, spent: float) -> Clock | None:
        """Of a budget in time, of which so many seconds were spent before."""
        return None

    # -- judging -----------------------------------------------------------------------------------

    @abstractmethod
    def texts(self, step: int) -> Sequence[str]:
        """The texts of the batch after which so many steps were done."""

    @abstractmethod
    def validate(self, model: Any, last: bool) -> Figures:
        """The figures during a run and, where `last`, at its end."""

    @abstractmethod
    def sample(self, model: Any, step: int) -> str:
        """A text that shows what the model can do after a step."""

    @abstractmethod
    def results(self, model: Any, before: Figures | None) -> Mapping[str, object]:
        """What else `result.json` holds; `before` is what was judged first."""


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its folder and its figures. `model_step` is the step that
    its model is of."""

    run: str
    parameters: int
    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    model_flops_utilization: float
    validation: Figures
    interrupted: int = 0  # the signal's number
    stopped_early: bool = False
    model_step: int = 0
    before: Figures | None = None  # the validation of the model that the run began with
