"""The folder of a monitor: its settings, models and calibrations, and the texts that it learned
from. Every file but the models can be read and edited with a text editor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from xinye import api
from xinye.apps.folders import Kind, read_rows
from xinye.apps.models_file import MODELS, Role, read_models, write_models
from xinye.apps.monitor.analysis import Analyst, Models
from xinye.apps.monitor.calibration import FILE as CALIBRATION
from xinye.apps.monitor.calibration import FORMAT, Calibrations
from xinye.apps.monitor.documents import MOODS
from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.monitor_settings import (
    AGAIN,
    ROLES,
    SETTINGS,
    MonitorSettings,
    read_settings,
    write_settings,
)
from xinye.data.files import read_json, write_json, write_json_lines
from xinye.errors import XinyeError
from xinye.model.heads import Head
from xinye.retrieval.format import Strict

LABELLED, TEST, REPORT, RUNS = "labelled.jsonl", "test.jsonl", "report.json", "models"
OURS = (SETTINGS, MODELS, CALIBRATION, LABELLED, TEST, REPORT, RUNS)
MONITORS = Kind("xinye monitor prepare", SETTINGS, lambda path: path.name in OURS)
SUMMARY = 60  # characters of the line that summarizes an alarm
_VERBS = {"topics": "classify", "mood": "classify", "entities": "tag", "summary": "summarize"}


class SavedText(Strict):
    """A labelled text in labelled.jsonl or test.jsonl. `topics` is null if nobody has said them,
    and `mood` "" if nobody has."""

    text: str = Field(min_length=1)
    topics: list[str] | None = None
    mood: str = ""

    @classmethod
    def of(cls, labelled: Labelled) -> "SavedText":
        """A labelled text as it is saved."""
        topics = None if labelled.topics is None else [*labelled.topics]
        return cls(text=labelled.text, topics=topics, mood=labelled.mood)

    @property
    def labelled(self) -> Labelled:
        """The text with its labels."""
        return Labelled(self.text, None if self.topics is None else tuple(self.topics), self.mood)


@dataclass(frozen=True)
class MonitorFolder:
    """A monitor as it was read."""

    folder: Path
    settings: MonitorSettings
    models: Mapping[str, Role]
    calibrations: Calibrations

    @classmethod
    def read(cls, folder: str | Path) -> "MonitorFolder":
        """The monitor in a folder. Raises `XinyeError` if there is none, or for the first file that
        is damaged."""
        folder = Path(folder)
        MONITORS.check_there(folder)
        return cls(
            folder,
            read_settings(folder / SETTINGS),
            read_models(folder / MODELS, ROLES, AGAIN),
            FORMAT.read(folder / CALIBRATION, Calibrations),
        )

    @cached_property
    def labelled(self) -> list[Labelled]:
        """The texts that the models learned from."""
        return [each.labelled for each in read_rows(self.folder / LABELLED, SavedText, AGAIN)]

    @cached_property
    def test(self) -> list[Labelled]:
        """The texts that were kept apart."""
        return [each.labelled for each in read_rows(self.folder / TEST, SavedText, AGAIN)]

    @cached_property
    def report(self) -> dict[str, Any]:
        """What `prepare` read, left out and trained."""
        return read_json(self.folder / REPORT)

    def analyst(self) -> Analyst:
        """What analyses documents, with the models loaded. Raises `XinyeError` if one cannot do
        what its role needs."""
        loaded = {role: self._load(role) for role in self.models if role != "summary"}
        return Analyst(
            Models(**loaded),
            self.calibrations,
            self.settings.companies,
            lambda: [each.text for each in self.labelled],
        )

    def summarizer(self) -> Callable[[Sequence[str]], str] | None:
        """What makes one line of an alarm's texts, by quoting; None without a model for that."""
        if "summary" not in self.models:
            return None
        model = self._load("summary")

        def summarize(texts: Sequence[str]) -> str:
            found = model.summarize("\n".join(texts), extract=True, characters=SUMMARY)
            return str(found["text"]).replace("\n", " ")

        return summarize

    def _load(self, role: str) -> api.Model:
        model, verb = api.load(self.folder / self.models[role].path), _VERBS[role]
        if model.task is None or model.task.verb != verb:
            does = model.task.verb if model.task else "generate text"
            raise XinyeError(
                f"{self.folder / MODELS}, [{role}]: this model was made to {does}; name one that "
                f"can {verb}"
            )
        tells_moods = isinstance(model.network, Head) and {*model.network.config.labels} <= {*MOODS}
        if role in ("topics", "mood") and tells_moods != (role == "mood"):
            raise XinyeError(
                f"{self.folder / MODELS}, [{role}]: this is a model of the other kind; topics have "
                f"names of their own, and moods are {', '.join(MOODS)}"
            )
        return model


@dataclass(frozen=True)
class Contents:
    """What is written in the folder of a monitor, besides models. Without settings those are
    written by who calls."""

    settings: MonitorSettings | None
    models: Mapping[str, Role]
    calibrations: Calibrations
    labelled: Sequence[Labelled]
    test: Sequence[Labelled]
    report: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the files in a folder that exists. The settings are the last: they make it a
        monitor."""
        write_models(folder / MODELS, self.models, ROLES)
        write_json(folder / CALIBRATION, self.calibrations.model_dump())
        for name, texts in ((LABELLED, self.labelled), (TEST, self.test)):
            write_json_lines(folder / name, (SavedText.of(each).model_dump() for each in texts))
        write_json(folder / REPORT, self.report)
        if self.settings:
            write_settings(folder / SETTINGS, self.settings)
