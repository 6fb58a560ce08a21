"""The Python interface of Xinye. Its names are those of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xinye import machine
from xinye.api.model import Files, Model, names_of
from xinye.checkpoints.bases import based_on
from xinye.checkpoints.load import load_any
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.jobs.answering import Answered
from xinye.jobs.evaluate import Evaluation
from xinye.model.memory import gather
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.tasks.registry import find_task
from xinye.tasks.settings import task_settings
from xinye.training import train
from xinye.training.display import Display
from xinye.training.job import Run
from xinye.training.train import Resume

__all__ = [
    "Answered",
    "Evaluation",
    "Model",
    "Run",
    "finetune",
    "load",
    "pretrain",
]


def load(
    model: str | Path,
    dtype: str = "auto",
    speculation: str | Path = "auto",
    base: str | Path | None = None,
) -> Model:
    """Load a model with its tokenizer; returns a `Model`.

    `model` is the folder of a run, an adapter or a Hugging Face model (GPT-2, Llama, Mistral, Qwen2
    or Qwen3), a GGUF file, or the hub name of a model fetched by `xinye download`. `base` is the
    folder of an adapter's base model, if it was moved.

    `dtype` is that of weights and computation: "float32"; "bfloat16", half the memory and almost
    twice as fast; or "auto", bfloat16 if the hardware multiplies it fast. Quantized weights stay
    so. `speculation` guesses tokens ahead, which changes the speed but not the texts: "auto" looks
    them up in the text if that is faster, "off" never guesses, and the path of a small model with
    the same tokenizer lets that one guess. Raises `XinyeError` if the model is missing, damaged or
    unsupported.
    """
    dtypes = {"auto": machine.fast_dtype(machine.device())[0]}
    dtypes |= {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in dtypes:
        known = f"{', '.join(dtypes)}{did_you_mean(dtype, dtypes)}"
        raise XinyeError(f"dtype is {dtype!r}; it must be one of {known}")
    with based_on(base):
        network, tokenizer = load_any(model, dtypes[dtype])
    gather(network)
    loaded = Model(network, tokenizer, Path(model))
    if not loaded.learned_task:
        network.compute_dtype = dtypes[dtype]
    loaded.speculates = speculation != "off"
    if speculation not in ("auto", "off"):
        loaded.draft = load(speculation, dtype, "off")
    return loaded


def pretrain(
    files: Files = (),
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: Resume = False,
    progress: bool = True,
    observer: Observer | None = None,
    **settings: Any,
) -> Run:
    """Train a GPT on files, folders or globs of text; returns the run's folder and figures.

    Shows the plan, progress and samples as the command line does, in a notebook, too. With
    `progress=False` it shows nothing; an `observer` gets all events instead.

    `settings` have the names of `xinye pretrain --help`: `size="5M"`, one of `time="10min"`,
    `tokens="20M"`, `epochs=3`, `steps=500`, and more. `from_="runs/novel"` continues training that
    model; `teacher="runs/large"` learns from that model's predictions, too. `output` defaults to
    `runs/` and the first file's name. `resume` continues the run in `output`, and extends it if the
    budget is larger; `"auto"` begins it if there is none. Raises `XinyeError` for invalid input.

    >>> run = xinye.pretrain("novel.txt", size="1M", time="2min")  # doctest: +SKIP
    >>> run.validation["bits_per_byte"]  # doctest: +SKIP
    """
    values = {**settings, "files": names_of(files), "output": output}
    checked_settings = checked(PretrainSettings, values, "pretrain")
    with _watched(observer, progress) as watching:
        run = train.pretrain(checked_settings, watching, overwrite, resume)
    if run is None:
        raise XinyeError("nothing was trained")
    return run


def finetune(  # noqa: PLR0913 (the face of a verb: its names are its flags)
    model: "str | Path | Model" = "",
    output: str | Path | None = None,
    *,
    data: Files = (),
    task: str = "",
    validation: Files = (),
    overwrite: bool = False,
    resume: Resume = False,
    progress: bool = True,
    observer: Observer | None = None,
    **settings: Any,
) -> Any:
    """Fine-tune a model on files of records; returns the model, loaded from its run's folder: a
    `Model`, or for the task recommend a `Recommender`. Its measured figures are in
    `training/result.json` there.

    `task` defaults to `classify`. `settings` have the names of `xinye finetune --help`. Progress is
    shown as in `pretrain`; `resume` continues the run in `output` with its saved settings, and
    `"auto"` begins it if there is none. Raises `XinyeError` for invalid input.

    >>> reviews = xinye.finetune("runs/novel", "runs/it", data="reviews.csv")  # doctest: +SKIP
    >>> reviews = xinye.finetune(output="runs/it", resume=True, epochs=8)  # doctest: +SKIP
    """
    values = {
        "model": str(model.folder if isinstance(model, Model) else model),
        "output": output,
        "task": task,
        "data": names_of(data),
        "validation": names_of(validation),
    }
    given = settings | {name: value for name, value in values.items() if value}
    needed = {"model", "data"} if not task or find_task(task).needs_model else {"data"}
    if resume is not True and not needed <= given.keys():
        raise XinyeError("finetune: name the model to begin with, and the records: data=FILE")
    checked_settings = task_settings(given, "finetune")
    with _watched(observer, progress, find_task(checked_settings.task).words.unit) as watching:
        run = train.finetune(checked_settings, watching, overwrite, resume)
    if not find_task(checked_settings.task).learns_from_events:
        return load(run.run)
    from xinye.jobs.recommending import Recommender  # it brings scipy, for which nothing else waits

    return Recommender.load(run.run)


@contextmanager
def _watched(
    observer: Observer | None, progress: bool, counted: str = "tokens"
) -> Iterator[Observer]:
    """The observer of a training: the one given, a display on the terminal, or a silent one."""
    if observer is not None or not progress:
        yield observer or Observer()
        return
    with Display(counted=counted) as display:
        yield display
