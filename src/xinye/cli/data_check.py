"""How `xinye data check` looks in the terminal, of text and of a task's records."""

import os
from collections import Counter
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xinye.check.check_data import Estimate, Report
from xinye.check.inspection import excerpt, plural
from xinye.check.reading import FileSeen, Noted
from xinye.cli.output import answer, duration
from xinye.tasks.registry import find_task

FILES = 12  # more are grouped
BAR = 32
INDENT = (0, 0, 0, 2)
COUNTED = 12  # labels that are named
SEEN, STRETCHES = 120, 40  # characters of a stretch, and stretches of a record, that are shown
BAD = 5  # records that cannot be learned from


def show(report: Report) -> None:
    """Print what a check of text found."""
    size = f"{plural(len(report.files), 'file')}, {report.bytes / 1e6:,.1f} MB"
    documents = plural(report.documents, "document")
    answer.print(f"{size}: {documents}, {plural(report.characters, 'character')}\n")
    answer.print(files_table(report.files))
    answer.print(heading("characters"))
    scripts = list(report.scripts.items())[:8]
    total = report.characters
    answer.print(bars([(name, count, percent(count / total)) for name, count in scripts]))
    what, lengths = "document", report.document_characters
    if lengths.count < 20:
        what, lengths = "line", report.line_characters
    answer.print(heading(f"{what}s by length in characters"))
    steps = [(f"{low:,}–{high:,}", low, count) for low, high, count in lengths.histogram]
    answer.print(bars([(name if low > 1 else "1", count, "") for name, low, count in steps]))
    ends = f"half have up to {lengths.median:,}, 99 % up to {lengths.p99:,}"
    answer.print(Padding(Text(f"{ends}, the longest {lengths.longest:,}", "dim"), INDENT))
    answer.print(heading("as a model would read it (⏎ is a line end)"))
    for noted in report.preview:
        shown = (noted.text or "").replace("\n", "⏎")
        answer.print(Padding(Text(f"{place(noted)}  ", "dim").append(shown, "not dim"), INDENT))
    some = "findings, the most important first"
    answer.print(heading(some if report.findings else "nothing wrong was found"))
    for number, found in enumerate(report.findings, 1):
        table = Table.grid(padding=(0, 1, 0, 0))
        said = Text(found.finding, "bold").append(f": {found.advice}", "not bold")
        table.add_row(f"  {number}.", said)
        for noted in found.places:
            table.add_row("", Text(f"{place(noted)}  {noted.problem or ''}", "dim"))
        answer.print(table)
    if report.estimate:
        show_estimate(report.estimate)
    answer.print(f"\nnext: {report.command}", soft_wrap=True)


def show_estimate(estimate: Estimate) -> None:
    answer.print(heading("estimate"))
    text = Text(
        f"about {round_number(estimate.tokens)} tokens ({estimate.tokens_per_character} for each "
        f"character, vocabulary {estimate.vocab_size:,}); training once through them takes "
        f"--size {estimate.size} about {duration(estimate.seconds_per_epoch)} here\n"
    )
    answer.print(Padding(text.append(f"assumed: {estimate.assumption}", "dim"), INDENT))


def show_records(report: dict[str, Any]) -> None:
    """Print the report of `check.check_records.check_records`."""
    for file in report["files"]:
        kind = f"{file['part']} " if report["files"][-1]["part"] != "training" else ""
        answer.print(
            f"{file['file']}: {file['records']:,} {kind}records, {file['format']}", soft_wrap=True
        )
    counts = list(report["counts"].items())
    some = ", ".join(f"{name} {count:,}" for name, count in counts[:COUNTED])
    task = find_task(report["task"])
    if counts:
        more = " …" if len(counts) > COUNTED else ""
        answer.print(f"{len(counts)} {task.counted}: {some}{more}", soft_wrap=True)
    trained = " (trained: what stands in ⟦ ⟧)" if task.writes else ""
    answer.print(heading(f"as a model will see them{trained}"))
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
            "  cannot be learned from; finetune refuses the file "
            f"({plural(report['bad_total'], 'place')}):"
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


def place(noted: Noted) -> str:
    return noted.file if noted.line is None else f"{noted.file}:{noted.line}"


def heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def files_table(files: list[FileSeen]) -> Table:
    """A line for each file, or for each kind of file where there are many."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    together = ""
    if len(files) > 1:
        together = os.path.commonpath([os.path.dirname(file.file) for file in files])
    for file in files:
        name = os.path.relpath(file.file, together) if together else file.file
        column = f"text in {excerpt(file.field, 20)!r}" if file.field else ""
        about = (file.format, file.encoding, "+".join(file.line_ends), column)
        kind = ", ".join(filter(None, about))
        group = groups.setdefault((name if len(files) <= FILES else "", kind), Counter())
        sizes = {"characters": file.characters, "bytes": file.bytes, "problems": file.problems}
        group.update(files=1, documents=file.documents, **sizes)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("file", overflow="fold", min_width=12)
    table.add_column("format", overflow="fold", min_width=12)
    for title in ("documents", "characters", "MB", "unreadable"):
        table.add_column(title, justify="right", no_wrap=True)
    for (name, kind), sums in groups.items():
        megabytes = f"{sums['bytes'] / 1e6:,.1f}"
        numbers = (f"{sums['documents']:,}", f"{sums['characters']:,}", megabytes)
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
