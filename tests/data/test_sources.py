"""Files in, text out: every format and encoding reads exactly, or one line says which file and
where it does not."""

import codecs
import csv
import gzip
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xinye.data import encodings, records, sources
from xinye.data.notes import Notes, place_of
from xinye.data.sources import (
    Piece,
    detect_encoding,
    find_files,
    fingerprint,
    line_ends,
    read_pieces,
)
from xinye.errors import XinyeError

REAL = Path(__file__).parents[3] / "shared" / "data"
LINE_END = "\n"
ENGLISH = "A new leaf grows.\n"
CHINESE = "春天来了，新的叶子在树上长出来。\n"
TRADITIONAL = "春天來了，新的葉子在樹上長出來。\n"
POEM = "床前明月光\n疑是地上霜"
# Not in it: zero bytes (a binary file), and surrogates, which are no characters.
TEXT = st.text(
    st.one_of(
        st.sampled_from("\n\r \t，新叶"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    )
)
REUSE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def texts(*files: Path, **options: str) -> list[str]:
    return [piece.text for piece in read_pieces(files, **options)]


def error(*files: Path, **options: str) -> str:
    with pytest.raises(XinyeError) as caught:
        texts(*files, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def universal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@REUSE
@given(text=TEXT, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_text_in_unicode_reads_back(tmp_path: Path, text: str, encoding: str) -> None:
    # there it would be the mark itself
    text = text.lstrip("\ufeff") if encoding == "utf-8" else text
    path = write(tmp_path / "a.txt", text.encode(encoding))
    assert "".join(texts(path)) == universal(text)


@REUSE
@given(text=TEXT, place=st.booleans())
def test_any_text_with_some_chinese_reads_back_from_gb18030(
    tmp_path: Path, text: str, place: bool
) -> None:
    text = CHINESE * 8 + text if place else ENGLISH * 5000 + CHINESE * 8 + text
    assert "".join(texts(write(tmp_path / "a.txt", text.encode("gb18030")))) == universal(text)


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (CHINESE * 3, "gb18030", "gb18030"),
        ("拐杖", "gb18030", "gb18030"),  # a title of two characters, neither of them common
        (ENGLISH * 100_000 + CHINESE, "gb18030", "gb18030"),  # the first Chinese after 1.8 MB
        (TRADITIONAL * 3, "gb18030", "gb18030"),
        (TRADITIONAL * 3, "big5", "big5hkscs"),
        (ENGLISH * 10 + TRADITIONAL, "big5", "big5hkscs"),
        (CHINESE + ENGLISH, "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (CHINESE, "utf-32-le", "utf-32-le"),
        ("He said “no” to the naïve café owner, didn’t he?\n", "cp1252", "cp1252"),
        ("Весенним утром я гулял по саду и слушал пение птиц. " * 5, "cp1251", "cp1251"),
    ],
)
def test_encodings_without_a_mark(
    tmp_path: Path, content: str, encoding: str, expected: str
) -> None:
    path = write(tmp_path / "a.txt.gz", content.encode(encoding))
    assert detect_encoding(path) == expected
    assert "".join(texts(path)) == content


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
@pytest.mark.parametrize(
    "before", [CHINESE * 60_000, CHINESE, ENGLISH * 60_000, "叶"], ids=["zh", "line", "en", "one"]
)
def test_a_broken_byte_is_named_with_its_exact_offset(
    tmp_path: Path, before: str, suffix: str
) -> None:
    path = write(
        tmp_path / f"a{suffix}",
        before.encode() + b"\x81 and " + CHINESE.encode() + ENGLISH.encode(),
    )
    assert error(path) == (
        f"{path}: byte 0x81 at offset {len(before.encode())} (line {before.count(LINE_END) + 1}) is "
        "not UTF-8, and no other encoding fits; convert the file to UTF-8, or use "
        "--bad-bytes replace to read such bytes as �"
    )


def test_a_broken_character_between_blocks_and_after_a_mark(tmp_path: Path) -> None:
    padding = b"a" * (encodings.BLOCK_BYTES - 1)
    path = write(tmp_path / "a.txt", padding + "叶".encode()[:2] + b"a")
    assert f"byte 0xE5 at offset {len(padding)} (line 1) is not UTF-8" in error(path)
    path = write(tmp_path / "b.txt", codecs.BOM_UTF8 + "叶".encode() + b"\xff")
    assert "byte 0xFF at offset 6 (line 1) is not UTF-8, in which the file begins" in error(path)
    path = write(tmp_path / "c.txt", CHINESE.encode("utf-16") + b"a")
    assert f"at offset {len(CHINESE.encode('utf-16'))} (line 2) is not UTF-16" in error(path)
    content = (CHINESE * 50).encode("gb18030")
    path = write(tmp_path / "d.txt", content + b"\xff" + content)
    assert (
        f"byte 0xFF at offset {len(content)} (line 51) is not GB18030, which the file looks like"
        in error(path)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "this is a zip archive, or a Word, Excel or EPUB file, not text"),
        (b"%PDF-1.7", "this is a PDF document, not text"),
        (b"\x89PNG\r\n", "this is a PNG image"),
        (b"\x7fELF\x02", "this is an executable program"),
        (bytes(range(256)) * 10, "this is a binary file, not text (zero byte at offset 0)"),
        (
            ENGLISH.encode() * 100_000 + b"\0",
            "this is a binary file, not text (zero byte at offset 1800000)",
        ),
    ],
)
def test_binary_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path / "图.txt", content)
    assert error(path).startswith(f"{path}: {message}")


