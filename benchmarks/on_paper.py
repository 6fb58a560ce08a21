"""What `xinye plan --gpu` estimates: beside published runs, and for models from 125M to 30B.

    python benchmarks/on_paper.py [--chinese]

Computes in a few seconds, and trains nothing. The runs of others are listed with their source; what
they say of tokens per second is counted with our FLOPs per token, so that MFU means the same in all
rows. Prints Markdown tables, and one JSON object last.
"""

import argparse
from functools import cache
from typing import Any, NamedTuple

from common import machine, progress, report

from xinye.errors import XinyeError
from xinye.model.config import Architecture, GPTConfig
from xinye.planning.gpus import GPUS, Cluster
from xinye.planning.on_paper import PaperPlan, plan_for
from xinye.planning.settings import PretrainSettings
from xinye.planning.step_time import FAST, SLOW, Work

SIZES = ("125M", "350M", "1.3B", "3B", "7B", "13B", "30B")
METHODS: dict[str, dict[str, Any]] = {
    "DDP": {"parallel": "ddp"},
    "FSDP2": {"parallel": "fsdp"},
    "FSDP2, checkpointing": {"parallel": "fsdp", "activation_checkpointing": True},
}
HOSTS = 8
GPU = "h100"


class Published(NamedTuple):
    """A run that others, or we, have measured."""

    name: str
    shape: GPTConfig
    gpu: str
    hosts: int
    per_host: int
    batch: int  # windows
    at_once: int  # windows
    optimizer: str
    split: bool
    again: bool
    tokens_per_second: float  # of each GPU
    source: str


def shape(
    architecture: Architecture, width: int, layers: int, heads: tuple[int, int], inner: int,
    vocabulary: int, context: int,
) -> GPTConfig:  # fmt: skip
    sizes = vocabulary, width, layers, *heads, width // heads[0], inner, context
    return GPTConfig(architecture, *sizes, tie_word_embeddings=architecture == "gpt2")


GPT2 = shape("gpt2", 768, 12, (12, 12), 3072, 50304, 1024)
MODERN = shape("modern", 768, 12, (12, 12), 2048, 50304, 1024)
# nanochat has two matrices of 4 × width in its feed-forward layers; three of 8/3 have as many weights.
D24 = shape("llama", 1536, 24, (12, 12), 4096, 32768, 2048)
D20 = shape("llama", 1280, 20, (10, 10), 3424, 65536, 2048)
TINY = shape("llama", 2048, 22, (32, 4), 5632, 32000, 2048)
EIGHT = shape("llama", 4096, 32, (32, 8), 14336, 128256, 8192)
RUNS = (
    Published("GPT-2 124M, nanoGPT", GPT2, "a100-40", 1, 8, 480, 12, "adamw", False, False,
              600_000 * 491_520 / (4 * 86400) / 8, "its README: 600,000 steps in about 4 days"),
    Published("GPT-2 124M, llm.c", GPT2, "a100", 1, 8, 512, 64, "adamw", False, False,
              10e9 / 5400 / 8, "discussion 481: 10 G tokens in 90 min"),
    Published("GPT-2 124M, Xinye", GPT2, "h100", 1, 1, 32, 32, "adamw", False, False, 497_471,
              "benchmarks/README.md, measured"),
    Published("modern 124M with Muon, Xinye", MODERN, "h100", 1, 1, 32, 32, "muon", False, False,
              337_932, "benchmarks/README.md, measured"),
    Published("d24, nanochat", D24, "h100", 1, 8, 256, 16, "muon", False, False,
              16_704 * 524_288 / 10_949.5 / 8, "dev/LEADERBOARD.md, run 1"),
    Published("d20 (561M), nanochat", D20, "a100", 1, 8, 256, 32, "muon", False, False,
              529_000 / 8, "log in pull request 147"),
    Published("1.1B, TinyLlama", TINY, "a100-40", 4, 4, 1024, 8, "adamw", True, False, 24_000,
              "its README"),
    Published("Llama 3.1 8B, TorchTitan", EIGHT, "h100", 1, 8, 16, 2, "adamw", True, True, 6_667,
              "benchmarks, December 2024"),
    Published("Llama 3.1 8B, TorchTitan", EIGHT, "h100", 16, 8, 256, 2, "adamw", True, True, 6_514,
              "benchmarks, December 2024"),
)  # fmt: skip


