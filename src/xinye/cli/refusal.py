"""`xinye knowledge calibrate`, and what `search` and `evaluate` print of refusals"""

from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import JSON, Parser, flag
from xinye.cli.output import Display, answer, console, print_json, print_table
from xinye.errors import XinyeError, plural, quoted
from xinye.language import shown_word

if TYPE_CHECKING:  # numpy and scikit-learn are imported where they are used
    from xinye.retrieval.confidence import Calibration
    from xinye.retrieval.knowledge import KnowledgeBase
    from xinye.retrieval.refusal import Answering, Refusal

PRECISION = flag(
    "--precision", "P", "share of answers that must be right, such as 0.95", type=float
)
SHOWN = (0.8, 0.9, 0.95, 0.98)  # precisions in the table


def checked_precision(precision: float | None) -> float | None:
    if precision is not None and not 0.5 <= precision <= 0.99:
        raise XinyeError(f"--precision: {precision:g} is not between 0.5 and 0.99")
    return precision


def calibrate(arguments: list[str]) -> int:
    given = Parser(
        "knowledge calibrate",
        "Learn from questions when to say that a knowledge base has no answer. Each question is "
        "also asked with its passage hidden. QUESTIONS is a file as for evaluate, also with "
        "questions that the base cannot answer; without one, questions are made of the passages.",
        "xinye knowledge calibrate kb/laws questions.jsonl --precision 0.95",
        flag("knowledge", "KB", "folder of a knowledge base", type=Path),
        flag("questions", "QUESTIONS", "file of records with questions", nargs="?", type=Path),
        PRECISION,
        JSON,
    ).read(arguments)
    precision = checked_precision(given.precision)

    from xinye.retrieval import refusal
    from xinye.retrieval.evaluation import read_questions
    from xinye.retrieval.knowledge import KnowledgeBase

    base = KnowledgeBase(given.knowledge)
    with Display() as display:
        display.progress("calibrating")
        if given.questions:
            questions = read_questions(given.questions)
            learned = refusal.calibrate(base, questions, precision or refusal.PRECISION)
        else:
            learned = refusal.calibrate_itself(base, precision)
    if given.json:
        print_json(learned.model_dump(exclude={"asked"}))
    else:
        show_calibration(learned, base.folder)
    return 0


def show_calibration(calibration: "Calibration", folder: Path) -> None:
    """Print the share of questions that get an answer, for some precisions."""
    rows = []
    for precision in sorted({*SHOWN, calibration.precision}):
        at = calibration.reached(precision)
        if at:
            rows.append((f"{precision:.0%}", f"{at.answered:.1%}", f"{at.by_score:.1%}"))
    print_table(("precision", "answered", "answered by the BM25 score alone"), rows)
    questions = plural(calibration.questions, "question")
    if calibration.made:
        answer.print(f"\n{questions} made of the passages; the figures are cross-validated")
    else:
        answer.print(f"\n{questions}; the figures are cross-validated")
    at = calibration.threshold()
    console.print(
        f"{folder}: answers from a confidence of {at.confidence:.0%} on, for a precision of "
        f"{calibration.precision:.0%}",
        soft_wrap=True,
    )


def show_calibrated(base: "KnowledgeBase") -> None:
    """Print whether a base that was built refuses questions."""
    from xinye.retrieval.confidence import Calibration

    calibration = Calibration.load(base.folder)
    if calibration:
        console.print(
            "calibrated on questions made of the passages: refuses what they do not answer, so "
            f"that {calibration.precision:.0%} of the answers are right",
            soft_wrap=True,
        )
    else:
        show_never(base)


def show_never(base: "KnowledgeBase") -> None:
    """Print why a base refuses no question, and what to do, unless it is calibrated."""
    from xinye.retrieval.refusal import why_never

    if reason := why_never(base):
        console.print(
            f"{base.folder}: {reason}; use xinye knowledge calibrate {quoted(base.folder)} "
            "QUESTIONS",
            soft_wrap=True,
        )


def show_refused(reason: str) -> None:
    """Print why a question has no answer. That is a result, like an answer."""
    answer.print(f"no answer: {reason}", soft_wrap=True)


def show_refusal(refusal: "Refusal | None") -> None:
    """Print how well the base refuses, next to the baseline."""
    if refusal is None:
        return

    def row(name: str, answering: "Answering") -> tuple[str, ...]:
        precision = "–" if answering.precision is None else f"{answering.precision:.1%}"
        return (name, f"{answering.answered:.1%}", precision)

    answer.print()
    rows = [row(shown_word("confidence"), refusal.found), row("BM25 score alone", refusal.baseline)]
    print_table(("", "answered", "of them right"), rows)
    answer.print(
        f"\n{plural(refusal.questions, 'question')}, {refusal.without_answer:,} of them without an "
        f"answer in the knowledge base; calibrated for a precision of {refusal.wanted:.0%}"
    )
    for note in refusal.notes:
        console.print(note)
