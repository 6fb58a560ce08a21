"""Answers questions from a knowledge graph in words.

A classifier with several labels finds the relations that a question asks for; its labels are the
names of relations. The question or the conversation names the entity, and the graph has the values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from xinye.errors import XinyeError, did_you_mean, plural
from xinye.evaluation.tokenizers import language
from xinye.generation.chat import Message
from xinye.guesses import nearest
from xinye.jobs.judge import context_of, learned_task
from xinye.retrieval.entities import replaced
from xinye.retrieval.graph import Graph, says_kind
from xinye.retrieval.requests import Conversation, Request
from xinye.retrieval.search import check_question
from xinye.runs.words import Both
from xinye.tasks.classify import Classify
from xinye.tasks.task import Judged

LISTED = 10  # values that a sentence names
NAMED = 5  # relations that a note names


@dataclass(frozen=True)
class GraphAnswer:
    """An answer from a graph.

    `text` is the answer in the language of the question; "" if there is none, and then `refused`
    says why. `requests` have the entities, relations and facts, each fact with its file and line.
    `probabilities` are those of the relations that the model found.
    """

    question: str
    text: str = ""
    requests: tuple[Request, ...] = ()
    probabilities: tuple[float, ...] = ()
    refused: str = ""


def answer_from_graph(
    judged: Judged, graph: Graph, question: str, earlier: Sequence[Message] = ()
) -> GraphAnswer:
    """The answer to a question. `earlier` are the messages before it, of which the last entity that
    fits is meant if the question names none. Raises `XinyeError` for an empty question and for a
    model that does not classify.

    >>> answer_from_graph(judged, graph, "天鹅酒店的地址和电话是多少？").text  # doctest: +SKIP
    '天鹅酒店的地址是湖滨路2号，电话是555-0134。'
    """
    check_question(question)
    asked = [message["content"] for message in earlier if message["role"] == "user"]
    *before, (relations, probabilities) = relations_asked(judged, graph, [*asked, question])
    conversation = Conversation(graph)
    for message in earlier:
        if message["role"] == "user":
            conversation.ask(message["content"], before.pop(0)[0])
        else:
            conversation.reply(message["content"])
    return _answer(conversation, question, relations, probabilities)


def answer_in_turn(judged: Judged, graph: Graph, questions: Sequence[str]) -> Iterator[GraphAnswer]:
    """The answers to the questions of one conversation, whose replies are these answers. Raises as
    `answer_from_graph` does."""
    for question in questions:
        check_question(question)
    asked = relations_asked(judged, graph, questions)
    conversation = Conversation(graph)
    for question, (relations, probabilities) in zip(questions, asked, strict=True):
        answer = _answer(conversation, question, relations, probabilities)
        conversation.reply(answer.text)
        yield answer


def _answer(
    conversation: Conversation,
    question: str,
    relations: Sequence[str],
    probabilities: Sequence[float],
) -> GraphAnswer:
    """The answer to the next question of a conversation, which asks for these relations."""
    requests = tuple(conversation.ask(question, relations))
    refused = _refused(conversation, relations, requests)
    text = "" if refused else in_words(requests, language(question) == "chinese")
    return GraphAnswer(question, text, requests, tuple(probabilities), refused)


def relations_asked(
    judged: Judged, graph: Graph, questions: Sequence[str]
) -> list[tuple[tuple[str, ...], list[float]]]:
    """The relations that each question asks for, and their probabilities."""
    task = _classifier(judged)
    texts = [(without_names(graph, question), "") for question in questions]
    rows = task.probabilities(judged.model, judged.tokenizer, texts, context_of(judged.model))
    chosen = [task.chosen(row) for row in rows]
    return [
        (relations, [row[task.labels.index(relation)] for relation in relations])
        for relations, row in zip(chosen, rows, strict=True)
    ]


def without_names(graph: Graph, question: str) -> str:
    """The question with 它 or "it" in place of the graph's entities. A classifier is asked like
    this, because a name says nothing about the relation, and is often new to it."""
    new = "它" if language(question) == "chinese" else "it"
    return replaced(question, graph.names.mentions(question), new)


def unknown_relations(judged: Judged, graph: Graph) -> list[str]:
    """Sentences about relations of the graph that the model does not know, which no question can
    ask for: one for each that looks like a known one, with its first place, and one for all others.
    Raises `XinyeError` if the model knows none.
    """
    known = _classifier(judged).labels
    if not graph.relations.keys() & set(known):
        place = next(iter(graph.relations.values())).place
        raise XinyeError(
            f"{place}: the model {judged.folder} knows no relation of this graph; it knows "
            f"{', '.join(known[:NAMED])}"
        )
    found, others = [], []
    for relation, fact in graph.relations.items():
        if relation in known or says_kind(relation):
            continue
        missing = [label for label in known if label not in graph.relations]
        if near := nearest(relation, missing) or get_close_matches(relation, missing, 1, 0.5):
            found.append(
                f"{fact.place}: the model does not know the relation {relation!r}; did you mean "
                f"{near[0]!r}?"
            )
        else:
            others.append(f"{relation} ({fact.place})")
    if others:
        shown = ", ".join(others[:NAMED]) + (" …" if len(others) > NAMED else "")
        found.append(
            f"the model does not know {plural(len(others), 'relation')} of the graph, which no "
            f"question finds: {shown}"
        )
    return found


def _classifier(judged: Judged) -> Classify:
    task = learned_task(judged.model, judged.folder)
    if not isinstance(task, Classify):
        raise XinyeError(
            f"{judged.folder}: answers from a graph need a model that finds the relation of a "
            "question; fine-tune one: xinye finetune MODEL --task classify --data QUESTIONS, with "
            "names of relations as labels"
        )
    return task


def _refused(
    conversation: Conversation, relations: Sequence[str], requests: Sequence[Request]
) -> str:
    """Why a question has no answer, or ""."""
    graph = conversation.graph
    if not relations:
        return "the question asks for no relation that the model knows"
    if absent := [relation for relation in relations if relation not in graph.relations]:
        hint = did_you_mean(absent[0], graph.relations)
        return f"no triple of the graph has the relation {absent[0]!r}{hint}"
    if not requests and conversation.unsure:
        names = ", ".join(conversation.unsure[:NAMED])
        return f"the question may mean several entities, such as {names}; name one"
    if not requests and conversation.unknown:
        near = did_you_mean(conversation.unknown, graph.entities)
        return f"the graph has no entity {conversation.unknown!r}{near}"
    if not requests:
        return "neither the question nor an earlier one names an entity of the graph"
    if not any(graph.facts(request.entity, request.relation) for request in requests):
        missing = "; ".join(f"{request.entity}: {request.relation}" for request in requests)
        return f"the graph does not say it: {missing}"
    return ""


# -- words -----------------------------------------------------------------------------------------


ABOUT = Both("{entity}: ", "{entity}的")  # begins the sentence about an entity
VALUES = Both("{relation} {values}", "{relation}是{values}")
HAS = Both("{value} is among the {relation}", "{relation}有{value}")
HAS_NOT = Both("{value} is not among the {relation}", "{relation}没有{value}")
NOTHING = Both("not in the graph", "未知（图谱里没有）")  # in place of missing values
MORE = Both(" and {more} more", "等 {count} 项")  # values that are not named
BETWEEN_VALUES = Both(", ", "、")
BETWEEN_REQUESTS = Both("; ", "，")
END = Both(".", "。")
BETWEEN_SENTENCES = Both(" ", "")


def in_words(requests: Sequence[Request], chinese: bool) -> str:
    """The answer to requests, a sentence for each entity."""
    clauses: dict[str, list[str]] = {}
    for request in requests:
        form = VALUES
        if request.value:
            form = HAS if request.facts else HAS_NOT
        said = form[chinese].format(
            relation=request.relation, value=request.value, values=_values(request, chinese)
        )
        clauses.setdefault(request.entity, []).append(said)
    sentences = [
        ABOUT[chinese].format(entity=entity) + BETWEEN_REQUESTS[chinese].join(said) + END[chinese]
        for entity, said in clauses.items()
    ]
    return BETWEEN_SENTENCES[chinese].join(sentences)


def _values(request: Request, chinese: bool) -> str:
    values = [fact.tail for fact in request.facts]
    if not values:
        return NOTHING[chinese]
    said = BETWEEN_VALUES[chinese].join(values[:LISTED])
    if len(values) > LISTED:
        said += MORE[chinese].format(count=len(values), more=len(values) - LISTED)
    return said
