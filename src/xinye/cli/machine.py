"""`xinye bench` and `xinye doctor`: what this machine can do."""

from typing import TYPE_CHECKING

from xinye.cli.arguments import DTYPE, JSON, MODEL, Parser, flag, switch
from xinye.cli.output import Display, answer, duration, prepare_writing, print_result, print_table
from xinye.errors import XinyeError, plural
from xinye.language import shown_word
from xinye.libraries import install_command

if TYPE_CHECKING:  # they bring torch
    from xinye.jobs.bench import Benchmark
    from xinye.jobs.doctor import Facts, Report, Speed


def bench(arguments: list[str]) -> int:
    given = Parser(
        "bench",
        "Measure how fast a model writes on this machine, one text and several at once: "
        "tokens per second, the time to the first token and between tokens, and the share "
        "of the machine's speed that it reaches.",
        "xinye bench runs/novel --concurrency 1,8,32 --prompt-tokens 128 --output-tokens 64",
        MODEL,
        flag("--concurrency", "N,N", "numbers of texts to write at once (1,8,32)", "1,8,32"),
        flag("--prompt-tokens", "N", "length of each random prompt (128)", 128, type=int),
        flag("--output-tokens", "N", "tokens to write for each text (64)", 64, type=int),
        DTYPE,
        JSON,
    ).read(arguments)
    counts = [part.strip() for part in given.concurrency.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 1024 for part in counts):
        raise XinyeError(
            f"--concurrency {given.concurrency}: give numbers from 1 to 1024, such as 1,8,32"
        )
    for name in ("prompt_tokens", "output_tokens"):
        if getattr(given, name) < 1:
            raise XinyeError(f"--{name.replace('_', '-')}: give at least 1")

    from xinye.api import load
    from xinye.jobs.bench import Bench

    model = load(given.model, given.dtype)
    prepare_writing()
    benchmark = Bench(model.gpt, model.tokenizer, given.prompt_tokens, given.output_tokens)
    with Display() as display:
        result = benchmark.run(given.model, [int(part) for part in counts], display)
    return print_result(result, given.json, show_benchmark)


def show_benchmark(result: "Benchmark") -> None:
    answer.print(
        f"{result.model}: {result.parameters:,} parameters, {result.weight_bytes / 1e6:,.1f} MB, "
        f"{result.dtype}; {plural(result.threads, 'thread')}; prompts of "
        f"{plural(result.prompt_tokens, 'token')}, "
        f"{plural(result.output_tokens, 'token')} written\n",
        soft_wrap=True,
    )
    rows = [
        (
            str(row.concurrency),
            f"{row.prompt_tokens_per_second:,.0f}",
            f"{row.tokens_per_second:,.0f}",
            f"{milliseconds(row.first_token_p50)} / {milliseconds(row.first_token_p99)}",
            f"{milliseconds(row.between_tokens_p50)} / {milliseconds(row.between_tokens_p99)}",
            "" if row.memory_share is None else f"{row.memory_share:.0%}",
            "" if row.matrix_share is None else f"{row.matrix_share:.0%}",
            f"{row.cache_tokens:,}",
        )
        for row in result.rows
    ]
    heads = (
        "texts\nat once",
        "tokens/s\nread",
        "tokens/s\nwritten",
        "first token\np50 / p99",
        "between\np50 / p99",
        "of\nmemory",
        "of\nmatrix",
        "cache,\ntokens",
    )
    print_table(heads, rows, left=())
    matrix = result.matrix_flops_per_second or 0
    answer.print(
        "\nof memory: bandwidth used for weights and KV cache while writing, as a "
        f"share of {result.memory_bytes_per_second / 1e9:,.1f} GB/s; of matrix: "
        "speed of the products while reading prompts, as a share of "
        f"{matrix / 1e9:,.0f} GFLOP/s (xinye doctor)",
        soft_wrap=True,
    )


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def doctor(arguments: list[str]) -> int:
    given = Parser(
        "doctor",
        "Show what this machine can do, which defaults Xinye chooses here and "
        "why, and how to fix each problem.",
        "xinye doctor",
        switch("--measure", "measure the speeds again (takes a few seconds)"),
        JSON,
    ).read(arguments)

    from xinye.jobs.doctor import examine

    with Display() as display:
        report = examine(given.measure, display)
    return print_result(report, given.json, show_report)


def show_report(report: "Report") -> None:
    """Print the report in sections, 80 columns wide."""
    section("Machine", machine_rows(report.machine, report.software))
    section(
        f"Speed, measured {report.speed.date} (again: xinye doctor --measure)",
        speed_rows(report.speed),
    )
    section("Software", software_rows(report.software))
    extras = {extra["extra"]: extra for extra in report.extras}
    missing = [name for name, extra in extras.items() if extra["missing"]]
    section(
        "Extras",
        [
            (name, "not installed" if name in missing else "installed", extra["use"])
            for name, extra in extras.items()
        ],
        shown_names=False,
    )
    section(
        "Defaults",
        [(each["name"], each["value"], each["reason"]) for each in report.defaults],
    )
    answer.print("Sizes: an estimate of ten minutes of training here", style="bold")
    show_sizes(report.sizes)
    answer.print("\nWhat to do", style="bold")
    advice = [(each["problem"], each["remedy"]) for each in report.advice]
    if missing:
        advice.append((f"if you need {', '.join(missing)}", install_command(*missing)))
    for problem, remedy in advice:
        answer.print(f"  {problem}")
        # Do not wrap, so that a command can be copied.
        answer.print(f"    → {remedy}", soft_wrap=True)
    if not advice:
        answer.print("nothing to do")


