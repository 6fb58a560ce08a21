"""What this machine can do: devices, dtypes, memory, speed."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
SECONDS = 0.5  # that each speed is measured for


def device() -> torch.device:
    """The accelerator PyTorch sees (CUDA, or Apple's), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_dtype(where: torch.device) -> tuple[torch.dtype, str]:
    """The dtype to compute in, and why: bf16 where the hardware multiplies it, else fp32."""
    if where.type == "cuda":
        if torch.cuda.get_device_capability(where) >= (8, 0):
            return torch.bfloat16, "this GPU multiplies bf16"
        return torch.float32, "this GPU has no bf16 units"
    if where.type == "cpu":
        flags = _cpu_facts().get("flags", "").split()
        for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX-512 bf16")):
            if flag in flags:
                return torch.bfloat16, f"this CPU has {name}"
        return torch.float32, "this CPU has no bf16 units"
    return torch.float32, "bf16 is not reliable on this device"


# -- processor -------------------------------------------------------------------------------------------------------


def processor() -> str:
    """The processor's name; many virtual machines tell only its maker, so family and model are named too."""
    facts = _cpu_facts()
    if "model name" in facts:
        number = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
        return facts["model name"] + number
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int | None:
    """Cores of the whole machine, None where that cannot be told: two logical ones may share one's arithmetic."""
    blocks = read_text(PROC / "cpuinfo").split("\n\n")
    places = [[line for line in block.splitlines() if line.startswith(("physical id", "core id"))] for block in blocks]
    known = {tuple(place) for place in places if len(place) == 2}
    return len(known) or int(_sysctl("hw.physicalcpu") or 0) or None


def core_quota() -> float | None:
    """How many cores' worth of time a container gives this process, None for no limit."""
    quotas = []
    for group in _control_groups("cpu"):
        words = read_text(group / "cpu.max").split()
        words = words or [read_text(group / "cpu.cfs_quota_us").strip(), read_text(group / "cpu.cfs_period_us").strip()]
        if all(word.isdigit() for word in words):  # else "max" or "-1"
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def cpp_compiler() -> str | None:
    """The compiler that `torch.compile` needs on a CPU."""
    return shutil.which("g++") or shutil.which("clang++")


@cache
def _cpu_facts() -> dict[str, str]:
    """What /proc/cpuinfo says of the first core; nothing where there is none."""
    lines = read_text(PROC / "cpuinfo").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _sysctl(name: str) -> str:
    """A fact of macOS, empty elsewhere."""
    if platform.system() != "Darwin":
        return ""
    return subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True).stdout.strip()


def read_text(path: Path) -> str:
    """A file's text, empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _control_groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups (Linux's, version 1 and 2) that this process is in, its own first."""
    for line in read_text(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            base = CONTROL_GROUPS / controller if controllers else CONTROL_GROUPS
            group = base / path.lstrip("/")
            yield from [each for each in (group, *group.parents) if each.is_relative_to(base)]


# -- memory ----------------------------------------------------------------------------------------------------------


def description(where: torch.device) -> dict[str, str | int]:
    """What a run was made on and with, for those who make it again."""
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else processor(),
        "cores": torch.get_num_threads(),
        "memory_bytes": total_memory(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "xinye": version("xinye"),
    }


def peak_memory_bytes(where: torch.device) -> int:
    """The most memory that this process has held: the GPU's, or the machine's."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak_memory(where: torch.device) -> None:
    """Let `peak_memory_bytes` count from now on; without effect where the system cannot."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    elif (switch := PROC / "self" / "clear_refs").exists():
        switch.write_text("5")


def memory_bytes(where: torch.device) -> int:
    """Memory that a run may take, in bytes: the GPU's, or what the operating system and a container leave."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    return min([_memory_facts().get("MemAvailable", total_memory()), *(free for _, free in _memory_groups())])


def total_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit() -> int | None:
    """The bytes that a container allows this process, None for no limit."""
    return min((limit for limit, _ in _memory_groups()), default=None)


def _memory_facts() -> dict[str, int]:
    """/proc/meminfo in bytes; nothing where there is none."""
    lines = [line.split() for line in read_text(PROC / "meminfo").splitlines()]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}


def _memory_groups() -> Iterator[tuple[int, int]]:
    """Limit and what is left of it, in bytes, of each control group that has a limit; cached files can give way."""
    for group in _control_groups("memory"):
        limit = (read_text(group / "memory.max") or read_text(group / "memory.limit_in_bytes")).strip()
        used = (read_text(group / "memory.current") or read_text(group / "memory.usage_in_bytes")).strip()
        if limit.isdigit() and used.isdigit() and int(limit) < total_memory():
            facts = dict(line.split() for line in read_text(group / "memory.stat").splitlines())
            cached = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
            yield int(limit), max(0, int(limit) - int(used) + cached)


# -- speed -----------------------------------------------------------------------------------------------------------


def matrix_flops_per_second(where: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """The speed of a large matrix product here: the best of some."""
    size = size or (2048 if where.type == "cpu" else 8192)
    a = torch.randn(size, size, device=where).to(dtype)
    return 2 * size**3 / _best_seconds(lambda: a @ a, where)


def read_bytes_per_second(where: torch.device) -> float:
    """The speed at which memory is read here: the best of some sums of up to 512 MB, far more than caches hold."""
    numbers = torch.ones(min(2**29, memory_bytes(where) // 8) // 4, device=where)
    return numbers.nbytes / _best_seconds(numbers.sum, where)


def _best_seconds(work: Callable[[], object], where: torch.device) -> float:
    best, begin = float("inf"), time.perf_counter()
    while True:
        start = time.perf_counter()
        work()
        if where.type != "cpu":
            getattr(torch, where.type).synchronize()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > begin + SECONDS:
            return best
