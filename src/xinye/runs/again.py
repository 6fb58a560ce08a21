"""The command that repeats a run on any machine. This module does not need torch.

It has the budget in steps, and spells out what was derived from the machine.
"""

import shlex
from collections.abc import Sequence

from xinye.planning.command_line import command_line
from xinye.planning.settings import BUDGETS
from xinye.runs.folder import Extension, Values

# settings that depend on the machine, directly or indirectly
DECIDED = {
    "pretrain": ("dropout", "dtype", "compile", "micro_batch_size"),
    "finetune": ("dropout", "dtype", "micro_batch_size"),
}


def command_again(
    recipe: str, given: Values, plan: Values, extended: Sequence[Extension], output: str
) -> str:
    """The command line that repeats a run, followed by one for each time that the run was
    extended."""
    first, *longer = lengths(plan, extended)
    decided = {name: plan[name] for name in DECIDED[recipe] if name in plan}
    if "compile" in decided:
        decided["compile"] = "yes" if plan["compile"] else "no"
    if recipe == "finetune" and given.get("epochs") and not longer:
        first = {"epochs": given["epochs"]}  # the same length, and easier to read
    elif plan.get("cooldown") and not longer:  # its last steps follow from what it learns
        planned = plan.get("total_steps") or [(0, plan.get("steps"))]
        first = {"steps": planned[0][1], "cooldown": plan["cooldown"]}
    values = {"output": output, **given, **dict.fromkeys(BUDGETS), **first, **decided}
    going_on = [{"output": output, "resume": True, **length} for length in longer]
    commands = [command_line(recipe, each) for each in (values, *going_on)]
    return " && ".join(shlex.join(words) for words in commands)


def lengths(plan: Values, extended: Sequence[Extension]) -> list[Values]:
    """The length of a run when it was started, and after each extension, as settings."""
    stages = [until(each.total_steps, each.step) for each in extended]
    stages.append([*(plan.get("total_steps") or [(0, plan.get("steps"))])])
    return [
        {"total_steps": pairs} if len(pairs) > 1 else {"steps": pairs[0][1]} for pairs in stages
    ]


def until(totals: Sequence[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    """The pairs (step, total) of a run that was extended at `step`, so that it ends there."""
    pairs = [pair for pair in totals if pair[0] < max(1, step)]
    return pairs if pairs[-1][1] == step else [*pairs, (step, step)]
