"""`xinye data check`, `xinye data show` and `xinye data collect`"""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from xinye.cli import data_check
from xinye.cli.arguments import (
    FIELD,
    JSON,
    SOME_FILES,
    Given,
    Parser,
    flag,
    switch,
    task_flag,
)
from xinye.cli.output import answer, console, print_result
from xinye.collect.collect import Collected, check_output
from xinye.collect.collect import collect as collect_documents
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import COLUMNS, FinetuneSettings
from xinye.runs.folder import Figures
from xinye.tasks.registry import find_task

SHOWN = 10  # skipped files
COLUMN_FLAGS = [
    flag(f"--{name.replace('_', '-')}", "TEXT", FinetuneSettings.model_fields[name].description)
    for name in COLUMNS
]


def check(arguments: list[str]) -> int:
    given = Parser(
        "data check",
        "What is in text files and what is wrong with them, by file and line; with --task, in "
        "files of its records.\n"
        "Changes nothing; the exit code is 0 also where problems were found, and 2 where nothing "
        "can be read.",
        "xinye data check novels/ reviews.csv --field review\n"
        "  xinye data check reviews.csv --task classify --validation test.csv\n"
        "  xinye data check 对话.jsonl --task chat",
        SOME_FILES,
        FIELD,
        flag(
            "--document-separator", "TEXT", r"what stands between documents of a text file: '\n\n'"
        ),
        task_flag("what they are records of"),
        flag(
            "--validation",
            "FILE",
            "records to judge on: are they learned from?",
            [],
            action="append",
        ),
        *COLUMN_FLAGS,
        JSON,
    ).read(arguments)
    if given.task is not None and not find_task(given.task).continues_text:
        return check_task(given)
    if odd := next((name for name in ("validation", *COLUMNS) if getattr(given, name)), None):
        raise XinyeError(
            f"--{odd.replace('_', '-')} has no effect on text; leave it out, or name a --task"
        )

    from xinye.check import check_data

    with console.status("reading …") as status:
        report = check_data.check(
            given.files,
            given.field,
            given.document_separator,
            lambda characters: status.update(f"{characters / 1e6:,.0f} million characters …"),
        )
    return print_result(report, given.json, data_check.show)


def check_task(given: Given) -> int:
    settings = settings_of(given, given.validation)
    if given.field or given.document_separator:
        raise XinyeError(
            "--field and --document-separator are for text; columns of records: --text-field, "
            "--label-field"
        )

    from xinye.check.check_records import check_records

    with console.status("reading …"):
        report = check_records(settings)
    return print_result(report, given.json, data_check.show_records)


def show(arguments: list[str]) -> int:
    given = Parser(
        "data show",
        "The first records as a model will see them: trained tokens of chat are green, labels "
        "stand behind tokens.",
        "xinye data show chats.jsonl --task chat --model runs/base",
        flag("files", "FILE", "files of records", nargs="+"),
        task_flag("what they are records of", required=True),
        flag("--model", "MODEL", "whose tokens (else characters)"),
        flag("--count", "N", "records to show (3)", 3, type=int),
        *COLUMN_FLAGS,
        JSON,
    ).read(arguments)
    settings = settings_of(given)

    from xinye.check.check_records import show_records

    report = show_records(settings, given.files, given.model, given.count)
    return print_result(report, given.json, show_tokens)


def show_tokens(report: Figures) -> None:
    """Records with a sign between their tokens."""
    task = find_task(report["task"])
    for file in report["files"]:
        size = f"{file['records']:,} records, {file['format']}"
        answer.print(f"{file['file']}: {size}", soft_wrap=True)
    for record in report["shown"]:
        label = f" → {record['label']}" if record["label"] else ""
        answer.print(f"\n{record['place']}{label}", style="dim")
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
            answer.print(f"({record['cut']:,} tokens were left out)", style="dim")
    trained = ""
    if task.writes:
        trained = "trained: green; " if answer.is_terminal else "trained: with a * behind; "
    answer.print(f"\n{trained}| stands between tokens")


def settings_of(given: Given, validation: Sequence[str] = ()) -> FinetuneSettings:
    from xinye.tasks.task import task_settings

    columns = {name: getattr(given, name) for name in COLUMNS if getattr(given, name)}
    values = {"task": given.task, "data": given.files, "validation": validation}
    return task_settings(values | columns, "data")


def collect(arguments: list[str]) -> int:
    given = Parser(
        "data collect",
        "Collect documents from MediaWiki dumps, HTML, EPUB, PDF, Markdown, mbox, RSS and Atom, "
        "and text, into JSON\n"
        "lines to train on: main text only, clean, each document once. Nothing is fetched but a "
        "hub data set.",
        "xinye data collect zhwiki.xml.bz2 books/ pages/ -o corpus.jsonl\n"
        "  xinye data collect hub:wikimedia/wikipedia:20231101.zh --limit 10000 -o wikipedia.jsonl",
        flag("sources", "SOURCE", "files, folders, hub:OWNER/NAME[:CONFIG]", nargs="+"),
        flag("-o --output", "FILE", "the file to write, FILE.jsonl", required=True),
        flag("--limit", "N", "stop after N documents", type=int),
        flag("--split", "NAME", "of hub data sets (train)"),
        flag("--field", "NAME", "the column of hub data sets that holds the text"),
        switch("--overwrite", "replace FILE"),
        JSON,
    ).read(arguments)
    if given.limit is not None and given.limit < 1:
        raise XinyeError("--limit: collect at least 1 document")

    check_output(given.output, given.overwrite)
    with console.status("reading …") as status:

        def show(source: str, share: float, documents: int) -> None:
            part = f"{share:4.0%}  " if share else ""
            line = f"{part}{documents:,} documents  {source}"
            status.update(Text(line, style="dim", overflow="ellipsis"))

        result = collect_documents(
            given.sources, given.output, given.split, given.field, given.limit, show
        )

    for line in lines_of(result):
        console.print(line, soft_wrap=True)
    return print_result(result, given.json)


def lines_of(result: Collected) -> Iterator[str]:
    """What was collected, in words."""

    def counts(numbers: Counter[str]) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in numbers.most_common())

    documents = f"{result.documents:,} document{'s' * (result.documents != 1)}"
    about = f"{documents} ({counts(result.by_format)}), {result.characters:,} characters"
    yield f"{about}, in {result.output}"
    for what, numbers in (("left out", result.dropped), ("files of other kinds", result.ignored)):
        if numbers:
            yield f"{what}: {counts(numbers)}"
    for skip in result.skipped[:SHOWN]:
        yield f"skipped {skip['file']}: {skip['reason']}"
    if len(result.skipped) > SHOWN:
        yield f"skipped {len(result.skipped) - SHOWN:,} more files; --json lists them"
