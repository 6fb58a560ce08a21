"""Resuming a run: its saved settings, and checks that its text and models are unchanged."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from xinye.checkpoints.folders import checkpoints, step_of
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, plural, quoted
from xinye.planning.command_line import command_line, flat
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.models import Models
from xinye.planning.settings import BUDGETS, PARSERS, PretrainSettings, inherited_settings
from xinye.runs.folder import DAMAGED, Extension, RunFolder, Values

# settings with no effect on the result
FREE = (
    *("micro_batch_size", "activation_checkpointing", "parallel", "shard_cache"),
    *("track", "keep_checkpoints"),
)
NO_BUDGET: Values = {**dict.fromkeys(BUDGETS), "total_steps": ()}
PLACES = (
    "files",
    "data",
    "validation",
    "task_mix",
)  # for these, the content is compared, not the path


class Data(Protocol):
    """The data of a run, as far as its folder describes it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def facts(self) -> Values: ...


def saved_settings(
    output: Path, asked: PretrainSettings | None = None, longer: Extension | None = None
) -> PretrainSettings:
    """The settings of a pretraining run, to resume it; with `longer`, those of the extended run.

    Raises `XinyeError` if there is no run or it is damaged, or if the `asked` settings differ from
    the saved ones.
    """
    run = RunFolder(output)
    if not run.exists:
        raise XinyeError(f"{output}: there is no run to resume")
    given = saved_values(run, PretrainSettings)
    # A run may be killed after its first checkpoint and before the model is copied to its folder.
    newest = next(reversed(checkpoints(output)), output)
    tokenizer = output if (output / "tokenizer.json").is_file() else newest
    plan = run.plan()
    values = given | {name: plan[name] for name in plan if name in PretrainSettings.model_fields}
    try:
        length = longer.budget if longer else length_of(plan, budget_of(run, given))
        values |= {
            **NO_BUDGET,
            **length,
            "vocab_size": None,  # follows from the tokenizer
            "compile": "yes" if plan["compile"] else "no",
            "parallel": given.get("parallel", "auto"),
            "tokenizer": str(tokenizer),
            "output": output,
        }
    except KeyError as error:
        raise XinyeError(f"{run.plan_file}: damaged ({error} is missing)") from None
    if "from" in given:  # the saved model replaces the one that the run started from
        values["from"] = str(newest)
    for name in inherited_settings(given.get("from"), given.get("teacher")):
        values.pop(name, None)
    if asked is not None:
        if not (tokenizer / "tokenizer.json").is_file():  # it never saved
            raise no_checkpoint(run)
        check_same(output, asked, given, plan, tokenizer)
        values |= given_anew(asked, "files", "task_mix")
    return checked(PretrainSettings, values, f"{run.plan_file}: {DAMAGED}")


def saved_finetune_values(
    output: Path,
    asked: FinetuneSettings,
    unused: Sequence[str],
    longer: Extension | None = None,
) -> Values:
    """The settings of a fine-tuning run as plain values, to resume it. `unused` are settings that
    its task does not take.

    Raises `XinyeError` if the `asked` settings differ from the saved ones.
    """
    run = RunFolder(output)
    given, plan = run.about()["settings"], run.plan()
    check_same(output, asked, given, plan)
    derived = {
        name: plan[name]
        for name in plan
        if name in FinetuneSettings.model_fields and name not in (*unused, "parallel")
    }
    if longer:
        derived.pop("cooldown", None)  # a length that is asked for is trained
    budget = longer.budget if longer else length_of(plan, {})
    length = {"epochs": None, "steps": None, "total_steps": (), **budget}
    anew = given_anew(asked, "data", "validation")
    return given | derived | length | {"output": output} | anew


def given_anew(asked: Settings, *places: str) -> Values:
    """The settings that may change when a run is resumed, and that were given again."""
    given = {
        name: getattr(asked, name) for name in (*places, *FREE) if name in asked.model_fields_set
    }
    return {name: value for name, value in given.items() if value not in (None, ())}


def saved_values(run: RunFolder, kind: type[Settings]) -> Values:
    """The settings in a run's `settings.json`, by name. Raises `XinyeError` if they are damaged or
    not of this kind."""
    about = run.about()
    given, recipe = about.get("settings"), about.get("recipe", PretrainSettings.recipe)
    if recipe in ("pretrain", "finetune") and recipe != kind.recipe:
        raise XinyeError(
            f"{run}: this is not a run of xinye {kind.recipe}; resume it with xinye {recipe} -o "
            f"{quoted(run)} --resume"
        )
    if not isinstance(given, dict):
        raise XinyeError(f"{run.settings_file}: damaged (settings are missing)")
    # The folder of the tokenizer may be gone, but the run has a copy.
    checked(
        kind,
        {name: given[name] for name in given if name != "tokenizer"},
        f"{run.settings_file}: {DAMAGED}",
    )
    return given


def budget_of(run: RunFolder, given: Values) -> Values:
    """The budget of a run as the user gave it last, by name; for a fine-tuning it may be empty."""
    extended = run.extensions()
    asked = {name: given[name] for name in BUDGETS if given.get(name)}
    usual = {"time": "10min"} if "total_steps" in run.plan() else {}
    return extended[-1].budget if extended else asked or usual


