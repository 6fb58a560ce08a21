"""Web addresses: which are valid, how they are written, and which of them people may follow."""

import re
from contextlib import suppress
from urllib.parse import SplitResult, quote, urlsplit

from xinye.errors import XinyeError

SCHEMES = {"http": 80, "https": 443}  # each with its port
LONGEST_URL = 2_000  # characters
_OF_A_QUERY = "/%:=&?~+!$,;'@()*[]"  # signs that stay as they are
_HOST = re.compile(r"[\w.-]+", re.ASCII)


class Refused(XinyeError):
    """An address that must not be fetched."""


def wrong_address(url: str) -> str:
    """What is wrong with a web address; "" if nothing. It is not repeated, because it may be
    secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "this is not a web address"
    if parts.scheme not in SCHEMES or not host or port == 0 or len(url) > LONGEST_URL:
        return "the address must begin with https:// or http://, and name a host"
    if parts.username is not None or parts.password is not None:
        return "the address has a user name or a password; leave them out"
    return ""


def link(url: str) -> str:
    """The address of a page that people can follow; "" for others: a link to a script must not be
    shown."""
    try:
        parts = checked_url(url)
    except Refused:
        return ""
    fragment = quote(urlsplit(url.strip()).fragment, safe=_OF_A_QUERY)
    return parts._replace(fragment=fragment).geturl()


def checked_url(url: str) -> SplitResult:
    """The parts of a web address, with a host in ASCII. Raises `Refused` if it is not one, or has a
    password in it: the address is shown on pages."""
    url = url.strip()
    if problem := wrong_address(url):
        shown = url.rpartition("@")[2]  # without a password
        raise Refused(f"{shown[:200]}: {problem}")
    parts = urlsplit(url)
    port, host = parts.port, ascii_host(parts.hostname or "")
    shown = f"[{host}]" if ":" in host else host
    return parts._replace(
        netloc=f"{shown}:{port}" if port and port != SCHEMES[parts.scheme] else shown,
        path=quote(parts.path or "/", safe="/%:=&~+!$,;'@()*"),
        query=quote(parts.query, safe=_OF_A_QUERY),
        fragment="",
    )


def ascii_host(host: str) -> str:
    """The name of a host as the network knows it: "bücher.example" is "xn--bcher-kva.example"."""
    host = host.strip("[]").rstrip(".").lower()
    if ":" in host:
        return host
    with suppress(UnicodeError):
        name = host.encode("idna").decode("ascii")
        if _HOST.fullmatch(name):
            return name
    raise Refused(f"{host[:200]}: this is not the name of a host")
