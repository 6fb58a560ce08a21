"""What of runs can be deleted, and deleting it. Nothing that a run did not write is ever touched."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinye.evaluation.card import is_ours
from xinye.evaluation.diagnosis import best_checkpoint
from xinye.evaluation.runs import FILES, SavedRun, read_run


@dataclass(frozen=True)
class Proposal:
    """Files and folders of a run that could go, and how many bytes they take."""

    run: SavedRun
    what: str
    paths: tuple[Path, ...]
    size: int


def proposals(runs: Sequence[SavedRun], interrupted: bool) -> list[Proposal]:
    """What could go: checkpoints of finished runs, runs without a model, and, if asked for, interrupted runs.

    The checkpoint of the best step of a run that overfits stays: it is the better model.
    """
    found = []
    for run in runs:
        checkpoints = [path for path in run.checkpoints if path != best_checkpoint(run)]
        if run.state == "finished" and checkpoints:
            found.append(_proposal(run, "its checkpoints", checkpoints))
        elif run.state in ("interrupted", "failed"):
            empty = not run.checkpoints and not (run.folder / "model.safetensors").exists()
            if empty or interrupted:
                what = "all of it: nothing was saved" if empty else f"all of it: {run.state} at step {run.done:,}"
                card = [path for path in (run.folder / "README.md",) if is_ours(path)]
                paths = [*(run.folder / name for name in FILES), *card, run.folder / "training"]
                found.append(_proposal(run, what, paths))
    return found


def _proposal(run: SavedRun, what: str, paths: Sequence[Path]) -> Proposal:
    present = tuple(path for path in paths if path.exists())
    files = [file for path in present for file in (path, *path.rglob("*")) if file.is_file()]
    return Proposal(run, what, present, sum(file.stat().st_size for file in files))


def remove(proposal: Proposal) -> bool:
    """Delete what was proposed, unless the run has gone on since; returns whether it was deleted."""
    if read_run(proposal.run.folder).state != proposal.run.state:
        return False
    for path in proposal.paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder = proposal.run.folder
    if not any(folder.iterdir()):
        folder.rmdir()
    return True
