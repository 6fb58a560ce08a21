"""Logs of a company become questions with their answers."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from xinye.apps.support import exchanges, small_talk
from xinye.apps.support.logs import Columns, read_logs
from xinye.data.personal import find_personal
from xinye.errors import XinyeError

KEFU = """客户：你好
客服：您好，欢迎光临新叶茶铺，很高兴为您服务！
客户：请问茶叶能退货吗？我手机号13812345678
客服：请稍等，我查一下
客服：您好，茶叶未拆封的话七天内可以退货。请问还有其他可以帮您的吗？
客户：没有了，谢谢
客服：不客气，祝您生活愉快！

客户：在吗
客户：我的包裹三天没动了
客服：请问您的订单号是多少？
客户：20231111
客服：包裹在杭州中转站。
客户：那什么时候能到家里？
客服：一般上午。
客户：转人工
"""
ROWS = """conversation_id,role,content
1,customer,Hello!
1,agent,Welcome to New Leaf! How can I help you?
1,customer,How do I return a teapot?
1,agent,Let me check that for you.
1,agent,Send it back within 30 days. Is there anything else I can help with?
1,customer,"Thanks a lot, bye"
2,customer,Can I pay by card?
2,agent,"Yes, by any card."
"""


def written(folder, name, text):
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def pairs(logs):
    return [(each.question, each.answer) for each in logs.exchanges]


def test_chinese_lines(tmp_path):
    logs = read_logs([written(tmp_path, "kefu.txt", KEFU)])
    assert pairs(logs) == [("茶叶能退货吗？", "您好，茶叶未拆封的话七天内可以退货。")]
    assert logs.exchanges[0].line == 1 and logs.conversations == 2
    counts = logs.dropped.counts
    assert counts[exchanges.SMALL_TALK] == 3 and counts[exchanges.ASKED_BACK] == 1
    assert counts[exchanges.OF_CASE] == 1 and counts[exchanges.REFERS] == 1


def test_english_rows(tmp_path):
    logs = read_logs([written(tmp_path, "chats.csv", ROWS)])
    assert pairs(logs) == [
        ("How do I return a teapot?", "Send it back within 30 days."),
        ("Can I pay by card?", "Yes, by any card."),
    ]


TURNS = """客户：在吗
客服：您好
客户：地址在哪里？
客服：李明您好，在西湖边。
客户：好的，电话是多少呢？
客服：05718888。
客户：不错，那几点开门
客服：十点。
客户：谢谢，龙井多少钱一斤？
客服：一千元。

