"""How web addresses are read and written."""

import pytest

from xinye.apps.monitor.web_addresses import Refused, checked_url, link


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
