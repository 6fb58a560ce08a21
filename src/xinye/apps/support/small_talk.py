"""Small talk of customers and of employees, which is neither a question nor its answer: greetings,
thanks, goodbyes, and customers who ask for a person. Also the texts that answer it.
"""

import re
from collections.abc import Iterator

from xinye.data.sentences import sentences
from xinye.retrieval.terms import trimmed
from xinye.runs.words import Both

# The first of these that a message matches as a whole is its intent.
_CUSTOMER = {
    "person": (
        r"(?:我?(?:想要|需要|要|想)|请|麻烦|帮我?|给我|能不能|可以|能)*+(?:(?:转|找|换|接|叫|联系)(?:接|到|个|一下|一个|下|成)*+"
        r"(?:人工|真人|活人|客服|经理|主管|负责人)|人工|真人)(?:客服|服务|坐席)?(?:吗|吧|谢谢)?",
        r"(?:(?:i|can|could|may|please|want|need|would|like|to|let|me|get|you|d|i'd|just|now) )*"
        r"(?:speak|talk|chat|connect me|transfer me|get me|give me|put me through)?"
        r"(?: ?(?:to|with))?"
        r" ?(?:an?|the|your)? ?(?:real |live |actual )?"
        r"(?:person|human|human being|operator|representative|agent|someone|manager|supervisor)"
        r"(?: please| now)?",
    ),
    "greeting": (
        r"(?:客服(?=[您你]好)|您好|你好|在吗|在么|在不在|在的吗|有人吗|有人在吗|亲亲?|嗨|哈喽|哈啰|早上好|早|上午好|中午好|下午好|晚上好|"
        r"客服|请问|打扰(?:一下|了)?|咨询(?:一下)?|问一下|想问一下|我想问一下|请教一下)++",
        r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings|is anyone (?:there|here)"
        r"|anyone there|are you there|howdy)(?: (?:there|all|team|everyone|sir|madam))?",
    ),
    "thanks": (
        r"(?:好的?|嗯+|行|哦|那|知道了?|明白了?|了解了?|收到)*(?:太|非常|十分|多|万分)?(?:谢谢?|感谢|谢了|多谢|辛苦)(?:您|你|了|啦|哈|啊|呀|们|的|客服|老板)*"
        r"(?:你?们?的?(?:帮助|解答|回复|耐心)(?:解答|帮助)?)?(?:再见|拜拜)?",
        r"(?:ok |okay |great |perfect |awesome |got it |no )*(?:many |much )?(?:thanks?|thx|cheers)"
        r"(?: you)?(?: (?:so|very) much| a lot| again)?"
        r"(?: for (?:your|the) (?:help|time|answer|reply|patience))?(?: (?:bye|goodbye))?",
    ),
    "goodbye": (
        r"(?:好的?|那|先|就)*(?:再见|拜拜|拜|886?|回头聊|回见|下次再?聊|没有?(?:别的|其他)?(?:问题|事)了?"
        r"|没有了|没了|不用了)++(?:谢谢)?",
        r"(?:ok |okay )?(?:bye|goodbye|good bye|bye bye|see you|see ya"
        r"|have a (?:nice|good|great) day"
        r"|that's all|that is all|no that's it|nothing else)(?: (?:then|later|now|bye))?",
    ),
    "acknowledgement": (
        r"(?:[好嗯恩哦噢喔行对是不有哈呵嘿呀啊的呢了滴哒]|可以|没错|没有|知道|明白|了解|懂了?|收到|ok|原来如此|这样|原来是这样"
        r"|不客气|没关系|没事|不用谢)++",
        r"(?:ok|okay|k|yes|yeah|yep|no|nope|sure|right|alright|fine|great|good|got it|i see"
        r"|understood|done|perfect|cool|i understand|will do|you're welcome|no problem)"
        r"(?: (?:ok|okay|yes|no|great|good|then|it))*",
    ),
}
_CUSTOMER_RULES = {
    name: re.compile("|".join(f"(?:{rule})" for rule in rules), re.IGNORECASE)
    for name, rules in _CUSTOMER.items()
}

