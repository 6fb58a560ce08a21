"""Questions made from a passage alone, for a reader that has few real ones: a clause without some
of its words is the question, and those words are the answer (a cloze, as Lewis et al. 2019,
arXiv:1906.04980, make them).

A part of the clause's other words is left out, too, so that the reader learns to look for what a
question and a passage share, and not for whole clauses. And questions about other passages, from
which it learns that an answer may not be there.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xinye.data.sentences import CLAUSE, sentences
from xinye.tasks.answer_records import Question

_NUMBER = re.compile(
    r"\d[\d,.]*(?:[年月日时分%％个名人元米岁次]|公里)?(?:\d+[月日])*"
    r"|[一二三四五六七八九十百千万亿两]{2,}[年月日个名人元岁次]*"
)
_NAME = re.compile(
    r"《[^《》]{1,30}》|「[^「」]{1,30}」|“[^“”]{1,30}”|[\u4e00-\u9fff]+(?:·[\u4e00-\u9fff]+)+"
    r"|(?<=\w )[A-Z][\w'-]+(?: (?:of |the )?[A-Z][\w'-]+)*"
)
# Between these words stand chunks that can answer a question.
_CHUNK = re.compile(
    r"(?<=[是为在由于被把对从向以了将等有及而到用叫称和与的，、；：。])"
    r"[^是为在由于被把对从向以了将等有及而到用叫称和与的，,；;：:。！？!?、\s（）()]{2,12}"
    r"|\b(?<=\b(?:in|of|by|is|as|to|at|on) )(?:[a-zA-Z][\w'-]* ?){1,4}\b"
)
_ASKED = {
    "zh": {"number": ("多少", "几", "什么时候", "哪一年"), "name": ("谁", "什么", "哪个"),
           "chunk": ("什么", "哪里", "谁", "什么")},
    "en": {"number": ("how many", "when", "how much", "what year"),
           "name": ("who", "what", "which"), "chunk": ("what", "where", "who")},
}  # fmt: skip
_HAN = re.compile(r"[\u4e00-\u9fff]")
_WORDS = re.compile(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+\s*|\s+")
SHORTEST = 8  # characters of a clause beside its gap; of a shorter one the whole sentence is taken
NEAR = 40  # characters around an answer that may tell it, too
LEFT_OUT = 0.2  # the largest share of the other words that is left out
AT_THE_END = 0.3  # the share of questions that ask at their end


@dataclass(frozen=True)
class Gap:
    """Words that can be asked for: their characters in the passage, and what kind they are; and
    those of the sentence around them."""

    start: int
    end: int
    kind: str
    sentence: tuple[int, int]


def cloze(passage: str, count: int, chance: random.Random) -> list[Question]:
    """At most `count` questions about different words of a passage."""
    if not count:
        return []
    gaps = [*gaps_of(passage)]
    chance.shuffle(gaps)
    return [
        Question(
            asked(passage, gap, chance), passage, (passage[gap.start : gap.end],), gap.start, "",
            "made questions",
        )
        for gap in gaps[:count]
    ]  # fmt: skip


def gaps_of(passage: str) -> Iterator[Gap]:
    """The words of a passage that can be asked for: names, numbers and chunks of clauses."""
    for begin, end in sentences(passage):
        taken = set[int]()
        for kind, pattern in (("name", _NAME), ("number", _NUMBER), ("chunk", _CHUNK)):
            for match in pattern.finditer(passage, begin, end):
                words = range(match.start(), match.start() + len(match[0].rstrip()))
                if words and taken.isdisjoint(words):
                    taken.update(words)
                    yield Gap(words.start, words.stop, kind, (begin, end))


def asked(passage: str, gap: Gap, chance: random.Random) -> str:
    """The clause around a gap as a question, with a word that asks in place of the answer."""
    begin, end = gap.sentence
    clauses = (match.span() for match in CLAUSE.finditer(passage, begin, end))
    own = next((each for each in clauses if each[0] <= gap.start < each[1]), gap.sentence)
    if own[1] - own[0] - (gap.end - gap.start) < SHORTEST:
        own = gap.sentence
    before, after = passage[own[0] : gap.start], passage[gap.end : max(own[1], gap.end)]
    chinese = bool(_HAN.search(passage))
    word = chance.choice(_ASKED["zh" if chinese else "en"][gap.kind])
    share = LEFT_OUT * chance.random()
    before, after = (_thinned(part.strip("。.\n"), share, chance) for part in (before, after))
    mark = "？" if chinese else "?"
    if chance.random() >= AT_THE_END:
        return f"{before}{word}{after}{mark}"
    return f"{before}{after}是{word}{mark}" if chinese else f"{word} {before}{after}{mark}"


def _thinned(text: str, share: float, chance: random.Random) -> str:
    return "".join(word for word in _WORDS.findall(text) if chance.random() >= share)


def about_others(
    records: Sequence[Question], share: float, chance: random.Random
) -> list[Question]:
    """A share of the questions, each with a text that does not answer it."""
    passages = list(dict.fromkeys(record.passage for record in records))
    wrong = [
        _elsewhere(record, passages, chance)
        for record in records
        if len(passages) > 1 and chance.random() < share
    ]
    return [each for each in wrong if each is not None]


def _elsewhere(record: Question, passages: Sequence[str], chance: random.Random) -> Question | None:
    """The question with a text that has none of its answers: a part of its own passage, or another
    passage; None if chance takes one that has."""
    begin, end = record.span or (0, 0)
    own = (record.passage[: max(0, begin - NEAR)], record.passage[end + NEAR :])
    text = chance.choice([*(part for part in own if len(part) > NEAR), chance.choice(passages)])
    if any(answer in text for answer in record.answers):
        return None
    return Question(record.question, text, (), -1, record.place, record.format)
