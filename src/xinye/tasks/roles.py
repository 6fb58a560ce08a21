"""Recognises who speaks in a conversation: words for roles, and texts whose lines begin with a
speaker.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.tokenizer import ROLES
from xinye.errors import XinyeError
from xinye.tasks.message_times import HALVES
from xinye.tasks.records import check_name
from xinye.tasks.unsaid import NOTICES_LEFT_OUT, is_notice

WORDS = {  # words for each role, in lower case
    "user": "user|human|usr|customer|client|visitor|prompter|patient|end_user|requester|guest|"
    "用户|客户|顾客|买家|患者|病人|访客",
    "assistant": "assistant|gpt|chatgpt|bot|chatbot|model|ai|agent|operator|support|doctor|"
    "function_call|tool_call|tool_calls|助手|助理|客服|坐席|顾问|卖家|商家|店家|医生|机器人|"
    "customer_service|customer_support|customer_care|客户经理|客户服务|客户代表",
    "system": "system|sys|developer|系统",
    "tool": "tool|function|observation|function_response|tool_response|ipython|工具",
}
LETTERS = {  # words that begin lines of a text but are not roles of messages
    "user": "q|question|问|问题|提问",
    "assistant": "a|answer|答|答案|回答",
}
# A time before a speaker, also in WhatsApp's form.
_TIME = (
    rf"(?P<time>[\[(（]?\d(?:[\d:./,年月日T\u202f -]|{HALVES}){{3,22}}"
    r"(?:[AaPp]\.?[Mm]\.?)?[\])）]?(?: *- )? *)"
)
# roles of messages in which the assistant calls a tool
CALLS = ("function_call", "tool_call", "tool_calls")
# Words that also begin lines within a message: "Model: X100".
NO_SPEAKERS = (*CALLS, "model", "support", *WORDS["tool"].split("|"))


def _roles(words: dict[str, str]) -> dict[str, str]:
    return {word: role for role, some in words.items() for word in some.split("|")}


ROLE_OF = _roles(WORDS)
_OF_LETTERS = _roles(LETTERS)
_PREFERENCE = re.compile(r"\n\n(Human|Assistant):(?: |\n|$)")  # as in HH-RLHF
_PERHAPS = re.compile(r"\s*\w{1,12} ?[:：](?!//)")  # perhaps an unknown speaker
_SAID_BY = re.compile(  # a name at the beginning of a line that is not indented
    rf"{_TIME}?(?P<word>[^\W\d][\w.#()（）-]{{0,11}}(?: [A-Z\d]\w{{0,11}}){{0,3}}) ?[:：](?!//) ?"
    r"(?P<text>.*)",
    re.DOTALL,
)
# Words that show that a line is not a speaker, as in "客服电话: …".
_NO_NAME = re.compile(
    "电话|热线|邮箱|地址|微信|姓名|名$|编号|号码|账号|时间|评价|反馈|需求|协议|手册|您好|你好|联系|需要|"
    "注意|备注|提示|型号|价格|金额|步骤|方法|原因|note|tip|warning|example|step|manual|hours|phone|email"
)
_BETWEEN = re.compile(r"\s*|\s*[-=*_]{3,}\s*")  # a line between two conversations


def _line_of(words: Iterable[str]) -> re.Pattern[str]:
    """The pattern of a line that begins with one of these words and a colon. A time may come before
    the word, a number after it, and Markdown around it.
    """
    names = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    speaker = rf"(?:#+ *|\*\*)?(?P<word>{names}) ?\d*(?:\*\*)? ?[:：](?:\*\*)?"
    line = rf"\s*{_TIME}?{speaker} ?(?P<text>.*)"
    return re.compile(line, re.IGNORECASE | re.DOTALL)


_SPEAKERS = _line_of(word for word in ROLE_OF if word not in NO_SPEAKERS)
_QUESTIONS_AND_ANSWERS = _line_of(_OF_LETTERS)


def _key(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip().casefold())


def _beside_names() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Two patterns for a name with the word of a user or assistant at its beginning or at its
    end.
    """
    few = ("ai", "usr", "model", *CALLS)
    words = [word for word, role in ROLE_OF.items() if role in ("user", "assistant")]
    words = sorted((word for word in words if word not in few), key=len, reverse=True)
    first = "|".join(word + "(?![a-z])" * word.isascii() for word in words)
    last = "|".join("(?<![a-z])" * word.isascii() + word for word in words)
    return re.compile(rf"[(（\[]?(?P<word>{first}).{{1,24}}"), re.compile(
        rf".{{1,24}}?(?P<word>{last})[)）\]]?"
    )


_BEGINS, _ENDS = _beside_names()


def _role_word(word: str) -> str | None:
    """The role's word next to a name, as in "客服小李" or "Agent Kim". None if there is none, or if
    two contradict each other.
    """
    key = _key(word)
    if _NO_NAME.search(key):
        return None
    found = [match["word"] for each in (_BEGINS, _ENDS) if (match := each.fullmatch(key))]
    return found[0] if len({ROLE_OF[one] for one in found}) == 1 else None


