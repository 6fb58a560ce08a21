"""What a question asks of a knowledge graph: which entity's values of which relation. Knows the
conversation so far, so that "and its phone number?" is about the last hotel.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xinye.retrieval.entities import Mention, folded, replaced
from xinye.retrieval.graph import Fact, Graph
from xinye.retrieval.unknown_names import unknown_name

PART_OF_NAME = 3  # characters of a name that stand for an entity that was named before
_CLAUSES = re.compile("[，。？！；,?!;]")
# A clause that asks whether something is so, and one that asks for values.
_WHETHER = re.compile(
    r"吗|么|嘛|没|不|是否|有无|^\s*(is|are|was|does|do|did|has|have|can|could|will)\b"
)
_OPEN = re.compile(r"什么|哪|啥|几|多少|\b(what|which|where|when|who|how)\b")


@dataclass(frozen=True)
class Request:
    """An entity and a relation that a question asks for, with the facts that answer. `value` is
    what a question asks about ("Does it have a pool?"), or ""; then the facts are those with this
    value.
    """

    entity: str
    relation: str
    value: str
    facts: tuple[Fact, ...]


class Conversation:
    """The entities that a conversation has named, and what its questions ask for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.entities: list[str] = []  # the one that it is about last
        # the names that the last question is equally like, so that none is meant
        self.unsure: list[str] = []
        # the name that it is about, if the graph has no entity of that name
        self.unknown = ""
        self._answers: set[str] = set()  # the values for the last question

    def ask(self, question: str, relations: Sequence[str]) -> list[Request]:
        """Read a question that asks for these relations; returns its requests: of several entities
        if it names several, none if it names an unknown one, or none and nothing before does."""
        self.unsure = []
        mentions = self.graph.names.mentions(question)
        named = list(dict.fromkeys(mention.name for mention in mentions))
        if not named:
            new = unknown_name(question, self.graph, self.entities)
            self.unknown = new or self.unknown
        found = self._requests(question, mentions, relations)
        for entity in named:
            self._now_about(entity)
        entities = {request.entity for request in found}
        if len(entities) == 1:
            self._now_about(*entities)
        self._answers = {fact.tail for request in found for fact in request.facts}
        return found

    def reply(self, answer: str) -> None:
        """Read the reply to the last question. If it lists entities as values of a relation, the
        conversation is still about the one whose values they are."""
        for value in self._answers:
            if value not in self.graph:  # an address may contain a name
                answer = answer.replace(value, " ")
        for entity in reversed(self.graph.names.within(answer)):
            if entity not in self._answers:
                self._now_about(entity)
            elif entity not in self.entities:
                self.entities.insert(0, entity)

    def _now_about(self, entity: str) -> None:
        if entity in self.entities:
            self.entities.remove(entity)
        self.entities.append(entity)
        self.unknown = ""

    def _requests(
        self, question: str, mentions: Sequence[Mention], relations: Sequence[str]
    ) -> list[Request]:
        named = list(dict.fromkeys(mention.name for mention in mentions))
        without_names = folded(replaced(question, mentions, " "))
        found = []
        for relation in relations:
            fitting = {entity: None for entity in named if self.graph.may_have(entity, relation)}
            those = (mention for mention in mentions if mention.name in fitting)
            rest = folded(replaced(question, those, " "))
            values = self.graph.values_named(_whether(rest), relation)
            # The name of an entity may also be a value: "Does it have a Bar?"
            other = [entity for entity in named if entity not in values]
            entities = fitting or other or self._meant(without_names, relation, relations)
            for entity in entities:
                facts = self.graph.facts(entity, relation)
                for value in values or [""]:
                    answering = tuple(fact for fact in facts if value in ("", fact.tail))
                    found.append(Request(entity, relation, value, answering))
        if found or self.unsure or self.unknown:
            return found
        # Nothing fits: the last entity does not have what is asked for.
        return [
            Request(entity, each, "", ()) for entity in self.entities[-1:] for each in relations
        ]

    def _meant(self, rest: str, relation: str, relations: Sequence[str]) -> list[str]:
        """The entity that a question means without its name: of those in the conversation that may
        have the relation one that is named by a part, or by its kind ("this hotel"), or that may
        have all relations, or else the last one. If there is none, the one whose name is like a
        part of the question. `rest` is the question without names.
        """
        # The name of an unknown hotel has the kind in it, and so has the relation "nearby hotels".
        others = rest.replace(folded(self.unknown), " ") if self.unknown else rest
        kinds = {
            kind
            for kind in self.graph.all_kinds
            if others.count(folded(kind)) > any(kind in asked for asked in relations)
        }

        parts = _parts(others)

        def fit(entity: str) -> tuple[bool, ...]:
            return (
                not parts.isdisjoint(_parts(folded(entity))),
                bool(kinds & self.graph.kinds(entity)),
                all(self.graph.may_have(entity, asked) for asked in relations),
            )

        known = [entity for entity in self.entities if self.graph.may_have(entity, relation)]
        if self.unknown:
            known = [entity for entity in known if any(fit(entity)[:2])]
        if known:
            return [max(reversed(known), key=fit)]
        similar = self.graph.names.similar(rest)
        fitting = [entity for entity in similar if self.graph.may_have(entity, relation)]
        if len(fitting) > 1:
            self.unsure = fitting
            return []
        return fitting


def _whether(question: str) -> str:
    """The clauses of a question that ask whether something is so."""
    return "，".join(
        clause
        for clause in _CLAUSES.split(question)
        if _WHETHER.search(clause) and not _OPEN.search(clause)
    )


def _parts(text: str) -> set[str]:
    """The parts of a text that are long enough to stand for a name."""
    return {text[at : at + PART_OF_NAME] for at in range(len(text) - PART_OF_NAME + 1)}
