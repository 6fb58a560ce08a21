"""The demo of a task: records of a tea shop, a small base that has read the shop's texts, and what it then learns.

The records are generated (`demo/exercises.py`). Those that a model is judged on at the end stand nowhere in what it
learned from, neither as records nor as text; of conversations they all ask something in words that are new.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinye.demo.exercises import chats, notes, reviews
from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import is_run
from xinye.training.finetune import finetune
from xinye.training.pretrain import pretrain
from xinye.training.training_run import Run
from xinye.watcher import Watcher

MAKE = {"classify": reviews, "tag": notes, "chat": chats}
TRAINING = {"classify": 200, "tag": 150, "chat": 400}  # records
HELD_OUT = 200
TEXTS = 6000  # records whose text the base reads, and how often
TIMES_READ = 4
CONTEXT = {"classify": 64, "tag": 64, "chat": 256}  # tokens
EPOCHS = {"classify": 12, "tag": 16, "chat": 6}
NEW_QUESTIONS = 0.2  # the share of the ways to ask that no conversation of the training has


@dataclass(frozen=True)
class Exercise:
    """A demo's folder with its files of records, three records that are in none of them, and how many texts there are
    for the base."""

    language: str
    folder: Path
    training: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    new: list[dict[str, Any]]
    texts: int

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.folder / f"{name}.jsonl" for name in ("training", "test", "texts")}


def prepare(task: str, language: str, folder: Path, ours: bool) -> Exercise:
    """Write the records of a demo. Raises `XinyeError` for a folder that holds something else; `ours` are replaced."""
    if folder.exists() and not (
        folder.is_dir() and (not any(folder.iterdir()) or (ours and is_run(folder / "base")))
    ):
        raise XinyeError(f"{folder}: exists; choose another folder with -o")
    training, held_out, new, texts = parts(task, language)
    exercise = Exercise(language, folder, training, held_out, new, len(texts))
    folder.mkdir(parents=True, exist_ok=True)
    for path, rows in zip(exercise.files.values(), (training, held_out, texts), strict=True):
        beside = path.with_name(f".{path.name}")
        beside.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8"
        )
        beside.replace(path)
    return exercise


def parts(task: str, language: str) -> tuple[list[Any], list[Any], list[Any], list[dict[str, str]]]:
    """Records to learn from, to judge on and to try, and texts for the base: none twice, none of one in another."""
    records = {json.dumps(record): record for record in MAKE[task](TEXTS, language)}
    everything = list(records.values())
    if task == "chat":
        known = [record for record in everything if not asks_anew(record)]
        unseen = [record for record in everything if asks_anew(record)]
    else:
        by_text = list({record["text"]: record for record in everything}.values())
        unseen, known = by_text[: HELD_OUT + 3], by_text[HELD_OUT + 3 :]
    texts = [{"text": text_of(record)} for record in known]
    return known[: TRAINING[task]], unseen[:HELD_OUT], unseen[HELD_OUT : HELD_OUT + 3], texts


def asks_anew(conversation: dict[str, Any]) -> bool:
    """Whether a question stands in it that is kept for the end."""
    questions = [
        message["content"] for message in conversation["messages"] if message["role"] == "user"
    ]
    return any(random.Random(question).random() < NEW_QUESTIONS for question in questions)


def text_of(record: dict[str, Any]) -> str:
    """What the base reads of a record: no label, and who speaks only by the line."""
    return (
        record["text"]
        if "text" in record
        else "\n".join(m["content"] for m in record["messages"][1:])
    )


def pretrain_base(task: str, exercise: Exercise, watcher: Watcher, overwrite: bool) -> Run:
    run = pretrain(
        checked(PretrainSettings, base_settings(task, exercise), "demo"), watcher, overwrite
    )
    assert run is not None
    return run


def base_settings(task: str, exercise: Exercise) -> dict[str, Any]:
    """Those of `xinye pretrain`. In Chinese names begin and end at any character, so that characters are the tokens."""
    tokens = {"tokenizer": "char"} if (task, exercise.language) == ("tag", "zh") else {}
    budget = {
        "size": "1M",
        "epochs": TIMES_READ,
        "context": CONTEXT[task],
        "evaluations": 4,
        "compile": "no",
    }
    return {
        "files": (str(exercise.files["texts"]),),
        **tokens,
        **budget,
        "output": exercise.folder / "base",
    }


def teach(task: str, exercise: Exercise, watcher: Watcher, overwrite: bool) -> Run:
    return finetune(
        checked(FinetuneSettings, task_settings(task, exercise), "demo"), watcher, overwrite
    )


def task_settings(task: str, exercise: Exercise) -> dict[str, Any]:
    """Those of `xinye finetune`."""
    base, data = str(exercise.folder / "base"), (str(exercise.files["training"]),)
    return {
        "model": base,
        "task": task,
        "data": data,
        "epochs": EPOCHS[task],
        "output": exercise.folder / task,
    }


def command(verb: str, settings: dict[str, Any]) -> str:
    """The line to type for a step."""
    words: list[str] = ["xinye", verb]
    for name, value in settings.items():
        values: Sequence[Any] = value if isinstance(value, tuple) else (value,)
        flag = [] if name in ("files", "model") else ["-o" if name == "output" else f"--{name}"]
        words += [word for each in values for word in (*flag, str(each))]
    return " ".join(words)
