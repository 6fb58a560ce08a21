"""A pretraining planned on paper: by the rules of `pretraining.py`, but for GPUs that are not here
and for a text that is not read. Nothing is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xinye.errors import XinyeError, refuse_first
from xinye.model.config import GPTConfig
from xinye.planning import pretraining as rules
from xinye.planning.command_line import command_line
from xinye.planning.gpus import GPUS, Cluster
from xinye.planning.memory import Room
from xinye.planning.plan import Draft, Plan
from xinye.planning.settings import PretrainSettings
from xinye.planning.step_time import BANDWIDTH, CUDA, FAST, SLOW, StepTime, Transfer, Work
from xinye.planning.units import parse_count

FREE = 0.95  # share of a GPU's memory that is left beside CUDA and NCCL
CHARACTERS_PER_TOKEN = 4  # of English; decides only whether a text is too small for a vocabulary
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, arXiv:2203.15556
MOST_HOSTS = 1024
SHORT_STEP = 0.05  # seconds


@dataclass(frozen=True)
class PaperPlan:
    """A plan, what it needs on a cluster, and the range of time that it is estimated to take."""

    plan: Plan
    work: Work
    given: PretrainSettings
    warnings: Sequence[str] = ()

    @property
    def tokens(self) -> int:
        """The tokens that the training reads."""
        return self.plan.steps * self.plan.batch_size * self.plan.context

    @property
    def method(self) -> str:
        if self.work.cluster.processes == 1:
            return "one process"
        return "FSDP2" if self.work.split else "DDP"

    @property
    def exchanges(self) -> Sequence[Transfer]:
        return self.work.exchanges()

    @property
    def range(self) -> tuple[StepTime, StepTime]:
        """The time of a step if all goes well, and if little does."""
        return self.work.time(FAST), self.work.time(SLOW)

    def seconds(self, time: StepTime) -> float:
        """The time of the whole training."""
        return self.plan.steps * time.step

    def gpu_hours(self, time: StepTime) -> float:
        return self.seconds(time) * self.work.cluster.processes / 3600

    @property
    def free(self) -> float:
        """The bytes of each GPU that a process may take."""
        return FREE * self.work.cluster.gpu.memory

    @property
    def command(self) -> str:
        """The command that starts this training; FILES stands for the text, HOST for the
        first host, and RUN for a folder that all of them share."""
        settings = self.given.model_dump(exclude_unset=True)
        if self.given.tokens is None and self.given.steps is None:
            settings["steps"] = self.plan.steps
        if self.plan.activation_checkpointing:
            settings["activation_checkpointing"] = True
        words = command_line("pretrain", {"files": ["FILES"], **settings})
        cluster = self.work.cluster
        if cluster.hosts > 1:
            launch = [f"HOSTS={cluster.hosts}", "FIRST=HOST", f"PROCESSES={cluster.per_host}"]
            words = [*launch, "cluster/torchrun.sh", *words[1:], "-o", "RUN"]
        elif cluster.processes > 1:
            words += ["--processes", str(cluster.processes)]
        return " ".join(words)

    @property
    def assumptions(self) -> Sequence[str]:
        """What the estimate rests on, in sentences."""
        least, most = f"{SLOW.kernels:.0%}", f"{FAST.kernels:.0%}"
        fewest, several = f"{FAST.passes:g}", f"{SLOW.passes:g}"
        found = [
            f"Assumed: matrix products reach {least} to {most} of the data sheet, memory and links "
            f"{BANDWIDTH:.0%}; activations pass through memory {fewest} to {several} times.",
            "Not counted: reading data, evaluations, checkpoints, compiling, failures.",
            "Memory is the planner's arithmetic for a step; evaluations and fragments come on top.",
        ]
        if self.given.vocab_size is None:
            found.append(
                "The text is not known: the vocabulary is the one for large English texts."
            )
        if self.given.context is None:
            found.append(f"The text is assumed to suit {self.plan.context:,} tokens of context.")
        if self.work.cluster.gpu.bfloat16 is None:
            found.append(
                "This GPU has no bf16 units, and Xinye does not train in fp16: it computes in "
                "float32, without tensor cores, and activations may take twice as much memory."
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON. Sizes are bytes, times seconds; ranges are [fast, slow]."""
        cluster, memory, times = self.work.cluster, self.work.memory, self.range
        return {
            "estimate": True,
            "gpu": asdict(cluster.gpu),
            "hosts": cluster.hosts,
            "gpus_per_host": cluster.per_host,
            "network_bytes_per_second": cluster.network,
            "processes": cluster.processes,
            "method": self.method,
            "plan": self.plan.values,
            "reasons": self.plan.reasons,
            "tokens": self.tokens,
            "windows_at_once": self.work.at_once,
            "micro_batches": self.work.micro_batches,
            "memory_per_gpu": memory.by_part
            | {
                "total": memory.total,
                "free": round(self.free),
            },
            "exchange_per_step_and_gpu": [asdict(each) for each in self.exchanges],
            "flops_per_token": self.work.flops_per_token,
            "total_flops": self.work.flops_per_token * self.tokens,
            "step": [asdict(time) for time in times],
            "mfu": [round(time.mfu, 4) for time in times],
            "seconds": [round(self.seconds(time), 1) for time in times],
            "gpu_hours": [round(self.gpu_hours(time), 2) for time in times],
            "warnings": self.warnings,
            "assumptions": self.assumptions,
            "command": self.command,
        }


