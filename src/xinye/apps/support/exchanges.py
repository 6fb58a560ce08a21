"""Finds the questions of customers in a conversation, and the replies that answer them."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from math import sqrt

from xinye.apps.support.context import unclear_alone
from xinye.apps.support.small_talk import is_phrase, said_sentences, small_talk, without_opening
from xinye.data.masking import Masker
from xinye.data.notes import Notes
from xinye.data.personal import Tagger
from xinye.data.scripts import HAN
from xinye.generation.chat import Message
from xinye.retrieval.search import LONGEST_QUESTION
from xinye.retrieval.terms import terms

FEWEST_UNITS = 2  # Han characters or words of a question
# A sentence that answers so many different questions, of which no term is typical, is a template.
TEMPLATE_TIMES, TEMPLATE_SHARE, TYPICAL = 10, 0.02, 0.3
# One that always stands in the same answer is that answer, unless its questions have no more in
# common than as many others: by chance a term reaches up to 0.9 / √number, here counted carefully.
ANSWERS, CHANCE = 3, 0.5

_ASKS = re.compile(
    r"[?？]|[吗呢么]\W*$|什么|啥|怎么|怎样|咋|如何|为什么|为何|多少|多久|多长|多大|哪|几[个天点时家号]|谁|能不能|可不可以|能否|可否|是否|是不是"
    r"|有没有|要不要|行不行|会不会|想|要|需要|帮|请|麻烦|推荐|介绍|告诉|查|退|换|没(?:有)?收到|不了|不能|无法|不行|打不开|失败|坏|错"
    r"|\b(?:how|what|when|where|which|who|why|can|could|may|do|does|did|is|are|was|will|would|should"
    r"|want|need|help|please|tell|recommend|looking for|can't|cannot|won't|doesn't|didn't|not|"
    r"missing|wrong|failed|broken|lost|refund|cancel)\b",
    re.IGNORECASE,
)
_QUESTION_BACK = re.compile(r"[?？][\W_]*$|(?:吗|呢|么)[\W_]*$")
_CLAUSE = re.compile(r"[^，,。；;！!？?\n]+[，,。；;！!？?\n]*")
# The customer's name before an answer.
_NAME = re.compile(
    rf"(?:尊敬的|亲爱的)?[{HAN}]{{1,4}}?(?:先生|女士|小姐|老师)?[，, ]?[您你]好"
    r"[\s，,。！!～~：:、]+"
    r"|(?i:dear (?:(?:mr|mrs|ms|miss)\.? )?)[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)?\s*[,!:.–-]+\s*"
    r"|(?i:hi|hello|hey) [A-Z][\w'’-]*\s*[,!:.–-]+\s*"
)
_IS = re.compile(r"\bis\b", re.IGNORECASE)  # "my number is …" asks nothing
_MARK = re.compile(r"\[[^\[\]]{1,16}\d+\]")  # of masked personal data
_UNIT = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")

# Why a message, or an answer, is left out.
SMALL_TALK = "messages that are only small talk"
NO_QUESTION = "messages that ask nothing"
REFERS = "questions that refer to earlier messages, such as “and its price?”"
UNANSWERED = "questions without an answer"
ONLY_PHRASES = "replies that are only greetings, thanks or requests to wait"
ASKED_BACK = "replies that only ask back"
OF_CASE = "answers to what the employee asked back, which depend on the case"
LONG = f"questions with more than {LONGEST_QUESTION:,} characters"
TEMPLATES = "sentences that employees write below any question"
ONLY_TEMPLATES = "questions that only such sentences answer"


@dataclass(frozen=True)
class Exchange:
    """A question of a customer, with its answer. `wordings` are other ways to ask the same, and
    `answer` is "" if the logs have only the question and its intent. `line` is that of the file in
    which the conversation begins, None for a file without lines."""

    question: str
    answer: str
    intent: str
    file: str
    line: int | None
    wordings: tuple[str, ...] = ()
    is_row: bool = False  # of a table of questions and answers

    @property
    def place(self) -> str:
        """The place for messages."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Talk:
    """A conversation, or a row of a table with a question and its answer, as it was read."""

    messages: Sequence[Message]
    place: str
    intent: str = ""
    wordings: tuple[str, ...] = ()
    is_row: bool = False

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Who spoke and what, with successive messages of one speaker as one."""
        spoken = (each for each in self.messages if each["role"] in ("user", "assistant"))
        return [
            (role, "\n".join(message["content"].strip() for message in some))
            for role, some in groupby(spoken, key=lambda message: message["role"])
        ]


def exchanges(
    talk: Talk, file: str, line: int | None, dropped: Notes, tagger: Tagger | None = None
) -> Iterator[Exchange]:
    """The questions of a conversation with their answers. What a customer wrote is masked, with the
    same marks in the whole conversation. `dropped` counts what is left out, and why.

    A reply that only asks to wait leaves the question open: the next one may answer it. What
    follows a reply that only asks back answers the case, and is left out.
    """
    turns = talk.turns
    pair = len(turns) == 2  # a row of a table, whose answer may also ask something
    masker = Masker(tagger=tagger)
    open_question, asked_back, of_case = "", False, False
    later = False  # the customer has said something besides greetings
    for role, text in turns:
        if role == "user":
            question, why = _question(masker.mask(text), later, asked_back)
            if why:
                dropped.add(talk.place, why)
            later = later or any(line.strip() and not small_talk(line) for line in text.split("\n"))
            if question or why in (REFERS, LONG):  # the next reply answers this one
                if open_question:
                    dropped.add(talk.place, UNANSWERED)
                open_question, of_case = question, False
            continue
        answer, why = answer_in(text if talk.is_row else _without_name(text), pair)
        asked_back = why == ASKED_BACK
        of_case = of_case or asked_back
        if why or (open_question and of_case):
            dropped.add(talk.place, why or OF_CASE)
            open_question = open_question if why else ""
        elif open_question:
            wordings = tuple(masker.mask(each) for each in talk.wordings)
            yield Exchange(open_question, answer, talk.intent, file, line, wordings, talk.is_row)
            open_question = ""
    if open_question:
        dropped.add(talk.place, UNANSWERED)


def _question(text: str, later: bool, asked_back: bool) -> tuple[str, str]:
    """The question in a customer's message, without small talk; or "" and why it is left out. The
    first message of a conversation always asks something."""
    lines = [line.strip() for line in text.split("\n")]
    kept = [without_opening(line) for line in lines if line and not small_talk(line)]
    question = without_marks("\n".join(kept)).strip().replace("\n", " ")
    short = len(_UNIT.findall(question)) < FEWEST_UNITS
    why = ""
    if not kept:
        why = SMALL_TALK
    elif len(question) > LONGEST_QUESTION:
        why = LONG
    elif short or ((later or asked_back) and not _ASKS.search(question)):
        why = NO_QUESTION
    elif later and unclear_alone(question):
        why = REFERS
    return "" if why else question, why


def has_mark(text: str) -> bool:
    """True if a text has the mark of masked personal data."""
    return bool(_MARK.search(text))


def only_tells(message: str) -> bool:
    """True if a message gives personal data, which are masked, and asks nothing.

    >>> only_tells("好的，我电话[电话1]"), only_tells("电话[电话1]怎么改？")
    (True, False)
    """
    return has_mark(message) and not _ASKS.search(_IS.sub("", message))


def says_something(text: str) -> bool:
    """True if a text has letters or digits besides the marks of masked personal data."""
    return bool(re.search(r"\w", _MARK.sub("", text)))


def without_marks(question: str) -> str:
    """A question without the clauses that only give personal data, unless nothing else is left.

    >>> without_marks("Can I return it, my number is [phone 1]")
    'Can I return it'
    """
    if not _MARK.search(question):
        return question
    clauses = _CLAUSE.findall(question)
    rest = [each for each in clauses if not _MARK.search(each) or _ASKS.search(_IS.sub("", each))]
    return "".join(rest).strip(" ，,") or question


def answer_in(text: str, pair: bool = False) -> tuple[str, str]:
    """A reply without the phrases and questions around it; or "" and why it is no answer."""
    said = [*said_sentences(text)]
    kept = [sentence for sentence in said if not is_phrase(sentence)]
    if not kept:
        return "", ONLY_PHRASES
    while kept and not pair and _QUESTION_BACK.search(kept[-1]):
        kept.pop()
    if not kept:
        return "", ASKED_BACK
    begin = text.index(kept[0])
    end = text.rindex(kept[-1]) + len(kept[-1])
    return text[begin:end].strip(), ""


def _without_name(answer: str) -> str:
    """An answer without the customer's name at its beginning, such as "Dear Anna,"."""
    rest = answer[found.end() :] if (found := _NAME.match(answer)) else ""
    return rest if re.search(r"\w", rest) else answer


