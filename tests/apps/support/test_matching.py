"""A FAQ matcher: what it learns, what it refuses, what its files survive."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.apps.support.likeness import LONGEST, clauses, longest_run, sounds
from xinye.apps.support.matching import FAQMatcher, Match, made_questions
from xinye.apps.support.wordings import Wordings
from xinye.errors import XinyeError

ROOT = Path(__file__).parents[3]
THINGS = ("退货", "换货", "发票", "保修", "运费", "会员", "积分", "密码", "地址", "优惠券")
ENGLISH = ("refund", "invoice", "warranty", "shipping", "password", "coupon", "voucher", "account")
FAQ = [
    *(f"{thing}{rest}" for thing in THINGS for rest in ("要多少钱？", "去哪里办理？")),
    *(f"{ask} {thing}?" for thing in ENGLISH for ask in ("How do I change the", "What is a")),
]


@pytest.fixture(scope="module")
def matcher() -> FAQMatcher:
    entries = [*range(len(FAQ))]
    found = FAQMatcher()
    found.fit(FAQ, entries)
    found.calibrate(made_questions(FAQ, entries), 0.9, made=True)
    return found


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("您好，我想问一下，发票去哪里办呢", "发票去哪里办理？"),
        ("hello, my coupon, how can I change it please", "How do I change the coupon?"),
        ("蜜马去那里办理", "密码去哪里办理？"),  # typed by sound
        ("what is a waranty", "What is a warranty?"),
    ],
)
def test_a_reworded_question_finds_its_entry(
    matcher: FAQMatcher, question: str, entry: str
) -> None:
    match = matcher.match(question)
    assert match is not None
    assert FAQ[match.entry] == entry


@pytest.mark.parametrize("stranger", ["今天股市会涨吗", "will it rain tomorrow", "🙂"])
def test_a_stranger_is_less_sure_than_any_question_of_the_faq(
    matcher: FAQMatcher, stranger: str
) -> None:
    match = matcher.match(stranger)
    own = [found.confidence for text in FAQ if (found := matcher.match(text))]
    assert len(own) == len(FAQ)
    assert match is None or match.confidence < min(own)


def test_learned_words_find_what_shares_no_word() -> None:
    pairs = [(f"{who}{what}花钞票", f"{what}的费用") for who in "我你他爸妈" for what in THINGS]
    matcher = FAQMatcher()
    matcher.fit(["费用是多少", "何时开门"], [7, 8])
    assert matcher.match("钞票") is None
    matcher.learn(pairs)
    match = matcher.match("钞票")
    assert match is not None
    assert match.entry == 7


def test_a_higher_precision_needs_more_confidence(matcher: FAQMatcher) -> None:
    low, high = matcher.threshold(0.6), matcher.threshold(0.8)
    assert low is not None
    assert high is not None
    assert 0 < low <= high <= 1


def test_a_saved_matcher_is_the_same(matcher: FAQMatcher, tmp_path: Path) -> None:
    matcher.save(tmp_path)
    loaded = FAQMatcher.load(tmp_path, FAQ, range(len(FAQ)))
    for question in ("发票多少钱", "change my password", FAQ[3]):
        assert loaded.match(question) == matcher.match(question)


def test_learned_words_are_saved(tmp_path: Path) -> None:
    learned = Wordings.learn([("喝啤酒", "饮酒"), ("喝啤酒吧", "饮酒"), ("喝啤酒啊", "饮酒")])
    learned.save(tmp_path / "words")
    loaded = Wordings.load(tmp_path / "words")
    assert learned.meant(["啤酒"])
    assert loaded.meant(["啤酒"]) == pytest.approx(learned.meant(["啤酒"]))
    assert loaded.counts == learned.counts


LEARN = """
import sys
from apps.support.test_matching import FAQ
from xinye.apps.support.matching import FAQMatcher, made_questions
entries = [at % 3 for at in range(len(FAQ))]
found = FAQMatcher()
found.fit(FAQ, entries)
found.calibrate(made_questions(FAQ, entries), 0.6, made=True)
print(found.calibration.model_dump_json())
"""


def test_what_is_learned_does_not_depend_on_the_order_of_sets() -> None:
    """Which differs in each process, unless PYTHONHASHSEED is given."""
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests")))
    learned = [
        subprocess.run(
            [sys.executable, "-c", LEARN], capture_output=True, check=True,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "77")
    ]  # fmt: skip
    assert learned[0] == learned[1] and b"weights" in learned[0]


@pytest.mark.parametrize("name", ["matching.json", "wordings.safetensors"])
def test_a_damaged_file_is_named(matcher: FAQMatcher, tmp_path: Path, name: str) -> None:
    matcher.save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(XinyeError, match=name):
        FAQMatcher.load(tmp_path, FAQ, range(len(FAQ)))


def test_weights_of_another_version_are_refused(matcher: FAQMatcher, tmp_path: Path) -> None:
    matcher.save(tmp_path)
    saved = json.loads((tmp_path / "matching.json").read_text())
    saved["calibration"]["weights"].popitem()
    (tmp_path / "matching.json").write_text(json.dumps(saved))
    with pytest.raises(XinyeError, match="damaged"):
        FAQMatcher.load(tmp_path, FAQ, range(len(FAQ)))


def test_an_equal_question_is_certain(matcher: FAQMatcher) -> None:
    assert matcher.match("请问发票去哪里办理？") == Match(FAQ.index("发票去哪里办理？"), 1.0)


def test_too_few_questions_are_refused() -> None:
    matcher = FAQMatcher()
    matcher.fit(FAQ, range(len(FAQ)))
    with pytest.raises(XinyeError, match="too few"):
        matcher.calibrate([("发票", 4)], 0.95)


def test_an_empty_faq_matches_nothing() -> None:
    matcher = FAQMatcher()
    matcher.fit([], [])
    assert matcher.match("发票") is None


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_asked(matcher: FAQMatcher, text: str) -> None:
    match = matcher.match(text)
    assert match is None or 0 <= match.confidence <= 1


@pytest.mark.parametrize("piece", ["怎么", "a", "，", "怎么退货？", "a?"])
def test_long_questions_are_limited(matcher: FAQMatcher, piece: str) -> None:
    assert matcher.match(piece * 200_000) == matcher.match((piece * 200_000)[:LONGEST])


def test_clauses_that_ask() -> None:
    assert clauses("I bought version 2.5 last week. It broke. How do I return it? Thanks") == (
        "How do I return it?"
    )


def test_sounds_ignore_tones_and_similar_initials() -> None:
    assert sounds("怎样支付") == sounds("怎样资福")


def test_longest_run() -> None:
    assert longest_run("我想退货怎么办", "如何退货怎么样") == 4


def test_answers_tell_entries_apart() -> None:
    questions = [f"{thing}有什么问题" for thing in THINGS]
    answers = {at: f"请发邮件给{who}" for at, who in enumerate("甲乙丙丁戊己庚辛壬癸")}
    matcher = FAQMatcher()
    matcher.fit(questions, [*answers], answers)
    asked = [(f"我有问题，该找{answers[at][-1]}吗", at) for at in answers]
    matcher.calibrate(2 * asked, 0.9)
    match = matcher.match("问题找癸")
    assert match is not None
    assert match.entry == 9
