"""A run's folder: where it lies, what it was started with, and what stands in it when it goes on."""

import itertools
import json
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from xinye import machine
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.huggingface import write_json
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.planning import plan as planning
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import FROM_SCRATCH, Models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings, settled
from xinye.runs.leftovers import INNER_RUNS, refuse_link, remove_run

FORMAT = 1
FREE = ("micro_batch_size", "track")  # settings with no effect on the result
PLACES = (
    "files",
    "data",
    "validation",
)  # where text lies; whether it is the same is seen from itself


class Data(Protocol):
    """What a run learns from, as far as its folder tells of it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def facts(self) -> dict[str, Any]: ...


def default_output(settings: PretrainSettings) -> Path:
    """`runs/` and the first file's name; with a number behind it where that exists."""
    name = Path(settings.files[0]).stem.split(".")[0].strip("*") if settings.files else ""
    candidates = (
        Path("runs") / (f"{name or 'run'}-{i}" if i else name or "run") for i in itertools.count()
    )
    return next(path for path in candidates if not path.exists())


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse to touch what is there, unless it is a run and may be overwritten: what Xinye wrote, and nothing else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / "training" / "settings.json").is_file():
        raise XinyeError(f"{output}: exists and is not a run; choose another folder with -o")
    if not overwrite:
        raise XinyeError(
            f"{output}: this run exists; go on with it with --resume, or replace it with --overwrite"
        )
    refuse_link(output)


def saved_settings(output: Path, asked: PretrainSettings | None = None) -> PretrainSettings:
    """The settings a run was started with, and all that was derived for it: nothing is derived anew.

    What is `asked` for when it goes on may say the same again; another value is refused, but for those that have no
    effect on the result: `FREE`, and where the text lies.
    """
    path = output / "training" / "settings.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no run to resume")
    try:
        given, plan = (
            read_json(path)["settings"],
            read_json(output / "training" / "plan.json")["values"],
        )
        derived = {
            name: value for name, value in plan.items() if name in PretrainSettings.model_fields
        }
        published = (
            output / "tokenizer.json"
        ).is_file()  # or a kill came after the first checkpoint, before that
        tokenizer = output if published else next(reversed(checkpoints(output)), output)
        derived |= {
            "compile": "yes" if plan["compile"] else "no",
            "tokenizer": str(tokenizer),
            "output": output,
        }
        without = dict.fromkeys(
            ("time", "tokens", "epochs", "vocab_size")
        )  # steps and tokenizer say it
        if "total_steps" in plan:
            without["steps"] = None
        if (
            "total_steps" in plan and "total_steps" not in given
        ):  # a budget in time, of which some is left
            without["time"] = given.get("time", "10min")
        values = given | derived | without
        if "from" in given:  # what is saved stands for the model that the run began with
            values["from"] = str(next(reversed(checkpoints(output)), output))
        for name in settled(given.get("from"), given.get("teacher")):
            values.pop(name, None)
    except (KeyError, TypeError, AttributeError, XinyeError) as error:
        raise XinyeError(
            f"{path.parent}: settings.json or plan.json is damaged ({error})", exit_code=1
        ) from None
    if asked is not None:
        check_same(output, asked, given, plan, tokenizer)
        values |= {name: getattr(asked, name) for name in ("files", *FREE) if getattr(asked, name)}
    return checked(
        PretrainSettings, values, f"{path.parent}: settings.json or plan.json is damaged"
    )


def check_same(
    output: Path,
    asked: PretrainSettings | FinetuneSettings,
    given: dict[str, Any],
    plan: dict[str, Any],
    tokenizer: Path | None = None,
) -> None:
    """Raises `XinyeError` where something is asked for that is not what a run was started with; it names all of it."""
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
        if tokenizer and name == "tokenizer" and not same and Path(value).is_dir():
            same = Tokenizer.load(value).fingerprint == Tokenizer.load(tokenizer).fingerprint
        if not same:
            differences.append(f"{name} {before}, not {value}")
    if differences:
        raise XinyeError(
            f"{output}: this run was started with {'; '.join(differences)}. Going on, only {', '.join(FREE)} may be "
            "others; leave the rest out, or start anew in another folder"
        )


def flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of their groups, such as `cleaning`, beside the others."""
    groups = [value for value in settings.values() if isinstance(value, dict)]
    alone = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    return alone | {name: value for group in groups for name, value in group.items()}


def check_text(output: Path, text: Data) -> None:
    """Raises `XinyeError` where the text is not the one that a run was started with."""
    saved = read_json(output / "training" / "settings.json")
    if text.fingerprint == saved.get("text", text.fingerprint):
        return
    before = saved.get("data", {})
    changes = [
        f"{name} {before[name]:,} before, {text.facts[name]:,} now"
        for name in ("files", "bytes", "characters", "documents")
        if name in before and before[name] != text.facts[name]
    ]
    raise XinyeError(
        f"{output}: its text has changed since the run began ({'; '.join(changes) or 'of the same size'}); put the "
        "old text back, or start anew in another folder"
    )


def check_teacher(output: Path, models: Models) -> None:
    """Raises `XinyeError` where the teacher is not the one that a run was started with."""
    if not models.teacher:
        return
    saved = read_json(output / "training" / "settings.json").get("models", {})
    if saved.get("teacher", {}).get("fingerprint") != models.told["teacher"]["fingerprint"]:
        raise XinyeError(
            f"{output}: its teacher has changed since the run began; put the old one back, or start anew in another "
            "folder"
        )


def start_run(
    output: Path,
    settings: PretrainSettings | FinetuneSettings,
    plan: Plan,
    text: Data,
    overwrite: bool,
    models: Models = FROM_SCRATCH,
) -> None:
    states = planning.STATES[plan.values.get("optimizer", settings.optimizer)]
    # Two checkpoints, the best one, and a new one beside them; of an adapter, only what is trained.
    adapter = isinstance(settings, FinetuneSettings) and settings.adapter_settings
    saved = plan.values["trained_parameters" if adapter else "parameters"]
    needed = saved * (4 * (4 + states) + 2 * 4)
    try:
        existing = next(
            folder for folder in (output, *output.absolute().parents) if folder.is_dir()
        )
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise XinyeError(
                f"{output}: saving needs {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free there; make room, "
                "or choose another disk with -o",
                exit_code=1,
            )
        if overwrite and output.exists():
            remove_run(output, *INNER_RUNS)
        (output / "training").mkdir(parents=True, exist_ok=True)
        theirs = (
            settled(settings.from_, settings.teacher)
            if isinstance(settings, PretrainSettings)
            else ()
        )
        data = {
            "format": FORMAT,
            "recipe": settings.recipe,
            "text": text.fingerprint,
            "models": models.told,
            "settings": settings.model_dump(
                mode="json", exclude_defaults=True, exclude={"output", *theirs}
            ),
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "data": text.facts,
            "machine": machine.description(machine.device()),
        }
        write_json(output / "training" / "settings.json", data)
        write_json(
            output / "training" / "plan.json", {"values": plan.values, "reasons": plan.reasons}
        )
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error


def forget_metrics(output: Path, step: int) -> None:
    """Drop what was noted after the checkpoint that a run goes on from: those steps are taken again."""
    path = output / "training" / "metrics.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    beside = path.with_name(".metrics.jsonl.new")
    with beside.open("w", encoding="utf-8") as file:
        for line in lines:
            with suppress(ValueError):  # a kill may have cut the last one short
                record = json.loads(line)
                if record["step"] <= step and record["kind"] != "result":
                    file.write(line + "\n")
    beside.replace(path)
