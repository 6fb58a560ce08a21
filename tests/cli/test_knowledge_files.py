"""Files that a knowledge base cannot read, or cannot write."""

from pathlib import Path
from zipfile import ZipFile

from xinye.retrieval import knowledge
from xinye.retrieval.knowledge import KnowledgeBase


def test_a_full_disk_is_told_and_changes_nothing(xinye, workplace, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    Path("a.txt").write_text("银杏也是一种树。", "utf-8")
    KnowledgeBase.build("kb", ["a.txt"])
    before = {path: path.read_bytes() for path in Path("kb").iterdir()}
    Path("more.txt").write_text("梧桐是一种树。", "utf-8")
    monkeypatch.setattr(knowledge, "write_json", full)
    added = xinye("knowledge", "add", "kb", "more.txt")
    assert added.code == 1 and "kb: the disk is full; the knowledge base is unch" in added.complaint
    assert {path: path.read_bytes() for path in Path("kb").iterdir()} == before
    built = xinye("knowledge", "build", "more.txt", "-o", "new")
    assert built.code == 1 and "new: the disk is full" in built.complaint
    assert not [path for path in workplace.iterdir() if "new" in path.name]


def test_an_archive_without_a_readable_file_is_skipped_with_the_reason(xinye, workplace):
    archives = workplace / "archives"
    archives.mkdir()
    with ZipFile(archives / "good.zip", "w") as good, ZipFile(archives / "bomb.zip", "w") as bomb:
        good.writestr("树.txt", "梧桐是一种树。")
        bomb.writestr("../../evil.txt", "梧桐是一种花。")
    (archives / "broken.zip").write_bytes(b"PK")
    for names in (["archives"], sorted(map(str, archives.iterdir()))):
        built = xinye("knowledge", "build", *names, "-o", "new", "--overwrite")
        assert built.code == 0 and "1 document added" in built.err
        assert "bomb.zip: the name '../../evil.txt' in it points outside" in built.err
        assert "broken.zip: it is damaged" in built.err
    alone = xinye("knowledge", "build", "archives/broken.zip", "-o", "other")
    assert alone.code == 2 and "broken.zip: it is damaged" in alone.complaint


def test_a_file_name_with_line_ends_is_one_line(xinye, workplace):
    Path("a\nb.txt").write_text("梧桐是一种树。", "utf-8")
    xinye("knowledge", "build", "a\nb.txt", "-o", "kb")
    assert "a␊b.txt:1" in xinye("knowledge", "search", "kb", "梧桐").out
