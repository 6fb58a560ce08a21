"""Which addresses are fetched."""

import socket

import pytest

from xinye.apps.monitor.sources.addresses import find_addresses, is_public
from xinye.apps.monitor.web_addresses import Refused


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
     "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "::", "::1", "fe80::1",
     "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
     "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1",
     "2001:0:1::1", "2001:db8::1"],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1"]
)
def test_other_ways_to_write_an_address(host: str) -> None:
    with pytest.raises((Refused, OSError)):
        find_addresses(host, 80)


def test_of_a_host_only_the_public_addresses_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(None, None, None, "", (each, 80)) for each in ("10.0.0.1", "8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **named: found)
    assert find_addresses("example.org", 80) == ["8.8.8.8"]
    assert find_addresses("example.org", 80, ["example.org"])[0] == "10.0.0.1"
