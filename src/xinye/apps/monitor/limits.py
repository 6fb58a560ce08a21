"""`Limits`: how much a document may have, and for how long things are kept."""

from dataclasses import asdict, dataclass

from xinye.errors import XinyeError


@dataclass(frozen=True)
class Limits:
    """The limits of a monitor. Raises `XinyeError` for one that is not above zero."""

    title_characters: int = 500
    text_characters: int = 50_000  # what is longer is cut, and counted
    batch: int = 256  # documents that are analysed and written together
    near_days: float = 7.0  # between a document and one that repeats it
    late_hours: int = 24  # until documents are too late to cause an alarm
    page: int = 200  # documents, alerts or entries of the log in one answer
    searched: int = 20_000  # documents that are searched for words for one answer
    points: int = 20_000  # of a trend
    retention_days: float = 180.0  # until the texts of a document are deleted

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise XinyeError(f"{name}: {value} is too small; use more than 0")
