"""The pages that a run writes into its folder at its end: the report and the model card."""

from pathlib import Path

from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.runs.card import CARD, write_card
from xinye.runs.folder import RunFolder
from xinye.runs.report import REPORT, write_report
from xinye.runs.saved import read_run
from xinye.tasks.settings import with_words


def write_pages(folder: Path, observer: Observer) -> None:
    """Write the report and the model card. If that fails, it is only reported."""
    for write in (write_report, write_card):
        try:
            write(with_words(read_run(folder)))
        except (OSError, XinyeError) as error:
            observer.stage(f"the report could not be written ({error})")


def write_missing_pages(folder: Path, observer: Observer) -> None:
    """Write the pages of a run that ended without one of them, as after a kill. A page that is
    older than the result is that of a shorter run."""
    ended = written_at(RunFolder(folder).result_file)
    if any(written_at(folder / name) < ended for name in (REPORT, CARD)):
        write_pages(folder, observer)


def written_at(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 if there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0
