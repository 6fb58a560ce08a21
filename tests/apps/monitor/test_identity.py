"""Each document counts once, however its feed numbers it and its file is called."""

import json
from pathlib import Path

import pytest

from apps.monitor.conftest import Clock, documents_of, totals
from apps.monitor.sources.conftest import SETTINGS
from apps.monitor.web import Web
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.sources.feeds import Feeds
from xinye.apps.monitor.sources.files import FileSource, read_stdin


def fetch(monitor: Monitor, ingest: Ingest, clock: Clock, url: str) -> None:
    clock.now += 3600
    for batch in Feeds(monitor.store, {url: ""}, SETTINGS, clock).due():
        ingest.add(batch)


def rss(*entries: tuple[str, str]) -> str:
    items = (f"<item><guid>{guid}</guid><title>{title}</title></item>" for guid, title in entries)
    return f"<rss><channel><title>早报</title>{''.join(items)}</channel></rss>"


def read(ingest: Ingest, *names: str | Path) -> int:
    """How many documents of these sources are new."""
    batches = (batch for name in names for batch in FileSource(str(name), clock=lambda: 9e9).new())
    return sum(added.new + added.repeats for added in map(ingest.add, batches))


def write(path: Path, *numbers: int, text: str = "消息", **more: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = ({"id": at, "text": f"{text}{at}", **more} for at in numbers)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


# -- feeds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fetches",
    [
        ("涨跌", "涨", "跌"),
        ("涨", "涨跌", "涨"),
        ("涨", "跌", "跌涨", "涨"),
        ("涨跌", "涨平", "平"),
    ],
)
def test_articles_that_share_an_id_count_once(
    web: Web, monitor: Monitor, ingest: Ingest, clock: Clock, fetches: tuple[str, ...]
) -> None:
    for titles in fetches:
        url = web.add("/a.rss", rss(*(("G", title) for title in titles)))
        fetch(monitor, ingest, clock, url)
    found = sorted(each.title for each in documents_of(monitor))
    assert found == sorted({*"".join(fetches)})


def test_an_edited_article_is_the_same(
    web: Web, monitor: Monitor, ingest: Ingest, clock: Clock
) -> None:
    for titles in ("涨", "跌", "涨"):
        fetch(monitor, ingest, clock, web.add("/a.rss", rss(("1", titles), ("2", "平"))))
    assert {each.title for each in documents_of(monitor)} == {"涨", "平"}


def test_a_feed_that_moves_is_known(
    web: Web, monitor: Monitor, ingest: Ingest, clock: Clock
) -> None:
    for path in ("/a.rss", "/b.rss"):
        fetch(monitor, ingest, clock, web.add(path, rss(("1", "涨"), ("2", "跌"))))
    assert totals(monitor) == (2, 0)
    assert {(each.source, each.origin) for each in documents_of(monitor)} == {
        ("早报", web.url("/a.rss"))
    }


# -- files -----------------------------------------------------------------------------------------


def test_the_spelling_of_a_path_does_not_count(
    ingest: Ingest, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "sp.jsonl", 1, 2, source="微博")
    (tmp_path / "link").symlink_to(tmp_path)
    assert read(ingest, "sp.jsonl") == 2
    write(path, 1, 2, 3, source="微博", text="新消息")  # only the ids are known
    assert read(ingest, "./sp.jsonl", path, "link/sp.jsonl", "link") == 1
    assert {each.origin for each in documents_of(monitor)} == {str(path.resolve())}


def test_a_rotated_file_does_not_count_again(
    ingest: Ingest, monitor: Monitor, tmp_path: Path
) -> None:
    log = write(tmp_path / "log" / "a.jsonl", 1, 2)
    folder = log.parent
    assert read(ingest, folder) == 2
    for number in (1, 2, 3):
        log.rename(folder / f"a-{number}.jsonl")
        write(log, 2 * number + 1, 2 * number + 2)
        assert read(ingest, folder) == 2
    (folder / "old").mkdir()
    (folder / "a-1.jsonl").rename(folder / "old" / "1.jsonl")
    folder.rename(tmp_path / "moved")
    assert read(ingest, tmp_path / "moved") == 0
    with (tmp_path / "moved" / "a.jsonl").open("rb") as stream:
        assert sum(ingest.add(batch).new for batch in read_stdin(stream)) == 0
    assert {each.source for each in documents_of(monitor)} >= {"a.jsonl"}


def test_files_may_number_their_records_alike(ingest: Ingest, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 1, 2, source="微博")
    write(tmp_path / "b.jsonl", 1, 2, source="微博", text="帖子")
    assert read(ingest, tmp_path) == 4
    write(tmp_path / "b.jsonl", 1, 2, source="微博", text="改过")
    assert read(ingest, tmp_path) == 0  # the same ids of the same file
