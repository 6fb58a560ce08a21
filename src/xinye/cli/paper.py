"""`xinye plan --gpu h100 --hosts 8`: a training planned on paper."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xinye.cli.arguments import JSON, Fields, Given, Parser, flag
from xinye.cli.output import answer, duration, plan_rows, print_result, print_table
from xinye.errors import XinyeError, checked, plural, refuse_first
from xinye.language import shown, shown_word
from xinye.planning.gpus import GBIT, GPU, GPUS, Cluster, find_gpu
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count

if TYPE_CHECKING:  # it brings torch
    from xinye.planning.on_paper import PaperPlan

MACHINES = ("--gpu", "--hosts", "--gpus-per-host", "--network", "--tokens")  # of a plan on paper
# What `plan_on_paper` takes at most; far above what anyone has.
MOST_HOSTS, MOST_GPUS, MOST_NETWORK = 16_384, 128, 100_000
MOST_TOKENS, MOST_STEPS, MOST_WINDOWS, MOST_VOCABULARY = 10**15, 10**10, 2**24, 10**7
SHAPE = ("architecture", "context", "layers", "width", "heads", "key_value_heads")
SETTINGS = {"tokens", "steps", "vocab_size", "optimizer", "batch_size", "micro_batch_size"}
SETTINGS |= {*SHAPE, "activation_checkpointing", "parallel"}


def plan_on_paper(arguments: list[str]) -> int:
    given = Parser(
        "plan",
        "Plan a pretraining on paper for GPUs that you do not have here: the plan, the method, "
        "the memory of each GPU, what the GPUs exchange, and the time. Nothing is trained or "
        "measured: all of it is an estimate. Without --gpu and --hosts, xinye plan trains short "
        "runs on this machine instead.",
        "xinye plan --size 1.3B --tokens 26B --hosts 8 --gpu h100",
        flag("--size", "SIZE", "number of parameters, such as 125M or 1.3B"),
        flag("--gpu", "GPU", "the GPU, such as h100; list shows those that are known"),
        flag("--hosts", "N", "number of hosts (1)", 1, type=int),
        flag("--gpus-per-host", "N", "GPUs of each host (as usual for this GPU)", type=int),
        flag("--network", "GBITS", "speed of a host's network in Gbit/s, all cards", type=float),
        JSON,
        Fields(PretrainSettings, without=PretrainSettings.model_fields.keys() - SETTINGS),
    ).read(arguments)
    if given.gpu == "list":
        others = [name for name in arguments if name.startswith("--")]
        odd = next((name for name in others if name.split("=")[0] not in ("--gpu", "--json")), None)
        if odd:
            raise XinyeError(f"{odd} has no effect with --gpu list; leave it out")
        return print_result(GPUS, given.json, list_gpus)
    if not given.gpu:
        raise XinyeError("give the GPU, such as --gpu h100; --gpu list shows those that are known")
    cluster = cluster_of(given)
    if "size" not in given.settings:
        raise XinyeError("give the number of parameters, such as --size 1.3B")
    settings = checked(PretrainSettings, given.settings, "plan")
    check_limits(settings)

    from xinye.planning.on_paper import plan_for

    return print_result(plan_for(settings, cluster), given.json, show)


def cluster_of(given: Given) -> Cluster:
    """The hosts and their GPUs. Raises `XinyeError`."""
    gpu = find_gpu(given.gpu)
    per_host = gpu.per_host if given.gpus_per_host is None else given.gpus_per_host
    network = gpu.network if given.network is None else given.network * GBIT
    refuse_first(
        (given.hosts < 1, f"--hosts {given.hosts}: give at least 1"),
        (given.hosts > MOST_HOSTS, f"--hosts {given.hosts}: give at most {MOST_HOSTS:,}"),
        (per_host < 1, f"--gpus-per-host {per_host}: give at least 1"),
        (per_host > MOST_GPUS, f"--gpus-per-host {per_host}: give at most {MOST_GPUS}"),
        (
            not 0 < network <= MOST_NETWORK * GBIT,
            f"--network {given.network}: give a speed above 0, of at most {MOST_NETWORK:,} Gbit/s",
        ),
        (
            given.hosts == 1 and given.network is not None,
            "--network has no effect on a single host; leave it out, or give --hosts",
        ),
    )
    return Cluster(gpu, given.hosts, per_host, network)


def check_limits(settings: PretrainSettings) -> None:
    """Raise `XinyeError` for numbers far above those of any training."""
    from xinye.data.tokenizer_training import CONTROL_TOKENS  # it brings tokenizers

    tokens = parse_count(settings.tokens) if settings.tokens else 0
    least = 256 + len(CONTROL_TOKENS)
    refuse_first(
        (tokens > MOST_TOKENS, f"--tokens {settings.tokens}: give at most {MOST_TOKENS:,}"),
        (
            (settings.steps or 0) > MOST_STEPS,
            f"--steps {settings.steps}: give at most {MOST_STEPS:,}",
        ),
        (
            (settings.batch_size or 0) > MOST_WINDOWS,
            f"--batch-size {settings.batch_size}: give at most {MOST_WINDOWS:,}",
        ),
        (
            settings.vocab_size is not None and settings.vocab_size < least,
            f"--vocab-size {settings.vocab_size}: give at least {least}, for the 256 "
            "bytes and control tokens",
        ),
        (
            (settings.vocab_size or 0) > MOST_VOCABULARY,
            f"--vocab-size {settings.vocab_size}: give at most {MOST_VOCABULARY:,}",
        ),
    )


def list_gpus(gpus: Mapping[str, GPU]) -> None:
    """Print the table of known GPUs."""
    rows = [
        (
            name,
            f"{gpu.bfloat16 / 1e12:,.0f}" if gpu.bfloat16 else "–",
            f"{gpu.float32 / 1e12:,.0f}",
            f"{gpu.memory / 1e9:,.0f}",
            f"{gpu.memory_speed / 1e9:,.0f}",
            f"{gpu.link / 1e9:,.0f}",
            f"{gpu.per_host} × {gpu.network / GBIT / gpu.per_host:,.0f}",
            f"{gpu.title}: {shown(gpu.source)}",
        )
        for name, gpu in gpus.items()
    ]
    columns = ("GPU", "bf16", "fp32", "GB", "GB/s", "link", "network", "data sheet")
    print_table(columns, rows, left=(0, 7))
    answer.print(
        "\nTFLOP/s of dense matrix products, memory and its speed, GB/s to another GPU of the host "
        "in one direction, GPUs of a host × Gbit/s"
    )


def show(found: "PaperPlan") -> None:
    """Print the plan, what it needs, and the estimate."""
    work, cluster = found.work, found.work.cluster
    answer.print(
        f"ESTIMATE on paper for {plural(cluster.hosts, 'host')} with {cluster.per_host} × "
        f"{cluster.gpu.title}: nothing was trained or measured",
        style="bold",
    )
    print_table(("", "", ""), plan_rows(found.plan), left=(0, 2))
    answer.print()
    methods = {"DDP": "DDP: each GPU keeps the whole model"}
    methods |= {"FSDP2": "FSDP2: each GPU keeps a part of the model"}
    method = methods.get(found.method, found.method)
    answer.print(f"method: {method}")
    answer.print(
        f"each GPU computes {work.share:,} of the {work.batch_size:,} windows of a step, "
        f"{work.at_once:,} at once"
    )
    show_memory(found)
    show_exchange(found)
    show_time(found)
    answer.print()
    for warning in found.warnings:
        answer.print(warning, style="yellow")
    for sentence in found.assumptions:
        answer.print(sentence)
    answer.print(f"start it: {found.command}", soft_wrap=True)


def show_memory(found: "PaperPlan") -> None:
    """Print what each GPU keeps in memory."""
    memory = found.work.memory
    rows = [
        (shown_word("parameters"), memory.parameters),
        (shown_word("gradients"), memory.gradients),
        (shown_word("their copy in DDP"), memory.buckets),
        (shown_word("state of the optimizer"), memory.state),
        (shown_word("gathered weights"), memory.gathered),
        (shown_word("activations of the layers"), memory.layers),
        (shown_word("logits"), memory.logits),
        (shown_word("in total"), memory.total),
        (shown_word("free for training"), found.free),
    ]
    answer.print("\nmemory of each GPU, GB", style="bold")
    print_table(("", ""), [(name, f"{size / 1e9:,.2f}") for name, size in rows if size])


def show_exchange(found: "PaperPlan") -> None:
    """Print what each GPU sends in a step."""
    if not found.exchanges:
        return
    rows = [
        (
            shown(each.name),
            f"{each.bytes / 1e9:,.2f}",
            f"{each.between_hosts / 1e9:,.2f}",
            f"{1000 * each.seconds:,.1f}",
        )
        for each in found.exchanges
    ]
    answer.print("\nwhat each GPU sends in a step", style="bold")
    print_table(("", "GB", "to other hosts", "ms"), rows)


def show_time(found: "PaperPlan") -> None:
    """Print the estimated range of a step and of the whole training."""
    times = found.range
    milliseconds = [
        (shown_word("matrix products"), [time.products for time in times]),
        (shown_word("passing activations and weights"), [time.memory for time in times]),
        (shown_word("the optimizer"), [time.optimizer for time in times]),
        (shown_word("waiting for the exchange"), [time.exchange for time in times]),
        (shown_word("a whole step"), [time.step for time in times]),
    ]
    rows = [(name, *map(short, both)) for name, both in milliseconds]
    rows += [
        (shown_word("tokens/s"), *(f"{time.tokens_per_second:,.0f}" for time in times)),
        ("MFU", *(f"{time.mfu:.0%}" for time in times)),
        (shown_word("the whole training"), *(long_duration(found.seconds(time)) for time in times)),
        (shown_word("GPU hours"), *(f"{found.gpu_hours(time):,.1f}" for time in times)),
    ]
    answer.print(
        f"\nestimate for {found.tokens:,} tokens, {found.work.flops_per_token:.3g} FLOPs each",
        style="bold",
    )
    print_table(("", "fast", "slow"), rows)


def short(seconds: float) -> str:
    """A time that may be less than a millisecond."""
    milliseconds = 1000 * seconds
    if 0 < milliseconds < 0.05:
        return "<0.1 ms"
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def long_duration(seconds: float) -> str:
    """A time that may be days."""
    days = seconds / 86400
    return f"{days:,.1f} days" if days >= 2 else duration(seconds)
