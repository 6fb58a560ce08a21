"""`xinye data collect`"""

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from xinye.cli.arguments import BAD_BYTES, JSON, Parser, flag, switch
from xinye.cli.output import bad_bytes_told, console, print_json
from xinye.collect.collect import Collected, check_output
from xinye.collect.collect import collect as collect_documents
from xinye.errors import XinyeError, plural
from xinye.language import shown

SKIPPED = 10  # skipped files that are named
COUNTERS = ("by_format", "ignored")  # fields to sort by frequency


def collect(arguments: list[str]) -> int:
    given = Parser(
        "data collect",
        "Collect documents from MediaWiki dumps, HTML, EPUB, PDF, Markdown, mbox, RSS, "
        "Atom and text into a JSON Lines file to train on: main text only, cleaned, "
        "without duplicates. Nothing is downloaded except data sets of the hub.",
        "xinye data collect zhwiki.xml.bz2 books/ pages/ -o corpus.jsonl\n"
        "  xinye data collect hub:wikimedia/wikipedia:20231101.zh --limit 10000 -o wikipedia.jsonl",
        flag("sources", "SOURCE", "files, folders, hub:OWNER/NAME[:CONFIG]", nargs="+"),
        flag("-o --output", "FILE", "the file to write, FILE.jsonl", required=True),
        flag("--limit", "N", "stop after N documents", type=int),
        flag("--split", "NAME", "split of hub data sets (train)"),
        flag("--field", "NAME", "the column of hub data sets that holds the text"),
        BAD_BYTES,
        switch("--overwrite", "replace FILE"),
        JSON,
    ).read(arguments)
    if given.limit is not None and given.limit < 1:
        raise XinyeError("--limit: give at least 1")

    check_output(given.output, given.overwrite)
    with console.status("reading …") as status:

        def show(source: str, share: float, documents: int) -> None:
            part = f"{share:4.0%}  " if share else ""
            line = f"{part}{plural(documents, 'document')}  {source}"
            status.update(Text(shown(line), style="dim", overflow="ellipsis"))

        with bad_bytes_told(given.bad_bytes):
            result = collect_documents(
                given.sources, given.output, given.split, given.field, given.limit, show
            )

    for line in lines_of(result):
        console.print(line, soft_wrap=True)
    if given.json:
        by_count = {name: dict(getattr(result, name).most_common()) for name in COUNTERS}
        skipped = [vars(skip) for skip in result.skipped]
        print_json(vars(result) | by_count | {"skipped": skipped})
    return 0


def lines_of(result: Collected) -> Iterator[str]:
    """The results in words."""

    def counts(numbers: Counter[str]) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in numbers.most_common())

    documents = plural(result.documents, "document")
    characters = plural(result.characters, "character")
    formats = counts(result.by_format)
    yield f"collected {documents} ({formats}), {characters}; saved to {result.output}"
    for what, numbers in (("left out", result.dropped), ("other files ignored", result.ignored)):
        if numbers:
            yield f"{what}: {counts(numbers)}"
    for skip in result.skipped[:SKIPPED]:
        yield f"skipped the file {skip.file}: {skip.reason}"
    if len(result.skipped) > SKIPPED:
        yield f"skipped {plural(len(result.skipped) - SKIPPED, 'more file')}; --json lists them"
