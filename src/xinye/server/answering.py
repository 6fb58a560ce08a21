"""The route `/v1/tasks/answer`, which answers questions from passages, from a knowledge base or
from a graph."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from xinye.generation.chat import Message
from xinye.jobs import answering
from xinye.jobs.answering import Answered, Knowledge
from xinye.jobs.graph_answers import answer_from_graph
from xinye.retrieval.results import Found
from xinye.retrieval.search import FEW
from xinye.server.bodies import JSONRoute, json_response, log_texts
from xinye.server.errors import APIError, check_count
from xinye.server.graph import ServedGraph
from xinye.server.knowledge import Opened, ServedBase, as_passage, find_base
from xinye.server.knowledge_schemas import (
    MOST_EARLIER,
    AnswerList,
    AnswerRequest,
    GraphQuestionAnswer,
    Passage,
    QuestionAnswer,
)
from xinye.server.models import ServedModel, find_model
from xinye.server.tasks import BATCH, CONTEXTS

router = APIRouter(route_class=JSONRoute)


@router.post("/v1/tasks/answer", response_model=AnswerList)
async def answer(body: AnswerRequest, request: Request) -> Any:
    """Answer questions from a passage, from a knowledge base or from a graph, with the source; or
    say why there is no answer.
    """
    model = find_model(request, body.model, "answer")
    questions = [body.input] if isinstance(body.input, str) else body.input
    graph: ServedGraph | None = request.app.state.graph
    work: Callable[[Sequence[str]], Sequence[QuestionAnswer | GraphQuestionAnswer]]
    if graph and model.id in graph.models:
        work = partial(from_graph, model, graph, earlier_of(body, request, len(questions)))
    elif body.earlier is not None:
        raise APIError(400, "earlier: only a model that answers from a graph takes it", "earlier")
    elif body.passage is not None:
        work = partial(from_texts, model, passages_of(body, request, model, len(questions)))
    else:
        base, count = find_base(request, body.knowledge), body.n or FEW
        check_pairs(request, len(questions), count)
        await base.about(request)  # reads it again if it has changed, which takes longer
        work = partial(from_base, model, base, count)
    data = await request.app.state.worker.work(request, questions, work, 1)
    log_texts(request, body, (each.text for each in data))
    return json_response(AnswerList(object="list", model=model.id, task="answer", data=data))


def earlier_of(body: AnswerRequest, request: Request, questions: int) -> list[Message]:
    """The messages before a question to a graph. Raises `APIError` if they are too long, and for
    fields that have no effect on a graph."""
    for name in ("passage", "knowledge", "n"):
        if getattr(body, name) is not None:
            raise APIError(400, f"{name}: has no effect on a graph; leave it out", name)
    messages = [message.plain for message in body.earlier or ()]
    messages = [message for message in messages if message["role"] in ("user", "assistant")]
    if sum(len(message["content"]) for message in messages) > MOST_EARLIER:
        raise APIError(400, f"earlier: at most {MOST_EARLIER:,} characters are allowed", "earlier")
    turns = 1 + sum(message["role"] == "user" for message in messages)
    limit = request.app.state.settings.max_inputs
    check_count(questions * turns, limit, "input", "questions, times earlier ones,")
    return messages


def passages_of(
    body: AnswerRequest, request: Request, model: ServedModel, questions: int
) -> list[str]:
    """The passages that the request has. Raises `APIError` if they are empty or too long."""
    for name in ("knowledge", "n"):
        if getattr(body, name) is not None:
            raise APIError(400, f"{name}: has no effect on a passage; leave one of them out", name)
    texts = [body.passage] if isinstance(body.passage, str) else body.passage or []
    if not any(text.strip() for text in texts):
        raise APIError(400, "passage: there is no text to answer from", "passage")
    check_pairs(request, questions, len(texts))
    model.check_length(texts, "passage", BATCH * CONTEXTS)
    # Each answer repeats the passages, so together they may be as large as a body.
    megabytes = request.app.state.settings.max_body
    if questions * sum(len(text.encode()) for text in texts) > megabytes * 1_000_000:
        raise APIError(
            400,
            f"input: {questions} questions, each with these passages, are more than {megabytes} "
            "MB; ask fewer questions at once",
            "input",
        )
    return texts


def check_pairs(request: Request, questions: int, passages: int) -> None:
    """Raises `APIError` for more pairs of a question and a passage than a request may have."""
    limit = request.app.state.settings.max_inputs
    check_count(questions * passages, limit, "input", "questions, times passages,")


def from_graph(
    model: ServedModel, served: ServedGraph, earlier: list[Message], questions: Sequence[str]
) -> list[GraphQuestionAnswer]:
    """The answers from a graph, each as if its question followed the earlier messages."""
    judged = model.model.judged()
    answers = [answer_from_graph(judged, served.graph, each, earlier) for each in questions]
    return [GraphQuestionAnswer(**asdict(served.without_folders(each))) for each in answers]


def from_texts(
    model: ServedModel, texts: Sequence[str], questions: Sequence[str]
) -> list[QuestionAnswer]:
    """The answers from these texts."""
    return [as_json(answer_of(model, question, texts), as_passage) for question in questions]


def from_base(
    model: ServedModel, base: ServedBase, count: int, questions: Sequence[str]
) -> list[QuestionAnswer]:
    """The answers from the `count` passages of a knowledge base that match each question best."""

    def do(question: str, opened: Opened) -> QuestionAnswer:
        return as_json(answer_of(model, question, opened.base, count), opened.passage)

    return [base.use(partial(do, question)) for question in questions]


def answer_of(
    model: ServedModel, question: str, knowledge: Knowledge, count: int | None = None
) -> Answered:
    return answering.answer(model.model.judged(), question, knowledge, count)


def as_json(answered: Answered, passage: Callable[[Found], Passage]) -> QuestionAnswer:
    """An answer without absolute paths."""
    source = None if answered.source is None else passage(answered.source)
    found = [passage(each) for each in answered.found]
    return QuestionAnswer(**(asdict(answered) | {"source": source, "found": found}))
