"""`Asked`: what a customer asks, in the conversation so far."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xinye.apps.support.exchanges import says_something, without_marks
from xinye.apps.support.messages import Message
from xinye.apps.support.offers import chosen
from xinye.apps.support.reply import UNSURE, Source
from xinye.apps.support.small_talk import asks_nothing, denies, without_denial, without_opening
from xinye.data.scripts import has_han
from xinye.generation.chat import Message as Turn
from xinye.retrieval.follow_up import follows, in_context, thing
from xinye.retrieval.search import LONGEST_QUESTION
from xinye.retrieval.terms import trimmed

LONGEST = 500  # characters of the question before, of which the next one needs the topic only
TOPICS = 4  # questions in a row that need the one before
WORDS = 3  # in Latin letters, with which a message is in English

# Messages that only give a number, and messages that only press for an answer.
_NUMBER = re.compile(
    r"[\W\d_]+|[a-z]{1,4}\d{6,}"
    r"|(?:(?:我的?)?(?:订单|快递|运单|物流|退款|售后)?(?:编号|单号|号码?)(?:是|为)?"
    r"|(?:(?:my|the) )?(?:order|parcel|tracking)(?: (?:number|no|id))?(?: is)?)"
    r"[\W_]*+[a-z]{0,4}\d[\W\d_]*",
    re.IGNORECASE,
)
_PRESSES = re.compile(
    r"喂+|(?:我|都|已经)*等了?(?:半天|[很好]久|[\d一二两三半]+个?(?:多|半)?(?:小时|分钟|钟头))了?"
    r"|(?:问题|还是|还|都|一直|根本)*没有?解决(?:问题)?[啊呢呀]*"
    r"|any(?:one|body)|(?:please )?(?:answer|reply|respond)(?: to)?(?: me)?(?: please)?"
    r"|(?:(?:it's|it is|that's|still) )*not (?:solved|resolved|fixed)",
    re.IGNORECASE,
)
_WORD = re.compile("[A-Za-z]{2,}")

Understand = Callable[[str, str], str]  # a question, and the one before it, as one question


@dataclass(frozen=True)
class Asked:
    """A customer's last message. `bare` is the message without greetings and without clauses that
    only give a number, or what was chosen of an offer; if it `follows` the question `before`, it
    needs that one to be understood. `meant` is what is asked then, in words of the FAQ if possible.
    `misses` counts the bot's last replies that were no answers, `given` are the sources of its last
    reply, and `earlier` are the messages before; it `denies` that the last reply is about the
    question."""

    text: str
    bare: str
    before: str
    meant: str
    chosen: bool
    language: str  # "zh" or "en"
    misses: int
    given: tuple[Source, ...]
    denies: bool
    earlier: tuple[Turn, ...]

    @classmethod
    def of(
        cls,
        turns: Sequence[Message],
        languages: Sequence[str],
        understand: Understand = in_context,
    ) -> "Asked":
        """What the last of these messages asks. A message without letters is in the first of the
        desk's languages, as is one in a language that the desk does not speak. `understand` makes
        one question of a message and the question before, if it needs that."""
        *before, last = turns
        replies = [each for each in before if each.sender == "bot"]
        reply = replies[-1] if replies else None
        topic = ""
        for text in _topics(turns):
            topic = understand(text, topic)[:LONGEST]
        offered = choice(turns, len(before))
        bare = offered or (without_denial(_bare(last)) if reply else _bare(last))
        return cls(
            text=last.text,
            bare=bare,
            before=topic,
            meant=understand(bare, topic),
            chosen=bool(offered),
            language=_language(
                [each.text for each in turns if each.sender == "customer"], languages
            ),
            misses=_misses(replies),
            given=reply.sources if reply else (),
            denies=reply is not None and _is_answer(reply) and denies(last.text),
            earlier=tuple(_turn(each) for each in before),
        )

    @property
    def follows(self) -> bool:
        """True if the message needs the question before."""
        return bool(self.before) and follows(self.bare)

    @property
    def thing(self) -> str:
        """The thing that the question before is asked of anew, if the message only names that."""
        return thing(self.bare) if self.before else ""

    @property
    def question(self) -> str:
        """What can be understood without the conversation, to be looked up in documents: the
        question before, if it is needed, and the message."""
        if self.thing:
            return self.meant[:LONGEST_QUESTION]
        return in_context(self.bare, self.before)[:LONGEST_QUESTION]

    @property
    def written(self) -> str:
        """The language of a message of some words, whether the desk speaks it; "" for others."""
        if has_han(self.text):
            return "zh"
        return "en" if len(_WORD.findall(self.text)) >= WORDS else ""

    def was_given(self, *sources: Source) -> bool:
        """True if the last reply has just these sources, so that it has said the same."""
        return self.given == sources

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


def last_question(turns: Sequence[Message]) -> str:
    """The last of these messages in which the customer asks something, or the question that it
    chooses; without one the customer's last message, or ""."""
    said = [at for at, each in enumerate(turns) if each.sender == "customer"]
    last = next((at for at in reversed(said) if asks(turns, at)), said[-1] if said else None)
    return "" if last is None else choice(turns, last) or turns[last].text


def asks(turns: Sequence[Message], at: int) -> bool:
    """True if the message in this place is a customer's and asks something, if only by choosing a
    question of the reply before."""
    if turns[at].sender != "customer":
        return False
    text = turns[at].text
    if choice(turns, at):
        return True
    if _NUMBER.fullmatch(text.strip()) or _PRESSES.fullmatch(trimmed(text)):
        return False
    return says_something(text) and not asks_nothing(text)


def choice(turns: Sequence[Message], at: int) -> str:
    """The question of the reply before this message that it chooses, or ""."""
    before = turns[at - 1] if at else None
    if before is None or before.kind != UNSURE:
        return ""
    return chosen(without_opening(turns[at].text), before.text)


def _topics(turns: Sequence[Message]) -> list[str]:
    """The customer's questions before the last message, from the last one on that is understood
    alone. Of one that was chosen by its number it is the text."""
    found: list[str] = []
    for at in reversed(range(len(turns) - 1)):
        if not asks(turns, at):
            continue
        found.append((choice(turns, at) or _bare(turns[at]))[:LONGEST])
        if len(found) == TOPICS or not follows(found[-1]):
            break
    return found[::-1]


def _bare(message: Message) -> str:
    """A message without what asks nothing."""
    return without_marks(without_opening(message.text))


def _is_answer(reply: Message) -> bool:
    """True for a reply that can be denied: "no" to an answer that asks in turn is an answer."""
    asks_back = reply.text.rstrip().endswith(("?", "？"))
    return reply.kind == UNSURE or (reply.kind != "template" and not asks_back)


def _misses(replies: Sequence[Message]) -> int:
    """How many of the last replies were no answers."""
    count = 0
    for each in reversed(replies):
        if each.kind != UNSURE:
            break
        count += 1
    return count


def _language(texts: Sequence[str], languages: Sequence[str]) -> str:
    """The language of the last of a customer's messages; of a short one such as "ok" it is that of
    the message before."""
    said = (each for each in reversed(texts) if has_han(each) or len(_WORD.findall(each)) >= WORDS)
    last = next(said, texts[0])
    language = "zh" if has_han(last) else "en" if _WORD.search(last) else ""
    return language if language in languages else languages[0]


def _turn(message: Message) -> Turn:
    role = "user" if message.sender == "customer" else "assistant"
    return {"role": role, "content": message.text}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
