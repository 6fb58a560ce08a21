"""The crash-safe store: whatever happens while saving, a whole checkpoint is found; a damaged one is refused."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xinye.checkpoints import store
from xinye.checkpoints.huggingface import load_model
from xinye.checkpoints.store import load_checkpoint, save_checkpoint
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.optimizers import make_optimizers

TOKENIZER = Tokenizer.train([], kind="bytes")
V = TOKENIZER.vocab_size
SHAPES = {
    "modern, tied": GPTConfig("modern", V, 16, 1, 2, 1, 8, 32, 16),
    "gpt2, untied": GPTConfig("gpt2", V, 16, 1, 2, 2, 8, 32, 16, False),
}
Trainer = tuple[GPT, list[torch.optim.Optimizer]]


def trainer(shape: str = "modern, tied", optimizer: Any = "muon", seed: int = 0) -> Trainer:
    model = GPT(SHAPES[shape])
    model.initialize(seed)
    return model, make_optimizers(model, optimizer, 0.01, 0.02, 0.01)


def step(model: GPT, optimizers: list[torch.optim.Optimizer], seed: int) -> None:
    torch.manual_seed(seed)
    tokens = torch.randint(0, V, (2, 9))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def saved(run: Path, steps: int = 2, **kinds: Any) -> Trainer:
    model, optimizers = trainer(**kinds)
    for number in range(steps):
        step(model, optimizers, number)
    save_checkpoint(run, model, TOKENIZER, optimizers, {"step": steps, "seconds": 1.5})
    return model, optimizers


def equal(one: GPT, other: GPT) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_goes_on_bitwise(tmp_path, shape, optimizer):
    model, optimizers = saved(tmp_path, shape=shape, optimizer=optimizer)
    again, its_optimizers = trainer(shape, optimizer, seed=1)
    progress = load_checkpoint(tmp_path, again, its_optimizers)
    assert (progress["step"], progress["seconds"]) == (2, 1.5)
    assert equal(model, again)
    for number in (2, 3):
        step(model, optimizers, number)
        step(again, its_optimizers, number)
    assert equal(model, again)


def test_a_tied_head_stays_tied(tmp_path):
    saved(tmp_path)
    model, optimizers = trainer(seed=1)
    load_checkpoint(tmp_path, model, optimizers)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_model_for_everyone_lies_in_the_run(tmp_path):
    model, _ = saved(tmp_path)
    assert equal(load_model(tmp_path)[0], model)
    names = {path.name for path in (tmp_path / "training" / "checkpoint").iterdir()}
    assert names == {"model.safetensors", "optimizer.safetensors", "progress.json"}
    assert not [path for path in tmp_path.rglob(".*") if path.exists()], "nothing half written is left"


def test_a_kill_between_the_renames(tmp_path):
    """The old checkpoint has made room, the new one is not in place yet."""
    model, _ = saved(tmp_path)
    (tmp_path / "training" / "checkpoint").rename(tmp_path / "training" / ".checkpoint.old")
    (tmp_path / "training" / ".checkpoint.new").mkdir()
    (tmp_path / "training" / ".checkpoint.new" / "model.safetensors").write_bytes(b"half")
    again, optimizers = trainer(seed=1)
    assert load_checkpoint(tmp_path, again, optimizers)["step"] == 2
    assert equal(model, again)
    step(again, optimizers, 2)
    save_checkpoint(tmp_path, again, TOKENIZER, optimizers, {"step": 3, "seconds": 2.0})
    assert {path.name for path in (tmp_path / "training").iterdir()} == {"checkpoint"}
    assert load_checkpoint(tmp_path, *trainer())["step"] == 3


@pytest.mark.parametrize("moment", range(7))
def test_a_kill_at_any_moment_of_saving(tmp_path, monkeypatch, moment):
    """Every call that changes the disk may be the last one."""
    before, optimizers = saved(tmp_path)
    after, _ = saved(tmp_path / "elsewhere", steps=3)
    step(before, optimizers, 2)
    count = 0

    def dying(work: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > moment:
                raise SystemExit("killed")
            return work(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_file", dying(store.save_file))
        patch.setattr(store, "write_json", dying(store.write_json))
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(store.shutil, "rmtree", dying(store.shutil.rmtree))
        with pytest.raises(SystemExit):
            save_checkpoint(tmp_path, before, TOKENIZER, optimizers, {"step": 3, "seconds": 2.0})
    again, its_optimizers = trainer(seed=1)
    reached = load_checkpoint(tmp_path, again, its_optimizers)["step"]
    assert reached in (2, 3)
    if reached == 2:
        step(again, its_optimizers, 2)
    assert equal(again, after)
    assert load_model(tmp_path), "the model for everyone is whole, too"


@pytest.mark.parametrize("failing", ["save_file", "write_json", "save_model"])
def test_a_full_disk_while_saving_keeps_what_was_saved(tmp_path, monkeypatch, failing):
    model, optimizers = saved(tmp_path)
    step(model, optimizers, 2)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, failing, full)
        with pytest.raises(XinyeError, match=r"cannot save .*No space left on device") as error:
            save_checkpoint(tmp_path, model, TOKENIZER, optimizers, {"step": 3, "seconds": 2.0})
    assert error.value.exit_code == 1
    assert load_checkpoint(tmp_path, *trainer())["step"] == (3 if failing == "save_model" else 2)
    assert load_model(tmp_path)
    assert not (tmp_path / "training" / ".checkpoint.new").exists()


def refused(run: Path) -> str:
    with pytest.raises(XinyeError) as error:
        load_checkpoint(run, *trainer())
    assert error.value.exit_code == 1 and "\n" not in str(error.value) and str(run) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
def test_a_damaged_checkpoint_is_refused(tmp_path, name, damage):
    saved(tmp_path)
    path = tmp_path / "training" / "checkpoint" / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\x07" * len(whole)}[damage])
    assert "damaged" in refused(tmp_path)


@pytest.mark.parametrize("content", [{}, {"step": 2}, {"step": "two", "seconds": 1}, {"step": None, "seconds": 1}, [2]])
def test_damaged_progress_is_refused(tmp_path, content):
    saved(tmp_path)
    (tmp_path / "training" / "checkpoint" / "progress.json").write_text(json.dumps(content), "utf-8")
    assert "damaged" in refused(tmp_path)


@pytest.mark.parametrize("change", ["half the state", "odd names", "another shape"])
def test_optimizer_state_that_does_not_fit_is_refused(tmp_path, change):
    saved(tmp_path)
    path = tmp_path / "training" / "checkpoint" / "optimizer.safetensors"
    tensors = load_file(path)
    if change == "half the state":
        tensors = dict(sorted(tensors.items())[: len(tensors) // 2])
    elif change == "odd names":
        tensors = {name.replace(".", "-"): tensor for name, tensor in tensors.items()}
    else:
        tensors = {name: tensor if tensor.ndim == 0 else tensor[:-1].clone() for name, tensor in tensors.items()}
    save_file(tensors, path)
    assert "damaged" in refused(tmp_path)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(XinyeError, match="no checkpoint to go on from"):
        load_checkpoint(tmp_path, *trainer())