def _role(word: str, assistants: Sequence[str]) -> str | None:
    """The role of a speaker, or None. If `assistants` are given, all unknown speakers are users."""
    if _key(word) in map(_key, assistants):
        return "assistant"
    beside = _role_word(word)
    role = ROLE_OF.get(_key(word)) or (beside and ROLE_OF[beside])
    return role or ("user" if assistants else None)


def unknown(words: Iterable[str], assistants: Sequence[str]) -> Counter[str]:
    """The speakers whose role is unknown, with the number of their messages."""
    return Counter(word for word in words if _role(word, assistants) is None)


def who_are(speakers: Counter[str]) -> str:
    """The question to the user who these speakers are, and how to answer it."""
    some = ", ".join(f"{name!r} ({count:,})" for name, count in speakers.most_common(6))
    return f"who is {some}? Name those who answer with --assistant-name A,B. The others are users"


def roles_of(
    words: Sequence[str], here: str, place: str, notes: Notes, assistants: Sequence[str] = ()
) -> list[str]:
    """The role of each message, from the words for its speaker.

    A speaker called system is the assistant if nobody else answers. `here` is the place for errors,
    `place` for notes. Raises `XinyeError` for an unknown word.
    """
    keys = [_key(word) for word in words]
    found = [_role(word, assistants) for word in words]
    named = set()
    for number, (word, key, role) in enumerate(zip(words, keys, found, strict=True), start=1):
        check_name("role", word, f"{here}, message {number}")
        if role is None:
            raise XinyeError(
                f"{here}, message {number}: expected a role ({', '.join(ROLES)}) or a "
                f"common name for one (human, gpt, 客户, 客服 …), found {word!r}. Name those "
                "who answer with --assistant-name"
            )
        if key not in ROLE_OF and word not in named:
            named.add(word)
            notes.add(place, f"the speaker {word.strip()!r} is read as {role!r}")
    roles = [role for role in found if role]
    behind_user = roles[roles.index("user") :] if "user" in roles else []
    answers = "assistant" not in roles and "system" in behind_user
    for key in dict.fromkeys(key for key in keys if ROLE_OF.get(key) == "system"):
        if answers or key == "sys":
            meant = "assistant" if answers else "system"
            notes.add(place, f"the role {key!r} is read as {meant!r}")
    return ["assistant" if answers and role == "system" else role for role in roles]


def joined(messages: Sequence[Row], place: str, notes: Notes) -> list[Row]:
    """The messages of a log; consecutive messages of one speaker are joined by a line break, if
    they have nothing but text.
    """
    found: list[Row] = []
    for _, group in groupby(messages, _joins_with):
        of_one = list(group)
        if len(of_one) > 1:
            notes.add(place, "consecutive messages of one speaker are joined by a line break")
        content = "\n".join(message["content"] for message in of_one)
        found.append({**of_one[0], "content": content})
    return found


def _joins_with(message: Row) -> tuple[str, int]:
    """The same for messages that are joined; one with calls or a weight differs from all others."""
    return message["role"], id(message) if message.keys() - {"role", "content"} else 0


# -- texts with speakers ---------------------------------------------------------------------------


@dataclass
class Speech:
    """One message in a text: the word for its speaker, the number of its first line, and its
    lines.
    """

    word: str
    line: int
    lines: list[str]

    @property
    def message(self) -> Row:
        """The message as role and content."""
        role = _OF_LETTERS.get(self.word.casefold(), self.word)
        return {"role": role, "content": "\n".join(self.lines).strip()}


def begins_with_speaker(line: str) -> bool:
    """True if the line begins with a known speaker and a colon."""
    named = _SAID_BY.match(line)
    if named and _role_word(named["word"]):
        return True
    return bool(_SPEAKERS.match(line) or _QUESTIONS_AND_ANSWERS.match(line))


class _Speakers:
    """Recognises speakers in the lines of a text: words for roles, and names next to such a word.
    If the word also occurs alone, a name with it is part of a message: "客服网点：…".
    """

    def __init__(self, lines: Iterable[str], assistants: Sequence[str]) -> None:
        known = [match["word"].casefold() for line in lines if (match := _SPEAKERS.match(line))]
        self.alone = set(known)
        self.assistants = [_key(name) for name in assistants]
        self.others_ask = bool(assistants) and "user" not in [ROLE_OF[word] for word in known]

    def match(self, line: str) -> re.Match[str] | None:
        """The match of the speaker at the beginning of a line, or None."""
        known = _SPEAKERS.match(line)
        if known:
            return known
        named = _SAID_BY.match(line)
        if named is None:
            return None
        beside = _role_word(named["word"])
        speaks = (beside and beside not in self.alone) or _key(named["word"]) in self.assistants
        asks = self.others_ask and not _NO_NAME.search(_key(named["word"]))
        return named if speaks or asks else None

    def system_begins(self, lines: Sequence[str]) -> bool:
        """True if a conversation begins with the system, so that this word is a speaker here."""
        firsts = (line for before, line in pairwise(["", *lines]) if _BETWEEN.fullmatch(before))
        return any(speaker and _is_system(speaker) for speaker in map(self.match, firsts))


