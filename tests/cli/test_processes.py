"""Several processes train one model: the samples, the losses and the weights of one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY
from two import meeting, two
from xinye.checkpoints.folders import checkpoints
from xinye.data.batches import Windows
from xinye.data.blocks import OneBlock
from xinye.training import distributed
from xinye.training.distributed import Processes
from xinye.training.loop import Step
from xinye.training.session import Session

COMPILING = "compiling the decoder for this processor; this happens once and takes a few seconds\n"
EXACT = (*TINY, "--optimizer", "adamw", "--evaluations", "2")


def start(workplace: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(
        [sys.executable, "-m", "xinye", "pretrain", *arguments],
        cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip


def torchrun(workplace: Path, restarts: int, *arguments: str) -> subprocess.Popen[str]:
    command = (
        *("-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "xinye", *arguments),
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip


def losses(run: Path) -> dict[int, float]:
    lines = (run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return {
        record["step"]: record["loss"]
        for record in map(json.loads, lines)
        if record["kind"] == "step"
    }


def assert_same(one: Path, other: Path) -> None:
    assert losses(one) == pytest.approx(losses(other), abs=1e-5)
    weights: list[dict[str, Any]] = [load_file(run / "model.safetensors") for run in (one, other)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_they_see_the_samples_of_one(count):
    windows = Windows(OneBlock(np.arange(1, 4000), np.array([[0, 1500], [1500, 3999]])), 16, 0)
    whole = windows.batch(3 * 10, 10).tokens
    seen = [
        batch.tokens
        for rank in range(count)
        for batch in windows.micro_batches(*Processes(rank, count).share(3 * 10, 10), 3)
    ]
    assert torch.equal(torch.cat(seen), whole)


def test_two_share_one_clock(xinye, workplace):
    """What two did in a given time, one does again by the list of their plans."""
    done = two("pretrain", "zh.txt", "-o", "two", "--time", "3s", "--dropout", "0", *EXACT)
    assert done.code == 0, done.err
    plan = json.loads((workplace / "two" / "training" / "plan.json").read_text("utf-8"))["values"]
    pairs = ",".join(f"{step}:{total}" for step, total in plan["total_steps"])
    again = xinye(
        "pretrain", "zh.txt", "-o", "one", "--total-steps", pairs, "--dropout", "0", *EXACT
    )
    assert again.code == 0, again.err
    assert losses(workplace / "one").keys() == losses(workplace / "two").keys()
    taken = sorted(losses(workplace / "two"))[:20]
    first = [[losses(workplace / name)[step] for step in taken] for name in ("one", "two")]
    assert first[0] == pytest.approx(first[1], abs=1e-3)  # later, rounding grows


def test_two_learn_what_one_learns_and_one_goes_on_where_two_were_stopped(xinye, workplace):
    assert xinye("pretrain", "zh.txt", "-o", "one", "--steps", "40", *EXACT).code == 0
    process = start(
        workplace, "zh.txt", "-o", "two", "--steps", "40", "--processes", "2", "--json", *EXACT
    )
    metrics, until = workplace / "two" / "training" / "metrics.jsonl", time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size > 100):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    if process.returncode:  # it may have been too fast for the signal
        assert process.returncode == 143, err
        done = int(checkpoints(workplace / "two")[-1].name.removeprefix("step-"))
        assert (
            f"stopped after step {done}; resume with" in err
            and json.loads(out.splitlines()[-1])["steps"] == done
        )
        assert xinye("pretrain", "-o", "two", "--resume").code == 0
    assert_same(workplace / "one", workplace / "two")


def test_two_go_on_longer_together(xinye, workplace):
    """With a constant rate, as if one had taken all steps."""
    constant = (*EXACT, "--decay", "0.001", "--warmup", "1", "--dropout", "0")
    for run, steps in (("one", "8"), ("two", "4")):
        assert xinye("pretrain", "zh.txt", "-o", run, "--steps", steps, *constant).code == 0
    done = two("pretrain", "-o", "two", "--resume", "--steps", "8")
    assert done.code == 0, done.err
    assert done.err.count("training continues from step 4 to 8") == 1, done.err
    assert_same(workplace / "one", workplace / "two")
    done = two("pretrain", "-o", "two", "--resume", "--json")
    assert done.code == 0, done.err
    assert done.err.count("the run has finished already, with 8 steps") == 1, done.err
    assert json.loads(done.out)["steps"] == 8


def test_muon_on_two_processes_that_torchrun_started_learns_what_it_learns_on_one(xinye, workplace):
    arguments = ("pretrain", "zh.txt", "--steps", "10", *TINY)
    assert xinye(*arguments, "-o", "one").code == 0
    process = torchrun(workplace, 0, *arguments, "-o", "two")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same(workplace / "one", workplace / "two")


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text("utf-8")
    return [
        child
        for child in map(int, children.split())
        if b"xinye" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_torchrun_starts_a_killed_worker_again_and_the_run_goes_on(xinye, workplace):
    arguments = ("pretrain", "zh.txt", "--steps", "60", "--dropout", "0", *EXACT)
    assert xinye(*arguments, "-o", "one").code == 0
    process, until = torchrun(workplace, 2, *arguments, "-o", "two"), time.monotonic() + 120
    while not checkpoints(workplace / "two"):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    os.kill(workers(process.pid)[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count("measuring the speed\n") == 2, err  # it was started twice
    assert losses(workplace / "one").keys() == losses(workplace / "two").keys()
    assert_same(workplace / "one", workplace / "two")


def test_one_process_of_a_launcher_saves_though_it_is_asked_twice(xinye, workplace, monkeypatch):
    """Slurm and torchrun send SIGTERM both."""
    for name, value in {**meeting(), "WORLD_SIZE": "1", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    after = Session.after

    def asked(self: Session, record: Step) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        return after(self, record)

    monkeypatch.setattr(Session, "after", asked)
    done = xinye("pretrain", "zh.txt", "-o", "run", "--steps", "4", *EXACT)
    assert done.code == 143 and "stopped after step" in done.err, done.err
    assert checkpoints(workplace / "run")


FAILING = """
import os, signal, sys, time
from datetime import timedelta
from pathlib import Path
from xinye.cli import main, training
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings
from xinye.training import watch
from xinye.training.distributed import processes
from xinye.training.train import check_same_settings, start_of