# A sentence of an employee that says nothing about what was asked.
_EMPLOYEE = re.compile(
    r"(?:您好|你好|亲|欢迎)[^？?]{0,12}(?:光临|咨询|联系|致电|来电|使用).{0,20}"
    r"|.{0,12}(?:很高兴|竭诚|乐意).{0,6}(?:为您|帮您?).{0,10}"
    r"|.{0,16}(?:客服|工号|坐席)[^？?]{0,12}(?:为您|为你)(?:服务|解答)"
    r"|(?:好的|嗯|亲|您好|那|麻烦|请)*[，, ]?(?:请|您|麻烦|烦请)*(?:您)?"
    r"(?:稍等|稍候|稍后|等一下|等一等|等等|等待)(?:一下|一会儿?|片刻|哦|哈|呢|一?下下)*"
    r"|(?:我|这边|我们)[^？?]{0,8}(?:查|看|核实|确认|问)(?:询|看)?(?:一下|下|看)?[^？?]{0,6}(?:稍等|稍候)?(?:哦|哈|呢)?"
    r"|(?:请问)?(?:还有|还需要|有)(?:什么|其他|别的|啥)[^。]{0,12}(?:帮|吗|呢|么).{0,6}"
    r"|.{0,8}(?:祝您?|祝你)[^？?]{0,16}|.{0,8}感谢[^？?]{0,20}|.{0,6}(?:不客气|不用谢|不用客气|应该的|没关系|不谢)[^？?]{0,6}"
    r"|.{0,10}(?:满意度|评价)[^？?]{0,16}|.{0,4}(?:抱歉|不好意思|对不起)[^？?]{0,8}(?:久等|等)[^？?]{0,4}"
    r"|(?:hi|hello|hey|dear|good (?:morning|afternoon|evening))\b[^?]{0,40}"
    r"|thank(?:s| you)[^?]{0,80}|(?:you're|you are) welcome[^?]{0,40}|my pleasure[^?]{0,20}"
    r"|(?:please |just )?(?:hold on|wait|one moment|a moment|bear with me|give me)[^?]{0,25}"
    r"|(?:let me|i(?:'ll| will)) (?:just )?(?:check|look|see|find out|have a look)[^?]{0,60}"
    r"|(?:how (?:can|may) i (?:help|assist)|is there anything else|anything else"
    r"|what can i do)[^?]{0,60}"
    r"|have a (?:nice|good|great|lovely|wonderful)[^?]{0,30}"
    r"|(?:sorry|apologies)[^?]{0,30}(?:wait|delay)[^?]{0,20}"
    r"|this is [^?]{1,30}|welcome to [^?]{1,40}|i(?:'m| am) (?:happy|glad) to help[^?]{0,20}",
    re.IGNORECASE,
)
LONGEST = 90  # characters; small talk is short
_COMMA = re.compile(r"[，,、\s]+(?![A-Za-z])")
_BETWEEN = re.compile(r"[\s,，.。!！~～…、;；?？:：]+")
# What stands before a question and is not a part of it.
_OPENING = re.compile(
    r"(?:(?:客服(?=[，, ]?[您你]好)|您好|你好|在吗|在么|有人吗|亲|嗨|哈喽|早上好|上午好|下午好"
    r"|晚上好|请问(?:一下|下)?|打扰(?:一下|了)|咨询一下|问一下|想问一下|我想问一下"
    r"|请教一下|麻烦问一下|hi there|hello there|hi|hello|hey"
    r"|good (?:morning|afternoon|evening))(?![a-z])[\s,，.。!！~～…、;；:：?？]*)+",
    re.IGNORECASE,
)

