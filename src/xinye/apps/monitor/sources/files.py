"""Documents from files, folders that are watched, and standard input."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any

from xinye.apps.monitor.documents import LONGEST_TEXT, TEXT_CUT, Incoming, Origin
from xinye.apps.monitor.sources.dates import read_date
from xinye.apps.monitor.sources.growing import complete_size, grows, is_unfinished
from xinye.data.archives import ZIP, is_archive, is_hidden
from xinye.data.columns import FIELD_NAMES, as_text, find_column
from xinye.data.encodings import decode, with_newlines
from xinye.data.files import (
    RECORD_SUFFIXES,
    check_file,
    check_libraries,
    expand,
    not_readable,
    suffix_of,
)
from xinye.data.notes import Notes, place_of
from xinye.data.parts import each_within
from xinye.data.records import json_line
from xinye.data.sources import read_records
from xinye.errors import XinyeError
from xinye.language import INPUT

STDIN = "-"
_INPUT = Origin(STDIN, "stdin")
BATCH = 100  # documents
QUIET = 2.0  # seconds that a file in a folder must not have changed before it is read whole
PATIENCE = 10.0  # seconds after which the complete records of one that goes on changing are read,
SPEED = 1e6  # and a second more for so many bytes, since it is read from its beginning
OLD = 3600.0  # seconds after which nobody finishes half a line
REST = 20  # times as long as it took to look through a folder, it is left alone
FAST = 0.05  # seconds; one that takes no longer is always looked through
SOON = 1.0  # seconds that documents from standard input wait for others
LONGEST_LINE = 4_000_000  # bytes of a line of standard input
TOO_LONG = b""  # stands for a line that is longer
NOT_JSON = "not valid JSON"
LEFT_OUT = "left out"  # how notes on records that are lost begin
MOST_KINDS = 20  # of problems that are told of a file
IDS = ("id", "guid", "uid", "docid", "doc_id", "news_id", "article_id", "编号", "文章id", "新闻id")
TITLES = ("title", "headline", "subject", "标题", "题目")
TEXTS = (*FIELD_NAMES, "summary", "description", "abstract", "摘要", "简介", "描述", "全文")
URLS = ("url", "link", "href", "网址", "链接", "地址", "原文链接")
DATES = (
    "published", "published_at", "publish_time", "pubdate", "pub_date", "publish_date", "date",
    "datetime", "time", "timestamp", "created_at", "created", "发布时间", "发表时间", "发布日期",
    "时间", "日期",
)  # fmt: skip
SOURCES = ("source", "media", "site", "来源", "媒体", "媒体名称", "平台")
Warn = Callable[[str], None]
Version = tuple[int, int]  # the size of a file, and when it was last changed


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a record, None for those that it lacks."""

    id: str | None
    title: str | None
    text: str | None
    url: str | None
    published: str | None
    source: str | None


