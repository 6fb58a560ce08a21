"""`xinye answer`: a question answered from a passage or a knowledge base, with its source."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.answer_graph import from_graph
from xinye.cli.arguments import BAD_BYTES, JSON, Parser, flag, switch
from xinye.cli.consult import compose_answers
from xinye.cli.knowledge import place_of, show_unanswered, source_of
from xinye.cli.output import answer, bad_bytes_told, console, print_json, verbatim
from xinye.cli.use import inputs_of
from xinye.errors import XinyeError, plural, refuse_first

if TYPE_CHECKING:  # numpy and torch are imported where they are used
    from xinye.jobs.answering import Answered, Knowledge


def parser() -> Parser:
    return Parser(
        "answer",
        "Answer a question from a passage or from a knowledge base, with the sentence and its "
        "source, or say why there is no answer. The model was fine-tuned to answer.",
        'xinye answer runs/reader "试用期最长可以多久？" --knowledge kb/laws\n'
        '  xinye answer runs/reader "几点开门？" --passage handbook.md',
        flag("model", "MODEL", "folder of a model fine-tuned with xinye finetune --task answer"),
        flag(
            "question",
            "QUESTION",
            "a question, a file with one question per line, or - to read lines from a pipe",
        ),
        flag("--passage", "FILE", "document to answer from", type=Path),
        flag("--knowledge", "KB", "folder of a knowledge base to answer from", type=Path),
        flag(
            "--graph",
            "FILE",
            "triples to answer from, by a model that classifies the relations of questions; the "
            "questions are turns of one conversation",
            type=Path,
        ),
        flag("-n --count", "N", "passages of the knowledge base to find (5)", type=int),
        flag(
            "--precision",
            "P",
            "share of the answers that must be right; the knowledge base gives none if it is less "
            "sure (that of its calibration)",
            type=float,
        ),
        switch("--compose", "let a chat model write the answer and cite the passages"),
        BAD_BYTES,
        JSON,
    )


def main(arguments: list[str]) -> int:
    given = parser().read(arguments)
    missing = [given.passage, given.knowledge, given.graph].count(None)
    refuse_first(
        (given.count is not None and given.count < 1, "--count: use at least 1"),
        (missing < 2, "use only one of --passage, --knowledge and --graph"),
        (
            missing == 3,
            "say what to answer from: --passage FILE, --knowledge KB or --graph FILE",
        ),
        (bool(given.compose and given.graph), "--compose needs --passage or --knowledge"),
        (given.count is not None and not given.knowledge, "--count needs --knowledge"),
        (
            given.precision is not None and not given.knowledge,
            "--precision needs --knowledge",
        ),
    )
    with bad_bytes_told(given.bad_bytes):
        questions = inputs_of(given.question, "answer")
        if given.graph:
            return from_graph(given.model, given.graph, questions, given.json)
        knowledge = knowledge_of(given.passage, given.knowledge)

    from xinye.api import load
    from xinye.jobs.answering import look_up

    if given.compose:
        looked_up = (look_up(each, knowledge, given.count, given.precision) for each in questions)
        return compose_answers(given.model, questions, looked_up, given.json)
    model = load(given.model)
    answers = [
        model.answer(each, knowledge=knowledge, count=given.count, precision=given.precision)
        for each in questions
    ]
    if given.json:
        print_json({"results": [asdict(each) for each in answers]})
        return 0
    for each in answers:
        if len(answers) > 1:
            answer.print(verbatim(each.question, "bold"), soft_wrap=True)
        show(each)
    return 0


def knowledge_of(passage: Path | None, folder: Path | None) -> "Knowledge":
    """What to answer from: the documents of a file, or a knowledge base."""
    from xinye.retrieval.documents import documents
    from xinye.retrieval.knowledge import KnowledgeBase

    if folder is not None:
        return KnowledgeBase(folder)
    assert passage is not None
    read = [*documents(passage)]
    if not any(document.text.strip() for document in read):
        raise XinyeError(f"{passage}: there is no text to answer from")
    return [document.text for document in read]


def show(answered: "Answered") -> None:
    """Print an answer with its source, or why there is none and what was found instead."""
    if answered.refused:
        show_unanswered(answered.refused, answered.found)
    else:
        show_quotation(answered)
    if answered.left_out:
        left_out = plural(answered.left_out, "token")
        console.print(
            f"the question is too long for the model, which did not read {left_out} at its end",
            soft_wrap=True,
        )


def show_quotation(answered: "Answered") -> None:
    """Print an answer, its sentence and its source."""
    answer.print(verbatim(answered.text, "bold"), soft_wrap=True)
    if answered.sentence != answered.text:
        answer.print(verbatim(f"  {answered.sentence}"), soft_wrap=True)
    told = [f"{answered.confidence:.0%}"]
    if answered.source and answered.source.file:
        told = [source_of(answered.source), place_of(answered.source), *told]
    answer.print(verbatim(f"  {'  '.join(filter(None, told))}", "dim"), soft_wrap=True)
