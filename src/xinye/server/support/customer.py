"""The routes of customers, some of which operators use, too."""

import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from xinye.server.bodies import JSONRoute
from xinye.server.errors import APIError
from xinye.server.keys import Caller, caller
from xinye.server.streams import stream, wants_stream
from xinye.server.support.events import conversation_events
from xinye.server.support.roles import address_of, is_operator, somebody
from xinye.server.support.schemas import (
    BeginRequest,
    CloseRequest,
    FeedbackRequest,
    MessageRequest,
)
from xinye.server.support.state import JSON, Support, as_seen, message_seen, support

router = APIRouter(route_class=JSONRoute)
ONE = "/v1/support/conversations/{conversation}"
Parts = Annotated[Support, Depends(support)]
Somebody = Annotated[Caller, Depends(somebody)]
After = Annotated[int, Query(ge=0, lt=2**53, description="the number of the last one known")]


@router.get("/v1/support/about")
async def about(request: Request, parts: Parts) -> JSON:
    """The names of the company and its bot, the languages of the pages, and the first words."""
    desk = parts.desk
    return {
        "company": desk.company,
        "bot": desk.bot,
        "languages": [*desk.languages],
        "greeting": greeting(parts, request.headers.get("accept-language", "")),
    }


@router.post("/v1/support/conversations", status_code=201)
async def begin(
    request: Request,
    parts: Parts,
    who: Annotated[Caller, Depends(caller)],
    body: BeginRequest | None = None,
) -> JSON:
    """Begin a conversation. The token that it answers with is shown once."""
    account = body.account if body else ""
    if account and not is_operator(who):
        raise APIError(
            403, "account: only the shop's own server may name one", "account", "operator_only"
        )
    if not is_operator(who):
        parts.begun.check(address_of(request))
    begun = await parts.threads.write(parts.store.customers.begin, account)
    parts.changed(begun.conversation)
    return {
        "id": begun.conversation,
        "token": begun.token,
        "state": "bot",
        "company": parts.desk.company,
        "bot": parts.desk.bot,
        "greeting": greeting(parts, request.headers.get("accept-language", "")),
    }


def greeting(parts: Support, languages: str) -> str:
    """The first words of the bot: in the first language that the browser and the desk share."""
    known = parts.desk.languages
    asked = (each.strip()[:2].lower() for each in languages[:200].split(","))
    language = next((each for each in asked if each in known), known[0])
    return parts.answers.current.desk.said("greeting", language)[1]


@router.get(ONE)
async def state(conversation: str, parts: Parts, who: Somebody) -> JSON:
    """The conversation, without its messages."""
    return (await _read(parts, who, conversation, None))[0]


@router.get(f"{ONE}/messages")
async def messages(
    conversation: str,
    request: Request,
    parts: Parts,
    who: Somebody,
    after: After = 0,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> Response:
    """The messages after a number; with `Accept: text/event-stream` as a stream that goes on."""
    if last_event_id.isascii() and last_event_id.isdigit():
        after = min(int(last_event_id), 2**53)
    seen, found = await _read(parts, who, conversation, after)
    if wants_stream(request.headers):
        parts.hub.check(conversation)
        read = partial(_read, parts, who, conversation)
        return stream(conversation_events(parts.hub, conversation, read, after))
    return JSONResponse({"messages": found, "state": seen["state"]})


async def _read(
    parts: Support, who: Caller, conversation: str, after: int | None
) -> tuple[JSON, list[JSON]]:
    """The conversation and its messages after a number, as the caller may see them. The state is
    read first, so that of a closed conversation no message is missing."""

    def do() -> tuple[Any, Any]:
        if is_operator(who):
            operators = parts.store.operators
            found = operators.state(conversation)
            return found, () if after is None else operators.messages(conversation, after)
        customers = parts.store.customers
        found = customers.state(conversation, who.token)
        if after is None:
            return found, ()
        return found, customers.messages(conversation, who.token, after)

    found, new = await parts.threads.read(do)
    seen = [message_seen(each, is_operator(who)) for each in new]
    return as_seen(found, is_operator(who)), seen


@router.post(f"{ONE}/messages")
async def message(
    conversation: str, body: MessageRequest, parts: Parts, who: Somebody
) -> JSONResponse:
    """Send a message. 202: it will be answered in the stream. 200: it had been sent before."""
    parts.said.check(who.token)
    now = time.time()
    sent = await parts.threads.write(
        parts.store.customers.message, conversation, who.token, body.text, body.client_id
    )
    parts.changed(conversation)
    parts.bots.wake()
    status = 200 if body.client_id and sent.at < now else 202
    return JSONResponse(message_seen(sent, by_operator=False), status)


@router.post(f"{ONE}/feedback")
async def feedback(conversation: str, body: FeedbackRequest, parts: Parts, who: Somebody) -> JSON:
    """A thumb for an answer."""
    given = (body.message, body.good, body.text)
    if is_operator(who):
        number = await parts.threads.write(
            parts.store.feedback.by_operator, conversation, body.operator, *given
        )
    else:
        number = await parts.threads.write(
            parts.store.feedback.by_customer, conversation, who.token, *given
        )
    return {"feedback": number}


@router.post(f"{ONE}/handover")
async def handover(conversation: str, parts: Parts, who: Somebody) -> JSON:
    """Ask for a person."""
    found = await parts.threads.write(parts.store.customers.handover, conversation, who.token)
    parts.changed(conversation)
    return as_seen(found, by_operator=False)


@router.post(f"{ONE}/close")
async def close(
    conversation: str, parts: Parts, who: Somebody, body: CloseRequest | None = None
) -> JSON:
    """End the conversation."""
    if is_operator(who):
        name = body.operator if body else ""
        await parts.threads.write(parts.store.operators.close, conversation, name)
    else:
        await parts.threads.write(parts.store.customers.close, conversation, who.token)
    parts.changed(conversation)
    return (await _read(parts, who, conversation, None))[0]
