"""A run knows which launch began it, and goes on where that one is started again."""

import json
import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from conftest import TINY
from xinye.training.launch import has_begun, joined, names_of_launch


@pytest.fixture
def job(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)


def test_a_requeued_job_goes_on_and_another_job_does_not(xinye, workplace, job, monkeypatch):
    command = ("pretrain", "zh.txt", "-o", "run", *TINY)
    assert xinye(*command, "--steps", "2").code == 0
    assert "this run already exists" in xinye(*command, "--steps", "2").complaint
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert "has finished already, with 2 steps" in xinye(*command, "--steps", "2").err
    longer = xinye(*command, "--steps", "3", "--json")
    assert json.loads(longer.out)["steps"] == 3
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert "this run already exists" in xinye(*command, "--steps", "2").complaint


def test_a_job_without_a_name_for_its_run_finds_it_again(xinye, workplace, job, monkeypatch):
    command = ("pretrain", "zh.txt", *TINY, "--steps", "2", "--json")
    first, second = (json.loads(xinye(*command).out)["run"] for _ in range(2))
    assert (first, second) == ("runs/zh", "runs/zh-1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert json.loads(xinye(*command).out)["run"] == "runs/zh"


def test_what_is_damaged_can_be_overwritten(xinye, workplace, job, monkeypatch):
    command = ("pretrain", "zh.txt", "-o", "run", *TINY, "--steps", "2")
    assert xinye(*command).code == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    (workplace / "run" / "training" / "settings.json").write_text("{", "utf-8")
    assert xinye(*command, "--overwrite").code == 0


def test_auto_resume_begins_a_run_and_goes_on_with_it(xinye, workplace):
    bare = ("pretrain", "-o", "run", "--auto-resume", "--json")
    assert "run: there is no run to resume; give the text" in xinye(*bare).complaint
    command = ("pretrain", "zh.txt", "-o", "run", *TINY, "--auto-resume", "--json")
    assert json.loads(xinye(*command, "--steps", "2").out)["steps"] == 2
    assert json.loads(xinye(*command, "--steps", "4").out)["steps"] == 4
    assert json.loads(xinye(*bare).out)["steps"] == 4
    assert "leave --resume, --overwrite" in xinye(*command, "--overwrite").complaint
    assert "needs the run's folder" in xinye("pretrain", "zh.txt", "--auto-resume").complaint


def test_auto_resume_begins_again_what_has_saved_nothing(xinye, workplace):
    command = ("pretrain", "zh.txt", "-o", "run", *TINY, "--steps", "2", "--json")
    assert xinye(*command).code == 0
    for checkpoint in sorted((workplace / "run" / "training" / "checkpoints").iterdir()):
        for file in checkpoint.iterdir():
            file.unlink()
        checkpoint.rmdir()
    (workplace / "run" / "training" / "result.json").unlink()
    assert json.loads(xinye(*command, "--auto-resume").out)["steps"] == 2


def test_a_launch_started_again_meets_anew_in_the_same_store():
    """What the first start left in the store, such as its answer, misleads nobody."""
    store = dist.HashStore()
    names = []
    for _ in range(2):
        parts: dict[int, dist.Store] = {}

        def join(rank: int) -> None:
            parts[rank] = joined(store, rank, 3)  # noqa: B023 (it ends before the next turn)

        threads = [threading.Thread(target=join, args=(rank,)) for rank in (2, 1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        parts[0].set("address", f"of {len(names)}")
        parts[1].wait(["address"], timedelta(seconds=10))
        names.append((parts[1].get("address"), names_of_launch(store)))
    assert [address for address, _ in names] == [b"of 0", b"of 1"]
    assert names[0][1] == names[1][1]  # it is one launch


def test_no_run_is_of_no_launch(tmp_path):
    assert not has_begun(("name",), tmp_path) and not has_begun((), tmp_path)
