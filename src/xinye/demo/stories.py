"""A small world of children's stories, in Chinese and English, in which every story can be checked.

A language model can be fluent and still lose the thread: a kite is lost and a hat is found. To
measure that on a model trained for one minute, its training text must obey rules that are written
down. Here they are: one grammar for each language, from which `story` writes and against which
`check` reads, so that the two cannot disagree.

The grammars stand in `stories.json` and are our own writing. A table there has the name "slots =
columns"; its rows are the values those slots may take, and two slots of one table never hold the
same row (the helper is never the hero). A plot has steps, a step one or more wordings, and `[a|b]`
in them is a choice of words. `{thing}` is the name of the thing of this story and `{thing.guess}`
another column of its row, with a capital letter if the column is written with one. The steps of the
`opening` open every plot.
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
# the slot and the column of each of its groups
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
    """The tables and plots of one language, and for each step of a plot the pattern of all it can
    say.
    """

    separator: str
    tables: dict[str, list[Row]]
    plots: dict[str, dict[str, list[str]]]
    patterns: dict[str, dict[str, Pattern]]


def story(seed: int, language: str) -> str:
    """The story with this number; the same on every machine."""
    grammar = _grammar(language)
    generator = random.Random(f"{language} {seed}")

    def pick(items: Sequence[Any]) -> Any:
        # `choice` may change from one version of Python to the next; `random` is promised not to.
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
    """This many different stories; another seed gives another collection."""
    found: dict[str, None] = {}
    number = seed * 2**32
    while len(found) < count:
        found[story(number, language)] = None
        number += 1
    return list(found)


def check(text: str, language: str) -> str | None:
    """None when the text is a whole and consistent story of this world, else the first thing that
    is wrong.
    """
    grammar = _grammar(language)
    text = text.strip() + grammar.separator
    # A broken story is read as the plot that most of its sentences belong to.
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
    """Why the rest of the text does not go on with the step that this plot expects."""
    if not rest:
        return f"the story stops before {expected!r}"
    # First this plot, then the others: a sentence that many plots share is misplaced rather than
    # foreign.
    for other in sorted(grammar.patterns, key=lambda other: other != plot):
        for step, (pattern, _) in grammar.patterns[other].items():
            if match := pattern.match(rest + grammar.separator):
                where = "" if other == plot else f" of the plot {other!r}"
                found = f"{step!r}{where} found: {match[0].strip()}"
                return f"{expected!r} of the plot {plot!r} expected, {found}"
    return f"{expected!r} of the plot {plot!r} expected, found: {rest[:80]}"


def _disagreement(grammar: Grammar, mentions: list[Mention]) -> str | None:
    """The first mention that no row of its table can share with the mentions before it."""
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
            # Blame the first it contradicts; where only all together do (a sum and its two
            # numbers), blame them all.
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
    """A cell of the row, the first one by default; a column with a capital letter gives the cell
    one too.
    """
    cell = row[column.lower()] if column else next(iter(row.values()))
    return cell[0].upper() + cell[1:] if column[:1].isupper() else cell


@lru_cache
def _grammar(language: str) -> Grammar:
    """The grammar of a language, with the patterns that follow from it."""
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
    """What matches each wording with any value of its table in each slot."""
    slots: list[tuple[str, str]] = []
    pieces = []
    for token in _MARK.split(f"[{'|'.join(wordings)}]{grammar.separator}"):
        if slot := _SLOT.fullmatch(token):
            slots.append((slot[1], slot[2]))
            values = {_value(row, slot[2]) for row in grammar.tables[slot[1]]}
            # The longest first, so that a value is not taken for a shorter one that it begins with.
            pieces.append(
                f"({'|'.join(re.escape(value) for value in sorted(values, key=len, reverse=True))})"
            )
        else:
            pieces.append({"[": "(?:", "]": ")", "|": "|"}.get(token) or re.escape(token))
    return re.compile("".join(pieces)), slots
