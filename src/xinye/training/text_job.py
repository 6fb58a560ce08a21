"""A run on text: its plan, and what it asks of its model. Pretraining, from scratch or going on."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.perplexity import evaluate
from xinye.generation.engine import start
from xinye.generation.sampling import Sampling
from xinye.model.build import Config, LanguageModel, build
from xinye.planning import pretraining as rules
from xinye.planning.doubts import doubts
from xinye.planning.models import load_models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.resume import check_teacher, check_text
from xinye.tasks.text import (
    TextData,
    prepare_text,
    validation_windows,
    write_sample,
    write_texts,
)
from xinye.training import clock
from xinye.training.calibrate import Speed, largest_micro_batch, measure_speed
from xinye.training.clock import Clock
from xinye.training.distillation import DistillationLossSum, Teaching
from xinye.training.distributed import Processes
from xinye.training.guards import explain_memory
from xinye.training.job import Figures, Job, Start
from xinye.training.optimizers import Optimization, make_optimizers

# steps at least: what was measured may be wrong, and the clock tells after two of them
FIRST_PLAN = 8


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted targets."""

    def __init__(
        self, model: LanguageModel, compiled: bool, device: torch.device, label_smoothing: float
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = torch.compile(model.loss) if compiled else model.loss
        self.device, self.label_smoothing = device, label_smoothing

    def forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self.device)
        return self.loss(
            batch.tokens, batch.targets, batch.positions, batch.documents, self.label_smoothing
        )


