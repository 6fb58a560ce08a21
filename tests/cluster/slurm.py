"""A Slurm of two nodes, from Debian's package, on the two hosts of `hosts.py`. Without authentication:
for this test alone."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts import Host, end_all

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
CONFIGURATION = """\
ClusterName=xinye
SlurmctldHost={one.name}({one.address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=60
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/%n.log
NodeName={one.name} NodeAddr={one.address} CPUs=1
NodeName={two.name} NodeAddr={two.address} CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
HIDE = "mount -t tmpfs none /sys/fs/cgroup"  # Slurm may not arrange this machine's groups
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


@dataclass(frozen=True)
class Slurm:
    """A running Slurm, asked from the first host."""

    host: Host
    place: Path  # its configuration, logs and state

    def ask(self, *command: str | Path, **environment: str) -> str:
        """What a command of Slurm prints. Raises `AssertionError` if it fails."""
        log = self.place / "asked.log"
        log.unlink(missing_ok=True)
        settings = {"SLURM_CONF": str(self.place / "slurm.conf"), **environment}
        code = self.host.run(*command, log=log, limit=60, **settings)
        said = log.read_text("utf-8")
        assert code == 0, f"{' '.join(map(str, command))}: {said}"
        return said

    def submit(self, *arguments: str | Path, **environment: str) -> str:
        """Submit a job; returns its number."""
        return self.ask("sbatch", "--parsable", *arguments, **environment).split(";")[0].strip()

    def state(self, job: str) -> tuple[str, int]:
        """A job's state, and how often it was started again."""
        said = self.ask("scontrol", "show", "job", job)
        [state] = re.findall(r"JobState=(\S+)", said)
        [restarts] = re.findall(r"Restarts=(\d+)", said)
        return state, int(restarts)

    def wait(self, job: str, limit: float = 300) -> tuple[str, int]:
        """The state of a job when it is over, and how often it was started again."""
        end = time.monotonic() + limit
        while (state := self.state(job))[0] not in OVER:
            assert time.monotonic() < end, f"job {job} is {state[0]} after {limit:.0f} s"
            time.sleep(0.5)
        return state


def missing() -> list[str]:
    """The programs of Slurm that are not installed."""
    return [program for program in PROGRAMS if not shutil.which(program)]


@contextmanager
def slurm_on(hosts: list[Host], place: Path) -> Iterator[Slurm]:
    """A Slurm whose nodes are the hosts, while the context is open."""
    place.mkdir()
    (place / "state").mkdir()
    one, two = hosts
    text = CONFIGURATION.format(one=one, two=two, place=place)
    (place / "slurm.conf").write_text(text, "utf-8")
    (place / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", "utf-8")
    settings = {"SLURM_CONF": str(place / "slurm.conf")}
    started: list[subprocess.Popen[str]] = []
    try:
        started.append(one.start("slurmctld", "-D", log=place / "control.log", **settings))
        for host in hosts:
            log = place / f"{host.name}.start.log"
            run = f"{HIDE} && exec slurmd -D -N {host.name}"
            started.append(host.start("sh", "-c", run, log=log, **settings))
        slurm = Slurm(one, place)
        _until_both_are_idle(slurm)
        yield slurm
    finally:
        end_all(started)


def _until_both_are_idle(slurm: Slurm) -> None:
    end, said = time.monotonic() + 60, ""
    while time.monotonic() < end:
        try:
            said = slurm.ask("sinfo", "--noheader", "--format", "%D %t")
        except AssertionError as error:  # it does not answer yet
            said = str(error)
        if said.split() == ["2", "idle"]:
            return
        time.sleep(0.5)
    logs = "".join(path.read_text("utf-8")[-1000:] for path in sorted(slurm.place.glob("*.log")))
    raise AssertionError(f"the two nodes of Slurm are not ready after 60 s: {said}\n{logs}")
