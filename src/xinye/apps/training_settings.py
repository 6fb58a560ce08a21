"""The settings of commands that train the models of an application's roles."""

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xinye.apps.models_file import named_runs
from xinye.errors import XinyeError
from xinye.planning.units import parse_seconds
from xinye.runs.words import Both


class TrainingSettings(BaseModel):
    """How long to train, from which model, and which roles have one already. `roles` are those of
    the application, with what each does."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    roles: ClassVar[dict[str, Both]]

    role: tuple[str, ...] = ()
    time: str = Field("10min", description="time to train models; 0s trains none")
    from_: str | None = Field(
        None,
        alias="from",
        description="the model to train from, instead of a small one from scratch",
    )

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        try:
            parse_seconds(value)
        except XinyeError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def models(self) -> dict[str, Path]:
        """The folder of the run for each role. Raises `XinyeError` for an unknown role."""
        return named_runs(self.role, self.roles)

    @property
    def seconds(self) -> float:
        """The time to train models, in seconds."""
        return parse_seconds(self.time)
