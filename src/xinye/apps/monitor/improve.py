"""Learns from corrections that were approved: trains the models again, and replaces those that have
become better."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from xinye.apps.folders import kept_beside
from xinye.apps.models_file import Role, model_hash
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.corrections import MOOD, Correction
from xinye.apps.monitor.evaluate import (
    Judged,
    Score,
    gained_by_luck,
    judged,
    scores,
)
from xinye.apps.monitor.labelled import (
    Labelled,
    is_labelled,
    joined,
    labels_of,
    relabelled,
)
from xinye.apps.monitor.learning import (
    FEWEST_EACH,
    Parts,
    Trained,
    learn,
    parts_of,
    rare_labels,
)
from xinye.apps.monitor.monitor_folder import MONITORS, RUNS, Contents, MonitorFolder
from xinye.apps.monitor.monitor_settings import SETTINGS
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.near_groups import unlike
from xinye.apps.training import Budget
from xinye.errors import XinyeError
from xinye.observer import Observer


@dataclass(frozen=True)
class Improvement:
    """What was learned from so many corrected texts; `left_out` more nearly equal texts that were
    kept apart to test on, and `too_rare` more have only labels that are too rare to learn. `rare`
    has these labels, with the texts to learn from that have them. `before` and `after` are the
    scores on those kept apart, by the roles that were trained again, and `replaced` are the roles
    whose new model is better there; `luck` is how likely luck alone makes it so much better.
    `more_time` is true if a training was too short. The old monitor is in `kept`, "" if nothing was
    replaced."""

    monitor: str
    texts: int
    left_out: int
    too_rare: int
    rare: dict[str, int]
    before: dict[str, Score]
    after: dict[str, Score]
    luck: dict[str, float]
    replaced: tuple[str, ...]
    more_time: bool
    kept: str


def improve(
    folder: Path, store: Path, budget: Budget, observer: Observer | None = None
) -> Improvement:
    """Learn from the approved corrections of a store. Raises `XinyeError` if there is none that is
    new, or if the models they are about were not trained with the monitor."""
    observer = observer or Observer()
    folder = folder.resolve()
    monitor = MonitorFolder.read(folder)
    with closing(Monitor(store, create=False)) as opened:
        approved = _labelled(opened.corrections.approved())
    known = {*monitor.labelled, *monitor.test}
    corrected = [each for each in approved if each not in known]
    test = monitor.test
    new = unlike([each.text for each in corrected], [each.text for each in test])
    fresh = [each for each, is_new in zip(corrected, new, strict=True) if is_new]
    wanted = _wanted(monitor, store, corrected, fresh)
    parts = _parts(monitor, fresh)
    rare = {
        label: count
        for label, count in rare_labels(parts, wanted).items()
        if any(label in labels_of(role, each) for role in wanted for each in fresh)
    }
    wanted = [role for role in wanted if any(_teaches(role, each, rare) for each in fresh)]
    taught = [each for each in fresh if any(_teaches(role, each, rare) for role in wanted)]
    if not taught:
        raise XinyeError(
            f"{store}: corrected texts have only topics or moods that are too rare to learn "
            f"({_written(rare)}); {FEWEST_EACH} texts to learn from are needed for each"
        )
    old = _of_roles(judged(monitor.analyst(), test), wanted)
    before = scores(monitor.calibrations, old, {})
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        runs = Path(temporary)
        trained = learn(parts, wanted, runs, budget, observer)
        said = _of_roles(trained.said, [*old])
        after = scores(trained.calibrations, said, {})
        luck = {role: gained_by_luck(role, old[role], said[role]) for role in said}
        better = tuple(role for role in said if after[role].score > before[role].score)
        kept = str(_replaced(monitor, trained, better, parts, runs)) if better else ""
    return Improvement(
        str(folder),
        len(taught),
        len(corrected) - len(fresh),
        len(fresh) - len(taught),
        rare,
        before,
        after,
        luck,
        better,
        any(each.more_time for each in trained.learned.values()),
        kept,
    )


def _teaches(role: str, text: Labelled, rare: Mapping[str, int]) -> bool:
    """Whether a text has a label of a role that can be learned; that it has no topic is one."""
    labels = labels_of(role, text)
    return is_labelled(role, text) and (not labels or not rare.keys() >= {*labels})


def _written(rare: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in rare.items())


def _wanted(
    monitor: MonitorFolder, store: Path, corrected: Sequence[Labelled], fresh: Sequence[Labelled]
) -> list[str]:
    """The roles to train again. Raises `XinyeError` if there is none, or nothing to compare on."""
    folder = monitor.folder
    if not corrected:
        raise XinyeError(
            f"{store}: no approved correction is new to {folder.name}; approve corrections on the "
            "board first"
        )
    if not fresh:
        raise XinyeError(
            f"{store}: all corrected texts nearly equal texts that {folder.name} is tested on, so "
            "none can be learned; correct and approve others"
        )
    wanted = [role for role in _roles_of(fresh) if _is_own(monitor, role)]
    if not wanted:
        raise XinyeError(
            f"{folder}: the models that the corrections are about were not trained with this "
            "monitor; fine-tune them with xinye finetune, and name them in models.toml"
        )
    if not monitor.test:
        raise XinyeError(
            f"{folder}: there are no texts to test on, so nothing can be compared; prepare the "
            "monitor again with --test-share 0.1"
        )
    return wanted


def _labelled(corrections: Sequence[Correction]) -> list[Labelled]:
    """The corrected documents as labelled texts. What nobody has corrected is not known."""
    found: dict[int, Labelled] = {}
    for each in corrections:
        text = joined(each.title, each.text)
        labelled = found.get(each.document, Labelled(text, None, ""))
        if each.field == MOOD:
            found[each.document] = replace(labelled, mood=str(each.value))
        else:
            found[each.document] = replace(labelled, topics=tuple(each.value))
    return [*found.values()]


def _roles_of(texts: Sequence[Labelled]) -> list[str]:
    """The roles that the labels of these texts are about."""
    roles = {"topics": any(each.topics is not None for each in texts)}
    roles["mood"] = any(each.mood for each in texts)
    return [role for role, wanted in roles.items() if wanted]


def _is_own(monitor: MonitorFolder, role: str) -> bool:
    """Whether the model of a role was trained with the monitor."""
    found = monitor.models.get(role)
    return found is not None and found.path == f"{RUNS}/{role}"


def _parts(monitor: MonitorFolder, new: Sequence[Labelled]) -> Parts:
    """What is learned and calibrated on: the old texts and the new ones. The test stays."""
    parts = parts_of(relabelled(monitor.labelled, new), 0)
    return Parts(parts.learned, parts.calibration, monitor.test)


def _of_roles(found: Mapping[str, Judged], roles: Sequence[str]) -> dict[str, Judged]:
    return {role: labels for role, labels in found.items() if role in roles}


def _replaced(
    monitor: MonitorFolder, trained: Trained, better: Sequence[str], parts: Parts, runs: Path
) -> Path:
    """Put a monitor with the better models in the place of the old one. Returns where that is
    kept."""
    kept = kept_beside(monitor.folder)
    with MONITORS.beside(monitor.folder, kept=kept) as new:
        shutil.copytree(
            monitor.folder, new, True, shutil.ignore_patterns(SETTINGS), dirs_exist_ok=True
        )
        models, calibrations = dict(monitor.models), monitor.calibrations
        for role in better:
            path = new / RUNS / role
            shutil.rmtree(path)
            shutil.copytree(runs / role, path)
            models[role] = Role(path=f"{RUNS}/{role}", sha256=model_hash(path))
            calibrations = _taken(calibrations, trained.calibrations, role)
        report = {**monitor.report, "trained": {**monitor.report["trained"]}}
        report["trained"] |= {role: asdict(trained.learned[role]) for role in better}
        labelled = [*parts.learned, *parts.calibration]
        contents = Contents(None, models, calibrations, labelled, parts.test, report)
        contents.write(new)
        shutil.copyfile(monitor.folder / SETTINGS, new / SETTINGS)  # as people have edited it
    return kept


def _taken(old: Calibrations, new: Calibrations, role: str) -> Calibrations:
    """The old calibrations with the new one of a role."""
    if role == "topics":
        return old.model_copy(update={"topics": new.topics})
    return old.model_copy(update={"mood": new.mood, "mood_threshold": new.mood_threshold})
