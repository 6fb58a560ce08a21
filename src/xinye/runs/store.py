"""Saves and loads checkpoints of a run, and copies the newest model to the run's folder.

A checkpoint `training/checkpoints/step-…/` is a model's folder that other tools can load. It also
has the optimizers' state (safetensors), the progress (JSON) and a manifest with the size and hash
of every file. With an adapter only trained weights are saved. A checkpoint appears whole or not at
all: it is written under another name, flushed to the disk, and renamed. Nothing is pickled.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xinye.checkpoints.folders import (
    CHECKPOINTS,
    MANIFEST,
    TRAINING,
    checkpoints,
    delete_folder,
    delete_leftovers,
    differences,
    fingerprint,
    is_deletable,
    step_of,
)
from xinye.data.disk import flush
from xinye.data.files import read_json, write_json, written_beside
from xinye.errors import XinyeError, reason_of
from xinye.model.sharded import shared_out
from xinye.runs.folder import Values
from xinye.runs.model_files import STATE, ModelFiles

OTHER_STATE = "the optimizer's state does not belong to this model"
NEWEST = "restore it, or continue from the newest checkpoint: --resume --steps N"
OPTIMIZER = "optimizer.safetensors"
STEP = "step"  # the state that is a number: how often a parameter was updated
OURS = (OPTIMIZER, STATE, "progress.json", MANIFEST)  # not the model's


class OtherNetwork(XinyeError):
    """A checkpoint is whole, but not of the network that is trained here, as after an update of
    Xinye that builds it otherwise."""


class Keep(NamedTuple):
    """Which checkpoints stay when a new one is safe: the last ones, at least two, or all if that is
    None; and the best one."""

    last: int | None = 2
    best: int | None = None  # its step


LAST_TWO = Keep()


@dataclass
class Store:
    """A run's folder, and what is saved there: the model, the optimizers' state by the names of the
    network's parameters, and the progress."""

    run: Path
    model: ModelFiles
    network: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]

    def save(self, progress: Values, keep: Keep = LAST_TWO) -> None:
        """Save a checkpoint, copy its model to the run's folder, and delete those not to keep.
        Raises `XinyeError` if it cannot be saved."""
        new = self._new(progress)
        with self._explained(new):
            self._begin(new)
            self._write(new, progress)
            self._finish(new, keep)

    def wait(self) -> None:
        """Wait until all is saved. Raises `XinyeError` if it cannot be."""

    def close(self) -> None:
        """End what may still be saved when a run fails."""

    def _new(self, progress: Values) -> Path:
        """Where a checkpoint is written."""
        return self.run / CHECKPOINTS / f".step-{progress['step']:08d}.new"

    @contextmanager
    def _explained(self, new: Path) -> Iterator[None]:
        """Delete what was written, and raise `XinyeError`, if it cannot be saved."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            shutil.rmtree(new, ignore_errors=True)
            raise self._cannot_save(error) from error

    def _cannot_save(self, reason: object) -> XinyeError:
        kept = "the last checkpoint is kept"
        if not checkpoints(self.run):
            kept = "there is no checkpoint yet"
        return XinyeError(f"{self.run}: cannot save ({reason}); {kept}", exit_code=1)

    def _begin(self, new: Path) -> None:
        new.parent.mkdir(parents=True, exist_ok=True)
        delete_leftovers(self.run)
        self.check_space()

    def _finish(self, new: Path, keep: Keep) -> None:
        """Give a checkpoint its name, copy its model to the run's folder, and delete others."""
        place = new.with_name(new.stem.removeprefix("."))
        if place.exists() and is_deletable(place):  # the same step, saved before
            delete_folder(place)
        elif place.exists():  # it holds other files, which are not deleted
            place.rename(place.with_name(f"{place.name}.kept"))
        new.rename(place)
        flush(place.parent)
        publish(self.run, place)
        there = checkpoints(self.run)
        older = [] if keep.last is None else there[: -max(2, keep.last)]
        for old in older:
            if step_of(old) != keep.best and is_deletable(old):
                delete_folder(old)

    def _write(self, folder: Path, progress: Values) -> None:
        """Write the files of a checkpoint and flush them to the disk."""
        self.model.write(folder)
        self._write_optimizers(folder)
        write_json(folder / "progress.json", progress)
        write_json(
            folder / MANIFEST, {path.name: fingerprint(path) for path in sorted(folder.iterdir())}
        )
        flush(*folder.iterdir(), folder)

    def _write_optimizers(self, folder: Path) -> None:
        states = {name: each.detach().cpu() for name, each in self._states().items()}
        save_file({name: each.contiguous() for name, each in states.items()}, folder / OPTIMIZER)

    def _states(self) -> dict[str, Tensor]:
        """All tensors of the optimizers' state, with names `parameter.name`."""
        names = self._names()
        return {
            f"{names[parameter]}.{name}": value
            for optimizer in self.optimizers
            for parameter, state in optimizer.state.items()
            for name, value in state.items()
        }

    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for name, parameter in self.network.named_parameters()}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        names, found = self._names(), defaultdict[str, dict[str, Tensor]](dict)
        numbered = {  # as Xinye named them before: by optimizer and parameter
            f"{number}.{index}": names[parameter]
            for number, optimizer in enumerate(self.optimizers)
            for index, parameter in enumerate(weights_of(optimizer))
        }
        for key, value in tensors.items():
            parameter, name = key.rsplit(".", 1)
            found[numbered.get(parameter, parameter)][name] = value
        for optimizer in self.optimizers:
            parameters = weights_of(optimizer)
            states = [found.pop(names[each], {}) for each in parameters]
            fits = all(
                value.shape == parameter.shape or (name == STEP and value.numel() == 1)
                for parameter, state in zip(parameters, states, strict=True)
                for name, value in state.items()
            )
            if not fits or (any(states) and not all(states)):
                raise ValueError(OTHER_STATE)
            mine = {
                index: {
                    name: value.reshape(()) if name == STEP else shared_out(value, parameter)
                    for name, value in state.items()
                }
                for index, (parameter, state) in enumerate(zip(parameters, states, strict=True))
                if state
            }
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": mine, "param_groups": groups})
        if found:
            raise ValueError(OTHER_STATE)

    def _read_model(self, folder: Path) -> None:
        try:
            self.model.read(folder)
        except RuntimeError as error:  # other names or shapes of weights
            raise OtherNetwork(
                f"{folder}: this checkpoint is of another network than this version of Xinye "
                f"builds for the run ({reason_of(error)}); its model can be used, but not "
                "resumed: start again with --overwrite, or under another name"
            ) from None

    def load(self, step: int | None = None, clean: bool = True) -> Values:
        """Load a checkpoint, by default the newest, into the model and its optimizers; returns its
        progress. Of several processes only the one that saves may `clean` up what a kill has left,
        since what it saves meanwhile looks the same.

        Raises `OtherNetwork` if it is whole, but not of this network, and `XinyeError` if there is
        none or it is damaged; the error then says from which one the run can continue.
        """
        if clean:
            delete_leftovers(self.run)
        there = checkpoints(self.run)
        found = [path for path in there if step in (None, step_of(path))]
        if not there:
            raise XinyeError(
                f"{self.run}: there is no checkpoint to resume from; start again with --overwrite"
            )
        if not found:
            raise XinyeError(
                f"{self.run}: the checkpoint of step {step:,}, to which the run returns, is "
                f"missing; {NEWEST}"
            )
        folder = found[-1]
        try:
            if problem := next(differences(folder, folder / MANIFEST), None):
                raise ValueError(problem)
            self._read_model(folder)
            self._restore(load_file(folder / OPTIMIZER))
            progress = read_json(folder / "progress.json")
            return progress | {"step": int(progress["step"]), "seconds": float(progress["seconds"])}
        except OtherNetwork:
            raise
        except (
            OSError,
            SafetensorError,
            RuntimeError,
            LookupError,
            TypeError,
            ValueError,
            XinyeError,
        ) as error:
            what = reason_of(error)
            if isinstance(error, KeyError):
                what = f"{what} is missing"
            advice = "start again with --overwrite"
            if step is not None:
                advice = NEWEST
            elif len(found) > 1:
                advice = f"delete this folder to resume from step {step_of(found[-2]):,}"
            raise XinyeError(f"{folder}: damaged checkpoint ({what}); {advice}") from None

    def go_back(self, step: int) -> None:
        """Load the checkpoint of an earlier step, and copy its model to the run's folder."""
        self.load(step)
        self.publish(step)

    def publish(self, step: int) -> None:
        """Copy the model of a checkpoint to the run's folder."""
        try:
            publish(self.run, next(path for path in checkpoints(self.run) if step_of(path) == step))
        except OSError as error:
            raise cannot_save(self.run, error) from error

    def _bytes_needed(self) -> int:
        return 2 * self.model.saved_bytes() + sum(each.nbytes for each in self._states().values())

    def check_space(self) -> None:
        """Raise `XinyeError` if the disk has no room for a checkpoint and the copy of its model."""
        needed = self._bytes_needed()
        free = shutil.disk_usage(self.run).free
        if free < needed:
            raise XinyeError(
                f"{self.run}: cannot save: a checkpoint needs {needed / 1e6:,.1f} MB, but only "
                f"{free / 1e6:,.1f} MB are free; free some disk space, then use --resume; the last "
                "checkpoint is kept",
                exit_code=1,
            )


def cannot_save(run: Path, error: OSError) -> XinyeError:
    """The error for a run whose last checkpoint is there, but not what is to be beside it."""
    problem = f"{run}: cannot save ({error}); free some disk space, then use --resume"
    return XinyeError(problem, exit_code=1)


def publish(run: Path, checkpoint: Path) -> None:
    """Copy the model of a checkpoint into the run's folder, the weights last.

    `training/manifest.json` is written first, with the size and hash that each file should have.
    """
    saved = {name: of for name, of in read_json(checkpoint / MANIFEST).items() if name not in OURS}
    write_json(run / TRAINING / MANIFEST, saved)
    for name in sorted(saved, key=lambda name: name.endswith(".safetensors")):
        with written_beside(run / name) as beside:
            shutil.copyfile(checkpoint / name, beside)


def weights_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The weights that an optimizer updates, in its order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
