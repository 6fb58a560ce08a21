"""Pretraining: the `Job` of a run on text, from scratch or from another model."""

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, replace

import torch
from torch import Tensor

from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.perplexity import evaluate
from xinye.evaluation.yardstick import Part, yardstick
from xinye.generation.engine import start
from xinye.generation.sampling import Sampling
from xinye.model.build import Config, LanguageModel, build
from xinye.model.lstm import LSTM
from xinye.model.sharded import put
from xinye.planning import pretraining as rules
from xinye.planning.memory import Memory, check_size, memory_of_process
from xinye.planning.models import load_models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import Values
from xinye.runs.resume import check_teacher, check_text
from xinye.tasks.task_mix import check_mixes, mix_in, read_mixes
from xinye.tasks.text import (
    TextData,
    prepare_text,
    validation_windows,
    write_sample,
    write_texts,
)
from xinye.training import clock
from xinye.training.calibrate import Speed, Trial, largest_micro_batch, measure_speed
from xinye.training.clock import Clock
from xinye.training.distillation import distillation_loss
from xinye.training.guards import explain_memory
from xinye.training.job import Figures, Job, LossSum
from xinye.training.loop import Idle

# The least number of steps planned at first. The speed measured may be wrong, and the clock
# corrects the plan after two steps.
FIRST_PLAN = 8


