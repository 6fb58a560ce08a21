"""What reads a stranger's text takes eight times as long for eight times as much, whatever is in it.

Only processor time shows what goes on inside a regular expression or a parser in C. A shape that takes
quadratic time would take 64 times as long: the border lies at three times the linear growth, and what
is over before a busy machine could disturb it counts as linear.
"""

import json
import time
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from xinye.collect.collect import tidied
from xinye.data.cleaning import Cleaning, clean, normalize
from xinye.data.extract import Document, find_format, read_documents
from xinye.data.mediawiki import plain_text
from xinye.data.notes import Notes
from xinye.data.sources import Piece, find_files, read_pieces, read_records
from xinye.data.tokenizer import Tokenizer
from xinye.data.wikitext_marks import without_open_marks
from xinye.errors import XinyeError
from xinye.tasks.chat import Chat
from xinye.tasks.conll import read_conll
from xinye.tasks.roles import roles_of
from xinye.tasks.tag import Tag
from xinye.tasks.tag_spans import segments_of, spans_of

GROWTH = 8
ALLOWED = 3 * GROWTH
UNSEEN = 0.2  # seconds

Shape = Callable[[int], str]  # a text from a size


def fastest(read: Callable[[str], object], text: str, enough: float) -> float:
    """Seconds of processor time, the least of up to three tries: the first that takes less than
    `enough` will do."""
    times: list[float] = []
    while len(times) < 3 and (not times or min(times) >= enough):
        start = time.process_time()
        read(text)
        times.append(time.process_time() - start)
    return min(times)


def assert_linear(read: Callable[[str], object], shape: Shape, size: int) -> None:
    before = fastest(read, shape(size), UNSEEN)
    allowed = ALLOWED * before + UNSEEN
    after = fastest(read, shape(GROWTH * size), allowed)
    assert after < allowed, f"{before:.3f} s, then {after:.3f} s"


