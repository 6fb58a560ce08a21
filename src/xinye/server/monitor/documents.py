"""The routes of documents: taking, finding, explaining and correcting them."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from xinye.apps.monitor.corrections import Correction
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.queries import Filter
from xinye.apps.monitor.sources.dates import read_date
from xinye.apps.monitor.tables import CHINESE, ENGLISH, csv_lines
from xinye.server.bodies import JSONRoute
from xinye.server.errors import APIError, check_count, of_validation, reads_chinese
from xinye.server.monitor.figures import NO_DATE, After, Mood, Name, Time, moment
from xinye.server.monitor.schemas import MOST, CorrectRequest, IncomingRequest, PersonRequest
from xinye.server.monitor.state import (
    FOR_ADMINS,
    FOR_ANALYSTS,
    FOR_PROGRAMS,
    JSON,
    Board,
    Parts,
    document_seen,
)

router = APIRouter(route_class=JSONRoute)
ALL = "/v1/monitor/documents"
ONE = ALL + "/{number}"
CORRECTIONS = "/v1/monitor/corrections"
GIVEN = TypeAdapter(list[IncomingRequest])
NUMBER = Annotated[int | None, Query(ge=1, lt=2**53)]
BODY: JSON = {  # of `add`, for the OpenAPI document
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "description": "a document, a list of documents, or an object with `documents`",
                "anyOf": [
                    IncomingRequest.model_json_schema(),
                    {"type": "array", "maxItems": MOST, "items": {"type": "object"}},
                ],
            }
        }
    },
}


@router.post(ALL, dependencies=FOR_PROGRAMS, openapi_extra={"requestBody": BODY})
async def add(request: Request, parts: Parts) -> JSON:
    """Take documents. When this answers they are saved, with how many are new."""
    documents = _incoming(await request.json(), parts)
    added = await parts.queued("ingest", parts.work.ingest.add, documents)
    parts.hub.changed()
    return asdict(added)


def _incoming(given: Any, parts: Board) -> list[Incoming]:
    """The documents of a body: one, a list of them, or an object with a list."""
    if isinstance(given, dict):
        given = given["documents"] if [*given] == ["documents"] else [given]
    if not isinstance(given, list):
        raise APIError(400, "documents: send a document, or a list of them", "documents")
    check_count(len(given), MOST, "documents", "documents")
    try:
        read = GIVEN.validate_python(given)
    except ValidationError as error:
        found = error.errors()
        for each in found:
            each["loc"] = ("body", "documents", *each["loc"])
        raise of_validation(found) from None
    return [_document(place, each, parts) for place, each in enumerate(read)]


def _document(place: int, given: IncomingRequest, parts: Board) -> Incoming:
    published = None
    if given.published is not None:
        published = read_date(given.published, parts.about.zone).at
        if published is None:
            param = f"documents.{place}.published"
            raise APIError(400, f"{param}: {NO_DATE}", param)
    return Incoming(given.source, given.id, given.title, given.text, given.url, published)


# -- finding ---------------------------------------------------------------------------------------


def wanted(
    topic: Name = "",
    company: Name = "",
    mood: Mood | None = None,
    source: Name = "",
    words: Name = "",
    repeats: bool = False,
) -> Filter:
    """Which documents are wanted, at any time."""
    return Filter(topic, company, mood, source, words=words.strip(), repeats=repeats)


def between(
    wanted: Annotated[Filter, Depends(wanted)],
    parts: Parts,
    since: Time = None,
    until: Time = None,
) -> Filter:
    """Which documents are wanted."""
    times = {"since": moment("since", since, parts), "until": moment("until", until, parts)}
    given = {name: value for name, value in times.items() if value is not None}
    return Filter(**{**vars(wanted), **given})


Wanted = Annotated[Filter, Depends(between)]


@router.get(ALL, dependencies=FOR_ANALYSTS)
async def documents(
    parts: Parts,
    wanted: Wanted,
    after: NUMBER = None,
    count: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JSON:
    """Documents, the newest first, each with the beginning of its text. `next` is what to give as
    `after` for the ones that follow, null if there are none."""
    found = await parts.threads.read(parts.monitor.documents.page, wanted, after, count)
    numbers = [each.number for each in found.documents]
    corrected = await parts.threads.read(parts.monitor.corrections.corrected, numbers)
    seen = [
        document_seen(each) | {"corrected": each.number in corrected} for each in found.documents
    ]
    return {"documents": seen, "next": found.last}


@router.get(f"{ALL}.csv", dependencies=FOR_ANALYSTS)
async def table(
    request: Request,
    parts: Parts,
    wanted: Wanted,
    language: Literal["en", "zh"] | None = None,
) -> StreamingResponse:
    """All documents that are wanted as a table, with their whole texts. Its columns and moods are
    English, unless Chinese is asked for by `language` or Accept-Language."""
    in_chinese = reads_chinese(request) if language is None else language == "zh"
    words = CHINESE if in_chinese else ENGLISH
    find, zone, most = parts.monitor.documents.page, parts.about.zone, parts.monitor.limits.page
    first = await parts.threads.read(find, wanted, None, most)

    async def lines() -> AsyncIterator[str]:
        page = first
        yield "".join(csv_lines(page.documents, zone, words))
        while page.last is not None:
            page = await parts.threads.read(find, wanted, page.last, most)
            yield "".join(csv_lines(page.documents, zone, words, head=False))

    headers = {
        "Content-Disposition": "attachment; filename=documents.csv",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get(ONE, dependencies=FOR_ANALYSTS)
async def document(number: int, parts: Parts) -> JSON:
    """A document with its whole text, documents that repeat it, and what people said of it."""
    monitor = parts.monitor
    found = await parts.threads.read(monitor.documents.get, number)
    repeats = await parts.threads.read(monitor.documents.repeats, number)
    corrections = await parts.threads.read(monitor.corrections.of_document, number)
    return {
        "document": document_seen(found, whole=True),
        "repeats": [document_seen(each) for each in repeats],
        "corrections": [_correction(each) for each in corrections],
    }


@router.get(f"{ONE}/explain", dependencies=FOR_ANALYSTS)
async def explain(number: int, parts: Parts) -> JSON:
    """The words that decided for the topics and the mood that the models see in a document: how
    much each speaks for the label, below 0 against it."""
    found = await parts.threads.read(parts.monitor.documents.get, number)
    text, reasons = await parts.queued(
        "explain", parts.work.analyst.reasons, found.title, found.text
    )
    return {"text": text, "reasons": [asdict(each) for each in reasons]}


# -- corrections -----------------------------------------------------------------------------------


@router.post(f"{ONE}/correct", dependencies=FOR_ANALYSTS)
async def correct(number: int, body: CorrectRequest, parts: Parts) -> JSON:
    """Give a document other topics or another mood. They count at once; an admin decides whether
    the models learn from it."""
    numbers = await parts.write(
        parts.monitor.corrections.correct, number, body.who, body.topics, body.mood
    )
    found = await parts.threads.read(parts.monitor.documents.get, number)
    return {"corrections": numbers, "document": document_seen(found, whole=True)}


@router.get(CORRECTIONS, dependencies=FOR_ADMINS)
async def corrections(parts: Parts, after: After = 0) -> JSON:
    """The corrections that nobody has decided on."""
    found = await parts.threads.read(parts.monitor.corrections.find, "open", after)
    return {"corrections": [_correction(each) for each in found]}


@router.post(CORRECTIONS + "/{number}/approve", dependencies=FOR_ADMINS)
async def approve(number: int, body: PersonRequest, parts: Parts) -> JSON:
    """Let the models learn from a correction."""
    found = await parts.write(parts.monitor.corrections.approve, number, body.who)
    return {"correction": _correction(found)}


@router.post(CORRECTIONS + "/{number}/decline", dependencies=FOR_ADMINS)
async def decline(number: int, body: PersonRequest, parts: Parts) -> JSON:
    """Take a correction back."""
    found = await parts.write(parts.monitor.corrections.decline, number, body.who)
    return {"correction": _correction(found)}


def _correction(correction: Correction) -> JSON:
    return asdict(correction) | {"text": correction.text[:1_000]}
