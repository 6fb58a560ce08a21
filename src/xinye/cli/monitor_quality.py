"""`xinye monitor evaluate` and `xinye monitor improve`"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import JSON, Parser, flag
from xinye.cli.monitor import SCORES, label_shown, show_likely, show_rare, show_uncalibrated
from xinye.cli.output import Display, answer, console, print_json, verbatim
from xinye.errors import plural
from xinye.language import shown_word
from xinye.planning.units import parse_time

if TYPE_CHECKING:  # torch is imported where it is used
    from xinye.apps.monitor.evaluate import Score
    from xinye.apps.monitor.improve import Improvement

SURE = 0.05  # a gain that luck explains with less probability needs no remark


def evaluate(arguments: list[str]) -> int:
    given = Parser(
        "monitor evaluate",
        "Test a monitor on the labelled texts that were kept apart when it was made, beside word "
        "counts on the same texts.",
        "xinye monitor evaluate monitor",
        flag("monitor", "MONITOR", "folder of a monitor", type=Path),
        JSON,
    ).read(arguments)

    from xinye.apps.monitor.evaluate import evaluate_monitor

    with Display(show_plan=False) as display:
        display.stage("reading the texts that were kept apart")
        found = evaluate_monitor(given.monitor)
    if given.json:
        print_json({role: asdict(score) for role, score in found.items()})
    else:
        show_scores(found)
    return 0


def show_scores(found: "Mapping[str, Score]") -> None:
    """Print the score of each role, and of each label."""
    for role, score in found.items():
        texts, reached = plural(score.texts, "text"), f"{score.score:.1%}"
        answer.print(f"role {shown_word(role)}: {SCORES[role]} on {texts}: {reached}")
        show_likely(score.likely)
        if score.baseline is not None:
            answer.print(f"  word counts: {score.baseline:.1%}")
        if not score.calibrated:
            show_uncalibrated()
        for label, each in score.by_label.items():
            answer.print(verbatim(f"  {each:>7.1%}  {label_shown(role, label)}"))


def improve(arguments: list[str]) -> int:
    given = Parser(
        "monitor improve",
        "Learn from the corrections that were approved: train the models again with them. Models "
        "that are better on the texts that were kept apart take the place of the old ones, which "
        "are kept beside the monitor.",
        "xinye monitor improve monitor --store monitor.db --from runs/base",
        flag("monitor", "MONITOR", "folder of a monitor", type=Path),
        flag("--store", "FILE", "the store of the monitor", required=True, type=Path),
        flag("--time", "TIME", "time to train models", "10min"),
        flag(
            "--from",
            "RUN",
            "the model to train from, instead of a small one from scratch",
            "",
            dest="beginning",
        ),
        JSON,
    ).read(arguments)  # fmt: skip

    from xinye.apps.monitor.improve import improve as learn
    from xinye.apps.training import Budget

    budget = Budget(parse_time(given.time), given.beginning)
    with Display(show_plan=False) as display:
        found = learn(given.monitor, given.store, budget, display)
    if given.json:
        print_json(asdict(found))
    else:
        show_improvement(found)
    return 0


def show_improvement(found: "Improvement") -> None:
    """Print what was learned, and which models are better."""
    answer.print(f"learned from {plural(found.texts, 'corrected text')}")
    if found.left_out:
        answer.print(
            "left out, because the test has nearly the same and would be given away: "
            f"{plural(found.left_out, 'corrected text')}",
            soft_wrap=True,
        )
    if found.too_rare:
        answer.print(
            "not learned, because all that they teach is too rare: "
            f"{plural(found.too_rare, 'corrected text')}",
            soft_wrap=True,
        )
    show_rare(found.rare)
    for role, before in found.before.items():
        if role not in found.after:
            continue
        texts = plural(before.texts, "text")
        old, new = f"{before.score:.1%}", f"{found.after[role].score:.1%}"
        name = shown_word(role)
        answer.print(f"role {name}: {SCORES[role]} on {texts}: before {old}, after {new}")
        if role in found.replaced and found.luck[role] > SURE:
            luck = f"{found.luck[role]:.0%}"
            answer.print(
                f"  luck alone gives such a gain on these texts with a probability of {luck}; a "
                "larger test tells more: label more texts, or prepare with --test-share 0.3",
                soft_wrap=True,
            )
    if found.replaced:
        console.print(
            f"the better models are in {found.monitor}; the old monitor is kept in {found.kept}",
            soft_wrap=True,
        )
        console.print(
            "to use them, stop xinye monitor serve or run, and start it again", soft_wrap=True
        )
    elif found.more_time:
        console.print(
            "no new model is better, so the old ones stay; the loss was still falling, so more "
            "time may help (--time 1h)",
            soft_wrap=True,
        )
    else:
        console.print(
            "no new model is better, so the old ones stay; correct and approve more documents",
            soft_wrap=True,
        )
