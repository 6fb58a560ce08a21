"""Checkpoints of a model of which each process keeps a part. They are those of one process, so that
any number of processes can resume the run."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xinye.model.sharded import put, whole_of
from xinye.runs.folder import Values
from xinye.runs.store import Store
from xinye.training.distributed import Processes


@dataclass(frozen=True)
class ShardedStore(Store):
    """All processes call its methods together. Models are written and read through `whole`, a copy
    of the model that has values only meanwhile."""

    parts: nn.Module
    whole: Any
    group: Processes
    states: dict[str, Tensor] = field(default_factory=dict)  # of the optimizers, gathered

    def save(self, progress: Values, keep: Collection[int] = ()) -> None:
        trained = {name: each for name, each in self.parts.named_parameters() if each.requires_grad}
        values = {name: self._at_first(each.detach()) for name, each in trained.items()}
        states = super().optimizer_tensors()
        self.states.update({name: self._at_first(each) for name, each in states.items()})
        if self.group.first:
            self.whole.load_state_dict(values, strict=False, assign=True)
            self._tie()
            super().save(progress, keep)
        self._forget()

    def optimizer_tensors(self) -> dict[str, Tensor]:
        return self.states

    def go_back(self, step: int) -> None:
        with self.group.main_process_first():
            self.load(step, clean=False)
        if self.group.first:
            self.publish(step)

    def _at_first(self, tensor: Tensor) -> Tensor:
        """The whole tensor, in the first process; an empty one in the others."""
        whole = whole_of(tensor)
        return whole.cpu() if self.group.first else whole.new_empty(0)

    def _read_model(self, folder: Path) -> None:
        super()._read_model(folder)
        self._tie()
        values = dict(self.whole.named_parameters())
        for name, weight in self.parts.named_parameters():
            if not values[name].is_meta:
                put(weight, values[name])
        self._forget()

    def _tie(self) -> None:
        if hasattr(self.whole, "tie"):
            self.whole.tie()

    def _forget(self) -> None:
        self.states.clear()
        self.whole.to("meta")
        self._tie()
