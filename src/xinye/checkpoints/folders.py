"""The checkpoints in a run's folder: finds them, deletes them, and verifies saved files.

Only what Xinye wrote is ever deleted, and nothing behind a symbolic link. A checkpoint is a folder
`step-` with eight digits; its manifest has the size and SHA-256 of each file in it.
`training/manifest.json` has those of the model in the run's own folder. This module does not need
torch.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from xinye.data.files import open_regular, read_json, write_json
from xinye.errors import XinyeError, did_you_mean, quoted

# The paths in a run's folder, besides the model. `runs/folder.py` reads and writes these files.
TRAINING = "training"
SETTINGS = Path(TRAINING, "settings.json")
CHECKPOINTS = Path(TRAINING, "checkpoints")
MANIFEST = "manifest.json"
WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
# of a recommender: the parts of which the rows of items are composed, and the folder with all else
# that other tools do not know
ROWS, ITEMS = "items.safetensors", "items"
# bytes: hashing them takes 0.1 s, or 0.25 s on a processor without SHA instructions
HASHED_WHEN_LOADED = 100_000_000
_NAME = re.compile(r"step-\d{8}", re.ASCII)
_LEFT_OVER = re.compile(r"\.step-\d{8}\.(new|old)", re.ASCII)


class Entry(TypedDict):
    """The entry of a file in a manifest."""

    bytes: int
    sha256: str


def near_run(missing: Path) -> str:
    """Advice for a run's folder that does not exist: a run with a similar name, or how to list the
    runs next to it. Empty if the path does not look like a run."""
    beside = missing.parent
    if beside == Path() or not (beside.is_dir() or beside == Path("runs")):
        return ""
    names = [str(run) for run in sorted(beside.glob("*")) if (run / TRAINING).is_dir()]
    if not names:
        return f"; there are no runs in {beside}"
    return did_you_mean(str(missing), names) or f"; list the runs with xinye runs {quoted(beside)}"


def is_item_folder(folder: Path) -> bool:
    """Whether a folder is that of a recommender."""
    return (folder / ROWS).is_file()


def check_item_folder(folder: Path) -> None:
    """Raise `XinyeError` if a folder is not that of a recommender."""
    if is_item_folder(folder) and not (folder / ITEMS).is_dir():
        raise XinyeError(
            f"{folder}: this recommender has not ended its training; resume it: xinye finetune "
            f"-o {quoted(folder)} --resume"
        )
    if not is_item_folder(folder):
        raise XinyeError(
            f"{folder}: not the folder of a recommender; train one with xinye finetune --task "
            f"recommend -o {quoted(folder)}"
        )


def checkpoints(run: Path) -> list[Path]:
    """The folders of a run's checkpoints, the newest last."""
    return sorted(path for path in (run / CHECKPOINTS).glob("*") if _NAME.fullmatch(path.name))


def step_of(checkpoint: Path) -> int:
    """The number of steps after which a checkpoint was saved."""
    return int(checkpoint.name.removeprefix("step-"))


# -- deleting --------------------------------------------------------------------------------------


def is_deletable(checkpoint: Path) -> bool:
    """Whether a checkpoint holds only files in its manifest, and is not behind a symbolic link."""
    if not _NAME.fullmatch(checkpoint.name) or through_link(checkpoint, checkpoint.parents[2]):
        return False
    try:
        names = {MANIFEST, *read_json(checkpoint / MANIFEST)}
    except XinyeError:
        return False
    return all(path.name in names and not path.is_dir() for path in checkpoint.iterdir())


def through_link(path: Path, folder: Path) -> bool:
    """Whether a path within a folder is a symbolic link, or is behind one."""
    return any(each.is_symlink() for each in (path, *path.parents) if folder in each.parents)


def delete_folder(folder: Path) -> None:
    """Delete a folder, which must not be a symbolic link. It is renamed to a hidden name first, so
    that a kill leaves no half-deleted folder."""
    hidden = folder.with_name(f".{folder.name}.old")
    if hidden.is_dir() and not hidden.is_symlink():  # an earlier kill left it half deleted
        shutil.rmtree(hidden)
    folder.rename(hidden)
    shutil.rmtree(hidden)


def delete_leftovers(run: Path) -> None:
    """Delete checkpoints that a kill left half written or half deleted."""
    for path in (run / CHECKPOINTS).glob("*"):
        if _LEFT_OVER.fullmatch(path.name) and not through_link(path, run):
            shutil.rmtree(path)


def discard_weights(run: Path) -> None:
    """Delete the model and the checkpoints of a run. Its settings and figures stay."""
    for checkpoint in filter(is_deletable, checkpoints(run)):
        delete_folder(checkpoint)
    for path in (*(run / name for name in WEIGHTS), run / TRAINING / MANIFEST):
        if path.is_file() and not through_link(path, run):
            path.unlink()


