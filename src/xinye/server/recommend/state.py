"""`Service`: what the routes of the server of recommendations share."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request
from starlette.convertors import StringConvertor, register_url_convertor

from xinye.apps.recommend.service import Shop
from xinye.server.errors import APIError
from xinye.server.keys import Keys, needs
from xinye.server.recommend.settings import RecommendServeSettings
from xinye.server.threads import Threads

JSON = dict[str, Any]

client = needs("client", "editor")
editor = needs("editor")
# what routes depend on: who may use them
FOR_CLIENTS, FOR_EDITORS = [Depends(client)], [Depends(editor)]


@dataclass
class Service:
    """What the routes share."""

    settings: RecommendServeSettings
    keys: Keys
    shop: Shop
    threads: Threads
    works: bool = True


def service(request: Request) -> Service:
    """What the routes share."""
    found: Service = request.app.state.service
    return found


Parts = Annotated[Service, Depends(service)]


class _AnyText(StringConvertor):
    """The rest of an address with slashes and line ends; Starlette's `path` has no line ends."""

    regex = r"[\s\S]*"


register_url_convertor("any_text", _AnyText())


def id_in(request: Request, prefix: str, longest: int) -> str:
    """The id behind `prefix` in the address. It is taken from the address as it was sent, since an
    id may have slashes, even at its end. Raises `APIError`."""
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    if not raw.startswith(prefix.encode()):
        raise APIError(400, f"put the id into the address: {prefix}ID", "id")
    try:
        found = unquote_to_bytes(raw.removeprefix(prefix.encode())).decode()
    except UnicodeDecodeError:
        raise APIError(400, "the id in the address is not UTF-8; escape it with %", "id") from None
    if not 0 < len(found) <= longest:
        raise APIError(400, f"the id in the address must have 1 to {longest} characters", "id")
    return found
