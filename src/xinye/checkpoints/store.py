"""A run's folder: the model as Hugging Face has it, and beside it `training/`, which only going on needs.

`training/checkpoint/` is replaced as a whole: written beside under another name, then renamed. Optimizer state is
safetensors and JSON; nothing is pickled.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xinye.checkpoints.huggingface import read_json, save_model, write_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import LanguageModel


def save_checkpoint(
    run: Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: dict[str, float],
) -> None:
    """Save everything after a step: first the checkpoint to go on from, then the model for everyone to load."""
    training = run / "training"
    new, old, current = training / ".checkpoint.new", training / ".checkpoint.old", training / "checkpoint"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_file({name: tensor.detach().cpu() for name, tensor in _state_of(model).items()}, new / "model.safetensors")
        save_file(_optimizer_tensors(optimizers), new / "optimizer.safetensors")
        write_json(new / "progress.json", progress)
        for file in new.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if current.exists():
            current.rename(old)
        new.rename(current)
        shutil.rmtree(old, ignore_errors=True)
        save_model(run, model, tokenizer)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise XinyeError(f"{run}: cannot save ({error}); what was saved before is still there", exit_code=1) from error


def load_checkpoint(run: Path, model: LanguageModel, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, float]:
    """Put the newest checkpoint of a run into a model and its optimizers; returns its progress."""
    folder = run / "training" / "checkpoint"
    if not folder.is_dir():
        folder = folder.with_name(".checkpoint.old")  # a kill between the two renames
    if not folder.is_dir():
        raise XinyeError(f"{run}: no checkpoint to go on from; start anew with --overwrite")
    try:
        tensors = load_file(folder / "model.safetensors")
        if model.config.tie_word_embeddings:
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        model.load_state_dict(tensors)
        _restore(optimizers, load_file(folder / "optimizer.safetensors"))
        progress = read_json(folder / "progress.json")
        return {name: float(progress[name]) for name in ("step", "seconds")}
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError, XinyeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise XinyeError(f"{folder}: damaged ({what}); start anew with --overwrite", exit_code=1) from None


def _state_of(model: LanguageModel) -> dict[str, Tensor]:
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    return state


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
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        shapes_fit = all(
            value.ndim == 0 or value.shape == parameters[index].shape
            for index, values in state.items()
            for value in values.values()
            if index < len(parameters)
        )
        if not shapes_fit or (state and len(state) != len(parameters)):
            raise ValueError("the optimizer's state does not belong to this model")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
