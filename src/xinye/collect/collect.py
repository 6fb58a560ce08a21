"""Collects documents of many formats into one JSON Lines file to check and train on."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from xinye.data.archives import ZIP, how_to_unpack
from xinye.data.cleaning import Cleaning, clean
from xinye.data.encodings import with_newlines
from xinye.data.extract import (
    FORMATS,
    LIBRARIES,
    Document,
    find_format,
    named_format,
    read_documents,
    read_hub,
)
from xinye.data.files import (
    SUFFIXES,
    expand,
    file_size,
    once,
    open_regular,
    suffix_of,
    written_beside,
)
from xinye.errors import XinyeError, plural
from xinye.libraries import install_command, need

HUB = "hub:"
READABLE = (
    f"Xinye reads {' '.join(FORMATS)}, each also as .gz, all but .txt also as .bz2, and any of "
    "them in a .zip"
)
_BLANK_LINES = re.compile(r"\n{3,}")

Progress = Callable[[str, float, int], None]
# A source: its name, its bytes, its documents with the bytes read so far, and the extra that it
# needs.
Source = tuple[str, int, Iterator[tuple[Document, int]], str]


@dataclass(frozen=True)
class Skipped:
    """A file, or a part of one, that could not be read."""

    file: str
    reason: str


@dataclass
class Collected:
    """The results: `dropped` counts documents by reason, and `ignored` counts files by suffix."""

    output: str
    documents: int = 0
    characters: int = 0
    by_format: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def skip(self, source: str, reason: str, kept: int = 0) -> None:
        """Add a skipped source. `kept` is the number of documents that were read from it before."""
        reason = " ".join(reason.split())[:300]
        if kept:
            reason = f"{reason}; Xinye keeps {plural(kept, 'document')} from before that"
        self.skipped.append(Skipped(source, reason))


def collect(
    sources: Sequence[str],
    output: str | Path,
    split: str | None = None,
    field: str | None = None,
    limit: int | None = None,
    on_progress: Progress = lambda source, share, documents: None,
) -> Collected:
    """Write the documents of files, folders and hub data sets to a JSON Lines file with `text`,
    `source` and `title`.

    Line ends and control characters are cleaned, blank lines collapsed, and exact duplicates
    dropped. At most `limit` documents are written. `on_progress` is called with the source, the
    share of all bytes that was read, and the number of documents.

    Replaces an existing file. Raises XinyeError if there are no documents.
    """
    output = Path(output)
    hub = [source for source in sources if source.startswith(HUB)]
    if (split or field) and not hub:
        raise XinyeError("--split and --field need a data set of the hub: give hub:NAME")
    result = Collected(str(output))
    files = find_sources([source for source in sources if source not in hub], result.ignored)
    for form in sorted(set(map(named_format, files))):
        need(f"reading {form}", *LIBRARIES.get(form, ()))
    if hub:
        need("reading from the hub", "datasets", extra="hub")
    parts: list[Source] = [(str(path), file_size(path), _from_file(path), "") for path in files]
    for name in hub:
        records = read_hub(name.removeprefix(HUB), split or "train", field)
        parts.append((name, 0, ((record, 0) for record in records), "hub"))
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(output) as beside:
        with beside.open("wb") as file:
            found = map(tidied, _read(parts, result, on_progress))
            for document in islice(clean(found, Cleaning(), result.dropped), limit):
                record = {name: getattr(document, name) for name in ("text", "source", "title")}
                line = json.dumps(record, ensure_ascii=False) + "\n"
                file.write(line.encode("utf-8", "replace"))
                result.by_format[document.format] += 1
                result.characters += len(document.text)
        if not result.by_format:
            raise XinyeError(_nothing(sources, result.skipped))
    result.documents = result.by_format.total()
    return result


def check_output(output: str, overwrite: bool) -> None:
    """Raises XinyeError if the output is not a .jsonl file, or exists and must not be
    overwritten.
    """
    path = Path(output)
    if path.suffix != ".jsonl":
        raise XinyeError(f"{path}: the output is a file of JSON lines; name it {path.stem}.jsonl")
    if path.is_dir() or (path.exists() and not overwrite):
        raise XinyeError(
            f"{path}: exists already; replace it with --overwrite, or choose another with -o"
        )


def find_sources(names: Sequence[str], ignored: Counter[str]) -> list[Path]:
    """The files that names, folders and globs stand for, sorted for each name, without repeated and
    hidden files.

    `ignored` counts files in folders with an unknown format, by suffix. Raises XinyeError for a
    name that stands for nothing, and for a named file with an unknown format.
    """
    found: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        if path.is_file() and not named_format(path) and suffix_of(path) != ZIP:
            hint = f"{how_to_unpack(path)}{READABLE}"
            if suffix_of(path) in SUFFIXES:
                hint = "its records are already documents: check them and train on them as they are"
            raise XinyeError(f"{path}: collect does not read files of this kind; {hint}")
        for file in expand(path):
            # a .zip here is an archive that cannot be opened
            if named_format(file) or suffix_of(file) == ZIP:
                found.append(file)
            else:
                ignored[file.suffix.lower() or file.name] += 1
    return once(found)


def tidied(document: Document) -> Document:
    """The document with one kind of line end, no spaces at line ends, and at most one blank line in
    a row.
    """
    lines = with_newlines(document.text).split("\n")
    text = _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines))
    return replace(document, text=text.strip("\n"))


def _nothing(sources: Sequence[str], skipped: list[Skipped]) -> str:
    """The error message if there are no documents."""
    if not skipped:
        return f"{', '.join(sources)}: no documents found; {READABLE}"
    file, reason = skipped[0].file, skipped[0].reason
    if len(skipped) > 1:
        others = len(skipped) - 1
        return f"{file} was skipped ({reason}), and so were {others:,} others; no document is left"
    return f"{file} was skipped ({reason}); no document is left"


def _from_file(path: Path) -> Iterator[tuple[Document, int]]:
    """The documents of a file, each with the number of bytes read so far."""
    form = find_format(path)
    with open_regular(path) as raw:
        for document in read_documents(path, form, raw):
            yield replace(document, format=form), raw.tell()


def _read(sources: list[Source], result: Collected, on_progress: Progress) -> Iterator[Document]:
    """The documents of all sources in order. What cannot be read is added to `skipped`."""
    total = sum(size for _, size, _, _ in sources)
    before = count = 0
    for name, size, documents, extra in sources:
        start = count
        try:
            for document, read in documents:
                on_progress(name, (before + read) / total if size else 0, count)
                if document.problem:
                    result.skip(document.source, document.problem)
                else:
                    count += 1
                    yield document
        except ModuleNotFoundError as error:
            command = install_command(extra)
            raise XinyeError(f"{name}: reading it needs {error.name}: {command}") from None
        except MemoryError:
            raise
        except Exception as error:  # parsers raise all kinds of errors; each only affects its file
            reason = (str(error) or type(error).__name__).removeprefix(f"{name}: ")
            result.skip(name, reason, count - start)
        before += size
