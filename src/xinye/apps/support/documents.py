"""When the documents of a desk answer: what the answers in the logs say about that."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xinye.apps.support.desk_folder import DeskFolder, Unsure
from xinye.errors import XinyeError
from xinye.retrieval.confidence import FEWEST, Calibration, Example, features
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import DEEPER, made_examples, outgrown, rarity_in
from xinye.retrieval.results import Found
from xinye.retrieval.search import LONGEST_QUESTION
from xinye.retrieval.support import share_said

log = logging.getLogger("xinye.server")
SHARE_SAID = 0.5  # share of what the logged answer says that a right answer says, too
_ASKS_PRICE = re.compile(
    r"多少钱(?!.{0,2}[包免起])|几块钱|什么价|怎么卖|(?:价格|价钱)(?:是|多少|怎么样|呢|\W|$)"
    r"|\bhow much (?:is|are) (?!in)|\bhow much (?:does|do) [^?.!]{1,40} cost\b"
    r"|\bwhat(?:'s| is) the price\b|\bwhat (?:does|do) [^?.!]{1,40} cost\b",
    re.IGNORECASE,
)
_PRICE = re.compile(
    r"[\d一二两三四五六七八九十百千万] ?(?:元|块)|免费"
    r"|[¥￥£$€] ?\d|\d ?(?:yuan|dollars?|pounds?|euros?)\b|\bfree\b",
    re.IGNORECASE,
)


def says(text: str, question: str, answer: str) -> bool:
    """True if a text says at least half of what a question was answered in the logs.

    >>> says("门店每天10点开门，周一休息。", "几点开门", "每天10点开门")
    True
    """
    return share_said(answer, question, [text]) >= SHARE_SAID


def may_answer(question: str, found: Sequence[Found]) -> bool:
    """False if nothing was found, or a question for a price finds none in the first passage."""
    if not found:
        return False
    return not _ASKS_PRICE.search(question) or bool(_PRICE.search(found[0].text))


def calibrate_documents(
    base: KnowledgeBase, asked: Sequence[Unsure], precision: float
) -> Calibration | None:
    """Calibrate a knowledge base on questions of customers that the FAQ is not sure of, and on
    questions made of its own passages, since customers may not have asked yet what these answer.
    Returns the calibration, which is saved; None if all these are too few."""
    rarity = rarity_in(base)
    answers = dict.fromkeys(each.answer for each in asked)
    groups = {answer: number for number, answer in enumerate(answers)}
    real = []
    for each in asked:
        if len(each.question) > LONGEST_QUESTION:  # written by hand
            continue
        found = base.search(each.question, DEEPER)
        if may_answer(each.question, found):
            right = says(found[0].text, each.question, each.answer)
            of_question = features(each.question, found, rarity)
            real.append(Example(of_question, right, found[0].score, groups[each.answer]))
    made = made_examples(base, first_group=len(groups))
    easy = sum(each.right for each in real) < FEWEST  # what shows what can be answered is made
    try:
        calibration = Calibration.fit([*real, *made], precision, made=easy)
    except XinyeError:  # too few
        return None
    update = {"passages": base.passages, "questions": len(real)}
    calibration = calibration.model_copy(update=update)
    calibration.save(base.folder)
    return calibration


def keep_calibrated(base: KnowledgeBase, desk: Path) -> None:
    """Calibrate the knowledge base of the desk in a folder anew if it has grown much since, unless
    a user has calibrated it."""
    with suppress(XinyeError):  # what is damaged is reported when it is used
        learned = Calibration.load(base.folder)
        if learned is None or (not learned.asked and outgrown(base, learned)):
            read = DeskFolder.read(desk)
            calibrate_documents(base, _unsure(read), read.settings.precision_documents)


def _unsure(desk: DeskFolder) -> list[Unsure]:
    """The questions that the documents are calibrated on; none, and a line in the log, if they
    cannot be read."""
    try:
        return desk.unsure
    except XinyeError as error:
        log.error("the documents are calibrated without it: %s", error)
        return []
