"""What a desk learns from approved feedback, and how it is evaluated."""

import json
import shutil
from pathlib import Path

import pytest

from apps.support.conftest import Customer
from xinye.apps.support.calibrating import Tested, Trial
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.evaluate import evaluate_desk
from xinye.apps.support.groups import plain
from xinye.apps.support.improve import improve
from xinye.apps.support.messages import Message
from xinye.apps.support.prepare import prepare
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.apps.support.replies import Answerer
from xinye.apps.support.reply import Reply
from xinye.errors import XinyeError

THINGS = ("紫砂壶", "白瓷杯", "竹茶盘", "龙井", "红茶", "茶叶罐", "礼盒", "茶巾")
ASKS = (
    ("退货", ("{}怎么退货？", "{}可以退掉吗？", "不想要{}了，能退吗？")),
    ("保养", ("{}怎么洗？", "{}用完该如何清洗？", "洗{}要注意什么？")),
)
BOT = Reply("faq", "不对的答案。")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("improve")
    rows = [
        f"{wording.format(thing)},{thing}的{what}：请看说明书第{number}页。"
        for number, thing in enumerate(THINGS)
        for what, wordings in ASKS
        for wording in wordings
    ]
    (folder / "faq.csv").write_text("\n".join(["question,answer", *rows]), "utf-8")
    settings = {"logs": [str(folder / "faq.csv")], "output": folder / "desk", "precision": 0.7}
    prepare(PrepareSettings(**settings, test_share=0.2, time="0s"))
    return folder / "desk"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "desk")
    return tmp_path / "desk"


def approve(desk: Conversations, question: str, right: str) -> None:
    """Let a customer ask, the bot answer, and an operator correct that."""
    customer = Customer(desk)
    customer.asks(question)
    customer.gets(BOT)
    number = desk.feedback.by_operator(customer.conversation, "李", 2, good=False, text=right)
    desk.feedback.approve(number, "李")


def reply_to(folder: Path, question: str) -> Reply:
    return Answerer.read(folder).answer([Message.of_customer(question)])


def test_approved_answers_are_learned_and_the_old_desk_is_kept(
    folder: Path, desk: Conversations
) -> None:
    (folder / "notes.txt").write_text("ours", "utf-8")
    approve(desk, "你好，礼盒能印公司标志吗？", "可以印，五十盒起。")
    approve(desk, "龙井怎么退货？", "龙井开封后不退。")
    approve(desk, "脏了的茶巾咋弄干净啊？", "茶巾的保养：请看说明书第7页。")
    found = improve(folder, desk.store.path)
    assert (found.added, found.corrected, found.reworded, found.known) == (1, 1, 1, 0)
    assert found.replaced
    assert reply_to(folder, "礼盒能印公司标志吗").text == "可以印，五十盒起。"
    assert reply_to(folder, "龙井怎么退货").text == "龙井开封后不退。"
    assert reply_to(folder, "脏了的茶巾咋弄干净").text == "茶巾的保养：请看说明书第7页。"
    assert DeskFolder.read(found.kept).entries[0].question
    assert (folder / "notes.txt").read_text() == "ours"


def test_of_two_approved_answers_the_last_one_counts(folder: Path, desk: Conversations) -> None:
    approve(desk, "礼盒能印公司标志吗？", "可以印，五十盒起。")
    approve(desk, "请问礼盒能印公司标志吗", "可以印，一百盒起。")
    approve(desk, "龙井怎么退货？", "龙井开封后不退。")
    [*_, first] = desk.feedback.records()[:1]
    desk.feedback.approve(first.number, "李")  # again, so that it is the last one
    found = improve(folder, desk.store.path)
    assert found.conflicts == {"礼盒能印公司标志吗": ["可以印，一百盒起。", "可以印，五十盒起。"]}
    assert reply_to(folder, "礼盒能印公司标志吗").text == "可以印，五十盒起。"


WRONG, NO_COFFEE = "紫砂壶现价269元，容量300毫升。", "我们只卖茶具，不卖咖啡机。"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_wrong_answer_that_was_corrected_harms_no_other_question(
    folder: Path, desk: Conversations, at_once: bool
) -> None:
    for question in ("紫砂壶什么价钱", "咖啡机有卖的吗", "一把紫砂壶要花多少"):
        approve(desk, question, WRONG)
    if not at_once:
        assert improve(folder, desk.store.path).added == 1
    approve(desk, "请问咖啡机有卖的吗？", NO_COFFEE)
    found = improve(folder, desk.store.path)
    assert found.conflicts == {"咖啡机有卖的吗": [WRONG, NO_COFFEE]}
    entries = {entry.answer: entry for entry in DeskFolder.read(folder).entries}
    assert entries[WRONG].wordings == ("紫砂壶什么价钱", "一把紫砂壶要花多少")
    assert [*map(plain, entries[NO_COFFEE].wordings)] == [plain("咖啡机有卖的吗")]


