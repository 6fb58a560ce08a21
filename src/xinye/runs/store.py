"""A run's folder: the model as every tool of the field loads it, and `training/`, which only going on needs.

`training/checkpoints/step-…/` is itself such a model's folder, and has the optimizers' state (safetensors), the
progress (JSON) and a manifest of every file's size and hash. Of an adapter only what is trained is saved. A checkpoint
appears whole or not at all: it is written under another name, flushed to the disk, and renamed. Nothing is pickled.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.folders import (
    MANIFEST,
    checkpoints,
    delete_folder,
    delete_leftovers,
    differences,
    fingerprint,
    is_deletable,
    step_of,
)
from xinye.checkpoints.heads import load_head, save_head
from xinye.checkpoints.huggingface import load_weights, save_model, write_json
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import adapter_state, attached
from xinye.model.build import LanguageModel
from xinye.model.heads import Head

STATE = "adapter_state.safetensors"
OURS = ("optimizer.safetensors", STATE, "progress.json", MANIFEST)  # what is not the model's


def save_checkpoint(
    run: Path,
    model: LanguageModel | Head,
    tokenizer: Tokenizer,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: dict[str, Any],
    keep: Collection[int] = (),
    base: str = "",
) -> None:
    """Save everything after a step: first the checkpoint to go on from, then the model for everyone to load.

    `base` is what an adapter was attached to. The last two checkpoints stay, and those of the steps in `keep`; the
    others go when the new one is safe.
    """
    folder = run / "training" / "checkpoints"
    place = folder / f"step-{progress['step']:08d}"
    new = folder / f".{place.name}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        delete_leftovers(run)
        check_space(run, model, optimizers)
        if attached(model):
            save_adapter(new, model, base, tokenizer, seen_from=run)
            save_file(_adapter_tensors(model), new / STATE)
        elif isinstance(model, Head):
            save_head(new, model, tokenizer)
        else:
            save_model(new, model, tokenizer)
        save_file(_optimizer_tensors(optimizers), new / "optimizer.safetensors")
        write_json(new / "progress.json", progress)
        write_json(new / MANIFEST, {path.name: fingerprint(path) for path in sorted(new.iterdir())})
        _flush(*new.iterdir(), new)
        if place.exists() and is_deletable(place):  # the same step, saved before
            delete_folder(place)
        elif place.exists():  # somebody keeps something there
            place.rename(place.with_name(f"{place.name}.kept"))
        new.rename(place)
        _flush(folder)
        publish(run, place)
        for old in checkpoints(run)[:-2]:
            if step_of(old) not in keep and is_deletable(old):
                delete_folder(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise XinyeError(
            f"{run}: cannot save ({error}); what was saved before is still there", exit_code=1
        ) from error


def publish(run: Path, checkpoint: Path) -> None:
    """Put the model of a checkpoint where everyone looks for it: into the run's folder, the weights last.

    What the files should be is noted before they are put there, in `training/manifest.json`.
    """
    saved = read_json(checkpoint / MANIFEST)
    write_json(
        run / "training" / MANIFEST, {name: of for name, of in saved.items() if name not in OURS}
    )
    files = [checkpoint / name for name in saved if name not in OURS]
    for path in sorted(files, key=lambda path: path.suffix == ".safetensors"):
        beside = run / f".{path.name}.new"
        shutil.copyfile(path, beside)
        beside.replace(run / path.name)


def load_checkpoint(
    run: Path,
    model: LanguageModel | Head,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int | None = None,
) -> dict[str, Any]:
    """Put a checkpoint of a run, by default the newest, into a model and its optimizers; returns its progress.

    Raises `XinyeError` where there is none, or it is damaged; then it names the one before it, if there is one.
    """
    delete_leftovers(run)
    found = [path for path in checkpoints(run) if step in (None, step_of(path))]
    if not found:
        raise XinyeError(f"{run}: no checkpoint to go on from; start anew with --overwrite")
    folder = found[-1]
    try:
        if problem := next(differences(folder, folder / MANIFEST), None):
            raise ValueError(problem)
        if attached(model):
            if model.load_state_dict(load_file(folder / STATE), strict=False).unexpected_keys:
                raise ValueError("the adapter does not belong to this model")
        else:
            saved = load_head(folder) if isinstance(model, Head) else load_weights(folder)
            model.load_state_dict(saved.state_dict())
        _restore(optimizers, load_file(folder / "optimizer.safetensors"))
        progress = read_json(folder / "progress.json")
        return progress | {"step": int(progress["step"]), "seconds": float(progress["seconds"])}
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        XinyeError,
    ) as error:
        what = (
            f"{error} is missing"
            if isinstance(error, KeyError)
            else " ".join(str(error).split())[:200]
        )
        advice = "start anew with --overwrite"
        if len(found) > 1:
            advice = f"delete this folder, and --resume goes on from step {step_of(found[-2]):,}"
        raise XinyeError(f"{folder}: damaged ({what}); {advice}", exit_code=1) from None


def go_back(
    run: Path, model: LanguageModel | Head, optimizers: Sequence[torch.optim.Optimizer], step: int
) -> None:
    """Put the checkpoint of an earlier step into a model and its optimizers, and make its model the run's."""
    load_checkpoint(run, model, optimizers, step)
    try:
        publish(run, next(path for path in checkpoints(run) if step_of(path) == step))
    except OSError as error:
        raise XinyeError(
            f"{run}: cannot save ({error}); make room and go on with --resume", exit_code=1
        ) from error


def check_space(
    run: Path, model: LanguageModel | Head, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Raises `XinyeError` where the disk has no room for a checkpoint and the copy of the model in the run's folder."""
    states = sum(
        value.nbytes
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )
    weights = (
        list(_adapter_tensors(model).values()) * 2 if attached(model) else list(model.parameters())
    )
    needed = 2 * sum(weight.nbytes for weight in weights) + states
    free = shutil.disk_usage(run).free
    if free < needed:
        raise XinyeError(
            f"{run}: cannot save: a checkpoint needs {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free; make "
            "room and go on with --resume; what was saved before is still there",
            exit_code=1,
        )


def _flush(*paths: Path) -> None:
    """Have the operating system put files, or the names in a folder, on the disk."""
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot, and need not
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All that training changes, where an adapter is trained."""
    return {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter_state(model).items()
    }


def _optimizer_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Every state tensor under `optimizer.parameter.name`, in the order the optimizers hold their parameters."""
    return {
        f"{number}.{index}.{name}": value.detach().cpu().contiguous()
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


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
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
