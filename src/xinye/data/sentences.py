"""Where the sentences of a text end, in Chinese and English."""

import re
from collections.abc import Iterator

from xinye.data.scripts import HAN

# A dot ends a sentence before a space, but not behind an initial or one of these.
_ABBREVIATIONS = ("Mr", "Mrs", "Ms", "Dr", "St", "No", "vs", "Jr", "Sr", "Inc", "Ltd", "Prof")
NO_END = "".join(rf"(?<!\b{short})" for short in ("[A-Z]", r"[a-z]\.[a-z]", *_ABBREVIATIONS))
_CLOSING = "[”’」』）)\"']*"
CLAUSE = re.compile(r"[^，,；;：:。！？!?\n]+")
# Some Chinese texts end their sentences with a dot: 结果很好.本文提出…
_CHINESE_DOT = rf"(?<=[{HAN}）)”])\.(?=[{HAN}“《（])"
SENTENCE_END = re.compile(
    rf"(?:[。！？!?…\n]|{NO_END}\.(?={_CLOSING}(?:\s|$))|{_CHINESE_DOT})+{_CLOSING}"
)


def sentence_ends(text: str) -> list[int]:
    """The index behind each sentence of a text."""
    return [match.end() for match in SENTENCE_END.finditer(text)]


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence of a text begins and ends, without the space around it.

    >>> [*sentences("Dr. Li came. 他走了！")], [*sentences("结果很好.本文")]
    ([(0, 12), (13, 17)], [(0, 5), (5, 7)])
    """
    begin = 0
    for end in [*sentence_ends(text), len(text)]:
        sentence = text[begin:end]
        start = begin + len(sentence) - len(sentence.lstrip())
        if sentence.strip():
            yield start, begin + len(sentence.rstrip())
        begin = end
