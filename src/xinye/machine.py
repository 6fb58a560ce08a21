"""What this machine can do: device, dtypes, memory, speed."""

import os
import platform
import resource
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch


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
        flags = _cpu_flags()
        for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX-512 bf16")):
            if flag in flags:
                return torch.bfloat16, f"this CPU has {name}"
        return torch.float32, "this CPU has no bf16 units"
    return torch.float32, "bf16 is not reliable on this device"


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def description(where: torch.device) -> dict[str, str | int]:
    """What a run was made on and with, for those who make it again."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = (names or [platform.processor() or platform.machine()])[0]
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else processor,
        "cores": torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "xinye": version("xinye"),
    }


def peak_memory_bytes(where: torch.device) -> int:
    """The most memory that this process has held: the GPU's, or the machine's."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_bytes(where: torch.device) -> int:
    """Memory that a run may take, in bytes: the GPU's, or what the operating system says is available."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    try:
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def matrix_flops_per_second(where: torch.device, dtype: torch.dtype) -> float:
    """The speed of a large matrix product here: the best of some, over half a second."""
    size = 2048 if where.type == "cpu" else 8192
    a = torch.randn(size, size, device=where).to(dtype)
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() < begin + 0.5:
        start = time.perf_counter()
        a @ a
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
