"""`xinye support prepare` as a person meets it."""

import json
from pathlib import Path

import pytest

from xinye.apps.support import classifier, prepare
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.held_out import without
from xinye.data.personal import find_personal

ASKS = {  # other words for the same question about a thing
    "退货": ("怎么退", "不想要了，能退吗", "可以退掉吗"),
    "价格": ("多少钱", "什么价格", "卖多贵呀"),
    "保养": ("怎么洗", "该如何清洗", "脏了怎么办"),
}
THINGS = [
    f"{a}{b}" for a in ("紫砂", "白瓷", "玻璃", "青竹", "生铁") for b in ("茶壶", "茶杯", "茶盘")
]


def rows(intents=True):
    head = "问题,答案" + ",意图" * intents
    lines = [
        f"{thing}{ask}？,{thing}的{intent}请看第{number}页，电话13812345678。"
        + f",{intent}" * intents
        for number, thing in enumerate(THINGS)
        for intent, asks in ASKS.items()
        for ask in asks
    ]
    return "\n".join([head, *lines]).replace("，电话13812345678", "") + "\n"


def test_a_desk_of_a_table(xinye, workplace):
    Path("faq.csv").write_text(rows(), "utf-8")
    Path("handbook.md").write_text("# 手册\n\n门店八点开门。\n", "utf-8")
    found = xinye(
        "support", "prepare", "faq.csv", "--knowledge", "handbook.md", "-o", "desk",
        "--time", "0s", "--precision", "0.8", "--json",
    )  # fmt: skip
    report = json.loads(found.out)
    assert found.code == 0 and report["questions"] == 135 and report["intents"].keys() == {*ASKS}
    assert report["missing"]["intents"] == "no time to train (--time)"
    desk = DeskFolder.read("desk")
    assert len(desk.entries) == report["entries"] and desk.knowledge.passages == 1
    assert desk.settings.precision == 0.8 and desk.settings.languages[0] == "zh"
    learned = {text for entry in without(desk.entries, desk.test) for text in entry.wordings}
    assert len(learned) == 135 - 14
    assert len(desk.test) == 14 and not {each.question for each in desk.test} & learned
    assert report["steps"].keys() == {"faq", "passage"}
    assert report["tested"]["questions"] == 14 and report["tested"]["answerable"] > 0


def test_a_person_reads_what_was_done(xinye, workplace, monkeypatch):
    Path("chat.txt").write_text("客户：你好\n客服：您好\n客户：几点开门？\n客服：八点。\n", "utf-8")
    found = xinye("support", "prepare", "chat.txt", "-o", "desk")
    assert "1  messages that are only small talk" in found.out
    assert "roles without a model: intents; no question has an intent" in found.out
    assert "xinye support serve desk" in found.err
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    again = xinye("support", "prepare", "chat.txt", "-o", "desk", "--overwrite")
    assert again.code == 0


def test_masked_before_it_is_written(xinye, workplace):
    asked = "客户：我的号是13812345678，能改吗？\n客服：可以，在设置里改。\n"
    Path("chat.txt").write_text(asked, "utf-8")
    assert xinye("support", "prepare", "chat.txt", "-o", "desk").code == 0
    texts = [path.read_text("utf-8") for path in Path("desk").iterdir()]
    assert not any(find_personal(text) for text in texts)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "a.txt",
            "客户：你好\n客服：您好\n",
            "the logs have no question with an answer or an intent",
        ),
        (
            "a.csv",
            "role,content\nuser,怎么退？\nagent,不能。\n",
            "no column says of which conversation",
        ),
        ("a.csv", "id,role,content\n1,小李,怎么退？\n1,小王,不能。\n", "--assistant-name"),
    ],
)
def test_logs_that_cannot_be_used(xinye, workplace, name, text, problem):
    Path(name).write_text(text, "utf-8")
    found = xinye("support", "prepare", name, "-o", "desk")
    assert found.code == 2 and problem in found.complaint
    assert not Path("desk").exists()


def test_a_classifier_is_trained_and_named(xinye, workplace, monkeypatch, trained):
    Path("faq.csv").write_text(rows(), "utf-8")
    monkeypatch.setattr(classifier, "is_good", lambda *_: True)
    found = xinye(
        "support", "prepare", "faq.csv", "-o", "desk", "--time", "1s", "--from", trained, "--json"
    )
    report, desk = json.loads(found.out), DeskFolder.read("desk")
    assert report["trained"]["intents"]["intents"] == 3
    assert report["trained"]["intents"]["accuracy"] is not None
    assert desk.models["intents"].path == "models/intents"
    assert report["steps"]["intents"]["questions"] == 12
    assert [path.name for path in Path("desk/models").iterdir()] == ["intents"]


def test_a_classifier_that_is_worse_than_the_baseline_is_not_used(xinye, workplace, monkeypatch):
    Path("faq.csv").write_text(rows(), "utf-8")
    worse = classifier.Trained(3, 120, 14, 0.2, 0.9, 1.0, kept=False)
    monkeypatch.setattr(prepare, "train_intents", lambda *_: (worse, []))
    found = xinye("support", "prepare", "faq.csv", "-o", "desk")
    assert "its accuracy on 14 questions kept apart: 20.0%" in found.out
    assert "roles without a model: intents; the trained model is less accurate" in found.out
    assert not DeskFolder.read("desk").models and not Path("desk/models").exists()


def test_a_classifier_must_not_be_worse_than_the_baseline():
    assert classifier.is_good(0.88, 0.9, 900) and not classifier.is_good(0.8, 0.9, 900)
    assert classifier.is_good(None, None, 0)


def test_a_training_that_is_stopped_writes_no_desk(xinye, workplace, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "base_of", stopped)
    Path("faq.csv").write_text(rows(), "utf-8")
    before = {*Path().iterdir()}
    assert xinye("support", "prepare", "faq.csv", "-o", "desk").code == 130
    assert {*Path().iterdir()} == before


def test_a_time_that_is_none(xinye, workplace):
    found = xinye("support", "prepare", "zh.txt", "-o", "desk", "--time", "soon")
    assert "time: 'soon' is not a duration such as 90s" in found.complaint


def test_documents_without_text_are_named_before_the_logs_are_read(xinye, workplace):
    Path("docs").mkdir()
    Path("docs/空.md").write_text(" \n", "utf-8")
    Path("bad.jsonl").write_text("{", "utf-8")
    found = xinye("support", "prepare", "bad.jsonl", "--knowledge", "docs", "-o", "desk")
    assert found.code == 2 and "docs: there is no text to answer from (docs/空.md" in found.err
    Path("docs/退货.md").write_text("七天内可以退货。", "utf-8")
    Path("chat.txt").write_text("客户：几点开门？\n客服：八点。\n", "utf-8")
    found = xinye("support", "prepare", "chat.txt", "--knowledge", "docs", "-o", "desk")
    assert found.code == 0 and "skipped: docs/空.md: the file has no text" in found.out
