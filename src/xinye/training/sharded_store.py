"""Checkpoints of a model of which each process keeps a part.

All processes write their parts at once, by PyTorch's distributed checkpoint, while training goes
on. When these are on the disk, the first process makes of them a checkpoint as one process writes
it, so that any number of processes can resume the run.
"""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors.torch import load_file, save_file

from xinye.errors import reason_of
from xinye.model.adapters import attached
from xinye.model.sharded import put
from xinye.runs.folder import Values
from xinye.runs.store import LAST_TWO, OPTIMIZER, Keep, Store
from xinye.training.distributed import Processes, another_group

PARTS = "parts"  # the folder in a checkpoint that is being written


@dataclass
class ShardedStore(Store):
    """All processes call its methods together. Models are written and read through `whole`, a copy
    of the network that has values only meanwhile."""

    whole: Any
    group: Processes
    saving: Future[Any] | None = None
    states: list[Path] = field(default_factory=list)  # the file with the optimizers' state
    made: int = 0  # the files that are made of the parts: with weights, and with states

    def __post_init__(self) -> None:
        # On the group of the training it would wait for a step, and the step for it.
        self.own_group = another_group()
        self.thread = ThreadPoolExecutor(1, "saving")

    def save(self, progress: Values, keep: Keep = LAST_TWO) -> None:
        """Begin to save a checkpoint. A call waits until the one before is saved."""
        from torch.distributed.checkpoint import HuggingFaceStorageWriter
        from torch.distributed.checkpoint.state_dict_saver import async_save

        self.wait()
        new = self._new(progress)
        if self.group.first:
            with self._explained(new):
                self._begin(new)
                (new / PARTS).mkdir(parents=True)
        dist.barrier(self.own_group)  # the folder is there
        if hasattr(self.network, "config"):
            self.whole.config = self.network.config  # a reader's threshold is learned
        only_trained = attached(self.whole) is not None
        weights = {
            name: each.detach()
            for name, each in self.network.named_parameters()
            if each.requires_grad or not only_trained
        }
        # PyTorch loses the values of tensors without dimensions when it puts the parts together.
        states = {name: each if each.ndim else each[None] for name, each in self._states().items()}
        files = dict.fromkeys(weights, 1) | dict.fromkeys(states, 2)
        self.made = len({*files.values()})
        writer = HuggingFaceStorageWriter(
            str(new / PARTS), files, save_distributed=True, enable_consolidation=True
        )
        written: Any = async_save(
            {**weights, **states}, storage_writer=writer, process_group=self.own_group
        )
        self.saving = written
        if self.group.first:
            self.saving = self.thread.submit(self._conclude, written, new, progress, keep)

    def wait(self) -> None:
        from torch.distributed.checkpoint.api import CheckpointException

        saving, self.saving = self.saving, None
        try:
            if saving:
                saving.result()
        except CheckpointException as error:
            [(rank, (reason, _)), *_] = error.failures.items()
            raise self._cannot_save(f"process {rank}: {reason_of(reason)}") from None

    def close(self) -> None:
        saving, self.saving = self.saving, None
        if saving:
            wait([saving])
        self.thread.shutdown()

    def _conclude(self, written: Future[Any], new: Path, progress: Values, keep: Keep) -> None:
        """Make a checkpoint of the parts, as soon as all are written."""
        try:
            written.result()
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        with self._explained(new):
            self._write(new, progress)
            self._finish(new, keep)

    def _bytes_needed(self) -> int:
        return 2 * super()._bytes_needed()  # the parts are beside what is made of them

    def _write(self, folder: Path, progress: Values) -> None:
        parts = folder / PARTS
        there = sorted(parts.glob("model-*.safetensors"))
        if len(there) < self.made:
            raise FileNotFoundError(f"the files in {parts} were deleted meanwhile")
        values, *self.states = there
        self.whole.load_state_dict(load_file(values), strict=False, assign=True)
        self._tie()
        super()._write(folder, progress)

    def _write_optimizers(self, folder: Path) -> None:
        for path in self.states:
            path.rename(folder / OPTIMIZER)
        if not self.states:
            save_file({}, folder / OPTIMIZER)
        self._forget()
        shutil.rmtree(folder / PARTS)

    def go_back(self, step: int) -> None:
        self.wait()
        with self.group.main_process_first():
            self.load(step, clean=False)
        if self.group.first:
            self.publish(step)

    def load(self, step: int | None = None, clean: bool = True) -> Values:
        self.wait()
        return super().load(step, clean)

    def _read_model(self, folder: Path) -> None:
        super()._read_model(folder)
        self._tie()
        values = dict(self.whole.named_parameters())
        for name, weight in self.network.named_parameters():
            if not values[name].is_meta:
                put(weight, values[name])
        self._forget()

    def _tie(self) -> None:
        tables = getattr(getattr(self.whole, "model", None), "embed_tokens", None)
        if hasattr(tables, "weight"):  # it may be quantized
            self.whole.tie()

    def _forget(self) -> None:
        self.whole.to("meta")
        self._tie()
