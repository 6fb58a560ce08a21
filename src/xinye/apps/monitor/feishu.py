"""The channel to a group of Feishu or Lark: a custom bot.

Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot"""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Any

from xinye.apps.monitor.notices import BOARD, SUMMARY, TYPICAL, Wording, quoted_lines
from xinye.apps.monitor.sending import Undelivered, post

BAD_REQUEST = 9499
CODES = {
    BAD_REQUEST: "it does not understand the message",
    11232: "it gets too many messages",
    19001: "the address is wrong, or the bot was removed",
    19021: "the signature does not match, or the clock is more than an hour wrong",
    19022: "the bot does not allow the address of this machine",
    19024: "the message has none of the keywords of the bot",
}
_AT = re.compile(r"<(?=/?\s*at\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Feishu:
    """Sends a post to a custom bot. The secret is "" for a bot that checks no signature."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    timeout: float

    def send(self, key: str, body: str, now: float) -> None:
        """Send the message of a body. Code 0 in the answer says that it has arrived."""
        at = str(int(now))
        values = as_post(json.loads(body))
        if self.secret:
            values = {"timestamp": at, "sign": signature(self.secret, at), **values}
        data = json.dumps(values, ensure_ascii=False).encode()
        answer = post(self.url, data, {"X-Xinye-Delivery": key}, self.timeout, read=True)
        code = _code(answer.text)
        if code is None:
            answer.check(now)
            raise Undelivered("the answer is not one of Feishu; correct the address")
        if code != 0:
            problem = CODES.get(code, "an error of Feishu")
            raise Undelivered(f"Feishu answered with code {code}: {problem}", code == BAD_REQUEST)


def signature(secret: str, at: str) -> str:
    """The field `sign` of a message: the HMAC-SHA256 of nothing with the time and the secret, in
    two lines, as its key."""
    signed = hmac.new(f"{at}\n{secret}".encode(), b"", hashlib.sha256)
    return base64.b64encode(signed.digest()).decode()


def as_post(values: dict[str, Any]) -> dict[str, Any]:
    """The message of a body as a post: lines of texts and links."""
    wording = Wording(values["language"])
    lines = [[_text(values["hours"])]]
    if values["summary"]:
        lines.append([_text(wording.of(SUMMARY).format(summary=values["summary"]))])
    if values["documents"]:
        lines.append([_text(wording.of(TYPICAL))])
    for number, document in enumerate(values["documents"], 1):
        headline, text = quoted_lines(document)
        url = document["url"]
        lines.append([_text(f"{number}. "), _link(headline, url) if url else _text(headline)])
        if text:
            lines.append([_text(text)])
    if values["board"]:
        lines.append([_link(wording.of(BOARD), values["board"])])
    language = "zh_cn" if values["language"] == "zh" else "en_us"
    content = {"title": _without_at(values["title"]), "content": lines}
    return {"msg_type": "post", "content": {"post": {language: content}}}


def _text(text: str) -> dict[str, str]:
    return {"tag": "text", "text": _without_at(text)}


def _link(text: str, url: str) -> dict[str, str]:
    return {"tag": "a", "text": _without_at(text), "href": url}


def _without_at(text: str) -> str:
    """The text, in which an `<at …>` of a document calls nobody."""
    return _AT.sub("＜", text)


def _code(text: bytes) -> int | None:
    """The code of an answer; None if it has none."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    code = answer.get("code", answer.get("StatusCode"))  # old bots name it so
    return code if isinstance(code, int) and not isinstance(code, bool) else None
