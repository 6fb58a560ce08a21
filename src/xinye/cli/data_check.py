"""How `xinye data check` looks in the terminal, of text and of a task's records."""

import os
from collections import Counter
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xinye.check.check_data import plural
from xinye.check.inspection import excerpt
from xinye.cli.output import answer, duration

FILES = 12  # more are grouped
BAR = 32
INDENT = (0, 0, 0, 2)
COUNTED = 12  # labels that are named
SEEN, STRETCHES = 120, 40  # characters of a stretch, and stretches of a record, that are shown
BAD = 5  # records that cannot be learned from


def show(report: dict[str, Any]) -> None:
    """Print the report of `check.check_data.check`."""
    answer.print(
        f"{plural(len(report['files']), 'file')}, {report['bytes'] / 1e6:,.1f} MB: "
        f"{plural(report['documents'], 'document')}, {plural(report['characters'], 'character')}\n"
    )
    answer.print(files_table(report["files"]))
    answer.print(heading("characters"))
    scripts = list(report["scripts"].items())[:8]
    answer.print(
        bars([(name, count, percent(count / report["characters"])) for name, count in scripts])
    )
    what = "document" if report["document_characters"]["count"] >= 20 else "line"
    lengths = report[f"{what}_characters"]
    answer.print(heading(f"{what}s by length in characters"))
    answer.print(
        bars(
            [
                (f"{low:,}–{high:,}" if low < high else f"{low:,}", count, "")
                for low, high, count in lengths["histogram"]
            ]
        )
    )
    ends = f"half have up to {lengths['median']:,}, 99 % up to {lengths['p99']:,}, the longest {lengths['longest']:,}"
    answer.print(Padding(Text(ends, "dim"), INDENT))
    answer.print(heading("as a model would read it (⏎ is a line end)"))
    for preview in report["preview"]:
        text = Text(f"{place(preview)}  ", "dim").append(
            preview["text"].replace("\n", "⏎"), "not dim"
        )
        answer.print(Padding(text, INDENT))
    answer.print(
        heading(
            "findings, the most important first"
            if report["findings"]
            else "nothing wrong was found"
        )
    )
    for number, finding in enumerate(report["findings"], 1):
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_row(
            f"  {number}.",
            Text(finding["finding"], "bold").append(f": {finding['advice']}", "not bold"),
        )
        for found in finding["places"]:
            table.add_row("", Text(f"{place(found)}  {found.get('problem', '')}", "dim"))
        answer.print(table)
    if estimate := report["estimate"]:
        answer.print(heading("estimate"))
        text = Text(
            f"about {round_number(estimate['tokens'])} tokens ({estimate['tokens_per_character']} for each character, "
            f"vocabulary {estimate['vocab_size']:,}); training once through them takes --size {estimate['size']} about "
            f"{duration(estimate['seconds_per_epoch'])} here\n"
        )
        answer.print(Padding(text.append(f"assumed: {estimate['assumption']}", "dim"), INDENT))
    answer.print(f"\nnext: {report['command']}", soft_wrap=True)


def show_records(report: dict[str, Any]) -> None:
    """Print the report of `check.check_records.check_records`."""
    for file in report["files"]:
        kind = f"{file['part']} " if report["files"][-1]["part"] != "training" else ""
        answer.print(
            f"{file['file']}: {file['records']:,} {kind}records, {file['format']}", soft_wrap=True
        )
    counts = list(report["counts"].items())
    some = ", ".join(f"{name} {count:,}" for name, count in counts[:COUNTED])
    what = {"classify": "labels", "tag": "types of spans", "chat": "messages by role"}[
        report["task"]
    ]
    answer.print(
        f"{len(counts)} {what}: {some}{' …' if len(counts) > COUNTED else ''}", soft_wrap=True
    )
    answer.print(
        heading(
            "as a model will see them"
            + (" (trained: what stands in ⟦ ⟧)" if report["task"] == "chat" else "")
        )
    )
    for record in report["shown"]:
        line = Text(
            f"{record['place']}{' → ' + record['label'] if record['label'] else ''}\n", "dim"
        )
        for text, mark in record["seen"][:STRETCHES]:
            words = excerpt(text, SEEN)
            if mark is True:
                line.append(f"⟦{words}⟧", "not dim bold green")
            elif mark:
                line.append(f"[{words} {mark}]", "not dim bold green")
            else:
                line.append(words, "not dim")
        if len(record["seen"]) > STRETCHES:
            line.append(" …", "dim")
        answer.print(Padding(line, INDENT))
    wrong = bool(
        report["bad"]
        or report["findings"]
        or any(file["without_header"] for file in report["files"])
    )
    answer.print(
        heading("findings, the most important first" if wrong else "nothing wrong was found")
    )
    told = [
        *report["bad"][:BAD],
        *([f"… {report['bad_total'] - BAD:,} more"] if report["bad_total"] > BAD else []),
    ]
    if told:
        answer.print(
            f"  cannot be learned from; finetune refuses the file ({plural(report['bad_total'], 'place')}):"
        )
    for sentence in told:
        answer.print(Padding(sentence, (0, 0, 0, 4)))
    for sentence in [
        *(file["without_header"] for file in report["files"] if file["without_header"]),
        *report["findings"],
    ]:
        answer.print(Padding(sentence, INDENT))
    answer.print(f"\nnext: {report['command']}", soft_wrap=True)


def percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


def round_number(number: int) -> str:
    """To three figures: 2,240,000."""
    return f"{int(float(f'{number:.3g}')):,}"


def place(found: dict[str, Any]) -> str:
    return found["file"] + ("" if found["line"] is None else f":{found['line']}")


def heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def files_table(files: list[dict[str, Any]]) -> Table:
    """A line for each file, or for each kind of file where there are many."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    together = (
        os.path.commonpath([os.path.dirname(file["file"]) for file in files])
        if len(files) > 1
        else ""
    )
    for file in files:
        name = os.path.relpath(file["file"], together) if together else file["file"]
        ends = "+".join(file["line_ends"])
        column = f"text in {excerpt(file['field'], 20)!r}" if file["field"] else ""
        kind = ", ".join(filter(None, (file["format"], file["encoding"], ends, column)))
        group = groups.setdefault((name if len(files) <= FILES else "", kind), Counter())
        group.update(
            files=1,
            **{name: file[name] for name in ("documents", "characters", "bytes", "problems")},
        )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("file", overflow="fold", min_width=12)
    table.add_column("format", overflow="fold", min_width=12)
    for name in ("documents", "characters", "MB", "unreadable"):
        table.add_column(name, justify="right", no_wrap=True)
    for (name, kind), sums in groups.items():
        numbers = (
            f"{sums['documents']:,}",
            f"{sums['characters']:,}",
            f"{sums['bytes'] / 1e6:,.1f}",
        )
        bad = Text(f"{sums['problems']:,}", "red" if sums["problems"] else "dim")
        table.add_row(name or plural(sums["files"], "file"), kind, *numbers, bad)
    return table


def bars(rows: list[tuple[str, int, str]]) -> Table:
    """Name, count, a bar, and a remark of each row."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, min_width=18)
    table.add_column(justify="right", no_wrap=True, min_width=11)
    table.add_column(justify="right", style="dim")
    table.add_column(no_wrap=True, style="green")
    most = max((count for _, count, _ in rows), default=1)
    for name, count, remark in rows:
        table.add_row(
            name, f"{count:,}", remark, "━" * round(BAR * count / most) or "╸" * (count > 0)
        )
    return table
