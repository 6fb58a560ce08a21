"""A run while it trains, from its first step to its report."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from typing import Any, Literal

import torch

from xinye import machine
from xinye.errors import XinyeError, plural
from xinye.model.adapters import after_step
from xinye.model.sharded import part_of
from xinye.observer import Evaluated
from xinye.runs.folder import Extension, RunFolder
from xinye.runs.saved import read_run
from xinye.runs.store import Keep, cannot_save
from xinye.training.averaged import together
from xinye.training.guards import explain_memory, interruptible
from xinye.training.job import Figures, Job, Run, Start
from xinye.training.loop import Loop, Step
from xinye.training.pages import write_pages
from xinye.training.progress import Progress
from xinye.training.schedule import Schedule
from xinye.training.trackers import MetricsFile, Trackers

ADVICE = "start again with --overwrite and a lower --learning-rate"
REFUSED = 5  # a run fails after this many steps in a row without a finite gradient


class Session:
    """The state of a run in training: its model, optimizers, schedule, progress and observers."""

    def __init__(self, begun: Start, job: Job, model: Any) -> None:
        self.group, self.folder, self.job, self.plan = begun.group, begun.folder, job, job.plan
        self.stopwatch, self.observer = begun.stopwatch, begun.observer
        self.longer, self.extended = begun.longer, begun.extended
        self.files = RunFolder(begun.folder)
        self.model, self.optimizers = model, job.optimizers(model)
        self.store = job.store(model, self.optimizers)
        # Where each process has a part of the model, all must evaluate and save together.
        self.working = self.group.first or job.sharded
        loss_sum = job.loss_sum(model, self.plan.compile and not job.sharded)
        self.loss_sum = loss_sum if job.sharded else together(loss_sum, self.optimizers, self.group)
        self.progress = Progress()
        self.before = Progress()  # the progress when this process started
        self.totals = self.plan.totals
        self.tokens = 0  # counted by this process
        self.refused = 0  # steps in a row whose gradient was not finite
        self.stepping = True  # until the model to keep is saved
        self.stopped = 0  # the signal that ended the steps; one that comes later changes nothing
        self.results: Mapping[str, object] = {}
        self.judged: Figures = {}
        speed = machine.matrix_speed(machine.device(), getattr(torch, self.plan.dtype))
        self.speed = (speed or math.inf) * self.group.count

    def resume(self) -> None:
        """Restore the state of the last checkpoint."""
        with self.group.main_process_first():
            saved = self.store.load(clean=self.group.first)
        step, best = saved["step"], saved.get("best") or {}
        before, cooled = saved.get("before"), saved.get("cooled_from")
        if best and any(step == each.step for each in self.extended):
            best["worse_since"], cooled = 0, None  # an extension starts with new patience
        self.progress = Progress(step, saved["seconds"], best, before, cooled)
        self.before = replace(self.progress)
        if self.plan.seconds is not None:  # the clock plans the later steps again
            self.totals = tuple(pair for pair in self.totals if pair[0] <= step)
        if self.group.first:
            self.files.forget_metrics(step)
            if self.longer:
                self.files.extend(self.longer, self.plan.values, self.plan.reasons)
            elif self.plan.seconds is not None:
                self.files.note_totals(self.totals)

    def run(self) -> Run:
        """Train to the end; writes the result, report and model card, and returns the run."""
        plan = self.plan
        self.clock = self.job.clock(self.before.seconds)
        self.schedule = Schedule(
            self.totals, plan.warmup, plan.schedule, plan.decay, plan.evaluations, self.clock
        )
        self.schedule.returned = self.progress.cooled_from
        if self.longer:
            self.observer.warn(self.extension_message(self.longer))
        self.stopwatch.lap("planning")
        first = self.group.first
        outcome: Run | BaseException
        try:
            with self.files.in_use() if first else nullcontext():
                self.observers = (*self.recorders(), self.observer) if first else (self.observer,)
                try:
                    with (
                        explain_memory(plan),
                        interruptible(self.asked_to_stop, self.group.launched) as self.interrupted,
                    ):
                        self.take_steps()
                        outcome = run = self.concluded()
                except BaseException as error:
                    outcome = error
                    raise
                finally:
                    with ExitStack() as all_of_them:  # all are called, even if one of them fails
                        all_of_them.callback(self.store.close)
                        for observer in reversed(self.observers):
                            all_of_them.callback(observer.ended, outcome)
            return run
        finally:
            if first:
                write_pages(self.folder, self.observer)

    def asked_to_stop(self, signal: str) -> None:
        """Say what the run still does after a signal to stop, named if it may come again."""
        said = f"the model is saved; writing the result; {signal} again stops at once"
        if self.stepping:
            said = f"finishing this step and saving; {signal} again stops at once"
        self.observer.stage(said if signal else "finishing and saving")

    def extension_message(self, longer: Extension) -> str:
        """The message about the learning rate of an extended run."""
        plan, step = self.plan, self.progress.step
        shorter = Schedule(longer.total_steps, plan.warmup, plan.schedule, plan.decay)
        was = shorter.rate(max(0, step - 1))
        now, last = self.schedule.rate(step), self.schedule.rate(self.schedule.steps - 1)
        return (
            f"{self.folder}: training continues from step {step:,} to {self.schedule.steps:,}, now "
            f"with the {plan.schedule} schedule of {plural(self.schedule.steps, 'step')}: the "
            f"learning rate was {was:.0%} of its peak, is {now:.0%} now and ends at {last:.0%}"
        )

    def recorders(self) -> tuple[MetricsFile, Trackers]:
        """The observers that write events to files and trackers. A tracker also gets the whole
        plan."""
        metrics, track = MetricsFile(self.files.open_metrics()), self.plan.track
        planned = {name: value for name, value in asdict(self.plan).items() if value is not None}
        del planned["reasons"], planned["counts"]
        described = planned | self.files.about()["settings"] | self.plan.values
        if track:
            self.observer.stage(f"opening {', '.join(track)}")
        warn = self.observer.warn
        return metrics, Trackers(track, self.folder, described, self.before.step, warn)

    # -- the steps ---------------------------------------------------------------------------------

    def take_steps(self) -> None:
        """Take all steps; evaluates, writes a sample and saves at equal parts of the run and at its
        end."""
        self.model.train()
        unknown = not self.before.step and self.progress.before is None
        if self.job.judge_first and self.working and unknown:
            self.observer.stage("evaluating the model before training")
            self.progress.before = self.judge("before", last=True)
            self.stopwatch.lap("validation")
            if self.plan.cooldown:  # the base is the model to beat
                self.compare(self.progress.before)
                self.save()
        trained = [each for each in self.model.parameters() if each.requires_grad]
        loop = Loop(
            self.loss_sum, trained, self.optimizers, self.job.micro_batches, self.schedule.rate,
            self.plan.clip, self.plan.seed, self.group, self.follow,
            lambda: bool(self.interrupted()), self.job.device,
        )  # fmt: skip
        if self.clock:
            self.clock.pass_by()
        if self.working:
            self.evaluate_former_end()
        while True:
            first = self.schedule.steps if self.exhausted() else self.progress.step
            for record in loop.take(first, lambda: self.schedule.steps):
                if self.after(record):
                    break
            self.told_to_end()
            if self.working and self.plan.cooldown and self.ended():
                self.evaluate()
            self.told_to_end()  # an evaluation takes long, too
            if not self.group.any(self.cooldown_due()):
                break
            self.cool_down()
        if not self.working:
            return
        if self.model_step() != self.progress.step:
            self.store.go_back(self.model_step())
        elif not (self.plan.cooldown and self.ended()):
            self.check_finite()
            self.save()
        self.stepping = False
        if not self.stopped:
            self.judged = self.judge("result", last=True)
            if self.job.learns_threshold and self.model_step() == self.progress.step:
                self.save()
            self.store.wait()
            with self.job.evaluating(self.model):
                self.judged |= self.job.complete(self.model)
                self.results = self.job.results(self.model, self.progress.before)
            self.stopwatch.lap("samples")

    def told_to_end(self) -> bool:
        """Whether the run is to take no more steps, by a signal to any process or by its
        figures."""
        told = self.group.most((self.interrupted(), self.exhausted()))
        self.stopped = int(told[0])
        return any(told)

    def decided(self, condition: bool) -> bool:
        """Whether the condition holds in the first process. Those that work with it follow it."""
        return bool(self.group.agreed([condition])[0]) if self.job.sharded else condition

    def after(self, record: Step) -> bool:
        """Record a step, and do what is due after it; returns whether it was the last one."""
        self.progress.step = record.step
        self.progress.seconds += record.seconds
        self.tokens += record.tokens
        flops = record.tokens * self.job.tokens_per_target * self.job.flops_per_token
        utilization = round(flops / record.seconds / self.speed, 4)
        record = replace(record, model_flops_utilization=utilization)
        for observer in self.observers:
            observer.step(record, self.schedule.steps)
        self.stopwatch.lap("training")
        self.check_gradient(record)
        if self.clock:
            self.clock.stepped()
        if self.schedule.plan_anew(record.step, self.group) and self.group.first:
            self.files.note_totals(self.schedule.totals)
        due = self.schedule.evaluation_due(record.step) and self.progress.cooled_from is None
        if self.working and due and self.decided(self.may_evaluate()):
            self.evaluate()
        return due and self.told_to_end()

    def may_evaluate(self) -> bool:
        return not self.interrupted() and (self.clock is None or self.clock.may_evaluate())

    def follow(self, step: int) -> None:
        """Run AdaLoRA's allocation of ranks. It follows the steps of the first plan, and has ended
        when a run is extended."""
        planned = self.job.first_steps
        after_step(self.model, min(step, planned), planned)

    def check_gradient(self, record: Step) -> None:
        """Record the texts of a step whose gradient is not finite, and fail after several in a
        row."""
        if math.isfinite(record.gradient_norm):
            self.refused = 0
            return
        self.refused += 1
        for observer in self.observers:
            observer.refused(record.step, self.job.texts(record.step))
        if self.refused == REFUSED:
            what = f"the gradient was not finite in {self.refused} steps in a row"
            raise XinyeError(f"{self.folder}: {what}; {ADVICE}", 1)

    # -- evaluations -------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Evaluate the model during the run, record whether it is the best so far, and save it."""
        self.judged = self.judge("validation", last=False)
        self.compare(self.judged)
        self.save()
        if self.clock:
            self.clock.evaluated()

    def compare(self, figures: Figures) -> None:
        """Record whether the model with these figures is the best so far. A run that may cool down
        follows the loss, which tells sooner and with less noise than other figures that a model
        only memorizes."""
        job = self.job
        name = "loss" if self.plan.cooldown else job.better
        lower = name == "loss" or job.lower_replaced
        known = {each: figures[each] for each in ("loss", job.better)}
        self.progress.compare(known, name, lower)

    def evaluate_former_end(self) -> None:
        """Evaluate an extended run at its former end, on the validation text of all other points of
        its curve. This does not use up patience."""
        step = self.progress.step
        ended = any(step == each.step and each.validation for each in self.extended)
        if ended and self.group.first:
            judged = [record["step"] for record in read_run(self.folder).validations]
            ended = step not in judged
        if self.decided(ended):
            self.evaluate()
            self.progress.best["worse_since"] = 0

    def judge(self, kind: Literal["before", "validation", "result"], last: bool) -> Figures:
        """The figures of the model now, sent to all observers with a sample."""
        progress, job = self.progress, self.job
        with job.evaluating(self.model):
            figures = job.agreed(job.validate(self.model, last))
            self.check_finite(figures["loss"])
            self.stopwatch.lap("validation")
            sample = job.sample(self.model, progress.step)
        evaluated = Evaluated(kind, progress.step, progress.seconds, sample, figures, job.figures)
        for observer in self.observers:
            observer.evaluated(evaluated)
        self.stopwatch.lap("samples")
        return figures

    def exhausted(self) -> bool:
        """Whether `patience` evaluations since the best one were no better, so that the run stops
        early, or returns to that one."""
        patience = self.plan.patience
        if self.plan.cooldown and self.progress.cooled_from is None:
            patience = patience or self.job.worse_allowed
        return patience is not None and self.progress.best.get("worse_since", 0) >= patience

    def ended(self) -> bool:
        """Whether all steps of the plan were taken, and the run was not told to stop."""
        return self.progress.step >= self.schedule.steps and not self.stopped

    def cooldown_due(self) -> bool:
        """Whether the run is to return to its best model, to decay the learning rate from there:
        once, if it is exhausted, or if the model at its end is not the best. The first process
        knows."""
        progress, may = self.progress, self.plan.cooldown and not self.stopped
        if not (may and self.group.first) or progress.cooled_from is not None:
            return False
        return self.exhausted() or (self.ended() and progress.best["step"] != progress.step)

    def cool_down(self) -> None:
        """Return to the best model, and plan the last steps, in which the learning rate decays from
        what it was then to zero. The number of steps done stays. All processes call this
        together."""
        progress, steps = self.progress, self.plan.cooldown or 0
        [best] = map(int, self.group.agreed([progress.best.get("step", 0)]))
        with self.group.main_process_first():
            self.store.load(best, clean=False)
        self.schedule.return_to(best, progress.step, steps)
        progress.cooled_from = best
        progress.best["worse_since"] = 0
        if self.group.first:
            self.files.note_totals(self.schedule.totals)
        if self.working:
            self.save()
            self.observer.warn(
                f"{self.folder}: no evaluation after that of step {best:,} is better; training "
                f"continues from the model of step {best:,} for {plural(steps, 'step')}, in which "
                "the learning rate decays to zero"
            )

    def model_step(self) -> int:
        """The step to keep: the best one after an early stop or a cooldown, else the last one."""
        keeps_best = self.exhausted() or bool(self.plan.cooldown and not self.stopped)
        return int(self.progress.best["step"]) if keeps_best else self.progress.step

    def check_finite(self, loss: float = 0.0) -> None:
        parts, step = map(part_of, self.model.parameters()), self.progress.step
        finite = all(bool(torch.isfinite(each).all()) for each in parts)
        good = finite and math.isfinite(loss)
        if self.group.any(not good) if self.job.sharded else not good:
            lost = f"at step {step} the loss is no longer finite"
            what = lost if finite else f"at step {step} the weights are no longer finite"
            raise XinyeError(f"{self.folder}: {what}; {ADVICE}", exit_code=1)

    def save(self) -> None:
        last, best = self.plan.keep_checkpoints or 2, self.progress.best
        keep = Keep(None if last == "all" else last, best["step"] if best else None)
        self.store.save(asdict(self.progress), keep)
        self.stopwatch.lap("saving")

    # -- the end -----------------------------------------------------------------------------------

    def concluded(self) -> Run:
        """The finished run, which is also written to `result.json`."""
        self.store.wait()
        job, progress = self.job, self.progress
        spent = progress.seconds - self.before.seconds
        per_second = self.tokens * job.tokens_per_target / max(1e-9, spent)
        run = Run(
            run=str(self.folder),
            parameters=self.plan.parameters,
            steps=progress.step,
            tokens=round(progress.step * job.tokens_per_step),
            seconds=round(progress.seconds, 2),
            tokens_per_second=round(per_second, 1),
            model_flops_utilization=round(per_second * job.flops_per_token / self.speed, 4),
            validation=rounded(self.judged, job.figures),
            interrupted=self.stopped,
            stopped_early=progress.cooled_from is not None
            or (self.exhausted() and progress.step < self.schedule.steps),
            model_step=self.model_step() if self.group.first else progress.step,
            cooled_from=progress.cooled_from,
            before=rounded(progress.before, job.figures) if progress.before else None,
        )
        if self.group.first:
            times = {name: round(spent, 3) for name, spent in self.stopwatch.seconds.items()}
            measured = {
                "time_seconds": times,
                "first_step": self.before.step,
                "matrix_flops_per_second": round(self.speed) if math.isfinite(self.speed) else None,
                "peak_memory_bytes": machine.peak_memory_bytes(machine.device()),
            }
            try:
                self.files.conclude({**asdict(run), **measured, **self.results})
            except OSError as error:
                raise cannot_save(self.folder, error) from error
        return run


def rounded(figures: Figures, names: Sequence[str]) -> Figures:
    return {name: round(figures[name], 5) for name in names if name in figures}