def test_a_zero_byte_in_a_csv_and_damaged_gzip(tmp_path: Path) -> None:
    assert "a.csv: this is a binary file, not text (zero byte at offset 6)" in error(
        write(tmp_path / "a.csv", b"text\na\0b\n")
    )
    whole = gzip.compress(CHINESE.encode() * 1000)
    for number, content in enumerate(
        [whole[:-20], b"no gzip", whole[:30] + b"\xff\xff\xff" + whole[33:]]
    ):
        path = tmp_path / f"{number}.jsonl.gz"
        path.write_bytes(content)
        assert f"{number}.jsonl.gz: the gzip data is damaged or cut short" in error(path)


@REUSE
@given(
    text=TEXT,
    size=st.integers(1, 20),
    separator=st.sampled_from(["\n\n", "<|endoftext|>", "一", "aab", "\n \n"]),
)
def test_pieces_are_the_text_and_documents_are_its_parts(
    tmp_path: Path, text: str, size: int, separator: str
) -> None:
    text = universal(text.replace("新", separator)).lstrip("\ufeff")
    path = write(tmp_path / "a.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE_CHARACTERS", size)
        pieces = list(read_pieces([path]))
        typed = separator.replace("\n", "\\n")
        parts = list(read_pieces([path], document_separator=typed))
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.first for piece in pieces] == [True, *[False] * len(pieces)][: len(pieces)]
    assert all(piece.text for piece in pieces + parts)
    documents: list[str] = []
    for piece in parts:
        documents += [piece.text] if piece.first else [documents.pop() + piece.text]
    assert documents == [part for part in text.split(separator) if part]


def test_long_text_is_cut_where_no_word_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "PIECE_CHARACTERS", 40)
    lines = "".join(f"line {number}\n\n  indented, 新叶\n" for number in range(50))
    pieces = texts(write(tmp_path / "a.txt", lines))
    assert len(pieces) > 20
    assert all(left.endswith("\n") and not right[0].isspace() for left, right in pairwise(pieces))
    assert all(
        piece[-1] in "。，" for piece in texts(write(tmp_path / "b.txt", CHINESE.strip() * 50))
    )
    assert all(piece[-1] == " " for piece in texts(write(tmp_path / "c.txt", "word " * 50))[:-1])
    assert texts(write(tmp_path / "d.txt", "字" * 100)) == ["字" * 40, "字" * 40, "字" * 20]


