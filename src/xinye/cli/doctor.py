"""`xinye doctor`"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from xinye.cli.arguments import Parser
from xinye.libraries import install_command

if TYPE_CHECKING:
    from rich.table import Table

    from xinye.jobs.doctor import Facts, Report, Speed


def main(arguments: list[str]) -> int:
    parser = Parser(
        "doctor",
        "What this machine can do, what will be chosen here and why, and what to do about each "
        "shortcoming.",
        "xinye doctor",
    )
    parser.add_argument(
        "--measure", action="store_true", default=False, help="measure the speeds anew (seconds)"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.output import Display, print_json
    from xinye.jobs.doctor import examine

    with Display() as display:
        report = examine(values["measure"], display)
    if values["json"]:
        print_json(asdict(report))
    else:
        show(report)
    return 0


def show(report: "Report") -> None:
    """The report in sections, 80 columns wide."""
    from xinye.cli.output import answer

    speed = report.speed
    sections: dict[str, list[tuple[str, ...]]] = {
        "Machine": machine_rows(report.machine, report.software),
        f"Speed, measured {speed.date} (anew: xinye doctor --measure)": speed_rows(speed),
        "Software": software_rows(report.software),
        "Extras": [
            (extra["extra"], "missing" if extra["missing"] else "installed", extra["use"])
            for extra in report.extras
        ],
        "Chosen by default": [
            (each["name"], each["value"], each["reason"]) for each in report.defaults
        ],
    }
    for title, rows in sections.items():
        section(title, rows)
    missing = [extra["extra"] for extra in report.extras if extra["missing"]]
    answer.print("Sizes: what ten minutes of training give here, estimated", style="bold")
    answer.print(size_table(report.sizes))
    answer.print("\nWhat to do", style="bold")
    advice = report.advice + [
        {
            "problem": f"for {', '.join(missing)}, where you need it",
            "remedy": install_command(*missing),
        }
    ] * bool(missing)
    for each in advice:
        answer.print(f"  {each['problem']}")
        # a command stays whole, to be copied
        answer.print(f"    → {each['remedy']}", soft_wrap=True)
    if not advice:
        answer.print("  nothing: all is well")


def section(title: str, rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from xinye.cli.output import answer

    answer.print(title, style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, min_width=12)
    for row in rows:
        table.add_row(f"  {row[0]}", *row[1:])
    answer.print(table)
    answer.print()


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def machine_rows(facts: "Facts", software: "Facts") -> list[tuple[str, ...]]:
    cores = f"{facts['cores']}"
    if facts["physical_cores"]:
        cores += f" ({facts['physical_cores']} physical)"
    if facts["usable_cores"] < facts["cores"]:
        cores += f", {facts['usable_cores']} of them for this process"
    if facts["core_quota"]:
        cores += f", of which a container gives the time of {facts['core_quota']:g}"
    memory = f"{gigabytes(facts['memory'])}, {gigabytes(facts['memory_free'])} free"
    if facts["memory_limit"]:
        memory += f"; a container allows {gigabytes(facts['memory_limit'])}"
    rows: list[tuple[str, ...]] = [
        ("processor", f"{facts['processor']}, {software['cpu_units']}"),
        ("cores", f"{cores}; torch runs {facts['threads']} thread{'s' * (facts['threads'] != 1)}"),
        ("memory", memory),
        (
            "disk",
            f"{gigabytes(facts['disk_free'])} free here, {gigabytes(facts['cache_disk_free'])} at "
            f"{facts['cache']}",
        ),
    ]
    if "gpu" in facts:
        many = f"{facts['gpus']} × " if facts["gpus"] > 1 else ""
        rows.append(("GPU", f"{many}{facts['gpu']}, capability {facts['gpu_capability']}"))
        rows.append(
            ("", f"{gigabytes(facts['gpu_memory'])}, {gigabytes(facts['gpu_memory_free'])} free")
        )
    else:
        rows.append(
            (
                "GPU",
                "Apple's, in the same memory"
                if facts["device"] == "mps"
                else "none that torch sees",
            )
        )
    return rows


def speed_rows(speed: "Speed") -> list[tuple[str, ...]]:
    matrix, alone = speed.matrix_flops_per_second, speed.memory_bytes_per_second_on_one_thread
    rows: list[tuple[str, ...]] = []
    for dtype, rate in matrix.items():
        beside = (
            f"{rate / (matrix['float32'] or rate):.1f} × float32"
            if rate and rows
            else "matrix products"
        )
        rows.append((dtype, f"{rate / 1e9:,.0f} GFLOP/s" if rate else "not here", beside))
    beside = f"read; {gigabytes(alone)}/s on one thread" if speed.threads > 1 else "read"
    rows.append(("memory", f"{gigabytes(speed.memory_bytes_per_second)}/s", beside))
    rows.append(("", "", "it bounds how fast one text alone is written"))
    rows.append(
        (
            "training",
            f"{speed.training_utilization:.0%}",
            "of the matrix speed, in a step of --size 5M",
        )
    )
    return rows


def software_rows(software: "Facts") -> list[tuple[str, ...]]:
    fast = [
        name for name, there in (("MKL", software["mkl"]), ("oneDNN", software["onednn"])) if there
    ]
    rows: list[tuple[str, ...]] = [
        ("xinye", f"{software['xinye']} on Python {software['python']}, {software['system']}"),
        ("torch", f"{software['torch']} ({', '.join(fast) or 'no fast matrix library'})"),
        ("others", f"tokenizers {software['tokenizers']}, numpy {software['numpy']}"),
        ("C++ compiler", software["cpp_compiler"] or "none"),
        ("generation", software["generation"]),
        *(
            [("limited to", f"{software['instruction_limit']}, by the environment")]
            * bool(software["instruction_limit"])
        ),
        ("terminal", software["output_encoding"].upper()),
    ]
    if software["cuda"] or software["nvidia_driver"]:
        rows.append(
            (
                "CUDA",
                f"{software['cuda'] or 'not in this torch'}, driver "
                f"{software['nvidia_driver'] or 'none'}",
            )
        )
    return rows


def size_table(sizes: "list[Facts]") -> "Table":
    from rich.table import Table

    from xinye.cli.output import duration

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("\n  --size", no_wrap=True)
    for head in (
        "\nmemory",
        "\ntokens/s",
        "tokens in\n10 min",
        "tokens\na weight",
        "time for 20\na weight",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for row in sizes:
        if not row["fits"]:
            table.add_row(f"  {row['size']}", *"–––––", "does not fit in memory")
            continue
        days = 20 * row["parameters"] / max(1, row["tokens_per_second"]) / 86_400
        table.add_row(
            f"  {row['size']}",
            gigabytes(row["memory"]),
            f"{row['tokens_per_second']:,}",
            f"{row['tokens'] / 1e6:,.1f} M",
            f"{row['tokens'] / row['parameters']:.2g}",
            f"{days:,.0f} days" if days >= 2 else duration(86_400 * days),
            "sensible" if row["sensible"] else "",
        )
    return table
