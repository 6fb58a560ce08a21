"""`xinye data collect` as a person meets it."""

import bz2
import json
import sys
from types import SimpleNamespace

import pytest

from conftest import contents
from xinye.data import extract
from xinye.libraries import install_command

PAGE = "<html><head><title>{0}</title></head><body><nav><a>首页</a></nav><h1>{0}</h1><p>{1}</p></body></html>"
DUMP = """<mediawiki><page><title>新叶</title><ns>0</ns><id>7</id>
<revision><text>'''新叶'''是[[树]]上的叶子。</text></revision></page></mediawiki>"""


@pytest.fixture
def sources(workplace):
    """A folder of several formats, with files that are broken, of another kind, and twice there."""
    folder = workplace / "sources"
    (folder / "pages").mkdir(parents=True)
    (folder / "wiki.xml.bz2").write_bytes(bz2.compress(DUMP.encode()))
    (folder / "pages" / "a.html").write_text(PAGE.format("春天", "叶子绿了。"), "gb18030")
    (folder / "pages" / "b.html").write_text(PAGE.format("Spring", "All green."), "utf-8")
    (folder / "note.txt").write_text("一行 \r\n\n\n\n\x07two  \n", "utf-8")
    (folder / "same.txt").write_text("一行\n\ntwo", "utf-8")
    (folder / "empty.md").write_text("---\ntitle: 空\n---\n", "utf-8")
    (folder / "cut.epub").write_bytes(b"PK\x03\x04")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    (folder / ".hidden.txt").write_text("不读", "utf-8")
    return folder


