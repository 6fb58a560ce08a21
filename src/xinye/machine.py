"""The machine: its device, cores, memory, speed, and the dtype it computes fastest in."""

import ctypes
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
SECONDS = 0.5  # the length of one measurement of speed
# bf16 loses precision, so it is used only if it is more than this many times as fast as fp32.
NEAR_TIE = 1.2
# Environment variables that keep PyTorch, oneDNN and MKL from using all instructions.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
)


def device() -> torch.device:
    """The device to compute on: CUDA or Apple's MPS if PyTorch finds one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_dtype(where: torch.device) -> tuple[torch.dtype, str]:
    """The dtype to compute in, and the reason: bf16 if the hardware multiplies it clearly faster,
    else fp32."""
    if where.type == "cuda":
        if torch.cuda.get_device_capability(where) >= (8, 0):
            return torch.bfloat16, "this GPU computes in bf16"
        return torch.float32, "this GPU has no bf16 units"
    if where.type == "cpu":
        ratio = bf16_ratio(where)
        dtype = torch.bfloat16 if ratio > NEAR_TIE else torch.float32
        return dtype, f"one thread multiplies bf16 {ratio:.2g} times as fast as fp32 here"
    return torch.float32, "bf16 is not reliable on this device"


# -- processor -------------------------------------------------------------------------------------


def processor() -> str:
    """The name of the processor. Many virtual machines report only the maker, so the family and
    model numbers are added."""
    facts = _cpu_facts()
    if facts.keys() >= {"model_name", "cpu_family", "model"}:
        return f"{facts['model_name']} (family {facts['cpu_family']}, model {facts['model']})"
    named = facts.get("model_name") or _sysctl("machdep.cpu.brand_string")
    return named or platform.processor() or platform.machine()


def instruction_sets() -> str:
    """The instruction sets of the processor, in the words of the operating system; empty if
    unknown."""
    return _cpu_facts().get("flags") or _cpu_facts().get("Features", "")


def instruction_limit() -> str | None:
    """`avx2`, or `avx512` without bf16, if the environment limits the libraries to it; None for no
    limit.

    With such a limit you can try out a weaker processor on a stronger one. The C++ code that Xinye
    compiles keeps to the same limit.
    """
    aten, *others = [os.environ.get(name, "").upper() for name in LIMITS]
    if aten in ("DEFAULT", "AVX2") or any(re.match(r"(SSE|AVX$|AVX2)", other) for other in others):
        return "avx2"
    without_bf16 = ("AVX512_CORE", "AVX512_CORE_VNNI", "AVX512", "AVX512_E1", "AVX512_E2")
    return "avx512" if any(other in without_bf16 for other in others) else None


def usable_cores() -> int:
    """The number of logical cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int | None:
    """The number of physical cores of the whole machine, or None if unknown. Two logical cores may
    share the arithmetic units of one physical core."""
    places = [
        [line for line in block.splitlines() if re.match("physical id|core id", line)]
        for block in read_text(PROC / "cpuinfo").split("\n\n")
    ]
    known = {tuple(place) for place in places if len(place) == 2}
    return len(known) or int(_sysctl("hw.physicalcpu") or 0) or None


