"""Feeds from a real server: what comes out of them, and what they must survive."""

import gzip
import re
import socket
import time
from collections.abc import Collection
from zoneinfo import ZoneInfo

import pytest

from apps.monitor.sources.conftest import NOW, SETTINGS, Clock, Reader
from apps.monitor.web import HERE, Answer, Web
from xinye.apps.monitor.documents import Incoming, Origin
from xinye.apps.monitor.sources import connections, feeds
from xinye.apps.monitor.sources.feed_states import FeedStates
from xinye.apps.monitor.sources.feeds import Feeds
from xinye.apps.monitor.sources.fetching import FetchLimits
from xinye.language import chinese

DAY = 86_400.0


def item(title: str, date: str = "Wed, 01 May 2024 07:00:00 GMT", more: str = "") -> str:
    dated = f"<pubDate>{date}</pubDate>" if date else ""
    return f"<item><title>{title}</title><guid>{title}</guid>{dated}{more}</item>"


def rss(*items: str) -> str:
    return f"<rss version='2.0'><channel><title>F</title>{''.join(items)}</channel></rss>"


def titles(found: list[Incoming]) -> list[str]:
    return [each.title for each in found]


def test_an_entry_becomes_a_document(web: Web, reader: Reader) -> None:
    more = "<link>/1</link><description>&lt;p&gt;春天&lt;br&gt;来了&lt;/p&gt;</description>"
    url = web.add("/a.rss", rss(item("新叶 &amp; 树", more=more)))
    found = Incoming(
        "", "新叶 & 树", "新叶 & 树", "春天\n来了", web.url("/1"), NOW - 3600, Origin(url, "F")
    )
    assert reader.read(url) == [found]
    assert reader.warned == []


def test_the_title_is_that_of_the_list_or_of_the_feed(web: Web, reader: Reader) -> None:
    atom = "<feed xmlns='http://www.w3.org/2005/Atom'><title>新叶 &amp;amp; 树</title>{}</feed>"
    urls = [web.add("/a.rss", rss(item("a"))), web.add("/b.atom", atom.format("<entry/>"))]
    reader.read(*urls)
    assert [each.title for each in reader.feeds(*urls).states()] == ["F", "新叶 & 树"]
    listed = Feeds(
        reader.store, {urls[0]: "早报", web.url("/none"): "晚报"}, SETTINGS, reader.clock
    )
    reader.clock.now += DAY
    assert len([batch for batch in listed.due() if batch]) == 1
    found = FeedStates(reader.store).known()
    assert {each.title for each in found} == {"早报", "新叶 & 树", "晚报"}


def test_the_oldest_entry_comes_first(web: Web, reader: Reader) -> None:
    assert titles(reader.read(web.add("/a.rss", rss(item("new"), item("old"))))) == ["old", "new"]


def test_a_feed_is_fetched_when_it_is_due(web: Web, reader: Reader, clock: Clock) -> None:
    url = web.add("/a.rss", rss(item("a")))
    assert reader.read(url) and not reader.read(url)
    clock.now += 300
    # the source repeats itself: the same id comes again, and the store knows it
    assert [each.id for each in reader.read(url)] == ["a"]


def test_a_clock_that_goes_back_stops_no_feed(web: Web, reader: Reader, clock: Clock) -> None:
    url = web.add("/a.rss", rss(item("a")))
    reader.read(url)
    clock.now -= 30 * DAY
    assert reader.read(url)


def test_a_feed_that_has_not_changed_is_not_sent_again(
    web: Web, reader: Reader, clock: Clock
) -> None:
    def page(request) -> Answer:
        conditions = request.headers["If-None-Match"], request.headers["If-Modified-Since"]
        if conditions == ('"7"', "Wed, 01 May 2024 07:00:00 GMT"):
            return Answer(status=304)
        headers = {"ETag": '"7"', "Last-Modified": "Wed, 01 May 2024 07:00:00 GMT"}
        return Answer(rss(item("a")).encode(), headers=headers)

    web.pages["/a.rss"] = page
    url = web.url("/a.rss")
    assert reader.read(url)
    clock.now += 300
    assert not reader.read(url) and web.asked["/a.rss"] == 2
    assert reader.feeds(url).states()[0].fresh == clock.now


