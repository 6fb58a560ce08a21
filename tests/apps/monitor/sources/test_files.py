"""Documents from files, folders and standard input."""

import io
import json
import os
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from xinye.apps.monitor.documents import Incoming, Origin
from xinye.apps.monitor.sources.files import FileSource, read_stdin
from xinye.errors import XinyeError

NOW = 1_714_550_400.0  # 2024-05-01 08:00 UTC
DATE = "2024-05-01T08:00:00Z"


def source(path: Path, warned: list[str] | None = None) -> FileSource:
    warned = [] if warned is None else warned
    return FileSource(str(path), ZoneInfo("Asia/Shanghai"), warned.append, lambda: NOW)


def write(path: Path, *records: object, age: float = 60) -> Path:
    path.write_text(
        "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), "utf-8"
    )
    os.utime(path, (NOW - age, NOW - age))
    return path


def read(source: FileSource) -> list[Incoming]:
    return [each for batch in source.new() for each in batch]


def titles(source: FileSource) -> list[str]:
    return [each.title for each in read(source)]


def test_a_record_becomes_a_document(tmp_path: Path) -> None:
    record = {
        "id": 7, "title": "新叶", "text": "春天\r\n来了", "url": "http://a.example/7", "published": DATE,
    }  # fmt: skip
    path = write(tmp_path / "a.jsonl", record)
    expected = Incoming(
        "", "7", "新叶", "春天\n来了", "http://a.example/7", NOW, Origin(str(path), "a.jsonl")
    )
    assert read(source(path)) == [expected]


def test_chinese_columns_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = "编号,新闻标题,新闻正文,来源,发布时间\n7,新叶,春天来了,日报,2024年5月1日 16:00\n"
    path.write_bytes(table.encode("gb18030"))
    warned: list[str] = []
    (found,) = read(source(path, warned))
    assert (found.source, found.title, found.text, found.published) == (
        "日报", "新叶", "春天来了", NOW,
    )  # fmt: skip
    assert any("Asia/Shanghai is assumed" in each for each in warned)


def test_a_text_without_anything_else(tmp_path: Path) -> None:
    (found,) = read(source(write(tmp_path / "a.jsonl", "春天来了")))
    assert (found.id, found.title, found.text, found.published) == ("", "", "春天来了", None)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"title": "a", "date": DATE}, {"x": 1}, {"text": ""}, 7)
    with path.open("a") as file:
        file.write('{"text": "half\n')
    warned: list[str] = []
    assert titles(source(path, warned)) == ["a"]
    for problem in (
        "neither a text nor a title",
        "are empty",
        "neither an object",
        "not valid JSON",
    ):
        assert any(problem in each for each in warned), problem


def test_half_a_line_is_unfinished_and_not_wrong(tmp_path: Path) -> None:
    warned: list[str] = []
    folder, path = source(tmp_path, warned), write(tmp_path / "a.jsonl", {"title": "a"})
    complete = path.read_text()
    for number, (rest, expected) in enumerate((('{"title": "春', ["a"]), ('"}', ["a", "春"]))):
        with path.open("a") as file:
            file.write(rest)
        os.utime(path, (NOW - 50 + number, NOW - 50 + number))
        assert titles(folder) == expected
    assert not any("left out" in each or "complete" in each for each in warned)
    assert sum("no date" in each for each in warned) == 1  # although it was read twice
    path.write_text(complete + "{half\n")
    os.utime(path, (NOW - 30, NOW - 30))
    assert titles(folder) == ["a"] and "left out: not valid JSON" in warned[-1]


def test_half_a_line_at_the_end_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"title": "a"})
    path.write_text(path.read_text() + '{"title": "b')
    warned: list[str] = []
    assert titles(source(path, warned)) == ["a"]
    assert f"{path}: its last line is not complete, and is not read" in warned


def test_a_long_file_comes_in_batches(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *({"title": str(number)} for number in range(250)))
    assert [len(batch) for batch in source(path).new()] == [100, 100, 50]


def test_a_folder_is_read_again_and_again(tmp_path: Path) -> None:
    warned: list[str] = []
    folder = source(tmp_path, warned)
    write(tmp_path / "a.jsonl", {"title": "a", "date": DATE})
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01")
    (tmp_path / "README.md").write_text("not a record")
    write(tmp_path / ".hidden.jsonl", {"title": "hidden"})
    os.utime(tmp_path / "bad.csv", (0, 0))
    assert titles(folder) == ["a"] and titles(folder) == []
    assert len(warned) == 1 and "bad.csv" in warned[0]  # once, and it does not stop the others
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.jsonl", {"title": "b"})
    assert titles(folder) == ["b"]
    write(tmp_path / "a.jsonl", {"title": "a"}, {"title": "c"})
    assert titles(folder) == ["a", "c"]  # the store knows a


def test_a_file_that_was_not_taken_whole_comes_again(tmp_path: Path) -> None:
    folder = source(tmp_path)
    write(tmp_path / "a.jsonl", *({"title": str(number)} for number in range(150)))
    batches = folder.new()
    next(batches)
    batches.close()  # such as after a full disk
    assert len(titles(folder)) == 150 and titles(folder) == []


def test_a_file_that_is_being_written_waits(tmp_path: Path) -> None:
    folder = source(tmp_path)
    path = write(tmp_path / "a.jsonl", {"title": "a"}, age=1)
    assert titles(folder) == []
    write(path, {"title": "a"}, age=3)
    assert titles(folder) == ["a"]
    write(tmp_path / "b.jsonl", {"title": "b"}, age=-9999)  # the clock was set back
    assert titles(folder) == ["b"]


