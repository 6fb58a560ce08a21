"""Which documents repeat others."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.monitor.conftest import analyse, documents_of, totals
from apps.support.conftest import Clock
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.ingest import Added, Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.near import sketch
from xinye.apps.monitor.queries import Filter

NEWS_ZH = (
    "新叶公司周三宣布，位于城东的第二仓库昨夜发生火灾，消防人员在四十分钟内将火扑灭，没有人员受伤。"
    "公司表示，起火原因仍在调查，受影响的订单将由其他仓库发出，预计最多延迟两天。"
)
NEWS_EN = (
    "Acme said on Wednesday that a fire broke out last night in its second warehouse in the east of "
    "the city. Firefighters put it out within forty minutes, and nobody was hurt. The cause is still "
    "being investigated; orders will be sent from other warehouses, at most two days late."
)
TITLE_ZH, TITLE_EN = "新叶公司第二仓库发生火灾无人受伤", "Fire in Acme's second warehouse"
OTHER_ZH = "新叶公司周三宣布，将在城东再建一座仓库，用来存放秋季的新品，预计明年四月完工，耗资两亿元，可容纳三十万件货物。"
OTHER_EN = "Acme said on Wednesday that it will build another warehouse in the east of the city, for its new products of the autumn, to be finished in April."


@pytest.mark.parametrize(
    "first, other",
    [
        ((TITLE_ZH, NEWS_ZH), ("", NEWS_ZH)),
        ((TITLE_ZH, NEWS_ZH), ("快讯", "本报讯（记者 甲乙）" + NEWS_ZH.replace("，", ","))),
        ((TITLE_ZH, NEWS_ZH), (f"【{TITLE_ZH}】", NEWS_ZH[:48])),
        ((TITLE_EN, NEWS_EN), ("", NEWS_EN.upper())),
        ((TITLE_EN, NEWS_EN), ("News", "(City wire) " + NEWS_EN + " Read more")),
        ((TITLE_EN, NEWS_EN), (TITLE_EN, NEWS_EN[:104] + "…")),
    ],
)
def test_repeats_are_counted_to_the_first(
    monitor: Monitor, ingest: Ingest, clock: Clock, first: tuple[str, str], other: tuple[str, str]
) -> None:
    ingest.add([Incoming("a", "1", *first)])
    clock.move(days=3)
    assert ingest.add([Incoming("b", "1", *other)]) == Added(repeats=1)
    (document,) = documents_of(monitor)
    assert (document.number, document.repeats) == (1, 1)
    (repeat,) = monitor.documents.repeats(1)
    assert (repeat.first, repeat.analysis) == (1, document.analysis)
    assert totals(monitor) == (1, 1)


@pytest.mark.parametrize(
    "first, other",
    [
        ((TITLE_ZH, NEWS_ZH), ("", OTHER_ZH)),
        ((TITLE_EN, NEWS_EN), ("", OTHER_EN)),
        ((TITLE_ZH, NEWS_ZH), (TITLE_ZH, OTHER_ZH)),  # a column, or replies in a forum
        (("", "退钱！！"), ("", "退钱")),  # many people write this, each by himself
        (("Refund", ""), ("Refund", "")),
        (("沃森生物业绩快报：2017年亏损逾5亿元", ""), ("美邦服饰业绩快报：2017年亏损3亿元", "")),
    ],
)
def test_others_are_not_repeats(
    ingest: Ingest, first: tuple[str, str], other: tuple[str, str]
) -> None:
    assert ingest.add([Incoming("a", "1", *first), Incoming("b", "2", *other)]) == Added(new=2)


def test_the_same_of_another_company_is_no_repeat(monitor: Monitor) -> None:
    def listed(text: str) -> tuple[str, ...]:
        return tuple(name for name in ("松果面包", "麦穗坊") if name in text)

    def named(documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        return [Analysis(companies=listed(text)) for _, text in documents]

    news = "今天又宣布全线产品涨价，顾客排着长队在门口议论，很多人说以后再也不来了。" * 2
    texts = [f"松果面包{news}", f"麦穗坊{news}", f"转发：松果面包{news}", f"麦穗坊{news}快看"]
    ingest = monitor.ingest(analyse=named, listed=listed)
    ingest.add([Incoming("微博", str(at), "", text) for at, text in enumerate(texts)])
    documents = sorted(documents_of(monitor, Filter(repeats=True)), key=lambda each: each.number)
    assert [(each.first, each.analysis.companies) for each in documents] == [
        (None, ("松果面包",)),
        (None, ("麦穗坊",)),
        (1, ("松果面包",)),
        (2, ("麦穗坊",)),
    ]


def test_short_texts_that_differ_in_a_word_are_no_repeats(ingest: Ingest, monitor: Monitor) -> None:
    texts = [
        f"{cake}口感偏软，味道一般，和以前差远了，不会再买了。"
        for cake in ("生日蛋糕", "法棍", "牛角包")
    ]
    ingest.add([Incoming("微博", str(at), "", text) for at, text in enumerate(texts)])
    assert totals(monitor) == (3, 0)
    ingest.add([Incoming("微博", "3", "", f"转发：{texts[0]}")])
    assert totals(monitor) == (3, 1)


def test_after_the_window_it_is_news_again(monitor: Monitor, ingest: Ingest, clock: Clock) -> None:
    ingest.add([Incoming("a", "1", TITLE_ZH, NEWS_ZH)])
    clock.move(days=8)
    for source in ("b", "c"):
        ingest.add([Incoming(source, "1", TITLE_ZH, NEWS_ZH)])
    clock.move(days=6)
    ingest.add([Incoming("d", "1", TITLE_ZH, NEWS_ZH)])
    assert [document.first for document in documents_of(monitor, Filter(repeats=True))] == [
        2, 2, None, None,
    ]  # fmt: skip
    with monitor.store.reading() as transaction:
        rows = transaction.select("SELECT document FROM sketches")
        assert [row["document"] for row in rows] == [2]


def test_a_new_start_remembers(monitor: Monitor, ingest: Ingest, clock: Clock) -> None:
    ingest.add([Incoming("a", "1", TITLE_ZH, NEWS_ZH), Incoming("a", "2", TITLE_EN, NEWS_EN)])
    clock.move(days=1)
    other = monitor.ingest(analyse=analyse)
    batch = [Incoming("b", "1", "", NEWS_ZH), Incoming("b", "2", TITLE_EN, NEWS_EN[:104])]
    assert other.add(batch) == Added(repeats=2)
    assert ingest.add([Incoming("c", "1", "", NEWS_EN)]) == Added(repeats=1)


def test_a_repeat_in_the_same_batch_is_not_analysed(monitor: Monitor) -> None:
    asked: list[tuple[str, str]] = []

    def counting(documents: list[tuple[str, str]]) -> list:
        asked.extend(documents)
        return analyse(documents)

    batch = [Incoming(source, "1", "", NEWS_ZH) for source in "abcdef"]
    assert monitor.ingest(analyse=counting).add(batch) == Added(new=1, repeats=5)
    assert len(asked) == 1
    assert [share.repeats for share in monitor.counts.topics(0, 2e9)] == [5]


def test_thousands_of_documents_that_share_a_beginning(monitor: Monitor) -> None:
    """Each is compared with few others, and still with the right one."""
    draw = random.Random(20)
    words = [
        NEWS_EN[:60] + "".join(draw.choices("仓库昨夜起火原因调查", k=60)) for _ in range(2000)
    ]
    batch = [Incoming("a", str(number), "", word) for number, word in enumerate(words)]
    added = monitor.ingest().add([*batch, Incoming("b", "1", "", words[7] + "!")])
    assert added == Added(new=2000, repeats=1)


@settings(max_examples=30, deadline=None)
@given(st.text(), st.text())
def test_any_text_has_a_sketch_or_is_short(title: str, text: str) -> None:
    own = sketch(title, text)
    assert own is None or own.shape == (126,)
