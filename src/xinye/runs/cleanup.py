"""What of runs can be deleted, and deleting it. Nothing that a run did not write is ever touched,
nor what a link leads to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinye.checkpoints.folders import (
    CHECKPOINTS,
    SETTINGS,
    TRAINING,
    WEIGHTS,
    checkpoints,
    delete_folder,
    delete_leftovers,
    is_deletable,
    through_link,
)
from xinye.errors import XinyeError
from xinye.runs.card import is_ours
from xinye.runs.diagnosis import best_checkpoint
from xinye.runs.folder import FILES, TRACKERS, RunFolder
from xinye.runs.saved import SavedRun, is_run, read_run

# What a run writes into its folder, beside its card and `training/`.
MODEL = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_golden.json",
    "report.html",
)
# what some runs have beside: a run to compare with
INNER_RUNS = ("control", "without-teacher", "distillation.json")


@dataclass(frozen=True)
class Proposal:
    """Files and folders of a run that could go, and how many bytes they take."""

    run: SavedRun
    what: str
    paths: tuple[Path, ...]
    size: int
    whole: bool = True  # whether the run is gone then, its model and its report too


def proposals(runs: Sequence[SavedRun], interrupted: bool) -> list[Proposal]:
    """What could go: checkpoints of finished runs, runs without a model, and, if asked for,
    interrupted runs.

    The checkpoint of the best step of a run that overfits stays: it is the better model.
    """
    found = []
    for run in runs:
        if run.folder.is_symlink():
            continue
        deletable = [
            path for path in run.checkpoints if is_deletable(path) and path != best_checkpoint(run)
        ]
        if run.state == "finished" and deletable:
            found.append(_proposal(run, "the checkpoints", deletable, whole=False))
        elif run.state in ("interrupted", "failed"):
            weights = any((run.folder / name).exists() for name in WEIGHTS)
            what = (
                f"the whole run: {'failed' if run.state == 'failed' else 'interrupted'} at step "
                f"{run.done:,}"
            )
            if not run.checkpoints and not weights:
                what = "the whole run: it saved nothing"
            elif not interrupted:
                continue
            found.append(_proposal(run, what, _all_of(run.folder)))
    return found


def whole_run(run: SavedRun) -> Proposal:
    """All that a run wrote, its model and its report too. Raises `XinyeError` where the folder is a
    link, or not surely that of a run, or the run is going on."""
    refuse_link(run.folder)
    if run.state == "running":
        raise RunFolder(run.folder).in_other_hands()
    if not (run.about.started and run.about.settings):
        raise XinyeError(
            f"{run.folder}: its {SETTINGS} is not that of a run, so that nothing is deleted there"
        )
    return _proposal(run, "the whole run, with its model and report", _all_of(run.folder))


def _all_of(folder: Path) -> list[Path]:
    """What a run wrote, and those that it has beside."""
    inner = [folder / name for name in INNER_RUNS if is_run(folder / name)]
    return [
        path
        for each in (*inner, folder)
        if each == folder or not each.is_symlink()
        for path in written(each)
    ]


def _proposal(run: SavedRun, what: str, paths: Sequence[Path], whole: bool = True) -> Proposal:
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return Proposal(run, what, tuple(paths), sum(file.stat().st_size for file in files), whole)


def remove(proposal: Proposal) -> bool:
    """Delete what was proposed, unless the run has gone on since; returns whether it was
    deleted."""
    folder = proposal.run.folder
    if read_run(folder).state != proposal.run.state:
        return False
    if proposal.whole:
        remove_run(folder, *INNER_RUNS)
    else:
        _delete(folder, proposal.paths)
    return True


def remove_run(folder: Path, *more: str) -> None:
    """Delete what a run, or a study of several runs, wrote into a folder; whatever else lies there
    stays.

    `more` are what a study has in its folder: files by their names, and the folders of its runs,
    also by patterns.
    """
    for written_as, path in [(pattern, path) for pattern in more for path in folder.glob(pattern)]:
        if through_link(path, folder):
            continue
        if path.is_dir():
            remove_run(path, *INNER_RUNS)
            _delete_empty(*path.parents[: len(path.relative_to(folder).parts) - 1])
        elif "*" not in written_as:
            path.unlink()
    if is_run(folder) or folder.name == "tokenizer":
        _delete(folder, list(written(folder)))


def refuse_link(folder: Path) -> None:
    """Raises `XinyeError` where a folder, or one that its run writes into, is a link: what that
    leads to may not be the run's, and is not replaced."""
    for path in (folder, folder / TRAINING, folder / CHECKPOINTS):
        if path.is_symlink():
            raise XinyeError(
                f"{path}: is a link to {path.readlink()}, and Xinye overwrites nothing behind a "
                "link; give the folder itself with -o, or remove the link"
            )


def written(folder: Path) -> Iterator[Path]:
    """What a run wrote into its folder, as far as it is there and no link leads to it; its settings
    last."""
    card = folder / "README.md"
    yield from filter(is_deletable, checkpoints(folder))
    files = [folder / name for name in MODEL] + [card] * is_ours(card)
    files += [folder / TRAINING / name for name in FILES]
    for path in files:
        # what a kill left
        unfinished = [path.with_name(f".{path.name}.{end}") for end in ("new", "old")]
        for each in (*unfinished, path):
            there = each.is_file() or (each.is_dir() and path.name in TRACKERS)
            if there and not through_link(each, folder):
                yield each


def _delete(folder: Path, paths: Sequence[Path]) -> None:
    """Delete files and folders of a run, and its folder if nothing else is in it."""
    for path in paths:
        if path.is_dir():
            delete_folder(path)
        else:
            path.unlink()
    delete_leftovers(folder)
    _delete_empty(folder / CHECKPOINTS, folder / TRAINING, folder)


def _delete_empty(*folders: Path) -> None:
    """Delete folders that have become empty, the innermost first."""
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
