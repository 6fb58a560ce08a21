"""The plan of a run: every number that it needs, and the reason for each.

A `Draft` is filled in while data, model and machine are examined. The `Plan` made from it does not
change, and from then on the settings are not read again.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from xinye.planning.settings import TrainingSettings
from xinye.planning.units import duration

# The parts of a plan's table, and the first field of each. The counts of a task belong to the data.
GROUPS = {"data": "documents", "model": "architecture", "optimization": "batch_size"}
GROUPS |= {"machine": "micro_batch_size", "": "total_seconds"}


@dataclass
class Draft:
    """The values of a plan by name, and the reason for each, while they are being found.

    Attributes read like those of a `Plan`: a value that is not found yet is that of the `settings`.
    """

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    settings: TrainingSettings | None = None
    typed: Set[str] | None = None  # the settings that a resumed run was given again

    def __getattr__(self, name: str) -> Any:
        if name in _NAMES:
            return self.values.get(name, getattr(self.settings, name, None))
        raise AttributeError(name)

    def choose(self, name: str, given: Any, derived: Any, reason: str) -> Any:
        """Note the given value, or else the derived one with its reason; returns the value."""
        self.values[name] = derived if given is None else given
        self.reasons[name] = reason if given is None else self.origin(name)
        return self.values[name]

    def origin(self, name: str) -> str:
        """Where the value of a setting comes from."""
        return "given" if self.typed is None or name in self.typed else "as in the saved run"

    def choose_each(self, settings: TrainingSettings, **rows: tuple[Any, str]) -> None:
        """Note several values: for each name that of the settings, or else the pair (derived,
        reason)."""
        for name, (derived, reason) in rows.items():
            given = getattr(settings, name, None)
            self.choose(name, None if given == "auto" else given, derived, reason)

    def note(self, name: str, value: Any, reason: str) -> Any:
        """Note and return a value that no setting gives."""
        return self.choose(name, None, value, reason)

    def finished(self, settings: TrainingSettings) -> "Plan":
        """The plan. Values that were not derived are those of the settings."""
        asked = {name: getattr(settings, name, None) for name in _NAMES}
        given = {name: value for name, value in asked.items() if value is not None}
        known = {name: self.values[name] for name in self.values.keys() & _NAMES}
        counts = {name: self.values[name] for name in self.reasons.keys() - _NAMES}
        return Plan(**{**given, **known, "counts": counts, "reasons": dict(self.reasons)})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every number of a run. A field is None if this run does not use it. `reasons` has the reason
    for each number, by name."""

    # the text, in tokens, each counted once
    documents: int | None = None
    vocabulary: int | None = None  # tokens in the vocabulary
    training_tokens: int | None = None
    validation_tokens: int | None = None
    task_mix_tokens: int | None = None  # of the training tokens: those of the tasks' records

    # or the records of a task
    training_records: int | None = None
    validation_records: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)  # what a task counts, such as labels
    answer_tokens: int | None = None  # the tokens of answers, which are trained on
    mask_tokens: float | None = None  # shares of the text that augmentation changes
    crop_tokens: float | None = None
    shuffle_texts: float | None = None

    # the network
    architecture: str | None = None
    layers: int | None = None
    width: int | None = None
    heads: int | None = None
    key_value_heads: int | None = None
    parameters: int
    trained_parameters: int | None = None
    context: int  # tokens that the model sees at once
    attention: str = "causal"  # or both: every token sees all others
    dropout: float

    # the steps
    batch_size: int  # samples in a step
    epochs: float | None = None
    steps: int
    # for a budget of time: pairs (from this step on, total steps planned)
    total_steps: tuple[tuple[int, int], ...] = ()
    seconds: float | None = None  # the budget of time
    evaluations: int = 4
    patience: int | None = None  # evaluations in a row without a better one before the run stops
    cooldown: int | None = None  # steps from the best model on, after worse evaluations
    seed: int = 0

    # the optimizer
    optimizer: Literal["muon", "adamw", "sgd"]
    learning_rate: float
    matrix_learning_rate: float | None = None
    schedule: Literal["wsd", "cosine"]
    warmup: int  # steps
    decay: float  # share of the steps in which the rate decays
    weight_decay: float
    l1: float = 0.0
    label_smoothing: float = 0.0
    clip: float
    temperature: float | None = None  # softens the teacher's predictions
    alpha: float | None = None  # share of the teacher in the loss, from 0 to 1

    # the machine
    micro_batch_size: int  # samples computed at once, by one process
    activation_checkpointing: bool = False
    dtype: str
    device: str
    compile: bool = False
    processes: int = 1
    parallel: str = "auto"  # ddp or fsdp, for several processes

    # checkpoints, samples and trackers
    keep_checkpoints: int | Literal["all"] | None = None
    prompt: str = ""
    track: tuple[str, ...] = ()

    total_seconds: float | None = None  # the time that the run is expected to take
    reasons: dict[str, str]

    @property
    def values(self) -> dict[str, Any]:
        """The numbers with a reason, by name, for `plan.json`. The expected time is left out,
        because it differs between equal runs."""
        found = {name: self._value(name) for name in self.reasons if name != "total_seconds"}
        if self.total_steps:
            found["total_steps"] = [[step, total] for step, total in self.total_steps]
        return found

    @property
    def totals(self) -> tuple[tuple[int, int], ...]:
        """Pairs (step, total steps planned from there on). A budget of steps has one pair."""
        return self.total_steps or ((0, self.steps),)

    def _value(self, name: str) -> Any:
        return self.counts[name] if name in self.counts else getattr(self, name)

    def rows(self, group: str) -> Iterator[tuple[str, str, str]]:
        """Name, readable value and reason of each number in one of the `GROUPS`."""
        for name, reason in self.reasons.items():
            if _GROUP_OF.get(name, "data") != group:
                continue
            if name == "total_seconds":
                yield "total_time", duration(self._value(name)), reason
            else:
                yield name, format_value(self._value(name)), reason


_NAMES = {each.name for each in fields(Plan)} - {"reasons", "counts"}


def _group_of() -> dict[str, str]:
    """The group of each field. A group has its first field and those that follow."""
    begins = {first: group for group, first in GROUPS.items()}
    found, group = {}, ""
    for each in fields(Plan):
        group = begins.get(each.name, group)
        found[each.name] = group
    return found


_GROUP_OF = _group_of()


def format_value(value: Any) -> str:
    """A value of a plan as the user reads it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