def plan_for(settings: PretrainSettings, cluster: Cluster) -> PaperPlan:
    """The plan for a cluster, with activation checkpointing if it fits in no other way.

    Raises `XinyeError` with exit code 1 if the model does not fit, with what would.
    """
    refuse_first(
        (settings.architecture == "lstm", "on paper only GPTs can be planned, not an lstm"),
        (
            settings.micro_batch_size == "auto",
            "micro_batch_size auto tries until memory is full; on paper, leave it out or give a "
            "number",
        ),
    )
    again = settings.model_copy(update={"activation_checkpointing": True})
    whole, found = _attempt(settings, cluster), _attempt(again, cluster)
    if not settings.activation_checkpointing:
        found = _because(found, activation_checkpointing="it does not fit otherwise")
    if isinstance(whole, PaperPlan):
        advice = _faster(whole, found)
        if whole.method == "DDP" and settings.parallel == "auto":
            split = _attempt(settings.model_copy(update={"parallel": "fsdp"}), cluster)
            advice = [*advice, *_better_split(whole, split)]
        return replace(whole, warnings=[*_doubts(whole), *advice])
    if isinstance(found, PaperPlan):
        return replace(found, warnings=_doubts(found))
    arithmetic, less = found, "choose a smaller --size or --context"
    if others := _either([*_alternatives(again, cluster)]):
        less = f"it fits with {others}; or {less}"
    free = f"{FREE * cluster.gpu.memory / 1e9:.1f} GB"
    raise XinyeError(
        f"this model does not fit, even with --activation-checkpointing: {arithmetic}, but {free} "
        f"of each {cluster.gpu.title} are free; {less}",
        exit_code=1,
    )


def _attempt(settings: PretrainSettings, cluster: Cluster) -> PaperPlan | str:
    """The plan with these settings, or the calculation that shows that it does not fit."""
    draft = Draft(settings=settings)
    size = parse_count(settings.size)
    tokens = parse_count(settings.tokens) if settings.tokens else TOKENS_PER_PARAMETER * size
    work = _work(draft, settings, cluster, tokens)
    if isinstance(work, str):
        return work
    rules.rates(draft, settings, work.config)
    if work.again:
        draft.note("activation_checkpointing", True, "given")
    gpu = cluster.gpu
    has = "this GPU computes in bf16" if gpu.bfloat16 else "this GPU has no bf16 units"
    draft.note("dtype", gpu.dtype, has)
    draft.note("device", "cuda", gpu.title)
    usual = round(tokens / (work.batch_size * work.context)), "20 tokens per parameter"
    steps, reason = rules.budgeted_steps(draft, settings, work.batch_size) or usual
    rules.schedule(draft, settings, steps, reason)
    windows, step = steps * work.batch_size, work.time(FAST).step
    rules.regularisation(draft, settings, windows, steps, step)
    return PaperPlan(draft.finished(settings), work, settings)


def _work(draft: Draft, settings: PretrainSettings, cluster: Cluster, tokens: int) -> Work | str:
    """The shape and the batches for a text of so many tokens, noted in the draft, or the
    calculation that shows that the model does not fit."""
    size, again = parse_count(settings.size), settings.activation_checkpointing
    vocabulary = rules.vocabulary_size(size, CHARACTERS_PER_TOKEN * tokens, chinese=False)
    vocab_size = draft.choose("vocabulary", settings.vocab_size, *vocabulary)
    derived = rules.context_length(size, np.array([]), tokens)
    context = draft.choose("context", settings.context, *derived)
    config = rules.shape(draft, settings, vocab_size, context)
    assert isinstance(config, GPTConfig)
    room, refused = Room(int(FREE * cluster.gpu.memory), cluster.processes), False
    try:
        rules.batches(draft, settings, config, CUDA, room)
    except XinyeError:
        refused = True
    work = Work(
        config=config,
        cluster=cluster,
        context=context,
        batch_size=draft.values["batch_size"],
        micro_batch_size=draft.values["micro_batch_size"],
        optimizer=settings.optimizer,
        split=cluster.processes > 1 and draft.parallel == "fsdp",
        again=again,
    )
    if refused:
        return work.memory.arithmetic
    if work.batch_size < cluster.processes:
        enough = cluster.processes
        raise XinyeError(
            f"a batch of {work.batch_size} cannot be shared by {cluster.processes} processes; "
            f"choose fewer GPUs, or --batch-size {enough}"
        )
    return work


