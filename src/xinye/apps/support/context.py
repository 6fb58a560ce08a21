"""Questions that are not learned, as nobody knows what they are about: "And its price?\""""

import re

from xinye.data.scripts import HAN
from xinye.retrieval.follow_up import follows, thing

_BEGINS = re.compile(r"^(?:这|该|此|其|另外那|哪一?家|so\b)", re.IGNORECASE)
_REFERS = re.compile(
    r"[他她这那][家里]|刚才|上面说|前面说|\b(?:it|this|one)\b",
    re.IGNORECASE,
)
_PARTICLE = re.compile(r"呢(?=\W*$)")  # "怎么退货呢" needs no other question
# What is asked of a thing, and the words around it; a question of such words alone names no thing.
_ASKED_ZH = (
    r"联系电话|电话号码|联系方式|电话|号码|地址|位置|评分|分数|价格|价钱|单价|票价|门票|人均消费|人均|消费|费用|房价"
    r"|营业时间|开放时间|开门|关门|营业|时间|时长|多长|多久|多远|多大|多重|多少钱|多少|多钱|几点|几个|几天|几层|几星"
    r"|周边|附近|旁边|怎么走|怎么去|怎么样|咋样|怎么办|如何|什么时候|时候|什么|哪些|哪里|哪儿|哪个|哪|谁|为什么|为啥|啥"
    r"|导演|主演|演员|作者|歌手|上映|颜色|尺寸|尺码|重量|材质|类型|特点|特色|推荐菜|菜|游玩|贵|便宜|高不高|高|车型|车牌"
    r"|酒店|餐馆|餐厅|饭店|景点|地铁站|地铁|店|到达|到|去|走|玩|住|吃"
)
_AROUND_ZH = (
    r"你知道|您知道|知道|告诉|麻烦|告我|请问|请|谢谢|能不能|可不可以|可以|能否|是不是|有没有|给我|帮我|帮忙|查|看|发|说|问"
    r"|一下|下|我们|我|[你您](?!们|家)|它|在|是|有|要|的|得|了|吗|呢|么|吧|啊|呀|呗|嘛|哦|哈|和|与|跟|还|也|都|再|又|就|会|能"
    r"|想|给|把|大概|具体|详细|一共|分别|那|从|最|几|第|个|家|间|条|部|首|钱|拍|演|唱|写|到|好|行|没|不|别的|其他|其它|不错|好吃|好玩|好"
)
_ASKED_EN = (
    r"address|phone|telephone|number|price|cost|costs|fee|rating|score|opening|hours|open|close|time"
    r"|times|duration|long|far|near|nearby|much|many|when|where|who|whose|why|which|what|how|colou?r"
    r"|size|weight|director|directed|actors?|star(?:red|ring|s)?|author|wrote|released?|entrance"
)
_ASKED_OR_AROUND_EN = re.compile(
    rf"\b(?:{_ASKED_EN}|can you|could you|would you|will you|do you know|do you have|please|tell"
    r"|give|send|let|know|me|i|the|a|an|is|are|was|were|does|did|do|be|of|for|to|at|from|and|or|also|there|in|on|s"
    r"|by|have|has|got|get|need|want|its|their|his|her|he|she|about|then|so|any|some|else"
    r"|ok|thanks)\b",
    re.IGNORECASE,
)
_ASKED_OR_AROUND_ZH = re.compile(f"{_ASKED_ZH}|{_AROUND_ZH}")
_ASKED = re.compile(rf"{_ASKED_ZH}|\b(?:{_ASKED_EN})\b", re.IGNORECASE)
# "Very good," before a question says nothing of what is asked.
_AGREES = re.compile(
    r"^(?:[嗯恩哦噢喔]|[好行](?!久|多|几|用)|可以|收到|谢谢|多谢|太[好棒]|[挺真很]|不错|明白|知道"
    r"|没问题|没关系|是[吗的啊]|原来|还[挺不凑])"
    r"|^(?:ok(?:ay)?|great|good|fine|nice|perfect|thanks|thank you|i see|got it|all right)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[^，,。；;！!？?\n~～.]+")
LONGEST_AGREEING = 40  # characters of a clause before a question that only agrees


def unclear_alone(question: str) -> bool:
    """True if a later question of a conversation may not be clear without it: it refers to what was
    said before, or names nothing that it asks about. Its answer is not learned then, since it may
    be about one thing of many. So is one that `follows` (retrieval/follow_up.py), by which a
    customer's question is understood; that rule leaves out more, as there it costs more to add what
    is not needed.

    >>> unclear_alone("好的，地址在哪里呢？"), unclear_alone("龙井的产地在哪里？")
    (True, False)
    """
    clauses = [each.strip() for each in _CLAUSE.findall(question) if each.strip()]
    asking = [each for each in clauses if not _agrees(each)] or clauses[-1:]
    only_names = thing(question) and "的" not in thing(question)
    refers = any(map(_refers, (question, *asking[:1])))
    return bool(only_names) or refers or all(map(_names_nothing, asking))


def _refers(text: str) -> bool:
    """True if a text refers to what was said before. A 呢 at its end alone does not."""
    needs = follows(_PARTICLE.sub("", text))
    return needs or bool(_BEGINS.search(text) or _REFERS.search(text))


def _agrees(clause: str) -> bool:
    return bool(_AGREES.search(clause[:LONGEST_AGREEING])) and not _ASKED.search(clause)


def _names_nothing(clause: str) -> bool:
    """True for a clause such as "where is the address"."""
    rest = _ASKED_OR_AROUND_EN.sub(" ", _ASKED_OR_AROUND_ZH.sub(" ", clause))
    return bool(_ASKED.search(clause)) and not re.search(rf"[{HAN}\w]", rest)
