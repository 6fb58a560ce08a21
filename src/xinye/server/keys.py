"""Who asks: whoever has the key of a role. All keys come as `Authorization: Bearer …`; there are no
cookies, so a strange page cannot use them."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from xinye.server.errors import APIError

LONGEST_TOKEN = 200  # characters


class Keys:
    """The keys of a server by their roles. Only their hashes are kept."""

    def __init__(self, **keys: str) -> None:
        self._hashes = {role: _hash(key) for role, key in keys.items()}

    def role(self, token: str) -> str:
        """The role that a token belongs to, "" if it is no key. Every key is compared in the same
        time."""
        hashed, role = _hash(token), ""
        for name, key in self._hashes.items():
            if hmac.compare_digest(hashed, key):
                role = name
        return role


@dataclass(frozen=True)
class Caller:
    """Who asks. `role` is "" for somebody without a key of this server."""

    role: str
    token: str


def caller(request: Request) -> Caller:
    """Who asks."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return Caller("", "")
    if len(token) > LONGEST_TOKEN:
        raise unknown("the key is missing or wrong")
    keys: Keys = request.app.state.keys
    return Caller(keys.role(token), token)


def needs(role: str, *others: str) -> Callable[[Request], Caller]:
    """What finds out who asks, and raises `APIError`: 401 without a key, and 403 for the key of a
    role that is not among these."""

    def check(request: Request) -> Caller:
        found = caller(request)
        if not found.role:
            raise unknown(f"the {role} key is missing or wrong")
        if found.role not in (role, *others):
            raise APIError(403, f"this needs the {role} key", code=f"{role}_only")
        return found

    return check


def unknown(problem: str) -> APIError:
    """The answer to somebody who is not known."""
    return APIError(401, f"{problem}: send it as Authorization: Bearer …", code="invalid_api_key")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