class TextJob(Job):
    """Text to learn from, and a model to be made, or to go on with."""

    data: TextData
    figures = ("loss", "bits_per_byte")
    better = "bits_per_byte"
    lower_is_better = True
    tokens_per_target = 1.0
    base = ""
    words = None

    table = ()  # all weights are trained

    @staticmethod
    def check(settings: PretrainSettings, begun: Start) -> None:
        """Refuse what cannot be done before any text is read."""
        if begun.resume:
            return settings.cleaning.check_libraries()
        if settings.time and settings.total_steps:
            raise XinyeError("total_steps is what a time came to: leave out one of them")
        rules.check_size(settings, begun.device)
        settings.cleaning.check_libraries()

    def __init__(self, settings: PretrainSettings, begun: Start) -> None:
        """Read the text, learn or take its tokenizer, measure the speed, and plan."""
        self.group, self.device, self.began = begun.group, begun.device, begun.began
        draft = Draft()
        self.models = load_models(settings)
        with begun.group.main_process_first():  # the others find the prepared text in the cache
            self.data = prepare_text(settings, draft, begun.observer, self.models)
        if begun.resume:
            check_text(begun.folder, self.data)
            check_teacher(begun.folder, self.models)
        begun.stopwatch.lap("text")
        self.tokenizer = self.data.tokenizer
        # A prompt that is too long is told of now.
        start(self.tokenizer, settings.prompt, self.data.training.context, Sampling())
        self.config = self._network_of(draft, settings)
        rules.batches(draft, settings, self.config, self.device)
        rules.rates(draft, settings, self.config)
        rules.precision(draft, settings, self.device, fast_dtype(self.device, self.group))
        begun.check_shares(draft.values["batch_size"])
        if settings.micro_batch_size == "auto":
            begun.observer.stage("trying how many windows fit in memory")
            self._try_micro_batches(draft)
        begun.observer.stage("measuring the speed")
        with explain_memory(draft.values["micro_batch_size"], draft.values["context"]):
            self.speed = self._measure(draft, settings).agreed(self.group)
        self._plan_steps(draft, settings, begun)
        if self.group.count > 1:
            draft.note("processes", self.group.count, "started together; no effect on the result")
        self.plan = draft.finished(settings)
        self.config = replace(self.config, dropout=self.plan.dropout)
        self.judge_first = settings.from_ is not None
        self.tokens_per_step = self.plan.batch_size * self.plan.context
        self.flops_per_token = self.config.flops_per_token(self.plan.context)
        validation = self.data.validation
        self.windows = validation_windows(validation, self.plan.totals[0][1] * self.plan.batch_size)

    # -- the plan ----------------------------------------------------------------------------------

    def _network_of(self, draft: Draft, settings: PretrainSettings) -> Config:
        if self.models.base:
            rules.shape_of(draft, settings.from_ or "", self.models.base.config)
            return self.models.base.config
        return rules.shape(draft, settings, self.tokenizer.vocab_size, self.data.training.context)

    def _try_micro_batches(self, draft: Draft) -> None:
        share = math.ceil(draft.values["batch_size"] / self.group.count)
        dtype = draft.values["dtype"]
        fits = largest_micro_batch(self.config, dtype, self.data.training, share, self.device)
        [agreed] = self.group.agreed([fits])
        draft.note("micro_batch_size", int(agreed), "the most that fits, tried")

    def _measure(self, draft: Draft, settings: PretrainSettings) -> Speed:
        """What a step and an evaluation take here, of a model that is thrown away, and not
        compiled."""
        values = draft.values
        model = build(self.config).to(self.device)
        model.compute_dtype = getattr(torch, values["dtype"])
        rates = Optimization(
            settings.optimizer,
            values["learning_rate"],
            values.get("matrix_learning_rate", 0.0),
            values["weight_decay"],
            settings.l1,
            model.compute_dtype,
        )
        optimizers = make_optimizers(model, rates)
        softened = values.get("temperature"), values.get("alpha")
        loss_sum = self._loss_sum(model, softened, False, settings.label_smoothing)
        sizes = values["batch_size"], values["micro_batch_size"]
        batches = batches_of_step(self.data.training, *sizes, self.group, 0)
        return measure_speed(model, loss_sum, optimizers, batches, self.data, settings)

    def _plan_steps(self, draft: Draft, settings: PretrainSettings, begun: Start) -> None:
        """How many steps the budget comes to, and what follows from that."""
        values, windows, least = draft.values, len(self.data.training), 1
        budget = rules.budgeted_steps(settings, windows, values)
        if budget is None:
            assert settings.seconds is not None
            counting = self._clock(settings.seconds, values["batch_size"])
            left = [counting.steps_left(settings.evaluations - 1), counting.left() > 0]
            fit, in_time = self.group.agreed(left)
            budget = max(1, int(fit)), "what fits, planned anew as the run goes"
            least = FIRST_PLAN if in_time else 1
        steps, reason = budget
        rules.schedule(draft, settings, steps, reason)
        rules.regularisation(draft, settings, windows, steps, self.speed.step)
        if settings.total_steps:
            values["steps"] = settings.total_steps[-1][1]
        elif settings.seconds is not None:
            values["total_steps"] = ((0, max(least, steps)),)
        if not begun.resume:
            draft.reasons["steps"] += (
                f"; {self.speed.words(self.data.validation, steps, settings, values)}"
            )
            found = doubts(draft, settings, self.config, windows, self.speed.step, self.device)
            for doubt in found:
                begun.observer.warn(doubt)

    def _clock(self, seconds: float, batch_size: int) -> Clock:
        trained = (self.began + seconds - clock.now()) / self.speed.step * batch_size
        return Clock(seconds, self.began, self.speed.costs(self.data.validation, round(trained)))

    def clock(self, spent: float) -> Clock | None:
        if self.plan.seconds is None:
            return None
        return self._clock(self.plan.seconds - spent, self.plan.batch_size)

    # -- the model ---------------------------------------------------------------------------------

    def network(self) -> LanguageModel:
        model = build(self.config).to(self.device)
        model.compute_dtype = getattr(torch, self.plan.dtype)
        if self.models.base:
            model.load_state_dict(self.models.base.state_dict())
        else:
            model.initialize(self.plan.seed)
        return model

    def loss_sum(self, model: LanguageModel) -> nn.Module:
        softened = self.plan.temperature, self.plan.alpha
        return self._loss_sum(model, softened, self.plan.compile, self.plan.label_smoothing)

    def _loss_sum(
        self,
        model: LanguageModel,
        softened: tuple[Any, Any],
        compiled: bool,
        label_smoothing: float,
    ) -> nn.Module:
        teacher = self.models.teacher
        if not teacher:
            return LossSum(model, compiled, self.device, label_smoothing)
        teacher.compute_dtype = model.compute_dtype
        return DistillationLossSum(
            model, Teaching(teacher, *softened), compiled, self.device, label_smoothing
        )

    def micro_batches(self, step: int) -> list[Batch]:
        sizes = self.plan.batch_size, self.plan.micro_batch_size
        return batches_of_step(self.data.training, *sizes, self.group, step)

    # -- judging -----------------------------------------------------------------------------------

    def validate(self, model: LanguageModel, last: bool) -> Figures:
        batches = self.data.validation.in_order(8, self.windows[last])
        return evaluate(model, batches, self.tokenizer.token_lengths)

    def sample(self, model: LanguageModel, step: int) -> str:
        return write_sample(model, self.tokenizer, self.plan.prompt, self.plan.seed + step)

    def texts(self, step: int) -> list[str]:
        size = self.plan.batch_size
        rows = self.data.training.batch((step - 1) * size, size).tokens.tolist()
        return [self.tokenizer.decode(row) for row in rows]

    def results(self, model: LanguageModel, before: Figures | None) -> dict[str, Any]:
        return {"texts": write_texts(model, self.tokenizer, self.plan.prompt, self.plan.seed)}


def batches_of_step(
    windows: Windows, batch_size: int, micro_batch_size: int, group: Processes, step: int
) -> list[Batch]:
    """The micro-batches of a step: windows `step × batch_size` and on, of those this process's
    share."""
    first, size = group.share(step * batch_size, batch_size)
    return [
        windows.batch(first + done, min(micro_batch_size, size - done))
        for done in range(0, size, micro_batch_size)
    ]


def fast_dtype(device: torch.device, group: Processes) -> tuple[torch.dtype, str]:
    """The fastest precision here, and why; of several processes the first one's, for each
    measures."""
    dtype, reason = machine.fast_dtype(device)
    [bfloat16] = group.agreed([dtype == torch.bfloat16])
    return (torch.bfloat16 if bfloat16 else torch.float32), reason
