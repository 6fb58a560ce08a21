"""The routes of operators: the queue, replies, feedback, figures and the log."""

import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from xinye.apps.support.asked import asks
from xinye.apps.support.feedback import Feedback
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.errors import Conflict
from xinye.server.bodies import JSONRoute
from xinye.server.hub import ALL
from xinye.server.keys import caller
from xinye.server.streams import stream, wants_stream
from xinye.server.support.customer import ONE, After, Parts
from xinye.server.support.events import queue_events
from xinye.server.support.roles import admin, operator
from xinye.server.support.schemas import ApproveRequest, OperatorRequest, ReplyRequest
from xinye.server.support.state import JSON, Support, as_seen, message_seen

router = APIRouter(route_class=JSONRoute, dependencies=[Depends(operator)])
SUGGESTED = 3  # suggestions
REMEMBERED = 1_000  # conversations whose suggestions are remembered
REMEMBERED_OF_ONE = 30
FEEDBACK = (
    "number", "at", "conversation", "message", "giver", "good", "question", "answer", "chosen",
    "rejected", "first", "differ", "approved",
)  # fmt: skip
DAY = 86_400


@router.get("/v1/support/role")
async def role(request: Request) -> JSON:
    """Whether the key is that of operators or of admins."""
    return {"role": caller(request).role}


@router.get("/v1/support/queue")
async def queue(request: Request, parts: Parts) -> Response:
    """The conversations that wait for a person or have one; with `Accept: text/event-stream` again
    whenever they change."""

    async def read() -> JSON:
        return await parts.threads.read(_queue, parts)

    if wants_stream(request.headers):
        parts.hub.check(ALL)
        return stream(queue_events(parts.hub, read))
    return JSONResponse(await read())


def _queue(parts: Support) -> JSON:
    found = parts.store.operators.queue()
    listed = [
        as_seen(each, by_operator=True) | {"asked": found.asked[each.id]}
        for each in found.conversations
    ]
    return {"total": found.total, "conversations": listed}


@router.post(f"{ONE}/claim")
async def claim(conversation: str, body: OperatorRequest, parts: Parts) -> JSON:
    """Take a conversation. 409 if another operator has it."""
    found = await parts.threads.write(parts.store.operators.claim, conversation, body.operator)
    parts.changed(conversation)
    return as_seen(found, by_operator=True)


@router.post(f"{ONE}/release")
async def release(conversation: str, body: OperatorRequest, parts: Parts) -> JSON:
    """Put a conversation back into the queue."""
    await parts.threads.write(parts.store.operators.release, conversation, body.operator)
    parts.changed(conversation)
    found = await parts.threads.read(parts.store.operators.state, conversation)
    return as_seen(found, by_operator=True)


@router.post(f"{ONE}/suggest")
async def suggest(conversation: str, body: OperatorRequest, parts: Parts) -> JSON:
    """What the bot would answer to the last question, the likeliest first."""
    turns = await parts.threads.read(_turns, parts, conversation)
    if not turns:
        raise Conflict("the customer has written nothing yet")
    found = await parts.threads.run("suggest", _suggestions, parts, turns)
    earlier = parts.suggested.pop(conversation, [])
    parts.suggested[conversation] = [*found, *earlier][:REMEMBERED_OF_ONE]
    while len(parts.suggested) > REMEMBERED:
        parts.suggested.pop(next(iter(parts.suggested)))
    names = ("kind", "text", "score", "threshold", "sources")
    listed = [{name: asdict(each)[name] for name in names} for each in found]
    return {"suggestions": listed}


def _turns(parts: Support, conversation: str) -> list[Message]:
    """The last messages up to the last one of the customer."""
    operators = parts.store.operators
    last = operators.state(conversation).messages
    turns = operators.messages(conversation, max(0, last - parts.store.limits.turns))
    while turns and turns[-1].sender != "customer":
        turns.pop()
    return turns


def _suggestions(parts: Support, turns: list[Message]) -> list[Reply]:
    """The suggestions for the last message of the customer that has any: the very last one often
    only asks for a person."""
    while turns:
        last = len(turns) - 1
        if asks(turns, last) and (found := parts.answers.suggestions(turns, SUGGESTED)):
            return found
        turns = turns[:-1]
    return []


@router.post(f"{ONE}/reply", status_code=201)
async def reply(conversation: str, body: ReplyRequest, parts: Parts) -> JSON:
    """Reply to the customer. A suggestion of this server that was sent or edited is kept as
    feedback."""
    known = parts.suggested.get(conversation, [])
    suggestion = next((each for each in known if each.text == body.suggestion), None)
    sent = await parts.threads.write(
        parts.store.operators.reply, conversation, body.operator, body.text, body.client_id,
        suggestion,
    )  # fmt: skip
    parts.changed(conversation)
    return message_seen(sent, by_operator=True)


# -- feedback, figures, log ------------------------------------------------------------------------


@router.get("/v1/support/feedback")
async def feedback(parts: Parts, after: After = 0) -> JSON:
    """The feedback that nobody has decided on."""
    found = await parts.threads.read(parts.store.feedback.waiting, after)
    return {"feedback": [_feedback(each) for each in found]}


@router.post("/v1/support/feedback/{number}/approve")
async def approve(number: int, body: ApproveRequest, parts: Parts) -> JSON:
    """Make a training record of feedback."""
    found = await parts.threads.write(
        parts.store.feedback.approve, number, body.operator, body.text
    )
    return {"feedback": _feedback(found)}


@router.post("/v1/support/feedback/{number}/decline")
async def decline(number: int, body: OperatorRequest, parts: Parts) -> JSON:
    """Make no training record of feedback."""
    await parts.threads.write(parts.store.feedback.decline, number, body.operator)
    return {"feedback": number}


def _feedback(feedback: Feedback) -> JSON:
    return {name: getattr(feedback, name) for name in FEEDBACK}


@router.get("/v1/support/figures")
async def figures(parts: Parts, days: Annotated[int, Query(ge=1, le=36_500)] = 30) -> JSON:
    """What happened in the last days."""
    return asdict(await parts.threads.read(parts.store.log.figures, time.time() - days * DAY))


@router.get("/v1/support/log", dependencies=[Depends(admin)])
async def entries(parts: Parts, after: After = 0) -> JSON:
    """The log: who did what, and why the bot answered as it did."""
    found = await parts.threads.read(parts.store.log.entries, after)
    return {"entries": [{"number": number} | asdict(entry) for number, entry in found]}