def beside(run: Published) -> dict[str, Any]:
    """The estimated range beside what was measured."""
    gpu, config = GPUS[run.gpu], run.shape
    work = Work(
        config=config,
        cluster=Cluster(gpu, run.hosts, run.per_host, gpu.network),
        context=config.max_position_embeddings,
        batch_size=run.batch,
        micro_batch_size=run.at_once,
        optimizer=run.optimizer,
        split=run.split,
        again=run.again,
    )
    fast, slow = work.time(FAST), work.time(SLOW)
    measured = run.tokens_per_second * work.flops_per_token / gpu.peak
    return {
        "run": run.name,
        "gpus": f"{run.hosts * run.per_host} × {run.gpu}",
        "estimated_mfu": [round(slow.mfu, 3), round(fast.mfu, 3)],
        "measured_mfu": round(measured, 3),
        "within": slow.mfu <= measured <= fast.mfu,
        "source": run.source,
    }


def attempt(size: str, hosts: int, change: dict[str, Any]) -> PaperPlan | None:
    """The plan of a method, or None if it does not fit in this way."""
    gpu = GPUS[GPU]
    try:
        settings = PretrainSettings(size=size, **change)
        found = plan_for(settings, Cluster(gpu, hosts, gpu.per_host, gpu.network))
    except XinyeError:
        return None
    wanted = bool(change.get("activation_checkpointing"))
    return found if found.work.again == wanted else None


def row(size: str, method: str, change: dict[str, Any]) -> dict[str, Any]:
    """What a method needs for a size: the fewest hosts, and memory and time on `HOSTS`."""
    fewest = next((hosts for hosts in (1, 2, 4, 8) if attempt(size, hosts, change)), None)
    found = attempt(size, HOSTS, change)
    about: dict[str, Any] = {"size": size, "method": method, "fewest_hosts": fewest}
    if not found:
        return about
    fast, slow = found.range
    return about | {
        "memory": found.work.memory.total,
        "seconds": [found.seconds(fast), found.seconds(slow)],
        "mfu": [slow.mfu, fast.mfu],
        "windows_at_once": found.work.at_once,
    }


@cache
def chosen(size: str) -> str:
    """The method that `xinye plan` chooses on `HOSTS`."""
    found = attempt(size, HOSTS, {}) or attempt(size, HOSTS, {"activation_checkpointing": True})
    assert found
    return found.method + (", checkpointing" if found.work.again else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chinese", action="store_true", help="titles of the tables in Chinese")
    chinese = parser.parse_args().chinese
    published = [beside(run) for run in RUNS]
    heads = ("run", "GPUs", "estimated MFU", "measured", "source")
    if chinese:
        heads = ("训练", "GPU", "估算 MFU", "实测", "来源")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for each in published:
        low, high = each["estimated_mfu"]
        mark = "" if each["within"] else " ✗"
        percent = "%" if chinese else " %"
        print(
            f"| {each['run']} | {each['gpus']} | {100 * low:.0f}–{100 * high:.0f}{percent} "
            f"| {100 * each['measured_mfu']:.0f}{percent}{mark} | {each['source']} |"
        )
    progress("planning models from 125M to 30B")
    rows = [row(size, name, change) for size in SIZES for name, change in METHODS.items()]
    heads = ("size", "method", "GB for each GPU", "fewest hosts", "time", "MFU")
    if chinese:
        heads = ("大小", "并行方式", "每张 GPU（GB）", "最少主机数", "时间", "MFU")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for each in rows:
        print(f"| {' | '.join(cells(each, chinese))} |")
    report(benchmark="on paper", published=published, plans=rows, machine=machine("torch", "xinye"))


def cells(each: dict[str, Any], chinese: bool) -> list[str]:
    """A row of the table of sizes; what `xinye plan` chooses is bold."""
    bold = "**" if chosen(each["size"]) == each["method"] else ""
    method = each["method"].replace(
        ", checkpointing", "，激活重计算" if chinese else ", checkpointing"
    )
    found = [each["size"], f"{bold}{method}{bold}"]
    if "memory" not in each:
        return [*found, "–", "–", "–", "–"]
    low, high = each["mfu"]
    percent = "%" if chinese else " %"
    found += [f"{each['memory'] / 1e9:.0f}", str(each["fewest_hosts"])]
    return [*found, span(*each["seconds"], chinese), f"{100 * low:.0f}–{100 * high:.0f}{percent}"]


def span(fast: float, slow: float, chinese: bool) -> str:
    """A range of time in one unit."""
    names = ("分钟", "小时", "天") if chinese else ("min", "h", "days")
    unit, name = 86400, names[2]
    if slow < 2 * 3600:
        unit, name = 60, names[0]
    elif slow < 2 * 86400:
        unit, name = 3600, names[1]
    digits = 0 if fast / unit >= 10 else 1
    return f"{fast / unit:,.{digits}f}–{slow / unit:,.{digits}f} {name}"


if __name__ == "__main__":
    main()
