"""`Asked`: what a customer asks, in the conversation so far."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xinye.apps.support.exchanges import without_marks
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import UNSURE
from xinye.apps.support.small_talk import small_talk, without_opening
from xinye.data.scripts import has_han
from xinye.generation.chat import Message as Turn
from xinye.retrieval.follow_up import follows, in_context
from xinye.retrieval.search import LONGEST_QUESTION
from xinye.retrieval.terms import trimmed

SHORT = 20  # characters of a message that may be a number
LONGEST = 500  # characters of the question before, of which the next one needs the topic only
_NUMBER = re.compile(
    r"(?:第|选|number |no\.? ?|#)?([1-9一二三])(?:个|条|号|项)?(?:吧|谢谢)?", re.IGNORECASE
)
_OFFERED = re.compile(r"^([1-9])\. (.+)$", re.MULTILINE)
_CHINESE_NUMBERS = {"一": "1", "二": "2", "三": "3"}


@dataclass(frozen=True)
class Asked:
    """A customer's last message. `bare` is the message without greetings and without clauses that
    only give a number; if it `follows` the question `before`, it needs that one to be understood.
    `misses` counts the bot's last replies that were no answers, `given` is its last reply, and
    `earlier` are the messages before."""

    text: str
    bare: str
    before: str
    language: str  # "zh" or "en"
    misses: int
    given: str
    earlier: tuple[Turn, ...]

    @classmethod
    def of(cls, turns: Sequence[Message], languages: Sequence[str]) -> "Asked":
        """What the last of these messages asks. A message without letters is in the first of the
        desk's languages, as is one in a language that the desk does not speak."""
        *before, last = turns
        replies = [each for each in before if each.sender == "bot"]
        given = replies[-1] if replies else None
        bare = without_marks(without_opening(last.text))
        if given and given.kind == UNSURE:
            bare = _chosen(bare, given.text) or bare
        asked = [each.text for each in before if each.sender == "customer"]
        topics = [text for text in asked if not small_talk(text)]
        topic = without_marks(without_opening(topics[-1]))[:LONGEST] if topics else ""
        return cls(
            text=last.text,
            bare=bare,
            before=topic,
            language=_language(last.text, languages),
            misses=_misses(replies),
            given=given.text if given else "",
            earlier=tuple(_turn(each) for each in before),
        )

    @property
    def follows(self) -> bool:
        """True if the message needs the question before."""
        return bool(self.before) and follows(self.bare)

    @property
    def question(self) -> str:
        """What can be understood without the conversation: the question before, if it is needed,
        and the message."""
        return in_context(self.bare, self.before)[:LONGEST_QUESTION]

    def mentions(self, words: Iterable[str]) -> str:
        """The first of these words that the message has; "" if it has none. Words in Latin letters
        count as whole words only."""
        folded = _folded(self.text)
        for word in words:
            wanted = re.escape(_folded(word))
            whole = wanted if has_han(word) else rf"(?<!\w){wanted}(?!\w)"
            if wanted and re.search(whole, folded):
                return word
        return ""


def _misses(replies: Sequence[Message]) -> int:
    """How many of the last replies were no answers."""
    count = 0
    for each in reversed(replies):
        if each.kind != UNSURE:
            break
        count += 1
    return count


def offer(questions: Sequence[str]) -> str:
    """The lines that a customer chooses from by their number."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(questions, 1))


def _chosen(text: str, reply: str) -> str:
    """The question of a reply that a customer has chosen by its number, or ""."""
    if not (found := _NUMBER.fullmatch(trimmed(text[:SHORT]))):
        return ""
    number = _CHINESE_NUMBERS.get(found[1], found[1])
    return dict(_OFFERED.findall(reply)).get(number, "")


def _language(text: str, languages: Sequence[str]) -> str:
    language = "zh" if has_han(text) else "en" if re.search("[A-Za-z]", text) else ""
    return language if language in languages else languages[0]


def _turn(message: Message) -> Turn:
    role = "user" if message.sender == "customer" else "assistant"
    return {"role": role, "content": message.text}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
