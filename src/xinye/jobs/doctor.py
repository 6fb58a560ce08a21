"""Examines this machine: what it can do, what that means for training here, and what would improve
it.

Facts are read each time. Speeds are measured once, in a few seconds, and cached for this machine.
"""

import math
import os
import platform
import re
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xinye import machine
from xinye.cache import cache_folder
from xinye.data.batches import Batch
from xinye.errors import XinyeError
from xinye.model.build import Config, build
from xinye.native import library
from xinye.observer import Observer
from xinye.planning import pretraining as planning
from xinye.planning.memory import Memory
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count
from xinye.training.calibrate import Trial
from xinye.training.job import LossSum
from xinye.training.text_job import text_loss

SIZES = ("1M", "5M", "15M", "50M", "125M")
TIME, SECONDS = "10min", 600
LITTLE_DISK = 2_000_000_000
MUCH = 1_000_000_000  # characters and tokens of a text that is large enough for any model
PURPOSES = {
    "tensorboard": "curves in TensorBoard: --track tensorboard",
    "wandb": "curves in Weights & Biases: --track wandb",
    "mlflow": "curves in MLflow: --track mlflow",
    "onnx": "models for ONNX Runtime: xinye export --to onnx",
    "hub": "data sets of the hub: xinye data collect hub:NAME",
    "cluster": "corpora in object stores: s3://bucket/corpus",
    "vectors": "search by vectors: xinye knowledge build --vectors",
}
INSTALL_COMPILER = {
    "Darwin": "xcode-select --install",
    "Linux": "apt install g++ (or your system's package manager)",
}
Facts = dict[str, Any]  # by name, as in --json


@dataclass(frozen=True)
class Speed:
    """The measured speeds of a machine."""

    # by dtype; None if the device cannot multiply this dtype
    matrix_flops_per_second: dict[str, float | None]
    memory_bytes_per_second: float  # read
    memory_bytes_per_second_on_one_thread: float
    training_utilization: float  # share of the matrix speed that training reaches
    threads: int
    load: float  # other load during the measurement, in busy cores
    date: str


@dataclass(frozen=True)
class Report:
    """Everything known about a machine. Units are bytes, seconds and operations per second."""

    machine: Facts
    speed: Speed
    software: Facts
    extras: list[Facts]
    defaults: list[dict[str, str]]  # name, value, reason
    sizes: list[Facts]
    advice: list[dict[str, str]]  # problem, remedy


def examine(measure_anew: bool, observer: Observer) -> Report:
    """The complete report. Speeds come from the cache, or are measured if the cache has none or
    with `measure_anew`.
    """
    device = machine.device()
    facts, software, extras = describe_machine(device), describe_software(), describe_extras()
    speed = measured(device, measure_anew, observer)
    sizes, default = plan_sizes(device, speed)
    values = default.values | {"compile": "yes" if default.values["compile"] else "no"}
    defaults = [
        {"name": name, "value": values[name], "reason": default.reasons[name]}
        for name in ("device", "dtype", "compile")
    ]
    return Report(
        facts, speed, software, extras, defaults, sizes, advise(facts, speed, software, sizes)
    )


# -- facts -----------------------------------------------------------------------------------------


