"""JSON files that say what they are, and in which version of their format."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from xinye.errors import XinyeError, validated


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Saved = TypeVar("Saved", bound=Strict)


@dataclass(frozen=True)
class Format(Generic[Saved]):
    """The format of files that hold a `Saved`, whose fields `kind` and `version` have these
    values. `foreign` says that a file is something else, and `again` how to get a new one."""

    holds: type[Saved]
    kind: str
    version: int
    foreign: str
    again: str

    def read(self, path: Path) -> Saved:
        """What a file holds. Raises `XinyeError` if it is damaged, something else, or of another
        version."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise XinyeError(f"{path}: damaged file ({error}); {self.again}") from None
        if not isinstance(data, dict) or data.get("kind") != self.kind:
            raise XinyeError(f"{path}: {self.foreign}; {self.again}")
        if data.get("version") != self.version:
            raise XinyeError(
                f"{path}: the file has version {data.get('version')!r}, and this Xinye reads "
                f"version {self.version}; {self.again}"
            )
        return validated(self.holds, data, str(path))
