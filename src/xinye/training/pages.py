"""The pages that a run writes into its folder at its end: the report and the model card."""

from pathlib import Path

from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.runs.card import CARD, write_card
from xinye.runs.report import REPORT, write_report
from xinye.runs.saved import read_run
from xinye.tasks.settings import with_words


def write_pages(folder: Path, observer: Observer) -> None:
    """Write the report and the model card. If that fails, it is only reported."""
    try:
        write_report(with_words(read_run(folder)))
        write_card(with_words(read_run(folder)))
    except (OSError, XinyeError) as error:
        observer.stage(f"the report could not be written ({error})")


def write_missing_pages(folder: Path, observer: Observer) -> None:
    """Write the pages of a run that ended without one of them, as after a kill."""
    if not all((folder / name).exists() for name in (REPORT, CARD)):
        write_pages(folder, observer)
