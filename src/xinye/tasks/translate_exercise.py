"""Sentences of a tea shop in English and Chinese, for the demo of translations.

The wordings are in `translate_exercise.json` and are our own writing: pairs of sentences with the
same slots, often in another order. A slot is filled with the same thing in both languages, so most
sentences are new, though their words are not.
"""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.runs.words import Both
from xinye.tasks.exercise import Exercise
from xinye.tasks.translate_records import asked_for

_SLOT = re.compile(r"\{(\w+?)(2?)\}")


@cache
def _words() -> dict[str, Any]:
    return json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def sentence_pairs(count: int, language: str = "", seed: int = 0) -> list[Row]:
    """Pairs of sentences in random order: `en` and `zh`. They are the same in every language of the
    screen. The same seed gives the same pairs.

    >>> sentence_pairs(1)[0].keys()
    dict_keys(['en', 'zh'])
    """
    words, chance = _words(), random.Random(seed)
    rows: list[Row] = []
    for _ in range(count):
        english, chinese = chance.choice(words["sentences"])
        filled: dict[str, Any] = {}
        for name in sorted({found[1].lower() for found in _SLOT.finditer(english)}):
            first, second = chance.sample(words["slots"][name], 2)
            filled |= {name: first, f"{name}2": second}
        of_english = {name: pair[0] for name, pair in filled.items()}
        of_english |= {
            name.capitalize(): text[0].upper() + text[1:] for name, text in of_english.items()
        }
        of_chinese = {name: pair[1] for name, pair in filled.items()}
        rows.append({"en": english.format(**of_english), "zh": chinese.format(**of_chinese)})
    return rows


def both_ways(row: Row) -> str:
    """The text of a pair for the base model: each sentence with its prompt and its translation. A
    base model that has seen the form of a task learns it in fewer steps."""
    english, chinese = row["en"], row["zh"]
    return f"{asked_for(english, 'zh')}\n{chinese}\n\n{asked_for(chinese, 'en')}\n{english}"


def given(row: Row) -> str:
    """The sentence of a pair that is given to the model, by turns the English and the Chinese
    one."""
    return row["en"] if len(row["en"]) % 2 else row["zh"]


def answered(row: Row, result: Row) -> tuple[Row, str]:
    """The pair with the model's translation, and with what it was given."""
    source = given(row)
    return {**row, "zh" if source == row["en"] else "en": result["text"], "given": source}, ""


def shown(row: Row) -> str:
    """A pair as one line: the sentence that the model is given, and the translation."""
    source = row.get("given") or given(row)
    return f"{source} → {row['zh' if source == row['en'] else 'en']}"


EXERCISE = Exercise(
    make=sentence_pairs,
    begin=Both(
        "A GPT will learn to translate the sentences of a tea shop, in both directions.",
        "训练一个 GPT，让它互译茶铺里的中英文句子。",
    ),
    baseline=Both("a phrase table with a trigram model", "短语表加三元语言模型"),
    line=shown,
    text=both_ways,
    given=given,
    answered=answered,
    asked=Both(
        " No sentence of the {held_out:,} occurs in training.",
        "测试集的 {held_out:,} 句都没有在训练中出现过。",
    ),
    training=3000,
    context=128,
    epochs=4,
)
