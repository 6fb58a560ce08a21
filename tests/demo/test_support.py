"""The invented shop: its log can be read, and its desk answers."""

from collections import Counter

import pytest

from xinye.apps.support.logs import read_logs
from xinye.apps.support.small_talk import small_talk
from xinye.demo import support
from xinye.demo.support import Shop, conversations


@pytest.fixture(params=["zh", "en"])
def language(request):
    return request.param


def test_each_answer_is_asked_for_in_many_words(language):
    texts = support._texts(language)
    asked = Counter(entry["intent"] for entry in texts["entries"])
    assert len(texts["entries"]) >= 30 and 8 <= len(asked) <= 10
    assert all(len({*entry["wordings"]}) >= 7 for entry in texts["entries"])
    wordings = [text for entry in texts["entries"] for text in entry["wordings"]]
    assert not {text for text, count in Counter(wordings).items() if count > 1}
    answers = [entry["answer"] for entry in texts["entries"]]
    assert len({*answers}) == len(answers)


def test_the_log_is_the_same_each_time_and_read_whole(language, tmp_path):
    log = tmp_path / "logs.csv"
    assert Shop(language).write_log(log) == len([*conversations(language)]) > 500
    first = log.read_bytes()
    Shop(language).write_log(log)
    assert log.read_bytes() == first and b"{" not in first
    logs = read_logs([str(log)])
    entries = support._texts(language)["entries"]
    assert {each["answer"] for each in entries} <= {each.answer for each in logs.exchanges}
    assert "[" in "".join(each.question for each in logs.exchanges) or logs.dropped.counts


def test_the_questions_to_try_are_new(language):
    texts = support._texts(language)
    known = {text for entry in texts["entries"] for text in entry["wordings"]}
    assert len(Shop(language).questions) == 3 and not known & {*Shop(language).questions}
    assert not any(map(small_talk, Shop(language).questions))
