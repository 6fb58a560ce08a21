"""The name in a question of something that a graph does not know: of the canteen in "What is the
address of the canteen?".

A name stands directly before 的 or words that ask, such as 在哪; in English before "'s" or behind
"of" or "is". It is what is left there without words that name nothing. There is none if a word
such as 这家 or "its" says that something is meant that was named before.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile

from xinye.retrieval.entities import folded
from xinye.retrieval.graph import Graph

# 那家 and 那里 mean what was named before; 那 alone means "then".
_THIS = re.compile(
    "[它他她牠这這此该該本]|那[家个個座里裡儿兒边邊些所间間处處款种種部件位條条台道站点點]|前者|后者|"
    "自己|刚才|刚刚|上面|上述|以上|前面|对方|同一|第[一二三四五六七八九十0-9]|"
    r"\b(it|its|this|that|these|those|there|their|they|them|he|him|his|she|her|here|one)\b"
)
_FUNCTION = re.compile(
    "谁是|周末|平时|节假日|(周|星期)[一二三四五六日天]|早上|上午|中午|下午|晚上|完整|开车|坐车|"
    "(坐|乘)?(地铁|公交车?|出租车)|打车|步行|走路|那边|别的|其他|其它|另外|"
    "应该|一下|一个|一家|一些|一眼|一点|请问|您|你们|你|我们|我|咱们|咱|大家|请|帮忙|帮|麻烦|告诉|"
    "知道|了解|查询|查查|查看|查|看看|看|问问|问|说说|说|讲讲|介绍|推荐|找|想要|想|要|需要|能不能|"
    "能否|能|可以|可|是不是|是否|会|不|好|行|嗯|哦|啊|呢|吧|吗|呀|那么|那|就|也|还有|还|又|再|都|和|跟|"
    "与|或|以及|及|对了|对|另外|然后|顺便|最后|谢谢|多谢|具体|详细|准确|大概|大约|一共|现在|今天|明天|"
    "这样|关于|至于|给|到底|究竟|到|去|从|在|把|没|是|了|的|得|附近|周边|周围|旁边|边上|地址|地点|"
    "地方|位置|联系|电话|号码|时间|价格|如果|万一|似乎|包含"
)
_ASKS = "多少|几|谁|什么|哪|怎|啥"
_OWNED = ("地址", "地点", "位置", "在哪", "电话", "号码")
_OWNER = f"在哪|在什么|位于|怎么|几点|多少|是什么|是谁|有(?=.*({_ASKS}|吗|没))"
_CLAUSE = re.compile(r"[^，。？！；：、,?!;:\s]+")

_ENGLISH = re.compile(
    r"(?P<before>[^,.?!;:]+?)['’]s?(?![^\W_])|"
    r"\b(of|about|(for|at)(?= the\b)|where (is|are|was)|where['’]s|does|do|did)"
    r"(?=\s+(?P<behind>[^,.?!;:]+))"
)
_WORDS = re.findall(
    r"\w+",
    """
    a about also an and any are at be been by can could cost did do does far for from full get
    give had has have hello hi how i in is know like long many may me much my name need no not
    now number of ok okay on open or our please s say show so some tell thank thanks the then to
    today tomorrow want was we were what when where which who whom whose why will with would yes
    you your
    """,
)


def unknown_name(question: str, graph: Graph, before: Collection[str]) -> str:
    """The unknown name in a question that names no entity of the graph; "" if there is none. A part
    of the names in `before`, those of the conversation, may stand for the whole name."""
    text = folded(question)
    if _THIS.search(text):
        return ""
    find = _in_chinese if re.search("[\u4e00-\u9fff]", text) else _in_english
    for begin, end, words in find(text, graph):
        if not all(_is_known(word, graph, before) for word in words):
            return question[begin:end]
    return ""


# Where a name may stand in the question, and the words of it that tell whether it is one.
Candidates = Iterator[tuple[int, int, list[str]]]


def _in_chinese(question: str, graph: Graph) -> Candidates:
    relations, kinds = _folded(graph.relations), _folded(graph.all_kinds)
    owned = "|".join(map(re.escape, [*_OWNED, *relations]))
    owner = re.compile(f"的(?=.{{0,2}}({owned})|[^的]{{1,6}}(是|在|有)?({_ASKS}))|{_OWNER}")
    for clause in _CLAUSE.finditer(question):
        for found in owner.finditer(clause[0]):
            before = clause[0][: found.start()]
            for word in sorted({*relations, *kinds}, key=len, reverse=True):
                before = before.replace(word, ("\0" if word in kinds else "\1") * len(word))
            before = _FUNCTION.sub(lambda match: " " * len(match[0]), before)
            # A kind may end a name, as that of an unknown hotel; a relation may follow it.
            run = re.search("([^\\W_]{2,})\0*(?=\1*$)", before)
            if run and not re.search(f"有|{_ASKS}", before):
                yield clause.start() + run.start(), clause.start() + run.end(), [run[1]]


def _in_english(question: str, graph: Graph) -> Candidates:
    nothing = {*_WORDS, *re.findall(r"\w+", folded(" ".join(graph.relations)))}
    for found in _ENGLISH.finditer(question):
        group = "before" if found["before"] else "behind"
        words = [*re.finditer(r"[\w&-]+", found[group])]
        if group == "before":
            words.reverse()
        elif words and words[0][0] in ("the", "a", "an"):
            words.pop(0)
        name = [*takewhile(lambda word: word[0] not in nothing, words)]
        if name:
            begin, end = min(each.start() for each in name), max(each.end() for each in name)
            start = found.start(group)
            yield start + begin, start + end, [each[0] for each in name]


def _is_known(word: str, graph: Graph, before: Collection[str]) -> bool:
    """True for a kind, a value, a part of a name that was named before, and of several names of the
    graph, as "Inn" is."""
    if any(word in name for name in _folded(before)) or word in _folded(graph.all_kinds):
        return True
    if sum(word in name.casefold() for name in graph.entities) > 1:
        return True
    return any(word == value.casefold() for value in graph.values)


def _folded(words: Iterable[str]) -> list[str]:
    return [folded(word) for word in words]
