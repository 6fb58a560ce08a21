"""Small talk of customers and of employees, which is neither a question nor its answer: greetings,
thanks, goodbyes, and customers who ask for a person, complain or scold the bot. Also the texts that
answer it.
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
        r"(?:人工|真人|活人|客服|经理|主管|负责人)|人工|真人)(?:客服|服务|坐席)?来?(?:吗|吧|谢谢)?"
        r"|(?:有没有|有)(?:真人|活人|人工)(?:客服)?(?:在|啊|呀|吗|吧)*+",
        r"(?:(?:i|can|could|may|please|want|need|would|like|to|let|me|get|you|d|i'd|just|now) )*"
        r"(?:speak|talk|chat|connect me|transfer me|get me|give me|put me through)?"
        r"(?: ?(?:to|with))?"
        r" ?(?:an?|the|your)? ?(?:real |live |actual )?"
        r"(?:person|human|human being|operator|representative|agent|someone|manager|supervisor)"
        r"(?: please| now)?",
    ),
    "greeting": (
        r"(?:客服(?=[您你]好)|您好|你好|(?:你们?|您)?还?在(?:不在|的吗|吗|么)|有人吗|有人在吗|亲亲?|嗨|哈喽|哈啰|早上好|早|上午好|中午好|下午好|晚上好|"
        r"客服|请问|打扰(?:一下|了)?|咨询(?:一下)?|问一下|想问一下|我想问一下|请教一下)++",
        r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings"
        r"|(?:is )?any(?:one|body) (?:there|here)|(?:are )?you (?:still )?there|howdy)"
        r"(?: (?:there|all|team|everyone|sir|madam))?",
    ),
    "thanks": (
        r"(?:好的?|嗯|行|哦|那|知道了?|明白了?|了解了?|收到)*+(?:太|非常|十分|多|万分)?(?:谢谢?|感谢|谢了|多谢|辛苦)(?:您|你|了|啦|哈|啊|呀|们|的|客服|老板)*"
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

# What customers say of the desk itself. Employees' words such as "没用" may be an answer.
_BOT = re.compile(
    r"(?:请问|那)?(?:你们?|您|这|这里|对面|客服|现在)*+(?:到底|究竟)?(?:是不是|不是|是)(?:一个|个)?"
    r"(?:真的)?(?:机器人?|智能客服|自动回复|ai|真人|活人|人工|人)(?:客服)?(?:在?回复)?"
    r"(?:还是(?:一个|个)?(?:机器人?|ai|真人|活人|人工|人)(?:客服)?)?[吗吧么嘛呢啊呀的]*+"
    r"|(?:智能)?机器人[吗吧么啊呀]*+"
    r"|(?:are you|is this|am i (?:talking|speaking|chatting|writing) (?:to|with))"
    r"(?: (?:an?|the|some|real|live|actual|human|chat|just|bot|chatbot|robot|machine|computer|ai"
    r"|being|person|someone|or))+(?: here)?",
    re.IGNORECASE,
)
# What a customer says to a reply that is not about the question.
_THIS_ZH = r"(?:[这那](?:个|些|样)?的?(?:问题|意思|答案)?)"
_WANTED_ZH = r"我(?:的(?:意思|问题)|[想要]{1,2}[问说找]?的|[问说找]的)(?:问题|意思|这个)?"
_WANTED_EN = (
    r"(?:what i(?:'m| am| was)? ?(?:asked|asking|mean|meant|want|wanted|need|needed|said)"
    r"(?: about| for| to (?:know|ask))?|(?:an answer to )?my question"
    r"|the (?:right )?(?:one|question|answer)|it|right|correct|that(?: one)?|this(?: one)?)"
)
_DENIES_ZH = (
    rf"(?:不 ?)*{_THIS_ZH}?(?:[都也并]|好像|应该|根本)*(?:不是|不对|错了){{1,3}}"
    rf"(?:{_THIS_ZH}|{_WANTED_ZH})?[的啊呀吧了哦呢]*"
    rf"|(?:都|这里面)?没有(?:{_WANTED_ZH}|一个是)[的啊呀吧了哦呢]*"
    r"|(?:你们?|您|这|那)?(?:[都也并]|好像|还是|根本)*没有?(?:回答|答|说)[到上]?"
    rf"(?:我|我的?问题|{_WANTED_ZH})[啊呀吧了]*"
    r"|(?:你们?|您)(?:[都也并]|好像|还是|根本)*(?:没有?|不)(?:理解|明白|[看听搞]?懂)我?"
    rf"(?:的?(?:问题|意思|话)|{_WANTED_ZH})?[啊呀吧了]*"
    r"|(?:你们?|您)(?:好像|可能|是不是)?(?:(?:理解|[搞弄看听答会])错|误会)了?(?:我的?)?"
    r"(?:问题|意思)?[啊呀吧了]*"
    rf"|我(?:[想要]?[问说]的|的意思)不是{_THIS_ZH}[啊呀吧了]*|答非所问"
    rf"|我(?:不是(?:[想要]?[问说找])?|没有?[想要]?[问说找]){_THIS_ZH}[啊呀吧了]*"
)
_DENIES_EN = (
    r"(?:(?:that|this|it)(?:'?s| is| was)|(?:these|those|they)(?:'?re| are))"
    rf"(?: (?:really|at all|just))? not {_WANTED_EN}"
    rf"|(?:that|this|it|these|those|they) (?:is|was|are)n'?t (?:really )?{_WANTED_EN}"
    rf"|(?:that|this|it)(?:'?s| is) (?:all )?wrong|not {_WANTED_EN}"
    r"|(?:you|that|this|it) (?:(?:did|does|do|have)(?: not|n'?t)) (?:really )?"
    rf"(?:answer(?:ed)?|understand|understood|get)(?: (?:me|{_WANTED_EN}))?"
    r"|you misunderst(?:oo|an)d(?: me)?|i (?:asked|meant) something else"
    r"|i (?:did|do)(?: not|n'?t) (?:ask|mean)(?: about| for)? (?:that|this|it)"
    r"|(?:none|neither)(?: of (?:them|these|those))?|no|nope|wrong(?: answer| question)?"
)
_DENIES = re.compile(rf"{_DENIES_ZH}|(?:(?:no|nope|sorry) )*(?:{_DENIES_EN})", re.IGNORECASE)
_WISHES_TO_COMPLAIN = re.compile(
    r"(?:我|咱)们?(?:现在|今天|马上)?(?:就|必须|一定)?(?:想?要|想|准备|打算|决定|得)"
    r"(?:去|向\w{1,8})?(?:投诉|举报)"
    r"|^(?:要|想)?(?:投诉|举报)(?:你们?|您|商家|店家|卖家|客服|快递员?)?$|(?:打|拨打?)12315"
    r"|^我?(?:就|一定)?(?:要|想|会|准备)?(?:给|打)?(?:你们?|个)?差评$"
    r"|\bi(?:'d| would|'ll| will|'m| am)? ?(?:like|want|need|wish|going|have)? to"
    r" (?:complain\b|(?:make|file|lodge|raise|submit) an? (?:formal |official )?complaint)"
    r"|^(?:complaint|(?:formal|official|make a|file a) complaint)$",
    re.IGNORECASE,
)
_ASKS_HOW = re.compile(r"[吗?？]|怎|如何|哪|什么|\b(?:how|where|who|what|which|when)\b", re.I)
_CLAUSES = re.compile(r"[^，。！；？,.!;?\n]+[？?]?")
_FIRST_CLAUSE = re.compile(r"([^，。！；？,.!;?\n]+)[，。！；,.!;\n]\s*")
# Words of anger, and what may stand beside them in a message that says nothing else.
_ANGRY = re.compile(
    "垃圾|骗子|骗人|骗钱|坑人|坑爹|黑店|傻[逼比瓜子]|智障|脑残|白痴|废物|滚蛋?|混蛋|王八蛋|无语|离谱|没什么用|没用"
    "|差劲|太差|很差|真差|太烂|真烂|差评|敷衍|答非所问|听不懂人话|什么玩意儿?|气死我?|[他你]?妈的|去死|破(?:店|公司|平台|客服)"
    r"|\b(?:useless|stupid|idiots?|rubbish|garbage|trash|crap|bullshit|shit|terrible|awful|horrible"
    "|dumb|ridiculous|pathetic|hopeless|scam(?:mers?)?|liars?|fraud|thieves|sucks?|disgusting|fuck"
    "|waste of time|(?:not|isn't) help(?:ful|ing)|no help|worst|unhelpful|what a joke"
    r"|(?:doesn't|didn't|does not|did not) help)\b",
    re.IGNORECASE,
)
_UPSET = re.compile(
    rf"(?:{_ANGRY.pattern}|[你您们这那个一群帮都就真是太啥好全点也了的吧吗啊呀死透极家破店人]|什么|简直|根本|完全|客服|机器人|公司"
    r"|平台|服务|态度|回答|东西|\b(?:you're|your?|this|that|it's|it|what a|is|are|was|so|such|just"
    r"|really|completely|totally|all|an?|the|of|bot|service|company|shop|chat|guys|people|fucking|bloody"
    r"|damn|very|ever|piece|do|answer|at|off|me|us)\b|\s)++",
    re.IGNORECASE,
)

# What a customer says who waits for an answer.
_IMPATIENT = re.compile(
    r"(?:人|客服|人工)(?:呢|在哪里?)|(?:怎么|咋)?(?:还|都|一直)?没有?人(?:回复?|理我?|接)?(?:了|啊|呢|吗)*"
    r"|(?:怎么|咋|为什么)(?:还)?(?:没|不)有?(?:人)?(?:回复?|理我|说话)(?:我|了|啊|呢)*"
    r"|(?:麻烦|请|能不能)?(?:快|快点|快一?点儿?|尽快)(?:回复?)?(?:一下)?(?:吗|啊|吧|呀)*"
    r"|算了吧?"
    r"|(?:hello |hi )?(?:still (?:there|waiting)|i(?:'m| am) (?:still )?waiting|hurry up"
    r"|how long (?:do i have to|must i|will i) wait|never mind)",
    re.IGNORECASE,
)
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
_NOT = re.compile(
    r"(?:不[要用想必是]|不需要|无[需须]|别|没[说想要让])(?:再|你|给我|帮我|把我|让我|我)*$"
    r"|(?:\bnot|n't|\bnever)(?: (?:want|need|wish|like|have|say|that|me|i|to|please))* ?$",
    re.IGNORECASE,
)
# A part of a message that asks for a person, such as the end of "This does not help, 转人工".
_ASKS_PERSON = re.compile(
    r"(?:转|找|换|接|叫|联系)(?:接|到|个|一下|一个|下|成|你们?的?)*+(?:人工|真人|活人)"
    r"|(?:找|叫)(?:一下)?你们?的?(?:老板|经理|领导|主管|负责人)"
    r"|^(?:人呢|(?:怎么|为什么|咋)(?:还)?(?:没人|不说话|不理人?我?|不回(?:复|话|我)?)了?)"
    r"|不(?:想|要|愿意?)(?:再)?(?:跟|和|与)(?:你|机器人?|ai)(?:说|聊|讲|谈)"
    r"|\b(?:speak|talk|connect me|transfer me|put me through)\b(?: (?:to|with))?"
    r" (?:an?|the|your|some)? ?(?:real |live |actual )?"
    r"(?:person|human|operator|representative|agent|one|someone)\b",
    re.IGNORECASE,
)

BOT = "{bot}"  # who the bot is: its name and the company's
TEMPLATES = {  # what the bot says, by intent, or by why it has no answer
    "greeting": Both(
        f"Hello! I am {BOT}. How can I help you?", f"您好！我是{BOT}，请问有什么可以帮您？"
    ),
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
    "complaint": Both(
        "I am sorry about that. I am handing you over to a colleague who takes your complaint. "
        "Please wait a moment.",
        "非常抱歉给您带来不便。正在为您转接人工客服处理，请稍候。",
    ),
    "bot": Both(
        f"I am {BOT}, not a person, and answer common questions. To reach a person, write “a "
        "person please”.",
        f"我是{BOT}，不是真人，负责回答常见问题。需要人工客服，请回复“转人工”。",
    ),
    "upset": Both(
        "I am sorry that I could not help. Please say once more what you need, or write “a person "
        "please”, and a colleague will take over.",
        "很抱歉没能帮到您。请再说一下您遇到的问题；也可以回复“转人工”，由人工客服为您处理。",
    ),
    "language": Both(
        "I can only answer in Chinese. Please write in Chinese, or write “a person please” to "
        "reach a colleague.",
        "抱歉，我只能用英文回答。请用英文提问；也可以回复“转人工”，由人工客服为您处理。",
    ),
    "quote": Both("I found this in our documents:", "在我们的资料里找到这一段："),
    "denied": Both(
        "Sorry, then I did not understand you. Please say it in other words, or write “a person "
        "please” to reach a colleague.",
        "抱歉，刚才没有回答您的问题。请换个说法再问一次，也可以回复“转人工”。",
    ),
    "rest": Both(
        "I am not sure about this; please ask it again by itself: ",
        "这个问题我没有把握，请单独再问一次：",
    ),
    "restate": Both("If you are asking this: ", "如果您问的是："),
    "unsure": Both(
        "I am not sure what you mean. Could you say it in other words?",
        "抱歉，我没有完全明白您的意思。能换个说法吗？",
    ),
    "offer_one": Both(
        "I am not sure what you mean. Is it this? Answer “yes”, or say it in other words:",
        "抱歉，我没有完全明白您的意思。您是不是想问这个？是的话请回复“是”，不是请换个说法：",
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


def complains(text: str) -> bool:
    """True if a customer wishes to complain, and does not only ask how.

    >>> complains("太慢了，我要投诉你们！"), complains("怎么投诉快递？")
    (True, False)
    """
    return any(
        (found := _WISHES_TO_COMPLAIN.search(clause.strip()))
        and not _ASKS_HOW.search(clause)
        and not _NOT.search(clause.strip()[: found.start()])
        for clause in _CLAUSES.findall(text)
    )


def about_the_bot(text: str) -> str:
    """What a customer's message is if it only speaks of whom it is talking to: "bot" asks whether
    that is one, "upset" is an insult; "" for any other message.

    >>> about_the_bot("你是机器人吗？"), about_the_bot("This is useless!")
    ('bot', 'upset')
    """
    for joined in _spoken(text):
        if _BOT.fullmatch(joined):
            return "bot"
        if _UPSET.fullmatch(joined) and _ANGRY.search(joined):
            return "upset"
    return ""


def denies(text: str) -> bool:
    """True if a customer says that a reply is not what was asked.

    >>> denies("不是这个意思"), denies("No, that's not what I asked."), denies("不是本人可以吗")
    (True, True, False)
    """
    return any(_DENIES.fullmatch(joined) for joined in _spoken(text))


def without_denial(text: str) -> str:
    """A message without a clause before it that only says that a reply was not what was asked.

    >>> without_denial("不是，我要专票"), without_denial("不是本人可以吗")
    ('我要专票', '不是本人可以吗')
    """
    found = _FIRST_CLAUSE.match(text)
    if not found or not denies(found[1]) or not re.search(r"\w", text[found.end() :]):
        return text
    return text[found.end() :]


def asks_nothing(text: str) -> bool:
    """True for a customer's message without a question: small talk, or words about the desk.

    >>> asks_nothing("没用，帮我转人工！"), asks_nothing("我要退货，转人工")
    (True, False)
    """
    clauses = _CLAUSES.findall(text)
    if len(clauses) > 1 and (small_talk(text) or about_the_bot(text) or denies(text)):
        return True
    return len(text) <= LONGEST and all(map(_clause_asks_nothing, clauses))


def _clause_asks_nothing(clause: str) -> bool:
    if small_talk(clause) or about_the_bot(clause) or denies(clause) or complains(clause):
        return True
    return any(_IMPATIENT.fullmatch(spoken) for spoken in _spoken(clause))


def small_talk(text: str) -> str:
    """What a customer's message is if it asks nothing: "person", "greeting", "thanks", "goodbye" or
    "acknowledgement"; "" for any other message.

    >>> small_talk("你好，在吗？"), small_talk("Thanks a lot!"), small_talk("怎么退货？")
    ('greeting', 'thanks', '')
    """
    for joined in _spoken(text):
        for name, rule in _CUSTOMER_RULES.items():
            if rule.fullmatch(joined):
                return name
    return ""


def _spoken(text: str) -> tuple[str, ...]:
    """A short message with spaces in place of punctuation, and without; nothing for a long one."""
    if len(text) > LONGEST:
        return ()
    spoken = trimmed(text).casefold().replace("’", "'")
    return _BETWEEN.sub(" ", spoken), _BETWEEN.sub("", spoken)


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
