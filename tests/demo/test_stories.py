"""The story world: what it writes is consistent, and no slot of a story can be changed without
being caught."""

import hashlib
import re
from functools import lru_cache

import pytest

from xinye.demo import stories as module
from xinye.demo.stories import check, stories, story
from xinye.errors import XinyeError

LANGUAGES = ("zh", "en")
PLOTS = ("lost", "promise", "errand", "weather", "borrow", "share")


@lru_cache
def collection(language: str) -> list[str]:
    return stories(3000, language)


def plot_of(text: str, language: str) -> str:
    """The plot whose moral the story ends with."""
    grammar = module._grammar(language)
    (plot,) = (
        plot
        for plot, steps in grammar.patterns.items()
        if steps["moral"][0].search(text + grammar.separator)
    )
    return plot


def examples(plot: str, language: str, count: int = 8) -> list[str]:
    return [text for text in collection(language)[:200] if plot_of(text, language) == plot][:count]


def sentences(text: str, plot: str, language: str) -> list[tuple[str, re.Match[str]]]:
    grammar = module._grammar(language)
    text += grammar.separator
    found = []
    for step, (pattern, _) in grammar.patterns[plot].items():
        match = pattern.match(text, found[-1][1].end() if found else 0)
        assert match is not None
        found.append((step, match))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_seed_gives_one_story_and_every_story_is_consistent(language: str) -> None:
    texts = collection(language)
    assert len(set(texts)) == 3000
    assert texts[:50] == stories(50, language) == [story(seed, language) for seed in range(50)]
    assert not set(texts) & set(stories(50, language, seed=1))
    assert [text for text in texts if check(text, language) is not None] == []
    assert {plot_of(text, language) for text in texts} == set(PLOTS)


@pytest.mark.parametrize(
    ("language", "digest"), [("zh", "a27ce4f31f33de48"), ("en", "9e20d701a0a19005")]
)
def test_the_stories_are_the_same_on_every_machine(language: str, digest: str) -> None:
    # A change of the grammar changes this on purpose; a change of machine or Python never may.
    assert hashlib.sha256("\n".join(collection(language)[:100]).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("plot", PLOTS)
def test_every_slot_changed_alone_is_caught_and_named(plot: str, language: str) -> None:
    grammar = module._grammar(language)
    relations = set()
    for text in examples(plot, language):
        for step, match in sentences(text, plot, language):
            for number, (slot, column) in enumerate(grammar.patterns[plot][step][1], start=1):
                value = match[number]
                for other in {module._value(row, column) for row in grammar.tables[slot]} - {
                    value,
                    None,
                }:
                    if value is not None:
                        changed = text[: match.start(number)] + other + text[match.end(number) :]
                        reason = check(changed, language)
                        assert reason is not None and reason.startswith(f"{slot}: "), (
                            reason,
                            changed,
                        )
                        relations.add((slot, column, step))
    assert len(relations) >= 10


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("plot", PLOTS)
def test_a_missing_a_doubled_and_a_foreign_sentence_are_caught(plot: str, language: str) -> None:
    text, another = examples(plot, language, 2)
    foreign = {"zh": "月亮笑了。", "en": "The moon laughed."}[language]
    for step, match in sentences(text, plot, language):
        missing = check(text[: match.start()] + text[match.end() :], language)
        assert missing is not None and repr(step) in missing
        assert check(text[: match.end()] + match[0] + text[match.end() :], language) is not None
        quoted = check(
            text[: match.start()] + foreign + text[match.end() - len(match[0]) :], language
        )
        assert quoted is not None and foreign in quoted
        assert check(text[: match.start() + len(match[0]) // 2], language) is not None
    assert check(text + another, language) is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_moral_of_another_plot_is_caught(language: str) -> None:
    texts = {plot: examples(plot, language, 1)[0] for plot in PLOTS}
    morals = {plot: sentences(texts[plot], plot, language)[-1][1] for plot in PLOTS}
    for plot, text in texts.items():
        for other in set(PLOTS) - {plot}:
            reason = check(text[: morals[plot].start()] + morals[other][0], language)
            assert reason is not None and f"'moral' of the plot '{other}'" in reason


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_roles_are_never_one_character(language: str) -> None:
    grammar = module._grammar(language)
    text = examples("weather", language, 1)[0]
    first, second = (row for row in grammar.tables["hero"] if next(iter(row.values())) in text)
    for column in ("name", "kind", "trait", "joy", "he", "his"):
        if column in first:
            text = re.sub(
                rf"\b{re.escape(second[column])}\b" if language == "en" else second[column],
                first[column],
                text,
            )
    assert check(text, language) == f"hero and helper are both {first['name']}"


@pytest.mark.parametrize(
    "text", ["", "   ", "\n", "?", "从前有座山。", "Once upon a time", "{hero}", "😀" * 50]
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_any_text_can_be_checked(text: str, language: str) -> None:
    assert check(text, language) is not None


@pytest.mark.parametrize(
    ("language", "shortest", "longest", "pattern", "vocabulary"),
    [("zh", 110, 158, r"\S", 450), ("en", 75, 112, r"[a-z'-]+", 500)],
)
def test_stories_are_short_and_plain(
    language: str, shortest: int, longest: int, pattern: str, vocabulary: int
) -> None:
    found = [re.findall(pattern, text.lower()) for text in collection(language)]
    assert shortest <= min(map(len, found)) and max(map(len, found)) <= longest
    assert len(set().union(*found)) <= vocabulary


def test_another_language_is_one_clear_line() -> None:
    with pytest.raises(XinyeError, match="choose zh or en"):
        story(0, "fr")
