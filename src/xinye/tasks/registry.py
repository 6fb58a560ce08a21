"""The list of tasks. A task's class is imported only when it is used, so `xinye --help` can list
all tasks without loading them.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xinye.errors import XinyeError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic import BaseModel

    from xinye.tasks.base_task import BaseTask
    from xinye.tasks.task import Task


@dataclass(frozen=True)
class Entry:
    """What is known of a task before its class is imported: where the class is, and the texts of
    its command.
    """

    where: str
    summary: str = ""  # summary of the command; without it the task has no command
    more: str = ""  # the longer text of `xinye VERB --help`
    example: str = ""
    command: str = ""  # the function of the command; "" for the one that reads texts
    takes_pairs: bool = False  # True if an input may be a pair of texts
    exercise: bool = True  # False if `xinye demo --task` cannot show it
    of_texts: bool = True  # False if it does not learn from texts
    documents: bool = False  # True if its command reads a file as one text, not one per line
    # For a task that also works without training: the class of its settings, and the module with
    # the functions `use` and `evaluate`.
    asked_with: str = ""
    asked_by: str = ""
    settings: str = ""  # the class of the settings of its command, if it has some

    @property
    def untaught(self) -> "ModuleType":
        """The module that does the task without training."""
        return import_module(self.asked_by)

    @property
    def question(self) -> "type[BaseModel] | None":
        """The class of the settings for the task without training, or None."""
        return found(self.asked_with) if self.asked_with else None

    @property
    def use_settings(self) -> "type[BaseModel] | None":
        """The class of the settings with which its command uses a model, or None."""
        return found(self.settings or self.asked_with) if self.settings or self.asked_with else None


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
    "answer": Entry(
        "xinye.tasks.answer:Answer",
        "answer questions from a passage or a knowledge base, with sources",
        command="xinye.cli.answer:main",
        takes_pairs=True,
    ),
    "summarize": Entry(
        "xinye.tasks.summarize:Summarize",
        "write the summary or the title of a text, or quote its best clauses",
        "Print a summary of each text. The model writes it in its own words or quotes clauses of "
        "the text, whichever was better on the validation records of its training; --free and "
        "--extract choose.",
        "xinye summarize runs/model article.txt --characters 40",
        documents=True,
        settings="xinye.planning.writing_settings:SummarizeSettings",
    ),
    "translate": Entry(
        "xinye.tasks.translate:Translate",
        "translate between English and Chinese with a model that was fine-tuned for it",
        "Print a translation: of an English text into Chinese, of a Chinese text into English. The "
        "text is translated sentence by sentence, and keeps its lines. The model was fine-tuned to "
        "translate; with --examples, any language model can do it.",
        'xinye translate runs/model "I like green tea."',
        documents=True,
        settings="xinye.planning.writing_settings:TranslateSettings",
    ),
    "write": Entry(
        "xinye.tasks.write:Write",
        "write news, mails, adverts and stories from facts",
        command="xinye.cli.write:main",
        settings="xinye.planning.writing_settings:WriteSettings",
    ),
    "proofread": Entry(
        "xinye.tasks.proofread:Proofread",
        "correct the errors of texts",
        "Print the corrected text. A model that was fine-tuned to proofread changes a text only "
        "where it is surer than the threshold that it learned; any other language model works, "
        "too, but less well.",
        'xinye proofread runs/model "希望你们好好的跳无。" --diff',
        documents=True,
        settings="xinye.planning.writing_settings:ProofreadSettings",
    ),
    "recommend": Entry(
        "xinye.tasks.recommend:Recommend",
        "recommend items to users, from what they used before",
        command="xinye.cli.recommend:main",
        exercise=False,
        of_texts=False,
    ),
    "chat": Entry("xinye.tasks.chat:Chat"),  # `xinye chat` is written by hand
    "text": Entry("xinye.tasks.text:MoreText", exercise=False),
}


def found(where: str) -> Any:
    """The object at "module:name"."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def find_task(name: str) -> "type[BaseTask]":
    """The class of the task with this name. Raises `XinyeError` for an unknown name."""
    if name not in TASKS:
        *names, last = map(repr, TASKS)
        near = did_you_mean(name, TASKS)
        raise XinyeError(f"task: {name!r} is unknown; choose {', '.join(names)} or {last}{near}")
    return found(TASKS[name].where)


def find_text_task(name: str) -> "type[Task]":
    """The class of a task that learns from texts. Raises `XinyeError` for other names."""
    kind = find_task(name)
    if not TASKS[name].of_texts:
        raise XinyeError(f"the task {name} does not learn from texts, so this cannot be done")
    return kind  # type: ignore[return-value]


def verbs_of_tasks() -> dict[str, str]:
    """The commands that tasks define, with their summaries."""
    return {verb: entry.summary for verb, entry in TASKS.items() if entry.summary}


def tasks() -> "list[type[Task]]":
    """The classes of all tasks that learn from texts."""
    return [find_text_task(name) for name, entry in TASKS.items() if entry.of_texts]
