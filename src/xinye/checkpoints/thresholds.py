"""The threshold that a reader learned, in its `config.json`."""

from typing import Any

from xinye.errors import XinyeError
from xinye.model.heads import EVERY_ANSWER

KEY = "answer_threshold"  # a key of Xinye's own, which other tools ignore


def threshold_to_json(threshold: float | None) -> dict[str, Any]:
    """What to add to `config.json`. JSON has no infinity, so null stands for the threshold of a
    reader that never refuses."""
    if threshold is None:
        return {}
    return {KEY: None if threshold == EVERY_ANSWER else threshold}


def threshold_from_json(data: dict[str, Any], where: str) -> float | None:
    """The threshold in a `config.json`; None if a model was saved without one."""
    if KEY not in data:
        return None
    value = data[KEY]
    if value is None:
        return EVERY_ANSWER
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise XinyeError(f"{where}: {KEY} must be a number or null, not {value!r}")
    return float(value)
