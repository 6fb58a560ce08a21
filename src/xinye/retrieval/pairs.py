"""Records from which a reranker learns: questions with passages that answer them or do not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xinye.errors import XinyeError
from xinye.retrieval.evaluation import Question, read_questions
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.results import Found
from xinye.retrieval.search import indexed_text

RELEVANT, IRRELEVANT = "relevant", "irrelevant"
DEPTHS = (20, 200)  # passages among which the one that answers is looked for


@dataclass(frozen=True)
class Pair:
    """A record of `xinye finetune --task classify`: a question and a passage."""

    text: str
    text_pair: str
    label: str


def pairs(
    base: KnowledgeBase,
    path: Path,
    negatives: int = 4,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[list[Pair], int]:
    """The pairs of the questions of a file, and how many questions were left out because none of
    the first 200 passages answers them. Each question gets the first passage that answers it, and
    as many that do not as `negatives` says: those that the search puts first, which are the hardest
    to tell apart (hard negatives, Karpukhin et al. 2020, arXiv:2004.04906). Raises `XinyeError` if
    no question is left."""
    found, left_out = list[Pair](), 0
    questions = read_questions(path)
    for number, question in enumerate(questions):
        progress(f"searching for question {number + 1:,} of {len(questions):,}")
        own = [*_pairs_of(base, question, negatives)]
        left_out += not own
        found += own
    if not found:
        raise XinyeError(f"{path}: none of these questions is answered by a passage of the base")
    return found, left_out


def _pairs_of(base: KnowledgeBase, question: Question, negatives: int) -> Iterator[Pair]:
    passages: list[Found] = []
    right: Found | None = None
    for depth in DEPTHS:
        passages = base.search(question.text, depth)
        right = next((each for each in passages if question.is_answered_by(each)), None)
        if right:
            break
    if not right:
        return
    yield _pair(question, right, RELEVANT)
    wrong = [each for each in passages if not question.is_answered_by(each)]
    for each in wrong[:negatives]:
        yield _pair(question, each, IRRELEVANT)


def _pair(question: Question, passage: Found, label: str) -> Pair:
    read = indexed_text(passage.title, passage.section, passage.text)
    return Pair(question.text, read, label)