def records(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_mixed_folder(xinye, workplace, sources):
    outcome = xinye("data", "collect", "sources", "-o", "new/all.jsonl", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    found = records(workplace / "new" / "all.jsonl")
    assert found == [
        {"text": "一行\n\ntwo", "source": "sources/note.txt", "title": ""},
        {"text": "春天\n叶子绿了。", "source": "sources/pages/a.html", "title": "春天"},
        {"text": "Spring\nAll green.", "source": "sources/pages/b.html", "title": "Spring"},
        {"text": "新叶\n\n新叶是树上的叶子。", "source": "sources/wiki.xml.bz2:7", "title": "新叶"},
    ]
    assert (result["documents"], result["characters"]) == (
        4,
        sum(len(record["text"]) for record in found),
    )
    assert result["by_format"] == {"html": 2, "text": 1, "mediawiki": 1}
    assert result["dropped"] == {"control characters": 1, "duplicate": 1, "empty": 1}
    assert [skip["file"] for skip in result["skipped"]] == ["sources/cut.epub", "sources/scan.pdf"]
    assert result["ignored"] == {".jpg": 1}
    assert (
        "skipped the file sources/cut.epub: not a complete EPUB file" in outcome.err
        and "1 .jpg" in outcome.err
    )
    assert [path.name for path in (workplace / "new").iterdir()] == ["all.jsonl"]


def test_what_is_collected_can_be_trained_on(xinye, workplace):
    for language in ("zh", "en"):
        assert xinye("data", "collect", f"{language}.txt", "-o", f"{language}.jsonl").code == 0
    outcome = xinye("tokenizer", "train", "zh.jsonl", "en.jsonl", "-o", "mine", "--kind", "char")
    assert outcome.code == 0, outcome.err


def test_the_limit_ends_the_reading(xinye, workplace, sources):
    outcome = xinye(
        "data", "collect", "sources/wiki.xml.bz2", "sources", "-o", "some.jsonl", "--limit", "1"
    )
    assert outcome.code == 0 and outcome.err.startswith(
        "collected 1 document (1 mediawiki), 13 characters; saved to some.jsonl"
    )
    assert [record["title"] for record in records(workplace / "some.jsonl")] == ["新叶"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["missing", "-o", "a.jsonl"], "missing: no such file or folder"),
        (["sources/photo.jpg", "-o", "a.jsonl"], "files of this kind; Xinye reads .txt"),
        (["old.jsonl", "-o", "a.jsonl"], "its records are already documents"),
        (
            ["sources/cut.epub", "-o", "a.jsonl"],
            "sources/cut.epub was skipped (not a complete EPUB file",
        ),
        (["sources/empty.md", "-o", "a.jsonl"], "sources/empty.md: no documents found"),
        (["zh.txt", "-o", "a.txt"], "name it a.jsonl"),
        (["zh.txt", "-o", "old.jsonl"], "--overwrite"),
        (["sources/scan.pdf", "-o", "old.jsonl", "--overwrite"], "no document is left"),
        (["zh.txt"], "--output"),
        (["zh.txt", "-o", "a.jsonl", "--limit", "0"], "--limit"),
        (["zh.txt", "-o", "a.jsonl", "--field", "text"], "hub:NAME"),
        (["zh.txt", "-o", "a.jsonl", "--overwrit"], "did you mean '--overwrite'?"),
    ],
)
def test_wrong_use_is_one_line_and_loses_nothing(xinye, workplace, sources, arguments, says):
    (workplace / "old.jsonl").write_text('{"text": "旧"}\n', "utf-8")
    before = contents(workplace)
    outcome = xinye("data", "collect", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before


def test_an_old_file_is_replaced_when_asked(xinye, workplace):
    (workplace / "old.jsonl").write_text("x", "utf-8")
    assert xinye("data", "collect", "en.txt", "-o", "old.jsonl", "--overwrite").code == 0
    assert records(workplace / "old.jsonl")[0]["source"] == "en.txt"


def test_a_missing_library_is_named(xinye, workplace, sources, monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    outcome = xinye("data", "collect", "sources", "-o", "a.jsonl")
    assert (
        outcome.code == 2
        and f"reading html needs trafilatura; to install it: {install_command()}"
        in outcome.complaint
    )
    assert not (workplace / "a.jsonl").exists()


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the hub: one data set of two languages, whose records are made as they are
    asked for."""
    asked = []

    def load_dataset(name, config, split, streaming):
        asked.append((name, config, split, streaming))
        if name != "me/leaves":
            raise ConnectionError(f"Couldn't reach {name!r}\non the Hub (ConnectError)")
        return (
            {"title": f"叶{number}", "text": f"第{number}片 leaf", "id": str(number)}
            for number in range(10**9)
        )

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_a_hub_data_set_is_read_as_it_arrives(xinye, workplace, hub):
    outcome = xinye(
        "data", "collect", "hub:me/leaves:zh", "-o", "a.jsonl", "--limit", "150", "--split", "test"
    )
    assert outcome.code == 0, outcome.err
    assert hub == [("me/leaves", "zh", "test", True)]
    found = records(workplace / "a.jsonl")
    assert len(found) == 150
    assert found[149] == {
        "text": "叶149\n\n第149片 leaf",
        "source": "hub:me/leaves:zh:150",
        "title": "叶149",
    }


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["hub:me/other"], "Couldn't reach 'me/other' on the Hub (ConnectError)"),
        (["hub:me/leaves", "--field", "txt"], "the columns are: title, text, id"),
    ],
)
def test_a_hub_data_set_that_cannot_be_had(xinye, workplace, hub, arguments, says):
    outcome = xinye("data", "collect", *arguments, "-o", "a.jsonl")
    assert outcome.code == 2 and says in outcome.complaint
    assert not (workplace / "a.jsonl").exists()


def test_the_hub_needs_its_library(xinye, workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    outcome = xinye("data", "collect", "hub:me/leaves", "-o", "a.jsonl")
    assert (
        outcome.code == 2
        and f"reading from the hub needs datasets; to install it: {install_command('hub')}"
        in outcome.complaint
    )


def test_a_page_too_large_is_skipped(xinye, workplace, sources, monkeypatch):
    monkeypatch.setattr(extract, "LARGEST_PAGE", 100)
    outcome = xinye("data", "collect", "sources/pages/a.html", "-o", "a.jsonl")
    assert outcome.code == 2 and "too large" in outcome.complaint
