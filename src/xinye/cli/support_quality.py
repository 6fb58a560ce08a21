"""`xinye support evaluate` and `xinye support improve`"""

from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import JSON, Parser, flag
from xinye.cli.output import Display, answer, console, print_json, verbatim
from xinye.cli.support import SHOWN, show_unanswerable
from xinye.errors import one_line, plural
from xinye.language import shown, shown_word

if TYPE_CHECKING:  # numpy and scikit-learn are imported where they are used
    from xinye.apps.support.calibrating import Tested
    from xinye.apps.support.evaluate import DeskEvaluation
    from xinye.apps.support.improve import Improvement


def evaluate(arguments: list[str]) -> int:
    given = Parser(
        "support evaluate",
        "Ask a desk the questions that were kept apart when it was made, and count what the bot "
        "answers, how much of it is right, and what it refuses; beside BM25 that answers as many.",
        "xinye support evaluate desk -o replies.jsonl",
        flag("desk", "DESK", "folder of a desk", type=Path),
        flag("-o --output", "FILE", "write each question with its reply, as JSON Lines", type=Path),
        JSON,
    ).read(arguments)

    from xinye.apps.support.evaluate import evaluate_desk

    with Display(show_plan=False) as display:
        found = evaluate_desk(given.desk, given.output, display)
    if given.json:
        figures = {
            "baseline": vars(found.baseline),
            "precision": found.precision,
            "interval": found.interval,
        }
        print_json(vars(found) | figures)
    else:
        show_evaluation(found)
    return 0


def show_evaluation(found: "DeskEvaluation") -> None:
    """Print what the bot answered, and how much of it is right."""
    asked = plural(found.questions, "question")
    if found.answerable:
        answer.print(
            f"{asked} kept apart; the FAQ has the answer of {found.answerable:,}, in other words"
        )
    else:
        show_unanswerable(asked)
    share = f"{found.answered / found.questions:.1%}"
    answer.print(f"answered: {found.answered:,} ({share})")
    if found.precision is not None and found.interval is not None:
        judged, wanted = f"{found.judged:,}", f"{found.wanted:.0%}"
        answer.print(
            f"right: {found.right:,} of {judged} ({found.precision:.1%}; wanted: {wanted})"
        )
        low, high = (f"{each:.0%}" for each in found.interval)
        answer.print(f"with so many questions, the true share is likely between {low} and {high}")
        if found.answerable:
            answer.print(f"BM25 with as many answers: {found.baseline.right:,} of {judged} right")
    if found.unjudged:
        answer.print(
            f"answered with a template: {found.unjudged:,}; read them in the file that -o writes, "
            "since the logs do not tell whether they are right"
        )
    if found.auroc is not None and found.baseline.auroc is not None:
        answer.print(
            "telling what the FAQ can answer (AUROC): "
            f"{found.auroc:.3f}; BM25 score: {found.baseline.auroc:.3f}"
        )
    for kind, count in found.kinds.items():
        answer.print(verbatim(f"  {count:>7,}  {shown_word(kind)}"))
        if kind in found.right_of_kind:
            answer.print(f"           of these right: {found.right_of_kind[kind]:,}")


def improve(arguments: list[str]) -> int:
    given = Parser(
        "support improve",
        "Learn from the feedback that operators approved: new wordings, corrected and new answers. "
        "The new desk is compared with the old one on the questions that were kept apart, takes "
        "its place only if it is not worse, and the old one is kept beside it. A running server "
        "notices it.",
        "xinye support improve desk --store support.db",
        flag("desk", "DESK", "folder of a desk", type=Path),
        flag("--store", "FILE", "the store of conversations", required=True, type=Path),
        JSON,
    ).read(arguments)

    from xinye.apps.support.improve import improve as learn

    with Display(show_plan=False) as display:
        found = learn(given.desk, given.store, display)
    if given.json:
        figures = {"before": vars(found.before), "after": vars(found.after)}
        print_json(vars(found) | figures | {"replaced": found.replaced, "judged": found.judged})
    else:
        show_improvement(found)
    return 0


def show_improvement(found: "Improvement") -> None:
    """Print what was learned, and whether the new desk is better."""
    answer.print(
        f"{plural(found.approved, 'approved answer')}: {found.added:,} new in the FAQ, "
        f"{found.corrected:,} corrected, {found.reworded:,} new wordings, {found.known:,} known "
        "already"
    )
    for why, count in found.left_out.items():
        answer.print(verbatim(f"  {count:>7,}  {shown(why)}"), soft_wrap=True)
    if found.conflicts:
        asked = plural(len(found.conflicts), "question")
        answer.print(
            f"different answers to {asked} were approved, of which the one approved last counts:"
        )
    for question, answers in [*found.conflicts.items()][:SHOWN]:
        answer.print(verbatim(f"  {one_line(question)}"), soft_wrap=True)
        for text in answers:
            answer.print(verbatim(f"    → {one_line(text)}"), soft_wrap=True)
    if found.uncorrected:
        answer.print(
            "an approved answer holds for its own question only; these other wordings keep the old "
            "answer, until you correct them, too, or edit faq.jsonl:",
            soft_wrap=True,
        )
    for text, wordings in [*found.uncorrected.items()][:SHOWN]:
        for wording in wordings[:SHOWN]:
            answer.print(verbatim(f"  {one_line(wording)}"), soft_wrap=True)
        if len(wordings) > SHOWN:
            answer.print(verbatim(f"  … (+{len(wordings) - SHOWN:,})"))
        answer.print(verbatim(f"    → {one_line(text)}"), soft_wrap=True)
    asked = plural(found.after.questions, "question")
    if found.judged:
        before, after = _tested(found.before), _tested(found.after)
        answer.print(f"test on {asked}: before {before}, after {after} (right of answered)")
    else:
        answer.print(
            f"test on {asked}: neither the old nor the new desk answers any, so they were not "
            "compared; the new one is used because its answers were approved",
            soft_wrap=True,
        )
    if found.replaced:
        console.print(
            f"the new desk is in {found.desk}; the old one is kept in {found.kept}", soft_wrap=True
        )
    else:
        console.print(
            "the new desk would be worse, so the old one stays; look at the approved answers, and "
            "at other wordings of what they correct",
            soft_wrap=True,
        )


def _tested(tested: "Tested") -> str:
    return f"{tested.right:,}/{tested.answered:,}"
