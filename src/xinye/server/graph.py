"""The knowledge graph of a server, and the models that answer from it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xinye.errors import XinyeError
from xinye.jobs.graph_answers import GraphAnswer, unknown_relations
from xinye.retrieval.graph import Fact, Graph
from xinye.server.knowledge import name_below
from xinye.server.models import ServedModel
from xinye.tasks.classify import Classify

ANSWER = "answer"


@dataclass(frozen=True)
class ServedGraph:
    """A graph, the models that find the relations of its questions by id, and `notes` about
    relations that they do not know."""

    graph: Graph
    path: Path
    folder: str  # the path if it is a folder; "" if it is a file
    models: Mapping[str, ServedModel]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: str, models: Mapping[str, ServedModel]) -> "ServedGraph":
        """The graph of a file or folder. Raises `XinyeError` if it cannot be read, and if no model
        knows a relation of it."""
        graph = Graph.read([path])
        _ = graph.names  # computed now instead of in the first request
        found, notes, reasons = dict[str, ServedModel](), list[str](), list[str]()
        for identity, model in models.items():
            if not isinstance(model.model.task, Classify):
                continue
            try:
                notes += unknown_relations(model.model.judged(), graph)
            except XinyeError as error:  # a classifier of something else
                reasons.append(str(error))
                continue
            first, *others = model.tasks
            found[identity] = replace(model, tasks=[first, ANSWER, *others])
        if not found:
            raise XinyeError(
                reasons[0]
                if reasons
                else f"--graph {path}: no model of this server classifies the relations of "
                "questions; serve one that was fine-tuned with --task classify, with names of "
                "relations as labels"
            )
        folder = path if os.path.isdir(path) else ""
        return cls(graph, Path(path), folder, found, tuple(notes))

    def without_folders(self, answered: GraphAnswer) -> GraphAnswer:
        """The answer with the paths of files below the graph's folder."""
        requests = (
            replace(each, facts=tuple(self._named(fact) for fact in each.facts))
            for each in answered.requests
        )
        return replace(answered, requests=tuple(requests))

    def _named(self, fact: Fact) -> Fact:
        return replace(fact, file=name_below(self.folder, fact.file))
