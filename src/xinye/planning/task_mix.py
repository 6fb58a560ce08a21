"""The setting `task_mix`: records of tasks that pretraining mixes into its text."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

MOST = 0.9  # the largest share of all records together


class TaskMix(NamedTuple):
    """The records of a task, and their share of the tokens. Without a share, each record is read
    once in an epoch."""

    task: str
    file: str
    share: float | None = None


def parse_mix(text: str) -> TaskMix:
    """The parts of `summarize=titles.jsonl`, or with a share, `summarize=titles.jsonl:0.2`. Raises
    `ValueError`."""
    match = re.fullmatch(r"(\w+)=(.+?)(?::(\d*\.?\d+))?", text.strip())
    if not match:
        raise ValueError(
            f"{text!r} is not a task with its file, such as summarize=titles.jsonl, or "
            "summarize=titles.jsonl:0.2 with a share of the tokens"
        )
    share = None if match[3] is None else float(match[3])
    if share is not None and not 0 < share <= MOST:
        raise ValueError(f"{text!r}: the share of the tokens must be above 0 and at most {MOST}")
    return TaskMix(match[1], match[2], share)


def as_texts(value: Any) -> Any:
    """The setting as a list of texts: from one text, several, or an object with a file or a list of
    files for each task. Raises `ValueError` for a text that cannot be parsed, and for shares that
    leave too little text."""
    if isinstance(value, Mapping):
        files = [
            (task, file)
            for task, some in value.items()
            for file in (some if isinstance(some, list | tuple) else [some])
        ]
        value = [f"{task}={file}" for task, file in files]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    if sum(parse_mix(text).share or 0.0 for text in texts) > MOST:
        raise ValueError(f"the shares of the tokens add up to more than {MOST}")
    return texts


TaskMixes = Annotated[tuple[str, ...], BeforeValidator(as_texts)]
