"""Which addresses a feed may be fetched from: public ones only, so that nobody can read the pages
of a company's own network through the monitor."""

import ipaddress
import re
import socket
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import SplitResult, quote, urlsplit

from xinye.errors import XinyeError

SCHEMES = {"http": 80, "https": 443}  # each with its port
LONGEST_URL = 2_000  # characters
_OF_A_QUERY = "/%:=&?~+!$,;'@()*[]"  # signs that stay as they are
_HOST = re.compile(r"[\w.-]+", re.ASCII)
MOST_ADDRESSES = 4  # of a host, that are tried
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv6 addresses that stand for an IPv4 address, each with the bits after that one.
_EMBEDDED = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)


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


def find_addresses(host: str, port: int, allow: Collection[str] = ()) -> list[str]:
    """The addresses of a host to connect to; only public ones, unless `allow` names the host.
    Raises `Refused` if it has none of these, and `OSError` if it has no address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if host not in allow:
        addresses = [each for each in addresses if is_public(each)]
    if not addresses:
        raise Refused(
            f"{host}: this host is in a private network, which is not fetched; if you trust it, "
            "name it in `private_hosts`"
        )
    return addresses[:MOST_ADDRESSES]


def is_public(address: str) -> bool:
    """True for an address that anybody on the internet may have."""
    found: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        for network, shift in _EMBEDDED:
            if found in network:
                found = ipaddress.IPv4Address(int(found) >> shift & 0xFFFFFFFF)
                break
        else:
            if found.is_site_local or found not in ipaddress.IPv6Network("2000::/3"):
                return False
    return found.is_global and not found.is_multicast and not found.is_reserved
