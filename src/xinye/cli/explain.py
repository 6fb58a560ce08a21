"""`xinye explain`: the words of a text that decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

from xinye.cli.answer import knowledge_of
from xinye.cli.arguments import JSON, MODEL, Parser, flag
from xinye.cli.output import answer, console, print_json, print_table, verbatim
from xinye.cli.use import PAIR, inputs_of
from xinye.errors import XinyeError, plural, readable
from xinye.language import shown

if TYPE_CHECKING:  # it brings torch
    from xinye.api import Model
    from xinye.jobs.answering import Knowledge
    from xinye.jobs.explain import Explanation, Word

LISTED = 5  # words
BAR = 20  # the length in characters of the bar of the strongest word
# The styles of words for and against the decision, by the share of the strongest word's score that
# they need at least.
STYLES = (
    (0.5, Style(color="white", bgcolor="green4"), Style(color="white", bgcolor="red3")),
    (0.2, Style(color="green"), Style(color="red")),
)


def parser() -> Parser:
    return Parser(
        "explain",
        "Show which words of a text decided: for a label, for each entity that was found, or for "
        "an answer. The score of a word is its part in the log-odds of the decision, by input × "
        "gradient.",
        'xinye explain runs/reviews "送得快，汤还是热的"\n'
        '  xinye explain runs/reviews "送得快，汤还是热的" --label 负面\n'
        '  xinye explain runs/reader "几点开门？" --passage handbook.md',
        MODEL,
        flag(
            "text",
            "TEXT",
            "a text or a question, a file with one per line, or - to read lines from a pipe",
        ),
        PAIR,
        flag("--passage", "FILE", "document that the question was answered from", type=Path),
        flag(
            "--knowledge", "KB", "folder of a knowledge base that it was answered from", type=Path
        ),
        flag("--label", "NAME", "explain this label, entities of this type or text, this answer"),
        JSON,
    )


def main(arguments: list[str]) -> int:
    given = parser().read(arguments)
    seconds = [given.pair, given.passage, given.knowledge]
    if sum(second is not None for second in seconds) > 1:
        raise XinyeError("give only one of --pair, --passage and --knowledge")
    texts = inputs_of(given.text, "classify")

    from xinye.api import load

    model = load(given.model)
    inputs: list[tuple[str, ...]] = [(text,) for text in texts]
    labels: list[str | None] = [given.label for _ in texts]
    if given.pair is not None:
        inputs = [(text, given.pair) for text in texts]
    elif given.passage or given.knowledge:
        knowledge = knowledge_of(given.passage, given.knowledge)
        told = [answer_in(model, text, knowledge) for text in texts]
        inputs = [(text, passage) for text, (passage, _) in zip(texts, told, strict=True)]
        labels = [given.label or said for _, said in told]
    explained = [
        model.explain(each if len(each) > 1 else each[0], label=label)
        for each, label in zip(inputs, labels, strict=True)
    ]
    if given.json:
        results = [
            {"text": each[0], "pair": each[1] if len(each) > 1 else None, "explanations": found}
            for each, found in zip(inputs, explained, strict=True)
        ]
        print_json({"results": results})
        return 0
    for each, found in zip(inputs, explained, strict=True):
        if not found:
            answer.print(verbatim(each[0]), soft_wrap=True)
            answer.print("  the model found nothing in this text; --label explains a label")
        for explanation in found:
            show(explanation, each)
    console.print(
        "+ speaks for the decision, - against it; the sum is the log-odds, ln p/(1-p)",
        soft_wrap=True,
    )
    return 0


def answer_in(model: "Model", question: str, knowledge: "Knowledge") -> tuple[str, str | None]:
    """The passage that the model's answer stands in, and the answer. If there is only one passage,
    it need not have the answer, which is None then. Raises `XinyeError` if none of several has
    it."""
    found = model.answer(question, knowledge=knowledge)
    if found.source is not None:
        return found.source.text, found.text
    if len(found.found) != 1:
        reason = found.refused
        raise XinyeError(f"no answer to explain: {reason}")
    return found.found[0].text, None


def show(explanation: "Explanation", texts: Sequence[str]) -> None:
    """Print a decision, the texts with their words in colour, and the strongest words."""
    start, end = explanation.start, explanation.end
    told = [explanation.decision or shown("(not in the passage)")]
    if start is not None and end is not None:
        told = [f"{start}–{end}", *dict.fromkeys([*told, texts[-1][start:end]])]
    told.append(f"{explanation.probability:.1%}")
    answer.print(verbatim("  ".join(told), "bold"), soft_wrap=True)
    strongest = explanation.strongest
    largest = max((abs(word.score) for word in strongest), default=0.0) or 1.0
    for number, text in enumerate(texts):
        words = [word for word in explanation.words if word.input == number]
        answer.print(coloured(text, words, largest), soft_wrap=True)
    rows = []
    for word in strongest[:LISTED]:
        bar = ("█" if word.score > 0 else "░") * round(BAR * abs(word.score) / largest)
        rows.append((word.text, word.score, bar))
    if others := strongest[LISTED:]:
        total = sum(word.score for word in others)
        rows.append((shown(plural(len(others), "other word")), total, ""))
    rows.append((shown("control tokens and constants"), explanation.rest, ""))
    alone = explanation.of_network
    name = "sum, the log-odds of the GPT alone" if alone else "sum, the log-odds"
    rows.append((shown(name), explanation.log_odds, ""))
    cells = [(verbatim(f"  {name}"), f"{score:+.2f}", Text(bar)) for name, score, bar in rows]
    print_table(("", "", ""), cells, left=(0, 2))
    if explanation.left_out:
        left_out = plural(explanation.left_out, "token")
        console.print(f"the text is longer than the context by {left_out}, which are not read")
    answer.print()


def coloured(text: str, words: list["Word"], largest: float) -> Text:
    """The text with its words in the colour of their score."""
    result, at = Text(), 0
    for word in words:
        result.append(readable(text[at : word.start]))
        result.append(readable(word.text), style_of(word.score / largest))
        at = word.end
    return result.append(readable(text[at:]))


def style_of(share: float) -> Style:
    """The style of a word, whose score is this share of the strongest word's."""
    for least, supports, opposes in STYLES:
        if abs(share) >= least:
            return supports if share > 0 else opposes
    return Style()
