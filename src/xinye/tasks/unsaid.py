"""Finds what nobody says in chat logs: pictures, voice messages, notices of the program, and notes
that the customer does not see. It is left out with a note.
"""

import re
from typing import Any

from xinye.data.columns import find_column
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError

NO_MEDIA = "Xinye learns only text. Delete the record, or describe in words what it shows"
SENT = ("is_sender", "issender")  # in WeChat's exports: 1 if the account's owner speaks
DIRECTIONS = (  # the direction of a message, from the view of those who answer
    "direction", "message_direction", "is_robot", "is_bot", "is_agent", "方向", "消息方向",
    "收发", "收发方向",
)  # fmt: skip
SENDERS = dict.fromkeys(
    ("0", "in", "incoming", "inbound", "received", "false", "收", "接收", "进", "来"), "user"
) | dict.fromkeys(
    ("1", "out", "outgoing", "outbound", "sent", "true", "发", "发送", "出", "去"), "assistant"
)
PUBLIC = ("public",)  # false if the customer does not see the message
MESSAGE_KINDS = ("type_name", "msg_type", "message_type", "type", "消息类型")
NO_TEXTS = (
    "image", "picture", "photo", "voice", "audio", "video", "file", "sticker", "location", "system",
    "图片", "照片", "语音", "视频", "文件", "表情", "动画表情", "位置", "语音通话", "视频通话",
    "系统消息", "系统通知",
)  # fmt: skip
NOTICES = ("系统消息", "系统通知", "系统提示")  # the speaker of a program's notice
NOTICES_LEFT_OUT = "notices of the system are left out"
_MARK = "|".join(map(re.escape, NO_TEXTS))
_MEDIA = re.compile(  # as QQ, WeChat and WhatsApp write them; "[微笑]" stays
    rf"(?:[\[【](?:{_MARK})(?: \d+[\"″])?[\]】]\s*)+|[\[【](?:文件|file)[\]】].*"
    r"|\u200e?<(?:Media omitted|媒体已省略|省略多媒体文件|附件|attached: .*)>"
    r"|\u200e?(?:image|video|audio|sticker|GIF|document) omitted",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r".{0,40}撤回了一条(?:成员)?消息.{0,8}|.{0,40}recalled a message\.?"
    r"|\u200e?(?:This message was deleted|You deleted this message)\.?"
)
_NOTICE = re.compile(
    "转接|接入|接通|会话|排队|结束|超时|离开|加入|进入|评价|满意度|无应答"
    r"|\b(?:joined|left|transferred|started|ended|queue|disconnected|timed out)\b",
    re.IGNORECASE,
)
# typical of a system prompt
_BEHAVE = re.compile("你|you are an? |you should|you must", re.IGNORECASE)


def is_notice(text: str) -> bool:
    """True if a system message is about the conversation, and not about how the assistant should
    behave.
    """
    return len(text) < 60 and bool(_NOTICE.search(text)) and not _BEHAVE.search(text)


def is_program(speaker: str) -> bool:
    """True for a speaker that is a program, such as "系统消息(10000)" in QQ."""
    return re.sub(r"[(（]\d+[)）]$", "", speaker.strip()) in NOTICES


def only_said(text: str, place: str, notes: Notes, speaker: str) -> str:
    """A message without the lines for pictures and the like; "" for a program's notice."""
    if is_program(speaker):
        notes.add(place, NOTICES_LEFT_OUT)
        return ""
    kept = []
    for line in text.split("\n"):
        if _MEDIA.fullmatch(line.strip()):
            notes.add(
                place, ("pictures, voice messages and other content that is not text are left out")
            )
        elif _TAKEN_BACK.fullmatch(line.strip()):
            notes.add(place, "notices that a message was taken back are left out")
        else:
            kept.append(line)
    return "\n".join(kept).strip("\n")


def unseen(row: Row, role: str) -> str:
    """Why a row of a log is not a message of the conversation (an internal note, a picture, a
    system message), or "" if it is.
    """
    public = find_column(row, PUBLIC)
    if public and str(row[public]).lower() == "false":
        return f"messages with {public!r} false, which the customer does not see, are left out"
    kind = find_column(row, MESSAGE_KINDS)
    value = str(row[kind]).strip().lower() if kind else ""
    numbered = role.lower() in SENT and value.isdecimal() and value != "1"  # in WeChat, 1 is a text
    if kind and (numbered or value in NO_TEXTS):
        return f"messages with {kind!r} {value!r}, which are not text, are left out"
    return ""


def text_of_part(part: Any, here: str) -> str:
    """The text of one part of a message, as in OpenAI's API. Raises `XinyeError` for others."""
    text = part.get("text") if isinstance(part, dict) else part
    if isinstance(text, str):
        return text
    kind = part.get("type", part) if isinstance(part, dict) else part
    raise XinyeError(f"{here}: the type {str(kind)[:40]!r} is not text: {NO_MEDIA}")
