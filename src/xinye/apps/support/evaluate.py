"""Evaluates a desk: asks the bot the questions that were kept apart, and counts what it answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xinye.apps.chance import likely_share
from xinye.apps.support.calibrating import is_right
from xinye.apps.support.desk_folder import DeskFolder, TestQuestion
from xinye.apps.support.documents import says
from xinye.apps.support.faq import Entry
from xinye.apps.support.held_out import without, wordings
from xinye.apps.support.messages import Message
from xinye.apps.support.models import Models
from xinye.apps.support.replies import Answerer
from xinye.apps.support.reply import FROM_DOCUMENTS, HANDOVER, UNSURE, Reply
from xinye.data.files import write_json_lines
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.retrieval.index import Index, rarity_of

NO_ANSWERS = (HANDOVER, UNSURE)
JUDGED = ("faq", *FROM_DOCUMENTS)  # the logs' answers tell whether these are right


@dataclass(frozen=True)
class Baseline:
    """What BM25 does that answers as many questions: those with the highest scores. How many of
    these answers are right, and the AUROC of its score."""

    right: int
    auroc: float | None


@dataclass(frozen=True)
class DeskEvaluation:
    """The figures of a desk. Of its `answered` questions, `right` say what the logs' answer says:
    one of the FAQ all of it, one from documents at least half. `unjudged` got a template, which
    only a person can judge. `auroc` says how well the
    bot's score tells the questions that the FAQ can answer from the others (0.5 is chance, 1 is
    perfect)."""

    desk: str
    wanted: float  # precision
    questions: int
    answerable: int  # of these; of the others the FAQ has no answer while it is tested
    answered: int
    right: int
    unjudged: int
    kinds: dict[str, int]  # replies of each kind
    right_of_kind: dict[str, int]  # of the judged ones
    auroc: float | None
    baseline: Baseline

    @property
    def judged(self) -> int:
        """The answers that are known to be right or wrong."""
        return self.answered - self.unjudged

    @property
    def precision(self) -> float | None:
        """The share of the judged answers that is right; None without any."""
        return self.right / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between what the precision on many questions lies, with a confidence of 95% (Wilson's
        interval); None without judged answers."""
        return likely_share(self.right / self.judged, self.judged) if self.judged else None


def evaluate_desk(
    folder: Path, output: Path | None = None, observer: Observer | None = None
) -> DeskEvaluation:
    """The figures of the desk in a folder. `output` gets each question with its reply, as JSON
    Lines. Raises `XinyeError` if the desk is damaged, or has no questions to test on."""
    observer = observer or Observer()
    desk = DeskFolder.read(folder)
    test = [each for each in desk.test if each.answer]
    if not test:
        raise XinyeError(
            f"{folder}: there are no questions with an answer to test on; prepare the desk again "
            "with --test-share 0.1"
        )
    observer.stage("asking the questions that were kept apart")
    tested = replace(desk, entries=without(desk.entries, test))
    bot = Answerer(tested, Models.load(tested))
    replies = []
    for number, each in enumerate(test, 1):
        observer.progress(f"{number:,} of {len(test):,}")
        replies.append(bot.answer([Message.of_customer(each.question)]))
    if output:
        write_json_lines(output, map(_row, test, replies))
    return _figures(tested, test, replies)


def _figures(
    desk: DeskFolder, test: Sequence[TestQuestion], replies: Sequence[Reply]
) -> DeskEvaluation:
    answered = [each.kind not in NO_ANSWERS for each in replies]
    judged = [each.kind in JUDGED for each in replies]
    right = [_right(each, asked) for each, asked in zip(replies, test, strict=True)]
    right_of_kind = Counter(each.kind for each, good in zip(replies, right, strict=True) if good)
    answerable = [each.answerable for each in test]
    return DeskEvaluation(
        desk=str(desk.folder),
        wanted=desk.settings.precision,
        questions=len(test),
        answerable=sum(answerable),
        answered=sum(answered),
        right=sum(map(bool, right)),
        unjudged=sum(answered) - sum(judged),
        kinds=dict(Counter(each.kind for each in replies).most_common()),
        right_of_kind={each: right_of_kind[each] for each in JUDGED},
        auroc=_auroc([_confidence(desk, each) for each in test], answerable),
        baseline=_baseline(desk.entries, test, sum(judged)),
    )


def _right(reply: Reply, asked: TestQuestion) -> bool | None:
    """Whether a reply says what the logs' answer says; None if that does not tell."""
    if reply.kind not in JUDGED:
        return None
    if reply.kind in FROM_DOCUMENTS:
        return says(reply.answer, asked.question, asked.answer)
    return is_right(reply.answer, asked)


def _confidence(desk: DeskFolder, asked: TestQuestion) -> float:
    match = desk.matcher.match(asked.question)
    return match.confidence if match and desk.entries[match.entry].answered else 0.0


def _baseline(entries: Sequence[Entry], test: Sequence[TestQuestion], count: int) -> Baseline:
    """BM25 that answers so many questions."""
    entries = [entry for entry in entries if entry.answered]
    known = wordings(entries)
    if not known:
        return Baseline(0, None)
    index = Index.of([each.text for each in known])
    best = []
    for each in test:
        scores = index.scores(rarity_of(each.question, [index]))
        first = int(np.argmax(scores))
        answer = entries[known[first].entry or 0].answer
        best.append((float(scores[first]), is_right(answer, each)))
    firsts = sorted(best, key=lambda each: -each[0])[:count]
    auroc = _auroc([score for score, _ in best], [each.answerable for each in test])
    return Baseline(sum(right for _, right in firsts), auroc)


def _auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The area under the ROC curve; None unless there are both kinds."""
    from sklearn.metrics import roc_auc_score

    if all(positive) or not any(positive):
        return None
    return float(roc_auc_score(positive, scores))


def _row(asked: TestQuestion, reply: Reply) -> dict[str, Any]:
    return {
        "question": asked.question,
        "kind": reply.kind,
        "reply": reply.text,
        "score": reply.score,
        "threshold": reply.threshold,
        "answer": asked.answer,
        "answerable": asked.answerable,
        "right": _right(reply, asked),
    }
