"""Which addresses a feed may be fetched from: public ones only, so that nobody can read the pages
of a company's own network through the monitor."""

import ipaddress
import socket
from collections.abc import Collection

from xinye.apps.monitor.web_addresses import Refused

MOST_ADDRESSES = 4  # of a host, that are tried
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv6 addresses that stand for an IPv4 address, each with the bits after that one.
_EMBEDDED = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)


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