class TextJob(Job):
    """A job that trains a language model on text."""

    settings: PretrainSettings
    data: TextData
    samples: Windows  # the training windows, with those of the tasks' records
    speed: Speed  # measured before the run
    figures = ("loss", "bits_per_byte")
    better = "bits_per_byte"
    lower_replaced = True
    tokens_per_target = 1.0

    def check(self) -> None:
        settings = self.settings
        if not self.begun.resume:
            if settings.time and settings.total_steps:
                raise XinyeError(
                    "--total-steps and --time both set the length of the run; give only one of "
                    "the two"
                )
            check_size(settings, *self.room)
        settings.cleaning.check_libraries()
        check_mixes(settings)

    def read(self) -> None:
        """Read the text and train its tokenizer, or take the tokenizer of the models to start
        from."""
        begun, settings = self.begun, self.settings
        self.models = load_models(settings)
        if isinstance(self.models.base, LSTM) or settings.architecture == "lstm":
            refuse_for_lstm(settings)
        mixes = read_mixes(settings, begun.observer) if settings.task_mix else []
        with begun.group.main_process_first():  # the others find the prepared text in the cache
            self.data = data = prepare_text(
                settings, self.draft, begun.observer, self.models, mixes
            )
        self.tokenizer, self.samples = data.tokenizer, data.training
        if mixes:
            self.samples, facts = mix_in(
                data.training, data.tokenizer, mixes, self.draft, begun.observer
            )
            self.data = replace(data, facts=data.facts | {"task_mix": facts})
        if begun.resume:
            check_text(begun.folder, self.data)
            check_teacher(begun.folder, self.models)
        # This raises an error now if the prompt for samples is too long.
        start(self.tokenizer, settings.prompt, self.samples.context, Sampling())

    # -- the plan ----------------------------------------------------------------------------------

    def make_plan(self) -> Plan:
        """The plan: the shape, the rates and, from a measurement of the speed, the number of
        steps."""
        settings, draft, data = self.settings, self.draft, self.data
        group, say = self.begun.group, self.begun.observer.stage
        if self.models.base:
            self.config = self.models.base.config
            rules.shape_of(draft, settings.from_ or "", self.config)
        else:
            context = self.samples.context
            self.config = rules.shape(draft, settings, self.tokenizer.vocab_size, context)
        needed = rules.batches(draft, settings, self.config, self.device, self.room)
        if self.count > 1:
            each = f"{needed / 1e9:.2f} GB each"
            draft.reasons["parallel"] += f"; {each}"
        rules.rates(draft, settings, self.config)
        rules.precision(draft, settings, self.device, self.fast_dtype)
        self.check_shares()
        split = self.count > 1 and draft.values["parallel"] == "fsdp"
        if settings.micro_batch_size == "auto" and split:
            raise XinyeError(
                "--micro-batch-size auto tries until memory is full, which several processes "
                "cannot do together with --parallel fsdp; give a number"
            )
        if settings.micro_batch_size == "auto":
            say("trying how many windows fit in memory")
            share = math.ceil(draft.values["batch_size"] / self.count)
            fits = largest_micro_batch(self._network(self.config), self.samples, share, self.device)
            [agreed] = group.agreed([fits])
            draft.note(
                "micro_batch_size", int(agreed), ("the most that fits in memory, found by trying")
            )
        say("measuring the speed")
        with explain_memory(draft):
            self.speed = Speed(*group.agreed(astuple(self._measure())))
        if self.sharded:
            gc.collect()  # the layers of the trial refer to each other
        self._plan_steps()
        self.check_longer()
        self.plan = plan = draft.finished(settings)
        self.config = replace(self.config, dropout=plan.dropout)
        self.judge_first = settings.from_ is not None
        self.tokens_per_step = plan.batch_size * plan.context
        self.flops_per_token = self.config.flops_per_token(plan.context)
        self.windows = validation_windows(data.validation, self.first_steps * plan.batch_size)
        return plan

    def _measure(self) -> Speed:
        """The seconds of a step, an evaluation and a sample, measured with a model that is thrown
        away.

        A dry run measures what one process can compute alone: of a model that does not fit, one
        layer. Several processes on GPUs are then as many times as fast, and on a CPU as fast as
        one.
        """
        config, planned = self.config, self.begun.dry_run
        at_once = self.draft.micro_batch_size * self.samples.context
        how = self.settings.optimizer, self.settings.activation_checkpointing
        needed = Memory(config, at_once, *how, device=self.device)
        if planned > 1 and needed.total > memory_of_process(self.device):
            config = replace(config, num_hidden_layers=1)
        model = self._network(config)
        loss_sum, optimizers = self.loss_sum(model, compiled=False), self.optimizers(model)
        trial = Trial(model, loss_sum, optimizers, self.evaluating)
        if self.sharded:
            trial = replace(trial, agreed=self.begun.group.agreed)
        batches = [each for each in self.micro_batches(0) if not isinstance(each, Idle)]
        speed = measure_speed(trial, batches, self.data, self.settings)
        context = self.samples.context
        whole = self.config.flops_per_token(context) / config.flops_per_token(context)
        alone = self.begun.group.count == 1  # and measures a whole step, not its share
        faster = planned if planned > 1 and alone and self.device.type == "cuda" else 1
        return Speed(speed.step * whole / faster, speed.window * whole, speed.sample * whole)

    def _plan_steps(self) -> None:
        """Fill in the number of steps that the budget allows, and the numbers that follow from
        it."""
        settings, draft, least = self.settings, self.draft, 1
        windows = self.samples.about_per_epoch
        budget = rules.budgeted_steps(draft, settings, windows)
        longer = self.begun.longer
        if budget is None:
            done, spent = (longer.step, longer.seconds) if longer else (0, 0.0)
            counting = self.clock(spent)
            assert counting is not None
            left = [counting.steps_left(settings.evaluations - 1), counting.left() > 0]
            fit, in_time = self.begun.group.agreed(left)
            more = max(1, int(fit)) if in_time or not longer else 0
            budget = done + more, "as many as fit into the time, updated during the run"
            least = done + (FIRST_PLAN if in_time else more)
        steps, reason = budget
        rules.schedule(draft, settings, steps, reason)
        rules.regularisation(draft, settings, windows, steps, self.speed.step)
        if settings.total_steps:
            draft.values["steps"] = settings.total_steps[-1][1]
        elif settings.seconds is not None:
            draft.values["total_steps"] = ((0, max(least, steps)),)
        if not self.begun.resume:
            trained = steps * draft.values["batch_size"]
            costs = self.speed.costs(self.data.validation, trained)
            draft.note("total_seconds", *costs.total(steps, settings))
            if self.begun.dry_run > 1:
                uncounted = "what the processes exchange is not counted"
                draft.reasons["total_seconds"] += f"; {uncounted}"
            seconds = self.speed.step
            for doubt in rules.doubts(draft, settings, self.config, windows, seconds, self.device):
                self.begun.observer.warn(doubt)

    def clock(self, spent: float) -> Clock | None:
        if self.numbers.seconds is None:
            return None
        seconds, began = self.numbers.seconds - spent, self.begun.began
        steps = (began + seconds - clock.now()) / self.speed.step
        trained = round(steps * self.numbers.batch_size)
        return Clock(seconds, began, self.speed.costs(self.data.validation, trained))

    def facts(self) -> Values:
        """The facts of the data, with a baseline for bits per byte. It is computed before training,
        so that it counts in a budget of time, and an interrupted run has it, too."""
        data = self.data
        training, held_out = (
            Part(windows.tokens, windows.spans) for windows in (data.training, data.validation)
        )
        if not held_out.size(data.tokenizer):
            return data.facts
        return data.facts | {"yardstick": asdict(yardstick(training, held_out, data.tokenizer))}

    # -- the model ---------------------------------------------------------------------------------

    def build(self) -> LanguageModel:
        model = self._network(self.config)
        if self.models.base:
            values = self.models.base.state_dict()
            for name, weight in model.named_parameters():
                put(weight, values[name])
            self.models = replace(self.models, base=None)
        return model

    def _network(self, config: Config) -> LanguageModel:
        """A new model of this shape, to compute as planned."""
        with torch.device("meta" if self.sharded else self.device):
            model = build(config)
        model = self.prepared(model)
        model.initialize(self.numbers.seed)
        return model

    def loss_sum(self, model: LanguageModel, compiled: bool) -> LossSum:
        teacher, numbers = self.models.teacher, self.numbers
        if not teacher:
            return LossSum(model, text_loss(model, numbers.label_smoothing, compiled), self.device)
        assert numbers.temperature is not None and numbers.alpha is not None
        teacher.to(self.device).compute_dtype = model.compute_dtype
        loss = distillation_loss(
            model, teacher, numbers.temperature, numbers.alpha, numbers.label_smoothing, compiled
        )
        return LossSum(model, loss, self.device)

    # -- evaluation --------------------------------------------------------------------------------

    def validate(self, model: LanguageModel, last: bool) -> Figures:
        batches = self.data.validation.in_order(8, self.windows[last])
        return evaluate(model, batches, self.tokenizer.token_lengths)

    def sample(self, model: LanguageModel, step: int) -> str:
        return write_sample(model, self.tokenizer, self.plan.prompt, self.plan.seed + step)

    def texts(self, step: int) -> list[str]:
        size = self.plan.batch_size
        rows = self.samples.batch((step - 1) * size, size).tokens.tolist()
        return [self.tokenizer.decode(row) for row in rows]

    def results(self, model: LanguageModel, before: Figures | None) -> Mapping[str, object]:
        return {"texts": write_texts(model, self.tokenizer, self.plan.prompt, self.plan.seed)}


def refuse_for_lstm(settings: PretrainSettings) -> None:
    """Raise `XinyeError` for what only the layers of a GPT can do."""
    if settings.activation_checkpointing:
        raise XinyeError("--activation-checkpointing has no effect on an lstm; leave it out")
    if settings.parallel == "fsdp":
        raise XinyeError("--parallel fsdp: an lstm cannot be split; choose ddp")


def text_loss(
    model: LanguageModel, label_smoothing: float = 0.0, compiled: bool = False
) -> Callable[[Batch], Tensor]:
    """A function that maps a batch to the sum of its targets' losses, in nats."""
    loss = torch.compile(model.loss) if compiled else model.loss
    return lambda batch: loss(
        batch.tokens,
        batch.targets,
        batch.positions,
        batch.documents,
        label_smoothing,
        batch.borders,
    )
