"""Mails, adverts and news of a tea shop with the facts that they say, in Chinese and English.

They show how to train a model that writes from facts. Most facts of a test text, such as its price
or its date, stand in no training text together, so the model has to copy them. The wordings are in
`write_exercise.json` and are our own writing: `[a|b]` is a choice, `{1-9}` a number and `{name}` a
fact.
"""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.tasks.exercises import chosen
from xinye.tasks.write_facts import lines_of, read_facts
from xinye.tasks.write_records import read_record


@cache
def _words(language: str) -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("write_exercise.json").read_text("utf-8"))[language]


def orders(count: int, language: str, seed: int = 0) -> list[Row]:
    """Texts of the shop: `kind`, `facts` as an object, `text`, and for an answer the mail that it
    answers as `reply_to`. The same seed gives the same texts.

    >>> sorted(orders(1, "en")[0])
    ['facts', 'kind', 'text']
    """
    words, chance = _words(language), random.Random(f"orders {language} {seed}")
    records: list[Row] = []
    for _ in range(count):
        form = chance.choice(words["texts"])
        facts = {key: _value(words["values"][key], chance) for key in form["keys"]}
        text = chosen(chance.choice(form["wordings"]), chance).format(**facts)
        record: Row = {"kind": form["kind"], "facts": facts, "text": text[:1].upper() + text[1:]}
        if "mail" in form:
            record["reply_to"] = chosen(chance.choice(form["mail"]), chance).format(**facts)
        records.append(record)
    return records


def as_text(row: Row) -> str:
    """A text of the shop behind the prompt that asks for it, for the base model."""
    return "\n".join(read_record(row, "demo", Notes()).contents)


def line(row: Row) -> str:
    """The facts of a text of the shop, and the text."""
    facts = "; ".join(f"{key}={value}" for key, value in row["facts"].items())
    return f"{row['kind']}: {facts} → {row['text']}"


def given(row: Row) -> str:
    """The facts of a text of the shop, one a line."""
    return lines_of(read_facts(row["facts"], "demo"))


def settings(row: Row) -> dict[str, Any]:
    """The settings that ask for a text of the shop."""
    return {name: row[name] for name in ("kind", "reply_to") if name in row}


def typed(row: Row) -> str:
    """The flags that ask for a text of the shop, as they stand in place of … in the command."""
    facts = '" --facts "'.join(f"{key}={value}" for key, value in row["facts"].items())
    mail = '" --reply-to "mail.txt' if "reply_to" in row else ""
    return f'{facts}" --kind "{row["kind"]}{mail}'


def _value(pattern: str, chance: random.Random) -> str:
    """A value with a random choice for each `[a|b]` and a random number for each `{1-9}`."""
    return re.sub(
        r"\{(\d+)-(\d+)\}",
        lambda found: str(chance.randint(int(found[1]), int(found[2]))),
        chosen(pattern, chance),
    )
