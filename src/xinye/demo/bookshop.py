"""An invented bookshop: its books, and what its readers bought and looked at in three years.

The names are in `bookshop_zh.json` and `bookshop_en.json` and are our own. Most books are volumes
of a series. A reader has favourite genres, which change, and reads a series in its order, or two in
turn; best sellers are bought by many. A fifth volume is new: nobody has bought it yet.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from xinye.demo.draw import Draw
from xinye.ranking.items import Item

READERS = 400
BEGIN, DAYS = datetime(2023, 1, 1), 1095
BETWEEN = 14  # days between two purchases of a reader, on average
OLD_VOLUMES = 4  # of a series; a further one is new
LOOKED_AT = 0.25  # events that are only a look at some book
FAVOURITE, SECOND, OTHER = 0.7, 0.25, 0.05  # shares of a reader's genres
CHANGED = 0.04  # chance, before each purchase, that a reader has a new favourite genre
CONTINUED, GIVEN_UP = 0.7, 0.04  # chances to buy the next volume, and to give up a series
BEST_SELLER, BEST_SELLER_DAYS = 0.12, 60  # share of purchases, and how long a book is one
SERIES_BEGUN = 0.75  # share of other purchases; the rest are single books
IN_TURN = 0.5  # share of readers who read two series in turn


@dataclass(frozen=True)
class Book:
    """A book. `volume` is its number in the series of its author, 0 for a single book."""

    item: Item
    genre: str
    author: str
    volume: int

    @property
    def is_new(self) -> bool:
        """True if nobody has bought it yet."""
        return self.volume > OLD_VOLUMES


@dataclass(frozen=True)
class Bought:
    """A book that a reader bought or, if `looked` is true, only looked at."""

    reader: str
    book: Book
    time: datetime
    looked: bool


@dataclass(frozen=True)
class Bookshop:
    """The shop in a language, zh or en."""

    language: str

    @property
    def name(self) -> str:
        """Its name."""
        return str(_texts(self.language)["shop"])

    @property
    def bought(self) -> str:
        """The word for a purchase in the file of events."""
        return str(_texts(self.language)["kinds"][0])

    @property
    def arrival(self) -> Book:
        """A book that is not in the files: the next volume of a series."""
        texts = _texts(self.language)
        arrival = texts["arrival"]
        for genre, entry in texts["genres"].items():
            for author in entry["authors"]:
                if author["name"] == arrival["author"]:
                    number = sum(1 for _ in _books(self.language)) + 1
                    writer = _Writer(texts, genre, author)
                    return writer.book(number, arrival["title"], OLD_VOLUMES + 1)
        raise AssertionError(arrival)

    @property
    def readers(self) -> tuple[str, str]:
        """Two readers to recommend to: one who just bought the volume before the arrival, and one
        who just bought the second volume of a series of another genre."""
        new = self.arrival
        histories: dict[str, list[Book]] = {}
        for each in events(self.language):
            if not each.looked:
                histories.setdefault(each.reader, []).insert(0, each.book)

        def first(author: str, volume: int) -> str:
            """The reader who bought a volume with the fewest books after it."""
            places = {
                name: at
                for name, history in histories.items()
                for at, book in enumerate(history)
                if (book.author, book.volume) == (author, volume)
            }
            return min(places, key=places.__getitem__)

        other = books(self.language)[-1]
        return first(new.author, new.volume - 1), first(other.author, 2)

    def write_items(self, path: Path) -> int:
        """Write a CSV file with a book a row, the same on every machine. Returns how many."""
        texts = _texts(self.language)
        books = [*_books(self.language)]
        with open(path, "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(texts["item_columns"])
            for item in (book.item for book in books):
                rows.writerow((item.id, item.title, item.text, texts["separator"].join(item.tags)))
        return len(books)

    def write_events(self, path: Path) -> int:
        """Write a CSV file with an event a row, the same on every machine. Returns how many."""
        texts = _texts(self.language)
        bought, looked = texts["kinds"]
        found = events(self.language)
        with open(path, "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(texts["columns"])
            for each in found:
                kind = looked if each.looked else bought
                rows.writerow((each.reader, each.book.item.id, f"{each.time:%Y-%m-%d %H:%M}", kind))
        return len(found)


def books(language: str) -> list[Book]:
    """The books of the catalogue, new ones included."""
    return [*_books(language)]


def events(language: str) -> list[Bought]:
    """What all readers bought and looked at, in the order of time."""
    shelf = _Shelf(language)
    found = [
        each
        for number in range(1, READERS + 1)
        for each in _Reader(f"R{number:03}", shelf, Draw(f"{language} {number}")).events()
    ]
    return sorted(found, key=lambda each: each.time)


class _Shelf:
    """The books that readers may buy, by what they look for."""

    def __init__(self, language: str) -> None:
        self.old = [book for book in _books(language) if not book.is_new]
        self.genres = [*_texts(language)["genres"]]
        self.by_author: dict[str, list[Book]] = {}
        self.authors: dict[str, list[str]] = {genre: [] for genre in self.genres}
        for book in self.old:
            if book.author not in self.by_author:
                self.authors[book.genre].append(book.author)
            self.by_author.setdefault(book.author, []).append(book)
        first = [book for book in self.old if book.volume <= 1]
        self._best = Draw(f"best-{language}").shuffled(first)

    def best_seller(self, time: datetime) -> Book:
        """The book that many buy at this time."""
        return self._best[(time - BEGIN).days // BEST_SELLER_DAYS]

    def volume(self, author: str, number: int) -> Book:
        """The volume of the author's series with this number."""
        return next(book for book in self.by_author[author] if book.volume == number)

    def singles(self, author: str) -> list[Book]:
        """The author's books that belong to no series."""
        return [book for book in self.by_author[author] if not book.volume]


