"""Makes a tokenized corpus of texts: into the cache, for one's own run, or into a folder, by
several processes.

Both take the same two phases and give the same corpus: `token_parts.py` writes the tokens in
reading order, and `gathering.py` deals the documents out to shards.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from dataclasses import field as with_default
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from xinye.cache import cache_folder
from xinye.data.cleaning import Cleaning, clean
from xinye.data.corpus import Corpus
from xinye.data.encodings import bad_bytes
from xinye.data.files import file_size, read_json, write_json
from xinye.data.gathering import AT_ONCE, FEW, Parts, gather, shard_note
from xinye.data.locks import locked
from xinye.data.manifest import MANIFEST, TOKENIZER, Manifest, Shard, digest_of, shard_files
from xinye.data.sources import Piece, read_pieces
from xinye.data.token_parts import Unit, token_dtype, unit_file, write_parts
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

WORK = ".parts"  # the folder in which a corpus keeps its parts until it is finished
SETTINGS = "preparation.json"
UNIT_BYTES = 8_000_000  # small files are read together until they have this size


@dataclass(frozen=True)
class Reading:
    """How texts are read and cleaned."""

    field: str | None = None
    document_separator: str | None = None
    bad_bytes: Any = "refuse"
    cleaning: Cleaning = with_default(default_factory=Cleaning)

    def pieces(self, files: Sequence[Path], found: Unit | None = None) -> Iterator[Piece]:
        """The cleaned text of files. Notes go into `found`."""
        found = found or Unit()
        with bad_bytes(self.bad_bytes, found.notes):
            raw = read_pieces(files, self.field, self.document_separator, notes=found.notes)
            yield from clean(raw, self.cleaning, found.dropped)

    @property
    def before_gathering(self) -> "Reading":
        """The same, without dropping exact copies, which `gather` does. Near duplicates of a text
        are looked for among the different ones, so then copies must be dropped before."""
        if self.cleaning.near_duplicates:
            return self
        cleaning = self.cleaning.model_copy(update={"drop_duplicates": False})
        return Reading(self.field, self.document_separator, self.bad_bytes, cleaning)


@dataclass(frozen=True)
class Source:
    """The text of a corpus: files and how they are read. `text` is the hash of the files."""

    files: Sequence[Path]
    text: str
    reading: Reading

    @cached_property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(map(file_size, self.files))

    @cached_property
    def units(self) -> list[list[Path]]:
        """The files that are read together: several small ones, or a large one. All are read
        together if near duplicates are looked for among them.
        """
        units: list[list[Path]] = []
        size = UNIT_BYTES
        for file in self.files:
            if size >= UNIT_BYTES and not (units and self.reading.cleaning.near_duplicates):
                units.append([])
                size = 0
            units[-1].append(file)
            size += file_size(file)
        return units

    def pieces(self, unit: int, found: Unit) -> Iterator[Piece]:
        """The cleaned text of a unit. Notes go into `found`."""
        return self.reading.before_gathering.pieces(self.units[unit], found)

    @property
    def settings(self) -> dict[str, object]:
        """What a corpus depends on, as JSON."""
        return {
            "files": self.text,
            "field": self.reading.field,
            "document_separator": self.reading.document_separator,
            "bad_bytes": self.reading.bad_bytes,
            **self.reading.cleaning.model_dump(),
        }


def prepare(source: Source, tokenizer: Tokenizer, on_progress: Callable[[int], None]) -> Corpus:
    """The corpus of a text, from the cache, or made there.

    `on_progress` is called with the number of characters done. Raises `XinyeError` if there is no
    text, or if the cache cannot be written.
    """
    key = source.settings | {"tokenizer": tokenizer.fingerprint, "layout": 3}
    folder = cache_folder() / "corpora" / digest_of(key)
    if corpus := _opened(folder):
        return corpus
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        done = 0

        def add(characters: int) -> None:
            nonlocal done
            done += characters
            on_progress(done)

        for number in range(len(source.units)):
            _write_unit(beside, source, number, tokenizer, add)
        parts, found = _all_parts(beside, source, tokenizer)
        count = parts.shards()
        for some in _groups(range(count), AT_ONCE):
            gather(parts, beside, some, count)
        _finish(beside, parts, count, source, tokenizer, found)
        # If another process was faster, keep its folder, because it may be open already.
        if not _opened(folder):
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
    except OSError as error:
        raise _not_writable(beside.parent, error, "or set XINYE_CACHE to another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Corpus.open(folder)


def _not_writable(folder: Path, error: OSError, instead: str) -> XinyeError:
    return XinyeError(
        f"{folder}: cannot write the prepared text ({error.strerror}); free some disk space there, "
        f"{instead}",
        exit_code=1,
    )


def _opened(folder: Path) -> Corpus | None:
    """The corpus in a folder, or None if it does not exist or is damaged."""
    try:
        return Corpus.open(folder)
    except XinyeError:
        return None


def _write_unit(
    folder: Path,
    source: Source,
    number: int,
    tokenizer: Tokenizer,
    on_progress: Callable[[int], None],
) -> None:
    """Write the parts of a unit, and then its note."""
    found = Unit()
    parts = write_parts(folder, number, source.pieces(number, found), tokenizer, on_progress)
    found.write(unit_file(folder, number), parts)


def _all_parts(folder: Path, source: Source, tokenizer: Tokenizer) -> tuple[Parts, Unit]:
    """The parts of all units, and what was found in the files. Raises `XinyeError` if there is no
    text."""
    found = Unit()
    names = [
        (unit, part)
        for unit in range(len(source.units))
        for part in range(found.add(unit_file(folder, unit)))
    ]
    if not names:
        raise no_text(source.files)
    unique = source.reading.cleaning.drop_duplicates
    return Parts(folder, names, token_dtype(tokenizer).str, unique), found


def no_text(files: Sequence[Path]) -> XinyeError:
    """The error for files without text."""
    return XinyeError(f"{', '.join(map(str, files))}: there is no text in these files")


def _groups(numbers: Iterable[int], size: int) -> list[list[int]]:
    every = list(numbers)
    return [every[begin : begin + size] for begin in range(0, len(every), size)]


def _finish(
    folder: Path, parts: Parts, count: int, source: Source, tokenizer: Tokenizer, found: Unit
) -> Manifest:
    """Write the manifest of a corpus whose shards are all gathered, and delete the parts."""
    notes = [read_json(shard_note(parts, number)) for number in range(count)]
    shards = [Shard.model_validate(note["shard"]) for note in notes]
    found.dropped["duplicate"] += sum(note["copies"] for note in notes)
    for shard in shards:  # copies of documents may leave nothing of one
        if not shard.tokens:
            for name in shard_files(shard.number):
                (folder / name).unlink(missing_ok=True)
    manifest = Manifest(
        dtype=token_dtype(tokenizer).name,
        tokenizer=tokenizer.fingerprint,
        tokenizer_files=sorted(file.name for file in (folder / TOKENIZER).glob("*")),
        text=source.text,
        files=len(source.files),
        bytes=source.bytes,
        tokens=sum(shard.tokens for shard in shards),
        documents=sum(shard.documents for shard in shards),
        characters=sum(note["characters"] for note in notes),
        dropped={reason: times for reason, times in sorted(found.dropped.items()) if times},
        notes=found.notes.sentences(),
        shards=[shard for shard in shards if shard.tokens],
    )
    manifest.write(folder)
    for pattern in ("part-*", "unit-*", "shard-*.json"):
        for path in parts.folder.glob(pattern):
            path.unlink()
    return manifest


# -- in several processes --------------------------------------------------------------------------


@dataclass
class Preparation:
    """A corpus that several processes make in a folder. What a run that was stopped has done is not
    done again."""

    folder: Path
    source: Source
    workers: int

    @contextlib.contextmanager
    def begun(self, asked: Mapping[str, object]) -> Iterator[bool]:
        """Inside, no other process prepares this folder. Gives True if the corpus is finished
        already. `asked` are the settings of the tokenizer. Raises `XinyeError` if the folder holds
        something else, or a corpus with other settings.
        """
        wanted = self.source.settings | dict(asked)
        work = self.folder / WORK
        unknown = self.folder.exists() and not (self.folder / SETTINGS).exists()
        if unknown and not (self.folder.is_dir() and not any(self.folder.iterdir())):
            raise XinyeError(
                f"{self.folder}: this exists and is not a corpus; choose another with -o"
            )
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(self.folder, error, "or choose another -o") from None
        in_use = XinyeError(f"{self.folder}: another process is preparing this corpus", 1)
        try:
            with locked(work / "lock", in_use):
                self._check(wanted)
                yield (self.folder / MANIFEST).exists()
        finally:
            if (self.folder / MANIFEST).exists():
                shutil.rmtree(work, ignore_errors=True)

    def _check(self, wanted: Mapping[str, object]) -> None:
        """Write down the settings, or raise `XinyeError` if others are written down."""
        if not (self.folder / SETTINGS).exists():
            write_json(self.folder / SETTINGS, wanted)
        before = read_json(self.folder / SETTINGS)
        differing = [name for name in wanted if wanted[name] != before.get(name)]
        if differing:
            raise XinyeError(
                f"{self.folder}: this corpus was begun with other settings "
                f"({', '.join(differing)}); give the same ones, or choose another -o"
            )

    def run(self, tokenizer: Tokenizer, on_progress: Callable[[int], None]) -> Manifest:
        """Make the corpus. `on_progress` is called with the number of characters done. Raises
        `XinyeError`."""
        work = self.folder / WORK
        try:
            if not (self.folder / TOKENIZER).exists():
                beside = self.folder / f".{TOKENIZER}.new"
                tokenizer.save(beside)
                beside.replace(self.folder / TOKENIZER)
            task = _Task(self.folder, self.source)
            missing = [
                number
                for number in range(len(self.source.units))
                if not unit_file(work, number).exists()
            ]
            self._share(task.write_unit, missing, on_progress)
            parts, found = _all_parts(work, self.source, tokenizer)
            count = parts.shards()
            left = [number for number in range(count) if not shard_note(parts, number).exists()]
            size = min(AT_ONCE, max(FEW, -(-len(left) // self.workers)))
            jobs = [(parts, some, count) for some in _groups(left, size)]
            self._share(task.gather, jobs, lambda characters: None)
            return _finish(self.folder, parts, count, self.source, tokenizer, found)
        except OSError as error:
            raise _not_writable(self.folder, error, "or choose another -o") from error

    def _share(
        self, work: Callable[[Any], None], jobs: Sequence[Any], on_progress: Callable[[int], None]
    ) -> None:
        """Do the jobs, in processes if there are several. Raises the error of the first job that
        failed."""
        if min(self.workers, len(jobs)) > 1:
            self._share_out(work, jobs, on_progress)
            return
        done = 0

        def add(characters: int) -> None:
            nonlocal done
            done += characters
            on_progress(done)

        with _counting(add), _threads(self.workers):
            for job in jobs:
                work(job)

    def _share_out(
        self, work: Callable[[Any], None], jobs: Sequence[Any], on_progress: Callable[[int], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        count = min(self.workers, len(jobs))
        done, before = context.Value("Q", 0), {*multiprocessing.active_children()}
        # with fewer jobs than workers, each process tokenizes on several threads
        pool = ProcessPoolExecutor(count, context, _begin_worker, (done, self.workers // count))
        try:
            futures = [pool.submit(work, job) for job in jobs]
            waiting: set[Future[None]] = {*futures}
            while waiting:
                ended, waiting = wait(waiting, timeout=0.2)
                on_progress(done.value)
                if any(future.exception() for future in ended):
                    break
            for future in futures:
                if future.done():
                    future.result()
        except BrokenProcessPool:
            raise XinyeError(
                f"{self.folder}: a process that prepares the text was stopped, perhaps because "
                "memory was full; give fewer --workers, and type the same command again to go on",
                exit_code=1,
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in {*multiprocessing.active_children()} - before:
                process.terminate()
                process.join()


def _nobody(characters: int) -> None:
    return None


_add: Callable[[int], None] = _nobody  # hears how many characters a job has done


@contextlib.contextmanager
def _counting(add: Callable[[int], None]) -> Iterator[None]:
    """Inside, jobs of this process tell `add` how many characters they have done."""
    global _add
    before, _add = _add, add
    try:
        yield
    finally:
        _add = before


@contextlib.contextmanager
def _threads(workers: int) -> Iterator[None]:
    """Inside, a single worker tokenizes on one thread, and several on all processors."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false" if workers == 1 else "true"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _begin_worker(done: Any, threads: int) -> None:
    """Set up a process that prepares a part of a corpus: it ends with the process that started
    it."""

    def add(characters: int) -> None:
        with done.get_lock():
            done.value += characters

    global _add
    _add = add
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the threads of the tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


@lru_cache(maxsize=1)
def _load(folder: Path) -> Tokenizer:
    """The tokenizer of a corpus, which takes a moment to load."""
    return Tokenizer.load(folder / TOKENIZER)


@dataclass(frozen=True)
class _Task:
    """What the processes do for a corpus in a folder."""

    folder: Path
    source: Source

    def write_unit(self, number: int) -> None:
        _write_unit(self.folder / WORK, self.source, number, _load(self.folder), _add)

    def gather(self, job: tuple[Parts, Sequence[int], int]) -> None:
        parts, numbers, count = job
        gather(parts, self.folder, numbers, count)
