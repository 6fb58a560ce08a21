"""Questions in everyday words about documents: in Chinese about parts of laws, in English about the
handbook of a tea shop.

They show how to train a model that answers from documents. The laws are not subject to copyright;
the handbook and all questions are our own writing. One law and the handbook have an older version,
which says something else.

A question of the test set never has the words of a training question about the same article, but
most ask for something that a training question asks for, too. Some questions have no answer in the
documents.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.retrieval.index import Index, rarity_of
from xinye.retrieval.passages import cut
from xinye.retrieval.versions import name_and_date

PARTS = ("test", "new", "training")


@dataclass(frozen=True)
class Article:
    """An article of a law, or a rule of the handbook. `document` is the title without its date, and
    `section` the number of the article."""

    document: str
    section: str
    text: str


@cache
def _words(language: str) -> dict[str, Any]:
    path = Path(__file__).with_name(f"questions_{language}.json")
    return json.loads(path.read_text("utf-8"))


def documents(language: str) -> dict[str, str]:
    """The texts of all documents by title, the older versions first. A title has the date of its
    version, and is the first line of the text, too."""
    return {
        document["title"]: "\n".join(document["lines"]) + "\n"
        for document in _words(language)["documents"]
    }


@cache
def articles(language: str) -> tuple[Article, ...]:
    """All articles in force."""
    in_force = {name_and_date(title)[0]: text for title, text in documents(language).items()}
    return tuple(
        Article(name, passage.section.split(" › ")[-1], passage.text)
        for name, text in in_force.items()
        for passage in cut(text)
    )


def questions(count: int, language: str) -> list[Row]:
    """The first of all questions, those for the test and the new ones before those for training:
    `question`, an article as its `context`, and the `answer`, which stands in the article, or "" if
    it does not.

    A question without an answer has the article that is most similar to it.
    """
    return [row for part in PARTS for row in _rows(part, language)][:count]


def is_for_test(row: Row) -> bool:
    """True if a question is not one for training."""
    return row["question"] not in _for_training()


@cache
def _for_training() -> frozenset[str]:
    asked = set[str]()
    for words in map(_words, ("zh", "en")):
        asked.update(words["unanswerable"]["training"])
        asked.update(*(fact.get("training", ()) for fact in words["questions"]))
    return frozenset(asked)


def _rows(part: str, language: str) -> Iterator[Row]:
    words = _words(language)
    by_number = {(each.document, each.section): each for each in articles(language)}
    for fact in words["questions"]:
        right = by_number[fact["document"], fact["section"]]
        for question in fact.get(part, ()):
            yield _row(question, right, fact["answer"])
    for question in words["unanswerable"][part]:
        yield _row(question, _most_similar(question, language))


def _row(question: str, article: Article, answer: str = "") -> Row:
    return {"question": question, "context": article.text, "answer": answer}


def _most_similar(question: str, language: str) -> Article:
    index = _index(language)
    scores = index.scores(rarity_of(question, [index]))
    return articles(language)[int(scores.argmax())]


@cache
def _index(language: str) -> Index:
    return Index.of([f"{each.document}\n{each.text}" for each in articles(language)])
