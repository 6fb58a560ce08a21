"""An invented shop for tea and cups: the log of its customer service, and its handbook.

The texts are in `support_zh.json` and `support_en.json` and are our own writing. An entry has an
answer and the ways in which customers ask for it; `{cup}` stands for one of the words of a slot.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xinye.demo.draw import Draw

TIMES = 2  # that a wording is asked, each time a little differently
CHANGED, SMALL = 0.5, 0.3  # shares of words that are changed, and of questions in small letters
GREETED, WAITED, THANKED, PHONED = 0.25, 0.15, 0.3, 0.06  # shares of the conversations
Turn = tuple[str, str]  # who speaks, and what


@dataclass(frozen=True)
class Shop:
    """The shop in a language, zh or en."""

    language: str

    @property
    def company(self) -> str:
        """Its name."""
        return str(_texts(self.language)["company"])

    @property
    def bot(self) -> str:
        """The name of its bot."""
        return str(_texts(self.language)["bot"])

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Words of questions that the shop leaves to a person."""
        return tuple(_texts(self.language)["forbidden"])

    @property
    def questions(self) -> list[str]:
        """Questions to try: one in words that the log does not have, one that only the handbook
        answers, and one about a forbidden topic."""
        return [*_texts(self.language)["questions"]]

    def write_log(self, path: Path) -> int:
        """Write a CSV file with a message a row, which is the same on every machine. Returns how
        many conversations it has."""
        number = 0
        with open(path, "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_texts(self.language)["columns"])
            for number, (intent, turns) in enumerate(conversations(self.language), 1):
                rows.writerows((f"C{number:04}", *turn, intent) for turn in turns)
        return number

    def write_handbook(self, folder: Path) -> int:
        """Write the documents to a folder that exists. Returns how many there are."""
        documents: dict[str, str] = _texts(self.language)["documents"]
        for title, text in documents.items():
            (folder / f"{title}.md").write_text(text, "utf-8")
        return len(documents)


def conversations(language: str) -> Iterator[tuple[str, list[Turn]]]:
    """The conversations of the log in a random order, each with its intent; "" for questions that
    belong to none."""
    texts, draw = _texts(language), _Draw(language)
    asked = [
        (entry["intent"], draw.varied(wording, texts), entry["answer"])
        for entry in texts["entries"]
        for wording in entry["wordings"] * TIMES
    ]
    asked += [("", question, answer) for question, some in texts["cases"] for answer in some]
    asked += [("", question, "") for question in texts["unanswered"]]
    for intent, question, answer in draw.shuffled(asked):
        yield intent, _turns(texts, draw, question, answer)


def _turns(texts: dict[str, Any], draw: "_Draw", question: str, answer: str) -> list[Turn]:
    """A conversation about a question."""
    customer, agent = texts["speakers"]
    question = draw.filled(question, texts["slots"])
    turns = []
    if draw.happens(GREETED):
        turns += [(customer, draw.one(texts["greetings"])), (agent, draw.one(texts["welcomes"]))]
        turns.append((customer, question))
    else:
        turns.append((customer, draw.one(texts["openings"]) + question))
    if draw.happens(PHONED):
        number = f"{draw.below(1000):03}"
        turns.append((customer, texts["phone"].replace("{number}", number)))
    if draw.happens(WAITED) or not answer:
        turns.append((agent, draw.one(texts["waits"])))
    if answer:
        turns.append((agent, draw.filled(answer, texts["slots"])))
        if draw.happens(THANKED):
            turns += [(customer, draw.one(texts["thanks"])), (agent, draw.one(texts["farewells"]))]
    return turns


class _Draw(Draw):
    """Draws that also word questions differently."""

    def varied(self, wording: str, texts: dict[str, Any]) -> str:
        """A wording with other words of the same meaning, and something before and behind it."""
        groups = {group[0].casefold(): group for group in texts["synonyms"]}
        longest = sorted(groups, key=len, reverse=True)
        phrases = re.compile("|".join(rf"(?<![a-z{{]){each}(?![a-z}}])" for each in longest), re.I)

        def other(found: re.Match[str]) -> str:
            return self.one(groups[found[0].casefold()]) if self.happens(CHANGED) else found[0]

        varied = phrases.sub(other, wording)
        if self.happens(SMALL):
            varied = varied.casefold()
        end = self.one(texts["tails"])
        return self.one(texts["heads"]) + (varied.rstrip("?？.") + end if end else varied)


@lru_cache
def _texts(language: str) -> dict[str, Any]:
    path = Path(__file__).with_name(f"support_{language}.json")
    texts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return texts
