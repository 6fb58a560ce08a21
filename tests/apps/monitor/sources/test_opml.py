"""Lists of feeds."""

from pathlib import Path

import pytest

from xinye.apps.monitor.sources.opml import read_opml
from xinye.data.notes import Notes
from xinye.errors import XinyeError

FEED = '<outline text="新叶" type="rss" xmlUrl="{}"/>'


def write(path: Path, *urls: str, end: str = "</body></opml>") -> Path:
    path.write_text("<opml><body>" + "\n".join(map(FEED.format, urls)) + end, "utf-8")
    return path


def test_feeds_in_folders(tmp_path: Path) -> None:
    urls = ["https://a.example/", "http://b.example/x?y=1&amp;z=2", "https://a.example/"]
    path = write(tmp_path / "feeds.opml", *urls)
    path.write_text(
        path.read_text("utf-8").replace("<body>", '<body><outline text="新闻">'), "utf-8"
    )
    notes = Notes()
    assert read_opml(path, notes) == {
        "https://a.example/": "新叶",
        "http://b.example/x?y=1&z=2": "新叶",
    }
    assert "repaired" in notes.sentences()[0]  # the folder is not closed


def test_what_cannot_be_fetched_is_told(tmp_path: Path) -> None:
    notes = Notes()
    path = write(tmp_path / "feeds.opml", "https://a.example/", "file:///etc/passwd")
    assert [*read_opml(path, notes)] == ["https://a.example/"]
    assert "line 2" in notes.sentences()[0]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("<opml><body/></opml>", "no feed"),
        ("<rss/>", "root element is 'rss'"),
        ("feeds", "not XML"),
        ("", "not XML"),
    ],
)
def test_files_without_feeds(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "feeds.opml"
    path.write_text(text, "utf-8")
    with pytest.raises(XinyeError, match=problem):
        read_opml(path)
