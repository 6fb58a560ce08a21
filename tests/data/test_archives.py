"""Zip archives: members are read as files by every verb, and nothing harmful is read or unpacked."""

import json
import stat
import zipfile
from pathlib import Path

import pytest

from conftest import contents
from xinye.data import archives
from xinye.data.sources import find_files, fingerprint, read_pieces
from xinye.errors import XinyeError

TABLE = "review,label\n" + "".join(
    f"第{number}碗面，汤很鲜,{'好' if number % 2 else '差'}评\n" for number in range(12)
)


class NamedIn(zipfile.ZipInfo):
    """A member whose name is written in another encoding, without saying which."""

    raw = b""

    def _encodeFilenameFlags(self):
        return self.raw, 0


def pack(path: Path, **members: str | bytes) -> Path:
    """A zip archive of these members; of names "__" stands for "/", and "_" for "."."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = pack(Path("reviews.zip"), part1_csv=TABLE, deep__part2_csv=TABLE + "a,b,c\n", a_png="x")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("empty/", "")
        archive.writestr("__MACOSX/._part1.csv", "x")
        archive.writestr(".hidden.csv", "x")
    return path


def test_members_are_files_with_places(xinye, reviews):
    report = json.loads(xinye("data", "check", reviews, "--task", "classify", "--json").out)
    assert [(each["file"], each["records"]) for each in report["files"]] == [
        ("reviews.zip/deep/part2.csv", 12),
        ("reviews.zip/part1.csv", 12),
    ]
    [bad] = report["bad"]
    assert bad.startswith("reviews.zip/deep/part2.csv, line 14: 3 columns")
    assert contents(Path()).keys() == {"reviews.zip"}


def test_every_reader_reads_them(xinye, trained, reviews):
    reviews.unlink()
    pack(Path("a.zip"), a_csv=TABLE)
    pack(Path("prompts.zip"), deep__p_jsonl='{"prompt": "小"}\n')
    few = ("--epochs", 1, "-o", "run")
    for command in (
        ("data", "check", "a.zip"),
        ("data", "show", "a.zip/a.csv", "--task", "classify"),
        ("tokenizer", "train", "a.zip", "-o", "tokenizer"),
        ("evaluate", trained, "a.zip"),
        ("generate", trained, "--prompts", "prompts.zip", "-o", "o.jsonl", "--max-tokens", 1),
        ("finetune", trained, "--task", "classify", "--data", "a.zip", *few),
        ("evaluate", "run", "--data", "a.zip"),
    ):
        outcome = xinye(*command)
        assert outcome.code == 0, (command, outcome.err)


def test_documents_are_collected_from_them(xinye, reviews):
    pack(Path("books.zip"), a_txt="从前有一只狐狸。", pages__b_html="<p>它住在树林里，从来不着急。")
    Path("half.zip").write_bytes(Path("books.zip").read_bytes()[:50])
    outcome = xinye("data", "collect", "books.zip", "half.zip", "-o", "all.jsonl", "--json")
    told = json.loads(outcome.out)
    assert told["by_format"] == {"text": 1, "html": 1}
    assert told["skipped"][0]["file"] == "half.zip"
    lines = Path("all.jsonl").read_text("utf-8").splitlines()
    sources = [json.loads(line)["source"] for line in lines]
    assert sources == ["books.zip/a.txt", "books.zip/pages/b.html"]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_names_of_windows(tmp_path, encoding):
    member = NamedIn("x")
    member.raw = "语料\\评论.csv".encode(encoding)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, TABLE.encode("gbk"))
    [path] = find_files([tmp_path / "a.zip"])
    assert path == tmp_path / "a.zip" / "语料" / "评论.csv"
    assert len(list(read_pieces([path]))) == 12


def test_a_copy_beside_the_archive_is_read_once(tmp_path):
    pack(tmp_path / "b.zip", a_txt="春天来了", b_txt="秋天来了")
    (tmp_path / "a.txt").write_text("春天来了", "utf-8")
    files = find_files([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ["a.txt", "b.zip/b.txt"]
    assert fingerprint(files[:1]) == fingerprint([tmp_path / "b.zip" / "a.txt"])


def test_parquet_and_gzip_in_them(tmp_path):
    import gzip

    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["新叶"]}), tmp_path / "a.parquet")
    packed = gzip.compress("春天来了".encode())
    pack(tmp_path / "a.zip", a_parquet=(tmp_path / "a.parquet").read_bytes(), a_txt_gz=packed)
    texts = [piece.text for piece in read_pieces(find_files([tmp_path / "a.zip"]))]
    assert texts == ["新叶", "春天来了"]


def link(archive):
    member = zipfile.ZipInfo("a.txt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


def damaged(archive):
    archive.writestr("a.txt", "春" * 100)
    archive.fp.seek(40)
    archive.fp.write(b"spring")
    archive.fp.seek(0, 2)


def encrypted(archive):
    archive.writestr("a.txt", "春")
    archive.infolist()[0].flag_bits |= 1


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (
            lambda archive: archive.writestr("a.txt", "0" * 11_000_000),
            "a.zip/a.txt: its 11 MB are compressed",
        ),
        (lambda archive: archive.writestr("b.zip", "x"), "a.zip/b.zip: this is an archive within"),
        (
            lambda archive: archive.writestr("../x.txt", "x"),
            "the name '../x.txt' in it points outside",
        ),
        (lambda archive: archive.writestr("/x.txt", "x"), "the name '/x.txt' in it points outside"),
        (link, "a.zip/a.txt: this is a link"),
        (damaged, "a.zip/a.txt: it is damaged"),
        (encrypted, "a.zip/a.txt: it is encrypted; unpack"),
        (lambda archive: archive.writestr("a.png", "x"), "a.zip: no text files there (skipped: 1"),
    ],
)
def test_what_would_do_harm_is_one_line(xinye, tmp_path, monkeypatch, fill, says):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    for command in (
        ("data", "check"),
        ("pretrain", "-o", "run"),
        ("tokenizer", "train", "-o", "t"),
    ):
        outcome = xinye(*command, "a.zip")
        assert outcome.code == 2 and says in outcome.complaint
    assert contents(Path()).keys() == {"a.zip"}


def test_all_members_together_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 1 << 30)
    pack(tmp_path / "a.zip", a_txt="x")
    [path] = find_files([tmp_path / "a.zip"])
    archives._directory.cache_clear()
    monkeypatch.setattr(archives, "LARGEST", 0)
    with pytest.raises(XinyeError, match="larger than 0 GB unpacked"):
        list(read_pieces([path]))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.7z", "a.rar"])
@pytest.mark.parametrize("task", [(), ("--task", "chat")])
def test_other_archives_are_refused_with_what_to_do(xinye, tmp_path, monkeypatch, name, task):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"x")
    assert "; unpack it first (" in xinye("data", "check", name, *task).complaint
    Path("b.txt").write_text("春天来了", "utf-8")
    if not task:
        assert "are skipped" in xinye("data", "check", ".").out