@pytest.mark.parametrize("unit", ["字", "\n"])
def test_one_long_line_takes_little_memory(tmp_path: Path, unit: str) -> None:
    path = write(tmp_path / "a.txt", unit * 20_000_000)
    tracemalloc.start()
    total = sum(
        len(piece.text) for piece in read_pieces([path], document_separator="<|endoftext|>")
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20_000_000
    assert peak < 25_000_000


def test_a_json_array_takes_little_memory(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        json.dumps([{"text": "新叶" * 5000}] * 3000, ensure_ascii=False, indent=1),
    )
    tracemalloc.start()
    total = sum(len(piece.text) for piece in read_pieces([path]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 30_000_000
    # whatever the file's size: blocks, and the records looked at for their columns
    assert peak < 35_000_000


ROWS = [
    {"id": "1", "内容": "春眠不觉晓，处处闻啼鸟。"},
    {"id": "2", "内容": ""},
    {"id": "3", "内容": 'He said "hi",\nthen left.'},
]


def table(rows: list[dict[str, str]], delimiter: str) -> str:
    lines = [delimiter.join(rows[0])]
    lines += [
        delimiter.join('"' + value.replace('"', '""') + '"' for value in row.values())
        for row in rows
    ]
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("a.ndjson.gz", "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n"),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("b.json", "\n".join(json.dumps(row) for row in ROWS)),
        ("c.json.gz", json.dumps([row["内容"] for row in ROWS])),
        ("d.json", json.dumps([{"内容": row["内容"].split("\n")} for row in ROWS])),
        ("a.csv", table(ROWS, ",")),
        ("a.CSV.gz", "\ufeff" + table(ROWS, ",")),
        ("a.tsv", table(ROWS, "\t")),
    ],
)
def test_formats_of_records(
    tmp_path: Path, name: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / name, content)
    expected = [row["内容"] for row in ROWS if row["内容"]]
    assert texts(path) == expected
    assert all(piece.first and piece.source.startswith(name + ":") for piece in read_pieces([path]))
    for module, size in ((encodings, "BLOCK_BYTES"), (records, "JSON_BLOCK")):
        monkeypatch.setattr(module, size, 7)  # records broken off by every block
    assert texts(path) == expected


def test_sources_name_the_line(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '\n{"text": "a"}\n"b"\n')
    rows = write(tmp_path / "a.csv", 'text,label\n"a\nb",1\nc,2\n')
    array = write(tmp_path / "a.json", '[\n{"text":\n"a"},\n\n{"text": "b"}]')
    assert [piece.source for piece in read_pieces([lines])] == ["a.jsonl:2", "a.jsonl:3"]
    assert list(read_pieces([rows])) == [Piece("a\nb", "a.csv:2"), Piece("c", "a.csv:4")]
    assert [piece.source for piece in read_pieces([array])] == ["a.json:2", "a.json:5"]


ROW = '{"text": "春", "n": 1}'
MESSAGES = '[{"role": "user", "content": "春"}]'


@pytest.mark.parametrize(
    ("name", "content", "places", "noted"),
    [
        ("a.jsonl", f"[{ROW},{ROW}]", ["record 1", "record 2"], "a JSON array"),
        ("a.jsonl", f"[\n{ROW},\n{ROW}\n]", ["line 2", "line 3"], "a JSON array"),
        ("a.jsonl", f"{MESSAGES}\n{MESSAGES}\n", ["line 1", "line 2"], ""),
        ("a.jsonl", MESSAGES, ["line 1"], ""),
        ("a.jsonl", '["春", "秋"]', ["line 1"], ""),
        ("a.json", f"{MESSAGES}\n{MESSAGES}\n", ["line 1", "line 2"], "one after the other"),
        ("a.json", f"{ROW}\n{ROW}\n", ["line 1", "line 2"], "one after the other"),
        ("a.json", f"[{ROW}, {ROW}]", ["record 1", "record 2"], ""),
        ("a.json", f"[\n  {ROW},\n  {ROW}\n]", ["line 2", "line 3"], ""),
        ("a.json", ROW, ["line 1"], ""),
    ],
)
def test_json_is_read_as_it_is_whatever_its_name(
    tmp_path: Path, name: str, content: str, places: list[str], noted: str
) -> None:
    path = write(tmp_path / name, content)
    notes = Notes()
    rows = list(sources.read_records(path, notes=notes))
    assert [place_of(path, line) for line, _ in rows] == [f"{path}, {place}" for place in places]
    assert noted in "".join(notes.sentences()) and bool(noted) == bool(notes.sentences())


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "a.parquet"
    lines = [["床前明月光", "疑是地上霜"], None, ["a\r\nb"]]
    parquet.write_table(
        pyarrow.table({"id": [1, 2, 3], "paragraphs": lines, "title": ["x", "y", "z"]}), path
    )
    assert list(read_pieces([path])) == [Piece(POEM, "a.parquet:1"), Piece("a\nb", "a.parquet:3")]
    assert texts(path, field="title") == ["x", "y", "z"]
    assert "no field 'titel' (--field) in this record; did you mean title?" in error(
        path, field="titel"
    )
    path.write_bytes(path.read_bytes()[:-30])
    assert "a.parquet: not a complete Parquet file" in error(path)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert "a.parquet: a Parquet file needs pyarrow; to install it: " in error(
        write(tmp_path / "a.parquet", b"PAR1")
    )


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"label": "good", "Text": "t", "content": "c"}, "Text"),
        ({"label": 1, "quote": "short"}, "quote"),
        ({"date": "2024-01-01", "诗句": "春眠不觉晓"}, "诗句"),
        ({"title": "short title", "abstract": "long text " * 10}, "abstract"),
        ({"embedding": [0.25] * 100, "note": "words"}, "note"),
    ],
)
def test_the_column_of_text_is_found(tmp_path: Path, record: dict[str, object], field: str) -> None:
    assert texts(write(tmp_path / "a.jsonl", json.dumps(record))) == [record[field]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": "b"', "line 2: not valid JSON (Expecting ',' delimiter at column 13)"),
        ("a.json", '[{"text": "a"},\n{"text": b}]', "a.json, record 2: not valid JSON (Expecting value"),
        ("a.json", '[{"text": "a"},\n{"text": "b"', "a.json, record 2: not valid JSON"),
        ("a.json", '[{"text": "a"},\n', "a.json, record 2: the file ends inside its array"),
        ("a.json", '[\n"a"]\n["b"]', "a.json, line 2: there is more after the array"),
        ("a.jsonl", '{"ask": "问题 one", "answer": "回答 two"}', "Name it with --field; the columns are: ask, answer"),
        ("a.jsonl", '{"id": "x", "talk": [{"from": "a", "value": "b"}]}', "Name it with --field; the columns are: id, talk"),
        ("a.jsonl", '{"text": "a"}\n{"title": "b"}', "line 2: no field 'text' (--field) in this record; it has: title"),
        ("a.jsonl", '{"text": 5}', "a.jsonl, line 1: field 'text' is not text but '5'"),
        ("a.jsonl", "5", "a.jsonl, line 1: the record is not text but '5'"),
        ("a.csv", "text,label\na,1\nb,c,2\n", "a.csv, line 3: 3 columns, but the header line has 2"),
        ("a.csv", 'text,label\na,1\n"b,2\nc,3\n', "a.csv, line 3: not a valid row (a quotation mark is never closed)"),
        ("a.docx", "x", "a.docx: files of this kind cannot be read; accepted: .jsonl .ndjson .json .csv"),
    ],
)  # fmt: skip
def test_errors_say_where(tmp_path: Path, name: str, content: str, message: str) -> None:
    assert message in error(write(tmp_path / name, content))