def test_a_feed_counts_as_read_only_after_its_batch(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(item("a")), ETag='"7"')
    batches = reader.feeds(url).due()
    assert titles(next(batches)) == ["a"]
    batches.close()  # as if the program were killed before it has stored the batch
    assert titles(reader.read(url)) == ["a"]


# -- faults of the content -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        f"<rss><channel>{item('a')}{item('b')}",
        f"<rss><channel>{item('a')}<oops>{item('b')}</channel></rss>",
        rss(item("a"), "<item><title>b</title><link>x?a=1&b=2</link></item>"),
        rss(item("a"), item("b", more="<content:encoded>c</content:encoded>")).replace(
            "2.0", "\x08"
        ),
    ],
)
def test_broken_xml_is_repaired_and_told(web: Web, reader: Reader, broken: str) -> None:
    assert sorted(titles(reader.read(web.add("/a.rss", broken)))) == ["a", "b"]


def test_broken_xml_is_told_once(web: Web, reader: Reader, clock: Clock) -> None:
    url = web.add("/a.rss", f"<rss><channel>{item('a')}")
    for _ in range(2):
        reader.read(url)
        clock.now += 300
    (warned,) = reader.warned
    assert "XML is broken and was repaired" in warned
    assert "broken" in reader.feeds(url).states()[0].notes[0]


@pytest.mark.parametrize("declared", ["", "gb2312", "gb18030", "utf-8"])
def test_gb18030(web: Web, reader: Reader, declared: str) -> None:
    text = rss(item("春天来了，树上的叶子都是新的。朱镕基"))
    head = f"<?xml version='1.0' encoding='{declared}'?>" if declared else ""
    url = web.add("/a.rss", (head + text).encode("gb18030"))
    assert titles(reader.read(url)) == ["春天来了，树上的叶子都是新的。朱镕基"]


def test_the_encoding_of_the_header_counts_if_the_feed_names_none(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(item("鏡")).encode("big5"), Content_Type="text/xml; charset=big5")
    assert titles(reader.read(url)) == ["鏡"]


def test_a_bad_byte_does_not_cost_the_feed(web: Web, reader: Reader) -> None:
    text = rss(item("春天来了，树上的叶子都是新的。"), item("b")).encode()
    url = web.add("/a.rss", text.replace(b"<title>b", b"<title>b\xff"))
    assert titles(reader.read(url))[0] == "b�"
    assert "0xFF" in reader.warned[0]


def test_dates(web: Web, reader: Reader) -> None:
    dates = ["", "soon", "2024-05-01 15:00:00", "Wed, 01 May 2030 07:00:00 GMT", "5月1日"]
    url = web.add("/a.rss", rss(*(item(str(n), date) for n, date in enumerate(dates))))
    found = {each.title: each.published for each in reader.read(url)}
    assert found["0"] is None and found["1"] is None and found["4"] is None
    assert found["2"] == NOW + 7 * 3600  # read as UTC, which is in the future here
    assert found["3"] and found["3"] > NOW
    said = "\n".join(reader.warned)
    assert "the date is missing or not readable (3 entries)" in said
    assert "the date is in the future (2 entries)" in said


def test_a_date_without_a_zone_has_that_of_the_settings(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(item("a", "2024-05-01 15:00:00")))
    (found,) = reader.read(url, zone=ZoneInfo("Asia/Shanghai"))
    assert found.published == NOW - 3600
    assert "Asia/Shanghai is assumed" in reader.warned[0]


def test_entries_with_the_same_id_are_told_apart(web: Web, reader: Reader) -> None:
    same = "<guid>http://example.org/</guid>"
    entries = [f"<item><title>{title}</title>{same}</item>" for title in "abca"]
    found = reader.read(web.add("/a.rss", rss(*entries)))
    assert {each.shared for each in found} == {True}
    assert "same id" in reader.warned[0]


def test_a_link_to_a_script_is_left_out(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(item("a", more="<link>javascript:alert(1)</link>")))
    assert reader.read(url)[0].url == ""