def core_quota() -> float | None:
    """The processor time that a container grants this process, in cores; None for no limit."""
    groups = _control_groups("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
    return min((quota / period for _, quota, period in groups), default=None)


def allowed_cores() -> int:
    """The number of cores whose time this process may use."""
    return max(1, int(min(usable_cores(), core_quota() or usable_cores())))


def cpp_compiler() -> str | None:
    """The path of the C++ compiler that `torch.compile` and `native/` need on a CPU; None if there
    is none."""
    return shutil.which("g++") or shutil.which("clang++")


@cache
def _cpu_facts() -> dict[str, str]:
    """The facts in /proc/cpuinfo about the first core, with names such as `model_name`; empty if
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
    """The text of a file; empty if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _control_groups(controller: str, *versions: list[str]) -> Iterator[tuple[Path, int, int]]:
    """For each Linux control group (version 1 or 2) of this process, its own first: the folder, and
    the two numbers that its files of these names contain. A group whose file says "max" or -1 is
    skipped."""
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
    """A measurement of this machine, read from the cache, or taken now with `measure` and cached.

    `what` names it, and `kind` is its type. The cache entry holds for this processor, device,
    number of threads, version of PyTorch and library of products. `anew` measures in any case.
    """
    identity = {
        "processor": processor(),
        "instruction_sets": instruction_sets(),
        "limits": [os.environ.get(name) for name in LIMITS],
        "cores": usable_cores(),
        "core_quota": core_quota(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "torch": torch.__version__,
        "onednn": prefers_onednn(),
    }
    name = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).hexdigest()
    path, content = cache_folder() / "machines" / f"{what}-{name}.json", TypeAdapter(kind)
    if not anew:
        # The entry is missing or damaged, so it is measured now.
        with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            return content.validate_python(json.loads(path.read_text("utf-8"))["measured"])
    found = measure()
    kept = {"identity": identity, "measured": content.dump_python(found)}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # if the cache cannot be written, the next process measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept), "utf-8")
        beside.replace(path)
    return found


# -- memory ----------------------------------------------------------------------------------------


def description(where: torch.device) -> dict[str, str | int]:
    """The machine and the versions that a run was made with, for those who want to repeat it."""
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
    """The most memory in bytes that this process has held so far: on the GPU, or in main memory."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def keep_freed_memory() -> None:
    """Let the whole process keep the memory that it frees for what it allocates next. Otherwise the
    C library gives large tensors back to the system, which clears their pages again. It does
    nothing without glibc, or if the environment has settings for glibc's memory."""
    tuned = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if tuned or any(name.startswith("MALLOC_") for name in os.environ):
        return
    c_library = ctypes.CDLL(None)
    if platform.system() == "Linux" and hasattr(c_library, "mallopt"):
        no_mappings, no_trimming = (-4, 0), (-1, 2**31 - 1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
        c_library.mallopt(*no_mappings)
        c_library.mallopt(*no_trimming)


def forget_peak_memory(where: torch.device) -> None:
    """Restart the count of `peak_memory_bytes`. On systems that cannot do that, it does nothing."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    elif (switch := PROC / "self" / "clear_refs").exists():
        switch.write_text("5")


def memory_bytes(where: torch.device) -> int:
    """The memory in bytes that a run may take: what is free on the GPU, or what the operating
    system and the container leave."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read_text(PROC / "meminfo"), re.MULTILINE)
    system = int(found[1]) * 1024 if found else total_memory()
    return min([system, *(free for _, free in _memory_groups())])


def total_memory() -> int:
    """The main memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit() -> int | None:
    """The memory in bytes that a container allows this process; None for no limit."""
    return min((limit for limit, _ in _memory_groups()), default=None)


def _memory_groups() -> Iterator[tuple[int, int]]:
    """For each control group with a memory limit: the limit and what is left of it, in bytes.
    Cached files count as free, because the system drops them when memory runs short."""
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
    """How many times as fast as fp32 this CPU multiplies bf16. It is measured once for each
    machine.

    The measurement alternates between both dtypes on one thread. On several threads it would also
    measure how long they wait for each other when other programs run.
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
    """The floating-point operations per second of a matrix product, or None if the device cannot
    multiply this dtype. It is measured once for each machine, on a large product, or on a small one
    if the large one would take seconds."""

    def measure() -> float | None:
        with suppress(RuntimeError, TypeError):
            if where.type == "cpu":
                small = matrix_flops_per_second(where, dtype, 256, 0.02)
                if small <= 2e10:
                    return small
            return matrix_flops_per_second(where, dtype, seconds=0.2)
        return None

    name = str(dtype).removeprefix("torch.")
    return remembered(f"matrix-{name}", float | None, where, measure, anew)


def matrix_flops_per_second(
    where: torch.device, dtype: torch.dtype, size: int | None = None, seconds: float = SECONDS
) -> float:
    """The floating-point operations per second of a square matrix product: the best of those that
    run within `seconds`. `size` defaults to 2048 on a CPU and 8192 elsewhere."""
    size = size or (2048 if where.type == "cpu" else 8192)
    a = torch.randn(size, size, device=where).to(dtype)
    product: Callable[..., torch.Tensor] = torch.mm
    if where.type == "cpu" and dtype == torch.float32 and prefers_onednn():
        product = onednn_product
    return 2 * size**3 / _best_seconds(lambda: product(a, a), where, seconds)


def prefers_onednn() -> bool:
    """Whether oneDNN multiplies fp32 faster than MKL, which PyTorch takes: MKL has no AVX-512 for
    the processors of AMD."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and _cpu_facts().get("vendor_id") == "AuthenticAMD"
        and "avx512f" in instruction_sets().split()
        and instruction_limit() != "avx2"
    )


def onednn_product(
    a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """a (m, k) times the transpose of b (n, k), plus a bias (n,), by oneDNN, which copies an `a`
    with other strides."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return product


def read_bytes_per_second(where: torch.device) -> float:
    """The bytes per second at which memory is read: the best of several sums over up to 512 MB, far
    more than the caches hold."""
    numbers = torch.ones(min(2**29, memory_bytes(where) // 8) // 4, device=where)
    return numbers.nbytes / _best_seconds(numbers.sum, where, SECONDS)


def finish(where: torch.device) -> None:
    """Wait until the device has finished its work. A GPU computes while Python continues."""
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