# -- templates -------------------------------------------------------------------------------------


def without_templates(found: Sequence[Exchange], dropped: Notes) -> list[Exchange]:
    """The exchanges without the sentences that employees write below any question, such as "We
    value your opinion". Linear in the size of the texts."""
    templates = _templates(found)
    kept = []
    for exchange in found:
        said = [*said_sentences(exchange.answer)]
        rest = [sentence for sentence in said if sentence not in templates]
        for _ in range(len(said) - len(rest)):
            dropped.add(exchange.place, TEMPLATES)
        if said and not rest:
            dropped.add(exchange.place, ONLY_TEMPLATES)
            continue
        answer = exchange.answer if len(rest) == len(said) else _joined(rest)
        kept.append(replace(exchange, answer=answer))
    return kept


def _joined(said: Sequence[str]) -> str:
    """Sentences as one text, in Chinese without spaces."""
    spaces = " " if re.search("[A-Za-z][.!?]", "".join(said)) else ""
    return spaces.join(said)


def _templates(found: Sequence[Exchange]) -> Collection[str]:
    """The sentences of answers to many questions that have nothing in common."""
    below = defaultdict[str, list[int]](list)
    for number, exchange in enumerate(found):
        for sentence in {*said_sentences(exchange.answer)}:
            below[sentence].append(number)
    fewest = max(TEMPLATE_TIMES, TEMPLATE_SHARE * len(found))
    often = {sentence: numbers for sentence, numbers in below.items() if len(numbers) >= fewest}
    asked = {number: _words(found[number].question) for number in {*chain(*often.values())}}
    everywhere = _shares([_words(each.question) for each in found]) if often else {}
    templates = set()
    for sentence, numbers in often.items():
        shares = _shares([asked[number] for number in numbers])
        typical = max((share - everywhere[term] for term, share in shares.items()), default=0.0)
        alone = len({found[number].answer for number in numbers}) < ANSWERS
        if alone and all(found[number].is_row for number in numbers):
            continue  # somebody gave one answer to many questions of a table
        if typical < (min(TYPICAL, CHANCE / sqrt(len(numbers))) if alone else TYPICAL):
            templates.add(sentence)
    return templates


def _words(text: str) -> set[str]:
    """The words and pairs of Han characters in a text."""
    return {term for term in terms(text) if len(term) > 1}


def _shares(texts: Sequence[set[str]]) -> dict[str, float]:
    """The share of texts that have each term."""
    counts = defaultdict[str, int](int)
    for some in texts:
        for term in some:
            counts[term] += 1
    return {term: count / len(texts) for term, count in counts.items()}
