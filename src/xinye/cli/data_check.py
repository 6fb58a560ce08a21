"""How `xinye data check` looks in the terminal."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xinye.cli.output import duration

FILES = 12  # more are grouped
BAR = 32


def show(report: dict[str, Any]) -> None:
    """Print the report of `recipes.check_data.check`."""
    out = Console(highlight=False, markup=False, emoji=False)
    files = len(report["files"])
    out.print(
        f"{plural(files, 'file')}, {report['bytes'] / 1e6:,.1f} MB: {plural(report['documents'], 'document')}, "
        f"{plural(report['characters'], 'character')}\n"
    )
    out.print(files_table(report["files"]))
    out.print(heading("characters"))
    largest = max(report["scripts"].values())
    rows = list(report["scripts"].items())[:8]
    out.print(bars([(name, count, count / largest, f"{count / report['characters']:.1%}") for name, count in rows]))
    whole = report["document_characters"]["count"] >= 20
    what, lengths = ("document", "document_characters") if whole else ("line", "line_characters")
    lengths = report[lengths]
    most = max((count for _, _, count in lengths["histogram"]), default=1)
    out.print(heading(f"lengths of the {what}s, in characters"))
    out.print(bars([(f"{low:,}–{high:,}", count, count / most, "") for low, high, count in lengths["histogram"]]))
    out.print(
        f"  half have up to {lengths['median']:,}, 99 % up to {lengths['p99']:,}, the longest {lengths['longest']:,}",
        style="dim",
    )
    out.print(heading("what a model would read"))
    for preview in report["preview"]:
        out.print(f"  {preview['file']}:{preview['line']}", style="dim")
        out.print(Padding(Text(preview["text"].replace("\n", "⏎\n")), (0, 0, 0, 4)))
    out.print(heading("findings" if report["findings"] else "nothing wrong was found"))
    for number, finding in enumerate(report["findings"], 1):
        out.print(
            Text.assemble((f"  {number}. ", "bold"), (finding["finding"], "bold"), (f": {finding['advice']}", ""))
        )
        for place in finding["places"]:
            line = "" if place["line"] is None else f":{place['line']}"
            out.print(Padding(Text(f"{place['file']}{line}  {place.get('problem', '')}", "dim"), (0, 0, 0, 5)))
    if estimate := report["estimate"]:
        out.print(heading("estimate"))
        out.print(
            f"  about {estimate['tokens']:,} tokens ({estimate['tokens_per_character']} for each character, vocabulary "
            f"{estimate['vocab_size']:,}); once through them takes --size {estimate['size']} about "
            f"{duration(estimate['seconds_per_epoch'])} here"
        )
        out.print(f"  assumed: {estimate['assumption']}", style="dim")
    out.print(f"\nnext: {report['command']}", soft_wrap=True)


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def files_table(files: list[dict[str, Any]]) -> Table:
    """A line for each file, or for each kind of file where there are many."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("file", overflow="fold")
    for name in ("format", "encoding", "line ends", "text in"):
        table.add_column(name)
    for name in ("documents", "characters", "MB", "unreadable"):
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[tuple[str, ...], Counter[str]] = {}
    for file in files:
        ends = "+".join(file["line_ends"]) or "–"
        kind = (file["format"], file["encoding"] or "–", ends, file["field"] or "–")
        group = groups.setdefault((file["file"] if len(files) <= FILES else "", *kind), Counter())
        group.update(files=1, **{name: file[name] for name in ("documents", "characters", "bytes", "problems")})
    for (name, *about), sums in groups.items():
        numbers = [f"{sums[key]:,}" for key in ("documents", "characters")]
        table.add_row(
            name or plural(sums["files"], "file"),
            *about,
            *numbers,
            f"{sums['bytes'] / 1e6:,.1f}",
            f"{sums['problems']:,}",
        )
    return table


def bars(rows: list[tuple[str, int, float, str]]) -> Table:
    """Name, count, length of the bar (0 to 1) and a remark of each row."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, min_width=18)
    table.add_column(justify="right", no_wrap=True, min_width=11)
    table.add_column(no_wrap=True, style="green")
    table.add_column(justify="right", style="dim")
    for name, count, share, remark in rows:
        bar = "━" * round(BAR * share) or ("╸" if count else "")
        table.add_row(name, f"{count:,}", bar, remark)
    return table
