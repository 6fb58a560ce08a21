"""How documents are cut into passages, and into terms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.retrieval.passages import LONGEST, cut
from xinye.retrieval.terms import terms

LAW = """# 新叶法

第一章 总则

第一条 为了保护新叶，制定本法。

第二条 新叶是树上的叶子。

落叶不是新叶。

第二章 责任

第三条之一 摘新叶的，应当赔偿。
附件：新叶名录。
"""
HANDBOOK = """公司手册

# 请假

病假需要证明。

年假有五天。

## 手续

提前三天申请。

# 报销

附发票。
"""


def test_a_law_is_cut_into_its_articles():
    passages = [*cut(LAW)]
    assert [each.section for each in passages] == ["第一条", "第二条", "第三条之一"]
    assert passages[1].text == "第二条 新叶是树上的叶子。\n\n落叶不是新叶。"
    assert passages[2].text.endswith("附件：新叶名录。")


def test_paragraphs_stand_under_their_headings():
    assert [(each.section, each.text) for each in cut(HANDBOOK)] == [
        ("", "公司手册"),
        ("请假", "病假需要证明。\n\n年假有五天。"),
        ("请假 › 手续", "提前三天申请。"),
        ("报销", "附发票。"),
    ]


@given(
    st.lists(
        st.sampled_from(
            [
                "第一条 甲。",
                "第二条 乙",
                "第三章 丙",
                "# 标题",
                "长句。" * 300,
                "x" * 1500,
                "word. " * 200,
                "\n",
                "\n\n",
                " ",
                "　",
                "\r\n",
                "一段话，没有句号",
            ]
        )
    ).map("".join)
    | st.text(max_size=2000)
)
def test_passages_are_parts_of_the_text_in_order_and_lose_nothing(text):
    end, kept = 0, ""
    for passage in cut(text):
        assert passage.offset >= end and 0 < len(passage.text) <= LONGEST
        assert text[passage.offset : passage.offset + len(passage.text)] == passage.text
        end = passage.offset + len(passage.text)
        kept += passage.text
    headings = re.findall(r"(?m)^(?:#{1,6}[ \t]+\S.*|[ \t　]*第\S+[编章节].*)$", text)
    lost = len("".join(text.split())) - len("".join(kept.split()))
    assert lost <= len("".join("".join(headings).split()))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("试用期", ["试", "用", "期", "试用", "用期"]),
        ("Cafés and CLASS", ["cafe", "and", "class"]),
        ("iPhone15的价", ["iphone15", "的", "价", "的价"]),
        ("ＡＢＣ，。!?", ["abc"]),
        ("", []),
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


def test_a_heading_without_a_text_is_found():
    text = "# 联系\n\n## 消防 119\n\n## 公安 110\n\n## 前台\n\n五号房间\n"
    assert [(each.section, each.text) for each in cut(text)] == [
        ("消防 119", "## 消防 119"),
        ("公安 110", "## 公安 110"),
        ("联系 › 前台", "五号房间"),
    ]
