"""Several processes train one model: the samples, the losses and the weights of one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from conftest import TINY
from failing import fail
from two import SERVER, Forked, meeting, two
from xinye.checkpoints.folders import checkpoints
from xinye.data.batches import Windows
from xinye.data.blocks import OneBlock
from xinye.errors import XinyeError
from xinye.training import torchrun as launcher
from xinye.training.distributed import Processes
from xinye.training.loop import Step
from xinye.training.session import Session

COMPILING = (
    "compiling the fast code for this processor; this happens once and takes about 15 seconds\n"
)
EXACT = (*TINY, "--optimizer", "adamw", "--evaluations", "2")


def torchrun(restarts: int, *arguments: str) -> Forked:
    words = ("--nproc-per-node", "2", "--max-restarts", str(restarts), "--rdzv-backend", "c10d")
    meeting = ("--rdzv-endpoint", "localhost:0", "-m", "xinye")
    return Forked(*words, *meeting, *arguments, module="xinye.training.torchrun")


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
    asked = ("pretrain", "zh.txt", "-o", "two", "--steps", "40", "--processes", "2", "--json")
    process = Forked(*asked, *EXACT)
    metrics, until = workplace / "two" / "training" / "metrics.jsonl", time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size > 100):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
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
    for row in ("width +64  as in the saved run", "steps +8  given; steps done already: 4"):
        assert re.search(row, done.err), done.err
    assert_same(workplace / "one", workplace / "two")
    done = two("pretrain", "-o", "two", "--resume", "--json")
    assert done.code == 0, done.err
    assert done.err.count("the run has finished already, with 8 steps") == 1, done.err
    assert json.loads(done.out)["steps"] == 8


def test_muon_on_two_processes_that_torchrun_started_learns_what_it_learns_on_one(xinye, workplace):
    arguments = ("pretrain", "zh.txt", "--steps", "10", *TINY)
    assert xinye(*arguments, "-o", "one").code == 0
    process = torchrun(0, *arguments, "-o", "two")
    _, err = process.communicate()
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
    process, until = torchrun(2, *arguments, "-o", "two"), time.monotonic() + 120
    while not checkpoints(workplace / "two"):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    os.kill(workers(process.pid)[-1], signal.SIGKILL)
    _, err = process.communicate()
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


def failing(workplace: Path, how: str, ranks: str = "01") -> list[BaseProcess]:
    """Two processes of which one or both fail. Each prints its error into a file, `0.err`."""
    where = {**os.environ, **meeting()}
    started = [
        SERVER.Process(target=fail, args=(how, int(rank), where, workplace / f"{rank}.err"))
        for rank in ranks
    ]
    for process in started:
        process.start()
    return started


def ended(process: BaseProcess, said: Path) -> tuple[int | None, str]:
    """The exit code of a process and its error."""
    process.join(120)
    process.kill()  # if it hangs
    process.join()
    return process.exitcode, said.read_text("utf-8")


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
    first, second = failing(workplace, how)
    found, err = ended(first, workplace / "0.err")
    assert re.fullmatch(f"xinye pretrain: {says}\n", err), err
    assert found == code and ended(second, workplace / "1.err")[1] == ""


@pytest.mark.parametrize(
    "how, code, says",
    [
        ("silent", 1, "xinye: process 1 has not answered for 2 s: .* with --resume\n"),
        ("finished", 0, ""),  # the first process still writes its report
    ],
)
def test_a_process_that_does_not_answer_is_waited_for_a_while(workplace, how, code, says):
    first, silent = failing(workplace, how)
    found, err = ended(first, workplace / "0.err")
    silent.kill()
    silent.join()
    assert found == code and re.fullmatch(says, err), err


@pytest.mark.parametrize("rank", "01")
def test_a_process_that_does_not_come_is_waited_for_a_while(workplace, rank):
    [alone] = failing(workplace, "missing", rank)
    code, err = ended(alone, workplace / f"{rank}.err")
    assert code == 1 and not (workplace / "run").exists()
    says = r"pretrain: localhost:\d+: the 2 processes have not come together"
    assert re.search(says, err) and "Traceback" not in err


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
    process = Forked("pretrain", "missing.txt", "-o", "run", "--processes", "2")
    _, err = process.communicate()
    said = err.replace(COMPILING, "")  # if no test before has used the decoder
    assert process.returncode == 2
    assert said == "xinye pretrain: missing.txt: no such file or folder\n"


def test_two_are_as_quiet_as_one(workplace):
    asked = ("pretrain", "zh.txt", "-o", "run", "--steps", "2", "--processes", "2", "-q")
    process = Forked(*asked, *EXACT)
    assert (*process.communicate(), process.returncode) == ("", "", 0)
    assert (workplace / "run" / "model.safetensors").exists()


def test_only_a_launcher_takes_the_place_of_processes(xinye, workplace, monkeypatch):
    """A rank alone, which a cluster may have left in the environment, is not of several."""
    command = ("pretrain", "zh.txt", "-o", "run", "--processes", "2")
    monkeypatch.setattr(launcher, "launch", lambda count, words: 40 + count)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert xinye(*command).code == 42
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "--processes 2: the environment variable WORLD_SIZE is 1" in xinye(*command).complaint


def test_a_rank_alone_does_not_silence(workplace, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    _, err = Forked("pretrain", "-o", "run").communicate()
    assert err.startswith("xinye pretrain: give the text to train on")


@pytest.mark.parametrize("rank, count", [("1", "2"), ("0", "0"), ("x", "2"), ("", "2")])
def test_half_of_a_cluster_is_refused(xinye, workplace, monkeypatch, rank, count):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    told = xinye("pretrain", "zh.txt", "-o", "run", "--steps", 2)
    assert told.code == 2
    assert f"WORLD_SIZE={count} and RANK={rank} announce" in told.complaint


def test_a_batch_too_small_to_share(workplace):
    done = two("pretrain", "zh.txt", "-o", "run", "--steps", "2", *EXACT, "--batch-size", "1")
    assert done.code == 2 and "Traceback" not in done.err
    assert done.err.count("a batch of 1 cannot be shared by 2 processes") == 1, done.err


def test_a_dry_run_plans_for_as_many_processes_as_asked_and_starts_none(
    xinye, workplace, monkeypatch
):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(launcher, "launch", lambda count, words: pytest.fail("it was started"))
    asked = ("pretrain", "zh.txt", "--steps", "2", "--dry-run", "--json", "--processes", "2", *TINY)
    done = xinye(*asked)
    plan = json.loads(done.out)["plan"]
    assert (plan["processes"], plan["parallel"], plan["micro_batch_size"]) == (2, "ddp", 2)
    assert "each process has memory for the whole model; 0." in done.err
    assert "--layers and --width win over --size 1M" in done.err


def test_more_processes_than_the_cores_can_bear_are_refused(xinye, workplace, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(launcher, "allowed_cores", lambda: 2)
    told = xinye("pretrain", "zh.txt", "--processes", "9")
    assert told.code == 2 and "this machine has 2 cores" in told.complaint
    assert "give at most 8" in told.complaint


def test_a_host_that_nobody_knows_is_told_at_once(xinye, workplace, monkeypatch):
    """.invalid is reserved for names that do not exist (RFC 2606)."""
    says = "no host named 'nowhere.invalid' is known here"
    words = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "nowhere.invalid:29400", "x.py")
    with pytest.raises(XinyeError, match=f"--rdzv-endpoint: {says}"):
        launcher.run_host(words)
    for name, value in {**meeting(), "RANK": "0", "MASTER_ADDR": "nowhere.invalid"}.items():
        monkeypatch.setenv(name, value)
    told = xinye("pretrain", "zh.txt", "-o", "run")
    assert told.code == 2 and f"MASTER_ADDR: {says}" in told.complaint


@pytest.mark.parametrize(
    "codes, code", [((-15, 143), 143), ((0, -2), 130), ((2, -15), 2), ((143, -15), 143)]
)
def test_a_worker_that_a_signal_ended_gives_the_code_of_the_signal(codes, code):
    failed = {rank: ProcessFailure(rank, 0, each, "") for rank, each in enumerate(codes) if each}
    assert launcher.code_of(ChildFailedError("xinye", failed)) == code


def test_processes_of_one_machine_share_the_cores_it_may_use(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr(launcher, "allowed_cores", lambda: 8)
    monkeypatch.setattr(launcher.run, "run", lambda asked: None)
    monkeypatch.setattr(launcher.logging, "disable", lambda level: None)
    for given, threads in (("", "4"), ("3", "3")):
        os.environ.pop("OMP_NUM_THREADS")
        if given:
            os.environ["OMP_NUM_THREADS"] = given
        assert launcher.run_host(("--nproc-per-node", "2", "x.py")) == 0
        assert os.environ["OMP_NUM_THREADS"] == threads


TORCHRUN = (sys.executable, "-m", "xinye.training.torchrun", "--rdzv-backend", "c10d")


def test_a_host_that_is_missing_is_told_in_one_line(workplace):
    words = ("--nnodes", "2", "--rdzv-endpoint", "localhost:0", "--rdzv-conf", "join_timeout=1")
    process = Forked("--rdzv-backend", "c10d", *words, "x.py", module="xinye.training.torchrun")
    _, err = process.communicate()
    assert process.returncode == 1
    says = "xinye: localhost:0: of 2 hosts one did not come in time; .*\n"
    assert re.fullmatch(says, err), err


# Like a process of ours it ends when its launcher has ended. PyTorch's does not end a process that
# it is just starting when the signal comes.
WAITING = """
import os, time
launcher = os.getppid()
print("here", flush=True)
while os.getppid() == launcher:
    time.sleep(0.1)
"""


def test_a_signal_to_the_launcher_is_told_in_one_line(workplace):
    Path("x.py").write_text(WAITING, "utf-8")
    process = subprocess.Popen(
        [*TORCHRUN, "--rdzv-endpoint", "localhost:0", "x.py"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert re.fullmatch("xinye: ended by SIGTERM; .* --auto-resume\n", err), err
