"""What the benchmarks share: the machine's facts, and runs taken in turn."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from xinye.machine import device, finish


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, load, the versions of Python and of these packages, and the day."""
    return {
        "processor": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        # asked for before the benchmark: others at work spoil its figures
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    """The model of the processor; many virtual machines name only its maker, so family and bf16
    units are named too."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    units = sorted(
        {"avx2", "avx512f", "avx512_bf16", "amx_bf16"} & set(facts.get("flags", "").split())
    )
    number = (
        f"family {facts['cpu family']}, model {facts['model']}" if "cpu family" in facts else ""
    )
    return ", ".join(filter(None, [facts.get("model name", platform.machine()), number, *units]))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def in_turn(variants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """The results of each variant, taken A B C, A B C, …: a machine that slows down slows all of
    them down alike."""
    results: dict[str, list[Any]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            results[name].append(run())
    return results


def per_second(step: Callable[[], object], steps: int, amount: int) -> float:
    """How much is done in a second by a step that does this amount, over some steps."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    finish(device())
    return steps * amount / (time.perf_counter() - start)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median, over the rounds, of our figure divided by theirs of the same round."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def in_own_process(*arguments: str, **environment: str) -> dict[str, Any]:
    """The JSON object that this script prints when it is run with these arguments: a process with
    its own memory."""
    command = [sys.executable, sys.argv[0], *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env={**os.environ, **environment}
    )
    result: dict[str, Any] = json.loads(done.stdout)
    progress(f"  {arguments[-1]}: {result}")
    return result


def peak_gigabytes() -> float:
    """The most memory that this process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    return round(most / 1e9, 2)


def progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def report(**figures: Any) -> None:
    """The one JSON object, last on standard output."""
    print(json.dumps(figures, indent=2, ensure_ascii=False), flush=True)
