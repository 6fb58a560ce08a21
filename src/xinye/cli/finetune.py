"""`xinye finetune`"""

import time
from typing import Any

from xinye.cli.arguments import Parser
from xinye.cli.training import add_options, take_options, train
from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings

NEEDED = {
    "model": "name the model to begin with: a run's folder, or any Hugging Face folder",
    "task": "name the task: --task classify, tag, chat or text",
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
    parser.add_fields(FinetuneSettings, {"output": "-o"}, positional=("model",))
    values = parser.values(arguments)
    options = take_options(values)
    return train(make_settings(values, options.resume), options, arguments, began)


def make_settings(values: dict[str, Any], resume: bool = False) -> FinetuneSettings:
    """What was typed, as settings; raises `XinyeError` for what is missing."""
    for name, what in NEEDED.items():
        if not resume and not values.get(name):
            raise XinyeError(what)
    return checked(FinetuneSettings, values, "finetune")