# -- verification ----------------------------------------------------------------------------------


def fingerprint(path: Path) -> Entry:
    """The size and SHA-256 of a file, as an entry of a manifest."""
    with open_regular(path) as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def note_beside(run: Path, names: Sequence[str]) -> None:
    """Renew the entries of these files, which stand beside the model of a run, in its manifest, if
    it has one."""
    manifest = run / TRAINING / MANIFEST
    if not manifest.is_file():
        return
    others = {name: of for name, of in _saved(manifest).items() if name not in names}
    there = {name: fingerprint(run / name) for name in names if (run / name).is_file()}
    write_json(manifest, others | there)


def differences(folder: Path, manifest: Path) -> Iterator[str]:
    """The problems of the files in a folder, compared with its manifest: one line each. Raises
    `XinyeError` if the manifest is damaged."""
    for name, saved in _saved(manifest).items():
        if problem := _difference(folder / name, saved):
            yield problem


def check_weights(folder: Path) -> None:
    """Raise `XinyeError` if the weights of a run or checkpoint are not those that were saved. Large
    files are compared only by size. Without a manifest nothing is checked."""
    manifest, saved = _manifest_of(folder)
    for name in saved.keys() & set(WEIGHTS):
        problem = _changed(folder / name, saved[name]) if (folder / name).is_file() else ""
        if problem and not _published_before(folder, name):
            raise XinyeError(
                f"{folder / name}: damaged or cut short ({problem}); find an intact checkpoint "
                f"with xinye runs verify, or delete {manifest} if you changed the file yourself"
            )


def check_beside(folder: Path, names: Sequence[str]) -> None:
    """Raise `XinyeError` if one of these files, which stand beside the model of a run, is missing
    or not as it was saved. Without an entry in the manifest it is not checked."""
    _, saved = _manifest_of(folder)
    for name in names:
        path = folder / name
        if name in saved and (problem := _changed(path, saved[name])):
            raise XinyeError(
                f"{path}: {problem}, but the model needs it as it was saved; restore it, "
                "or train the run again"
            )


def _manifest_of(folder: Path) -> tuple[Path, dict[str, Entry]]:
    """The manifest of a run or checkpoint, and what it holds; nothing if there is none."""
    own = folder / TRAINING / MANIFEST
    manifest = own if own.is_file() else folder / MANIFEST
    return manifest, _entries_of(manifest, []) if manifest.is_file() else {}


def _changed(path: Path, saved: Entry) -> str:
    """How a file differs from what was saved; of a large one only its size is compared."""
    return _difference(path, saved, with_content=saved["bytes"] <= HASHED_WHEN_LOADED)


def run_differences(run: Path) -> list[str]:
    """The problems of the saved files of a run and its checkpoints: one line each, which begins
    with the path."""
    found: list[str] = []
    for folder in (run, *checkpoints(run)):
        manifest = folder / TRAINING / MANIFEST if folder == run else folder / MANIFEST
        if manifest.is_file():
            for name, saved in _entries_of(manifest, found).items():
                problem = _difference(folder / name, saved)
                if problem and not (folder == run and _published_before(run, name)):
                    found.append(f"{folder / name}: {problem}")
        elif folder != run:
            found.append(f"{manifest}: the file is missing")
        elif (run / WEIGHTS[0]).exists() or (run / WEIGHTS[1]).exists():
            found.append(f"{manifest}: the file is missing, so the model cannot be verified")
    return found


def _entries_of(manifest: Path, found: list[str]) -> dict[str, Entry]:
    try:
        return _saved(manifest)
    except XinyeError as error:
        found.append(str(error))
        return {}


def _saved(manifest: Path) -> dict[str, Entry]:
    files = read_json(manifest)
    for name, saved in files.items():
        entry = saved if isinstance(saved, dict) else {}
        kinds = type(entry.get("bytes")), type(entry.get("sha256"))
        if Path(name).name != name or kinds != (int, str):
            raise XinyeError(f"{manifest}: damaged (the entry for {name[:50]!r} is invalid)")
    return files


def _difference(path: Path, saved: Entry, with_content: bool = True) -> str:
    """How a file differs from what was saved; empty if it does not."""
    try:
        if path.stat().st_size != saved["bytes"]:
            return f"the size of {path.name} has changed since it was saved"
        if with_content and fingerprint(path) != saved:
            return f"the content of {path.name} has changed since it was saved"
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    except XinyeError as error:
        return str(error)
    return ""


def _published_before(run: Path, name: str) -> bool:
    """Whether a file belongs to an older checkpoint, because the run was killed while it copied the
    newest model into its folder."""
    for checkpoint in checkpoints(run):
        saved = _entries_of(checkpoint / MANIFEST, []).get(name)
        if saved and not _difference(run / name, saved):
            return True
    return False
