"""`xinye pretrain`"""

import time
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser
from xinye.cli.training import add_options, take_options, train
from xinye.errors import XinyeError, checked
from xinye.planning.settings import PretrainSettings, read_config

BUDGETS = ("time", "tokens", "epochs", "steps", "total_steps")


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    parser = Parser(
        "pretrain",
        "Train a GPT on text, from scratch or going on with a model (--from). What is not given is "
        "derived from the\ntext and this machine.",
        "xinye pretrain novel.txt --size 5M --time 10min -o runs/novel\n"
        "  xinye pretrain letters.txt --from runs/novel --time 5min -o runs/letters",
    )
    parser.add_files()
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings from a YAML file; flags override them",
    )
    parser.add_switches(dry_run="print the plan and stop")
    add_options(parser)
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files",))
    values = parser.values(arguments)
    options = take_options(values)
    return train(make_settings(values, options.resume), options, arguments, began)


def make_settings(values: dict[str, Any], resume: bool = False) -> PretrainSettings:
    """The settings from a file, if one is named, with what was typed above them."""
    config = values.pop("config", None)
    files = values.pop("files", [])
    if config:
        below = read_config(config)
        if any(budget in values for budget in BUDGETS):
            below = {name: value for name, value in below.items() if name not in BUDGETS}
        cleaning = below.get("cleaning", {}) | values.get("cleaning", {})
        values = below | values | {"cleaning": cleaning}
    files = files or values.get("files", ())
    if not files and not resume:
        raise XinyeError("name the text to train on: files, folders or globs")
    return checked(PretrainSettings, values | {"files": tuple(files)}, "pretrain")
