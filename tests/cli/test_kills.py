"""A run that is killed again and again ends as one that never was. Slow: `make test-all`."""

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import TINY
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.huggingface import load_model

pytestmark = pytest.mark.slow
STEPS = ("--steps", "600", "--evaluations", "300", *TINY)  # a checkpoint every other step


def command(workplace: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(
        [sys.executable, "-m", "xinye", "pretrain", *arguments],
        cwd=workplace, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options,  # type: ignore
    )  # fmt: skip


def test_killed_fifty_times(xinye, workplace):
    assert xinye("pretrain", "zh.txt", "-o", "whole", *STEPS).code == 0
    chance = random.Random(0)
    process = command(workplace, "zh.txt", "-o", "run", *STEPS)
    for _ in range(50):
        began, until = len(checkpoints(workplace / "run")), time.monotonic() + 60
        while process.poll() is None and not began and not checkpoints(workplace / "run"):
            assert time.monotonic() < until
        time.sleep(chance.uniform(2.0, 4.0) if began else chance.uniform(0, 0.2))
        process.kill()
        process.wait()
        newest = checkpoints(workplace / "run")[-1]
        published = (
            workplace / "run" if (workplace / "run" / "model.safetensors").exists() else newest
        )
        assert load_model(newest) and load_model(published), "what can be seen is whole"
        process = command(workplace, "-o", "run", "--resume")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert not list((workplace / "run").rglob(".*.new")), "left-overs are cleaned"
    whole, run = (
        (workplace / name / "model.safetensors").read_bytes() for name in ("whole", "run")
    )
    assert whole == run
    logs = [
        (workplace / name / "training" / "metrics.jsonl").read_text("utf-8")
        for name in ("whole", "run")
    ]
    steps = [
        [line.split('"gradient_norm"')[0] for line in log.splitlines() if '"step"' in line[:20]]
        for log in logs
    ]
    assert steps[0] == steps[1], "every step is noted once, with the same loss"


def test_a_full_disk_keeps_the_checkpoints_before(workplace):
    """A limit on the size of files stands for the disk."""
    process = command(workplace, "zh.txt", "-o", "run", *STEPS)
    until = time.monotonic() + 60
    while not checkpoints(workplace / "run"):
        assert process.poll() is None and time.monotonic() < until
    process.kill()
    process.wait()
    before = [path.name for path in checkpoints(workplace / "run")]
    limit = (checkpoints(workplace / "run")[-1] / "model.safetensors").stat().st_size // 2
    process = command(
        workplace,
        "-o",
        "run",
        "--resume",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "cannot save" in err.splitlines()[-1] and "Traceback" not in err
    assert [path.name for path in checkpoints(workplace / "run")] == before
    process = command(workplace, "-o", "run", "--resume")
    assert process.communicate(timeout=300) and process.returncode == 0
