"""Collect documents of many formats into one file of JSON lines, ready to be checked and trained
on.
"""

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from xinye.data.cleaning import Cleaning, clean
from xinye.data.extract import (
    FORMATS,
    LIBRARIES,
    Document,
    find_format,
    named_format,
    read_documents,
    read_hub,
)
from xinye.data.files import expand, once, open_regular
from xinye.data.sources import SUFFIXES, Piece
from xinye.errors import XinyeError
from xinye.libraries import install_command, need

HUB = "hub:"
READABLE = f"readable: {' '.join(FORMATS)}, each also with .gz, and all but .txt with .bz2"
_TRAILING_SPACE = re.compile(r"[^\S\n]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")

Progress = Callable[[str, float, int], None]
Formatted = tuple[str, Document]  # the format that a document came in


# A source: its name, bytes, documents with the bytes read by then, and the extra that it needs.
Source = tuple[str, int, Iterator[tuple[Formatted, int]], str]


@dataclass
class Collected:
    """What was collected; `dropped` counts documents by reason, `ignored` files by suffix."""

    output: str
    documents: int = 0
    characters: int = 0
    by_format: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: list[dict[str, str]] = field(default_factory=list)  # `file` and `reason`
    ignored: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """What `xinye data collect --json` prints."""
        names = ("by_format", "ignored")
        return vars(self) | {name: dict(getattr(self, name).most_common()) for name in names}

    def skip(self, source: str, reason: str, kept: str = "") -> None:
        self.skipped.append({"file": source, "reason": " ".join(reason.split())[:300] + kept})


def collect(
    sources: Sequence[str],
    output: str | Path,
    split: str | None = None,
    field: str | None = None,
    limit: int | None = None,
    on_progress: Progress = lambda source, share, documents: None,
) -> Collected:
    """Write the documents of files, folders and hub data sets as JSON lines {"text", "source",
    "title"}.

    Line ends and control characters are cleaned, blank lines collapsed and exact duplicates
    dropped. At most `limit` documents are written. `on_progress` is told the source, the share of
    all files' bytes read, and the documents.

    A file that is there is replaced. Raises XinyeError where there is no document.
    """
    output = Path(output)
    hub = [source for source in sources if source.startswith(HUB)]
    if (split or field) and not hub:
        raise XinyeError("--split and --field are for hub data sets, and there is no hub:NAME")
    result = Collected(str(output))
    files = find_sources([source for source in sources if source not in hub], result.ignored)
    for form in sorted({named_format(path) or "" for path in files}):
        need(f"reading {form}", *LIBRARIES.get(form, ()))
    if hub:
        need("reading the hub", "datasets", extra="hub")
    parts: list[Source] = [(str(path), path.stat().st_size, _from_file(path), "") for path in files]
    for name in hub:
        records = read_hub(name.removeprefix(HUB), split or "train", field)
        parts.append((name, 0, ((("hub", record), 0) for record in records), "hub"))
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.new")
    try:
        with beside.open("wb") as file:
            found = _cleaned(_read(parts, result, on_progress), result.dropped)
            for form, document in islice(found, limit):
                record = {name: getattr(document, name) for name in ("text", "source", "title")}
                line = json.dumps(record, ensure_ascii=False)
                file.write(line.encode("utf-8", "ignore") + b"\n")
                result.by_format[form] += 1
                result.characters += len(document.text)
        if not result.by_format:
            raise XinyeError(_nothing(sources, result.skipped))
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    result.documents = result.by_format.total()
    return result


def check_output(output: str, overwrite: bool) -> None:
    """Raises XinyeError where the documents cannot be written, or would replace others."""
    path = Path(output)
    if path.suffix != ".jsonl":
        raise XinyeError(f"{path}: JSON lines are written; name it {path.stem}.jsonl")
    if path.is_dir() or (path.exists() and not overwrite):
        advice = "replace it with --overwrite, or choose another with -o"
        raise XinyeError(f"{path}: exists already; {advice}")


def find_sources(names: Sequence[str], ignored: Counter[str]) -> list[Path]:
    """The files that names, folders and globs stand for, sorted within each, none twice; hidden
    ones are passed over.

    `ignored` counts the files in folders that are of no format known here, by suffix. Raises
    XinyeError for a name that stands for nothing, and for a file of no known format.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_file() and not named_format(path):
            lines = path.name.lower().removesuffix(".gz").endswith(SUFFIXES)
            hint = "its records are documents already, to check and train on as they are"
            raise XinyeError(
                f"{path}: nothing is collected from files of this kind; "
                f"{hint if lines else READABLE}"
            )
        files = expand(path)
        ignored.update(each.suffix.lower() or each.name for each in files if not named_format(each))
        found += [each for each in files if named_format(each)]
    return once(found)


def tidy(text: str) -> str:
    """One kind of line end, no spaces at line ends, at most one blank line in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _BLANK_LINES.sub("\n\n", _TRAILING_SPACE.sub("", text)).strip("\n")


def _nothing(sources: Sequence[str], skipped: list[dict[str, str]]) -> str:
    """Why there is no document."""
    if not skipped:
        return f"{', '.join(sources)}: no document there; {READABLE}"
    more = f"; so were {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
    first = "{file}: skipped, {reason}".format(**skipped[0])
    return f"{first}{more}; no document is left"


def _cleaned(documents: Iterator[Formatted], dropped: Counter[str]) -> Iterator[Formatted]:
    """The documents that are left by cleaning, which knows nothing of formats and titles."""
    waiting: deque[Formatted] = deque()

    def pieces() -> Iterator[Piece]:
        for form, document in documents:
            waiting.append((form, document))
            yield Piece(tidy(document.text), document.source)

    for piece in clean(pieces(), Cleaning(), dropped):
        while waiting[0][1].source != piece.source:
            waiting.popleft()
        form, document = waiting.popleft()
        yield form, replace(document, text=piece.text)


def _from_file(path: Path) -> Iterator[tuple[Formatted, int]]:
    """Documents with their format, and how many bytes of the file have been read by then."""
    form = find_format(path)
    with open_regular(path) as raw:
        for document in read_documents(path, form, raw):
            yield (form, document), raw.tell()


def _read(sources: list[Source], result: Collected, on_progress: Progress) -> Iterator[Formatted]:
    """Format and document, source by source; what cannot be read goes to `skipped`."""
    total = sum(size for _, size, _, _ in sources)
    before = count = 0
    for name, size, documents, extra in sources:
        start = count
        try:
            for (form, document), read in documents:
                on_progress(name, (before + read) / total if size else 0, count)
                if document.problem:
                    result.skip(document.source, document.problem)
                    continue
                count += 1
                yield form, document
        except ModuleNotFoundError as error:
            command = install_command(extra)
            raise XinyeError(f"{name}: reading it needs {error.name}: {command}") from None
        except MemoryError:
            raise
        except Exception as error:  # parsers raise what they like; each costs that file alone
            before_that = f" (the {count - start:,} documents before that are kept)"
            reason = (str(error) or type(error).__name__).removeprefix(f"{name}: ")
            result.skip(name, reason, before_that if count > start else "")
        before += size
