"""Parts of the files of a run, as they are read: what is missing gets its default, and what is
damaged is reported."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from xinye.data.files import read_json
from xinye.errors import XinyeError, checked
from xinye.runs.folder import Figures, Values

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(ge=-(2**63), lt=2**63)]
Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]
AS_IT_IS = ConfigDict(strict=True, extra="allow")


class Part(BaseModel):
    """The content of a file, or a part of it. Fields that are missing get their defaults, and
    further fields are kept as they are. An empty part is False."""

    model_config = AS_IT_IS

    def __bool__(self) -> bool:
        return bool(self.model_fields_set)

    @classmethod
    def read(cls, path: Path, damage: list[str]) -> Self:
        """The content of a JSON file. It is empty if the file is missing; if it is damaged, the
        reason is added to `damage`."""
        try:
            return checked(cls, read_json(path) if path.exists() else {}, str(path))
        except XinyeError as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(f"{path}: cannot be read ({error.strerror})")
        return cls()

    def as_read(self) -> Values:
        """All fields that were in the file, by name."""
        return self.model_dump(exclude_unset=True, by_alias=True)


def _numbers(figures: Figures) -> Figures:
    for name, value in figures.items():
        if isinstance(value, str) and name not in ("name", "run"):
            raise ValueError(f"{name}: expected a number, found {value[:40]!r}")
    return figures


def _named(figures: Figures) -> Figures:
    if not isinstance(figures.get("name"), str):
        raise ValueError("a part of a mix has no name")
    return figures


Numbers = Annotated[Figures, AfterValidator(_numbers)]
NamedNumbers = Annotated[Numbers, AfterValidator(_named)]


class HardCase(Part):
    """A record with a label that the model contradicts, and the words that decided."""

    text: str = ""
    place: str = ""
    right: str = ""
    said: str = ""
    probability: Finite = 0.0
    words: list[str] = []


class HardCases(Part):
    """Confident mistakes on validation records, and training records that look mislabelled."""

    mistakes: list[HardCase] = []
    mislabelled: list[HardCase] = []