@dataclass
class FileSource:
    """A file or a folder of records: JSON Lines, JSON, CSV, TSV, Excel, Parquet. `zone` is that of
    dates that name none. `warn` hears of what is left out. If it is read only `once`, a file that
    goes on changing does not wait for long.

    >>> source = FileSource("news/")  # doctest: +SKIP
    >>> for batch in source.new():  # doctest: +SKIP
    ...     ingest.add(batch)
    """

    name: str
    zone: tzinfo = UTC
    warn: Warn = lambda text: None
    clock: Callable[[], float] = time.time
    once: bool = False
    timer: Callable[[], float] = time.monotonic
    _seen: dict[Path, Version] = field(default_factory=dict)
    _waiting: dict[Path, float] = field(default_factory=dict)  # until when a growing file waits
    _told: dict[Path, dict[str, int]] = field(default_factory=dict)  # problems of each file
    _rests: float = float("-inf")  # until when the folder is not looked through

    def new(self) -> Iterator[list[Incoming]]:
        """The documents of all files that are new or changed since the last call. A changed file is
        read from its beginning: documents with an id, or with the same text, are not new. A file
        that changed a moment ago is left for the next call, unless it is the only one and read for
        the first time; if it goes on changing, its complete records are read now and then. In a
        folder, hidden files are not read, and one that cannot be read is told and skipped.

        Raises XinyeError if there is no such file or folder, or if the only file cannot be read."""
        path = Path(self.name).expanduser()
        if not path.is_dir():
            check_file(path)
            yield from self._new(path, at_once=path not in self._seen)
            return
        for file in self._changed(path):
            try:
                yield from self._new(file)
            except (XinyeError, OSError) as error:
                self.warn(str(error))

    @property
    def waits(self) -> bool:
        """Whether a file that has just changed is to be read soon."""
        return any(until < float("inf") for until in self._waiting.values())

    def _changed(self, folder: Path) -> list[Path]:
        """The files of a folder that are new or changed. A large folder is rarely looked through,
        so that this takes no more than a small part of the time."""
        start = self.timer()
        if start < self._rests and not self.once:
            return []
        files = [
            file
            for file in sorted(folder.rglob("*"))
            if suffix_of(file) in (*RECORD_SUFFIXES, ZIP)
            and not is_hidden(file.relative_to(folder))
        ]
        self._seen = {file: self._seen[file] for file in files if file in self._seen}
        self._waiting = {file: self._waiting[file] for file in files if file in self._waiting}
        self._told = {file: self._told[file] for file in files if file in self._told}
        changed = [file for file in files if self._seen.get(file) != _version(file)]
        took = self.timer() - start
        self._rests = start + took + REST * took if took > FAST else start
        return changed

    def _new(self, file: Path, at_once: bool = False) -> Iterator[list[Incoming]]:
        """The documents of a file, if it is new or changed, and not being written."""
        version = _version(file)
        if version is None or self._seen.get(file) == version:
            return
        if at_once or not 0 <= self._age(file) < QUIET:  # a file from the future is read, too
            yield from self._whole(file, version)
        else:
            yield from self._part(file)

    def _age(self, file: Path) -> float:
        """For how many seconds a file has not changed."""
        return self.clock() - file.stat().st_mtime

    def _whole(self, file: Path, version: Version) -> Iterator[list[Incoming]]:
        self._waiting.pop(file, None)
        try:
            complete = complete_size(file) if grows(file) else None
            if complete is not None and is_unfinished(file, complete):
                if self.once or file == Path(self.name).expanduser() or self._age(file) > OLD:
                    self.warn(f"{file}: its last line is not complete, and is not read")
                yield from self._complete(file, complete)
            else:
                for each in expand(file) if is_archive(file) else [file]:
                    yield from self._read(each)
        except (XinyeError, OSError):
            self._seen[file] = version  # a bad file is told once, and read again after a change
            raise
        # Only now, because whoever takes the documents may have failed and asks again.
        self._seen[file] = version

    def _part(self, file: Path) -> Iterator[list[Incoming]]:
        """The complete records of a file that is being written, if it has waited long enough."""
        now = self.clock()
        pause = QUIET if self.once else PATIENCE + file.stat().st_size / SPEED
        until = self._waiting.setdefault(file, now + pause)
        if now < until:
            return
        if not grows(file):
            self._waiting[file] = float("inf")
            self.warn(
                f"{file}: it goes on changing; it is read as soon as it has not changed for "
                f"{QUIET:g} seconds"
            )
            return
        self._waiting[file] = float("inf") if self.once else now + pause
        try:
            yield from self._complete(file, complete_size(file))
        except XinyeError:
            self._waiting[file] = float("inf")
            raise

    def _complete(self, file: Path, size: int) -> Iterator[list[Incoming]]:
        """The records of a file of which so many bytes are complete. Half a record behind them is
        no problem that is told."""
        yield from each_within(file, size, self._read(file))

    def _read(self, file: Path) -> Iterator[list[Incoming]]:
        return read_file(file, self.zone, self.warn, self._told.setdefault(file, {}))