def section(title: str, rows: list[tuple[str, ...]], shown_names: bool = True) -> None:
    """Print rows of a name, a value and, if needed, an explanation. The names are translated
    unless somebody has to type them."""
    columns = [""] * max(map(len, rows))
    translated = shown_word if shown_names else str
    named = [(f"  {translated(name)}".ljust(12), *map(shown_word, each)) for name, *each in rows]
    answer.print(shown_word(title), style="bold")
    print_table(columns, named, left=range(len(columns)))
    answer.print()


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def two_digits(value: float) -> str:
    """A number with two significant digits; all digits in front of its point."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:#.2g}"


def machine_rows(facts: "Facts", software: "Facts") -> list[tuple[str, ...]]:
    cores = f"{facts['cores']}"
    if facts["physical_cores"]:
        cores += f" ({facts['physical_cores']} physical)"
    if facts["usable_cores"] < facts["cores"]:
        cores += f", {facts['usable_cores']} of them for this process"
    if facts["core_quota"]:
        cores += f", and a container limits it to {facts['core_quota']:g}"
    memory = f"{gigabytes(facts['memory'])}, {gigabytes(facts['memory_free'])} free"
    if facts["memory_limit"]:
        memory += f"; a container allows {gigabytes(facts['memory_limit'])}"
    threads = plural(facts["threads"], "thread")
    here, there = gigabytes(facts["disk_free"]), gigabytes(facts["cache_disk_free"])
    disk = f"{here} free here, {there} free in {facts['cache']}"
    gpu = [("GPU", "none found by torch")]
    if facts["device"] == "mps":
        gpu = [("GPU", "Apple's, which shares the memory")]
    if "gpu" in facts:
        many = f"{facts['gpus']} × " if facts["gpus"] > 1 else ""
        own = f"{gigabytes(facts['gpu_memory'])}, {gigabytes(facts['gpu_memory_free'])} free"
        gpu = [("GPU", f"{many}{facts['gpu']}, capability {facts['gpu_capability']}"), ("", own)]
    return [
        ("processor", f"{facts['processor']}, {software['cpu_units']}"),
        ("cores", f"{cores}; torch uses {threads}"),
        ("memory", memory),
        ("disk", disk),
        *gpu,
    ]


def speed_rows(speed: "Speed") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for dtype, rate in speed.matrix_flops_per_second.items():
        beside = "matrix products"
        if rate and rows:
            times = rate / (speed.matrix_flops_per_second["float32"] or rate)
            beside = f"{two_digits(times)} × float32"
        measured = f"{two_digits(rate / 1e9)} GFLOP/s" if rate else "not available"
        rows.append((dtype, measured, beside))
    memory = [("memory", f"{gigabytes(speed.memory_bytes_per_second)}/s", "read")]
    if speed.threads > 1:
        alone = gigabytes(speed.memory_bytes_per_second_on_one_thread)
        memory.append(("", f"{alone}/s", "read by one thread"))
    utilization = f"{speed.training_utilization:.0%}"
    return [
        *rows,
        *memory,
        ("", "", "this limits how fast a single text is generated"),
        ("training", utilization, "of the matrix speed, in a step of --size 5M"),
    ]


def software_rows(software: "Facts") -> list[tuple[str, ...]]:
    libraries = {"MKL": software["mkl"], "oneDNN": software["onednn"]}
    fast = ", ".join(name for name, there in libraries.items() if there)
    rows: list[tuple[str, ...]] = [
        ("xinye", f"{software['xinye']} on Python {software['python']}, {software['system']}"),
        ("torch", f"{software['torch']} ({fast or 'no fast matrix library'})"),
        ("others", f"tokenizers {software['tokenizers']}, numpy {software['numpy']}"),
        ("C++ compiler", software["cpp_compiler"] or "none"),
        ("compiled code", software["compiled_code"]),
    ]
    if software["instruction_limit"]:
        rows.append(("limited to", (f"{software['instruction_limit']}, set by the environment")))
    rows.append(("terminal", software["output_encoding"].upper()))
    if software["cuda"] or software["nvidia_driver"]:
        rows.append(("CUDA", software["cuda"] or "not in this torch"))
        rows.append(("NVIDIA driver", software["nvidia_driver"] or "not installed"))
    return rows


def show_sizes(sizes: "list[Facts]") -> None:
    rows = []
    for row in sizes:
        name = f"  {row['size']}"
        if not row["fits"]:
            rows.append((name, *"–––––", "does not fit in memory"))
            continue
        days = 20 * row["parameters"] / max(1, row["tokens_per_second"]) / 86_400
        rows.append(
            (
                name,
                gigabytes(row["memory"]),
                f"{row['tokens_per_second']:,}",
                f"{row['tokens'] / 1e6:,.1f} M",
                f"{row['tokens'] / row['parameters']:.2g}",
                f"{days:,.0f} days" if days >= 2 else duration(86_400 * days),
                shown_word("recommended") if row["sensible"] else "",
            )
        )
    heads = (
        "\n  --size",
        "\nmemory",
        "\ntokens/s",
        "tokens in\n10 min",
        "tokens per\nweight",
        "time for 20\ntokens/weight",
        "",
    )
    print_table(heads, rows, left=(0, 6))