# What stands before it if a customer wants no person.
_NOT = re.compile(r"(?:[不别没]|\bnot|n't|\bnever)[^，。！？；,.!?;]{0,16}$", re.IGNORECASE)
# A part of a message that asks for a person, such as the end of "This does not help, 转人工".
_ASKS_PERSON = re.compile(
    r"(?:转|找|换|接|叫|联系)(?:接|到|个|一下|一个|下|成|你们?的?)*+(?:人工|真人|活人)"
    r"|\b(?:speak|talk|connect me|transfer me|put me through)\b(?: (?:to|with))?"
    r" (?:an?|the|your|some)? ?(?:real |live |actual )?"
    r"(?:person|human|operator|representative|agent|one|someone)\b",
    re.IGNORECASE,
)

TEMPLATES = {  # what the bot says, by intent
    "greeting": Both("Hello! How can I help you?", "您好！请问有什么可以帮您？"),
    "thanks": Both("You are welcome.", "不客气。"),
    "goodbye": Both("Goodbye! Write to us again at any time.", "再见！有问题随时联系我们。"),
    "acknowledgement": Both(
        "Good. Is there anything else I can do for you?", "好的，请问还有什么可以帮您？"
    ),
    "person": Both(
        "I am handing you over to a colleague. Please wait a moment.",
        "正在为您转接人工客服，请稍候。",
    ),
    "case": Both(
        "I cannot see your case from here, so I am asking a colleague. Please wait a moment.",
        "这要看您的具体情况，我请同事来查，请稍候。",
    ),
    "unsure": Both(
        "I am not sure what you mean. Could you say it in other words?",
        "抱歉，我没有完全明白您的意思。能换个说法吗？",
    ),
    "offer": Both(
        "I am not sure what you mean. Is it one of these? Send its number, or say it in other "
        "words:",
        "抱歉，我没有完全明白您的意思。您问的是下面哪一个？请回复序号，或者换个说法：",
    ),
}


def asks_for_person(text: str) -> bool:
    """True if a customer asks for a person.

    >>> asks_for_person("没用，帮我转人工！"), asks_for_person("人工客服几点上班？")
    (True, False)
    """
    asked = (text[: each.start()] for each in _ASKS_PERSON.finditer(text))
    return small_talk(text) == "person" or any(not _NOT.search(before) for before in asked)


def small_talk(text: str) -> str:
    """What a customer's message is if it asks nothing: "person", "greeting", "thanks", "goodbye" or
    "acknowledgement"; "" for any other message.

    >>> small_talk("你好，在吗？"), small_talk("Thanks a lot!"), small_talk("怎么退货？")
    ('greeting', 'thanks', '')
    """
    spoken = trimmed(text[: LONGEST + 1]).casefold()
    if len(text) > LONGEST:
        return ""
    for joined in (_BETWEEN.sub(" ", spoken), _BETWEEN.sub("", spoken)):
        for name, rule in _CUSTOMER_RULES.items():
            if rule.fullmatch(joined):
                return name
    return ""


def without_opening(question: str) -> str:
    """A question without the greeting before it, unless there is nothing else.

    >>> without_opening("您好，请问怎么开发票？")
    '怎么开发票？'
    """
    rest = question[found.end() :] if (found := _OPENING.match(question)) else question
    return rest.strip() if re.search(r"\w", rest) else question.strip()


def said_sentences(text: str) -> Iterator[str]:
    """The sentences of a text."""
    return (text[begin:end] for begin, end in sentences(text))


def is_phrase(sentence: str) -> bool:
    """True for a sentence of an employee that answers nothing: a greeting, thanks, or a request to
    wait."""
    spoken = trimmed(sentence)
    if len(spoken) > LONGEST:
        return False
    parts = (part for part in _COMMA.split(spoken) if part)
    return _says_nothing(spoken) or all(_says_nothing(part) for part in parts)


def _says_nothing(spoken: str) -> bool:
    return bool(_EMPLOYEE.fullmatch(spoken) or small_talk(spoken))
