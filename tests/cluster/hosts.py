"""Two hosts on one machine: namespaces of their own for network, names, processes and mounts,
joined by a virtual cable. When their first process ends, the system removes all of it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ADDRESSES = {"xinye-one": "192.0.2.1", "xinye-two": "192.0.2.2"}  # RFC 5737: of documentation
ALLOWED = "XINYE_TEST_MACHINE"  # set to 1 on a machine that is made for such tests
TOOLS = ("unshare", "nsenter", "ip", "mount", "hostname")
# The first process of a host: without /proc remounted, it would see the processes of all.
BEGIN = "hostname {name} && ip link set lo up && mount --bind {hosts} /etc/hosts && exec sleep 1d"
CABLE = "ip address add {address}/24 dev cable && ip link set cable up"


@dataclass(frozen=True)
class Host:
    """A host with a name that both resolve. `root` is its first process, seen from outside."""

    name: str
    root: int

    @property
    def address(self) -> str:
        return ADDRESSES[self.name]

    def start(self, *command: str | Path, log: Path, **environment: str) -> subprocess.Popen[str]:
        """Start a command on this host. What it prints, errors too, goes to the file `log`."""
        inside = ("nsenter", "--target", str(self.root), "--net", "--uts", "--mount", "--pid")
        with log.open("a", encoding="utf-8") as output:
            return subprocess.Popen(
                [*inside, *map(str, command)],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

    def run(self, *command: str | Path, log: Path, limit: float = 300, **environment: str) -> int:
        """Run a command on this host, for at most `limit` seconds. Returns its exit code."""
        process = self.start(*command, log=log, **environment)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(
                f"{self.name}: {command[0]} took more than {limit:.0f} s"
            ) from None

    def workers(self) -> list[int]:
        """The processes of this host that train, as numbers seen from outside."""
        here = os.stat(f"/proc/{self.root}/ns/pid").st_ino
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                same = os.stat(place / "ns/pid").st_ino == here
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended meanwhile
                continue
            if same and words[1:4] == [b"-u", b"-m", b"xinye"]:
                found.append(int(place.name))
        return found


def refusal() -> str:
    """Why no hosts may be made on this machine, in one line; empty if they may be."""
    if os.geteuid():
        return "this makes networks, mounts and a small Slurm, which needs root"
    if not (in_container() or os.environ.get(ALLOWED) == "1"):
        return (
            "this is neither a container nor a machine made for such tests; run it in one, or set "
            f"{ALLOWED}=1 on a machine that nobody else needs"
        )
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return (
            f"{', '.join(missing)}: not found; apt-get install util-linux iproute2 mount hostname"
        )
    return ""


def in_container() -> bool:
    """Whether this system is a container, by the marks that container runtimes leave."""
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return True
    for file, words in (
        ("/proc/1/cgroup", ("docker", "containerd", "kubepods", "libpod", "lxc")),
        ("/proc/1/environ", ("container=",)),  # systemd-nspawn, podman, lxc
    ):
        try:
            text = Path(file).read_text("utf-8", "replace")
        except OSError:
            continue
        if any(word in text for word in words):
            return True
    return False


@contextmanager
def two_hosts(folder: Path) -> Iterator[list[Host]]:
    """Two hosts that see the same files, while the context is open. `folder` is for their names."""
    names = folder / "hosts"
    lines = [f"{address} {name}" for name, address in ADDRESSES.items()]
    names.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n", "utf-8")
    with ExitStack() as ending:
        hosts = [ending.enter_context(_host(name, names)) for name in ADDRESSES]
        ends = [["cable", "netns", str(host.root)] for host in hosts]
        checked("ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
        for host in hosts:
            code = host.run(
                "sh", "-c", CABLE.format(address=host.address), log=folder / "cable.log"
            )
            assert code == 0, (folder / "cable.log").read_text("utf-8")
        yield hosts


@contextmanager
def _host(name: str, names: Path) -> Iterator[Host]:
    own = ("--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    begin = BEGIN.format(name=name, hosts=names)
    process = subprocess.Popen(["unshare", *own, "sh", "-c", begin], stdin=subprocess.DEVNULL)
    try:
        yield Host(name, _first_process(process))
    finally:
        process.kill()  # its child, the first process of the host, ends with it, and so do all
        process.wait()


def _first_process(process: subprocess.Popen[bytes]) -> int:
    """The number of the host's first process, as soon as the host is ready."""
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
        for child in map(int, children.split()):
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep"):
                return child
        time.sleep(0.05)
    raise SystemExit("make test-cluster: this system does not let root make namespaces (unshare)")


def checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise SystemExit(f"make test-cluster: {' '.join(command)}: {done.stderr.strip()}")


def end_all(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