class _Reader:
    """A reader, who buys one book after another."""

    def __init__(self, name: str, shelf: _Shelf, draw: Draw) -> None:
        self._name = name
        self._shelf = shelf
        self._draw = draw
        self._genres = _by_liking(shelf.genres, draw)
        self._authors = {genre: _by_liking(some, draw) for genre, some in shelf.authors.items()}
        self._in_turn = draw.happens(IN_TURN)
        self._open: dict[str, int] = {}  # authors of series being read, and the volumes read
        self._has: set[str] = set()

    def events(self) -> Iterator[Bought]:
        """All that the reader bought and looked at."""
        draw = self._draw
        day = draw.share() * DAYS * 0.6
        while day < DAYS:
            time = BEGIN + timedelta(days=day)
            if draw.happens(LOOKED_AT):
                yield Bought(self._name, draw.one(self._shelf.old), time, looked=True)
            elif book := self._next(time):
                self._has.add(book.item.id)
                yield Bought(self._name, book, time, looked=False)
            day += (0.1 + 1.8 * draw.share()) * BETWEEN * (1 - LOOKED_AT)

    def _next(self, time: datetime) -> Book | None:
        """The book that the reader buys now; None if there is none to buy."""
        draw = self._draw
        if draw.happens(CHANGED):
            self._genres.insert(0, self._genres.pop(2 + draw.below(len(self._genres) - 2)))
        enough = len(self._open) > self._in_turn
        if self._open and draw.happens(CONTINUED if enough else CONTINUED / 2):
            return self._volume()
        if draw.happens(BEST_SELLER):
            best = self._shelf.best_seller(time)
            if best.item.id not in self._has:
                return self._begun(best)
        others = dict.fromkeys(self._genres[2:], OTHER / len(self._genres[2:]))
        shares = {self._genres[0]: FAVOURITE, self._genres[1]: SECOND, **others}
        return self._first(draw.weighted(shares))

    def _volume(self) -> Book:
        """The next volume of a series: of the one that waits longest for a reader who reads in
        turn, otherwise of the last one."""
        authors = [*self._open]
        author = authors[0 if self._in_turn else -1]
        volume = self._open.pop(author) + 1
        book = self._shelf.volume(author, volume)
        if volume < OLD_VOLUMES and not self._draw.happens(GIVEN_UP):
            self._open[author] = volume
        return book

    def _first(self, genre: str) -> Book | None:
        """A book of a genre that is no continuation: by the author whom the reader likes best of
        those who have one."""
        begins = self._draw.happens(SERIES_BEGUN)
        for author in self._authors[genre]:
            first = [self._shelf.volume(author, 1)]
            singles = self._draw.shuffled(self._shelf.singles(author))
            for book in first + singles if begins else singles:
                if book.item.id not in self._has:
                    return self._begun(book)
        return None

    def _begun(self, book: Book) -> Book:
        if book.volume == 1:
            self._open[book.author] = 1
        return book


def _by_liking(names: list[str], draw: Draw) -> list[str]:
    """The names in a reader's order, the best first. Many readers like the first ones."""
    keyed = [(place / len(names) + draw.share(), name) for place, name in enumerate(names)]
    return [name for _, name in sorted(keyed)]


@dataclass(frozen=True)
class _Writer:
    """Writes the entries of the books of an author."""

    texts: dict[str, Any]
    genre: str
    author: dict[str, Any]

    def book(self, number: int, title: str, volume: int) -> Book:
        """The book with a number in the catalogue, and one in its series, 0 for a single book."""
        texts, author, entry = self.texts, self.author, self.texts["genres"][self.genre]
        names = {"series": author["series"], "number": volume, "author": author["name"]}
        draw = Draw(f"{author['name']} {title}")
        blurb = draw.chosen(draw.one(entry["blurbs"]))
        said = [blurb.format(hero=author["hero"], place=author["place"])]
        if volume:
            title = texts["numbered"].format(**names, title=title)
            said.append(texts["volume"].format(**names))
        text = texts["joint"].join(said)
        tags = (self.genre, entry["audience"], author["name"])
        item = Item(f"B{number:03}", title, text[0].upper() + text[1:], tags)
        return Book(item, self.genre, author["name"], volume)


def _books(language: str) -> Iterator[Book]:
    texts, number = _texts(language), 0
    for genre, entry in texts["genres"].items():
        for author in entry["authors"]:
            volumes = [*enumerate(author["volumes"], 1)]
            for volume, title in volumes + [(0, title) for title in author["singles"]]:
                number += 1
                yield _Writer(texts, genre, author).book(number, title, volume)


@lru_cache
def _texts(language: str) -> dict[str, Any]:
    path = Path(__file__).with_name(f"bookshop_{language}.json")
    texts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return texts
