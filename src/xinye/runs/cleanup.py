"""Deletes runs or parts of them. Only what a run wrote is ever deleted, and nothing behind a
symbolic link."""

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
from xinye.runs.card import CARD, is_ours
from xinye.runs.diagnosis import best_checkpoint
from xinye.runs.folder import FILES, TRACKERS, RunFolder
from xinye.runs.report import REPORT
from xinye.runs.saved import SavedRun, is_run, read_run

# The files that a run writes into its folder, besides its card and `training/`.
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
    "calibration.json",  # of a classifier, as the next
    "word_counts.safetensors",
    "linear_tagger.safetensors",  # of a tagger
    "items.safetensors",  # of a recommender, as all in `items/`
    "items/catalogue.jsonl",
    "items/texts.json",
    "items/texts.safetensors",
    "items/ranking.json",
    "items/ranking.safetensors",
    "items/unlearned.safetensors",
    "items/histories.jsonl",
    REPORT,
)
# runs to compare with, which some runs have in their folder
INNER_RUNS = ("control", "without-teacher", "distillation.json")


@dataclass(frozen=True)
class Proposal:
    """Files and folders of a run that may be deleted, and their size in bytes."""

    run: SavedRun
    what: str
    paths: tuple[Path, ...]
    size: int
    whole: bool = True  # whether this is the whole run, with its model and report


def proposals(runs: Sequence[SavedRun], interrupted: bool) -> list[Proposal]:
    """What may be deleted: checkpoints of finished runs, runs without a model, and, if
    `interrupted`, runs that were interrupted or failed.

    If a run overfits, the checkpoint of its best step is kept, because that is the better model.
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
    """All that a run wrote, with its model and report. Raises `XinyeError` if the folder is a link
    or not that of a run, or if the run is still training."""
    refuse_link(run.folder)
    if run.state == "running":
        raise RunFolder(run.folder).in_other_hands()
    if not (run.about.started and run.about.settings):
        raise XinyeError(
            f"{run.folder}: its {SETTINGS} is not that of a run, so nothing is deleted there"
        )
    return _proposal(run, "the whole run, with its model and report", _all_of(run.folder))


def _all_of(folder: Path) -> list[Path]:
    """All that a run wrote, and the runs within its folder."""
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
    """Delete what was proposed; returns False, and deletes nothing, if the run's state has changed
    since."""
    folder = proposal.run.folder
    if read_run(folder).state != proposal.run.state:
        return False
    if proposal.whole:
        remove_run(folder, *INNER_RUNS)
    else:
        _delete(folder, proposal.paths)
    return True


def remove_run(folder: Path, *more: str) -> None:
    """Delete what a run or a study of several runs wrote into a folder. Everything else stays.

    `more` names what a study has in its folder: files by name, and folders of its runs by name or
    pattern.
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
    """Raise `XinyeError` if a run's folder, or a folder in it, is a symbolic link, because Xinye
    overwrites nothing behind one."""
    for path in (folder, folder / TRAINING, folder / CHECKPOINTS):
        if path.is_symlink():
            raise XinyeError(
                f"{path}: is a link to {path.readlink()}, and Xinye does not overwrite the "
                "target of a link; give the folder itself with -o, or remove the link"
            )


def written(folder: Path) -> Iterator[Path]:
    """Yield the existing files that a run wrote into its folder, except behind links; the settings
    come last."""
    card = folder / CARD
    yield from filter(is_deletable, checkpoints(folder))
    files = [folder / name for name in MODEL] + [card] * is_ours(card)
    files += [folder / TRAINING / name for name in FILES]
    for path in files:
        # parts that a kill left unfinished
        unfinished = [path.with_name(f".{path.name}.{end}") for end in ("new", "old")]
        for each in (*unfinished, path):
            there = each.is_file() or (each.is_dir() and path.name in TRACKERS)
            if there and not through_link(each, folder):
                yield each


def _delete(folder: Path, paths: Sequence[Path]) -> None:
    """Delete files and folders of a run, and its folder if it is empty then."""
    for path in paths:
        if path.is_dir():
            delete_folder(path)
        else:
            path.unlink()
    delete_leftovers(folder)
    _delete_empty(folder / CHECKPOINTS, folder / TRAINING, folder / "items", folder)


def _delete_empty(*folders: Path) -> None:
    """Delete the folders that are empty. Give the innermost first."""
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
