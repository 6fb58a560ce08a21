"""Xinye 新叶: from raw text to a GPT of your own.

import xinye

run = xinye.pretrain("novel.txt", size="5M", time="10min")
model = xinye.load(run.run)
print(model.generate("话说", max_tokens=200)[0])
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xinye.errors import XinyeError

if TYPE_CHECKING:
    from xinye.api import Model, Run, finetune, load, pretrain
    from xinye.data.tokenizer import Tokenizer
    from xinye.jobs.recommending import Recommender
    from xinye.ranking.suggestions import Asked

# OpenMP threads spin while they wait for each other. If other programs run too, long spinning takes
# the processor away from the very thread that the others wait for. This count is long enough for a
# quiet machine (docs/log.md). PyTorch's OpenMP reads it when torch is imported.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
__all__ = [
    "Asked",
    "Model",
    "Recommender",
    "Run",
    "Tokenizer",
    "XinyeError",
    "finetune",
    "load",
    "pretrain",
]


_HOMES = {  # of the public names that `xinye.api` does not have
    "Asked": "xinye.ranking.suggestions",
    "Recommender": "xinye.jobs.recommending",
    "Tokenizer": "xinye.data.tokenizer",
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use, so that `xinye --help` does not wait for torch."""
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "xinye.api")), name)
    raise AttributeError(f"module 'xinye' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, whether they are imported yet or not."""
    return [*__all__, "__doc__", "__version__"]
