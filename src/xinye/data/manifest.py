"""The format of a tokenized corpus: a folder of shards, and a manifest that describes them.

`corpus.json` is the manifest. Shard 7 is two files. `shard-00007.tokens` holds the tokens of its
documents, each followed by `<eos>`, as plain little-endian numbers of the manifest's `dtype`.
`shard-00007.documents` holds the length of each document in tokens, as 32-bit numbers. The manifest
has a checksum of every 4 MiB of each file, so damage is found with its place in the file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xinye.data.files import read_json, write_json
from xinye.errors import XinyeError, wrong_value

MANIFEST = "corpus.json"
SETTINGS = "preparation.json"  # what a corpus was begun with
TOKENIZER = "tokenizer"  # the folder of the tokenizer in a corpus
LENGTHS = np.dtype("<u4")
CHUNK = 1 << 22  # bytes that each have a checksum
MOST = 2**63 - 1  # so that numbers can be added up and shown

Count = Annotated[int, Field(ge=0, le=MOST)]


class Shard(BaseModel):
    """One shard: the number in the names of its two files, how many tokens and documents it has,
    and the checksums of the files."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: Count
    tokens: Count
    documents: Count
    token_checksums: list[str]
    length_checksums: list[str]


class Manifest(BaseModel):
    """What `corpus.json` says. `text` is a hash of the files that the corpus was made of, `files`
    and `bytes` are their number and size, and `tokenizer` is the fingerprint of its tokenizer.

    `dropped` counts what cleaning left out: documents, by reason, and "control characters". `notes`
    say what else the readers left out or changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    dtype: Literal["uint16", "uint32"]
    tokenizer: str
    # their names in the folder `tokenizer`
    tokenizer_files: list[Annotated[str, Field(pattern=r"^\w[\w.-]*$")]]
    text: str
    files: Count
    bytes: Count
    tokens: Count
    documents: Count
    characters: Count
    dropped: dict[str, Count]
    notes: list[str]
    shards: list[Shard]

    @property
    def token_dtype(self) -> np.dtype:
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def fingerprint(self) -> str:
        """A hash of the whole manifest, and so of the corpus that it describes."""
        return digest_of(self.model_dump())

    def problem(self) -> str:
        """What of the manifest contradicts the rest; "" if nothing does."""
        numbers = [shard.number for shard in self.shards]
        if not numbers or numbers != sorted(set(numbers)):
            return "the numbers of its shards are wrong"
        for shard in self.shards:
            if not 0 < shard.documents <= shard.tokens:
                return f"shard {shard.number}: each document must have a token"
            sizes = shard.tokens * self.token_dtype.itemsize, shard.documents * LENGTHS.itemsize
            found = len(shard.token_checksums), len(shard.length_checksums)
            if found != tuple(-(-size // CHUNK) for size in sizes):
                return f"shard {shard.number}: the number of its checksums is wrong"
        totals = (
            sum(shard.tokens for shard in self.shards),
            sum(shard.documents for shard in self.shards),
        )
        if totals != (self.tokens, self.documents):
            return "its totals are not those of its shards"
        return ""

    def write(self, folder: Path) -> None:
        """Write the manifest into the corpus's folder, with a checksum of itself."""
        write_json(folder / MANIFEST, self.model_dump() | {"checksum": self.fingerprint})


def read_manifest(path: Path, name: str) -> Manifest:
    """The manifest in a file; `name` is its name for messages. Raises `XinyeError` if it is missing
    or damaged."""
    advice = "the manifest is damaged; restore it, or delete the corpus and prepare it again"
    try:
        values = read_json(path, advice)
    except XinyeError as error:
        raise XinyeError(str(error).replace(str(path), name), exit_code=1) from None
    found = values.pop("checksum", None)
    version = values.get("format")
    if isinstance(version, int) and version > 1:
        raise XinyeError(f"{name}: a newer Xinye made this corpus; update Xinye", 1)
    try:
        manifest = Manifest.model_validate(values)
        expected = manifest.fingerprint
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"]))
        raise XinyeError(f"{name}: {advice} ({where}: {wrong_value(what)})", 1) from None
    if found != expected:
        raise XinyeError(f"{name}: {advice} (its values do not match its checksum)", 1)
    if problem := manifest.problem():
        raise XinyeError(f"{name}: {advice} ({problem})", 1)
    return manifest


def is_corpus(folder: Path) -> bool:
    """Whether a folder is a corpus, or the beginning of one. A file `corpus.json` alone may be any
    text."""
    with_tokenizer = (folder / MANIFEST).is_file() and (folder / TOKENIZER).is_dir()
    return with_tokenizer or (folder / SETTINGS).is_file()


def corpora_among(files: Sequence[Path]) -> list[Path]:
    """The folders of the corpora that some of these files belong to, also in archives."""
    every = {*files}
    folders = dict.fromkeys(each.parent for each in files if each.name in (MANIFEST, SETTINGS))
    return [
        folder
        for folder in folders
        if is_corpus(folder) or {folder / MANIFEST, folder / SETTINGS} <= every
    ]


def refuse_corpora(
    files: Sequence[Path],
    problem: str = "this is a prepared corpus, not text; leave it out",
) -> None:
    """Raise `XinyeError` with this problem if one of the files of text belongs to a corpus."""
    for folder in corpora_among(files):
        raise XinyeError(f"{folder}: {problem}")


def digest_of(values: Mapping[str, Any]) -> str:
    """A hash of JSON values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=16).hexdigest()


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of itself."""
    write_json(path, {**values, "checksum": digest_of(values)})


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a file of `write_sealed`. Raises `XinyeError` if it is missing or damaged."""
    values = read_json(path)
    if values.pop("checksum", None) != digest_of(values):
        raise XinyeError(f"{path}: the file is damaged (its values do not match its checksum)", 1)
    return values


def shard_files(number: int) -> tuple[str, str]:
    """The names of the files of tokens and of lengths of the shard with this number."""
    return f"shard-{number:05d}.tokens", f"shard-{number:05d}.documents"


def checksums(path: Path) -> list[str]:
    """The checksum of every 4 MiB of a file."""
    found = []
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.append(checksum_of(chunk))
    return found


def checksum_of(chunk: bytes) -> str:
    """The checksum of a chunk of a file (BLAKE2b, 8 bytes)."""
    return hashlib.blake2b(chunk, digest_size=8).hexdigest()


def check_size(path: Path, name: str, size: int) -> None:
    """Raise `XinyeError` unless a file of a corpus has its size, in bytes."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise damaged(name, f"cannot be read ({error.strerror})") from None
    if found < size:
        raise damaged(name, f"the file ends at byte {found:,} of {size:,}")
    if found > size:
        raise damaged(name, f"the file goes on after byte {size:,}, where it should end")


def check_file(path: Path, name: str, size: int, expected: Sequence[str]) -> None:
    """Raise `XinyeError` unless a file of a corpus has its size and its checksums."""
    check_size(path, name, size)
    for number, (found, right) in enumerate(zip(checksums(path), expected, strict=True)):
        if found != right:
            start, end = number * CHUNK, min(size, (number + 1) * CHUNK)
            problem = f"bytes {start:,} to {end:,} do not match their checksum"
            raise damaged(name, problem)


def damaged(name: str, problem: str) -> XinyeError:
    """The error for a damaged file of a corpus."""
    folder = name.rpartition("/")[0] or "."
    return XinyeError(
        f"{name}: {problem}; restore this file from a copy, or delete {folder} and prepare the "
        "corpus again",
        exit_code=1,
    )