if sys.argv[2] in ("silent", "finished"):
    watch.SILENCE = timedelta(seconds=2)

def train(arguments):
    with processes() as group:
        if arguments == ["of-one"] and group.rank:
            raise XinyeError("disk: it is full", 1)
        if arguments == ["of-all"]:
            raise XinyeError(f"disk: it is full, says {group.rank}")
        if arguments == ["killed"] and group.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        if arguments == ["other"]:
            group.check_same(f"the data {group.rank}", "give the same")
        if arguments == ["unlike"]:
            settings = PretrainSettings(steps=2 + group.rank, output=Path("run"))
            check_same_settings(settings, start_of(settings, group, None, False, False))
        if arguments == ["silent"] and group.rank:
            os.kill(os.getpid(), signal.SIGSTOP)
        group.numbers([1])
        if arguments == ["finished"] and group.first:
            time.sleep(3)
    return 0

training.pretrain = train
sys.exit(main.main(sys.argv[1:]))
"""


def failing(workplace: Path, how: str) -> list[subprocess.Popen[str]]:
    """Two processes of which one or both fail."""
    (workplace / "failing.py").write_text(FAILING, "utf-8")
    environment = {**os.environ, **meeting()}
    return [
        subprocess.Popen(
            [sys.executable, "failing.py", "pretrain", how],
            cwd=workplace, env={**environment, "RANK": rank}, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "how, code, says",
    [
        ("of-one", 1, "process 1 on [^:]+: disk: it is full"),
        ("of-all", 2, "disk: it is full, says 0"),
        ("killed", 1, "the connection to another of the 2 processes was lost: .* with --resume"),
        ("other", 2, "process 0 has the data 0, but process 1 has the data 1; give the same"),
        ("unlike", 2, "process 0 was given steps 2, but process 1 3; give all .* same command"),
    ],
)
def test_what_one_process_meets_is_told_once_by_the_first(workplace, how, code, says):
    started = failing(workplace, how)
    (_, err), (_, other) = (process.communicate(timeout=120) for process in started)
    assert re.fullmatch(f"xinye pretrain: {says}\n", err), err
    assert started[0].returncode == code and other == ""


@pytest.mark.parametrize(
    "how, code, says",
    [
        ("silent", 1, "xinye: process 1 has not answered for 2 s: .* with --resume\n"),
        ("finished", 0, ""),  # the first process still writes its report
    ],
)
def test_a_process_that_does_not_answer_is_waited_for_a_while(workplace, how, code, says):
    first, silent = failing(workplace, how)
    try:
        _, err = first.communicate(timeout=120)
    finally:
        silent.kill()
        silent.communicate()
    assert first.returncode == code and re.fullmatch(says, err), err


MISSING = """
import sys
from datetime import timedelta
from xinye.cli import main
from xinye.training import launch

