"""A GPU computes what the processor computes. Skipped where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/driver/nvidia/version").exists(), reason="there is no NVIDIA GPU here"
)
TINY = (
    *("--size", "1M", "--layers", "2", "--width", "64", "--context", "32", "--batch-size", "8"),
    *("--tokenizer", "char", "--seed", "1"),
)


def command(folder: Path, *arguments: str, gpu: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    if not gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(
        [sys.executable, "-m", "xinye", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def losses(run: Path) -> list[float]:
    rows = (run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [row["loss"] for row in map(json.loads, rows) if row["kind"] == "step"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, story_text: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "zh.txt").write_text(story_text["zh"], "utf-8")
    plain = ("pretrain", "zh.txt", *TINY, "--dtype", "float32", "--steps", "12", "-o")
    for name, gpu in (("gpu", True), ("again", True), ("cpu", False)):
        done = command(folder, *plain, f"runs/{name}", gpu=gpu)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_losses_are_the_processor_s(folder: Path) -> None:
    plan = json.loads((folder / "runs/gpu/training/plan.json").read_text("utf-8"))
    assert plan["values"]["device"] == "cuda"
    assert losses(folder / "runs/gpu") == pytest.approx(losses(folder / "runs/cpu"), abs=2e-3)


def test_a_run_repeats_itself(folder: Path) -> None:
    assert losses(folder / "runs/gpu") == losses(folder / "runs/again")


def test_texts_are_the_processor_s(folder: Path) -> None:
    greedy = ("generate", "runs/gpu", "小兔", "--temperature", "0", "--max-tokens", "20")
    texts = {command(folder, *greedy, gpu=gpu).stdout for gpu in (True, False)}
    assert len(texts) == 1 and texts != {""}


@pytest.mark.parametrize("method", ["full", "lora", "adalora", "prefix", "adapter"])
def test_a_model_is_taught_in_bf16_compiled(folder: Path, method: str) -> None:
    rows = [f"小兔子第{n}次笑了,{'好' if n % 2 else '坏'}" for n in range(40)]
    (folder / "c.csv").write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
    done = command(
        folder, "finetune", "runs/gpu", "--task", "classify", "--data", "c.csv", "--method", method,
        "--epochs", "1", "--overwrite", "-o", f"runs/{method}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = command(folder, "classify", f"runs/{method}", "小兔子笑了", "--json")
    assert done.returncode == 0 and json.loads(done.stdout), done.stderr


def test_compiled_training_learns_the_same(folder: Path) -> None:
    done = command(
        folder, "pretrain", "zh.txt", *TINY, "--dtype", "float32", "--compile", "yes",
        "--steps", "12", "-o", "runs/compiled",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert losses(folder / "runs/compiled") == pytest.approx(losses(folder / "runs/gpu"), abs=2e-3)


def test_more_processes_than_gpus_are_refused(folder: Path) -> None:
    done = command(folder, "pretrain", "zh.txt", *TINY, "--processes", "99", "-o", "runs/99")
    assert done.returncode == 2 and "99 processes need 99 GPUs" in done.stderr
