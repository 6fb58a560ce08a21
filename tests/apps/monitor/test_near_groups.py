"""Which labelled texts nearly equal each other."""

from xinye.apps.monitor.near_groups import near_groups, unlike

NEWS = "青禾茶器今日公布季度业绩，营业收入同比增长{}%，净利润同比增长{}%，门店数量继续增加"


def test_news_that_differ_in_numbers_are_a_group() -> None:
    texts = [NEWS.format(number, 3 * number) for number in range(10, 60)]
    assert near_groups([*texts, "杯子裂了，客服一直不回复我的消息"]) == [0] * 50 + [1]


def test_short_texts_are_a_group_only_if_their_letters_are_equal() -> None:
    assert near_groups(["很好！", "很好", "很好喝", "VERY good", "very good."]) == [0, 0, 1, 2, 2]


def test_a_short_version_of_a_text_with_a_title_is_found() -> None:
    title = "青禾茶器宣布在全国开设三百家门店"
    whole = f"{title}\n公司表示新店主要位于西部城市，明年春天全部开业，投资约两亿元。"
    assert unlike(
        [f"{title}\n公司表示新店主要位于西部城市", "完全不同的另一条消息在这里"], [whole]
    ) == [
        False,
        True,
    ]
