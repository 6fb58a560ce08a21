"""The invented bookshop: its files can be read, and the next book follows from the last ones."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from xinye.demo import bookshop
from xinye.demo.bookshop import Bookshop, books, events
from xinye.planning.column_settings import ColumnSettings
from xinye.tasks.recommend_items import read_items
from xinye.tasks.recommend_records import read_events


@pytest.fixture(params=["zh", "en"])
def language(request):
    return request.param


def purchases(language):
    """The books that each reader bought, oldest first."""
    found = {}
    for each in events(language):
        if not each.looked:
            found.setdefault(each.reader, []).append(each.book)
    return found


def test_books_differ_and_are_about_150(language):
    catalogue = books(language)
    assert 140 <= len(catalogue) <= 160
    for part in ("id", "title"):
        assert len({getattr(book.item, part) for book in catalogue}) == len(catalogue)
    assert not any(sign in book.item.text for book in catalogue for sign in "{}[]|")
    assert {len(book.item.tags) for book in catalogue} == {3}
    new = Bookshop(language).arrival
    assert new.is_new and new.item.id not in {book.item.id for book in catalogue}
    known = {(book.genre, book.author, book.volume) for book in catalogue}
    assert (new.genre, new.author, new.volume - 1) in known


def test_the_files_are_the_same_each_time_and_read_whole(language, tmp_path):
    shop, items_file, events_file = Bookshop(language), tmp_path / "i.csv", tmp_path / "e.csv"
    assert shop.write_items(items_file) == len(books(language))
    count = shop.write_events(events_file)
    first = events_file.read_bytes()
    shop.write_events(events_file)
    assert events_file.read_bytes() == first
    settings = ColumnSettings(events=(shop.bought,))
    items = read_items([str(items_file)], settings)
    assert items == [book.item for book in books(language)]
    read = read_events([str(events_file)], settings, items)
    bought = sum(not each.looked for each in events(language))
    assert read.histories.event_count == bought < count
    assert len(read.users) == bookshop.READERS


def test_a_series_is_read_in_its_order_and_new_books_wait(language):
    for history in purchases(language).values():
        read = Counter()
        for book in history:
            assert not book.is_new
            if book.volume:
                read[book.author] += 1
                assert book.volume == read[book.author]
        assert len({book.item.id for book in history}) == len(history)


def test_the_next_book_follows_from_the_last_ones(language):
    histories = purchases(language).values()
    lengths = [len(history) for history in histories]
    assert 30 < np.mean(lengths) < 60 and min(lengths) >= 3
    pairs = [pair for history in histories for pair in pairwise(history)]
    by_author = np.mean([one.author == other.author for one, other in pairs])
    by_genre = np.mean([one.genre == other.genre for one, other in pairs])
    assert 0.25 < by_author < 0.7 and by_author < by_genre < 0.9
    counts = Counter(book.item.id for history in histories for book in history)
    top = sum(count for _, count in counts.most_common(10)) / sum(lengths)
    assert 0.1 < top < 0.3 and min(counts.values()) >= 5 and len(counts) == 144