def _is_system(speaker: re.Match[str]) -> bool:
    return ROLE_OF.get(speaker["word"].casefold()) == "system"


def perhaps_speakers(lines: Iterable[str]) -> Counter[str]:
    """The names at the beginning of lines that may be speakers, with their counts."""
    words = [match["word"] for line in lines if (match := _SAID_BY.match(line))]
    return Counter(
        word
        for word in words
        if not _NO_NAME.search(_key(word)) and _key(word) not in (*ROLE_OF, *_OF_LETTERS)
    )


def speeches(
    lines: Iterable[tuple[int, str]], path: str, notes: Notes, assistants: Sequence[str] = ()
) -> list[list[Speech]]:
    """The messages in a text, grouped into conversations, which empty lines separate. The first
    line decides whether speakers are roles, or question and answer. Raises `XinyeError` if it has
    no speaker.
    """
    lines = list(lines)
    speakers = _Speakers((line for _, line in lines), assistants)
    found: list[list[Speech]] = []
    pattern: _Speakers | re.Pattern[str] = speakers
    system = speakers.system_begins([line for _, line in lines])
    last: Speech | None = None
    after_gap = True
    for number, line in lines:
        if _BETWEEN.fullmatch(line):
            after_gap = True
            continue
        if last is None and _QUESTIONS_AND_ANSWERS.match(line):
            pattern = _QUESTIONS_AND_ANSWERS
        speaker = pattern.match(line)
        if speaker and _is_system(speaker):
            if is_notice(speaker["text"]) or (system and not after_gap):
                notes.add(place_of(path, number), NOTICES_LEFT_OUT)
                last = Speech(speaker["word"], number, [])
                continue
            speaker = speaker if after_gap else None  # an ordinary word
        if speaker and after_gap:
            found.append([])
        if speaker:
            last = Speech(speaker["word"], number, [speaker["text"]])
            found[-1].append(last)
            if speaker["time"]:
                notes.add(place_of(path, number), "the time before a speaker is dropped")
        elif last is None:
            names = perhaps_speakers(line for _, line in lines)
            again = Counter({name: count for name, count in names.items() if count > 1})
            if again and _SAID_BY.match(line):
                raise XinyeError(f"{place_of(path, number)}: {who_are(again)}")
            raise XinyeError(
                f"{place_of(path, number)}: expected a speaker, such as '客户：' or 'User:', or a "
                f"question and its answer with a tab between, found {line.strip()[:40]!r}"
            )
        else:
            if _PERHAPS.match(line):
                what = "a line that begins with a word and a colon continues the message before it"
                notes.add(place_of(path, number), what)
            elif after_gap:
                what = "a line without a speaker continues the message before the empty line"
                notes.add(place_of(path, number), what)
            last.lines += ["", line] if after_gap else [line]
        after_gap = False
    return found


def answered(conversations: list[list[Speech]], path: str, notes: Notes) -> list[list[Speech]]:
    """The conversations. If an empty line follows every message, each question is joined with its
    answer.
    """
    if len(conversations) < 2 or any(len(each) > 1 for each in conversations):
        return conversations
    what = "an empty line follows each message: a question and its answer are read together"
    notes.add(path, what)
    found: list[list[Speech]] = []
    asks = False
    for [speech] in conversations:
        asked = asks
        asks = ROLE_OF.get(speech.message["role"].casefold()) == "user"
        if not found or (asks and not asked):
            found.append([])
        found[-1].append(speech)
    return found


def preference(text: str) -> list[Row] | None:
    """The messages in a text of HH-RLHF, "\\n\\nHuman: …\\n\\nAssistant: …", or None for any other
    text.
    """
    if not _PREFERENCE.match(text):
        return None
    parts = _PREFERENCE.split(text)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": word, "content": content.strip()} for word, content in pairs]


def messages_in(
    text: str, place: str, notes: Notes, assistants: Sequence[str] = ()
) -> list[Row] | None:
    """The messages in a text whose lines begin with speakers, or None if it is not a
    conversation.
    """
    if found := preference(text):
        return found
    text = re.sub(r"(?<!^)### (?=(?:Human|Assistant):)", "\n### ", text)  # as in Guanaco
    lines = text.lstrip().split("\n")
    if not begins_with_speaker(lines[0]) and not (assistants and _SAID_BY.match(lines[0])):
        return None
    conversations = speeches(enumerate(lines, 1), place, notes, assistants)
    said = [speech for each in conversations for speech in each]
    messages = joined([speech.message for speech in said], place, notes)
    return messages if len(messages) > 1 else None
