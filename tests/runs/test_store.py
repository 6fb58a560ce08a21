"""The crash-safe store: whatever happens while saving, a whole checkpoint is found; a damaged one
is refused."""

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from conftest import contents
from xinye.checkpoints import huggingface
from xinye.checkpoints.folders import checkpoints, fingerprint
from xinye.checkpoints.huggingface import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.runs import model_files, store
from xinye.runs.model_files import LanguageFiles
from xinye.runs.store import Keep, Store
from xinye.training.optimizers import Optimization, make_optimizers

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
    return model, make_optimizers(model, Optimization(optimizer, 0.01, 0.02, 0.01))


def checkpoints_of(run: Path, model: GPT, optimizers: list[torch.optim.Optimizer]) -> Store:
    return Store(run, LanguageFiles(run, model, TOKENIZER), model, optimizers)


def store_of(run: Path, **kinds: Any) -> Store:
    model, optimizers = trainer(**kinds)
    return checkpoints_of(run, model, optimizers)


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
    checkpoints_of(run, model, optimizers).save({"step": steps, "seconds": 1.5})
    return model, optimizers


def equal(one: GPT, other: GPT) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_goes_on_bitwise(tmp_path, shape, optimizer):
    model, optimizers = saved(tmp_path, shape=shape, optimizer=optimizer)
    again, its_optimizers = trainer(shape, optimizer, seed=1)
    progress = checkpoints_of(tmp_path, again, its_optimizers).load()
    assert (progress["step"], progress["seconds"]) == (2, 1.5)
    assert equal(model, again)
    for number in (2, 3):
        step(model, optimizers, number)
        step(again, its_optimizers, number)
    assert equal(model, again)


def test_a_tied_head_stays_tied(tmp_path):
    saved(tmp_path)
    model, optimizers = trainer(seed=1)
    checkpoints_of(tmp_path, model, optimizers).load()
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_model_for_everyone_lies_in_the_run_and_in_each_checkpoint(tmp_path):
    model, _ = saved(tmp_path)
    (checkpoint,) = checkpoints(tmp_path)
    assert equal(load_model(tmp_path)[0], model) and equal(load_model(checkpoint)[0], model)
    assert not list(tmp_path.rglob(".*")), "nothing half written is left"
    assert not {path.name for path in tmp_path.iterdir()} & {
        "optimizer.safetensors",
        "progress.json",
        "manifest.json",
    }


def test_the_last_two_and_those_to_keep_stay(tmp_path):
    model, optimizers = trainer()
    for number in range(1, 6):
        step(model, optimizers, number)
        checkpoints_of(tmp_path, model, optimizers).save(
            {"step": number, "seconds": 1.0}, keep=Keep(best=2)
        )
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-00000002",
        "step-00000004",
        "step-00000005",
    ]
    assert store_of(tmp_path).load(2)["step"] == 2
    assert store_of(tmp_path).load()["step"] == 5


def test_a_copied_folder_is_no_checkpoint(tmp_path):
    saved(tmp_path)
    (checkpoint,) = checkpoints(tmp_path)
    for name in ("step-00000150.bak", "step-photos", "step-0000003", "step-٠٠٠٠٠٠٠٣"):
        shutil.copytree(checkpoint, checkpoint.with_name(name))
    assert checkpoints(tmp_path) == [checkpoint]
    assert store_of(tmp_path).load()["step"] == 2


