"""The invented market: its labels can be read, and its month has a rhythm, repeats and a burst."""

from collections import Counter
from datetime import datetime

import pytest

from xinye.apps.monitor.labelled import Columns, read_labelled
from xinye.apps.monitor.sources.files import read_file
from xinye.data.masking import Masker
from xinye.demo import monitor
from xinye.demo.monitor import Market, labelled, stream

END = 1_795_788_000.0  # a Friday


@pytest.fixture(params=["zh", "en"])
def language(request):
    return request.param


def wordings(language, last_quarter):
    """Parts of the sentences of posts without slots and choices, which can be found in texts."""
    for topic in monitor._texts(language)["topics"].values():
        for of_mood in topic.values():
            posts = of_mood["posts"]
            known = len(posts) - len(posts) // 4
            for each in posts[known:] if last_quarter else posts[:known]:
                part = each.partition("{company}")[2].partition("{")[0].partition("[")[0]
                if len(part) > (6 if language == "zh" else 12):
                    yield part


def test_the_labelled_texts_are_the_same_each_time_and_read_whole(language, tmp_path):
    market, path = Market(language), tmp_path / "labelled.jsonl"
    assert market.write_labelled(path) == monitor.LABELLED
    first = path.read_bytes()
    market.write_labelled(path)
    assert path.read_bytes() == first and not any(sign in first for sign in (b"[|", b"{c", b"|"))
    texts = read_labelled([str(path)], Columns()).texts
    assert len(texts) == monitor.LABELLED
    assert [(each.topics, each.mood) for each in texts] == [
        (each.topics, each.mood) for each in labelled(language)
    ]
    counts = Counter(topic for each in texts for topic in each.topics)
    assert {*counts} == {*market.topics} and min(counts.values()) > 150
    assert any(len(each.topics) == 2 for each in texts) and any(not each.topics for each in texts)
    assert min(Counter(each.mood for each in texts).values()) > 300


def test_a_quarter_of_the_wordings_is_not_labelled(language):
    learned = "".join(each.text for each in labelled(language))
    later = "".join(each.text.text for each in stream(language, END))
    new, old = [*wordings(language, True)], [*wordings(language, False)]
    assert len(new) > 10 and not [each for each in new if each in learned]
    assert all(each in later for each in new) and all(each in learned for each in old)


def test_the_month_is_in_order_and_has_a_rhythm(language):
    market, documents = Market(language), stream(language, END)
    dates = [each.at for each in documents]
    assert dates == sorted(dates) and dates[-1] < END
    assert 28 <= (END - dates[0]) / 86_400 <= 29 and 2_800 < len(documents) < 3_600
    usual = [each for each in documents if not each.of_burst and not each.is_repeat]
    times = [datetime.fromtimestamp(each.at, market.zone) for each in usual]
    by_hour = Counter(each.hour for each in times)
    assert by_hour[12] > 5 * by_hour[3]
    assert 0.04 < sum(each.is_repeat for each in documents) / len(documents) < 0.08


def test_the_burst_is_where_it_says(language, tmp_path):
    market, path = Market(language), tmp_path / "month.jsonl"
    month = market.write_stream(path, END)
    topic, company = market.burst
    assert topic in market.topics and company in market.companies
    documents = stream(language, END)
    burst = [each for each in documents if each.of_burst]
    assert month.burst == len(burst) == monitor.BURST and month.documents == len(documents)
    assert min(each.at for each in burst) == month.burst_begins > END - 9 * 3600
    names = (company, *market.companies[company])
    assert all(any(name in each.text.text for name in names) for each in burst)
    assert {(each.text.topics, each.text.mood) for each in burst} == {((topic,), "negative")}


def test_the_month_is_read_as_it_is_written(language, tmp_path):
    path, told = tmp_path / "month.jsonl", []
    Market(language).write_stream(path, END)
    read = [each for batch in read_file(path, warn=told.append) for each in batch]
    documents = stream(language, END)
    assert [(each.title, each.text) for each in read] == [
        (each.text.title, each.text.text) for each in documents
    ]
    assert all(abs(a.published - b.at) < 0.001 for a, b in zip(read, documents, strict=True))
    assert not told
    assert any(Masker(b"key").mask(each.text) != each.text for each in read[:500])
