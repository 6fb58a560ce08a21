"""JSON files that say what they are, and in which version of their format."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from xinye.errors import XinyeError, quoted, wrong_value


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def damaged(path: Path, why: object, again: str) -> XinyeError:
    """The error for a file that cannot be read; `again` says how to get a new one."""
    text = _invalid(why) if isinstance(why, ValidationError) else str(why)
    reason = " ".join(text.split())[:200]
    return XinyeError(f"{path}: damaged file ({reason}); {within(path, again)}")


def within(path: Path, again: str) -> str:
    """How to get a new file, with the file's folder in place of `{folder}`."""
    return again.replace("{folder}", quoted(path.parent))


def _invalid(error: ValidationError) -> str:
    """The first key that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    return f"{key}: {wrong_value(first)}" if key else wrong_value(first)


Saved = TypeVar("Saved", bound=Strict)


@dataclass(frozen=True)
class Format:
    """The format of files whose fields `kind` and `version` have these values. `foreign` says that
    a file is something else, and `again` how to get a new one in its `{folder}`."""

    kind: str
    version: int
    foreign: str
    again: str

    def read(self, path: Path, holds: type[Saved]) -> Saved:
        """The object of class `holds` in a file. Raises `XinyeError` if the file is damaged,
        something else, or of another version."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise damaged(path, error, self.again) from None
        self.check(path, data)
        try:
            return holds.model_validate(data)
        except ValidationError as error:
            raise damaged(path, error, self.again) from None

    def check(self, path: Path, data: object) -> None:
        """Raises `XinyeError` unless the data of a file have this kind and version."""
        again = within(path, self.again)
        if not isinstance(data, dict) or data.get("kind") != self.kind:
            raise XinyeError(f"{path}: {self.foreign}; {again}")
        version = data.get("version")
        if version != self.version:
            newer = isinstance(version, int) and version > self.version
            raise XinyeError(
                f"{path}: the file has version {version!r}, and this Xinye reads "
                f"version {self.version}; {'update Xinye' if newer else again}"
            )