launch.JOINING = timedelta(seconds=2)
sys.exit(main.main(["pretrain", "zh.txt", "-o", "run"]))
"""


@pytest.mark.parametrize("rank", "01")
def test_a_process_that_does_not_come_is_waited_for_a_while(workplace, rank):
    where = meeting()
    done = subprocess.run(
        [sys.executable, "-c", MISSING],
        cwd=workplace, env={**os.environ, **where, "RANK": rank}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and not (workplace / "run").exists()
    assert (
        f"pretrain: localhost:{where['MASTER_PORT']}: the 2 processes have not come together"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


THREADS = """
import atexit, time, torch
from pathlib import Path
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.distributed import another_group, processes
from xinye.training.sharding import shard

def threads():
    return {task.name: (task / "comm").read_text() for task in Path("/proc/self/task").iterdir()}

def train():
    with processes() as group:
        together = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
        together(torch.ones(2, 4)).sum().backward()
        tokens, model = torch.ones(1, 4).long(), GPT(GPTConfig("modern", 9, 8, 1, 1, 1, 8, 8, 8))
        shard(model, model, torch.device("cpu"), group)
        model.loss(tokens, tokens).backward()
        another_group()
        raise ValueError

torch.ones(2, requires_grad=True).sum().backward()  # autograd has a thread of its own
before = threads()

def left():
    end = time.monotonic() + 20  # they end by themselves, on a busy machine a moment later
    while found := [name for task, name in threads().items() if task not in before]:
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    print(found)

atexit.register(left)
try:
    train()
except ValueError:
    raise SystemExit(2)
"""


def test_no_thread_of_the_group_outlives_it(workplace):
    """Those that did aborted the process at its end, or hung it: each time in ten, on a busy
    machine."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr


def test_what_is_wrong_is_said_once(workplace):
    process = start(workplace, "missing.txt", "-o", "run", "--processes", "2")
    _, err = process.communicate(timeout=300)
    said = err.replace(COMPILING, "")  # if no test before has used the decoder
    assert process.returncode == 2
    assert said == "xinye pretrain: missing.txt: no such file or folder\n"


def test_two_are_as_quiet_as_one(workplace):
    process = start(
        workplace, "zh.txt", "-o", "run", "--steps", "2", "--processes", "2", "-q", *EXACT
    )
    assert (*process.communicate(timeout=300), process.returncode) == ("", "", 0)
    assert (workplace / "run" / "model.safetensors").exists()


def test_only_a_launcher_takes_the_place_of_processes(xinye, workplace, monkeypatch):
    """A rank alone, which a cluster may have left in the environment, is not of several."""
    command = ("pretrain", "zh.txt", "-o", "run", "--processes", "2")
    monkeypatch.setattr(distributed, "launch", lambda count, words: 40 + count)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert xinye(*command).code == 42
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "--processes 2: the environment variable WORLD_SIZE is 1" in xinye(*command).complaint


def test_a_rank_alone_does_not_silence(workplace, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    _, err = start(workplace, "-o", "run").communicate(timeout=300)
    assert err.startswith("xinye pretrain: give the text to train on")


@pytest.mark.parametrize("rank, count", [("1", "2"), ("0", "0"), ("x", "2"), ("", "2")])
def test_half_of_a_cluster_is_refused(xinye, workplace, monkeypatch, rank, count):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    told = xinye("pretrain", "zh.txt", "-o", "run", "--steps", 2)
    assert told.code == 2
    assert f"WORLD_SIZE={count} and RANK={rank} announce" in told.complaint


def test_a_batch_too_small_to_share(workplace):
    process = start(
        workplace,
        "zh.txt",
        "-o",
        "run",
        "--steps",
        "2",
        "--processes",
        "2",
        *EXACT,
        "--batch-size",
        "1",
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert (
        "a batch of 1 cannot be shared by 2 processes" in err.splitlines()[-1]
        and "Traceback" not in err
    )
