"""What this machine can do: devices, dtypes, memory, speed."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter

from xinye.cache import cache_folder

PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
SECONDS = 0.5  # that a speed is measured for
NEAR_TIE = 1.2  # bf16 loses precision, so that it has to be faster than this times fp32
# What tells PyTorch, oneDNN and MKL to use less than the processor has.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
)


def device() -> torch.device:
    """The accelerator PyTorch sees (CUDA, or Apple's), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_dtype(where: torch.device) -> tuple[torch.dtype, str]:
    """The dtype to compute in, and why: bf16 where the hardware multiplies it clearly faster, else
    fp32."""
    if where.type == "cuda":
        if torch.cuda.get_device_capability(where) >= (8, 0):
            return torch.bfloat16, "this GPU computes in bf16"
        return torch.float32, "this GPU has no bf16 units"
    if where.type == "cpu":
        ratio = bf16_ratio(where)
        dtype = torch.bfloat16 if ratio > NEAR_TIE else torch.float32
        return dtype, f"this processor multiplies bf16 {ratio:.2g} times as fast as fp32"
    return torch.float32, "bf16 is not reliable on this device"


# -- processor -------------------------------------------------------------------------------------


def processor() -> str:
    """The processor's name; many virtual machines tell only its maker, so family and model are
    named too."""
    facts = _cpu_facts()
    if facts.keys() >= {"model_name", "cpu_family", "model"}:
        return f"{facts['model_name']} (family {facts['cpu_family']}, model {facts['model']})"
    named = facts.get("model_name") or _sysctl("machdep.cpu.brand_string")
    return named or platform.processor() or platform.machine()


def instruction_sets() -> str:
    """What the processor can do, in its system's words; empty where these are not known."""
    return _cpu_facts().get("flags") or _cpu_facts().get("Features", "")


def instruction_limit() -> str | None:
    """`avx2`, or `avx512` without bf16, where the environment holds the libraries to it; None for
    no limit.

    So a weaker processor can be tried on a stronger one; what is compiled here keeps to the same
    limit.
    """
    aten, *others = [os.environ.get(name, "").upper() for name in LIMITS]
    if aten in ("DEFAULT", "AVX2") or any(re.match(r"(SSE|AVX$|AVX2)", other) for other in others):
        return "avx2"
    without_bf16 = ("AVX512_CORE", "AVX512_CORE_VNNI", "AVX512", "AVX512_E1", "AVX512_E2")
    return "avx512" if any(other in without_bf16 for other in others) else None


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int | None:
    """Cores of the whole machine, None where that cannot be told: two logical ones may share one's
    arithmetic."""
    places = [
        [line for line in block.splitlines() if re.match("physical id|core id", line)]
        for block in read_text(PROC / "cpuinfo").split("\n\n")
    ]
    known = {tuple(place) for place in places if len(place) == 2}
    return len(known) or int(_sysctl("hw.physicalcpu") or 0) or None


def core_quota() -> float | None:
    """How many cores' worth of time a container gives this process, None for no limit."""
    groups = _control_groups("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
    return min((quota / period for _, quota, period in groups), default=None)


def cpp_compiler() -> str | None:
    """The compiler that `torch.compile` and fast generation need on a CPU."""
    return shutil.which("g++") or shutil.which("clang++")


@cache
def _cpu_facts() -> dict[str, str]:
    """What /proc/cpuinfo says of the first core, `model name` under `model_name`; nothing where
    there is no such file."""
    lines = read_text(PROC / "cpuinfo").split("\n\n")[0].splitlines()
    facts = (line.partition(":") for line in lines)
    return {key.strip().replace(" ", "_"): value.strip() for key, _, value in facts}


def _sysctl(name: str) -> str:
    if platform.system() != "Darwin":
        return ""
    return subprocess.run(
        ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True
    ).stdout.strip()


def read_text(path: Path) -> str:
    """A file's text, empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _control_groups(controller: str, *versions: list[str]) -> Iterator[tuple[Path, int, int]]:
    """The folder of each control group (Linux's, version 2 and 1) that this process is in, its own
    first, and two numbers from its files of these names; none where one is "max", or -1."""
    for line in read_text(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            base = CONTROL_GROUPS / controller if controllers else CONTROL_GROUPS
            own = base / path.lstrip("/")
            for group in (each for each in (own, *own.parents) if each.is_relative_to(base)):
                for names in versions:
                    words = " ".join(read_text(group / name) for name in names).split()
                    if len(words) == 2 and all(word.isdigit() for word in words):
                        yield group, int(words[0]), int(words[1])


# -- what was measured -----------------------------------------------------------------------------


Measured = TypeVar("Measured")


def remembered(
    what: str,
    kind: Any,
    where: torch.device,
    measure: Callable[[], Measured],
    anew: bool = False,
) -> Measured:
    """What was measured of this machine, of this type: read from the cache, or measured now and put
    there."""
    identity = {
        "processor": processor(),
        "instruction_sets": instruction_sets(),
        "limits": [os.environ.get(name) for name in LIMITS],
        "cores": usable_cores(),
        "core_quota": core_quota(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "torch": torch.__version__,
    }
    name = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).hexdigest()
    path, content = cache_folder() / "machines" / f"{what}-{name}.json", TypeAdapter(kind)
    if not anew:
        # there is none, or it is damaged
        with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            return content.validate_python(json.loads(path.read_text("utf-8"))["measured"])
    found = measure()
    kept = {"identity": identity, "measured": content.dump_python(found)}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written is measured again
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept), "utf-8")
        beside.replace(path)
    return found


# -- memory ----------------------------------------------------------------------------------------


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

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def forget_peak_memory(where: torch.device) -> None:
    """Let `peak_memory_bytes` count from now on; without effect where the system cannot."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    elif (switch := PROC / "self" / "clear_refs").exists():
        switch.write_text("5")


def memory_bytes(where: torch.device) -> int:
    """Memory that a run may take, in bytes: the GPU's, or what the operating system and a container
    leave."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read_text(PROC / "meminfo"), re.MULTILINE)
    system = int(found[1]) * 1024 if found else total_memory()
    return min([system, *(free for _, free in _memory_groups())])


def total_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit() -> int | None:
    """The bytes that a container allows this process, None for no limit."""
    return min((limit for limit, _ in _memory_groups()), default=None)


def _memory_groups() -> Iterator[tuple[int, int]]:
    """Limit and what is left of it, in bytes, of each control group that has a limit; cached files
    can give way."""
    versions = (
        ["memory.max", "memory.current"],
        ["memory.limit_in_bytes", "memory.usage_in_bytes"],
    )
    for group, limit, used in _control_groups("memory", *versions):
        if limit < total_memory():
            facts = dict(line.split() for line in read_text(group / "memory.stat").splitlines())
            cached = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
            yield limit, max(0, limit - used + cached)


# -- speed -----------------------------------------------------------------------------------------


def bf16_ratio(where: torch.device) -> float:
    """How many times as fast as fp32 this CPU multiplies bf16; measured once for each machine.

    On one thread, in turns: beside other work, threads that wait for each other would measure that
    work.
    """

    def measure() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        best: dict[torch.dtype, float] = {torch.float32: 0.0, torch.bfloat16: 0.0}
        try:
            for _ in range(3):
                for dtype in best:
                    best[dtype] = max(best[dtype], matrix_flops_per_second(where, dtype, 512, 0.05))
        except RuntimeError:  # this processor cannot multiply bf16
            return 0.0
        finally:
            torch.set_num_threads(threads)
        return best[torch.bfloat16] / best[torch.float32]

    return remembered("dtype", float, where, measure)


def matrix_speed(where: torch.device, dtype: torch.dtype, anew: bool = False) -> float | None:
    """Operations per second in a large product, or in a small one where that would take seconds;
    None where the device cannot multiply this dtype. Measured once for each machine."""

    def measure() -> float | None:
        with suppress(RuntimeError, TypeError):
            if where.type == "cpu":
                small = matrix_flops_per_second(where, dtype, 256, 0.02)
                if small <= 2e10:
                    return small
            return matrix_flops_per_second(where, dtype, seconds=0.2)
        return None

    return remembered(
        f"matrix-{str(dtype).removeprefix('torch.')}", float | None, where, measure, anew
    )


def matrix_flops_per_second(
    where: torch.device, dtype: torch.dtype, size: int | None = None, seconds: float = SECONDS
) -> float:
    """The speed of a large matrix product here: the best of some, for this long."""
    size = size or (2048 if where.type == "cpu" else 8192)
    a = torch.randn(size, size, device=where).to(dtype)
    return 2 * size**3 / _best_seconds(lambda: a @ a, where, seconds)


def read_bytes_per_second(where: torch.device) -> float:
    """The speed at which memory is read here: the best of some sums of up to 512 MB, far more than
    caches hold."""
    numbers = torch.ones(min(2**29, memory_bytes(where) // 8) // 4, device=where)
    return numbers.nbytes / _best_seconds(numbers.sum, where, SECONDS)


def finish(where: torch.device) -> None:
    """Wait until a device has done what it was given: a GPU works on while Python goes on."""
    if where.type != "cpu":
        getattr(torch, where.type).synchronize()


def _best_seconds(work: Callable[[], object], where: torch.device, seconds: float) -> float:
    if where.type != "cpu":
        work()  # loads the libraries
        finish(where)
    best, begin = float("inf"), time.perf_counter()
    while True:
        start = time.perf_counter()
        work()
        finish(where)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > begin + seconds:
            return best
