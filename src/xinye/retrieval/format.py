"""JSON files that say what they are, and in which version of their format."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from xinye.errors import XinyeError, validated


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def damaged(path: Path, why: object, again: str) -> XinyeError:
    """The error for a file that cannot be read; `again` says how to get a new one."""
    what = " ".join(str(why).split())[:200]
    return XinyeError(f"{path}: damaged file ({what}); {again}")


Saved = TypeVar("Saved", bound=Strict)


@dataclass(frozen=True)
class Format:
    """The format of files whose fields `kind` and `version` have these values. `foreign` says that
    a file is something else, and `again` how to get a new one."""

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
        if not isinstance(data, dict) or data.get("kind") != self.kind:
            raise XinyeError(f"{path}: {self.foreign}; {self.again}")
        if data.get("version") != self.version:
            raise XinyeError(
                f"{path}: the file has version {data.get('version')!r}, and this Xinye reads "
                f"version {self.version}; {self.again}"
            )
        return validated(holds, data, str(path))
