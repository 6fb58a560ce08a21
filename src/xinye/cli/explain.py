"""`xinye explain`: the words of a text that decided."""

from typing import TYPE_CHECKING

from rich.text import Text

from xinye.cli.arguments import JSON, MODEL, Parser, flag
from xinye.cli.evaluate import PAIR, read_texts
from xinye.cli.output import answer, console, print_json, print_table, verbatim
from xinye.errors import plural, readable

if TYPE_CHECKING:  # it brings torch
    from xinye.jobs.explain import Explanation, Word

LISTED = 5  # words
BAR = 20  # the length in characters of the bar of the strongest word
# The styles of words for and against the decision, by the share of the strongest word's score that
# they need at least.
STYLES = ((0.5, "bold white on green4", "bold white on red3"), (0.2, "green", "red"))


def main(arguments: list[str]) -> int:
    given = Parser(
        "explain",
        "Show which words of a text decided: for a label, or for each entity that was found. The "
        "score of a word is its part in the log-odds of the decision, by input × gradient.",
        'xinye explain runs/reviews "送得快，汤还是热的"\n'
        '  xinye explain runs/reviews "送得快，汤还是热的" --label 负面',
        MODEL,
        flag(
            "text",
            "TEXT",
            ("a text, a file with one text per line, or - to read lines from a pipe"),
        ),
        PAIR,
        flag("--label", "NAME", "explain this label; of entities: those of this type or text"),
        JSON,
    ).read(arguments)
    texts = read_texts(given.text)
    inputs = texts if given.pair is None else [(text, given.pair) for text in texts]

    from xinye.api import load

    explained = load(given.model).explain(inputs, label=given.label)
    if given.json:
        print_json({
            "results": [
                {"text": text, "pair": given.pair, "explanations": explanations}
                for text, explanations in zip(texts, explained, strict=True)
            ]
        })  # fmt: skip
        return 0
    for text, explanations in zip(texts, explained, strict=True):
        if not explanations:
            answer.print(verbatim(text), soft_wrap=True)
            answer.print("  the model found nothing in this text; --label explains a label")
        for explanation in explanations:
            show(explanation, [text] if given.pair is None else [text, given.pair])
    console.print(
        "+ speaks for the decision, - against it; the sum is the log-odds, ln p/(1-p)",
        soft_wrap=True,
    )
    return 0


def show(explanation: "Explanation", texts: list[str]) -> None:
    """Print a decision, the texts with their words in colour, and the strongest words."""
    start, end = explanation.start, explanation.end
    decision = f"{explanation.decision}  {explanation.probability:.1%}"
    if start is not None and end is not None:
        decision = f"{start}–{end}  {decision}  {texts[-1][start:end]}"
    answer.print(verbatim(decision, "bold"), soft_wrap=True)
    strongest = explanation.strongest
    largest = max((abs(word.score) for word in strongest), default=0.0) or 1.0
    for number, text in enumerate(texts):
        words = [word for word in explanation.words if word.input == number]
        answer.print(coloured(text, words, largest), soft_wrap=True)
    rows: list[tuple[str | Text, str, Text]] = []
    for word in strongest[:LISTED]:
        bar = ("█" if word.score > 0 else "░") * round(BAR * abs(word.score) / largest)
        rows.append((verbatim(f"  {word.text}"), f"{word.score:+.2f}", Text(bar)))
    if others := strongest[LISTED:]:
        total = sum(word.score for word in others)
        rows.append((f"  {plural(len(others), 'other word')}", f"{total:+.2f}", Text()))
    rows.append(("  control tokens and constants", f"{explanation.rest:+.2f}", Text()))
    rows.append(("  sum", f"{explanation.log_odds:+.2f}", Text()))
    print_table(("", "", ""), rows, left=(0, 2))
    if explanation.left_out:
        left_out = plural(explanation.left_out, "token")
        console.print(f"note: the text is longer than the context; {left_out} were not read")
    answer.print()


def coloured(text: str, words: list["Word"], largest: float) -> Text:
    """The text with its words in the colour of their score."""
    shown, at = Text(), 0
    for word in words:
        shown.append(readable(text[at : word.start]))
        shown.append(readable(word.text), style_of(word.score / largest))
        at = word.end
    return shown.append(readable(text[at:]))


def style_of(share: float) -> str:
    """The style of a word, whose score is this share of the strongest word's."""
    for least, supports, opposes in STYLES:
        if abs(share) >= least:
            return supports if share > 0 else opposes
    return ""
