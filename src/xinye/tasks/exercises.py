"""Small labelled data sets about a tea shop, in Chinese and English: reviews, notes and
conversations; and one about six emotions.

They show how to fine-tune a classifier, a tagger and a chat model offline, and word counts do not
solve them. A review says "not as bitter as the last one", and changes direction at its "but". The
names in a note are put together from parts, so most of them are new. Questions have many wordings,
and "and the green one?" needs the question before it.

The emotions are those of Ekman (1992), "An argument for basic emotions". Most texts show two of
them, and the label is what the writer feels in the end, not somebody else's feeling or an earlier
one. Each of the two is written in the same words, so only their places tell them apart.

The wordings are in `exercises.json` and `emotions.json`, and are our own writing. There, `[a|b]`
is a choice and `{name}` a slot. Good and bad points about tea are listed in the same order, so no
review says both about the same point.
"""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

from xinye.data.records import Row

_TYPES = {"person": "person", "person2": "person", "place": "place", "company": "company"}


@cache
def _words(language: str, file: str = "exercises.json") -> dict[str, Any]:
    return json.loads(Path(__file__).with_name(file).read_text("utf-8"))[language]


def reviews(count: int, language: str, seed: int = 0) -> list[dict[str, str]]:
    """Reviews of tea, half of them good and half bad, in random order: `text`, and `label` (好评 or
    差评, good or bad). The same seed gives the same reviews.

    >>> reviews(1, "en")[0].keys()
    dict_keys(['text', 'label'])
    """
    words, chance = _words(language)["reviews"], random.Random(f"reviews {language} {seed}")
    records = []
    for number in range(count):
        own, other = ("good", "bad") if number % 2 == 0 else ("bad", "good")
        first, second, third = chance.sample(range(len(words[own])), 3)
        slots = {
            "a": words[own][first],
            "b": words[own][second],
            "other": words[other][third],
            "item": chance.choice(words["item"]),
        }
        slots = {name: chosen(text, chance) for name, text in slots.items()}
        slots |= {name.capitalize(): text[:1].upper() + text[1:] for name, text in slots.items()}
        wording = chosen(chance.choice(words[chance.choice(["one", "turn"])]), chance)
        text = wording.format(**slots)
        records.append({"text": text[:1].upper() + text[1:], "label": words["label"][number % 2]})
    chance.shuffle(records)
    return records


def emotions(count: int, language: str, seed: int = 0) -> list[Row]:
    """Texts about feelings, equally many of each of six emotions, in random order: `text`, and
    `label` (高兴, 悲伤, 愤怒, 恐惧, 惊讶, 厌恶, or joy and so on).
    """
    words, chance = _words(language, "emotions.json"), random.Random(f"emotions {language} {seed}")
    labels, feels = words["label"], words["feels"]
    records = []
    for number in range(count):
        own = number % len(labels)
        other = chance.choice([each for each in range(len(labels)) if each != own])
        first, second = chance.sample(feels[own], 2)
        slots = {"own": first, "again": second, "other": chance.choice(feels[other])}
        # A word in between, so that not even "I" and the word after it give the emotion away.
        slots = {name: chance.choice(words["how"]) + text for name, text in slots.items()}
        slots |= {name: chance.choice(words[name]) for name in ("when", "who")}
        slots = {name: chosen(text, chance) for name, text in slots.items()}
        slots |= {name.capitalize(): text[:1].upper() + text[1:] for name, text in slots.items()}
        wording = chance.choice(words["one" if chance.random() < 0.25 else "turn"])
        text = chosen(wording, chance).format(**slots)
        records.append({"text": text, "label": labels[own]})
    chance.shuffle(records)
    return records


def notes(count: int, language: str, seed: int = 0) -> list[Row]:
    """Notes that contain names: `text`, and `spans` with `start` and `end` in characters and a
    `type` (person, place or company).
    """
    words, chance = _words(language)["notes"], random.Random(f"notes {language} {seed}")
    space = " " if language == "en" else ""
    records = []
    for _ in range(count):
        family = chance.sample(words["surname"], 2)
        people = [f"{chance.choice(words['given'])}{space}{name}" for name in family]
        if language == "zh":
            people = [f"{name}{chance.choice(words['given'])}" for name in family]
        names = {
            "person": people[0],
            "person2": people[1],
            "place": chance.choice(words["town"]) + chance.choice(words["kind"]),
            "company": chance.choice(words["house"]) + space + chance.choice(words["sort"]),
        }
        text, spans = "", []
        for piece in re.split(r"(\{\w+\})", chosen(chance.choice(words["note"]), chance)):
            name = piece.strip("{}")
            if name in names and piece.startswith("{"):
                spans.append(
                    {"start": len(text), "end": len(text) + len(names[name]), "type": _TYPES[name]}
                )
                piece = names[name]
            text += piece
        records.append({"text": text, "spans": spans})
    return records


def chats(count: int, language: str, seed: int = 0) -> list[dict[str, list[dict[str, str]]]]:
    """Conversations with the shop: `messages` with `role` and `content`, beginning with a system
    message.
    """
    words, chance = _words(language)["chats"], random.Random(f"chats {language} {seed}")
    records = []
    for _ in range(count):
        turns = [words["hello"]] if chance.random() < 0.2 else []
        if chance.random() < 0.6:
            questions, answer = chance.choice(list(words["about"].values()))
            for number, tea in enumerate(chance.sample(list(words["teas"]), chance.choice([1, 2]))):
                price, brew = words["teas"][tea]
                asked = chosen(chance.choice(words["again"] if number else questions), chance)
                slots = {"tea": tea, "price": price, "brew": brew}
                turns.append(([asked.format(**slots)], answer.format(**slots)))
        if chance.random() < 0.4 or not turns:
            turns.append(chance.choice(words["facts"]))
        if chance.random() < 0.3:
            turns.append(words["bye"])
        messages = [{"role": "system", "content": words["system"]}]
        for questions, answer in turns:
            question = chosen(chance.choice(questions), chance)
            messages.append({"role": "user", "content": question[:1].upper() + question[1:]})
            messages.append({"role": "assistant", "content": answer[:1].upper() + answer[1:]})
        records.append({"messages": messages})
    return records


def chosen(wording: str, chance: random.Random) -> str:
    """The wording with a random choice for each `[a|b]`."""
    return re.sub(r"\[([^\[\]]*)\]", lambda found: chance.choice(found[1].split("|")), wording)
