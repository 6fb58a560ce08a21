"""What all studies of several runs share: planning, training, evaluating, and writing files."""

import shlex
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from xinye import machine
from xinye.checkpoints.folders import checkpoints
from xinye.data.batches import Batch
from xinye.data.files import written_beside
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.perplexity import evaluate
from xinye.evaluation.plots import save_chart
from xinye.model.adapters import ParameterCount
from xinye.model.build import LanguageModel
from xinye.observer import Observer
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.models import load_models
from xinye.planning.plan import Draft, Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.cleanup import refuse_link
from xinye.runs.folder import RunFolder, Values
from xinye.runs.resume import NO_BUDGET
from xinye.runs.saved import Result
from xinye.tasks.text import TextData, prepare_text
from xinye.training.job import Run
from xinye.training.loop import Step
from xinye.training.record_job import plan_of
from xinye.training.train import finetune, pretrain


class QuietObserver(Observer):
    """The observer of one run in a study. It passes on steps and warnings, keeps the plan's values,
    and drops everything else.
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.values: Values = {}

    def plan(self, plan: Plan, trainable: Sequence[ParameterCount] = ()) -> None:
        self.values = plan.values
        self.observer.plan(plan)

    def step(self, step: Step, steps: int) -> None:
        self.observer.step(step, steps)

    def warn(self, text: str) -> None:
        self.observer.warn(text)


@dataclass(frozen=True)
class Planned:
    """The values of a plan, in which a time budget has become steps, and, for pretraining, the
    text.
    """

    values: Values
    text: TextData | None = None


def saved_tokenizer(folder: Path) -> Values:
    """The settings that make a run use the tokenizer saved in a study's folder."""
    return {"tokenizer": str(folder / "tokenizer"), "vocab_size": None}


def plan_once(settings: Settings, observer: Observer) -> Planned:
    """Plan a run without leaving files behind, so that errors are reported before anything is
    created.
    """
    if isinstance(settings, FinetuneSettings):
        return Planned(plan_of(settings, observer))
    text = prepare_text(settings, Draft(), observer, load_models(settings))
    observer.stage("measuring the speed")
    observer = QuietObserver(observer)
    with tempfile.TemporaryDirectory() as place:
        text.tokenizer.save(place)
        changes = {"tokenizer": place, "vocab_size": None}
        pretrain(settings.model_copy(update=changes), observer, dry_run=True)
    return Planned(observer.values, text)


def train(
    settings: Settings, observer: Observer, overwrite: bool = False, resume: bool = False
) -> Run:
    """Train one run of a study. Raises `KeyboardInterrupt` if it is interrupted."""
    if isinstance(settings, FinetuneSettings):
        run: Run | None = finetune(settings, observer, overwrite, resume)
    else:
        run = pretrain(settings, observer, overwrite, resume)
    assert run is not None
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def finished_run(settings: Settings, observer: Observer) -> Result:
    """The result of the run in the settings' folder. The run is trained or resumed unless it has
    finished.
    """
    assert settings.output is not None
    run = RunFolder(settings.output)
    with_control = isinstance(settings, FinetuneSettings) and settings.augment and settings.control
    if not run.ended or (with_control and "control" not in run.result()):
        begun = bool(checkpoints(settings.output))
        train(settings, observer, overwrite=not begun, resume=begun)
    return checked(Result, run.result(), str(run.result_file))


def judge(model: LanguageModel, tokenizer: Tokenizer, batches: Iterable[Batch]) -> dict[str, float]:
    """`loss` (nats per token) and `bits_per_byte` of a model on held-out text."""
    figures = evaluate(model.to(machine.device()), batches, tokenizer.token_lengths)
    return {name: round(figures[name], 5) for name in ("loss", "bits_per_byte")}


# -- folders ---------------------------------------------------------------------------------------


def folder_for(settings: PretrainSettings, job: str) -> Path:
    """The given output folder, or `runs/JOB-` with the first file's name, which is always the
    same.
    """
    name = Path(settings.files[0]).stem.split(".")[0].strip("*")
    return settings.output or Path("runs") / f"{job}-{name or 'text'}"


def is_new(output: Path, record: str, job: str, overwrite: bool) -> bool:
    """True if the folder is free or may be overwritten; False if it holds such a job, which the
    file `record` shows. Raises `XinyeError` for a folder with anything else.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return True
    if not (output / record).is_file():
        raise XinyeError(
            f"{output}: the folder exists and is not a {job}; choose another folder with -o"
        )
    if overwrite:
        refuse_link(output)
    return overwrite


def write_config(path: Path, settings: PretrainSettings, found: Values, note: str) -> None:
    """Write a file for `--config`: the given settings, overridden by those that were found. The
    command to use it is in the first line.
    """
    without = {"files", "output", *NO_BUDGET}
    given = settings.model_dump(mode="json", exclude_defaults=True, exclude=without)
    given |= {} if settings.from_ else {"size": settings.size}
    values = yaml.safe_dump({**given, **found}, allow_unicode=True, sort_keys=False)
    with written_beside(path) as beside:
        beside.write_text(f"# {config_command(path, settings)}\n# {note}\n\n{values}", "utf-8")


def config_command(path: Path | str, settings: PretrainSettings) -> str:
    """The command that trains with a file of settings."""
    return shlex.join(command_line("pretrain", {"files": settings.files, "config": path}))


def save_charts(folder: Path, draw: Callable[[], dict[str, str]]) -> list[str]:
    """Save the charts that `draw` returns as SVG by file name. Returns their paths; none without
    matplotlib.
    """
    try:
        charts = draw()
    except XinyeError:
        return []
    for name, svg in charts.items():
        save_chart(svg, folder / name)
    return [str(folder / name) for name in charts]
