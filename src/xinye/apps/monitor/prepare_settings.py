"""The settings of `xinye monitor prepare`."""

from pathlib import Path

from pydantic import Field, field_validator

from xinye.apps.models_file import named_runs
from xinye.apps.monitor.labelled import Columns
from xinye.apps.monitor.monitor_settings import ROLES
from xinye.errors import XinyeError
from xinye.planning.units import parse_seconds


class PrepareSettings(Columns):
    """The settings of `xinye monitor prepare`, with the columns of the labelled texts."""

    labelled: tuple[str, ...] = Field(
        min_length=1, description="files, folders or globs of labelled texts"
    )
    output: Path = Field(description="the monitor's folder")
    role: tuple[str, ...] = Field(
        (),
        description=(
            "the run for a role, such as entities=runs/tagger; roles: topics, mood, entities, "
            "summary (may be given several times)"
        ),
    )
    test_share: float = Field(
        0.1, ge=0, lt=0.5, description="share of the texts kept apart to test on"
    )
    time: str = Field("10min", description="time to train models")
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
    def columns(self) -> Columns:
        """The columns of the labelled texts."""
        return Columns(**{name: getattr(self, name) for name in Columns.model_fields})

    @property
    def models(self) -> dict[str, Path]:
        """The folder of the run for each role. Raises `XinyeError` for an unknown role."""
        return named_runs(self.role, ROLES)

    @property
    def seconds(self) -> float:
        """The time to train models, in seconds."""
        return parse_seconds(self.time)
