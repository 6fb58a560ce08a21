"""Training on two hosts: by hand, after a kill, under Slurm, with a host that is silent.

`make test-cluster` runs this as root, in a container or on a machine made for it. It builds two
hosts of namespaces, which are gone when it ends. `--without-slurm` leaves the part with Slurm out.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import slurm
from hosts import Host, refusal, two_hosts

from xinye.checkpoints.folders import checkpoints
from xinye.demo.stories import stories

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ROOT / "cluster" / "torchrun.sh"
SBATCH = ROOT / "cluster" / "slurm.sbatch"
TRAIN = (
    *("pretrain", "text.txt", "--size", "1M", "--layers", "2", "--width", "64"),
    *("--context", "32", "--batch-size", "8", "--tokenizer", "char", "--dtype", "float32"),
    *("--dropout", "0", "--compile", "no", "--seed", "1"),
)
SHORT, LONG = ("--steps", "30", "--evaluations", "2"), ("--steps", "200", "--evaluations", "10")
ENDLESS = ("--steps", "100000", "--evaluations", "1000")
FILLING = ("--steps", "80", "--evaluations", "16")
SILENCE = 10  # seconds
SHORTER = f"""
from datetime import timedelta
from xinye.training import watch
watch.SILENCE = timedelta(seconds={SILENCE})
"""
CLOSE = 1e-5  # nats between the losses of one process and those of several


@dataclass(frozen=True)
class Place:
    """Where the checks are made: the shared folder, and the hosts that see it."""

    folder: Path
    hosts: list[Host]

    @property
    def settings(self) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": "1",
            "PROCESSES": "1",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT / "src"),
            "XINYE_CACHE": str(self.folder / "cache"),
            "XINYE_LANGUAGE": "en",
        }

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def alone(self, run: str, *arguments: str) -> None:
        """Train on the first host."""
        command = (sys.executable, "-m", "xinye", *TRAIN, *arguments, "-o", run)
        assert self.on(0, run, *command).wait(300) == 0, self.log(run).read_text("utf-8")

    def together(self, run: str, *arguments: str, **more: str) -> list[subprocess.Popen[str]]:
        """Start training on both hosts, with the script that we ship."""
        return [self.by_torchrun(number, run, *arguments, **more) for number in (0, 1)]

    def by_torchrun(
        self, number: int, run: str, *arguments: str, **more: str
    ) -> subprocess.Popen[str]:
        """Start training on one of the hosts."""
        settings = {"HOSTS": "2", "FIRST": self.hosts[0].name, **more}
        command = (TORCHRUN, *TRAIN, *arguments, "-o", run)
        return self.on(number, f"{Path(run).name}-{number + 1}", *command, **settings)

    def on(self, number: int, log: str, *command: str | Path, **more: str) -> subprocess.Popen[str]:
        """Start a command on one of the hosts, in the shared folder."""
        host, settings = self.hosts[number], {**self.settings, **more}
        go = ("sh", "-c", 'cd "$0" && exec "$@"', self.folder)
        return host.start(*go, *command, log=self.log(log), **settings)

    def said(self, name: str) -> str:
        return self.log(name).read_text("utf-8")

    def losses(self, run: str) -> dict[int, float]:
        """The loss of each step of a run."""
        lines = (self.folder / run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
        records = map(json.loads, lines)
        return {each["step"]: each["loss"] for each in records if each["kind"] == "step"}

    def same(self, run: str) -> str:
        """Check that a run has the losses of one process; returns the largest difference."""
        if not (self.folder / "one").exists():
            self.alone("one", *SHORT)
        losses, others = self.losses("one"), self.losses(run)
        assert losses.keys() == others.keys(), (len(losses), len(others))
        worst = max(abs(losses[step] - others[step]) for step in losses)
        assert worst < CLOSE, f"the losses of one process and of {run} differ by {worst:.1e}"
        return f"{len(losses)} losses differ by at most {worst:.1e} from those of one process"

    def equal(self, run: str) -> str:
        """Check that a run of two processes has the bits of one on two hosts, never stopped."""
        if not (self.folder / "long").exists():
            all_end(self, "long", self.together("long", *LONG))
        losses, others = self.losses("long"), self.losses(run)
        assert losses == others, f"the losses of long and {run} differ: {losses} {others}"
        return f"{len(losses)} losses are those of a run that was not stopped, bit for bit"

    def until(self, ready: Callable[[], object], what: str, limit: float = 120) -> None:
        end = time.monotonic() + limit
        while not ready():
            assert time.monotonic() < end, f"{what}: not within {limit:.0f} s"
            time.sleep(0.05)

    def until_saved(self, run: str) -> None:
        self.until(lambda: checkpoints(self.folder / run), f"the first checkpoint of {run}")


def all_end(place: Place, run: str, processes: list[subprocess.Popen[str]]) -> None:
    codes = [process.wait(300) for process in processes]
    assert codes == [0, 0], (codes, place.said(f"{run}-1"), place.said(f"{run}-2"))


def two_hosts_give_the_losses_of_one_process(place: Place) -> str:
    all_end(place, "two", place.together("two", *SHORT))
    return place.same("two")


def two_hosts_give_the_bits_of_two_processes_on_one_host(place: Place) -> str:
    place.alone("both", *LONG, "--processes", "2")
    return place.equal("both")


def a_killed_worker_is_started_again(place: Place) -> str:
    started = place.together("killed", *LONG)
    place.until_saved("killed")
    [worker] = place.hosts[1].workers()
    os.kill(worker, signal.SIGKILL)
    all_end(place, "killed", started)
    assert place.said("killed-1").count("measuring the speed\n") == 2, place.said("killed-1")
    return place.equal("killed")


def a_silent_host_ends_the_run(place: Place) -> str:
    """The cable is cut while they train. The limit is five minutes; here it is shorter."""
    (place.folder / "shorter").mkdir()
    (place.folder / "shorter" / "sitecustomize.py").write_text(SHORTER, "utf-8")
    settings = {"PYTHONPATH": f"{place.folder / 'shorter'}:{ROOT / 'src'}", "WAIT": "10"}

    def told(number: int, other: int) -> bool:
        line = f"xinye: process {other} has not answered for {SILENCE} s"
        return place.said(f"silent-{number}").count(line) == 1

    started = place.together("silent", *ENDLESS, **settings)
    place.until_saved("silent")
    place.hosts[1].run("ip", "link", "set", "cable", "down", log=place.log("cable"))
    began = time.monotonic()
    place.until(lambda: all(map(told, (1, 2), (1, 0))), "a line on each host", 60)
    place.until(lambda: not any(host.workers() for host in place.hosts), "the end of both", 60)
    seconds = time.monotonic() - began
    # The torchrun of the host that is cut off waits for its store until TCP gives up.
    assert started[0].wait(60) == 1, place.said("silent-1")
    return f"both processes ended within {seconds:.0f} s, in one line"


def a_host_that_does_not_come_is_named(place: Place) -> str:
    lines = {1: "29400 did not answer within 5 s; start", 0: "of 2 hosts one did not come in time"}
    for number, line in lines.items():
        process = place.by_torchrun(number, "absent", *SHORT, WAIT="5")
        assert process.wait(120) == 1
        said = place.said(f"absent-{number + 1}")
        assert line in said, said
    return "each host says so in one line, and the code is 1"


def a_folder_that_is_not_shared_is_refused(place: Place) -> str:
    (place.folder / "unshared").mkdir()
    mount = ("mount", "-t", "tmpfs", "none", place.folder / "unshared")
    assert place.hosts[1].run(*mount, log=place.log("mount")) == 0
    earlier = (
        place.by_torchrun(0, "unshared/run", *SHORT, RESTARTS="0"),
        place.by_torchrun(1, "unshared/run", *SHORT, RESTARTS="0"),
    )
    codes = [process.wait(120) for process in earlier]
    said = place.said("run-1")
    [line] = [each for each in said.splitlines() if each.startswith("xinye pretrain:")]
    assert "all hosts must share the folder" in line and all(codes), said
    return line


def a_full_disk_keeps_the_last_checkpoint(place: Place) -> str:
    (place.folder / "full").mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=32m", "none", place.folder / "full")
    assert place.hosts[0].run(*mount, log=place.log("mount")) == 0
    inside = Path(f"/proc/{place.hosts[0].root}/root{place.folder}/full")
    command = (sys.executable, "-m", "xinye", *TRAIN, *FILLING, "-o", "full/run")
    split = ("--processes", "2", "--parallel", "fsdp", "--auto-resume")
    process = place.on(0, "full", *command, *split)
    place.until(lambda: checkpoints(inside / "run"), "the first checkpoint")
    with suppress(OSError), (inside / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    assert process.wait(120) == 1, place.said("full")
    lines = [each for each in place.said("full").splitlines() if each.startswith("xinye pretrain")]
    assert (
        len(lines) == 1 and "cannot save" in lines[0] and "Traceback" not in place.said("full")
    ), place.said("full")
    assert checkpoints(inside / "run"), lines
    (inside / "filler").unlink()
    assert place.on(0, "full", *command, *split).wait(300) == 0, place.said("full")
    return lines[0]


def slurm_gives_the_losses_of_one_process(place: Place) -> str:
    with a_slurm(place) as asked:
        job = submit(place, asked, "by-slurm", *SHORT)
        check_completed(place, asked, job, requeued=0)
        return place.same("by-slurm")


def slurm_requeues_and_the_run_goes_on(place: Place) -> str:
    with a_slurm(place) as asked:
        job = submit(place, asked, "requeued", *LONG)
        place.until_saved("requeued")
        asked.ask("scontrol", "requeue", job)
        check_completed(place, asked, job, requeued=1)
        return place.equal("requeued")


def slurm_saves_before_the_time_is_over_and_requeues(place: Place) -> str:
    with a_slurm(place) as asked:
        job = submit(place, asked, "timed", *LONG)
        place.until_saved("timed")
        asked.ask("scancel", "--batch", "--signal=USR1", job)  # what Slurm does before the limit
        check_completed(place, asked, job, requeued=1)
        assert "stopped after step" in job_said(place, job), job_said(place, job)
    return place.equal("timed")


CHECKS = (
    two_hosts_give_the_losses_of_one_process,
    two_hosts_give_the_bits_of_two_processes_on_one_host,
    a_killed_worker_is_started_again,
    a_silent_host_ends_the_run,
    a_host_that_does_not_come_is_named,
    a_folder_that_is_not_shared_is_refused,
    a_full_disk_keeps_the_last_checkpoint,
)
WITH_SLURM = (
    slurm_gives_the_losses_of_one_process,
    slurm_requeues_and_the_run_goes_on,
    slurm_saves_before_the_time_is_over_and_requeues,
)


@contextmanager
def a_slurm(place: Place) -> Iterator[slurm.Slurm]:
    number = len(list(place.folder.glob("slurm*")))
    with slurm.slurm_on(place.hosts, place.folder / f"slurm{number}") as asked:
        yield asked


def submit(place: Place, asked: slurm.Slurm, run: str, *arguments: str, nodes: str = "2") -> str:
    return asked.submit(
        *("--nodes", nodes, "--chdir", place.folder, SBATCH, *TRAIN, *arguments, "-o", run),
        **place.settings,
    )


def check_completed(place: Place, asked: slurm.Slurm, job: str, requeued: int) -> None:
    """Wait for a job; it must end well after having been started again so many times."""
    state = asked.wait(job)
    assert state == ("COMPLETED", requeued), (state, job_said(place, job))


def job_said(place: Place, job: str) -> str:
    return (place.folder / f"xinye-{job}.log").read_text("utf-8")


def main(words: list[str]) -> int:
    if unknown := [word for word in words if word != "--without-slurm" and word not in names()]:
        print(f"make test-cluster: unknown word {unknown[0]}; checks are {', '.join(names())}")
        return 2
    if reason := refusal():
        print(f"make test-cluster: {reason}")
        return 2
    chosen = [word for word in words if word != "--without-slurm"]
    checks = [each for each in (*CHECKS, *WITH_SLURM) if not chosen or each.__name__ in chosen]
    absent = slurm.missing()
    failed = left_out = 0
    folder = Path(tempfile.mkdtemp(prefix="xinye-cluster-"))
    try:
        (folder / "text.txt").write_text("\n".join(stories(300, "zh")), "utf-8")
        for check in checks:
            name = check.__name__.replace("_", " ")
            if check in WITH_SLURM and (absent or "--without-slurm" in words):
                left_out += 1
                print(f"not run  {name}")
                continue
            failed += not passed(check, name, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(checks) - failed - left_out} passed, {failed} failed, {left_out} skipped")
    if left_out and "--without-slurm" not in words:
        print(
            f"Slurm is not installed ({absent[0]}): apt-get install slurm-wlm; or --without-slurm"
        )
        return 1
    return int(failed > 0)


def names() -> list[str]:
    return [check.__name__ for check in (*CHECKS, *WITH_SLURM)]


def passed(check: Callable[[Place], str], name: str, folder: Path) -> bool:
    """Make two hosts and one check on them; prints how it ended."""
    began = time.monotonic()
    try:
        with two_hosts(folder) as hosts:
            found = check(Place(folder, hosts))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"FAILED   {name}\n{error}", flush=True)
        return False
    print(f"passed   {name} ({time.monotonic() - began:.0f} s): {found}", flush=True)
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