def bad(path: Path, **options: str) -> tuple[list[str], list[tuple[int, str]]]:
    """The texts and the bad records of a file that is read to its end."""
    problems: list[tuple[int, str]] = []
    pieces = read_pieces(
        [path], **options, on_bad=lambda where, line, problem: problems.append((line, problem))
    )
    return [piece.text for piece in pieces], problems


@pytest.mark.parametrize(
    ("name", "content", "good", "lines"),
    [
        ("a.jsonl", '"a"\n{\n"b"\n{"x"\n5\n"c"', "abc", [2, 4, 5]),
        ("a.jsonl", '{"text": "a"}\n{"title": "x"}\n{"text": 1}\n{"text": "b"}', "ab", [2, 3]),
        ("a.csv", 'text,n\na,1\nx,2,3\n\ny\nb,2\n"x"y,3\nc,4\n', "abc", [3, 5, 7]),
        ("a.csv", 'text,n\na,1\nb,2\n"never closed,3\nc,4\nd,5,6\ne,7\n', "abce", [4, 6]),
        ("a.tsv", "text\tn\na\t1\nx\nb\t2\n", "ab", [3]),
        (
            "a.json",
            '[\n  {"text": "a"},\n  {"text": x},\n  {"text": "b"}},\n  {"text": "c"}\n]',
            "abc",
            [3, 4],
        ),
        (
            "a.json",
            '[\n {\n  "text": "a"\n },\n {\n  "text" "x"\n },\n {\n  "text": "b"\n }\n]',
            "ab",
            [6],
        ),
        ("a.json", '{"text": "a"}\n{"text: "x"}\n{"text": "b"}\n', "ab", [2]),
        ("a.json", '[{"text": "a"},\n{"text": "b"},\n{"text": "x', "ab", [3]),
        ("a.json", '["a",\n', "a", [2]),
        ("a.json", '[\n"a"]\n["b"]', "a", [2]),
    ],
)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_reading_goes_on_behind_bad_records(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    good: str,
    lines: list[int],
    block: int,
) -> None:
    for module, size in ((encodings, "BLOCK_BYTES"), (records, "JSON_BLOCK")):
        monkeypatch.setattr(module, size, block)
    path = write(tmp_path / name, content)
    kept, problems = bad(path)
    assert (kept, [line for line, _ in problems]) == (list(good), lines)
    line, problem = problems[0]
    # what is raised where nobody asks for them
    assert error(path) == f"{place_of(path, line)}: {problem}"


def test_a_whole_file_that_is_bad_still_raises(tmp_path: Path) -> None:
    for name, content in {
        "a.txt": b"%PDF-1.7",
        "b.jsonl": "新叶".encode() * 20 + b"\xff",
        "c.csv": b"PK\x03\x04",
    }.items():
        with pytest.raises(XinyeError):
            bad(write(tmp_path / name, content))