def test_a_corrected_question_leaves_its_entry(
    folder: Path, desk: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "tested", lambda *_: Tested(10, 8, 0, 0))
    at, old = next(
        (at, each) for at, each in enumerate(DeskFolder.read(folder).entries) if each.offered
    )
    asked, other, third = old.wordings
    approve(desk, asked, "换一个答案，请打电话问店里。")
    approve(desk, third, old.answer)  # which is known
    found = improve(folder, desk.store.path)
    assert found.corrected == 1 and found.replaced and not found.judged
    assert found.uncorrected == {old.answer: [other]}
    left, new = (DeskFolder.read(folder).entries[number] for number in (at, -1))
    assert (left.answer, {*left.wordings}, left.offered) == (old.answer, {other, third}, False)
    assert (new.wordings, new.offered) == ((asked,), True)
    approve(desk, other, "换一个答案，请打电话问店里。")
    approve(desk, third, "可以，今天就办。")
    assert improve(folder, desk.store.path).uncorrected == {}
    last, same = (DeskFolder.read(folder).entries[number] for number in (at, -1))
    assert (last.wordings, last.answer) == ((third,), "可以，今天就办。")
    assert {*same.wordings} == {asked, other}


def test_a_short_answer_makes_no_entry_of_two_questions(folder: Path, desk: Conversations) -> None:
    approve(desk, "礼盒能印公司标志吗？", "可以，当天就好。")
    approve(desk, "茶课能带小孩来吗？", "可以，当天就好。")
    assert improve(folder, desk.store.path).added == 2


def test_a_worse_desk_does_not_replace_the_old_one(
    folder: Path, desk: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(desk, "礼盒能印公司标志吗？", "可以印，五十盒起。")
    figures = iter([Tested(10, 8, 6, 6), Tested(10, 8, 9, 5), Tested(10, 8, 5, 5)])
    monkeypatch.setattr(Trial, "tested", lambda *_: next(figures))
    before = (folder / "faq.jsonl").read_bytes()
    found = improve(folder, desk.store.path)
    assert not found.replaced
    assert (folder / "faq.jsonl").read_bytes() == before
    assert [path.name for path in folder.parent.glob("*desk*")] == ["desk"]


def test_what_needs_the_conversation_is_left_out(folder: Path, desk: Conversations) -> None:
    customer = Customer(desk)
    customer.asks("礼盒有现货吗？")
    customer.gets()
    customer.asks("那它多少钱？")
    customer.gets()
    number = desk.feedback.by_operator(customer.conversation, "李", 4, good=False, text="九十元。")
    desk.feedback.approve(number, "李")
    customer.asks("哦好的，我电话13812345678")
    customer.gets()
    number = desk.feedback.by_operator(
        customer.conversation, "李", 6, good=False, text="满百包邮。"
    )
    desk.feedback.approve(number, "李")
    approve(desk, "在吗", "在的。")
    approve(desk, "我的电话是13812345678，什么时候回电？", "五点前打[电话1]给您。")
    approve(desk, "我的礼盒到哪了？", "您的包裹已经到杭州了。")
    with pytest.raises(XinyeError, match="no approved answer is new to desk; most of what was"):
        improve(folder, desk.store.path)


def test_an_answer_that_was_only_suggested_is_answered_once_it_is_corrected(
    folder: Path, desk: Conversations
) -> None:
    row = {"question": "能刻字吗？", "answer": "已经给您刻好了。", "source": {"file": "log.csv"}}
    with open(folder / "faq.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"answered": False}, ensure_ascii=False) + "\n")
    assert reply_to(folder, "能刻字吗").kind == "handover"
    approve(desk, "能刻字吗？", "可以，两天刻好。")
    assert improve(folder, desk.store.path).corrected == 1
    assert reply_to(folder, "能刻字吗").text == "可以，两天刻好。"


def test_learned_questions_near_the_test_do_not_make_it_easier(
    folder: Path, desk: Conversations
) -> None:
    asked = next(each for each in DeskFolder.read(folder).test if each.answerable)
    approve(desk, f"请问{asked.question}", asked.answer)
    approve(desk, "礼盒能印公司标志吗？", "可以印，五十盒起。")
    found = improve(folder, desk.store.path)
    assert found.known == 1
    again = next(each for each in DeskFolder.read(folder).test if each.question == asked.question)
    assert asked.question in again.near


def test_a_desk_is_evaluated_without_the_questions_of_the_test(
    folder: Path, tmp_path: Path
) -> None:
    found = evaluate_desk(folder, tmp_path / "replies.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert found.questions == len(rows) == len(DeskFolder.read(folder).test)
    assert found.answered == sum(found.kinds.get(kind, 0) for kind in ("faq", "template"))
    assert found.right == sum(bool(row["right"]) for row in rows)
    assert not any(row["score"] == 1 for row in rows)  # else it knew the question
    assert found.baseline.right <= found.judged


def test_a_desk_without_a_test_is_not_evaluated(folder: Path) -> None:
    (folder / "test.jsonl").write_text("", "utf-8")
    with pytest.raises(XinyeError, match="no questions with an answer to test on"):
        evaluate_desk(folder)
