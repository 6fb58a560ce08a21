"""Finds the columns of a conversation in a file: by their usual names, and for questions and
answers also by words within their names.
"""

import re
from collections.abc import Callable, Sequence

from xinye.data.columns import FIELD_NAMES, find_column
from xinye.data.records import Row
from xinye.errors import quoted
from xinye.tasks.message_times import DAYS
from xinye.tasks.writing_records import UNNAMED, Named

LISTS = (
    "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "utterances", "log",
    "contents", "chat_messages", "transcript", "chat_transcript", "对话", "会话", "对话内容",
    "会话内容", "聊天记录", "通话内容", "通话文本", "转写文本",
)  # fmt: skip
QUESTIONS = (
    "prompt", "question", "query", "instruction", "ask", "input", "q", "问题", "提问", "指令", "问",
)  # fmt: skip
ANSWERS = (
    "response", "answer", "completion", "output", "reply", "chosen", "target", "a",
    "response_chosen", "chosen_response", "回答", "答案", "回复", "答",
)  # fmt: skip
PAIRS = (  # names that are clear only as a pair
    (QUESTIONS, ANSWERS),
    (
        ("user", "human", "customer", "用户", "客户", "顾客", "买家", "患者", "病人"),
        (
            "assistant", "bot", "gpt", "agent", "ai", "助手", "客服", "机器人", "卖家", "商家",
            "医生",
        ),
    ),
    (("source",), ("target",)),
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "系统", "系统提示")
CONTEXTS = ("context", "passage", "background", "上下文", "背景", "材料")  # what an answer uses
EARLIER = ("history", "历史")  # the turns before a question
ROLE_NAMES = (
    "role", "is_sender", "issender", "author_role", "sender_role", "sender_type", "author_type",
    "from", "speaker", "sender", "author", "角色", "说话人", "发言人", "发送者", "发送人", "发送方",
    "消息来源", "身份",
)  # fmt: skip
CONTENT_NAMES = (
    "content", "value", "text", "utterance", "message", "msg", "body", "parts", "内容", "消息",
    "消息内容", "聊天内容", "对话内容", "会话内容", "文本", "话语", "strcontent",
)  # fmt: skip
_TEXTS = (*CONTENT_NAMES, *LISTS)

IDS = (  # columns that name the conversation of a message
    "conversation_id", "conversationid", "conv_id", "convid", "conversation", "dialogue_id",
    "dialog_id", "dialogueid", "dialogid", "dialogue", "dialog", "session_id", "sessionid",
    "session", "chat_id", "chatid", "thread_id", "thread", "ticket_id", "ticket", "case_id",
    "call_id", "message_tree_id", "room_name", "strtalker", "talkerid", "会话id", "会话编号",
    "会话", "对话id", "对话编号", "对话", "工单号", "工单编号", "工单", "id", "编号",
)  # fmt: skip
_ID = re.compile(  # other names for the same
    r"\s*(?:conversation|conv|dialog(?:ue)?|session|chat|thread|ticket|case|call|contact|interaction"
    r"|room|会话|对话|通话|呼叫|来电|录音|工单|咨询|聊天|接待|服务|案件)"
    r"[ _-]?(?:id|no|number|编号|编码|序号|流水号|标识|号)\s*",
    re.IGNORECASE,
)
TIMES = (
    "time", "timestamp", "created_at", "create_time", "createtime", "sent_at", "ts", "datetime",
    "strtime", "turn", "turn_id", "turn_index", "message_index", "index", "order", "seq", "时间",
    "发送时间", "创建时间", "序号", "轮次", *DAYS,
)  # fmt: skip
PARENTS = ("parent_id", "parent_message_id", "parent")


# -- words within a name ---------------------------------------------------------------------------

_ASKED = (
    "question", "query", "prompt", "instruction", "inquiry", "enquiry", "input", "问题", "提问",
    "咨询", "询问", "疑问", "诉求", "指令", "题目", "题干",
)  # fmt: skip
_ANSWERED = (
    "answer", "response", "reply", "completion", "output", "resolution", "solution", "回答", "答案",
    "回复", "答复", "解答", "应答", "处理结果", "处理意见", "处理方案", "解决方案", "解决办法",
)  # fmt: skip
_SAID = (  # together with a word for a speaker: user_message, 客户留言
    "message", "msg", "text", "content", "utterance", "消息", "内容", "留言", "发言", "话术",
)  # fmt: skip
# Endings of column names that describe a question or an answer without holding it.
_ABOUT = (
    "id", "ids", "type", "time", "date", "count", "number", "no", "name", "status", "score", "rate",
    "rating", "category", "language", "url", "source", "by", "at", "level", "label", "tag",
)  # fmt: skip
_ENDINGS = (
    "类型", "类别", "分类", "编号", "编码", "号", "时间", "日期", "时长", "状态", "人", "员", "者",
    "姓名", "名称", "昵称", "电话", "数", "数量", "评分", "来源", "渠道", "部门", "方式", "等级",
    "级别", "标签", "率", "图片",
)  # fmt: skip
_MOST_WORDS = 4  # the most words and characters of a column's name; longer ones are texts
_LONGEST = 32
_PRECEDING = (*SYSTEMS, *CONTEXTS, *EARLIER)
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[\u4e00-\u9fff]+")
_OF_A_TEXT = re.compile("[，。？！：；、?!,;:]")
_MOST_SHOWN = 12  # columns in a message


