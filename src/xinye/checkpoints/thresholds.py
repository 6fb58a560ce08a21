"""The threshold that a reader or proofreader learned, in its `config.json`."""

from typing import Any

from xinye.errors import XinyeError
from xinye.model.heads import EVERY_ANSWER, NO_EDIT, Kind

# Keys of Xinye's own, which other tools ignore.
KEYS: dict[Kind, str] = {"span": "answer_threshold", "token": "edit_threshold"}
# JSON has no infinity, so null stands for the threshold of a reader that never refuses, or of a
# proofreader that changes nothing.
_WITHOUT_LIMIT: dict[Kind, float] = {"span": EVERY_ANSWER, "token": NO_EDIT}


def threshold_to_json(threshold: float | None, kind: Kind) -> dict[str, Any]:
    """What to add to `config.json` for the threshold of a head of this kind."""
    if threshold is None:
        return {}
    return {KEYS[kind]: None if threshold == _WITHOUT_LIMIT[kind] else threshold}


def threshold_from_json(data: dict[str, Any], where: str, kind: Kind) -> float | None:
    """The threshold in a `config.json`; None if a model was saved without one."""
    key = KEYS.get(kind, "")
    if key not in data:
        return None
    value = data[key]
    if value is None:
        return _WITHOUT_LIMIT[kind]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise XinyeError(f"{where}: {key} must be a number or null, not {value!r}")
    return float(value)
