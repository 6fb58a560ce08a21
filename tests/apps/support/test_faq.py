"""Questions become a FAQ, of which a part is kept apart."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.apps.support.clusters import name_clusters
from xinye.apps.support.exchanges import Exchange, without_templates
from xinye.apps.support.faq import make_faq
from xinye.apps.support.groups import near_groups, plain
from xinye.apps.support.held_out import kept_apart
from xinye.apps.support.matching import FAQMatcher
from xinye.data.notes import Notes

RETURN = "七天之内，茶叶未拆封都可以退货。"


def exchange(question, answer, line=1):
    return Exchange(question, answer, "", "a.csv", line)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("请问，怎么退货呀？", "怎么退货", True),
        ("How do I return a teapot?", "how do i return a teapot please", True),
        ("我买的那个紫砂茶壶可以退货吗？", "我买的那个紫砂的茶壶可以退货吗", True),
        ("我买的那个紫砂茶壶可以退货吗？", "我买的那个紫砂茶壶不可以退货吗？", False),
        ("iPhone 12 怎么保修？", "iPhone 13 怎么保修？", False),
        ("How do I activate my card?", "How do I block my card?", False),
    ],
)
def test_near_equal_questions(one, other, same):
    assert near_groups([one, other]) == ([0, 0] if same else [0, 1])


@given(st.lists(st.text(alphabet="怎么退货ab 12？", max_size=12), max_size=12))
def test_equal_texts_are_in_one_group(texts):
    groups = near_groups(texts)
    of_text = dict(zip(map(plain, texts), groups, strict=True))
    assert [of_text[plain(text)] for text in texts] == groups


def test_the_most_common_answer_wins_and_then_the_latest():
    faq = make_faq(
        [
            exchange("怎么退货？", "七天内申请。", 1),
            exchange("怎么退货", "十天内申请。", 2),
            exchange("请问怎么退货", "七天内申请！", 3),
            exchange("几点开门？", "八点。", 4),
            exchange("几点开门", "九点。", 5),
        ]
    )
    assert [(each.answer, each.line) for each in faq.entries] == [
        ("七天内申请！", 3),
        ("九点。", 5),
    ]
    assert [each.others for each in faq.conflicts] == [("十天内申请。",), ("八点。",)]


def test_answers_that_depend_on_the_case_are_only_suggested():
    faq = make_faq([exchange("我的包裹在哪？", f"在{city}。") for city in ("杭州", "上海", "北京")])
    assert faq.entries == faq.by_case and faq.unanswered == 1 and faq.conflicts[0].chosen == ""


def test_answers_about_one_customer_s_case_are_only_suggested():
    asked = [
        exchange("我的茶壶修好了吗？", "修好了，昨天寄出的。", 1),
        exchange("怎么开发票？", "已经开好的发票在“我的订单”里下载。", 3),
        exchange("能改地址吗？", "已经给您改了。", 5),
        exchange("可以改地址吗？", "已经给您改了。", 7),
        exchange("几点开门？", "今天十点开门。", 9),
        exchange("几点开门", "今天十点开门。", 11),
        replace(exchange("我的包裹到哪了？", "您的包裹已发出。", 13), is_row=True),
    ]
    answered = {each.answer: each.answered for each in make_faq(asked).entries}
    assert answered == {
        "修好了，昨天寄出的。": False,
        "已经开好的发票在“我的订单”里下载。": True,
        "已经给您改了。": False,
        "今天十点开门。": True,  # two customers were told so
        "您的包裹已发出。": True,
    }


def test_the_question_of_an_entry_is_what_most_wordings_say():
    asked = [
        "我想问下我就买一个杯子，还要邮费吗，急",
        "邮费多少钱？",
        "你们邮费多少钱啊",
        "邮费要多少",
    ]
    [entry] = make_faq([exchange(each, RETURN) for each in asked]).entries
    assert entry.question == "邮费多少钱？"
    assert {*entry.wordings} == {*asked}


def test_the_question_of_a_row_is_that_of_its_entry():
    row = replace(exchange("空气炸锅可以放锡纸吗？", RETURN), is_row=True, wordings=("能放锡纸吗",))
    asked = ["炸锅能用锡纸吗", "炸锅能放锡纸吗", "能用锡纸吗", "空气炸锅可以放锡纸吗"]
    [entry] = make_faq([*(exchange(each, RETURN) for each in asked), row]).entries
    assert entry.question == "空气炸锅可以放锡纸吗？"
    assert {*entry.variants} == {*asked[:3], "能放锡纸吗"}


def test_a_question_that_one_customer_wrote_is_not_offered():
    asked = [
        exchange("我叫张伟，怎么改地址？", RETURN),
        exchange("茶饼怎么撬开？", "用茶针从侧面撬。"),
    ]
    said = [
        *asked,
        exchange("茶饼怎么撬开", "用茶针从侧面撬。"),
        replace(exchange("几点开门？", "八点。"), is_row=True),
    ]
    offered = {entry.question: entry.offered for entry in make_faq(said).entries}
    assert offered == {"我叫张伟，怎么改地址？": False, "茶饼怎么撬开": True, "几点开门？": True}


def test_questions_of_one_answer_are_one_entry():
    [entry] = make_faq([exchange("怎么退货？", RETURN), exchange("茶不好喝", RETURN)]).entries
    assert {*entry.wordings} == {"怎么退货？", "茶不好喝"}


@pytest.mark.parametrize("yes", ["可以的，", "好的亲，", "亲，", "Yes, "])
def test_yes_before_an_answer_makes_no_other_answer(yes):
    said = [exchange("怎么退货", RETURN), exchange("能退吗", yes + RETURN, 2)]
    for ordered in (said, said[::-1]):
        assert [each.answer for each in make_faq(ordered).entries] == [RETURN]


def test_a_name_at_the_beginning_is_no_yes():
    said = [exchange("cables?", "Sure-Grip mugs cost £9."), exchange("cups?", "Grip mugs cost £9.")]
    assert len(make_faq(said).entries) == 2


def test_no_near_equal_of_a_test_question_is_learned():
    asked = [
        exchange(f"第{n}种茶壶的盖子{word}？", f"第{n}种茶壶的盖子在商店的“配件”一页。")
        for n in range(30)
        for word in ("在哪里可以买到", "在哪里可以买到呀", "丢了怎么办")
    ]
    parts = kept_apart(make_faq(asked).entries, [], 0.3)
    learned = [text for entry in parts.entries for text in entry.wordings]
    assert len(parts.test) == 18
    groups = near_groups([*learned, *(each.question for each in parts.test)])
    assert not {*groups[: len(learned)]} & {*groups[len(learned) :]}
    answers = {entry.answer for entry in parts.entries}
    assert all(each.answerable == (each.answer in answers) for each in parts.test)


def test_clusters_have_names():
    things = ("紫砂茶壶", "白瓷茶杯", "龙井绿茶", "正山红茶", "茉莉花茶")
    asked = [f"{one}{what}" for one in things for what in ("怎么退货", "能退货吗")]
    asked += [f"{one}{what}" for one in things for what in ("怎么开发票", "可以补开发票吗")]
    names = name_clusters(asked)
    assert any("退货" in name for name in names) and any("发票" in name for name in names)
    assert {name.rstrip("？") for name in names} <= {*asked}  # whole questions


def test_a_matcher_without_calibration_trusts_equal_questions_only():
    matcher = FAQMatcher()
    matcher.fit(["怎么退货？", "几点开门？"], [0, 1])
    assert matcher.match("请问怎么退货").confidence == 1.0
    assert (near := matcher.match("我想退货")).entry == 0 and near.confidence == 0.0
    assert matcher.match("abc") is None and matcher.threshold(0.9) is None


def test_a_variant_of_two_answers_belongs_to_neither():
    long = "茶壶请放在干燥的地方保存。"
    asked = [replace(exchange("怎么退货？", RETURN), wordings=("怎么办",)),
             replace(exchange("怎么保存？", long), wordings=("怎么办",))]  # fmt: skip
    assert [each.variants for each in make_faq(asked).entries] == [(), ()]


def test_rows_of_a_table_with_one_answer_stay():
    asked = (
        "杯子脏了",
        "怎样除茶垢",
        "壶里发黄",
        "水渍去不掉",
        "洗不干净",
        "咖啡印",
        "锈色",
        "污迹",
        "发黑",
        "斑点",
        "一圈印子",
        "用久了变色",
    )
    rows = [replace(exchange(each, RETURN, line), is_row=True) for line, each in enumerate(asked)]
    assert without_templates(rows, Notes()) == rows