def _version(file: Path) -> Version | None:
    """What changes with a file; None if it is gone, or no file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if S_ISREG(status.st_mode) else None


def read_file(
    path: Path,
    zone: tzinfo = UTC,
    warn: Warn = lambda text: None,
    told: dict[str, int] | None = None,
) -> Iterator[list[Incoming]]:
    """The documents of a file of records, in batches. `told` are the problems that were told when
    it was read before, and how often each was found. Raises XinyeError if it cannot be read."""
    if suffix_of(path) not in RECORD_SUFFIXES:
        raise not_readable(path, RECORD_SUFFIXES)
    check_libraries([path])
    reader = _Reader(str(path), Origin(str(path.resolve()), path.name), zone)
    batch: list[Incoming] = []
    try:
        for line, record in read_records(path, reader.bad, notes=reader.notes):
            batch += reader.read(line, record)
            if len(batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch
    finally:
        reader.tell(warn, {} if told is None else told)


def read_stdin(
    stream: IO[bytes],
    zone: tzinfo = UTC,
    warn: Warn = lambda text: None,
    soon: float = SOON,
) -> Iterator[list[Incoming]]:
    """The documents of a stream of JSON Lines, in batches. None waits longer than `soon` seconds
    for others; an empty batch says that nothing came for so long. Ends with the stream. Problems
    are told with their batch."""
    lines: queue.Queue[bytes | None] = queue.Queue(10 * BATCH)
    threading.Thread(target=_read_lines, args=(stream, lines), daemon=True).start()
    number, ended = 0, False
    while not ended:
        reader = _Reader(INPUT, _INPUT, zone)
        batch: list[Incoming] = []
        try:
            line = lines.get(timeout=soon)
        except queue.Empty:
            yield []
            continue
        until = time.monotonic() + soon
        while True:
            ended = line is None
            if line is None:
                break
            number += 1
            if line is TOO_LONG:
                size = LONGEST_LINE // 10**6
                reader.bad(INPUT, number, f"the line is longer than {size} MB")
            else:
                batch += reader.parse(number, line)
            left = until - time.monotonic()
            if len(batch) >= BATCH or left <= 0:
                break
            try:
                line = lines.get(timeout=left)
            except queue.Empty:
                break
        if batch:
            yield batch
        reader.tell(warn, {})


def _read_lines(stream: IO[bytes], lines: "queue.Queue[bytes | None]") -> None:
    try:
        while line := stream.readline(LONGEST_LINE + 1):
            whole = line.endswith(b"\n") or len(line) <= LONGEST_LINE
            lines.put(line if whole else TOO_LONG)
            while line and not whole:
                line = stream.readline(LONGEST_LINE)
                whole = line.endswith(b"\n")
    finally:
        lines.put(None)


class _Reader:
    """Makes documents of records, and counts what is wrong with them."""

    def __init__(self, path: str, origin: Origin, zone: tzinfo) -> None:
        self.notes = Notes()
        self._path, self._origin, self._zone = path, origin, zone

    def bad(self, path: Path | str, line: int, problem: str) -> None:
        """Note a record that is left out."""
        if problem.startswith(NOT_JSON):
            problem = NOT_JSON  # the column differs in each line
        what = f"left out: {problem}"
        if what not in self.notes.counts and len(self.notes.counts) >= MOST_KINDS:
            what = "left out for other reasons"
        self.notes.add(place_of(path, line), what)

    def tell(self, warn: Warn, told: dict[str, int]) -> None:
        """Tell what was noted. What was `told` before is told again only if more records are left
        out."""
        counts = self.notes.counts
        for what, sentence in zip(counts, self.notes.sentences(), strict=True):
            if what not in told or (what.startswith(LEFT_OUT) and counts[what] > told[what]):
                warn(sentence)
        told.update(counts)

    def parse(self, number: int, line: bytes) -> list[Incoming]:
        """The document in a line of JSON, in a list; an empty list if there is none."""
        if not line.strip():
            return []
        try:
            record = json_line(decode(line, what="the line"))
        except (ValueError, XinyeError) as error:
            self.bad(self._path, number, str(error))
            return []
        return self.read(number, record)

    def read(self, line: int, record: Any) -> list[Incoming]:
        """The document of a record, in a list; an empty list if it has none."""
        if isinstance(record, str):
            record = {"text": record}
        if not isinstance(record, dict):
            self.bad(self._path, line, "the record is neither an object nor a text")
            return []
        columns = _columns_known(tuple(record))
        if columns.text is None and columns.title is None:
            there = ", ".join(map(str, record))[:200]
            self.bad(self._path, line, f"it has neither a text nor a title; it has: {there}")
            return []
        title, text = self._text(record, columns.title), self._text(record, columns.text)
        if not title and not text:
            self.bad(self._path, line, "its text and title are empty")
            return []
        if len(text) > LONGEST_TEXT:
            self.notes.add(place_of(self._path, line), TEXT_CUT)
        return [
            Incoming(
                _word(record, columns.source), _word(record, columns.id),
                " ".join(title.split())[:LONGEST_TEXT], text[:LONGEST_TEXT],
                _word(record, columns.url), self._date(line, record, columns), self._origin,
            )
        ]  # fmt: skip

    def _text(self, record: dict[str, Any], column: str | None) -> str:
        text = as_text(record.get(column)) if column is not None else ""
        return with_newlines(text or "").strip()

    def _date(self, line: int, record: dict[str, Any], columns: Columns) -> float | None:
        place = place_of(self._path, line)
        value = record.get(columns.published) if columns.published is not None else None
        if value is None or value == "":
            self.notes.add(place, "no date")
            return None
        date = read_date(value, self._zone)
        if date.at is None:
            self.notes.add(place, "the date cannot be read")
        elif not date.zoned:
            self.notes.add(place, f"{self._zone} is assumed for a date without a zone")
        if not date.timed:
            self.notes.add(place, "the date has no time of day and is read as midnight")
        return date.at


def columns_of(names: tuple[str, ...]) -> Columns:
    """The columns of a record with fields of these names."""
    return Columns(
        id=find_column(names, IDS),
        title=find_column(names, TITLES, endings=True),
        text=find_column(names, TEXTS, endings=True),
        url=find_column(names, URLS),
        published=find_column(names, DATES, endings=True),
        source=find_column(names, SOURCES),
    )


_columns_known = lru_cache(1000)(columns_of)


def _word(record: dict[str, Any], column: str | None) -> str:
    """A short value, such as an id, as text; "" if there is none."""
    value = record.get(column) if column is not None else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return " ".join(str(value).split())[:2_000]