def by_words(row: Row, named: Named = UNNAMED) -> tuple[str | None, str | None]:
    """The columns of a question and its answer, found by words within their names. A side is None
    unless exactly one column fits it.

    >>> by_words({"用户问题": "在吗", "客服回答": "在的", "回复时间": "9:00"})
    ('用户问题', '客服回答')
    """
    texts = [name for name in row if isinstance(row[name], str | None)]
    columns = [name for name in texts if name not in named.columns]
    question = named.prompt_field or _only(columns, QUESTIONS, _is_asked, _is_said_by(PAIRS[1][0]))
    answer = named.answer_field or _only(columns, ANSWERS, _is_answer, _is_said_by(PAIRS[1][1]))
    # A column with words for both, such as 客户与客服对话, is no pair.
    return (None, None) if question == answer else (question, answer)


def _only(
    columns: Sequence[str], usual: Sequence[str], *tests: Callable[[str], bool]
) -> str | None:
    """The column with a usual name, or else the only one that passes the first test that any
    passes.
    """
    found = find_column(columns, usual)
    if found:
        return found
    passing = ([name for name in columns if test(name)] for test in tests)
    some = next(filter(None, passing), [])
    return some[0] if len(some) == 1 else None


def _is_asked(name: str) -> bool:
    return _last(name, _ASKED) > _last(name, _ANSWERED)


def _is_answer(name: str) -> bool:
    return _last(name, _ANSWERED) > _last(name, _ASKED)


def _is_said_by(speakers: Sequence[str]) -> Callable[[str], bool]:
    return lambda name: _last(name, speakers) >= 0 and _last(name, _SAID) >= 0


def _last(name: str, known: Sequence[str]) -> int:
    """The index of the last known word in a name, or -1. The last word counts: 问题答案 is an
    answer. Texts and names of ids, times and the like give -1.
    """
    words = _words(name)
    if not 0 < len(words) <= _MOST_WORDS or len(name) > _LONGEST or _OF_A_TEXT.search(name):
        return -1
    if words[-1] in _ABOUT or words[-1].endswith(_ENDINGS):
        return -1
    joined = "".join(words)
    found = [joined.rfind(word) for word in known if word in words or not word.isascii()]
    return max(found, default=-1)


def _words(name: str) -> list[str]:
    """The words of a name in lower case: customerQuestion, "Customer question" and
    customer_question have two.
    """
    return [word.lower() for word in _WORD.findall(name)]


def id_column(columns: Sequence[str]) -> str | None:
    """The column that names the conversation of a message, or None."""
    return find_column(columns, IDS) or next(filter(_ID.fullmatch, columns), None)


def rivals(row: Row, pair: tuple[str, str], named: Named = UNNAMED) -> str:
    """A question to the user if a pair such as 客户 and 客服 may hold only names, because other
    columns look like messages. "" if the pair is clear.
    """
    question, answer = pair
    sure = (named.prompt_field or find_column([question], QUESTIONS)) and (
        named.answer_field or find_column([answer], ANSWERS)
    )
    if sure:
        return ""
    rest = {name: row[name] for name in row if name not in (*pair, find_column(row, _PRECEDING))}
    asked, answered = by_words(rest)
    flags = _flags(question, answer)
    if asked or answered:
        better = _flags(asked or question, answered or answer)
        return f"which columns are a question and its answer: {better}, or {flags}?"
    said = find_column((name for name in rest if isinstance(rest[name], str)), _TEXTS)
    whole = said and row[question] and str(row[question]) in rest[said]
    if said is None or whole:
        return ""
    return (
        f"{question!r} and {answer!r} may contain only names, because there is also "
        f"{said!r}. If they contain the question and its answer, name them: {flags}; if "
        f"{said!r} contains a message, add a column that says who speaks, such as 角色 or "
        "role"
    )


def _flags(question: str, answer: str) -> str:
    return f"--prompt-field {quoted(question)} --answer-field {quoted(answer)}"


def names_columns(row: Row) -> bool:
    """True if the first row of a table with two columns is its header: a cell is a usual name, or
    ends with a word for a question or an answer, such as 商家回复.
    """
    usual = (*(name for pair in PAIRS for some in pair for name in some), *LISTS, *ROLE_NAMES)
    if find_column(row, (*usual, *CONTENT_NAMES, *FIELD_NAMES, "chosen")):
        return True
    sides = [str(name).strip().lower() for name in by_words(row) if name]
    return len(sides) == 2 or any(name.endswith((*_ASKED, *_ANSWERED)) for name in sides)


def which_columns(row: Row) -> str:
    """The question to the user which columns hold the question and the answer, with the two longest
    texts as an example. "" if the row is not from a table of texts.
    """
    texts = [name for name in row if isinstance(row[name], str)]
    if len(texts) < 2 or any(isinstance(value, list | dict) for value in row.values()):
        return ""
    question, answer = by_words(row)
    rest = [name for name in texts if name not in (question, answer)]
    longest = sorted(rest, key=lambda name: len(row[name]), reverse=True)
    missing = sorted(longest[: (question is None) + (answer is None)], key=texts.index)
    question = question or missing.pop(0)
    answer = answer or missing.pop(0)
    there = ", ".join(map(str, [*row][:_MOST_SHOWN])) + " …" * (len(row) > _MOST_SHOWN)
    return (
        f"which columns hold the question and its answer? There are {there}. Name two, such as "
        f"{_flags(question, answer)}"
    )
