"""Reads what is complete in a file that another program is still writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_TABLES = (".csv", ".tsv")
_KINDS = (".jsonl", ".ndjson", *_TABLES)  # whose records end with a line
_HEAD = 1024  # bytes


def grows(file: Path) -> bool:
    """Whether records are added to a file of this kind line by line, in an encoding in which the
    byte of a line break means nothing else."""
    if file.suffix.lower() not in _KINDS:
        return False
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    return b"\0" not in head and not head.lstrip().startswith(b"[")


@contextmanager
def complete_part(file: Path) -> Iterator[Path]:
    """A copy of a file that ends with its last complete record: with a line break that is not
    within quotes, if it is a table."""
    size = file.stat().st_size  # what is added meanwhile comes the next time
    quoted = file.suffix.lower() in _TABLES
    with TemporaryDirectory(prefix="xinye-") as folder:
        copy = Path(folder, file.name)
        with file.open("rb") as whole, copy.open("wb") as part:
            quotes = end = 0
            for line in whole:
                part.write(line)
                quotes += quoted and line.count(b'"')
                if line.endswith(b"\n") and quotes % 2 == 0:
                    end = part.tell()
                if part.tell() >= size:
                    break
            part.truncate(end)
        yield copy
