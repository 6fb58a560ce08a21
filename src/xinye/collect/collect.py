"""Collect documents of many formats into one file of JSON lines, ready to be checked and trained on."""

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
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
from xinye.data.files import check_file, open_regular
from xinye.data.sources import SUFFIXES, Piece
from xinye.errors import XinyeError
from xinye.libraries import install_command, need

HUB = "hub:"
READABLE = f"readable: {' '.join(FORMATS)}, each also with .gz, and all but .txt with .bz2"
_TRAILING_SPACE = re.compile(r"[^\S\n]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")

Progress = Callable[[str, float, int], None]


def collect(
    sources: Sequence[str],
    output: str | Path,
    split: str | None = None,
    field: str | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    on_progress: Progress = lambda source, share, documents: None,
) -> dict[str, Any]:
    """Write the documents of files, folders and hub data sets as JSON lines {"text", "source", "title"}.

    Line ends and control characters are cleaned, blank lines collapsed and exact duplicates dropped. At most `limit`
    documents are written. `on_progress` is told the source, the share of all files' bytes read, and the documents.

    Returns counts, and each file that was skipped with its reason. Raises XinyeError where there is no document.
    """
    output = Path(output)
    if output.suffix != ".jsonl":
        raise XinyeError(f"{output}: JSON lines are written; name it {output.stem}.jsonl")
    if output.is_dir() or (output.exists() and not overwrite):
        raise XinyeError(
            f"{output}: exists already; replace it with --overwrite, or choose another with -o"
        )
    hub = [source.removeprefix(HUB) for source in sources if source.startswith(HUB)]
    if (split or field) and not hub:
        raise XinyeError("--split and --field are for hub data sets, and there is no hub:NAME")
    files, ignored = find_sources([source for source in sources if not source.startswith(HUB)])
    for form in sorted({named_format(path) or "" for path in files}):
        need(f"reading {form}", *LIBRARIES.get(form, ()))
    if hub:
        need("reading the hub", "datasets", extra="hub")
    skipped: list[dict[str, str]] = []
    dropped: Counter[str] = Counter()
    by_format: Counter[str] = Counter()
    characters = 0
    waiting: deque[tuple[str, Document]] = (
        deque()
    )  # in the cleaning, which knows nothing of formats and titles

    def pieces() -> Iterator[Piece]:
        for form, document in _read(files, hub, split or "train", field, skipped, on_progress):
            waiting.append((form, document))
            yield Piece(tidy(document.text), document.source)

    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.new")
    try:
        with beside.open("wb") as file:
            for piece in islice(clean(pieces(), Cleaning(), dropped), limit):
                while waiting[0][1].source != piece.source:
                    waiting.popleft()
                form, document = waiting.popleft()
                record = {"text": piece.text, "source": document.source, "title": document.title}
                file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "ignore") + b"\n")
                by_format[form] += 1
                characters += len(piece.text)
        if not by_format and skipped:
            more = f"; so were {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
            raise XinyeError(
                "{file}: skipped, {reason}".format(**skipped[0]) + f"{more}; no document is left"
            )
        if not by_format:
            raise XinyeError(f"{', '.join(sources)}: no document there; {READABLE}")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    return {
        "output": str(output),
        "documents": by_format.total(),
        "characters": characters,
        "by_format": dict(by_format.most_common()),
        "dropped": dict(dropped),
        "skipped": skipped,
        "ignored": dict(ignored.most_common()),
    }


def find_sources(names: Sequence[str]) -> tuple[list[Path], Counter[str]]:
    """The files that names and folders stand for, sorted within each, none twice; hidden ones are passed over.

    Also counted: the files in folders that are of no format known here, by suffix. Raises XinyeError for a name that
    stands for nothing, and for a file of no known format.
    """
    found: dict[Path, Path] = {}
    ignored: Counter[str] = Counter()
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = [each for each in path.rglob("*") if each.is_file()]
            files = sorted(
                each
                for each in inside
                if not re.search(r"(^|[/\\])\.", str(each.relative_to(path)))
            )
            ignored.update(
                each.suffix.lower() or each.name for each in files if not named_format(each)
            )
            files = [each for each in files if named_format(each)]
        elif not path.is_file():
            check_file(path)  # which it is not
        elif not named_format(path):
            lines = path.name.lower().removesuffix(".gz").endswith(SUFFIXES)
            hint = (
                "its records are documents already, to check and train on as they are"
                if lines
                else READABLE
            )
            raise XinyeError(f"{path}: nothing is collected from files of this kind; {hint}")
        else:
            files = [path]
        found.update((each.resolve(), each) for each in files if each.resolve() not in found)
    return list(found.values()), ignored


def tidy(text: str) -> str:
    """One kind of line end, no spaces at line ends, at most one blank line in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _BLANK_LINES.sub("\n\n", _TRAILING_SPACE.sub("", text)).strip("\n")


def _read(
    files: Sequence[Path],
    hub: Sequence[str],
    split: str,
    field: str | None,
    skipped: list[dict[str, str]],
    on_progress: Progress,
) -> Iterator[tuple[str, Document]]:
    """Format and document, source by source; what cannot be read goes to `skipped`."""
    total, before, count = sum(path.stat().st_size for path in files) or 1, 0, 0

    def skip(source: str, reason: str, kept: str = "") -> None:
        skipped.append({"file": source, "reason": " ".join(reason.split())[:300] + kept})

    def from_file(path: Path) -> Iterator[tuple[str, Document]]:
        form = find_format(path)
        with open_regular(path) as raw:
            for document in read_documents(path, form, raw):
                on_progress(str(path), (before + raw.tell()) / total, count)
                yield form, document

    def from_hub(name: str) -> Iterator[tuple[str, Document]]:
        for document in read_hub(name, split, field):
            on_progress(HUB + name, 0, count)
            yield "hub", document

    parts = [(str(path), path.stat().st_size, from_file(path), "") for path in files]
    parts += [(HUB + name, 0, from_hub(name), "hub") for name in hub]
    for name, size, documents, extra in parts:
        start = count
        try:
            for form, document in documents:
                if document.problem:
                    skip(document.source, document.problem)
                    continue
                count += 1
                yield form, document
        except ModuleNotFoundError as error:
            raise XinyeError(
                f"{name}: reading it needs {error.name}: {install_command(extra)}"
            ) from None
        except MemoryError:
            raise
        except (
            Exception
        ) as error:  # parsers raise what they like at the world's files; each costs that file alone
            kept = (
                f" (the {count - start:,} documents before that are kept)" if count > start else ""
            )
            skip(name, (str(error) or type(error).__name__).removeprefix(f"{name}: "), kept)
        before += size