def _because(found: PaperPlan | str, **reasons: str) -> PaperPlan | str:
    """The plan with other reasons for what the planner was not asked for."""
    if isinstance(found, str):
        return found
    return replace(found, plan=replace(found.plan, reasons={**found.plan.reasons, **reasons}))


def _doubts(found: PaperPlan) -> Sequence[str]:
    """Warnings about a plan, as `pretrain` prints them."""
    plan = found.plan
    draft, asked = Draft(values=dict(plan.values)), found.given
    if asked.tokens is None and asked.steps is None:  # then the budget is that of the plan, no time
        asked = asked.model_copy(update={"tokens": str(found.tokens)})
    windows, step = plan.steps * plan.batch_size, found.range[0].step
    doubts = rules.doubts(draft, asked, found.work.config, windows, step, CUDA)
    if (asked.width or asked.layers) and not 0.5 < plan.parameters / parse_count(asked.size) < 2:
        doubts.append(
            f"the model has {plan.parameters:,} parameters: --width and --layers win over --size "
            f"{asked.size}, which then sets only vocabulary, context and tokens"
        )
    if step < SHORT_STEP:
        milliseconds = f"{1000 * step:.2g}"
        doubts.append(
            f"a step of {milliseconds} ms is short: starting kernels and exchanges takes a "
            "good part of such a step, and is not counted"
        )
    return doubts


def _faster(found: PaperPlan, again: PaperPlan | str) -> Sequence[str]:
    """The advice to use activation checkpointing if it would be faster, because more windows are
    computed at once, and weights gathered less often."""
    if isinstance(again, str) or not _is_faster(again, found):
        return []
    fast, slow = (1000 * time.step for time in again.range)
    return [
        f"with --activation-checkpointing, {again.work.at_once} windows fit at once, and a step "
        f"takes only {fast:,.0f} to {slow:,.0f} ms"
    ]


def _better_split(found: PaperPlan, split: PaperPlan | str) -> Sequence[str]:
    """The advice to split a model that would fit as a whole, if that would be faster."""
    if isinstance(split, str) or not _is_faster(split, found):
        return []
    fast, slow = (1000 * time.step for time in split.range)
    memory = f"{split.work.memory.total / 1e9:.0f} GB"
    return [
        f"with --parallel fsdp, a step takes only {fast:,.0f} to {slow:,.0f} ms, and each GPU "
        f"{memory}"
    ]


def _is_faster(new: PaperPlan, old: PaperPlan) -> bool:
    """Whether both ends of the range are."""
    return all(one.step < other.step for one, other in zip(new.range, old.range, strict=True))


def _alternatives(settings: PretrainSettings, cluster: Cluster) -> Iterator[str]:
    """What of settings and machine to change, each alone, so that the model fits."""
    changes: dict[str, Any] = {"parallel": "fsdp", "micro_batch_size": 1}
    for name, value in changes.items():
        if _fits(settings.model_copy(update={name: value}), cluster):
            yield f"--{name.replace('_', '-')} {value}"
    hosts = cluster.hosts
    while (hosts := 2 * hosts) <= MOST_HOSTS:
        if _fits(settings, cluster._replace(hosts=hosts)):
            yield f"--hosts {hosts}"
            break
    larger = sorted(GPUS.items(), key=lambda item: item[1].memory)
    for name, gpu in larger:
        if gpu.memory > cluster.gpu.memory and _fits(settings, cluster._replace(gpu=gpu)):
            yield f"--gpu {name}"
            break


def _either(words: Sequence[str]) -> str:
    """The words as "a, b or c"."""
    return " or ".join([*filter(None, [", ".join(words[:-1])]), *words[-1:]])


def _fits(settings: PretrainSettings, cluster: Cluster) -> bool:
    """Whether there is a plan with these settings."""
    try:
        return isinstance(_attempt(settings, cluster), PaperPlan)
    except XinyeError:  # too few windows for so many processes
        return False
