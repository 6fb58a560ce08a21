"""The command that makes a run again is one that its verb takes, whatever the run was started
with."""

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from xinye.cli import training
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.settings import BUDGETS, PretrainSettings
from xinye.runs.folder import Extension, RunFolder
from xinye.runs.resume import NO_BUDGET
from xinye.runs.saved import read_run
from xinye.tasks.settings import check_settings

NEEDED: dict[type[Settings], dict[str, Any]] = {
    PretrainSettings: {"files": ("a b.txt", "./-a.txt")},
    FinetuneSettings: {"model": "runs/base", "data": ("a b.csv",)},
}
BESIDE: tuple[dict[str, Any], ...] = (  # what a setting may need
    *({}, {"teacher": "t"}, {"augment": "mask,crop,shuffle"}),
    *({"task": task} for task in ("tag", "summarize", "chat", "answer", "proofread")),
    {"task": "recommend", "items": ("a b.csv",)},
    *({"method": method} for method in ("lora", "adalora", "prefix", "adapter")),
)
VALUES = (
    *(True, False, 3, 8, 0.25, "1/3", "2k", "10s", "NFC", "simplified", "lora", "adamw", "both"),
    *("cosine", "yes", "float32", "bytes", "llama", "replace", "mask", "tag", "wandb", ["它's"]),
    *("fsdp", "time", "skip", "none", "-a'b", "chat=a b.jsonl:0.2"),
)
DECIDED = {"dropout": 0.1, "dtype": "float32", "micro_batch_size": 2, "compile": False}
INTERRUPTED = Extension(
    step=2, seconds=1.0, total_steps=((0, 9),), budget={"steps": 20}, command=""
)


def flags(kind: type[Settings]) -> Iterator[tuple[str, str]]:
    """Each setting but those that say how long or where: its group, if it is in one, and name."""
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from ((name, inner) for inner in field.annotation.model_fields)
        elif name not in (*BUDGETS, "output"):
            yield "", name


def value_of(settings: Settings, group: str, name: str) -> object:
    return getattr(getattr(settings, group) if group else settings, name)


def with_another(kind: type[Settings], group: str, name: str) -> Settings:
    """Settings in which this one is not as it is by default, and as little else as can be."""
    default = value_of(kind(**NEEDED[kind]), group, name)
    for beside, value in itertools.product(BESIDE, VALUES):
        given = {group: {name: value}} if group else {name: value}
        try:
            settings = kind(**{**NEEDED[kind], **beside, **given})
            if isinstance(settings, FinetuneSettings):
                check_settings(settings)
        except (XinyeError, ValueError):
            continue
        if value_of(settings, group, name) != default:
            return settings
    pytest.fail(f"no value known for {name}: give one in VALUES")


@pytest.mark.parametrize(
    ("kind", "group", "name"), [(kind, *flag) for kind in NEEDED for flag in flags(kind)]
)
def test_the_command_is_taken_by_its_verb(xinye, tmp_path, monkeypatch, kind, group, name):
    taken: list[Settings] = []
    monkeypatch.setattr(training, "train", lambda settings, *rest: taken.append(settings) or 0)
    settings = with_another(kind, group, name)
    about = {
        "recipe": kind.recipe,
        "settings": settings.model_dump(mode="json", exclude_defaults=True, exclude={"output"}),
    }
    extended = [INTERRUPTED.model_dump(mode="json")]
    RunFolder(tmp_path).start(about, {"values": {"steps": 20, **DECIDED}, "extended": extended})
    for command in read_run(tmp_path).command("o").split(" && "):
        outcome = xinye(*shlex.split(command)[1:])
        assert outcome.code == 0, outcome.err
    first, longer = taken
    decided = {name: each for name, each in DECIDED.items() if name in kind.model_fields}
    decided |= {"compile": "no"} if "compile" in decided else {}
    begun = {**NO_BUDGET, "total_steps": ((0, 9), (2, 2)), "output": Path("o"), **decided}
    assert first == settings.model_copy(update=begun)
    assert longer == kind(output=Path("o"), steps=20)
