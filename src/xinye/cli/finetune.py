"""`xinye finetune`"""

import time
from typing import Any

from xinye.cli.arguments import Parser
from xinye.cli.training import add_options, take_options, train
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.registry import TASKS

NEEDED = {
    "model": "name the model to begin with: a run's folder, or any Hugging Face folder",
    "task": f"name the task: --task {', '.join(TASKS)}",
    "data": "name the records to learn from: --data FILE",
    "output": "name the run's folder: -o runs/…",
}


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    parser = Parser(
        "finetune",
        "Teach a model a task from a file of records, and measure it beside a baseline: classical "
        "means for classify\nand tag, the model that it began with for chat and text.",
        "xinye finetune runs/novel --task classify --data reviews.csv -o runs/reviews",
    )
    parser.add_model()
    add_options(parser)
    parser.add_argument("--task", metavar="|".join(TASKS), help="what to learn")
    parser.add_fields(FinetuneSettings, {"output": "-o"}, positional=("model", "task"))
    values = parser.values(arguments)
    options = take_options(values)
    return train(make_settings(values, options.resume), options, arguments, began)


def make_settings(values: dict[str, Any], resume: bool = False) -> FinetuneSettings:
    """What was typed, as settings; raises `XinyeError` for what is missing."""
    from xinye.tasks.task import task_settings

    for name, what in NEEDED.items():
        if not resume and not values.get(name):
            raise XinyeError(what)
    return task_settings(values, "finetune")
