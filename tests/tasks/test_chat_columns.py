"""Columns of conversations whose names could mean two things, and cells that hold nothing."""

import pytest

from tasks.test_conversations import read
from xinye.errors import XinyeError


@pytest.mark.parametrize(
    ("header", "better"),
    [
        ("客户,客服,客户问题,客服回答", "客户问题 --answer-field 客服回答"),
        ("客户,客服,问题描述,处理结果", "问题描述 --answer-field 处理结果"),
        ("买家,卖家,买家留言,卖家回复", "买家留言 --answer-field 卖家回复"),
        ("source,target,question_text,reply_text", "question_text --answer-field reply_text"),
    ],
)
def test_names_beside_texts_are_asked_for(workplace, header, better):
    content = f"{header}\n张三,小李,在吗,在的\n"
    with pytest.raises(XinyeError, match=f"which columns .*--prompt-field {better}"):
        read("a.csv", content)
    first, second, question, answer = header.split(",")
    for prompt_field, answer_field, said in (
        (question, answer, "在吗 | a 在的"),
        (first, second, "张三 | a 小李"),
    ):
        named = {"prompt_field": prompt_field, "answer_field": answer_field}
        assert read("a.csv", content, **named)[0] == [f"u {said}"]  # fmt: skip


def test_names_beside_a_message_are_asked_for(workplace):
    rows = "1,张三,小李,在吗,9:00\n1,张三,小李,在的,9:01\n"
    with pytest.raises(
        XinyeError, match="'客户' and '客服' may contain only names, because there is also '内容'"
    ):
        read("a.csv", f"会话ID,客户,客服,内容,时间\n{rows}")
    with_roles = "会话ID,客户,客服,角色,内容\n1,张三,小李,客户,在吗\n1,张三,小李,客服,在的\n"
    assert read("a.csv", with_roles)[0] == ["u 在吗 | a 在的"]


def test_what_stands_beside_speakers_and_is_no_rival(workplace):
    header = "user,assistant,system_prompt,问题类型,text"
    said, _ = read("a.csv", f"{header}\n在吗,在的,短,售前,user: 在吗 assistant: 在的\n")
    assert said == ["s 短 | u 在吗 | a 在的"]


@pytest.mark.parametrize("header", ["用户评价,商家回复", "问题分类,客服回复", "评论,标签"])
def test_a_header_that_names_one_side_is_no_record(workplace, header):
    with pytest.raises(XinyeError, match=f"line 2: which columns hold the question.*{header[:2]}"):
        read("a.csv", f"{header}\n不错,谢谢\n")


def test_an_empty_question_and_a_row_of_totals(xinye, workplace):
    table = "编号,问题,答案\n1,在吗,在的\n合计,,6条\n"
    with pytest.raises(XinyeError, match="line 3, field '问题': the question is empty"):
        read("a.csv", table)
    left = xinye("data", "check", "a.csv", "--task", "chat", "--bad-records", "skip")
    assert "1 record" in left.out and "the first cell is '合计'" in left.out


@pytest.mark.parametrize("nothing", ["—", "-", "无"])
def test_an_answer_that_says_there_is_none(workplace, nothing):
    _, notes = read("a.csv", f"问题,答案\n在吗,{nothing}\n")
    assert f"the answer is {nothing!r}, which looks like a missing answer" in notes
