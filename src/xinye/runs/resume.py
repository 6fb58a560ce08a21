"""Going on with a run: its settings as they were, and whether all else is still what it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from xinye.checkpoints.folders import checkpoints
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.planning.command_line import flat
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.models import Models
from xinye.planning.settings import PretrainSettings, inherited_settings
from xinye.runs.folder import RunFolder, Values

FREE = ("micro_batch_size", "track", "keep_checkpoints")  # settings with no effect on the result
PLACES = ("files", "data", "validation")  # whether what lies there is the same is seen from itself


class Data(Protocol):
    """What a run learns from, as far as its folder tells of it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def facts(self) -> Values: ...


def saved_settings(output: Path, asked: PretrainSettings | None = None) -> PretrainSettings:
    """Those of a pretraining."""
    run = RunFolder(output)
    if not run.exists:
        raise XinyeError(f"{output}: there is no run to resume")
    damaged = f"{run.training}: settings.json or plan.json is damaged"
    try:
        given, plan = run.about()["settings"], run.plan()
        # a kill may come after the first checkpoint, before its model is published
        newest = next(reversed(checkpoints(output)), output)
        tokenizer = output if (output / "tokenizer.json").is_file() else newest
        values = given | {
            name: plan[name] for name in plan if name in PretrainSettings.model_fields
        }
        values |= {
            "compile": "yes" if plan["compile"] else "no",
            "tokenizer": str(tokenizer),
            "output": output,
        }
        # steps and tokenizer say it
        values |= dict.fromkeys(("time", "tokens", "epochs", "vocab_size"))
        if "total_steps" in plan:
            values["steps"] = None
            if "total_steps" not in given:  # a budget in time, of which some is left
                values["time"] = given.get("time", "10min")
        if "from" in given:  # what is saved stands for the model that the run began with
            values["from"] = str(newest)
        for name in inherited_settings(given.get("from"), given.get("teacher")):
            values.pop(name, None)
    except (KeyError, TypeError, AttributeError, XinyeError) as error:
        raise XinyeError(f"{damaged} ({error})", exit_code=1) from None
    if asked is not None:
        if not (tokenizer / "tokenizer.json").is_file():  # it was killed before the first
            raise XinyeError(f"{output}: no checkpoint to go on from; start anew with --overwrite")
        check_same(output, asked, given, plan, tokenizer)
        values |= {name: getattr(asked, name) for name in ("files", *FREE) if getattr(asked, name)}
    return checked(PretrainSettings, values, damaged)


def saved_finetune_values(output: Path, asked: FinetuneSettings, unused: Sequence[str]) -> Values:
    """Those of a fine-tuning, as plain values; `unused` are settings that its task does not
    take."""
    run = RunFolder(output)
    given, plan = run.about()["settings"], run.plan()
    check_same(output, asked, given, plan)
    derived = {
        name: plan[name]
        for name in plan
        if name in FinetuneSettings.model_fields and name not in unused
    }
    new = {name: getattr(asked, name) for name in ("data", "validation", *FREE)}
    given_anew = {name: value for name, value in new.items() if value}
    return given | derived | {"output": output} | given_anew


def check_same(
    output: Path,
    asked: Settings,
    given: Values,
    plan: Values,
    tokenizer: Path | None = None,
) -> None:
    """Raises `XinyeError` where something is asked for that is not what a run was started with; it
    names all of it."""
    wanted = flat(
        asked.model_dump(mode="json", exclude_unset=True, exclude={*PLACES, "output", *FREE})
    )
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
            differences.append(f"{name} {before}, not {value}")
    if differences:
        raise XinyeError(
            f"{output}: this run was started with {'; '.join(differences)}. Going on, only "
            f"{', '.join(FREE)} may be others; leave the rest out, or start anew in another folder"
        )


def check_text(output: Path, text: Data) -> None:
    """Raises `XinyeError` where the text is not the one that a run was started with."""
    saved = RunFolder(output).about()
    if text.fingerprint == saved.get("text", text.fingerprint):
        return
    before = saved.get("data", {})
    changes = [
        f"{name} {before[name]:,} before, {text.facts[name]:,} now"
        for name in ("files", "bytes", "characters", "documents")
        if name in before and before[name] != text.facts[name]
    ]
    raise XinyeError(
        f"{output}: its text has changed since the run began "
        f"({'; '.join(changes) or 'of the same size'}); put the "
        "old text back, or start anew in another folder"
    )


def check_teacher(output: Path, models: Models) -> None:
    """Raises `XinyeError` where the teacher is not the one that a run was started with."""
    saved = RunFolder(output).about().get("models", {}).get("teacher", {})
    if models.teacher and saved.get("fingerprint") != models.told["teacher"]["fingerprint"]:
        raise XinyeError(
            f"{output}: its teacher has changed since the run began; put the old one back, or "
            "start anew in another folder"
        )