ROWS = {  # a whole file, and how much of it is complete while it is being written
    "a.jsonl": ('{"title": "a"}\n{"title": "春"}\n{"title": "bc', ["a", "春"]),
    "a.csv": ('title,text\na,"1\n2"\nb,2\nc,"3\n', ["a", "b"]),
    "b.csv": ("title,text\na,1\nb,春天来", ["a"]),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_file_that_goes_on_changing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")  # no copy of what is not masked
    written, complete = ROWS[name]
    warned: list[str] = []
    folder, path = source(tmp_path, warned), tmp_path / name
    path.write_bytes(written.encode()[:-1])  # not a whole character
    found = []
    for second in range(25):
        now = NOW + second
        folder.clock = lambda now=now: now
        os.utime(path, (now - 1, now - 1))
        found.append(titles(folder))
    assert [each for each in found if each] == [complete] * 2
    assert found[5] == [] and not any(tmp_path.name not in each for each in warned)
    path.write_bytes(written.encode())
    os.utime(path, (NOW - 60, NOW - 60))
    assert titles(folder)[: len(complete)] == complete and titles(folder) == []


def test_read_once_a_changing_file_waits_for_two_seconds(tmp_path: Path) -> None:
    for name, (written, _) in ROWS.items():
        (tmp_path / name).write_text(written)
    (tmp_path / "now.json").write_text('[{"title": "now"}]')
    now, found = [0.0], []
    folder = FileSource(str(tmp_path), clock=lambda: NOW + now[0], once=True)
    for second in range(5):
        now[0] = second
        for path in tmp_path.glob("*.*"):
            age = 0.5 if path.name != "now.json" else second + 0.5
            os.utime(path, (NOW + second - age, NOW + second - age))
        found += titles(folder)
        assert folder.waits == (second < 2)
    assert found == ["a", "b", "a", "春", "a", "now"]


def test_a_changing_file_that_cannot_be_read_in_parts_is_told(tmp_path: Path) -> None:
    warned: list[str] = []
    folder = source(tmp_path, warned)
    path = write(tmp_path / "a.json", {"title": "a"}, age=1)
    for second in range(40):
        now = NOW + second
        folder.clock = lambda now=now: now
        os.utime(path, (now - 1, now - 1))
        assert titles(folder) == []
    assert len(warned) == 1 and "goes on changing" in warned[0]


def test_the_only_file_is_read_at_once(tmp_path: Path) -> None:
    alone = source(write(tmp_path / "a.jsonl", {"title": "a"}, age=0))
    assert titles(alone) == ["a"]
    write(tmp_path / "a.jsonl", {"title": "a"}, {"title": "b"}, age=1)
    assert titles(alone) == []  # it is being written


def test_a_large_folder_is_seldom_looked_through(tmp_path: Path) -> None:
    now = [0.0]

    def timer() -> float:
        now[0] += 1.0  # looking through it takes a second
        return now[0]

    folder = source(tmp_path)
    folder.timer = timer
    found = []
    for number in range(40):
        write(tmp_path / f"{number}.jsonl", {"title": f"{number}"})
        found.append(len(titles(folder)))
    assert [each for each in found if each] == [1, 20]


def test_an_archive_in_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", '{"title": "a"}\n')
        archive.writestr("notes.txt", "not a record")
    os.utime(tmp_path / "a.zip", (NOW - 60, NOW - 60))
    warned: list[str] = []
    folder = source(tmp_path, warned)
    assert titles(folder) == ["a"] and titles(folder) == []


@pytest.mark.parametrize("name", ["missing.jsonl", "a.docx"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(XinyeError, match=name):
        read(source(tmp_path / name))


def test_standard_input(tmp_path: Path) -> None:
    lines = [
        '{"id": 1, "title": "a", "date": "2024-05-01T08:00:00Z"}',
        "",
        "{oops",
        '{"title": "春天"}',
    ]
    warned: list[str] = []
    batches = list(read_stdin(io.BytesIO("\n".join(lines).encode()), warn=warned.append))
    assert [[each.title for each in batch] for batch in batches] == [["a", "春天"]]
    assert batches[0][0] == Incoming("", "1", "a", "", "", NOW, Origin("-", "stdin"))
    assert any("line 3" in each for each in warned)


def test_a_line_that_is_too_long_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinye.apps.monitor.sources.files.LONGEST_LINE", 30)
    fits = json.dumps({"title": "x" * 17})
    lines = [fits, json.dumps({"title": "x" * 99}), "{oops", fits, "y" * 31]
    warned: list[str] = []
    batches = list(read_stdin(io.BytesIO("\n".join(lines).encode()), warn=warned.append))
    assert len(fits) <= 30 and sum(map(len, batches)) == 2
    _, broken, long = sorted(warned, key=lambda each: ("line is" in each, "not valid" in each))
    assert "the line is longer than" in long and "line 2" in long and "line 5" in long
    assert "not valid JSON" in broken and "line 3" in broken


def test_standard_input_comes_in_time() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", 0) as file:
        batches = read_stdin(stream, soon=0.05)
        file.write(b'{"title": "a"}\n')
        assert [each.title for each in next(batches)] == ["a"]  # the stream is still open
        assert next(batches) == []  # nothing comes now
        file.write(b'{"title": "b"}\n')
        assert [each.title for each in next(batches)] == ["b"]
        file.close()
        assert list(batches) == []