def test_the_column_taken_is_told(tmp_path: Path) -> None:
    taken: list[str] = []
    for name, content in {
        "a.csv": "id,评论\n1,很好\n",
        "b.jsonl": '{"text": "a"}',
        "c.txt": "a",
        "d.jsonl": '"a"',
    }.items():
        list(read_pieces([write(tmp_path / name, content)], on_field=taken.append))
    assert taken == ["评论", "text"]


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(sources, "PIECE_CHARACTERS", block)
    for encoding in ("utf-8", "gb18030", "utf-16"):
        path = write(tmp_path / "a.txt.gz", "春天\r\n来了\r\r\n叶\n\n子\r".encode(encoding))
        assert line_ends(path, encoding) == {"CRLF": 2, "CR": 2, "LF": 2}


def test_a_wrong_field_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "review,label\n很好,1\n")
    assert (
        "a.csv, line 2: no field 'reviews' (--field) in this record; did you mean review?"
        in error(path, field="reviews")
    )
    assert "the document separator is empty" in error(path, document_separator="")


def test_quotes_in_tsv_mean_something_only_where_the_whole_file_agrees(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.tsv", 'text\tlabel\n"Hello" he said\t1\n"oh\t2\n')) == [
        '"Hello" he said',
        '"oh',
    ]
    assert texts(write(tmp_path / "b.tsv", 'text\tlabel\n"a ""b"""\t1\n')) == ['a "b"']


def test_empty_files_give_nothing(tmp_path: Path) -> None:
    empty = [
        write(tmp_path / f"a{suffix}", "")
        for suffix in (".txt", ".jsonl", ".json", ".csv", ".tsv", ".md.gz")
    ]
    assert texts(*empty, write(tmp_path / "b.txt", "叶")) == ["叶"]


def test_find_files(tmp_path: Path) -> None:
    for name in [
        "b.txt",
        "a.jsonl.gz",
        "sub/诗.MD",
        "sub/deep/c.csv",
        ".hidden/d.txt",
        "sub/.e.txt",
        "f.py",
        "[1].txt",
    ]:
        write(tmp_path / name, f"text of {name}")
    write(tmp_path / "z_copy.txt", "text of b.txt")

    def names(*patterns: str) -> list[str]:
        return [
            path.relative_to(tmp_path).as_posix()
            for path in find_files([tmp_path / each for each in patterns])
        ]

    assert names("") == ["[1].txt", "a.jsonl.gz", "b.txt", "sub/deep/c.csv", "sub/诗.MD"]
    # the first of two copies stays
    assert names("z_copy.txt", "*.txt") == [
        "z_copy.txt",
        "[1].txt",
    ]
    assert names("**/*.csv", "sub", "[1].txt", "[1].txt") == [
        "sub/deep/c.csv",
        "sub/诗.MD",
        "[1].txt",
    ]
    (tmp_path / "empty").mkdir()
    for pattern, message in {
        "nowhere": "nowhere: no such file or folder",
        "empty": "empty: no text files there; accepted: .txt",
        "*.text": "*.text: no text files there; accepted: .txt",
        "*.py": "*.py: no text files there (skipped: 1 .py); accepted: .txt",
        "f.py": "f.py: files of this kind cannot be read; accepted: .txt",
    }.items():
        with pytest.raises(XinyeError) as caught:
            find_files([tmp_path / pattern])
        assert message in str(caught.value)


def test_fingerprint_follows_the_bytes_their_order_and_their_files(tmp_path: Path) -> None:
    one, two, joined, empty = (
        write(tmp_path / f"{n}.txt", text) for n, text in enumerate(["叶", "leaf", "叶leaf", ""])
    )
    prints = [
        fingerprint(files) for files in ([one, two], [two, one], [joined], [joined, empty], [one])
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint([write(tmp_path / "other.md", "叶")]) == prints[-1]


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data folder is not on this machine")
def test_real_files() -> None:
    medical = REAL / "medical_dialogue_zh" / "neike_5000-6000.gb18030.csv"
    assert detect_encoding(medical) == "gb18030"
    with medical.open(encoding="gb18030", newline="") as file:
        answers = [universal(row["answer"]) for row in csv.DictReader(file)]
    assert texts(medical, field="answer") == [answer for answer in answers if answer]
    novel = REAL / "zh_classic_novels" / "红楼梦.txt"
    assert "".join(texts(novel)) == universal(novel.read_bytes().decode("utf-8-sig"))
    assert "\r" not in texts(novel)[0]
    assert len(texts(REAL / "zh_poetry" / "song_ci.jsonl.gz")) == 21_053
