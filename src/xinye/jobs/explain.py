"""Why a model has decided as it did: the part that each word of the text has in the decision.

`model/attribution.py` computes the parts, and says how.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from xinye.errors import XinyeError, quoted
from xinye.jobs.judge import check_inputs, context_of, learned_task
from xinye.model.attribution import input_times_gradient
from xinye.model.heads import Head
from xinye.tasks.decisions import Decision
from xinye.tasks.heads import HeadTask
from xinye.tasks.task import Judged

_CJK = r"\u2e80-\ud7ff\uf900-\ufaff\ufe30-\uffef\U00020000-\U000323af"
_MARKS = r"!-/:-@\[-`{-~\xa0-\xbf\u2000-\u200c\u200e-\u206f"
_LETTERS = rf"[^\s{_CJK}{_MARKS}]+"
# A word of a script with spaces, or a single Han character or punctuation mark.
_WORD = re.compile(rf"{_LETTERS}(?:['’-]{_LETTERS})*|\S")


@dataclass(frozen=True)
class Word:
    """A word, a Han character or a mark of the text, and its part in the decision.

    `start` and `end` are its place in the text, in characters; `input` is 1 in the second text of a
    pair, otherwise 0. A positive `score` speaks for the decision, a negative one against it. If a
    token spans several characters, they are one word here.
    """

    text: str
    start: int
    end: int
    score: float
    input: int = 0


@dataclass(frozen=True)
class Explanation:
    """Why a model chose a label, a span or an answer.

    `decision` is its name, "" for an answer that is not in the passage, with its `probability` and
    its `log_odds`, log p / (1 - p). For a span both are means over its tokens, for an answer
    `log_odds` is the mean of its first and its last token; `start` and `end` are its place in the
    text. The scores of the `words` are in the unit of the log-odds: all of them and `rest` add up
    to `log_odds`. `rest` is what control tokens, positions and the network's own constants add.
    `left_out` counts the tokens of a long text that the model did not read. With `of_network` the
    `probability` is that of a mix, or is calibrated, but all else explains its network alone.
    """

    decision: str
    probability: float
    log_odds: float
    words: tuple[Word, ...]
    rest: float
    left_out: int = 0
    start: int | None = None
    end: int | None = None
    of_network: bool = False

    @property
    def strongest(self) -> list[Word]:
        """The words, those with the largest part first, whether for the decision or against it."""
        return sorted(self.words, key=lambda word: -abs(word.score))


def explain(
    judged: Judged, texts: Sequence[Any], label: str | None = None
) -> list[list[Explanation]]:
    """For each text, or pair of texts, an explanation of each of the model's decisions about it.

    `label` names another label or another answer, or chooses spans by their type or their text.
    Raises `XinyeError` for an empty text, for a label that the model does not know, and for a model
    without a head.
    """
    task = learned_task(judged.model, judged.folder)
    if not isinstance(judged.model, Head) or not isinstance(task, HeadTask):
        raise XinyeError(
            f"{judged.folder}: this model generates text, and there is no decision to explain. "
            "Fine-tune it for a task with labels: xinye finetune "
            f"{quoted(judged.folder)} --task classify --data FILE -o RUN"
        )
    if task.mix and not task.mix.has_network:
        raise XinyeError(
            f"{judged.folder}: the GPT was left out of this model, and what was mixed with it "
            "decides alone: there is nothing to explain. Its report shows why"
        )
    check_inputs(judged.folder, texts)
    if any(not (text if isinstance(text, str) else text[0]).strip() for text in texts):
        raise XinyeError("the text is empty")
    context = context_of(judged.model)
    return [
        [
            replace(
                _explained(judged.model, (text,) if isinstance(text, str) else text, decision),
                of_network=task.mix is not None,
            )
            for decision in task.decisions(judged.model, judged.tokenizer, text, context, label)
        ]
        for text in texts
    ]


def _explained(model: Head, texts: Sequence[str], decision: Decision) -> Explanation:
    parts, log_odds = input_times_gradient(model, decision.tokens, decision.log_odds)
    words = _words(texts, decision, parts.tolist())
    return Explanation(
        decision.name,
        decision.probability,
        log_odds,
        words,
        log_odds - sum(word.score for word in words),
        decision.cut,
        decision.start,
        decision.end,
    )


def _words(texts: Sequence[str], decision: Decision, scores: Sequence[float]) -> tuple[Word, ...]:
    """The words of the texts, with the scores of their tokens added up."""
    words: list[Word] = []
    for number, text in enumerate(texts):
        tokens = [
            (place[1], place[2], score)
            for place, score in zip(decision.places, scores, strict=True)
            if place and place[0] == number and text[place[1] : place[2]].strip()
        ]
        borders = _borders(text, [(start, end) for start, end, _ in tokens])
        starts = [start for start, _ in borders]
        totals: dict[int, float] = {}
        for start, _, score in tokens:
            at = bisect_right(starts, start) - 1
            totals[at] = totals.get(at, 0.0) + score
        for at, total in sorted(totals.items()):
            start, end = borders[at]
            words.append(Word(text[start:end], start, end, total, number))
    return tuple(words)


def _borders(text: str, tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where the words of a text begin and end. A token is never cut: if it covers several words or
    characters, they are one.
    """
    borders: list[tuple[int, int]] = []
    for start, end in sorted([*tokens, *(match.span() for match in _WORD.finditer(text))]):
        if borders and start < borders[-1][1]:
            borders[-1] = borders[-1][0], max(end, borders[-1][1])
        else:
            borders.append((start, end))
    return borders