User: Is delivery free?
Assistant: Dear Anna, it is free from £40.
User: Great, what are the opening hours?
Assistant: 9 to 5.
User: How much is a teapot?
Assistant: £30.
"""


def test_later_questions_that_name_no_thing_are_left_out(tmp_path):
    logs = read_logs([written(tmp_path, "turns.txt", TURNS)])
    assert pairs(logs) == [
        ("地址在哪里？", "在西湖边。"),
        ("谢谢，龙井多少钱一斤？", "一千元。"),
        ("Is delivery free?", "it is free from £40."),
        ("How much is a teapot?", "£30."),
    ]
    assert logs.dropped.counts[exchanges.REFERS] == 3


def test_a_workbook_with_intents_and_similar_questions(tmp_path):
    book = Workbook()
    book.active.append(["问题", "答案", "意图", "相似问"])
    book.active.append(["怎么退货？", "七天内申请退货即可。", "退货", "如何退货|想退东西"])
    book.save(tmp_path / "faq.xlsx")
    [found] = read_logs([str(tmp_path / "faq.xlsx")]).exchanges
    assert (found.intent, found.wordings, found.line) == ("退货", ("如何退货", "想退东西"), 2)


@pytest.mark.parametrize("head", ["text,category", "问题,意图"])
def test_questions_with_intents_only(tmp_path, head):
    rows = "".join(f"怎么换第{n}种货？,换货\n怎么退第{n}种货？,退货\n" for n in range(5))
    logs = read_logs([written(tmp_path, "intents.csv", f"{head}\n{rows}")])
    assert [each.intent for each in logs.exchanges[:2]] == ["换货", "退货"]
    assert not any(each.answer for each in logs.exchanges)


def test_an_intent_column_that_is_named(tmp_path):
    path = written(tmp_path, "faq.csv", "question,answer,team\nWhere is it?,In town.,shop\n")
    assert read_logs([path], Columns(intent_field="team")).exchanges[0].intent == "shop"
    with pytest.raises(XinyeError, match=r"no field 'teem' .*did you mean 'team'"):
        read_logs([path], Columns(intent_field="teem"))


def test_personal_data(tmp_path):
    """A number that the company published is its own; another may be a customer's."""
    lines = [
        {"question": "怎么联系你们？", "answer": "请拨打 0571-88886666。"},
        {"question": "我的号是13812345678，能改吗？", "answer": "可以，在设置里改。"},
        {"question": "小王在哪？", "answer": "请拨打13987654321找他。"},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path = written(tmp_path, "faq.jsonl", text)
    logs = read_logs([path], published=["客服热线：0571-88886666"])
    assert [each.question for each in logs.exchanges] == ["怎么联系你们？", "能改吗？"]
    assert read_logs([path]).exchanges[0].question == "能改吗？"


def test_a_number_that_employees_often_name_is_the_company_s(tmp_path):
    rows = "".join(f"怎么买第{n}种茶？,请拨打 0571-88886666 订第{n}种。\n" for n in range(3))
    logs = read_logs([written(tmp_path, "faq.csv", f"问题,答案\n{rows}")])
    assert len(logs.exchanges) == 3


def test_sentences_below_any_question_are_templates(tmp_path):
    things = ["茶壶", "绿茶", "红茶", "花茶", "礼盒", "茶盘"]
    asks = ["多少钱？", "坏了", "能退吗？", "怎么洗", "哪里产的？", "有货吗？"]
    rows = "".join(
        f"{one}{ask},{one}请看第{n}页。新叶茶铺每天都有好茶。\n"
        for n, one in enumerate(things)
        for ask in asks
    )
    same = "".join(f"{one}打折吗，打几折？,全场九折，会员八折。\n" for one in things * 2)
    logs = read_logs([written(tmp_path, "faq.csv", f"问题,答案\n{rows}{same}")])
    assert {each.answer for each in logs.exchanges[:36]} == {
        f"{one}请看第{n}页。" for n, one in enumerate(things)
    }
    assert logs.exchanges[-1].answer == "全场九折，会员八折。"  # they all ask for the same
    assert logs.dropped.counts[exchanges.TEMPLATES] == 36


def test_an_answer_to_many_wordings_is_no_template(tmp_path):
    """They share hardly a word, and employees always send the same text."""
    asks = [
        "几点开门",
        "你们店周一开吗",
        "晚上几点关门",
        "春节营业吗",
        "周末店里有人吗",
        "现在还开着没",
        "最晚什么时候去",
        "营业时间",
        "中午休息不",
        "今天还做生意吗",
    ]
    other = "".join(f"第{n}种茶多少钱,第{n}种茶{n}元。\n" for n in range(40))
    same = "".join(f"{ask},每天十点到九点。周一休息。\n" for ask in asks)
    logs = read_logs([written(tmp_path, "faq.csv", f"问题,答案\n{same}{other}")])
    assert [each.answer for each in logs.exchanges[:10]] == ["每天十点到九点。周一休息。"] * 10


@pytest.mark.parametrize(
    ("asked", "number", "question"),
    [
        ("茶壶能退吗", "我的手机号是13812345678", "茶壶能退吗"),
        ("Can I return it", "my number is +44 20 7946 0123", "Can I return it"),
    ],
)
def test_a_message_that_only_gives_a_number_is_no_part_of_the_question(
    tmp_path, asked, number, question
):
    rows = f"id,role,content\n1,customer,{asked}\n1,customer,{number}\n1,agent,Seven days.\n"
    (exchange,) = read_logs([written(tmp_path, "log.csv", rows)]).exchanges
    assert exchange.question == question


def test_bad_records_are_left_out_unless_they_are_most(tmp_path):
    good = '{"question": "几点开门？", "answer": "八点。"}\n'
    logs = read_logs([written(tmp_path, "a.jsonl", good + "{\n" + good)])
    assert len(logs.exchanges) == 2 and "1 bad record left out" in logs.notes.sentences()[0]
    with pytest.raises(XinyeError, match="line 2: not valid JSON"):
        read_logs([written(tmp_path, "b.jsonl", good + "{\n{\n")])


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("你好，在吗？", "greeting"),
        ("Hello there!", "greeting"),
        ("好的，谢谢", "thanks"),
        ("Thanks a lot!", "thanks"),
        ("没有其他问题了", "goodbye"),
        ("bye", "goodbye"),
        ("我要转人工客服", "person"),
        ("A person, please.", "person"),
        ("嗯嗯，知道了", "acknowledgement"),
        ("你好，怎么退货？", ""),
        ("Hi, can I return it?", ""),
    ],
)
def test_small_talk(text, intent):
    assert small_talk.small_talk(text) == intent


@given(st.text(max_size=300))
def test_any_message(text):
    small_talk.small_talk(text)
    assert small_talk.without_opening(text) in text


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=60))))
def test_any_conversation(turns):
    messages = [{"role": role, "content": f"{text} 13812345678"} for role, text in turns]
    dropped = exchanges.Notes()
    for found in exchanges.exchanges(exchanges.Talk(messages, "a.csv, line 1"), "a", 1, dropped):
        assert found.answer and not find_personal(found.question)


@pytest.mark.parametrize("name", ["support.md", "support_zh.md"])
def test_the_examples_of_the_document(tmp_path, name):
    text = (Path(__file__).parents[3] / "docs" / name).read_text("utf-8")
    examples = re.findall(r"^```(?:csv|text) (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [read_logs([written(tmp_path, *each)]).exchanges for each in examples]
    assert [len(each) for each in found] == [1, 1, 1, 1]
    talk, table, _, intents = (each[0] for each in found)
    assert "3800" not in talk.question and "7946" not in talk.question and talk.intent
    assert len(table.wordings) == 2 and intents.intent and not intents.answer
