"""`xinye data check` and `xinye data show`, and how they print their reports."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from xinye.check.inspection import excerpt
from xinye.check.reading import FileSeen, Noted
from xinye.cli.arguments import (
    BAD_BYTES,
    FIELD,
    JSON,
    SOME_FILES,
    Fields,
    Given,
    Parser,
    flag,
    task_flag,
)
from xinye.cli.output import (
    answer,
    console,
    duration,
    print_result,
    print_table,
    verbatim,
)
from xinye.cli.prepare import check_prepared
from xinye.errors import XinyeError, plural
from xinye.language import listed, shown, shown_word, with_colon
from xinye.planning.column_settings import COLUMNS, RecordSettings
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.folder import Figures
from xinye.tasks.registry import find_task, find_text_task

if TYPE_CHECKING:  # it brings torch
    from xinye.check.check_data import Report

FILES = 12  # more files are grouped by kind
BAR = 32
COUNTED = 12  # the most labels that are named
SEEN, STRETCHES = 120, 40  # the most characters of a piece, and pieces of a record
BAD = 5  # the most bad records that are shown
FINDINGS = "findings, the most important first"
NOTHING = "no problems found"


def check(arguments: list[str]) -> int:
    given = Parser(
        "data check",
        "Check text files and report their contents and problems, by file and "
        "line; with --task, check a task's files of records. It changes nothing. "
        "The exit code is 0 even if there are problems, and 2 if nothing can be "
        "read.",
        "xinye data check novels/ reviews.csv --field review\n"
        "  xinye data check reviews.csv --task classify --validation test.csv\n"
        "  xinye data check 对话.jsonl --task chat",
        SOME_FILES,
        FIELD,
        flag(
            "--document-separator",
            "SEPARATOR",
            r"separator of the documents in a text file: '\n\n'",
        ),
        task_flag("the task of the records"),
        flag(
            "--validation",
            "FILE",
            "evaluation records: check whether the training files contain them",
            [],
            action="append",
        ),
        Fields(RecordSettings),
        BAD_BYTES,
        JSON,
    ).read(arguments)
    if given.task is not None and not find_task(given.task).continues_text:
        return check_task(given)
    named = [*(["validation"] if given.validation else []), *given.settings]
    if odd := next(iter(named), None):
        raise XinyeError(
            f"--{odd.replace('_', '-')} has no effect on text; leave it out, or give a --task"
        )

    from xinye.check import check_data
    from xinye.tasks.prepared import is_prepared

    if is_prepared(given.files):
        return check_prepared(given.files[0], given.json)
    with console.status("reading …") as status:
        report = check_data.check(
            given.files,
            given.field,
            given.document_separator,
            lambda characters: status.update(f"{characters / 1e6:,.0f} million characters …"),
            given.bad_bytes,
        )
    return print_result(report, given.json, show_report)


def check_task(given: Given) -> int:
    settings = settings_of(given, given.validation)
    if given.field or given.document_separator:
        columns = ", ".join(f"--{name.replace('_', '-')}" for name in COLUMNS)
        raise XinyeError(
            f"--field and --document-separator are for text; for records, give {columns}"
        )

    if find_task(settings.task).learns_from_events:
        from xinye.check.check_events import check_events

        with console.status("reading …"):
            report = check_events(settings)
        return print_result(report, given.json, show_events)

    from xinye.check.check_records import check_records

    with console.status("reading …"):
        report = check_records(settings)
    return print_result(report, given.json, show_records)


def show(arguments: list[str]) -> int:
    given = Parser(
        "data show",
        "Show the first records as the model reads them: trained tokens are "
        "green, and labels follow their tokens.",
        "xinye data show chats.jsonl --task chat --model runs/base",
        flag("files", "FILES", "files of records", nargs="+"),
        task_flag("the task of the records", required=True),
        flag(
            "--model",
            "MODEL",
            ("model whose tokenizer splits the text (default: one token per character)"),
        ),
        flag("--count", "N", "number of records to show (3)", 3, type=int),
        Fields(RecordSettings),
        BAD_BYTES,
        JSON,
    ).read(arguments)
    settings = settings_of(given)

    from xinye.check import check_records

    report = check_records.show_records(settings, given.files, given.model, given.count)
    return print_result(report, given.json, show_tokens)


def show_tokens(report: Figures) -> None:
    """Print records with a mark between their tokens."""
    task = find_text_task(report["task"])
    for file in report["files"]:
        size = f"{plural(file['records'], 'record')}, {file['format']}"
        answer.print(f"{file['file']}: {size}", soft_wrap=True)
    for record in report["shown"]:
        label = f" → {record['label']}" if record["label"] else ""
        answer.print(f"\n{shown(record['place'])}{label}", style="dim")
        line = Text()
        for text, mark in record["tokens"]:
            style = "dim" if mark in (None, task.outside) else ""
            behind = "|"
            if mark is True:
                style = "bold green"
                behind = "|" if answer.is_terminal else "*|"
            elif isinstance(mark, str) and mark != task.outside:
                behind = f"/{mark} "
            line.append(text, style=style).append(behind, style="bright_black")
        answer.print(line)
        if record["cut"]:
            answer.print(f"({plural(record['cut'], 'token')} left out)", style="dim")
    trained = ""
    if task.writes and answer.is_terminal:
        trained = "trained tokens are green; "
    elif task.writes:
        trained = "trained tokens end with *; "
    answer.print(f"\n{shown(trained)}{shown('| separates tokens')}")
    for note in report["notes"]:
        answer.print(f"note: {note}", soft_wrap=True)


def settings_of(given: Given, validation: Sequence[str] = ()) -> FinetuneSettings:
    from xinye.tasks.settings import task_settings

    values = {
        "task": given.task,
        "data": given.files,
        "validation": validation,
        "bad_bytes": given.bad_bytes,
    }
    return task_settings(values | given.settings, "data")


# -- the report of a check -------------------------------------------------------------------------


def section(title: str, *lines: str | Text) -> None:
    """Print a heading, and lines under it."""
    answer.print(f"\n{shown_word(title)}", style="bold")
    if lines:
        print_table(("", ""), [("", line) for line in lines], left=(0, 1))


def show_report(report: "Report") -> None:
    """Print what a check of text found."""
    answer.print(
        f"checked {plural(len(report.files), 'file')}, {report.bytes / 1e6:,.1f} MB: "
        f"{plural(report.documents, 'document')}, {plural(report.characters, 'character')}\n"
    )
    show_files(report.files)
    section("characters")
    shares = {name: count / report.characters for name, count in report.scripts.items()}
    show_bars(
        [
            (name, report.scripts[name], f"{share:.1%}" if share >= 0.001 else "<0.1%")
            for name, share in list(shares.items())[:8]
        ]
    )
    title, lengths = "length of documents in characters", report.document_characters
    if lengths.count < 20:
        title, lengths = "length of lines in characters", report.line_characters
    section(title)
    steps = [(f"{low:,}–{high:,}", low, count) for low, high, count in lengths.histogram]
    show_bars([(name if low > 1 else "1", count, "") for name, low, count in steps])
    answer.print(
        f"  median {lengths.median:,}, 99th percentile {lengths.p99:,}, longest "
        f"{lengths.longest:,}",
        style="dim",
    )
    section(
        "as a model reads it (⏎ marks a line end)",
        *(
            Text(f"{place(noted)}  ", "dim").append(
                (noted.text or "").replace("\n", "⏎"), "not dim"
            )
            for noted in report.preview
        ),
    )
    section(FINDINGS if report.findings else NOTHING)
    for number, found in enumerate(report.findings, 1):
        finding = shown(found.finding)
        said = Text(with_colon(finding, shown(found.advice)), "not bold")
        said.stylize("bold", 0, len(finding))
        places = (
            Text(f"{place(noted)}  {shown(noted.problem or '')}", "dim") for noted in found.places
        )
        rows = [(f"  {number}.", said), *(("", place) for place in places)]
        print_table(("", ""), rows, left=(0, 1), gap=1)
    if estimate := report.estimate:
        tokens = int(float(f"{estimate.tokens:.3g}"))  # three significant digits
        section(
            "estimate",
            f"about {tokens:,} tokens ({estimate.tokens_per_character} per "
            f"character, vocabulary {estimate.vocab_size:,}); one epoch with "
            f"--size {estimate.size} takes about "
            f"{duration(estimate.seconds_per_epoch)} here",
            Text(with_colon(shown("the estimate assumes"), shown(estimate.assumption)), "dim"),
        )
    answer.print(f"\nnext: {report.command}", soft_wrap=True)


def show_records(report: Figures) -> None:
    """Print the report of `check.check_records.check_records`."""
    parts = {file["part"] for file in report["files"]}
    for file in report["files"]:
        part = [shown_word(file["part"])] if len(parts) > 1 else []
        said = listed((plural(file["records"], "record"), *part, file["format"]))
        answer.print(verbatim(with_colon(file["file"], said)), soft_wrap=True)
    task = find_text_task(report["task"])
    named = shown_word if task.own_labels else str
    counts = [f"{named(name)} {count:,}" for name, count in report["counts"].items()]
    if counts:
        more = " …" if len(counts) > COUNTED else ""
        some = listed(counts[:COUNTED]) + more
        answer.print(f"{plural(len(counts), *task.counted)}: {some}", soft_wrap=True)
    title = "as the model reads them"
    if task.writes:
        title = "as the model reads them (it trains on the text in ⟦ ⟧)"
    section(title, *(seen(record, named) for record in report["shown"]))
    notes = [file["without_header"] for file in report["files"] if file["without_header"]]
    show_findings(report, notes + report["findings"])


def show_events(report: Figures) -> None:
    """Print the report of `check.check_events.check_events`."""
    for file in report["files"]:
        columns = listed(file["columns"])
        answer.print(verbatim(with_colon(file["file"], columns)), soft_wrap=True)
    for name, count in report["counts"].items():
        answer.print(verbatim(f"  {with_colon(shown_word(name), f'{count:,}')}"), soft_wrap=True)
    histories = [
        with_colon(each["user"], "; ".join(each["items"]) + (" …" if each["more"] else ""))
        for each in report["shown"]
    ]
    section("the first histories, oldest item first", *map(verbatim, histories))
    show_findings(report, report["findings"])


def show_findings(report: Figures, notes: Sequence[str]) -> None:
    """Print the findings of a report, the bad records, and what to do next."""
    if total := report["bad_total"]:
        more = f"\n  … {total - BAD:,} more" if total > BAD else ""
        places = "\n".join(f"  {place}" for place in report["bad"][:BAD]) + more
        refused = (
            "finetune would refuse this file, because it cannot use these records "
            f"({plural(total, 'place')}):"
        )
        section(FINDINGS, refused, places, *notes)
        answer.print(
            "\nnext: correct or delete these lines, then check again; or "
            "skip them with --bad-records skip"
        )
    else:
        section(FINDINGS if notes else NOTHING, *notes)
        answer.print(f"\nnext: {report['command']}", soft_wrap=True)


def seen(record: Figures, named: Callable[[str], str]) -> Text:
    """A record as a model reads it, with trained text in brackets, and spans with their types, as
    they are `named` on the screen."""
    label = f" → {record['label']}" if record["label"] else ""
    line = Text(f"{shown(record['place'])}{label}\n", "dim")
    for text, mark in record["seen"][:STRETCHES]:
        words = excerpt(text, SEEN)
        if mark is True:
            line.append(f"⟦{words}⟧", "not dim bold green")
        elif mark:
            line.append(f"[{words} {named(mark)}]", "not dim bold green")
        else:
            line.append(words, "not dim")
    if len(record["seen"]) > STRETCHES:
        line.append(" …", "dim")
    return line


def place(noted: Noted) -> str:
    return noted.file if noted.line is None else f"{noted.file}:{noted.line}"


def show_files(files: list[FileSeen]) -> None:
    """Print one line for each file, or for each kind of file if there are many."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    together = ""
    if len(files) > 1:
        together = os.path.commonpath([os.path.dirname(file.file) for file in files])
    for file in files:
        name = os.path.relpath(file.file, together) if together else file.file
        column = shown(f"text column {excerpt(file.field, 20)!r}") if file.field else ""
        about = (file.format, file.encoding, "+".join(file.line_ends), column)
        kind = ", ".join(filter(None, about))
        group = groups.setdefault((name if len(files) <= FILES else "", kind), Counter())
        sizes = {"characters": file.characters, "bytes": file.bytes, "problems": file.problems}
        group.update(files=1, documents=file.documents, **sizes)
    rows = [
        (
            name or plural(sums["files"], "file"),
            kind,
            f"{sums['documents']:,}",
            f"{sums['characters']:,}",
            f"{sums['bytes'] / 1e6:,.1f}",
            Text(f"{sums['problems']:,}", "red" if sums["problems"] else "dim"),
        )
        for (name, kind), sums in groups.items()
    ]
    columns = ("file", "format", "documents", "characters", "MB", "unreadable")
    print_table(columns, rows, left=(0, 1))


def show_bars(rows: list[tuple[str, int, str]]) -> None:
    """Print name, count, remark and a bar for each row."""
    most = max((count for _, count, _ in rows), default=1)
    cells = [
        (
            shown_word(name),
            f"{count:>11,}",
            Text(remark, "dim"),
            Text("━" * round(BAR * count / most) or "╸" * (count > 0), "green"),
        )
        for name, count, remark in rows
    ]
    print_table(("", "", "", ""), cells, left=(3,))
