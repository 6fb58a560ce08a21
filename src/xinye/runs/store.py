"""Saves and loads checkpoints of a run, and copies the newest model to the run's folder.

A checkpoint `training/checkpoints/step-…/` is a model's folder that other tools can load. It also
has the optimizers' state (safetensors), the progress (JSON) and a manifest with the size and hash
of every file. With an adapter only trained weights are saved. A checkpoint appears whole or not at
all: it is written under another name, flushed to the disk, and renamed. Nothing is pickled.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

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
from xinye.data.files import read_json, write_json, written_beside
from xinye.errors import XinyeError, reason_of
from xinye.model.sharded import shared_out
from xinye.runs.folder import Values
from xinye.runs.model_files import STATE, ModelFiles

NEWEST = "restore it, or continue from the newest checkpoint: --resume --steps N"
OURS = ("optimizer.safetensors", STATE, "progress.json", MANIFEST)  # not the model's


class OtherNetwork(XinyeError):
    """A checkpoint is whole, but not of the network that is trained here, as after an update of
    Xinye that builds it otherwise."""


@dataclass(frozen=True)
class Store:
    """A run's folder, and what is saved there: the model, the optimizers' state and the
    progress."""

    run: Path
    model: ModelFiles
    optimizers: Sequence[torch.optim.Optimizer]

    def save(self, progress: Values, keep: Collection[int] = ()) -> None:
        """Save a checkpoint, then copy its model to the run's folder.

        The last two checkpoints are kept, and those of the steps in `keep`. Others are deleted when
        the new one is safe. Raises `XinyeError` if it cannot be saved.
        """
        run, folder = self.run, self.run / CHECKPOINTS
        place = folder / f"step-{progress['step']:08d}"
        new = folder / f".{place.name}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            delete_leftovers(run)
            self.check_space()
            self._write(new, progress)
            if place.exists() and is_deletable(place):  # the same step, saved before
                delete_folder(place)
            elif place.exists():  # it holds other files, which are not deleted
                place.rename(place.with_name(f"{place.name}.kept"))
            new.rename(place)
            _flush(folder)
            publish(run, place)
            for old in checkpoints(run)[:-2]:
                if step_of(old) not in keep and is_deletable(old):
                    delete_folder(old)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(new, ignore_errors=True)
            problem = f"{run}: cannot save ({error}); the last checkpoint is kept"
            if not checkpoints(run):
                problem = f"{run}: cannot save ({error}); there is no checkpoint yet"
            raise XinyeError(problem, exit_code=1) from error

    def _write(self, folder: Path, progress: Values) -> None:
        """Write the files of a checkpoint and flush them to the disk."""
        self.model.write(folder)
        save_file(self.optimizer_tensors(), folder / "optimizer.safetensors")
        write_json(folder / "progress.json", progress)
        write_json(
            folder / MANIFEST, {path.name: fingerprint(path) for path in sorted(folder.iterdir())}
        )
        _flush(*folder.iterdir(), folder)

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """All state tensors, with names `optimizer.parameter.name` in the order in which the
        optimizers hold their parameters."""
        return {
            f"{number}.{index}.{name}": value.detach().cpu().contiguous()
            for number, optimizer in enumerate(self.optimizers)
            for index, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }

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
            _restore(self.optimizers, load_file(folder / "optimizer.safetensors"))
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

    def check_space(self) -> None:
        """Raise `XinyeError` if the disk has no room for a checkpoint and the copy of its model."""
        kept = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        states = sum(
            value.nbytes for state in kept for value in state.values() if isinstance(value, Tensor)
        )
        needed = 2 * self.model.saved_bytes() + states
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


def _flush(*paths: Path) -> None:
    """Have the operating system write files, or the names in a folder, to the disk."""
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot, and need not
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _restore(optimizers: Sequence[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            of, index, name = key.split(".", 2)
            if int(of) == number:
                state.setdefault(int(index), {})[name] = value
        parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]
        shapes_fit = all(
            value.ndim == 0 or value.shape == parameters[index].shape
            for index, values in state.items()
            for value in values.values()
            if index < len(parameters)
        )
        if not shapes_fit or (state and len(state) != len(parameters)):
            raise ValueError("the optimizer's state does not belong to this model")
        for place, values in state.items():
            state[place] = {
                each: shared_out(value, parameters[place]) if value.ndim else value
                for each, value in values.items()
            }
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
