"""Makes a monitor of labelled texts: trains the models of topics and moods, tests them, and writes
the folder."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xinye.apps.models_file import Role, model_hash, named_role
from xinye.apps.monitor.documents import NEUTRAL
from xinye.apps.monitor.labelled import Labelled, Read, read_labelled
from xinye.apps.monitor.learning import learn, parts_of
from xinye.apps.monitor.monitor_folder import MONITORS, RUNS, Contents
from xinye.apps.monitor.monitor_settings import ROLES, MonitorSettings
from xinye.apps.monitor.prepare_settings import PrepareSettings
from xinye.apps.training import Budget
from xinye.data.scripts import has_han
from xinye.errors import XinyeError
from xinye.observer import Observer

LEARNED = ("topics", "mood")  # roles whose models can be trained here


@dataclass
class Report:
    """What `prepare` did, as in report.json. `moods_without_neutral` is true if no text was
    labelled as neutral, so that the monitor says "unsure" instead."""

    monitor: str
    files: int = 0
    texts: int = 0
    topics: dict[str, int] = field(default_factory=dict)  # texts of each
    rare: dict[str, int] = field(default_factory=dict)  # topics and moods too rare to learn
    moods: dict[str, int] = field(default_factory=dict)
    moods_without_neutral: bool = False
    notes: list[str] = field(default_factory=list)
    trained: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # roles not learned, with the reason
    optional: list[str] = field(default_factory=list)  # roles that can do without a model
    calibrations: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def prepare(
    settings: PrepareSettings, observer: Observer | None = None, overwrite: bool = False
) -> Report:
    """Make a monitor; returns the report, which is in its folder, too. Raises `XinyeError` for
    input that cannot be used, and then writes nothing."""
    observer, began = observer or Observer(), time.monotonic()
    named = {role: named_role(role, run) for role, run in settings.models.items()}
    report = Report(str(settings.output))
    with MONITORS.beside(settings.output, overwrite) as folder:
        observer.stage("reading the labelled texts")
        read = read_labelled(settings.labelled, settings.columns)
        _report_texts(read, report)
        parts = parts_of(read.texts, settings.test_share)
        wanted = [role for role in LEARNED if role not in named]
        (folder / RUNS).mkdir()
        budget = Budget(settings.seconds, settings.from_ or "")
        trained = learn(parts, wanted, folder / RUNS, budget, observer)
        if not any((folder / RUNS).iterdir()):
            (folder / RUNS).rmdir()
        roles = named | {
            role: Role(path=f"{RUNS}/{role}", sha256=model_hash(folder / RUNS / role))
            for role in trained.learned
        }
        if not {*LEARNED} & {*roles}:
            _refuse(report, trained.missing)
        report.trained = {role: asdict(each) for role, each in trained.learned.items()}
        report.missing = trained.missing
        report.optional = [role for role in ROLES if role not in {*roles, *trained.missing}]
        report.rare = trained.rare
        report.calibrations = trained.calibrations.model_dump()
        report.seconds = round(time.monotonic() - began, 1)
        Contents(
            _settings(read.texts, settings),
            roles,
            trained.calibrations,
            [*parts.learned, *parts.calibration],
            parts.test,
            asdict(report),
        ).write(folder)
    return report


def _report_texts(read: Read, report: Report) -> None:
    report.files, report.texts = read.files, len(read.texts)
    report.notes = read.notes.sentences()
    report.topics = dict(
        Counter(topic for each in read.texts for topic in each.topics or ()).most_common()
    )
    report.moods = dict(Counter(each.mood for each in read.texts if each.mood).most_common())
    report.moods_without_neutral = bool(report.moods) and NEUTRAL not in report.moods


def _refuse(report: Report, missing: Mapping[str, str]) -> None:
    """Raise why nothing can be learned."""
    if not report.topics:
        raise XinyeError(f"the mood cannot be learned: {missing['mood']}")
    if not report.moods:
        raise XinyeError(f"topics cannot be learned: {missing['topics']}")
    why = missing["topics"]
    raise XinyeError(f"neither topics nor moods can be learned, topics because: {why}")


def _settings(texts: Sequence[Labelled], settings: PrepareSettings) -> MonitorSettings:
    """The settings of a new monitor: in the language of most texts first."""
    chinese = sum(has_han(each.text) for each in texts)
    if 2 * chinese >= len(texts):
        return MonitorSettings(languages=("zh", "en"), time_zone="Asia/Shanghai")
    return MonitorSettings(languages=("en", "zh"))
