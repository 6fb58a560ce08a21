"""The routes of the server of recommendations."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from xinye.apps.recommend.limits import MOST_EVENTS, MOST_FOUND, QUERY
from xinye.apps.recommend.reasons import sentence
from xinye.ranking.items import LONGEST_ID, Item
from xinye.ranking.suggestions import Suggestion
from xinye.server.bodies import JSONRoute
from xinye.server.errors import check_count, reads_chinese
from xinye.server.keys import caller
from xinye.server.recommend.schemas import EventRequest, ItemRequest, RecommendRequest
from xinye.server.recommend.state import FOR_CLIENTS, FOR_EDITORS, JSON, Parts, id_in

router = APIRouter(route_class=JSONRoute)
ITEMS, USERS = "/v1/items", "/v1/users"


# -- for clients -----------------------------------------------------------------------------------


@router.post("/v1/recommend", dependencies=FOR_CLIENTS)
async def recommend(body: RecommendRequest, request: Request, parts: Parts) -> JSON:
    """Items for a user or after a history, the best first, each with the reason in the language
    that the client reads. `cold` says that nothing is known of the user: then it is what is
    popular. 404 for an unknown item of the history."""
    chinese = reads_chinese(request)
    asked = body.asked()

    def answer() -> JSON:
        found = parts.shop.recommend(asked)
        data = [suggestion_seen(parts, each, chinese) for each in found.items]
        return {"object": "list", "data": data, "cold": found.cold}

    return await parts.threads.run("recommend", answer)


def suggestion_seen(parts: Parts, suggestion: Suggestion, chinese: bool) -> JSON:
    """A suggestion as it is sent."""
    reason, to = suggestion.reason, suggestion.reason.to
    told: JSON = {"kind": reason.kind}
    title = ""
    if to is not None:
        told["to"] = to
        title = parts.shop.item(to).title or to
    return {
        "id": suggestion.id,
        "title": suggestion.title,
        "score": round(float(suggestion.score), 4),
        "reason": told | {"text": sentence(reason, title, chinese)},
    }


@router.post("/v1/events", dependencies=FOR_CLIENTS)
async def add_events(body: EventRequest | list[EventRequest], parts: Parts) -> JSON:
    """Save one event or a list of them; the next recommendation uses them. The same event again
    counts once. 404 for an unknown item; then none of the list is saved."""
    given = body if isinstance(body, list) else [body]
    check_count(len(given), MOST_EVENTS, "events", "events")
    added = await parts.threads.write(parts.shop.add, [each.read() for each in given])
    return {"object": "events", "new": added.new, "repeated": added.repeated}


@router.get(ITEMS, dependencies=FOR_CLIENTS)
async def find_items(
    parts: Parts,
    query: Annotated[str, Query(max_length=QUERY)] = "",
    count: Annotated[int, Query(ge=1, le=MOST_FOUND)] = 20,
) -> JSON:
    """The items whose title has these words."""
    found = await parts.threads.read(parts.shop.find, query, count)
    return {"object": "list", "data": [item_seen(each) for each in found]}


@router.get(f"{ITEMS}/{{id:any_text}}", dependencies=FOR_CLIENTS)
async def read_item(request: Request, parts: Parts) -> JSON:
    """One item. 404 for an unknown id, with the nearest one."""
    found = await parts.threads.read(parts.shop.item, id_in(request, f"{ITEMS}/", LONGEST_ID))
    return item_seen(found)


@router.get("/v1/role", dependencies=FOR_CLIENTS)
async def role(request: Request) -> JSON:
    """The role that the key belongs to."""
    return {"role": caller(request).role}


# -- for editors -----------------------------------------------------------------------------------


@router.put(ITEMS, dependencies=FOR_EDITORS, include_in_schema=False)  # for the id "/"
@router.put(f"{ITEMS}/{{id:any_text}}", dependencies=FOR_EDITORS)
async def put_item(body: ItemRequest, request: Request, parts: Parts) -> JSONResponse:
    """Add an item, which can be recommended at once if words of its text are known from the
    training, or change one. 201 if it is new."""
    item = body.item(id_in(request, f"{ITEMS}/", LONGEST_ID))
    new = await parts.threads.write(parts.shop.put, item)
    can = parts.shop.recommender.can_recommend(item.id)
    return JSONResponse(item_seen(item) | {"recommendable": can}, 201 if new else 200)


@router.get(f"{USERS}/{{user:any_text}}", dependencies=FOR_EDITORS)
async def read_user(request: Request, parts: Parts) -> JSON:
    """Everything that is kept of a user: the history from the training, and later events."""
    return await parts.threads.read(parts.shop.export, id_in(request, f"{USERS}/", LONGEST_ID))


@router.delete(f"{USERS}/{{user:any_text}}", dependencies=FOR_EDITORS)
async def forget_user(request: Request, parts: Parts) -> JSON:
    """Forget a user: delete the events in the store and in the run. The weights of the network,
    which was trained with all users, stay as they are."""
    user = id_in(request, f"{USERS}/", LONGEST_ID)
    return {"user": user, "deleted": await parts.threads.write(parts.shop.forget, user)}


def item_seen(item: Item) -> JSON:
    """An item as it is sent."""
    return {"id": item.id, "title": item.title, "text": item.text, "tags": [*item.tags]}
