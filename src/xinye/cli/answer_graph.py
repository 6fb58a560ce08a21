"""`xinye answer --graph`: questions answered from a knowledge graph."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.output import answer, console, print_json, verbatim
from xinye.cli.refusal import show_refused
from xinye.errors import LINE_ENDS

if TYPE_CHECKING:  # torch is imported where it is used
    from xinye.jobs.graph_answers import GraphAnswer

SOURCES = 5  # places of triples that are printed


def from_graph(folder: str, graph_file: Path, questions: Sequence[str], as_json: bool) -> int:
    """Answer questions, which are turns of one conversation, and print the answers."""
    from xinye.api import load
    from xinye.jobs.graph_answers import answer_in_turn, unknown_relations
    from xinye.retrieval.graph import Graph

    graph = Graph.read([graph_file])
    judged = load(folder).judged()
    notes = unknown_relations(judged, graph)
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True)
    answers = [*answer_in_turn(judged, graph, questions)]
    if as_json:
        print_json({"results": [asdict(each) for each in answers], "notes": notes})
        return 0
    for found in answers:
        if len(answers) > 1:
            answer.print(verbatim(found.question, "bold"), soft_wrap=True)
        show(found)
    return 0


def show(found: "GraphAnswer") -> None:
    """Print an answer with the places of its triples, or why there is none."""
    if found.refused:
        show_refused(found.refused)
        return
    answer.print(verbatim(found.text), soft_wrap=True)
    facts = [fact for request in found.requests for fact in request.facts]
    places = list(
        dict.fromkeys(
            f"{os.path.relpath(fact.file).translate(LINE_ENDS)}:{fact.line}" for fact in facts
        )
    )
    more = " …" if len(places) > SOURCES else ""
    if places:
        answer.print(verbatim(f"  {'  '.join(places[:SOURCES])}{more}", "dim"), soft_wrap=True)
