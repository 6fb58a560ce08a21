"""Several questions in one message: each is answered by the FAQ, and one answer is made of all."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from xinye.apps.support.asked import Asked
from xinye.apps.support.reply import HANDOVER, Reply

Answer = Callable[[Asked], Reply | None]

MOST = 4  # questions of a message that are answered one by one
_QUESTION = re.compile(r"[^?？\n]*[?？]+|[^?？\n]+")


def questions_in(text: str) -> list[str]:
    """The questions of a message, if each ends with a question mark or stands in a line of its own;
    none if there is only one, or if there are too many.

    >>> questions_in("包邮吗？几天到？"), questions_in("包邮吗，几天到？")
    (['包邮吗？', '几天到？'], [])
    """
    found = [each.strip() for each in _QUESTION.findall(text) if re.search(r"\w", each)]
    return found if 2 <= len(found) <= MOST else []


def answered_each(asked: Asked, answer: Answer, unsure: str) -> Reply | None:
    """The reply to a message of several questions, of which `answer` answers at least two
    differently. `unsure` stands before those that it does not answer, or leaves to a person."""
    found = []
    for question in questions_in(asked.bare):
        alone = replace(asked, text=question, bare=question, before="", meant=question)
        reply = answer(alone)
        found.append((question, reply if reply and reply.kind != HANDOVER else None))
    return _joined(found, unsure)


def _joined(found: Sequence[tuple[str, Reply | None]], unsure: str) -> Reply | None:
    replies = [reply for _, reply in found if reply]
    if len({reply.text for reply in replies}) < 2:
        return None
    texts = [reply.text for reply in replies]
    if rest := [question for question, reply in found if reply is None]:
        texts.append(f"{unsure}{' '.join(rest)}")
    grounds = [reply.why.partition(": ") for reply in replies]
    return replace(
        replies[0],
        text="\n\n".join(dict.fromkeys(texts)),
        sources=tuple(dict.fromkeys(source for reply in replies for source in reply.sources)),
        score=min(reply.score or 0.0 for reply in replies),
        why=f"{grounds[0][0]}: {', '.join(where for _, _, where in grounds)}",
        before="",
    )
