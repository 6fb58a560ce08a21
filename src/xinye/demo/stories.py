"""A small world of children's stories, in Chinese and English, in which every story can be checked.

A language model can be fluent and still lose the thread: a kite is lost and a hat is found. To
measure this after a minute of training, the training text must follow written rules. These are one
grammar for each language. `story` writes from it and `check` reads with it, so the two cannot
disagree.

The grammars are in `stories.json` and are our own writing. A table is named "slots = columns", and
its rows are the values of those slots. Two slots of one table never have the same row (the helper
is never the hero). A plot has steps, and a step has one or more wordings, in which `[a|b]` is a
choice of words. `{thing}` is the name of the story's thing and `{thing.guess}` another column of
its row; a column written with a capital letter gives a capital letter. The steps of the `opening`
begin every plot.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from xinye.errors import XinyeError

Row = dict[str, str]
# A pattern, with the slot and column of each of its groups.
Pattern = tuple[re.Pattern[str], list[tuple[str, str]]]

_SLOT = re.compile(r"\{(\w+)\.?(\w*)\}")
_CHOICE = re.compile(r"\[([^]]*)\]")
_MARK = re.compile(r"(\{[^}]*\}|[\[\]|])")


class Mention(NamedTuple):
    """A value that a step of the story gives to a column of a slot."""

    slot: str
    column: str
    value: str
    step: str


@dataclass(frozen=True)
class Grammar:
    """The tables and plots of one language, and the pattern of each step of a plot."""

    separator: str
    tables: dict[str, list[Row]]
    plots: dict[str, dict[str, list[str]]]
    patterns: dict[str, dict[str, Pattern]]


def story(seed: int, language: str) -> str:
    """The story with this number, which is the same on every machine. Raises `XinyeError` for an
    unknown language.
    """
    grammar = _grammar(language)
    generator = random.Random(f"{language} {seed}")

    def pick(items: Sequence[Any]) -> Any:
        # `choice` may change between versions of Python; the sequence of `random` is guaranteed.
        return items[int(generator.random() * len(items))]

    steps = grammar.plots[pick(list(grammar.plots))]
    sentences = [
        _CHOICE.sub(lambda choice: pick(choice[1].split("|")), pick(wordings))
        for wordings in steps.values()
    ]
    bound: dict[str, Row] = {}

    def fill(mention: re.Match[str]) -> str:
        slot, column = mention.groups()
        if slot not in bound:
            taken = list(bound.values())
            bound[slot] = pick(
                [row for row in grammar.tables[slot] if not any(row is other for other in taken)]
            )
        return _value(bound[slot], column)

    return _SLOT.sub(fill, grammar.separator.join(sentences))


def stories(count: int, language: str, seed: int = 0) -> list[str]:
    """A list of `count` different stories. Another seed gives another list."""
    found: dict[str, None] = {}
    number = seed * 2**32
    while len(found) < count:
        found[story(number, language)] = None
        number += 1
    return list(found)


def check(text: str, language: str) -> str | None:
    """None if the text is a complete and consistent story of this world, otherwise its first
    fault.
    """
    grammar = _grammar(language)
    text = text.strip() + grammar.separator
    # A faulty story is compared with the plot to which most of its sentences belong.
    plot = max(
        grammar.patterns,
        key=lambda plot: sum(
            bool(pattern.search(text)) for pattern, _ in grammar.patterns[plot].values()
        ),
    )
    mentions: list[Mention] = []
    position = 0
    for step, (pattern, slots) in grammar.patterns[plot].items():
        match = pattern.match(text, position)
        if match is None:
            return _unexplained(grammar, plot, step, text[position:].strip())
        pairs = zip(slots, match.groups(), strict=True)
        mentions += [
            Mention(slot, column, value, step)
            for (slot, column), value in pairs
            if value is not None
        ]
        position = match.end()
    if rest := text[position:].strip():
        return f"the story goes on after its moral: {rest[:80]}"
    return _disagreement(grammar, mentions)


def _unexplained(grammar: Grammar, plot: str, expected: str, rest: str) -> str:
    """Why the rest of the text does not continue with the expected step."""
    if not rest:
        return f"the story stops before {expected!r}"
    # Try this plot first: a sentence that many plots share is misplaced rather than from another
    # plot.
    for other in sorted(grammar.patterns, key=lambda other: other != plot):
        for step, (pattern, _) in grammar.patterns[other].items():
            if match := pattern.match(rest + grammar.separator):
                where = "" if other == plot else f" of the plot {other!r}"
                found = f"{step!r}{where} found: {match[0].strip()}"
                return f"{expected!r} of the plot {plot!r} expected, {found}"
    return f"{expected!r} of the plot {plot!r} expected, found: {rest[:80]}"


def _disagreement(grammar: Grammar, mentions: list[Mention]) -> str | None:
    """The first value that contradicts the values before it, or None."""
    possible = dict(grammar.tables)
    for index, mention in enumerate(mentions):
        rows = [
            row for row in possible[mention.slot] if _value(row, mention.column) == mention.value
        ]
        if not rows:
            earlier = [other for other in mentions[:index] if other.slot == mention.slot]
            sharing = [
                row
                for row in grammar.tables[mention.slot]
                if _value(row, mention.column) == mention.value
            ]
            # Name the first value that it contradicts, or all of them if only all together do (a
            # sum and its two numbers).
            blamed = [
                m for m in earlier if all(_value(row, m.column) != m.value for row in sharing)
            ][:1] or earlier
            said = ", ".join(f"{m.value} ({m.step})" for m in blamed)
            return f"{mention.slot}: {said}, but {mention.value} ({mention.step})"
        possible[mention.slot] = rows
    slots = list(dict.fromkeys(mention.slot for mention in mentions))
    for first, second in combinations(slots, 2):
        if possible[first][0] is possible[second][0]:
            return f"{first} and {second} are both {_value(possible[first][0], '')}"
    return None


def _value(row: Row, column: str) -> str:
    """A cell of the row, by default the first. A column written with a capital letter gives a
    capital letter.
    """
    cell = row[column.lower()] if column else next(iter(row.values()))
    return cell[0].upper() + cell[1:] if column[:1].isupper() else cell


@lru_cache
def _grammar(language: str) -> Grammar:
    """The grammar of a language, with the patterns of its steps."""
    written = json.loads(Path(__file__).with_name("stories.json").read_text("utf-8"))
    if language not in written:
        raise XinyeError(f"there are no stories in the language {language!r}: choose zh or en")
    words = written[language]
    tables: dict[str, list[Row]] = {}
    for heading, lines in words["tables"].items():
        slots, columns = (names.split() for names in heading.split(" = "))
        rows = [dict(zip(columns, line.split(" | "), strict=True)) for line in lines]
        tables |= dict.fromkeys(slots, rows)
    plots = {plot: words["opening"] | steps for plot, steps in words["plots"].items()}
    grammar = Grammar(words["separator"], tables, plots, {})
    for plot, steps in plots.items():
        patterns = {step: _pattern(grammar, wordings) for step, wordings in steps.items()}
        grammar.patterns[plot] = patterns
    return grammar


def _pattern(grammar: Grammar, wordings: list[str]) -> Pattern:
    """The pattern that matches each wording with any value in each slot."""
    slots: list[tuple[str, str]] = []
    pieces = []
    for token in _MARK.split(f"[{'|'.join(wordings)}]{grammar.separator}"):
        if slot := _SLOT.fullmatch(token):
            slots.append((slot[1], slot[2]))
            values = {_value(row, slot[2]) for row in grammar.tables[slot[1]]}
            # The longest values first, because one value may begin with another.
            pieces.append(
                f"({'|'.join(re.escape(value) for value in sorted(values, key=len, reverse=True))})"
            )
        else:
            pieces.append({"[": "(?:", "]": ")", "|": "|"}.get(token) or re.escape(token))
    return re.compile("".join(pieces)), slots
