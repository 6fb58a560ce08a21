"""`xinye data prepare`"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import JSON, SOME_FILES, Fields, Parser, flag
from xinye.cli.output import Display, answer, console, print_result
from xinye.data.cleaning import left_out
from xinye.errors import checked, plural, quoted
from xinye.planning.settings import PretrainSettings

if TYPE_CHECKING:
    from xinye.jobs.prepare import Prepared

# the settings of pretraining that a corpus depends on
SETTINGS = [
    "field",
    "document_separator",
    "bad_bytes",
    "tokenizer",
    "vocab_size",
    "size",
    "cleaning",
]


def prepare(arguments: list[str]) -> int:
    given = Parser(
        "data prepare",
        "Tokenize texts once, in several processes, into a corpus to train on: shards with "
        "checksums, in a folder that you can copy to other machines or to an object store. Type "
        "the same command again to finish a preparation that was stopped.",
        "xinye data prepare novels/ news.jsonl.gz -o corpora/zh --workers 8\n"
        "  xinye data prepare more/ -o corpora/more --tokenizer runs/novel",
        SOME_FILES,
        flag("-o --output", "CORPUS", "the folder of the corpus", required=True, type=Path),
        flag("--workers", "N", "number of processes (one for each core)", type=int),
        Fields(PretrainSettings, without=[*(PretrainSettings.model_fields.keys() - SETTINGS)]),
        JSON,
    ).read(arguments)
    values = given.settings
    folder = values.pop("output")
    if str(values.get("tokenizer", "")).endswith("tokenizer.json"):
        values["tokenizer"] = str(Path(values["tokenizer"]).parent)
    settings = checked(PretrainSettings, values, "data prepare")

    workers = given.workers if given.workers is not None else len(os.sched_getaffinity(0))

    from xinye.jobs.prepare import prepare_corpus

    with Display() as display:
        prepared = prepare_corpus(settings, folder, workers, display)
    return print_result(prepared, given.json, show)


def show(prepared: "Prepared") -> None:
    """Print what the corpus has, and what was left out."""
    for note in prepared.notes:
        answer.print(f"note: {note}", soft_wrap=True)
    if prepared.dropped:
        answer.print(left_out(prepared.dropped), soft_wrap=True)
    tokens, documents = plural(prepared.tokens, "token"), plural(prepared.documents, "document")
    shards = plural(prepared.shards, "shard")
    answer.print(f"prepared {tokens} of {documents} in {shards}; saved to {prepared.corpus}")
    answer.print(f"\nnext: xinye pretrain {quoted(prepared.corpus)}", soft_wrap=True)


def check_prepared(name: str, as_json: bool) -> int:
    """Read a prepared corpus whole. Raises `XinyeError` if it is damaged."""
    from xinye.tasks.prepared import check_corpus

    with console.status("reading …"):
        about = check_corpus(name).about
    counts = {"tokens": about.tokens, "documents": about.documents, "shards": len(about.shards)}
    return print_result({"corpus": name, **counts}, as_json, show_checked)


def show_checked(found: dict[str, Any]) -> None:
    """Print what a corpus has that was found right."""
    name, shards = found["corpus"], plural(found["shards"], "shard")
    tokens, documents = plural(found["tokens"], "token"), plural(found["documents"], "document")
    answer.print(
        f"{name}: a prepared corpus, {tokens} of {documents} in {shards}; all checksums are right",
        soft_wrap=True,
    )
