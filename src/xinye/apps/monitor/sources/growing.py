"""Finds what is complete in a file that another program is still writing."""

from pathlib import Path

from xinye.data.encodings import decode
from xinye.data.records import json_line
from xinye.errors import XinyeError

_TABLES = (".csv", ".tsv")
_KINDS = (".jsonl", ".ndjson", *_TABLES)  # whose records end with a line
_HEAD = 1024  # bytes
_LONGEST = 1 << 20  # bytes of a line that are read at a time


def grows(file: Path) -> bool:
    """Whether records are added to a file of this kind line by line, in an encoding in which the
    byte of a line break means nothing else."""
    if file.suffix.lower() not in _KINDS:
        return False
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    return b"\0" not in head and not head.lstrip().startswith(b"[")


def complete_size(file: Path) -> int:
    """How many bytes of a file are complete: up to the last line break; in a table, one that is not
    within quotes."""
    size = file.stat().st_size  # what is added meanwhile comes the next time
    quoted = file.suffix.lower() in _TABLES
    quotes = read = complete = 0
    with file.open("rb") as opened:
        while read < size and (line := opened.readline(min(_LONGEST, size - read))):
            read += len(line)
            quotes += quoted and line.count(b'"')
            if line.endswith(b"\n") and quotes % 2 == 0:
                complete = read
    return complete


def is_unfinished(file: Path, complete: int) -> bool:
    """Whether the last line of a file that `grows`, of which so many bytes are complete, is half a
    record: no line break follows it, and it is not valid JSON; in a table, it ends within
    quotes."""
    with file.open("rb") as opened:
        opened.seek(complete)
        last = opened.read(_LONGEST)
    if not last.strip() or len(last) == _LONGEST:
        return False
    if file.suffix.lower() in _TABLES:
        return b"\n" not in last and last.count(b'"') % 2 == 1
    try:
        json_line(decode(last, what="the line"))
    except (ValueError, XinyeError):
        return True
    return False
