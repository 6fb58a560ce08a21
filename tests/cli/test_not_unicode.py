"""Text that is not Unicode is decoded where that is sure, and else one line that says where it
stands."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

import xinye as package
from conftest import TINY
from xinye.errors import XinyeError

HALF = {
    "classify": '{"text": "好\\ud83d", "label": "x"}',
    "tag": '{"text": "好吃", "spans": [[0, 1, "\\udc00x"]]}',
    "chat": '{"prompt": "好", "response": "a\\ud83d\\ud83d"}',
    "text": '{"text": "好", "\\udfff": ""}',
}
WHOLE = {
    "classify": '{"text": "\\ud83d\\ude00 %d", "label": "%d"}',
    "tag": '{"text": "小兔 \\ud83d\\ude00 %d", "spans": [[0, 2, "t%d"]]}',
    "chat": '{"prompt": "\\ud83d\\ude00 %d", "response": "%d"}',
    "text": '{"text": "小兔豆豆在森林里走 \\ud83d\\ude00 %d %d"}',
}


def gbk(text: str) -> str:
    """An argument as Python has it where a terminal is in GBK, and the locale in UTF-8."""
    return os.fsdecode(text.encode("gbk"))


@pytest.fixture
def records(workplace: Path) -> Path:
    """Four files of which line 5 is bad."""
    for task, row in WHOLE.items():
        rows = [row % (number, number % 2) for number in range(4)]
        (workplace / f"{task}.jsonl").write_text("\n".join([*rows, HALF[task]]) + "\n", "utf-8")
        (workplace / f"{task}.json").write_text(f"[{','.join([*rows, HALF[task]])}]", "utf-8")
    return workplace


@pytest.mark.parametrize(
    "command",
    [
        *(
            f"finetune RUN --task {task} --data {task}.jsonl -o new"
            for task in ("classify", "tag", "chat")
        ),
        *(f"data show {task}.jsonl --task {task}" for task in ("classify", "tag", "chat")),
        "data show classify.json --task classify",
        "evaluate RUN --data classify.jsonl",
        "evaluate RUN --data chat.jsonl --task chat",
        "evaluate RUN text.jsonl",
        "classify RUN x --examples classify.jsonl",
        "pretrain text.jsonl -o new",
        "tokenizer train text.json -o new",
        "tokenizer eval RUN text.jsonl",
    ],
)
def test_half_of_a_character_is_named_by_file_and_line(xinye, records, trained, command):
    outcome = xinye(*(str(trained) if word == "RUN" else word for word in command.split()))
    assert outcome.code == 2 and "Traceback" not in outcome.err and not Path("new").exists()
    line = outcome.err.splitlines()[-1]
    where = "record 5" if ".json " in f"{command} " else "line 5"
    assert f"{where}: not valid Unicode text: \\ud" in line and "half of a character" in line


@pytest.mark.parametrize("task", ["classify", "tag", "chat"])
def test_a_check_lists_it(xinye, records, task):
    report = json.loads(xinye("data", "check", f"{task}.jsonl", "--task", task, "--json").out)
    assert report["bad_total"] == 1 and report["bad"][0].startswith(
        f"{task}.jsonl, line 5: not valid Unicode text"
    )
    assert report["files"][0]["records"] == 4
    assert (
        "line 5: not valid Unicode" in xinye("data", "check", f"{task}.jsonl", "--task", task).out
    )
    report = json.loads(xinye("data", "check", "text.jsonl", "--json").out)
    assert report["problems_total"] == 1 and report["problems"][0]["line"] == 5


def test_a_file_of_prompts_does_the_others(xinye, trained, workplace):
    Path("p.jsonl").write_text(
        '{"prompt": "小"}\n{"prompt": "\\ud800"}\n{"prompt": "兔"}\n', "utf-8"
    )
    outcome = xinye(
        "generate", trained, "--prompts", "p.jsonl", "-o", "t.jsonl", "--max-tokens", 2, "--json"
    )
    result = json.loads(outcome.out)
    assert (outcome.code, result["texts"]) == (1, 2) and "half of a character" in result["errors"][
        0
    ]["error"]


def test_parquet_of_another_encoding(xinye, workplace):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    column = arrow.array(["好吃".encode(), "好吃".encode("gbk")], arrow.binary()).view(
        arrow.string()
    )
    pyarrow.parquet.write_table(arrow.table({"text": column}), "a.parquet")
    assert "a text is not UTF-8" in xinye("pretrain", "a.parquet", "-o", "new").err


def test_arguments_and_input_in_gbk_are_decoded(xinye, trained, workplace, monkeypatch):
    labels = ("--labels", gbk("好吃,难吃"), "--json")
    [result] = json.loads(xinye("classify", trained, gbk("味道不错"), *labels).out)["results"]
    assert result["text"] == "味道不错" and set(result["probabilities"]) == {"好吃", "难吃"}
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("味道不错\r\n不好吃\n".encode("gbk")), "utf-8")
    )
    results = json.loads(xinye("classify", trained, "-", *labels).out)["results"]
    assert [each["text"] for each in results] == ["味道不错", "不好吃"]
    assert xinye("generate", trained, gbk("小兔豆豆"), "--max-tokens", 1).out.startswith("小兔豆豆")
    assert xinye("tokenizer", "train", "zh.txt", "--kind", "char", "-o", gbk("分词")).code == 0
    assert Path("分词/tokenizer.json").is_file()


@pytest.mark.parametrize("text", ["\ud800", "a\udcff\udcfe"])
def test_an_argument_that_is_no_text(xinye, trained, text):
    for arguments in (
        ["classify", trained, text, "--labels", "a,b"], ["classify", trained, "x", "--labels", f"a,{text}"],
        ["classify", trained, "x", "--pair", text, "--labels", "a,b"], ["tag", trained, text],
        ["generate", trained, text], ["chat", trained, "-p", text], ["chat", trained, "-p", "x", "--system", text],
        ["pretrain", text], ["pretrain", "zh.txt", "-o", text], ["finetune", trained, "--data", text],
        ["data", "check", text], ["runs", text],
    ):  # fmt: skip
        outcome = xinye(*arguments)
        assert outcome.code == 2 and "not valid Unicode text" in outcome.complaint


def test_input_that_is_no_text(xinye, trained, monkeypatch):
    for arguments in (
        ["classify", trained, "-", "--labels", "a,b"],
        ["generate", trained, "-"],
        ["chat", trained],
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff\xfe\x81"), "utf-8"))
        outcome = xinye(*arguments)
        assert (
            outcome.code == 2
            and "standard input is not valid Unicode text: byte 0xFF" in outcome.complaint
        )


def test_a_file_whose_name_is_not_unicode(xinye, workplace):
    """As unpacked from an archive of a Chinese Windows: its folder can be read, a run cannot hold
    its own name."""
    folder = workplace / "书"
    folder.mkdir()
    (workplace / "zh.txt").rename(folder / gbk("新书.txt"))
    name = f"书/{gbk('新书.txt')}"
    assert "files: not valid Unicode text" in xinye("pretrain", name, "-o", "run", *TINY).complaint
    assert "书/����.txt" in xinye("data", "check", name).out
    assert json.loads(xinye("data", "check", name, "--json").out)["files"][0]["file"] == name
    assert xinye("pretrain", "书", "-o", "run", "--steps", 2, *TINY).code == 0


def test_documents_whose_names_are_not_unicode_answer(xinye, workplace):
    folder = workplace / "书"
    folder.mkdir()
    file, other = folder / gbk("规矩.md"), folder / gbk("表.csv")
    file.write_text("# 规矩\n\n铺子八点开门。\n", "utf-8")
    other.write_text("question,answer\n退货？,七天。\n", "utf-8")
    assert xinye("knowledge", "build", f"书/{file.name}", "-o", "kb").code == 0
    assert "1 document unchanged" in xinye("knowledge", "add", "kb", "书").err
    json.loads(Path("kb/knowledge.json").read_text("utf-8"))
    assert "书/����.md:3" in xinye("knowledge", "search", "kb", "几点开门？").out
    found = xinye("knowledge", "search", "kb", "几点开门？", "--json").out.encode()
    assert json.loads(found)["passages"][0]["file"] == str(file)
    assert "1 document removed" in xinye("knowledge", "remove", "kb", f"书/{file.name}").err
    assert "no passage has a word" in xinye("knowledge", "search", "kb", "八点开门？").out
    assert xinye("data", "collect", "书", "-o", "new.jsonl").code == 0
    record = json.loads(Path("new.jsonl").read_text("utf-8"))
    assert record["source"] == "书/????.md" and xinye("data", "check", "new.jsonl").code == 0


def test_in_python(trained, workplace):
    model = package.load(trained)
    half = "好\ud800"
    for call in (
        lambda: model.generate(half),
        lambda: model.complete(["x", half]),
        lambda: model.chat([{"role": "user", "content": half}]),
        lambda: model.classify(half, labels=["a", "b"]),
        lambda: model.classify(["x", ("x", half)], labels=["a", "b"]),
        lambda: model.classify("x", labels=["a", half]),
        lambda: model.classify("x", examples=[(half, "a"), ("y", "b")]),
        lambda: model.classify("x", examples=[("x", half), ("y", "b")]),
        lambda: model.evaluate(text=half),
        lambda: model.tokenizer.encode(half),
        lambda: package.pretrain("zh.txt", half),
        lambda: package.finetune(trained, "new", data=half),
    ):
        with pytest.raises(
            XinyeError,
            match=r"not valid Unicode text: \\ud800 is an unpaired surrogate, half of a character",
        ):
            call()
    assert not Path("new").exists()
