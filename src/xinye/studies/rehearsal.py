"""What the jobs of several runs on one text share: a plan and its speed, found once; a file of settings in the end."""

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xinye.checkpoints.folders import checkpoints
from xinye.data.files import read_json
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import load_models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.leftovers import refuse_link
from xinye.tasks.text import Text, prepare_text
from xinye.training.finetune import finetune
from xinye.training.loop import Step
from xinye.training.pretrain import pretrain
from xinye.watcher import Watcher

NO_BUDGET = {"time": None, "tokens": None, "epochs": None, "steps": None, "total_steps": ()}


class Passing(Watcher):
    """Of one run among several: steps and warnings are passed on, the plan is kept, the rest is silent."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.values: dict[str, Any] = {}

    def plan(self, plan: Plan) -> None:
        self.values = plan.values
        self.watcher.plan(plan)

    def step(self, step: Step, steps: int) -> None:
        self.watcher.step(step, steps)

    def warn(self, text: str) -> None:
        self.watcher.warn(text)


@dataclass(frozen=True)
class Rehearsal:
    """`values` are those of the plan, a budget in time turned into steps."""

    text: Text
    values: dict[str, Any]


def rehearse(settings: PretrainSettings, watcher: Watcher) -> Rehearsal:
    """Plan a run without leaving anything behind, so that whatever is wrong with it is told before anything is made."""
    text = prepare_text(settings, Plan(), watcher, load_models(settings))
    watcher.stage("measuring the speed")
    passing = Passing(watcher)
    with tempfile.TemporaryDirectory() as place:
        text.tokenizer.save(place)
        pretrain(
            settings.model_copy(update={"tokenizer": place, "vocab_size": None}),
            passing,
            dry_run=True,
        )
    return Rehearsal(text, passing.values)


def finished_run(
    settings: PretrainSettings | FinetuneSettings, watcher: Watcher
) -> dict[str, Any] | None:
    """The figures of a run in the folder of the settings: trained now, gone on with, or finished before. None when
    interrupted."""
    assert settings.output is not None
    path = settings.output / "training" / "result.json"
    result = read_json(path) if path.is_file() else {"interrupted": True}
    with_control = isinstance(settings, FinetuneSettings) and settings.augment and settings.control
    if result["interrupted"] or (with_control and "control" not in result):
        begun = bool(checkpoints(settings.output))
        if isinstance(settings, PretrainSettings):
            run = pretrain(settings, watcher, overwrite=not begun, resume=begun)
        else:
            run = finetune(settings, watcher, overwrite=not begun, resume=begun)
        assert run is not None
        if run.interrupted:
            return None
    return read_json(path)


def folder_for(settings: PretrainSettings, job: str) -> Path:
    """The folder that is given, else `runs/JOB-` and the first file's name: the same again for the same command."""
    name = Path(settings.files[0]).stem.split(".")[0].strip("*")
    return settings.output or Path("runs") / f"{job}-{name or 'text'}"


def is_new(output: Path, record: str, job: str, overwrite: bool) -> bool:
    """Whether a folder is free to be used, or to be overwritten; False where it holds a job, as its record says.
    Anything else is refused."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return True
    if not (output / record).is_file():
        raise XinyeError(f"{output}: exists and is not a {job}; choose another folder with -o")
    if overwrite:
        refuse_link(output)
    return overwrite


def write_config(path: Path, settings: PretrainSettings, found: dict[str, Any], note: str) -> None:
    """A file for `--config`: the settings given, with what was found above them; its first line is its command."""
    given = settings.model_dump(
        mode="json", exclude_defaults=True, exclude={"files", "output", *NO_BUDGET}
    )
    given |= {} if settings.from_ else {"size": settings.size}
    command = shlex.join(["xinye", "pretrain", *settings.files, "--config", str(path)])
    values = yaml.safe_dump({**given, **found}, allow_unicode=True, sort_keys=False)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(f"# {command}\n# {note}\n\n{values}", "utf-8")
    beside.replace(path)
