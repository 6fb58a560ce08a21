"""Which addresses are fetched."""

import socket

import pytest

from xinye.apps.monitor.sources.addresses import (
    Refused,
    checked_url,
    find_addresses,
    is_public,
    link,
)


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


@pytest.mark.parametrize(
    "url, expected",
    [
        ("HTTP://Example.ORG:80/a b?q=树#x", "http://example.org/a%20b?q=%E6%A0%91"),
        ("https://bücher.example/a%20b", "https://xn--bcher-kva.example/a%20b"),
        ("http://[2606:4700::1111]:8080/", "http://[2606:4700::1111]:8080/"),
    ],
)
def test_web_addresses(url: str, expected: str) -> None:
    assert checked_url(url).geturl() == expected


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "file:///etc/passwd", "ftp://example.org/", "http://", "http://[::1",
     "http://a:b@example.org/", "http://example.org:0/", "http://example.org:99999/",
     "http://" + "a" * 300 + ".org/", "http://a..b/", "http://example.org/" + "a" * 3000,
     "javascript:alert(1)", "http://a b.org/"],
)  # fmt: skip
def test_other_addresses(url: str) -> None:
    with pytest.raises(Refused):
        checked_url(url)


def test_links_that_people_follow() -> None:
    assert link("https://a.example/帖?p=2#楼3") == ("https://a.example/%E5%B8%96?p=2#%E6%A5%BC3")
    assert link("https://a.example/\n") == "https://a.example/"
    assert link("javascript:alert(1)") == link("https://a:b@a.example/") == ""