def length_of(plan: Values, budget: Values) -> Values:
    """The settings that give a run the same length again: its steps, or for a budget of time the
    steps planned so far, so that the rest can be planned again."""
    if "total_steps" not in plan:
        return {"steps": plan.get("steps")}
    time = {"time": budget["time"]} if "time" in budget else {}
    return {"total_steps": plan["total_steps"], **time}


def _same(name: str, value: object, budget: Values) -> bool:
    """Whether a value means the same as that of the saved budget, such as 1M and 1000000."""
    parse = PARSERS.get(name, str)
    return name in budget and parse(str(value)) == parse(str(budget[name]))


def extension(output: Path, asked: Settings) -> Extension | None:
    """The extension of a run if `asked` gives it another length than it had; else None.

    Raises `XinyeError` if there is no checkpoint, or if it is damaged.
    """
    run = RunFolder(output)
    plan, budget = run.plan(), budget_of(run, saved_values(run, type(asked)))
    typed = asked.model_dump(mode="json", include={*BUDGETS}, exclude_unset=True)
    wanted = {name: value for name, value in typed.items() if value}
    if all(_same(name, value, budget) or value == plan.get(name) for name, value in wanted.items()):
        return None
    newest = next(reversed(checkpoints(output)), None)
    if newest is None:
        raise no_checkpoint(run)
    seconds = read_json(newest / "progress.json").get("seconds")
    if not isinstance(seconds, int | float):
        raise XinyeError(f"{newest / 'progress.json'}: damaged (seconds is not a number)")
    command = command_line(asked.recipe, {"output": str(output), "resume": True, **wanted})
    noted = {
        "step": step_of(newest),
        "seconds": seconds,
        "total_steps": plan.get("total_steps") or [[0, plan.get("steps")]],
        "budget": wanted,
        "command": shlex.join(command),
        "validation": run.result().get("validation") if run.ended else None,
    }
    return checked(Extension, noted, f"{run.plan_file}: {DAMAGED}")


def no_checkpoint(run: RunFolder) -> XinyeError:
    """The error that a run cannot be resumed, and what to do."""
    if run.ended:
        return XinyeError(
            f"{run}: its checkpoints were deleted, so it cannot be resumed; start again with "
            "--overwrite, or start another run from its model"
        )
    return XinyeError(f"{run}: there is no checkpoint to resume from; start again with --overwrite")


def check_same(
    output: Path,
    asked: Settings,
    given: Values,
    plan: Values,
    tokenizer: Path | None = None,
) -> None:
    """Raise `XinyeError` if `asked` differs from the settings that the run was started with; it
    names all differences."""
    without = {*PLACES, "output", *FREE, *BUDGETS}
    wanted = flat(asked.model_dump(mode="json", exclude_unset=True, exclude=without))
    given, defaults = flat(given), flat(type(asked)().model_dump(mode="json"))
    differences = []
    for name, value in wanted.items():
        before = given.get(name, plan.get(name, defaults[name]))
        same = value in (before, plan.get(name))
        if name == "compile":
            same = value in (given.get(name, "auto"), "yes" if plan["compile"] else "no")
        elif tokenizer and name == "tokenizer" and Path(value).is_dir():
            same = (
                same or Tokenizer.load(value).fingerprint == Tokenizer.load(tokenizer).fingerprint
            )
        if not same:
            differences.append(f"{name} was {_short(before)}, now {_short(value)}")
    if differences:
        fields = type(asked).model_fields
        free = ", ".join(f"--{name.replace('_', '-')}" for name in FREE if name in fields)
        raise XinyeError(
            f"{output}: these settings differ from the saved run: {'; '.join(differences)}. A "
            f"resumed run can change only its length and {free}; leave the others out, "
            "or start another run with -o"
        )


def check_text(output: Path, text: Data) -> None:
    """Raise `XinyeError` if the text differs from that of the run."""
    saved = RunFolder(output).about()
    before = saved.get("data", {})
    if _contents(before) != _contents(text.facts):
        raise XinyeError(
            f"{output}: the records or shares of --task-mix have changed since the run was "
            "started; restore the old ones, or start another run with -o"
        )
    if text.fingerprint == saved.get("text", text.fingerprint):
        return
    changes = [
        f"{plural(before[name], name[:-1])} at the start, {plural(text.facts[name], name[:-1])} now"
        for name in ("files", "bytes", "characters", "documents")
        if name in before and before[name] != text.facts[name]
    ]
    raise XinyeError(
        f"{output}: the text has changed since the run was started "
        f"({'; '.join(changes) or 'the size is the same'}); restore the old text, or start another "
        "run with -o"
    )


def _contents(facts: Values) -> list[Values]:
    """What a run mixed into its text, without the names of the files, which may be moved."""
    return [
        {name: value for name, value in mixed.items() if name != "file"}
        for mixed in facts.get("task_mix", [])
    ]


def check_teacher(output: Path, models: Models) -> None:
    """Raise `XinyeError` if the teacher differs from that of the run."""
    saved = RunFolder(output).about().get("models", {}).get("teacher", {})
    if models.teacher and saved.get("fingerprint") != models.told["teacher"]["fingerprint"]:
        raise XinyeError(
            f"{output}: the teacher has changed since the run was started; restore the old one, or "
            "start another run with -o"
        )


def _short(value: object) -> object:
    """A number of the plan as it is printed there."""
    return f"{value:.4g}" if isinstance(value, float) else value
