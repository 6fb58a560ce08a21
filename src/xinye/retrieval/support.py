"""What an answer says that its sources do not: the numbers and names that stand in none of them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from xinye.data.sentences import sentences
from xinye.retrieval.numbers import MONTHS, numbers
from xinye.retrieval.terms import terms

CITATION = re.compile(r"[ ]?[\[【](\d{1,3})[\]】]")
LISTED = re.compile(r"(?m)^[ \t]*(?:\d{1,2}[.)、）]|[-*•])[ \t]*")  # the mark of an item in a list
# English words that say nothing of their own; they begin with a capital letter only where a
# sentence begins.
OPENING = frozenset(
    terms(
        "a about according actually additionally after all also although an and another answer "
        "any are as at based basically because before being both but by called can clearly "
        "compared consequently considering could currently depending despite did do does during "
        "each either eventually every few finally first following for from furthermore generally "
        "given had has have having he here his historically how however i if importantly in "
        "including initially instead interestingly into is it its just known located many more "
        "moreover most much my named no none nor not notably note now of officially on once one "
        "only or originally other others our out over overall passage passages people perhaps "
        "please question recently regarding second several she similarly since so some sorry "
        "specifically such sure that the their then there therefore these they this those though "
        "through thus to two typically ultimately under unfortunately unlike until up upon using "
        "usually various was we were what when where whether which while who whose why will with "
        "within without would yes yet you your"
    )
)
# The most frequent Han characters of plain texts. What is written with others is likely to be a
# name, or a thing that is named.
_FREQUENT = frozenset(
    "的和一是以在有可人个用中为我不能定法这们行生要或数了应时对于出会他作下当理大成分并如关上第使其性到提发来方将条地者入工过机你量动据本后学度进通经加多物子程制建自更部化现面合实务计管"
    "所业它水果解设需重同规与保体十您种小力民意常开而表问因些间最好及题得主等事文件公前国产内新任情标相确高之类供然全家例型单政二三式算员由被外么处包正变市特模决查代信具门食助品从期器年"
    "何此输结系安道位案列活明请预取创心证感组术但技区料改治选向目利油调示起疗每病接也放点资无习给语比导什持注原网做指息议容元服项备该影受户施说平准手很名回电交序长统里构词根知复院想测气"
    "告还样就色着值都五质流两收护划别参况基形权步效存口级神少集素责日天状次检展没肉四运响层求造帮许强适图字反锅置看练环审立源约认节义句蛋场验只美见像述增致让白依非照营引完社总括必论格码"
    "直训去菜精执味积传始按科未切境火至识企府维细专写记身线客共配教优医诉采函功续清带哈欢喜嗯呢厉害票久刚啊几首房边近太歌周附获唱贵便呀曲宜拍摄转较谢毕音才老象赏挺友朋片岁印奖欣乐右左演"
    "玩哦竟游鼎走又曾轻吧推荐啥考那她熟己怎观巧快谁钱荣难听真般校队借凭团漂费众编言亮叫耳捧价够夸妥止超花"
)  # fmt: skip
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_WITH_DOT = re.compile(f"(?<![{_HAN}])[{_HAN}]+(?:·[{_HAN}]+)+")  # a foreign name: 列夫·托尔斯泰
_QUOTED = re.compile(
    r"《([^《》]{1,60})》|“([^“”]{1,200})”|「([^「」]{1,200})」|\"([^\"]{1,200})\""
)
_LATIN = re.compile(rf"[^\W\d_{_HAN}](?:[^\W_{_HAN}]|[&’'.-](?=[^\W_{_HAN}]))*")


def unsupported(answer: str, sources: Sequence[str]) -> tuple[str, ...]:
    """The numbers and names of an answer that stand in none of its sources, each once. Citations
    such as [1] are no numbers.

    A number is the same in all its forms (120, 一百二十, "one hundred and twenty"), and must have
    the same unit if both have a known one. Names are words with a capital letter, quotations,
    titles in 《》, foreign names with a dot, and two or more neighbouring Han characters that are
    rare and stand nowhere in the sources. So a Chinese name of frequent characters is not noticed,
    and a rare word is taken for a name.

    >>> unsupported("The fee of 一百二十 yuan is paid to Bob [1].", ["Pay 120 yuan."])
    ('Bob',)
    """
    answer = LISTED.sub("", CITATION.sub("", _plain(answer)))
    source = _plain("\n".join(sources))
    found = [*_missing_numbers(answer, source), *_missing_names(answer, source)]
    whole = (each for each in found if not any(each in other != each for other in found))
    return tuple(dict.fromkeys(whole))


def share_said(answer: str, question: str, passages: Sequence[str]) -> float:
    """The share, from 0 to 1, of the terms of an answer that stand in the passages; terms of the
    question do not count. 0 for an answer that says nothing new, or only asks."""
    answer = LISTED.sub("", CITATION.sub("", _plain(answer)))
    said = [answer[begin:end] for begin, end in sentences(answer)]
    new = set(terms(answer)).difference(terms(question), OPENING)
    if not new or all(each.endswith("?") for each in said):
        return 0.0
    return len(new.intersection(terms("\n".join(passages)))) / len(new)


def _missing_numbers(answer: str, source: str) -> Iterator[str]:
    there = {(each.value, each.unit) for each in numbers(source)}
    values = {value for value, _ in there}
    for each in numbers(answer):
        with_unit = {(each.value, each.unit), (each.value, "")}
        if each.sure and not (with_unit & there if each.unit else each.value in values):
            yield each.text


def _missing_names(answer: str, source: str) -> Iterator[str]:
    squeezed = _squeezed(source)
    for match in _QUOTED.finditer(answer):
        if _squeezed(match[0]) not in squeezed:
            yield match[0]
    for match in _WITH_DOT.finditer(answer):
        first, *middle, last = match[0].split("·")
        first = first[-10:]
        # Other words may stand around the name: 导演是列夫·托尔斯泰吧.
        cut = ("·".join((first[at:], *middle, last[:1])) for at in range(len(first)))
        if not any(each in source for each in cut):
            yield "·".join((first[-4:], *middle, last[:6]))
    yield from _missing_words(answer, source)
    characters = _FREQUENT.union(source)
    for run in _HAN_RUN.findall(answer):
        new = "".join(each if each not in characters else " " for each in run)
        yield from (part for part in new.split() if len(part) > 1)


def _missing_words(answer: str, source: str) -> Iterator[str]:
    """The words with a capital letter that the source does not have."""
    there = set(terms(source))
    for match in _LATIN.finditer(answer):
        word = match[0]
        capitals = sum(letter.isupper() for letter in word)
        if not capitals or word in MONTHS or answer[match.end() :].startswith("$"):
            continue
        if capitals == 1 and terms(word)[0] in OPENING:
            continue
        if not all(part in there for part in terms(word) if len(part) > 1):
            yield word


def _squeezed(text: str) -> str:
    """The letters and digits of a text, in small letters."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _plain(text: str) -> str:
    """A text with one form for each letter, digit and dot between names."""
    return re.sub("[・•‧]", "·", unicodedata.normalize("NFKC", text))
