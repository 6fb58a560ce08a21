"""What the commands of tasks read: texts, files, and tables with and without a header."""

import pytest

from xinye.cli.use import read_inputs
from xinye.data.notes import Notes
from xinye.errors import XinyeError


@pytest.mark.parametrize(
    ("name", "content", "verb", "texts", "note"),
    [
        ("a.csv", "id,正文\n1,春茶\n2,\n3,秋茶\n4,\n", "summarize", ["春茶", "秋茶"],
         "the text is empty, so it is left out (2 times, first"),
        ("a.jsonl", '{"text": "Tea"}\n{"text": null}\n', "summarize", ["Tea"], "line 2)"),
        ("a.tsv", "Hi there.\t你好。\tCC-BY 2.0, by ab\nRun!\t快跑！\tCC-BY 2.0, by xyz\n",
         "translate", ["Hi there.", "Run!"], ""),
        ("a.tsv", "to title\t春茶今天到店，很香。\t茶到了\nto title\t秋茶卖完了，抱歉。\t没茶\n",
         "summarize", ["春茶今天到店，很香。", "秋茶卖完了，抱歉。"], "column 2 is read as the text"),
        ("a.tsv", "我们好好的吃。\t我们好好地吃。\n他跑的快。\t他跑得快。\n", "proofread",
         ["我们好好的吃。", "他跑的快。"], "column 1 is read as the text"),
        ("a.json", '["春茶", "秋茶"]', "summarize", ["春茶", "秋茶"], ""),
        ("a.csv", "编号,评论内容,情感\n1,茶香,好评\n2,,差评\n", "classify", ["茶香"], "line 3)"),
        ("a.txt", "茶香\n\n茶凉\n", "classify", ["茶香", "茶凉"], "left out ("),
    ],
)  # fmt: skip
def test_tables(tmp_path, name, content, verb, texts, note):
    (tmp_path / name).write_text(content, "utf-8")
    notes = Notes()
    assert read_inputs(str(tmp_path / name), verb, notes) == texts
    assert note in " ".join(notes.sentences())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,text\n1,\n2,\n", "a.csv: the file has no text"),
        ("id,茶\n1,春茶\n", "a.csv: no column with a text; name it one of text, content"),
    ],
)
def test_tables_without_a_text(tmp_path, content, says):
    (tmp_path / "a.csv").write_text(content, "utf-8")
    with pytest.raises(XinyeError, match=says):
        read_inputs(str(tmp_path / "a.csv"), "summarize", Notes())


def test_a_path_that_is_no_file_of_text_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "letter.docx").write_bytes(b"PK\3\4...")
    for name, says in (
        ("", "this is no plain file; give a file, or -"),
        ("link", "this is no plain file"),
        ("letter.docx", "a document of an office program; save it as"),
    ):
        with pytest.raises(XinyeError, match=says):
            read_inputs(str(tmp_path / name), "proofread", Notes())
    (tmp_path / "letter").write_text("春茶到了。", "utf-8")
    assert read_inputs(str(tmp_path / "letter"), "proofread", Notes()) == ["春茶到了。"]
