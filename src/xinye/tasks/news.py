"""Short news of a tea shop with headlines, in Chinese and English, for `xinye demo --task
summarize`.

A headline names the one fact of its text that is news. Other sentences stand around it in any
order and look alike: the prices of last year, the guests of another shop. So the first sentence is
seldom the right one, and a headline has other words than its text. The wordings are our own
writing, in the form of `exercises.json`.
"""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.tasks.exercises import chosen

SLOTS = ("tea", "day", "price", "place", "person", "hour")


@cache
def _words(language: str) -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("news.json").read_text("utf-8"))[language]


def news(count: int, language: str, seed: int = 0) -> list[Row]:
    """News with `text` and `title`. The same seed gives the same news.

    >>> [*news(1, "en")[0]]
    ['text', 'title']
    """
    words, chance = _words(language), random.Random(f"news {language} {seed}")
    return [_item(words, chance) for _ in range(count)]


def _item(words: dict[str, Any], chance: random.Random) -> Row:
    kind = words["kinds"][chance.choice([*words["kinds"]])]
    slots = _slots(words, chance)
    sentences = [chosen(chance.choice(kind["says"]), chance).format(**slots)]
    for wording in chance.sample(words["others"], chance.choice([2, 3])):
        sentences.append(chosen(wording, chance).format(**_slots(words, chance)))
    chance.shuffle(sentences)
    ends = words["join"].rstrip()
    text = words["join"].join(each[:1].upper() + each[1:] for each in sentences) + ends
    title = kind["title"].format(**slots)
    return {"text": text, "title": title[:1].upper() + title[1:]}


def _slots(words: dict[str, Any], chance: random.Random) -> dict[str, str]:
    found = {name: chance.choice(words[name]) for name in SLOTS}
    other = chance.choice([tea for tea in words["tea"] if tea != found["tea"]])
    return found | {"tea2": other}
