"""The routes of the documents that a desk answers from."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from xinye.server.bodies import JSONRoute
from xinye.server.support.customer import Parts
from xinye.server.support.documents import END
from xinye.server.support.roles import admin, operator
from xinye.server.support.schemas import DocumentRequest
from xinye.server.support.state import JSON, Support

router = APIRouter(route_class=JSONRoute)
FOUND = 10  # passages
Operator, Admin = [Depends(operator)], [Depends(admin)]
ONE = "/v1/knowledge/documents/{identity}"


@router.get("/v1/knowledge/documents", dependencies=Operator)
async def list_documents(parts: Parts) -> JSON:
    """The documents that answer. Those with an id can be written and deleted here."""
    return {"documents": await parts.threads.run("knowledge", _documents, parts)}


def _documents(parts: Support) -> list[JSON]:
    desk = parts.answers.current.desk
    counts: dict[str, int] = {}
    for entry in desk.knowledge.documents if desk.knowledge else ():
        counts[entry.file] = counts.get(entry.file, 0) + entry.count
    return [
        {"id": _id(parts, file), "file": desk.name_of(file), "passages": count}
        for file, count in counts.items()
    ]


def _id(parts: Support, file: str) -> str:
    own = Path(file).parent == parts.documents.folder.absolute()
    return Path(file).name.removesuffix(END) if own else ""


@router.get("/v1/knowledge/search", dependencies=Operator)
async def search(parts: Parts, q: Annotated[str, Query(min_length=1, max_length=2000)]) -> JSON:
    """The passages that match a question best."""
    return {"passages": await parts.threads.run("knowledge", _search, parts, q)}


def _search(parts: Support, question: str) -> list[JSON]:
    desk = parts.answers.current.desk
    base = desk.knowledge
    return [
        {
            "file": desk.name_of(each.file),
            "line": each.line,
            "passage": each.text,
            "score": each.score,
        }
        for each in (base.search(question, FOUND) if base else ())
    ]


@router.put(ONE, dependencies=Admin)
async def write(identity: str, body: DocumentRequest, parts: Parts) -> JSONResponse:
    """Write a document, new or instead of an old one. The bot answers from it from now on."""

    def do() -> tuple[bool, int]:
        done = parts.documents.put(identity, body.text)
        parts.answers.refresh()
        return done

    new, passages = await parts.threads.run("knowledge", do)
    return JSONResponse({"id": identity, "passages": passages}, 201 if new else 200)


@router.delete(ONE, dependencies=Admin, status_code=204)
async def delete(identity: str, parts: Parts) -> Response:
    """Delete a document. The bot answers from it no more."""

    def do() -> None:
        parts.documents.delete(identity)
        parts.answers.refresh()

    await parts.threads.run("knowledge", do)
    return Response(status_code=204)
