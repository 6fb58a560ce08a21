"""The demo of a task: records of a tea shop, a small base that has read the shop's texts, and what
it then learns.

The records are generated (`tasks/exercises.py`). Those that a model is judged on at the end stand
nowhere in what it learned from, neither as records nor as text; of conversations they all ask
something in words that are new.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from xinye.data.files import write_json_lines
from xinye.data.records import Row
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.runs.saved import is_run
from xinye.tasks.registry import tasks
from xinye.tasks.task import Exercise, task_settings
from xinye.training.job import Run
from xinye.training.train import finetune, pretrain

HELD_OUT = 200
TEXTS = 6000  # records whose text the base reads, and how often
TIMES_READ = 4


@dataclass(frozen=True)
class Lesson:
    """A demo's folder with its files of records, three records that are in none of them, and how
    many texts there are for the base."""

    task: str
    language: str
    folder: Path
    training: list[Row]
    held_out: list[Row]
    new: list[Row]
    texts: int

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.folder / f"{name}.jsonl" for name in ("training", "test", "texts")}


def prepare(task: str, language: str, folder: Path, ours: bool) -> Lesson:
    """Write the records of a demo. Raises `XinyeError` for a folder that holds something else;
    `ours` are replaced."""
    if folder.exists() and not (
        folder.is_dir() and (not any(folder.iterdir()) or (ours and is_run(folder / "base")))
    ):
        raise XinyeError(f"{folder}: exists; choose another folder with -o")
    training, held_out, new, texts = parts(task, language)
    lesson = Lesson(task, language, folder, training, held_out, new, len(texts))
    folder.mkdir(parents=True, exist_ok=True)
    for path, rows in zip(lesson.files.values(), (training, held_out, texts), strict=True):
        write_json_lines(path, rows)
    return lesson


def with_exercises() -> dict[str, Exercise]:
    """The tasks that have something to show."""
    return {kind.verb: kind.exercise for kind in tasks() if kind.exercise}


def exercise_of(task: str) -> Exercise:
    """What a task has to show. Raises `XinyeError` where there is nothing."""
    known = with_exercises()
    if task not in known:
        near = did_you_mean(task, known)
        raise XinyeError(f"--task {task!r}: choose one of {', '.join(known)}{near}")
    return known[task]


def parts(task: str, language: str) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Records to learn from, to judge on and to try, and texts for the base: none twice, none of
    one in another."""
    exercise = exercise_of(task)
    rows = list({json.dumps(row): row for row in exercise.make(TEXTS, language)}.values())
    if exercise.kept:
        unseen = [row for row in rows if exercise.kept(row)]
        known = [row for row in rows if not exercise.kept(row)]
    else:
        by_text = list({exercise.text(row): row for row in rows}.values())
        unseen, known = by_text[: HELD_OUT + 3], by_text[HELD_OUT + 3 :]
    texts = [{"text": exercise.text(row)} for row in known]
    return known[: exercise.training], unseen[:HELD_OUT], unseen[HELD_OUT : HELD_OUT + 3], texts


def pretrain_base(lesson: Lesson, observer: Observer, overwrite: bool) -> Run:
    run = pretrain(checked(PretrainSettings, base_settings(lesson), "demo"), observer, overwrite)
    assert run is not None
    return run


def base_settings(lesson: Lesson) -> dict[str, object]:
    """Those of `xinye pretrain`."""
    exercise = exercise_of(lesson.task)
    tokenizer = exercise.tokenizers.get(lesson.language)
    return {
        "files": (str(lesson.files["texts"]),),
        **({"tokenizer": tokenizer} if tokenizer else {}),
        "size": "1M",
        "epochs": TIMES_READ,
        "context": exercise.context,
        "evaluations": 4,
        "compile": "no",
        "output": lesson.folder / "base",
    }


def teach(lesson: Lesson, observer: Observer, overwrite: bool) -> Run:
    return finetune(task_settings(task_settings_of(lesson), "demo"), observer, overwrite)


def task_settings_of(lesson: Lesson) -> dict[str, object]:
    """Those of `xinye finetune`."""
    return {
        "model": str(lesson.folder / "base"),
        "task": lesson.task,
        "data": (str(lesson.files["training"]),),
        "epochs": exercise_of(lesson.task).epochs,
        "output": lesson.folder / lesson.task,
    }