def test_a_page_that_is_no_feed_fails(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", "<html><body>404</body></html>")
    assert not reader.read(url)
    assert "its root element is 'html'" in reader.feeds(url).states()[0].error


def test_the_content_of_a_feed_names_no_file(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", "/etc/passwd")
    assert not reader.read(url) and "not XML" in reader.warned[0]


def test_entities_are_refused(web: Web, reader: Reader) -> None:
    bomb = "<!DOCTYPE rss [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>"
    assert not reader.read(web.add("/a.rss", bomb + rss(item("&b;"))))
    assert "entities" in reader.warned[0]


def test_only_so_many_entries_are_read(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(*(item(str(number)) for number in range(9))))
    assert titles(reader.read(url, entries=3)) == ["2", "1", "0"]
    assert "first 3 entries of 9 are read" in reader.warned[0]


def test_each_note_is_known_in_chinese(web: Web, reader: Reader, clock: Clock) -> None:
    same = [f"<item><title>{title}</title><guid>1</guid></item>" for title in "ab"]
    items = [*same, "<item/>", item("c", "Wed, 01 May 2030 07:00:00 GMT"), item("d")]
    url = web.add("/a.rss", rss(*items) + " " * 300_000)
    for _ in range(2):
        reader.read(url, entries=4)
        clock.now += 300
    notes = reader.feeds(url).states()[0].notes
    assert reader.warned == [f"{url}: {note}" for note in notes] and len(notes) == 6  # told once
    assert [note for note in notes if re.search("[a-z]{3}", chinese(note))] == []


# -- faults of the server --------------------------------------------------------------------------


def test_50_megabytes_are_cut_and_told(web: Web, reader: Reader) -> None:
    sent = []

    def write(file) -> None:
        file.write(f"<rss><channel>{item('a')}<item><title>b</title><description>".encode())
        for _ in range(50):
            file.write(b"x" * 1_000_000)
            sent.append(1)

    web.pages["/a.rss"] = Answer(write=write)
    assert titles(reader.read(web.url("/a.rss"))) == ["a"]  # half of b is not a document
    assert "larger than 0.2 MB" in reader.warned[0]
    assert len(sent) < 50


def test_a_small_gzip_file_that_unpacks_to_much_is_cut(web: Web, reader: Reader) -> None:
    bomb = gzip.compress(f"<rss><channel>{item('a')}{' ' * 5_000_000}{item('b')}".encode())
    url = web.add("/a.rss", bomb, Content_Encoding="gzip")
    assert titles(reader.read(url)) == ["a"] and "larger" in reader.warned[0]


def test_gzip(web: Web, reader: Reader) -> None:
    packed = gzip.compress(rss(item("春天")).encode())
    assert titles(reader.read(web.add("/a.rss", packed, Content_Encoding="gzip"))) == ["春天"]
    assert not reader.read(web.add("/b.rss", packed[:-20], Content_Encoding="gzip"))
    assert not reader.read(web.add("/c.rss", b"no gzip", Content_Encoding="gzip"))
    assert "ends early" in reader.warned[0] and "damaged" in reader.warned[1]


def test_chunks(web: Web, reader: Reader) -> None:
    text = rss(item("a")).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n"

    def write(file) -> None:
        file.write(chunks)

    headers = {"Transfer-Encoding": "chunked"}
    web.pages["/a.rss"] = Answer(headers=headers, write=write)
    assert titles(reader.read(web.url("/a.rss"))) == ["a"]


def test_an_endless_redirect(web: Web, reader: Reader) -> None:
    web.pages["/a.rss"] = Answer(status=302, headers={"Location": "/a.rss"})
    assert not reader.read(web.url("/a.rss"))
    assert "redirects more than 5 times" in reader.warned[0] and web.asked["/a.rss"] == 6


def test_a_redirect_is_followed(web: Web, reader: Reader) -> None:
    web.add("/b.rss", rss(item("a", more="<link>1</link>")))
    web.pages["/a.rss"] = Answer(status=301, headers={"Location": "b.rss"})
    (found,) = reader.read(web.url("/a.rss"))
    assert found.origin == Origin(web.url("/a.rss"), "F") and found.url == web.url("/1")


def slow(web: Web, head: bytes = b"") -> Answer:
    """An answer that sends a byte now and then, without end."""

    def write(file) -> None:
        file.write(head)
        while not web.stopped.wait(0.1):
            file.write(b"x")
            file.flush()

    return Answer(write=write)


@pytest.mark.parametrize("head", [b"", b"<rss>"])
def test_a_byte_at_a_time_ends_at_the_limit(web: Web, reader: Reader, head: bytes) -> None:
    web.pages["/a.rss"] = slow(web, head)
    start = time.monotonic()
    limits = FetchLimits(seconds=0.5, gap=0)
    assert not reader.read(web.url("/a.rss"), limits=limits)
    assert 0.4 < time.monotonic() - start < 2
    assert "no complete answer within 0.5 seconds" in reader.warned[0]


def test_a_slow_feed_stops_no_other(web: Web, reader: Reader) -> None:
    web.pages["/slow.rss"], there = slow(web), "localhost"
    fast, after = web.add("/a.rss", rss(item("a"))), web.url("/a.rss", there)
    limits, start = FetchLimits(seconds=0.5, gap=0), time.monotonic()
    urls = web.url("/slow.rss", there), after, fast
    batches = reader.feeds(*urls, limits=limits, allow=(HERE, there)).due()
    assert next(batches)[0].origin == Origin(fast, "F")
    assert not reader.warned  # the slow one is still being fetched
    assert next(batches)[0].origin == Origin(after, "F")  # on the host of the slow one
    assert time.monotonic() - start < 2 and len(reader.warned) == 1


@pytest.mark.parametrize("once", [False, True])
def test_feeds_are_fetched_again_while_a_host_is_slow(
    web: Web, reader: Reader, clock: Clock, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    def page(request) -> Answer:
        web.stopped.wait(5)
        return Answer(rss(item("slow")).encode())

    monkeypatch.setattr(feeds, "SOON", 0.02)
    web.pages["/slow.rss"], there = page, "localhost"
    urls = web.url("/slow.rss", there), web.add("/a.rss", rss(item("a")))
    batches = reader.feeds(*urls, allow=(HERE, there)).due(once=once)
    assert titles(next(batches)) == ["a"] and not next(batches)
    clock.now += 300
    if once:
        assert not next(batches)
    else:
        assert titles(next(batch for batch in batches if batch)) == ["a"]
    web.stopped.set()
    assert titles([each for batch in batches for each in batch]) == ["slow"]
    assert dict(web.asked) == {"/slow.rss": 1, "/a.rss": 1 if once else 2}


def test_a_host_that_fails_lets_others_go_first(web: Web, reader: Reader) -> None:
    there = "localhost"
    urls = [web.url(f"/{number}.rss", there) for number in (1, 2)]
    urls.append(web.add("/a.rss", rss(item("a"))))
    reader.read(*urls, allow=(HERE, there), hosts=1)
    assert [*web.asked] == ["/1.rss", "/a.rss", "/2.rss"]


def test_an_answer_that_ends_early_is_not_a_feed(web: Web, reader: Reader) -> None:
    web.pages["/a.rss"] = Answer(
        headers={"Content-Length": "5000"}, write=lambda file: file.write(rss(item("a")).encode())
    )
    assert not reader.read(web.url("/a.rss"))
    assert "ends early" in reader.warned[0]


def test_an_unreachable_feed_does_not_stop_the_others(
    web: Web, reader: Reader, clock: Clock
) -> None:
    good, bad = web.add("/a.rss", rss(item("a"))), web.add("/b.rss", rss(item("b")))
    assert titles(sorted(reader.read(good, bad), key=lambda each: each.title)) == ["a", "b"]
    web.pages["/b.rss"] = Answer(status=500)
    stale = clock.now
    for _ in range(2):
        clock.now += 3600
        assert titles(reader.read(bad, good)) == ["a"]
    failing, answering = reader.feeds(bad, good).states()
    assert (failing.stale, failing.failures) == (stale, 2) and "500" in failing.error
    assert (answering.stale, answering.error) == (None, "")
    assert len(reader.warned) == 1
    web.add("/b.rss", rss(item("b")))
    clock.now += 3600
    assert titles(reader.read(bad)) == ["b"]
    assert reader.feeds(bad).states()[0].stale is None


def test_a_closed_port_is_told(reader: Reader) -> None:
    assert not reader.read(f"http://{HERE}:1/")
    assert "127.0.0.1: it cannot be reached" in reader.warned[0]


def test_a_feed_that_fails_is_asked_less_and_less(web: Web, reader: Reader, clock: Clock) -> None:
    url = web.url("/missing.rss")
    waits = []
    for _ in range(9):
        reader.read(url)
        waits.append(reader.feeds(url).states()[0].due - clock.now)
        clock.now += waits[-1]
    assert waits == [300, 600, 1200, 2400, 4800, 9600, 19_200, 21_600, 21_600]


@pytest.mark.parametrize(
    "wanted, wait",
    [("4000", 4000), ("Wed, 01 May 2024 09:00:00 GMT", 3600), ("9" * 30, 21_600), ("soon", 300)],
)
def test_a_server_may_ask_for_time(web: Web, reader: Reader, wanted: str, wait: float) -> None:
    web.pages["/a.rss"] = Answer(status=503, headers={"Retry-After": wanted})
    url = web.url("/a.rss")
    reader.read(url)
    assert reader.feeds(url).states()[0].due == NOW + wait


def test_a_host_has_one_request_at_a_time_with_a_gap(
    web: Web, reader: Reader, clock: Clock
) -> None:
    inside: list[str] = []

    def page(request) -> Answer:
        inside.append(request.path)
        assert len(inside) == 1
        time.sleep(0.02)
        inside.clear()
        return Answer(rss(item(request.path)).encode())

    urls = [web.url(f"/{number}.rss") for number in range(4)]
    web.pages.update({f"/{number}.rss": page for number in range(4)})
    assert len(reader.read(*urls, limits=FetchLimits(gap=2.0))) == 4
    assert clock.slept == [2.0] * 3


# -- addresses -------------------------------------------------------------------------------------


def test_a_private_address_is_refused_unless_it_is_allowed(web: Web, reader: Reader) -> None:
    url = web.add("/a.rss", rss(item("a")))
    assert not reader.read(url, allow=())
    assert "private network" in reader.warned[0] and not web.asked


def test_a_redirect_to_a_private_address_is_refused(web: Web, reader: Reader) -> None:
    web.add("/b.rss", rss(item("b")))
    location = web.url("/b.rss", host="localhost")  # allowed is only 127.0.0.1
    web.pages["/a.rss"] = Answer(status=302, headers={"Location": location})
    assert not reader.read(web.url("/a.rss"))
    assert "localhost: this host is in a private network" in reader.warned[0]
    assert not web.asked["/b.rss"]


def test_a_redirect_to_a_file_is_refused(web: Web, reader: Reader) -> None:
    web.pages["/a.rss"] = Answer(status=302, headers={"Location": "file:///etc/passwd"})
    assert not reader.read(web.url("/a.rss"))
    assert "must begin with https" in reader.warned[0]


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["8.8.8.8", HERE, HERE]  # of a name server that changes its mind
    asked: list[str] = []

    def find(*arguments: object, **named: object) -> list[tuple]:
        return [(None, None, None, "", (answers.pop(0), 80))]

    def connect(address: tuple[str, int], timeout: float) -> None:
        asked.append(address[0])
        raise OSError("the test has no internet")

    monkeypatch.setattr(socket, "getaddrinfo", find)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert not reader.read("http://example.org/")
    assert asked == ["8.8.8.8"]


def test_a_public_host_cannot_lead_to_one_that_is_allowed(
    web: Web, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: dict[str, set[str]] = {}

    def find(host: str, port: int, allow: Collection[str]) -> list[str]:
        allowed[host] = set(allow)
        return [HERE]

    monkeypatch.setattr(connections, "find_addresses", find)
    web.pages["/a.rss"] = Answer(status=302, headers={"Location": web.url("/b.rss")})
    reader.read(web.url("/a.rss", host="example.org"))
    assert allowed == {"example.org": set(), HERE: set()}
