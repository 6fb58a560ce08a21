"""What a run is made for, and what it comes to."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import ParameterCount
from xinye.model.build import LanguageModel
from xinye.model.heads import Head
from xinye.observer import Observer
from xinye.planning.models import Models
from xinye.planning.plan import Plan
from xinye.runs.resume import Data
from xinye.runs.words import TaskWords
from xinye.training.clock import Clock
from xinye.training.distributed import Processes
from xinye.training.loop import Counted
from xinye.training.stopwatch import Stopwatch

Model = LanguageModel | Head
Figures = dict[str, float]


class Job(ABC):
    """What a run is made for: its data and model, how it is judged, what it shows."""

    plan: Plan
    tokenizer: Tokenizer
    data: Data
    models: Models  # that it begins with
    words: TaskWords | None  # of a task
    table: Sequence[ParameterCount]  # of the trained weights, where not all are
    base: str  # the model that an adapter was attached to, or ""

    figures: tuple[str, ...]  # what it is judged by, in the order in which it is told
    better: str  # which of them says what checkpoint is the best
    lower_is_better: bool
    judge_first: bool  # the figures of the end also before the first step

    tokens_per_step: float
    tokens_per_target: float  # tokens read for each target that the loss counts
    flops_per_token: float  # floating-point operations to train on one

    @abstractmethod
    def network(self) -> Model:
        """The model with its first weights, where it computes."""

    @abstractmethod
    def loss_sum(self, model: Any) -> nn.Module:
        """A batch to the sum of the losses of its counted targets, in nats."""

    @abstractmethod
    def micro_batches(self, step: int) -> Sequence[Counted]:
        """This process's part of the batch of a step."""

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
    def results(self, model: Any, before: Figures | None) -> dict[str, Any]:
        """What else `result.json` holds; `before` is what was judged first."""

    @abstractmethod
    def clock(self, spent: float) -> Clock | None:
        """Of a budget in time, of which so many seconds were spent before."""


@dataclass(frozen=True)
class Start:
    """What is known when a run begins: who takes part, where it lies, who is told."""

    group: Processes
    folder: Path
    observer: Observer
    resume: bool
    began: float  # of the clock that a budget in time counts from
    device: torch.device = field(default_factory=machine.device)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def check_shares(self, batch_size: int) -> None:
        """Raises `XinyeError` where a batch has nothing for some process."""
        count = self.group.count
        if batch_size < count:
            raise XinyeError(f"a batch of {batch_size} cannot be shared by {count} processes")


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
