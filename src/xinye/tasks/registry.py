"""Which tasks there are. Nothing is imported before it is used, so that `xinye --help` knows them,
too."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xinye.errors import XinyeError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic import BaseModel

    from xinye.tasks.task import Task


@dataclass(frozen=True)
class Entry:
    """A task as it is known before its class is imported: where that stands, and its verb on the
    command line."""

    where: str
    summary: str = ""  # of the verb; without it the task has none of its own
    more: str = ""  # the same at more length, for `xinye VERB --help`
    example: str = ""
    takes_pairs: bool = False  # whether a text may be a pair of them
    # Of a task that a model can be asked which has not learned it: the settings for that, and the
    # module that does it, by `use` and `evaluate`.
    asked_with: str = ""
    asked_by: str = ""

    @property
    def untaught(self) -> "ModuleType":
        """This module."""
        return import_module(self.asked_by)

    @property
    def question(self) -> "type[BaseModel] | None":
        """The class of these settings."""
        return found(self.asked_with) if self.asked_with else None


TASKS = {
    "classify": Entry(
        "xinye.tasks.classify:Classify",
        "classify texts with a model that was fine-tuned for it",
        "Print the label of a text and its probability. The model was fine-tuned to "
        "classify; with --labels, any model can do it.",
        'xinye classify runs/novel "送得快，汤还是热的" --labels 正面,负面',
        takes_pairs=True,
        asked_with="xinye.planning.job_settings:ZeroShotSettings",
        asked_by="xinye.tasks.zero_shot",
    ),
    "tag": Entry(
        "xinye.tasks.tag:Tag",
        "find names and other entities with a model that was fine-tuned for it",
        "Print the entities in a text and their types. The model was fine-tuned to tag.",
        'xinye tag runs/model "沈知秋认为"',
    ),
    "chat": Entry("xinye.tasks.chat:Chat"),  # `xinye chat` is more than one answer
    "text": Entry("xinye.tasks.text:MoreText"),
}


def found(where: str) -> Any:
    """The object that "module:name" names."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def find_task(name: str) -> "type[Task]":
    """The task of that name. Raises `XinyeError` where there is none."""
    if name not in TASKS:
        *names, last = map(repr, TASKS)
        near = did_you_mean(name, TASKS)
        raise XinyeError(f"task: Input should be {', '.join(names)} or {last}{near}")
    return found(TASKS[name].where)


def verbs_of_tasks() -> dict[str, str]:
    """The verbs that come from tasks, with their summaries."""
    return {verb: entry.summary for verb, entry in TASKS.items() if entry.summary}


def tasks() -> "list[type[Task]]":
    """All of them."""
    return [find_task(name) for name in TASKS]