def describe_machine(device: torch.device) -> Facts:
    """Facts about the processor, memory, disks and GPU."""
    cache = next(
        folder for folder in (cache_folder(), *cache_folder().absolute().parents) if folder.is_dir()
    )
    facts: Facts = {
        "device": device.type,
        "processor": machine.processor(),
        "cores": os.cpu_count(),
        "physical_cores": machine.physical_cores(),
        "usable_cores": machine.usable_cores(),
        "core_quota": machine.core_quota(),
        "threads": torch.get_num_threads(),
        "memory": machine.total_memory(),
        "memory_limit": machine.memory_limit(),
        "memory_free": machine.memory_bytes(torch.device("cpu")),
        "disk_free": shutil.disk_usage(Path.cwd()).free,
        "cache": str(cache_folder()),
        "cache_writable": os.access(cache, os.W_OK),
        "cache_disk_free": shutil.disk_usage(cache).free,
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        facts |= {
            "gpus": torch.cuda.device_count(),
            "gpu": gpu.name,
            "gpu_capability": f"{gpu.major}.{gpu.minor}",
            "gpu_memory": gpu.total_memory,
            "gpu_memory_free": machine.memory_bytes(device),
        }
    return facts


def describe_software() -> Facts:
    """Versions and features of the installed software."""
    driver = re.search(
        r"Module.*?\s(\d+\.[\d.]+)", machine.read_text(machine.PROC / "driver/nvidia/version")
    )
    return {
        "xinye": version("xinye"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "tokenizers": version("tokenizers"),
        "numpy": np.__version__,
        "mkl": torch.backends.mkl.is_available(),
        "onednn": torch.backends.mkldnn.is_available(),
        "cpu_units": torch.backends.cpu.get_cpu_capability(),
        "instruction_limit": machine.instruction_limit(),
        "cuda": torch.version.cuda,
        "nvidia_driver": driver[1] if driver else None,
        "cpp_compiler": machine.cpp_compiler(),
        "compiled_code": library.describe(),
        "output_encoding": (sys.stdout.encoding or "ascii").lower(),
    }


def describe_extras() -> list[Facts]:
    """For each extra of the installed package: its use, its packages, and those that are
    missing.
    """
    try:
        about = metadata.metadata("xinye")
    except metadata.PackageNotFoundError:  # run from a source checkout
        return []
    packages: dict[str, list[str]] = defaultdict(list)
    for line in about.get_all("Requires-Dist") or []:
        if need := re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line):
            packages[need[2]].append(need[1])
    return [
        {
            "extra": extra,
            "use": PURPOSES.get(extra, ", ".join(needed)),
            "packages": needed,
            "missing": [package for package in needed if not version(package)],
        }
        for extra, needed in packages.items()
        if extra not in ("all", "dev")
    ]


def version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# -- speed -----------------------------------------------------------------------------------------


def measured(device: torch.device, anew: bool, observer: Observer) -> Speed:
    """The speeds of this machine, from the cache or measured and cached."""
    name = "speed-of-pytorch" if library.THIS.get() is None else "speed-of-compiled-code"
    return machine.remembered(name, Speed, device, lambda: measure(device, observer, anew), anew)


def measure(device: torch.device, observer: Observer, anew: bool) -> Speed:
    """Measure matrix products in each dtype, memory bandwidth, and a training step, in a few
    seconds.
    """
    load = os.getloadavg()[0]  # of the last minute, because other programs distort the measurement
    observer.stage("measuring matrix products")
    names = ["float32", "bfloat16"] + ["float16"] * (device.type != "cpu")
    matrix = {name: machine.matrix_speed(device, getattr(torch, name), anew) for name in names}
    observer.stage("measuring memory")
    threads = torch.get_num_threads()
    alone = memory = machine.read_bytes_per_second(device)
    if device.type == "cpu" and threads > 1:
        torch.set_num_threads(1)
        alone = machine.read_bytes_per_second(device)
        torch.set_num_threads(threads)
    observer.stage("measuring a training step")
    share, today = training_utilization(device, matrix), date.today().isoformat()
    return Speed(matrix, memory, alone, share, threads, round(load, 1), today)


def training_utilization(device: torch.device, matrix: dict[str, float | None]) -> float:
    """The share of the matrix speed that training reaches, as the best of several short steps at
    the default size.
    """
    plan = Draft()
    config = plan_size(plan, PretrainSettings(), device)
    context = config.max_position_embeddings
    windows = max(1, (2048 if device.type == "cpu" else 65_536) // context)
    tokens = torch.randint(config.vocab_size, (windows, context), device=device)
    model = build(config).to(device)
    model.compute_dtype = getattr(torch, plan.values["dtype"])
    model.initialize(0)
    trial = Trial(model, LossSum(model, text_loss(model), device), [])
    batch = Batch(tokens, tokens, None, None)
    seconds = min(trial.forward_and_backward(batch) for _ in range(6))
    flops = tokens.numel() * config.flops_per_token(context) / seconds
    return flops / (matrix[plan.values["dtype"]] or math.inf)


# -- consequences ----------------------------------------------------------------------------------


def plan_size(plan: Draft, settings: PretrainSettings, device: torch.device) -> Config:
    """The configuration that `pretrain` would choose with unlimited text. Fills the plan, except
    for the batch sizes, which depend on memory.
    """
    size = parse_count(settings.size)
    vocabulary, _ = planning.vocabulary_size(size, MUCH, chinese=False)
    context, reason = planning.context_length(size, np.array([MUCH]), MUCH)
    plan.choose("context", None, context, reason)
    config = planning.shape(plan, settings, vocabulary, context)
    planning.precision(plan, settings, device, machine.fast_dtype(device))
    return config


def plan_sizes(device: torch.device, speed: Speed) -> tuple[list[Facts], Draft]:
    """What each size reaches in ten minutes here, and the plan of the default size, or of the
    smallest. Raises `XinyeError` if none fits in memory.
    """
    rows: list[Facts] = []
    plans: dict[str, Draft] = {}
    for size in SIZES:
        plan, settings = Draft(), PretrainSettings(size=size, time=TIME)
        try:
            config = plan_size(plan, settings, device)
            planning.batches(plan, settings, config, device)
        except XinyeError:
            rows.append({"size": size, "fits": False})
            continue
        context, values = config.max_position_embeddings, plan.values
        matrix = speed.matrix_flops_per_second[values["dtype"]] or 0.0
        rate = matrix * speed.training_utilization / config.flops_per_token(context)
        step_seconds = values["batch_size"] * context / rate
        steps = max(1, round(SECONDS / step_seconds))
        planning.regularisation(plan, settings, MUCH // context, steps, step_seconds)
        plans[size] = plan
        rows.append({
            "size": size,
            "fits": True,
            "parameters": config.parameters,
            "memory": Memory(
                config, values["micro_batch_size"] * context, settings.optimizer, device=device
            ).total,
            "tokens_per_second": round(rate),
            "tokens": round(rate * SECONDS),
            "sensible": rate * SECONDS >= config.parameters,
        })  # fmt: skip
    if not plans:
        raise XinyeError(
            "there is not enough free memory here for the smallest model; close other programs",
            exit_code=1,
        )
    return rows, plans.get(PretrainSettings().size) or next(iter(plans.values()))


Doubt = tuple[object, str, str]  # a condition, the problem if it is true, and the remedy


def doubts_of_processor(facts: Facts, speed: Speed, software: Facts) -> list[Doubt]:
    """Conditions of processor and threads that make training slow."""
    on_cpu, threads, usable = facts["device"] == "cpu", facts["threads"], facts["usable_cores"]
    allowed = machine.allowed_cores()
    idle = threads < min(allowed, facts["physical_cores"] or allowed)
    variables = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    return [
        (
            speed.load > 0.4 * usable,
            f"other programs were running during the measurement (load {speed.load} on {usable} "
            "cores)",
            "measure again when the machine is idle: xinye doctor --measure",
        ),
        (
            on_cpu and software["nvidia_driver"],
            f"there is an NVIDIA driver, but torch {software['torch']} sees no GPU",
            "install torch for CUDA (pytorch.org/get-started), and see that nvidia-smi lists the "
            "GPU",
        ),
        (
            threads > allowed,
            f"torch runs {threads} threads, but this process may use only {allowed} of the cores, "
            "so the threads wait for each other",
            f"export OMP_NUM_THREADS={allowed}",
        ),
        (
            idle,
            f"torch uses {threads} of {allowed} cores",
            f"unset {variables[0]}" if variables else f"export OMP_NUM_THREADS={allowed}",
        ),
        (
            on_cpu and not (software["mkl"] or software["onednn"]),
            "this torch has neither MKL nor oneDNN, so matrix products are slow",
            "install torch from PyPI: pip install torch",
        ),
        (
            on_cpu and not software["cpp_compiler"],
            "there is no C++ compiler, so long runs cannot be compiled and are slower by a third",
            INSTALL_COMPILER.get(platform.system(), "install g++ or clang++"),
        ),
    ]


def advise(facts: Facts, speed: Speed, software: Facts, sizes: list[Facts]) -> list[dict[str, str]]:
    """Each problem of this machine with its remedy. Problems that make the measurements doubtful
    come first.
    """
    default = next(row for row in sizes if row["size"] == PretrainSettings().size)
    better = [row["size"] for row in sizes if row.get("sensible")]
    too_slow = f"the default --size {default['size']} does not fit in memory"
    if default["fits"]:
        too_slow = (
            f"at the default --size {default['size']}, the model reads fewer tokens in ten "
            "minutes than it has weights"
        )
    here, cache, encoding = str(Path.cwd()), facts["cache"], software["output_encoding"]
    elsewhere = "set the variable XINYE_CACHE to another folder"
    found = [
        *doubts_of_processor(facts, speed, software),
        (
            not default.get("sensible"),
            too_slow,
            f"use --size {better[-1]}" if better else "use a longer --time and --size 1M",
        ),
        (
            facts["disk_free"] < LITTLE_DISK,
            f"only {facts['disk_free'] / 1e9:.1f} GB are free for {here}",
            f"free some space, or {elsewhere}" if here == cache else "free some space",
        ),
        (
            facts["cache_disk_free"] < LITTLE_DISK,
            f"only {facts['cache_disk_free'] / 1e9:.1f} GB are free for {cache}",
            f"free some space, or {elsewhere}",
        ),
        (not facts["cache_writable"], f"the cache {cache} cannot be written", elsewhere),
        (
            encoding.replace("-", "") != "utf8",
            f"this terminal is set to {encoding}, which cannot show Chinese",
            "export PYTHONUTF8=1, and set the terminal to UTF-8",
        ),
    ]
    return [{"problem": problem, "remedy": remedy} for so, problem, remedy in found if so]
