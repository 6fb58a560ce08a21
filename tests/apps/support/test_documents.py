"""Documents of a desk answer what customers ask and the FAQ does not know."""

from pathlib import Path

import pytest

from xinye.apps.support.desk_folder import Unsure
from xinye.apps.support.documents import calibrate_documents, may_answer, says
from xinye.retrieval.confidence import Calibration
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import confidence_in
from xinye.retrieval.results import Found

PLACES = ("梧桐街", "桂花巷", "湖滨路", "石桥弄", "灯市口", "东关街")
FACTS = (
    "有{}间茶室，可以提前预约",
    "的冷藏库在地下{}楼，钥匙由店长保管",
    "门口能停{}0辆车",
    "代收快递，取件码{}天内有效",
)
STRANGE = ("会不会涨价", "招不招店员", "能不能刷卡", "有没有咖啡")


@pytest.fixture
def base(tmp_path: Path) -> KnowledgeBase:
    facts = [
        f"{place}分店{fact.format(n)}。" for n, place in enumerate(PLACES, 1) for fact in FACTS
    ]
    (tmp_path / "shops.md").write_text(
        "\n\n".join(f"# 第{n}条\n\n{fact}" for n, fact in enumerate(facts)), "utf-8"
    )
    built, _ = KnowledgeBase.build(tmp_path / "kb", [tmp_path / "shops.md"])
    return built


def asked(text: str, answer: str) -> list[Unsure]:
    """A question about each place, and what it was answered."""
    return [
        Unsure(question=place + text, answer=f"{place}{answer.format(number)}")
        for number, place in enumerate(PLACES, 1)
    ]


def confidence(base: KnowledgeBase, question: str) -> float:
    learned = Calibration.load(base.folder)
    assert learned is not None
    return confidence_in(base, learned, question, base.search(question, 5))


def test_customers_show_what_the_documents_do_not_answer(base: KnowledgeBase) -> None:
    strange, known = "梧桐街分店可以带狗吗", "梧桐街分店有几间茶室"
    before = confidence(base, strange), confidence(base, known)
    unanswered = [each for text in STRANGE for each in asked(f"分店{text}", "的事要问总部{}号。")]
    calibrate_documents(base, unanswered + asked("分店能停几辆车", "分店门口能停{}0辆车"), 0.95)
    after = confidence(base, strange), confidence(base, known)
    assert after[0] < before[0] and after[1] > before[1]


@pytest.mark.parametrize(
    ("question", "text", "may"),
    [
        ("紫砂壶多少钱", "新壶先煮30分钟。", False),
        ("紫砂壶多少钱", "紫砂壶每把98元。", True),
        ("How much is a lid?", "A new lid takes 15 days.", False),
        ("How much is a lid?", "A new lid costs £12.", True),
        ("怎么开壶", "新壶先煮30分钟。", True),
    ],
)
def test_a_price_is_answered_with_a_price(question: str, text: str, may: bool) -> None:
    found = Found(text, 1.0, "a.md", "", "", 1, 0)
    assert may_answer(question, [found]) is may


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("我们每天10点开门，周一休息，除夕也休息。", True),
        ("茶艺课每周六14:00开始。", False),
        ("几点开门？", False),
    ],
)
def test_a_right_answer_says_what_the_logged_one_says(text: str, right: bool) -> None:
    assert says(text, "你们几点开门", "每天10点开门，周一休息") is right
