"""How `xinye data check` looks in the terminal, of text and of a task's records."""

import os
from collections import Counter
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xinye.check.check_data import Report
from xinye.check.inspection import excerpt, plural
from xinye.check.reading import FileSeen, Noted
from xinye.cli.output import answer, duration
from xinye.tasks.registry import find_task

FINDINGS = "findings, the most important first"
NOTHING = "nothing wrong was found"
FILES = 12  # more are grouped
SIZES = ("documents", "characters", "bytes", "problems")  # of a file
BAR = 32
INDENT = (0, 0, 0, 2)
COUNTED = 12  # labels that are named
SEEN, STRETCHES = 120, 40  # characters of a stretch, and stretches of a record, that are shown
BAD = 5  # records that cannot be learned from


def show(report: Report) -> None:
    """Print what a check of text found."""
    answer.print(
        f"{plural(len(report.files), 'file')}, {report.bytes / 1e6:,.1f} MB: "
        f"{plural(report.documents, 'document')}, {plural(report.characters, 'character')}\n"
    )
    answer.print(files_table(report.files))
    print_heading("characters")
    scripts = list(report.scripts.items())[:8]
    print_bars([(name, count, percent(count / report.characters)) for name, count in scripts])
    what, lengths = "document", report.document_characters
    if lengths.count < 20:
        what, lengths = "line", report.line_characters
    print_heading(f"{what}s by length in characters")
    print_bars(
        [
            (f"{low:,}–{high:,}" if low > 1 else "1", count, "")
            for low, high, count in lengths.histogram
        ]
    )
    print_indented(
        f"half have up to {lengths.median:,}, 99 % up to {lengths.p99:,}, the longest "
        f"{lengths.longest:,}",
        "dim",
    )
    print_heading("as a model would read it (⏎ is a line end)")
    for noted in report.preview:
        shown = (noted.text or "").replace("\n", "⏎")
        print_indented(Text(f"{place(noted)}  ", "dim").append(shown, "not dim"))
    print_heading(FINDINGS if report.findings else NOTHING)
    for number, found in enumerate(report.findings, 1):
        table = Table.grid(padding=(0, 1, 0, 0))
        said = Text(found.finding, "bold").append(f": {found.advice}", "not bold")
        table.add_row(f"  {number}.", said)
        for noted in found.places:
            table.add_row("", Text(f"{place(noted)}  {noted.problem or ''}", "dim"))
        answer.print(table)
    if estimate := report.estimate:
        print_heading("estimate")
        text = Text(
            f"about {round_number(estimate.tokens)} tokens ({estimate.tokens_per_character} for "
            f"each character, vocabulary {estimate.vocab_size:,}); training once through them "
            f"takes --size {estimate.size} about {duration(estimate.seconds_per_epoch)} here\n"
        )
        print_indented(text.append(f"assumed: {estimate.assumption}", "dim"))
    answer.print(f"\nnext: {report.command}", soft_wrap=True)


def show_records(report: dict[str, Any]) -> None:
    """Print the report of `check.check_records.check_records`."""
    with_part = report["files"][-1]["part"] != "training"
    print_files(report, with_part)
    counts = list(report["counts"].items())
    task = find_task(report["task"])
    if counts:
        some = ", ".join(f"{name} {count:,}" for name, count in counts[:COUNTED])
        more = " …" if len(counts) > COUNTED else ""
        answer.print(f"{len(counts)} {task.counted}: {some}{more}", soft_wrap=True)
    print_heading("as a model will see them" + " (trained: what stands in ⟦ ⟧)" * bool(task.writes))
    for record in report["shown"]:
        line = Text(f"{titled(record)}\n", "dim")
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
        print_indented(line)
    headers = [file["without_header"] for file in report["files"] if file["without_header"]]
    findings = headers + report["findings"]
    bad, total = report["bad"][:BAD], report["bad_total"]
    print_heading(FINDINGS if bad or findings else NOTHING)
    if bad:
        answer.print(
            f"  cannot be learned from; finetune refuses the file ({plural(total, 'place')}):"
        )
    for sentence in [*bad, *([f"… {total - BAD:,} more"] if total > BAD else [])]:
        answer.print(Padding(sentence, (0, 0, 0, 4)))
    for sentence in findings:
        print_indented(sentence)
    answer.print(f"\nnext: {report['command']}", soft_wrap=True)


def show_tokens(report: dict[str, Any]) -> None:
    """Print the report of `check.check_records.show_records`."""
    print_files(report)
    for record in report["shown"]:
        answer.print(f"\n{titled(record)}", style="dim")
        line = Text()
        for text, mark in record["tokens"]:
            trained = mark is True
            label = mark if isinstance(mark, str) and mark != "O" else ""
            style = "dim" if mark in (None, "O") else ""
            line.append(text, style="bold green" if trained else style)
            star = "*" * (trained and not answer.is_terminal)
            line.append(f"{star}/{label} " if label else f"{star}|", style="bright_black")
        answer.print(line)
        if record["cut"]:
            answer.print(f"({record['cut']:,} tokens were left out)", style="dim")
    legend = ""
    if find_task(report["task"]).writes:
        legend = "trained: green; " if answer.is_terminal else "trained: with a * behind; "
    answer.print(f"\n{legend}| stands between tokens")


def print_files(report: dict[str, Any], with_part: bool = False) -> None:
    for file in report["files"]:
        part = f"{file['part']} " if with_part else ""
        answer.print(
            f"{file['file']}: {file['records']:,} {part}records, {file['format']}", soft_wrap=True
        )


def titled(record: dict[str, Any]) -> str:
    """Where a record stands, and its label."""
    return f"{record['place']} → {record['label']}" if record["label"] else record["place"]


def print_indented(text: str | Text, style: str = "") -> None:
    answer.print(Padding(Text(text, style) if isinstance(text, str) else text, INDENT))


def percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


def round_number(number: int) -> str:
    """To three figures: 2,240,000."""
    return f"{int(float(f'{number:.3g}')):,}"


def place(noted: Noted) -> str:
    return noted.file if noted.line is None else f"{noted.file}:{noted.line}"


def print_heading(text: str) -> None:
    answer.print(Text(f"\n{text}", "bold"))


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
        key = (name if len(files) <= FILES else "", ", ".join(filter(None, about)))
        group = groups.setdefault(key, Counter())
        group.update({size: getattr(file, size) for size in SIZES}, files=1)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("file", "format"):
        table.add_column(title, overflow="fold", min_width=12)
    for title in ("documents", "characters", "MB", "unreadable"):
        table.add_column(title, justify="right", no_wrap=True)
    for (name, kind), sums in groups.items():
        table.add_row(
            name or plural(sums["files"], "file"),
            kind,
            f"{sums['documents']:,}",
            f"{sums['characters']:,}",
            f"{sums['bytes'] / 1e6:,.1f}",
            Text(f"{sums['problems']:,}", "red" if sums["problems"] else "dim"),
        )
    return table


def print_bars(rows: list[tuple[str, int, str]]) -> None:
    """Name, count, a bar, and a remark of each row."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, min_width=18)
    table.add_column(justify="right", no_wrap=True, min_width=11)
    table.add_column(justify="right", style="dim")
    table.add_column(no_wrap=True, style="green")
    most = max((count for _, count, _ in rows), default=1)
    for name, count, remark in rows:
        bar = "━" * round(BAR * count / most) or "╸" * (count > 0)
        table.add_row(name, f"{count:,}", remark, bar)
    answer.print(table)
