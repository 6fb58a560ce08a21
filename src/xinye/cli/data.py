"""`xinye data check`, `xinye data show` and `xinye data collect`"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser, run_group
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import COLUMNS, FinetuneSettings
from xinye.tasks.registry import TASKS

if TYPE_CHECKING:
    from xinye.collect.collect import Collected

SHOWN = 10  # skipped files
COUNTED = ("by_format", "ignored")  # of what was collected, the most frequent first


def main(arguments: list[str]) -> int:
    verbs = {
        "check": (check, "what is in text files, and what is wrong with them"),
        "show": (show, "records as a model will see them: each token, and what of it is trained"),
        "collect": (collect, "documents from dumps, web pages, books, mail and feeds"),
    }
    return run_group("data", verbs, arguments)


def check(arguments: list[str]) -> int:
    parser = Parser(
        "data check",
        "What is in text files and what is wrong with them, by file and line; with --task, in "
        "files of its records.\n"
        "Changes nothing; the exit code is 0 also where problems were found, and 2 where nothing "
        "can be read.",
        "xinye data check novels/ reviews.csv --field review\n"
        "  xinye data check reviews.csv --task classify --validation test.csv\n"
        "  xinye data check 对话.jsonl --task chat",
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument(
        "--field", default=None, metavar="NAME", help="the column or key that holds the text"
    )
    parser.add_argument(
        "--document-separator",
        default=None,
        metavar="TEXT",
        help=r"what stands between documents of a text file: '\n\n'",
    )
    parser.add_argument(
        "--task", default=None, metavar="|".join(TASKS), help="what they are records of"
    )
    parser.add_argument(
        "--validation",
        action="append",
        default=[],
        metavar="FILE",
        help="records to judge on: are they learned from?",
    )
    add_columns(parser)
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    if values["task"] not in (None, "text"):
        return check_task(values)
    if odd := next((name for name in ("validation", *COLUMNS) if values[name]), None):
        raise XinyeError(
            f"--{odd.replace('_', '-')} has no effect on text; leave it out, or name a --task"
        )

    from xinye.check import check_data
    from xinye.cli.data_check import show
    from xinye.cli.output import console, print_json

    with console.status("reading …") as status:
        report = check_data.check(
            values["files"], values["field"], values["document_separator"],
            lambda characters: status.update(f"{characters / 1e6:,.0f} million characters …"),
        )  # fmt: skip
    if values["json"]:
        print_json(report.as_dict())
    else:
        show(report)
    return 0


def show(arguments: list[str]) -> int:
    parser = Parser(
        "data show",
        "The first records as a model will see them: trained tokens of chat are green, labels "
        "stand behind tokens.",
        "xinye data show chats.jsonl --task chat --model runs/base",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of records")
    parser.add_argument(
        "--task", required=True, metavar="|".join(TASKS), help="what they are records of"
    )
    parser.add_argument(
        "--model", default=None, metavar="MODEL", help="whose tokens (else characters)"
    )
    parser.add_argument("--count", type=int, default=3, metavar="N", help="records to show (3)")
    add_columns(parser)
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    settings = settings_of(values)

    from xinye.check.check_records import show_records
    from xinye.cli.data_check import show_tokens
    from xinye.cli.output import print_json

    report = show_records(settings, values["files"], values["model"], values["count"])
    if values["json"]:
        print_json(report)
    else:
        show_tokens(report)
    return 0


def check_task(values: dict[str, Any]) -> int:
    settings = settings_of(values)
    if values["field"] or values["document_separator"]:
        raise XinyeError(
            "--field and --document-separator are for text; columns of records: --text-field, "
            "--label-field"
        )

    from xinye.check.check_records import check_records
    from xinye.cli.data_check import show_records
    from xinye.cli.output import console, print_json

    with console.status("reading …"):
        report = check_records(settings)
    if values["json"]:
        print_json(report)
    else:
        show_records(report)
    return 0


def add_columns(parser: Parser) -> None:
    fields = FinetuneSettings.model_fields
    for name in COLUMNS:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, default=None, metavar="TEXT", help=fields[name].description)


def settings_of(values: dict[str, Any]) -> FinetuneSettings:
    from xinye.tasks.task import task_settings

    given = {name: values[name] for name in ("task", "validation", *COLUMNS) if values.get(name)}
    return task_settings(given | {"data": values["files"]}, "data")


def collect(arguments: list[str]) -> int:
    parser = Parser(
        "data collect",
        "Collect documents from MediaWiki dumps, HTML, EPUB, PDF, Markdown, mbox, RSS and Atom, "
        "and text, into JSON\n"
        "lines to train on: main text only, clean, each document once. Nothing is fetched but a "
        "hub data set.",
        "xinye data collect zhwiki.xml.bz2 books/ pages/ -o corpus.jsonl\n"
        "  xinye data collect hub:wikimedia/wikipedia:20231101.zh --limit 10000 -o wikipedia.jsonl",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="files, folders, hub:OWNER/NAME[:CONFIG]"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="the file to write, FILE.jsonl"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N documents")
    parser.add_argument("--split", metavar="NAME", help="of hub data sets (train)")
    parser.add_argument(
        "--field", metavar="NAME", help="the column of hub data sets that holds the text"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    as_json = values.pop("json")
    if values.get("limit", 1) < 1:
        raise XinyeError("--limit: collect at least 1 document")

    from rich.text import Text

    from xinye.cli.output import console, print_json
    from xinye.collect.collect import check_output
    from xinye.collect.collect import collect as collect_documents

    check_output(values["output"], values.pop("overwrite", False))
    with console.status("reading …") as status:

        def show(source: str, share: float, documents: int) -> None:
            part = f"{share:4.0%}  " if share else ""
            line = f"{part}{documents:,} documents  {source}"
            status.update(Text(line, style="dim", overflow="ellipsis"))

        result = collect_documents(**values, on_progress=show)

    for line in lines_of(result):
        console.print(line, soft_wrap=True)
    if as_json:
        by_count = {name: dict(getattr(result, name).most_common()) for name in COUNTED}
        skipped = [vars(skip) for skip in result.skipped]
        print_json(vars(result) | by_count | {"skipped": skipped})
    return 0


def lines_of(result: "Collected") -> Iterator[str]:
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
        yield f"skipped {skip.file}: {skip.reason}"
    if len(result.skipped) > SHOWN:
        yield f"skipped {len(result.skipped) - SHOWN:,} more files; --json lists them"
