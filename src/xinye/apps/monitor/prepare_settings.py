"""The settings of `xinye monitor prepare`."""

from pathlib import Path

from pydantic import Field

from xinye.apps.monitor.labelled import Columns
from xinye.apps.monitor.monitor_settings import ROLES
from xinye.apps.training_settings import TrainingSettings


class PrepareSettings(TrainingSettings, Columns):
    """The settings of `xinye monitor prepare`, with the columns of the labelled texts."""

    roles = ROLES

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

    @property
    def columns(self) -> Columns:
        """The columns of the labelled texts."""
        return Columns(**{name: getattr(self, name) for name in Columns.model_fields})