def test_old_checkpoints_that_are_not_only_ours_stay(tmp_path):
    for steps in range(1, 4):
        saved(tmp_path, steps)
        (checkpoints(tmp_path)[-1] / f"notes-{steps}.txt").touch()
    (tmp_path / "training" / "checkpoints").rename(tmp_path / "elsewhere")
    (tmp_path / "training" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    for steps in range(4, 8):
        saved(tmp_path, steps)
    assert [path.name[-1] for path in checkpoints(tmp_path)] == ["1", "2", "3", "4", "5", "6", "7"]


@pytest.mark.parametrize("again", [False, True])
def test_a_kill_while_an_old_checkpoint_is_deleted_leaves_none_in_half(
    tmp_path, monkeypatch, again
):
    saved(tmp_path, 1)
    saved(tmp_path, 2)

    def half(folder: Path) -> None:
        next(path for path in sorted(folder.iterdir())).unlink()
        raise SystemExit("killed")

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(shutil, "rmtree", half)
        saved(tmp_path, 2 if again else 3)
    assert all((path / "config.json").exists() for path in checkpoints(tmp_path))
    assert store_of(tmp_path).load()["step"] == (1 if again else 3)
    assert not list((tmp_path / "training" / "checkpoints").glob(".*")), "what was left is cleaned"


def test_a_process_that_saves_nothing_deletes_nothing(tmp_path):
    saved(tmp_path, 1)
    half = tmp_path / "training" / "checkpoints" / ".step-00000002.new"
    half.mkdir()  # another process is writing it
    assert store_of(tmp_path).load(clean=False)["step"] == 1 and half.exists()


@pytest.mark.parametrize("moment", range(30))
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
        patch.setattr(huggingface, "save_file", dying(huggingface.save_file))
        for name in ("rename", "replace", "write_text"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        patch.setattr(store.shutil, "rmtree", dying(store.shutil.rmtree))
        patch.setattr(store.shutil, "copyfile", dying(store.shutil.copyfile))
        with pytest.raises(SystemExit):
            checkpoints_of(tmp_path, before, optimizers).save({"step": 3, "seconds": 2.0})
    again, its_optimizers = trainer(seed=1)
    reached = checkpoints_of(tmp_path, again, its_optimizers).load()["step"]
    assert reached in (2, 3)
    if reached == 2:
        step(again, its_optimizers, 2)
    assert equal(again, after)
    assert load_model(tmp_path), "the model for everyone is whole, too"
    assert not list((tmp_path / "training" / "checkpoints").glob(".*")), "left-overs are cleaned"


@pytest.mark.parametrize("failing", ["save_file", "write_json", "save_model", "publish"])
def test_a_full_disk_while_saving_keeps_what_was_saved(tmp_path, monkeypatch, failing):
    model, optimizers = saved(tmp_path)
    step(model, optimizers, 2)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(model_files if failing == "save_model" else store, failing, full)
        with pytest.raises(XinyeError, match=r"No space .*the last checkpoint is kept") as error:
            checkpoints_of(tmp_path, model, optimizers).save({"step": 3, "seconds": 2.0})
        if failing != "publish":
            with pytest.raises(XinyeError, match=r"No space .*there is no checkpoint yet"):
                checkpoints_of(tmp_path / "new", model, optimizers).save({"step": 3})
    assert error.value.exit_code == 1
    assert store_of(tmp_path).load()["step"] == (3 if failing == "publish" else 2)
    assert load_model(tmp_path)
    assert not list(tmp_path.rglob(".*.new"))


def test_space_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    model, optimizers = saved(tmp_path)
    step(model, optimizers, 2)
    before = contents(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(
        XinyeError, match=r"a checkpoint needs 0\.\d MB, but only 0\.0 MB are free"
    ) as error:
        checkpoints_of(tmp_path, model, optimizers).save({"step": 3, "seconds": 2.0})
    assert error.value.exit_code == 1 and contents(tmp_path) == before


def refused(run: Path) -> str:
    with pytest.raises(XinyeError) as error:
        store_of(run).load()
    assert (
        error.value.exit_code == 2 and "\n" not in str(error.value) and str(run) in str(error.value)
    )
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "progress.json", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage", "one bit"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_offered(tmp_path, name, damage):
    saved(tmp_path, steps=1)
    saved(tmp_path, steps=2)
    path = tmp_path / "training" / "checkpoints" / "step-00000002" / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-len(whole) // 3] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        wrong = {
            "empty": b"",
            "cut": whole[: len(whole) // 2],
            "garbage": b"\x07" * len(whole),
            "one bit": flipped,
        }
        path.write_bytes(wrong[damage])
    complaint = refused(tmp_path)
    assert (
        "step-00000002: damaged" in complaint
        and "delete this folder to resume from step 1" in complaint
    )
    shutil.rmtree(path.parent)
    assert store_of(tmp_path).load()["step"] == 1


def test_a_whole_checkpoint_of_another_network_is_not_called_damaged(tmp_path):
    saved(tmp_path)
    with pytest.raises(XinyeError, match=r"of another network.*Missing key.*--overwrite") as error:
        store_of(tmp_path, shape="gpt2, untied").load()
    assert "damaged" not in str(error.value) and "delete" not in str(error.value)


def test_a_step_whose_checkpoint_is_gone_does_not_cost_the_run(tmp_path):
    saved(tmp_path, steps=2)
    with pytest.raises(XinyeError, match=r"checkpoint of step 1.*is missing.*--resume") as error:
        store_of(tmp_path).load(1)
    assert "overwrite" not in str(error.value)
    Path(checkpoints(tmp_path)[0], "progress.json").write_text("{", "utf-8")
    with pytest.raises(XinyeError, match=r"damaged.*--resume --steps"):
        store_of(tmp_path).load(2)


def rewritten(run: Path, name: str, content: bytes) -> None:
    """Other content, and a manifest that knows of it."""
    (folder,) = checkpoints(run)
    (folder / name).write_bytes(content)
    manifest = {
        path.name: fingerprint(path) for path in folder.iterdir() if path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize(
    "content", [{}, {"step": 2}, {"step": "two", "seconds": 1}, {"step": None, "seconds": 1}, [2]]
)
def test_progress_that_says_nothing_is_refused(tmp_path, content):
    saved(tmp_path)
    rewritten(tmp_path, "progress.json", json.dumps(content).encode())
    assert "damaged" in refused(tmp_path)


@pytest.mark.parametrize("change", ["half the state", "odd names", "another shape"])
def test_optimizer_state_that_does_not_fit_is_refused(tmp_path, change):
    saved(tmp_path)
    tensors = load_file(checkpoints(tmp_path)[0] / "optimizer.safetensors")
    if change == "half the state":
        tensors = dict(sorted(tensors.items())[: len(tensors) // 2])
    elif change == "odd names":
        tensors = {name.replace(".", "-"): tensor for name, tensor in tensors.items()}
    else:
        tensors = {
            name: tensor if tensor.ndim == 0 else tensor[:-1].clone()
            for name, tensor in tensors.items()
        }
    rewritten(tmp_path, "optimizer.safetensors", save(tensors))
    assert "damaged" in refused(tmp_path)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(XinyeError, match="no checkpoint to resume from"):
        store_of(tmp_path).load()