def cases(shapes: dict[str, Shape]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", shapes.values(), ids=[ascii(name) for name in shapes])


def repeated(*parts: str) -> dict[str, Shape]:
    return {part: (lambda size, part=part: part * size) for part in parts}


def read_file(path: Path) -> Callable[[str], object]:
    """Read a text as a file of this name; that it is refused is as good."""

    def read(text: str) -> None:
        path.write_text(text, "utf-8")
        with suppress(XinyeError), path.open("rb") as raw:
            if path.suffix in (".csv", ".json", ".jsonl"):
                list(read_pieces([path], "text", on_bad=lambda *problem: None))
            else:
                list(read_documents(path, find_format(path), raw))

    return read


@cases(
    repeated("{|", "{{a|", "{{{a|", "{{{a|b}}", "<ref>", "<ref ", "<div>", "<a b='", "<!--", "</ref ")
    | repeated("[http://a ", "[[File:a|", "[[a]", "<math>", "{{a|[[b|", '<span style="a', "\n{|\n|[[a|")
    | repeated("-{zh:", "( ", "__a", "\n== a ==\nb", "{{a|b}}", "<div>{{a|</div>}}", "{{a|[[b|}}]]")
    | {"nested": lambda size: "{{a|" * size + "}}" * size, "spaces": lambda size: "(" + " " * size}
)  # fmt: skip
def test_wikitext(shape):
    assert_linear(plain_text, shape, 500)


def test_open_marks_lose_nothing():
    text = "{{a|b}} [[c]] <div>d</div> {{{e}} [[f]"
    assert without_open_marks(text) == text
    many = "<div> [[ " * 60 + text
    assert without_open_marks(many).startswith("&#60;div> &#91;&#91; ")
    assert without_open_marks(many).endswith("<div>d</div> &#123;{{e}} &#91;[f]")
    assert plain_text("[[春|" * 60) == "[[春|" * 60


@cases({
    "spaces": lambda size: " " * size + "x", "lines": lambda size: " \n" * size,
    "tabs": lambda size: "a" + "\t\xa0" * size + "b",
})  # fmt: skip
def test_line_ends(shape):
    assert_linear(lambda text: tidied(Document(text, "")), shape, 20_000)


def mail(head: str, body: str) -> str:
    return f"From a Thu Jan  1 00:00:00 2026\n{head}\n{body}"


@cases({
    "quoted": lambda size: mail("", "a wrote:" + "\n" * size + "x"),
    "quoted, spaces": lambda size: mail("", "a wrote:\n" + " \n" * size),
    "signed": lambda size: mail("", "_" * size + " " * size + "x"),
    "words": lambda size: mail("Subject: " + "=?utf-8?q?a?= " * size + "\n", "x"),
    "nested": lambda size: mail("Content-Type: multipart/mixed; boundary=b\n",
                                "--b\nContent-Type: multipart/mixed; boundary=b\n\n" * size),
    "parts": lambda size: mail("Content-Type: multipart/mixed; boundary=b\n", "--b\n\nhi\n" * size),
})  # fmt: skip
def test_mail(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.mbox"), shape, 4000)


def test_mail_has_limits_that_are_named(tmp_path):
    path = tmp_path / "a.mbox"
    part = "Content-Type: message/rfc822\n\n"
    path.write_text(mail(part * 60, "x") + "\n\n" + mail("Subject: " + "a" * 20_000 + "\n", "x"))
    with path.open("rb") as raw:
        nested, long = read_documents(path, "mbox", raw)
    assert "more than 50 deep" in nested.problem
    assert "10,000 characters" in long.problem


@cases({
    "title": lambda size: "---\ntitle: a" + " " * size + "b\n---\n",
    "marks": lambda size: "[a](" * size, "stars": lambda size: "**a " * size,
    "ticks": lambda size: "`a``" * size, "comments": lambda size: "<!--" * size,
})  # fmt: skip
def test_markdown(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.md"), shape, 2000)


@cases({
    "title": lambda size: "<title>" + "-" * size + "a</title><p>b",
    "titles": lambda size: "<title>" + "a - " * size + "|</title><p>b",
    "lists": lambda size: "<ul><li><a>x" * size, "spaces": lambda size: "<p>春" + " \n" * size,
    "tags": lambda size: "<div>" * size, "quotes": lambda size: '<a href="' * size,
})  # fmt: skip
def test_pages(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.html"), shape, 1000)


@cases({
    "open quotes": lambda size: "a,b\n" + 'x","\n' * size,
    "quotes": lambda size: "a,b\n" + 'a,"b\n' * size,
    "empty": lambda size: "a,b\n" + ",,\n" * size, "wide": lambda size: "a\n" + "," * size,
    "semicolons": lambda size: "a;b\n" + "a,;b\n" * size,
    "columns": lambda size: ",".join(map(str, range(size))) + "\n" + "b," * (size - 1) + "c\n",
})  # fmt: skip
def test_tables(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.csv"), shape, 2000)


@cases(
    repeated("{\n", '{"a":"\n', " ", ",", '"\\') | {"bad": lambda size: "[\n" + ' {"a":1]\n' * size}
)
def test_json(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.json"), shape, 1500)


@cases({
    "rows": lambda size: sheet("".join(f'<row r="{at}"><c r="A{at}"><v>1</v></c></row>'
                                       for at in range(1, size))),
    "gaps": lambda size: sheet("".join(f'<row r="{at * 100}"><c r="B{at * 100}"><f>A1</f></c></row>'
                                       for at in range(1, size))),
    "merged": lambda size: sheet('<row r="1"><c r="A1"><v>1</v></c></row>' * size,
                                 '<mergeCell ref="A1:Z1000000"/>' * size),
    "nested": lambda size: sheet("<row>" * size + "</row>" * size),
    "columns": lambda size: sheet("<row>" + "<c><v>1</v></c>" * size + "</row>"),
    "runs": lambda size: sheet('<row><c t="inlineStr"><is>' + "<r><t>abcdefgh</t></r>" * 20 * size + "</is></c></row>"),
})  # fmt: skip
def test_spreadsheets(shape, tmp_path):
    path = tmp_path / "a.xlsx"
    openpyxl.Workbook().save(path)
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def read(text: str) -> None:
        with ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, text if "worksheets/" in name else content)
        with suppress(XinyeError):
            list(read_pieces([path], "1", on_bad=lambda *problem: None))

    assert_linear(read, shape, 500)


def sheet(rows: str, merged: str = "") -> str:
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    data = f"<sheetData>{rows}</sheetData><mergeCells>{merged}</mergeCells>"
    return f'<worksheet xmlns="{name}">{data}</worksheet>'


def test_too_many_open_quotes_are_named(xinye, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,b\n" + "text here,1\n" * 30 + 'x","\n' * 200)
    report = json.loads(xinye("data", "check", path, "--json").out)
    assert any("more than 100 quotes" in noted["problem"] for noted in report["problems"])


@cases({
    "array": lambda size: "[" + ",".join(['{"text":"a"}'] * size) + "]",
    "lists": lambda size: '[{"text":"a"}]\n' * size,
    "nested": lambda size: "[" * size + "]" * size,
})  # fmt: skip
def test_lists_in_json_lines(shape, tmp_path):
    assert_linear(read_file(tmp_path / "a.jsonl"), shape, 2000)


@cases({
    "entries": lambda size: "<item><title>a</title><description>b</description></item>" * size,
    "elements": lambda size: "<item>" * size, "marks": lambda size: "<![CDATA[" * size,
    "markup": lambda size: "<item><description>" + "&lt;div&gt;" * size + "</description></item>",
    "attributes": lambda size: "<item " + "a='b' " * size + "/>",
    "names": lambda size: "<item " + " ".join(f"a{n}='b'" for n in range(size)) + "/>",
    "topics": lambda size: "<item>" + "".join(f"<category>{n}</category>" for n in range(size)),
})  # fmt: skip
@pytest.mark.parametrize(
    "root", ["rss version='2.0'><channel", "feed xmlns='http://www.w3.org/2005/Atom'"]
)
def test_feeds(shape, root, tmp_path):
    entry = "entry" if root.startswith("feed") else "item"
    assert_linear(
        read_file(tmp_path / "a.xml"),
        lambda size: f"<{root}>" + shape(size).replace("item", entry),
        300,
    )


def read_packed(path: Path, pack: Callable[[str], dict[str, str]]) -> Callable[[str], object]:
    """Read a text in an archive of this name, in which `pack` puts it; that it is refused is as
    good."""

    def read(text: str) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in pack(text).items():
                archive.writestr(name, content)
        with suppress(XinyeError), path.open("rb") as raw:
            if path.suffix == ".epub":
                list(read_documents(path, "epub", raw))
            else:
                list(read_pieces(find_files([path]), on_bad=lambda *problem: None))

    return read


CONTAINER = '<container><rootfile full-path="a.opf"/></container>'


@cases({
    "chapters": lambda size: '<item id="a" href="a.html"/>@' + '<itemref idref="a"/>' * size,
    "items": lambda size: '<item id="a" href="a.html"/>' * size + '@<itemref idref="a"/>',
})  # fmt: skip
def test_books(shape, tmp_path):
    def pack(text: str) -> dict[str, str]:
        items, _, spine = text.partition("@")
        package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
        return {"META-INF/container.xml": CONTAINER, "a.opf": package, "a.html": "<p>春"}

    assert_linear(read_packed(tmp_path / "a.epub", pack), shape, 200)


@cases({
    "members": lambda size: "a" * size,
    "folders": lambda size: "/" * size + "b",
    "text": lambda size: "a" * 50 + "春\n" * 100 * size,
    "quotes": lambda size: "a" * 20 + '"b,\n' * size,
})  # fmt: skip
def test_archives(shape, tmp_path):
    def pack(text: str) -> dict[str, str]:
        if not text.strip("a"):
            return {f"{number}.txt": str(number) for number in range(len(text))}
        return {f"a{'/a' * text.count('/')}.csv": f"text,n\n{text}"}

    assert_linear(read_packed(tmp_path / "a.zip", pack), shape, 100)


@pytest.mark.parametrize("inside", [False, True])
def test_parquet(inside, tmp_path):
    path = tmp_path / "a.parquet"

    def write(size: int) -> Path:
        pyarrow.parquet.write_table(
            pyarrow.table({"text": ["春"] * size, "n": range(size)}), path, row_group_size=20
        )
        if not inside:
            return path
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, "a.parquet")
        return tmp_path / "a.zip" / "a.parquet"

    assert_linear(lambda text: list(read_records(write(len(text)))), lambda size: "a" * size, 2000)


ACCENTS = repeated("\u0301\u0323", "か\u3099", "\u0f73", "\u0344\u0323")


@cases(ACCENTS | {"one letter": lambda size: "e" + "\u0301" * size + "\u0323" * size})
@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_stacked_accents(shape, form):
    assert normalize(form, shape(100)) == unicodedata.normalize(form, shape(100))
    settings = Cleaning(unicode=form)
    assert_linear(lambda text: list(clean([Piece(text, "")], settings)), shape, 4000)


def test_columns_without_an_empty_line(tmp_path):
    path = tmp_path / "a.conll"
    tokenizer = Tokenizer.train(["新叶 new leaf"], kind="bytes")

    def read(text: str) -> None:
        path.write_text(text, "utf-8")
        [record] = read_conll(path, lambda error: None, Notes())
        for part in segments_of(tokenizer, record.text, 128):
            spans_of(part.offsets, [("I-A", 0.5)] * len(part.offsets))

    assert_linear(read, lambda size: "叶。 I-A\n" * size, 1000)
    offsets = [(at, at + 1) for at in range(100_000)]
    assert_linear(lambda text: spans_of(offsets[: len(text)], [("I-A", 0.5)] * len(text)),
                  lambda size: "a" * size, 4000)  # fmt: skip


@cases({
    "spans": lambda size: json.dumps({"text": "叶" * size, "spans": [[3 * at, 3 * at + 3, "A"] for at in range(size)]}),
    "tokens": lambda size: json.dumps({"tokens": ["叶"] * size, "tags": ["I-A"] * size}),
    "comments": lambda size: "叶 B-A\n" + "# a\n" * size,
    "results": lambda size: json.dumps({"data": {"text": "叶"}, "annotations": [{"result": [{"type": "a"}] * size}]}),
})  # fmt: skip
def test_annotations(shape, tmp_path):
    path = tmp_path / "a.jsonl"

    def read(text: str) -> None:
        path.write_text(text, "utf-8")
        Tag.read([str(path)], offsets="bytes")

    assert_linear(read, shape, 2000)


@cases({
    "one speaker.txt": lambda size: "User: a\n" * size,
    "one message.txt": lambda size: "User: a\nBot: b\n" + "c\n\n" * size,
    "marks.txt": lambda size: "User: a\n" + "#" * size + "\n" + " " * size + "b\n" + "-" * size + "c",
    "rows.csv": lambda size: "id,role,content,time\n" + "1,user,a,2\n1,bot,b,1\n" * size,
    "preference.jsonl": lambda size: json.dumps({"chosen": "\n\nHuman: a\n\nAssistant: b" * size}),
    "no answers.jsonl": lambda size: json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}] * size}),
    "turns.jsonl": lambda size: json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * size}),
    "guanaco.jsonl": lambda size: json.dumps({"text": "### Human: a### Assistant: b\n\n" * size}),
})  # fmt: skip
def test_conversations(shape, tmp_path, request):
    path = tmp_path / request.node.callspec.id.strip("'")

    def read(text: str) -> None:
        path.write_text(text, "utf-8")
        with suppress(XinyeError):
            records = Chat.read([str(path)], on_bad=lambda problem: None)
            list(Chat.findings(records, []))

    assert_linear(read, shape, 2000)


def test_names_of_speakers():
    def read(text: str) -> None:
        roles_of([f"客户{at}" for at in range(len(text))], "", "", Notes())

    assert_linear(read, lambda size: "a" * size, 2500)
