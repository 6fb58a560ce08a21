"""Makes a tokenized corpus of texts in a folder, in several processes: the steps of
`preparation.py`, shared out."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xinye.data.files import read_json, write_json
from xinye.data.gathering import AT_ONCE, FEW, Parts, gather, is_gathered
from xinye.data.locks import locked
from xinye.data.manifest import MANIFEST, SETTINGS, TOKENIZER, Manifest
from xinye.data.preparation import (
    Source,
    all_parts,
    delete_parts,
    finish,
    groups,
    is_own,
    not_writable,
    write_unit_parts,
)
from xinye.data.token_parts import has_unit
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

WORK = ".parts"  # the folder in which a corpus keeps its parts until it is finished


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
        something else, or a corpus with other settings, and when Ctrl-C is pressed.
        """
        wanted = self.source.settings | dict(asked)
        work = self.folder / WORK
        unknown = self.folder.exists() and not (self.folder / SETTINGS).exists()
        if unknown and not (self.folder.is_dir() and {*self.folder.iterdir()} <= {work}):
            raise XinyeError(
                f"{self.folder}: this exists and is not a corpus; choose another with -o"
            )
        _refuse_foreign(self.folder)
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(self.folder, error, "choose another -o") from None
        in_use = XinyeError(f"{self.folder}: another process is preparing this corpus", 1)
        with locked(work / "lock", in_use):
            try:
                self._check(wanted)
                yield (self.folder / MANIFEST).exists()
            except KeyboardInterrupt:
                done, count = len([*work.glob("unit-*.json")]), len(self.source.units)
                raise XinyeError(
                    f"{self.folder}: interrupted; {done} of {count} parts of the text are done; "
                    "type the same command again to go on",
                    exit_code=130,
                ) from None
            finally:
                if (self.folder / MANIFEST).exists():
                    with contextlib.suppress(OSError):
                        delete_parts(work)
                        work.rmdir()

    def _check(self, wanted: Mapping[str, object]) -> None:
        """Write down the settings, or raise `XinyeError` if others are written down, and a part of
        the corpus was made with them."""
        path = self.folder / SETTINGS
        before = read_json(path) if path.exists() else {}
        differing = [name for name in wanted if wanted[name] != before.get(name)]
        if differing and self._has_parts():
            # the files have only a hash there
            were = ", ".join(f"{name} {before.get(name)}" for name in differing if name != "files")
            problem = f"this corpus was begun with other settings ({', '.join(differing)})"
            if were:
                problem += f"; it has {were}"
            raise XinyeError(
                f"{self.folder}: {problem}; give the same ones, choose another -o, or delete "
                f"{self.folder} to prepare it again"
            )
        try:
            if differing and (self.folder / TOKENIZER).is_dir():  # it may have been learned
                _delete_tokenizer(self.folder / TOKENIZER)
            if differing or not before:
                write_json(path, wanted)
        except OSError as error:
            raise not_writable(self.folder, error, "choose another -o") from None

    def _has_parts(self) -> bool:
        """Whether a part of the corpus is made, or all of it."""
        made = (self.folder / WORK).glob("[pus]*-*")
        return (self.folder / MANIFEST).exists() or any(made)

    def run(self, tokenizer: Tokenizer, on_progress: Callable[[int], None]) -> Manifest:
        """Make the corpus. `on_progress` is called with the number of characters done. Raises
        `XinyeError`."""
        work = self.folder / WORK
        try:
            if not (self.folder / TOKENIZER).exists():
                beside = self.folder / f".{TOKENIZER}.new"
                tokenizer.save(beside)
                beside.replace(self.folder / TOKENIZER)
            _load.cache_clear()  # an earlier corpus of this folder may have had another
            task = _Task(self.folder, self.source)
            missing = [
                number
                for number in range(len(self.source.units))
                if not has_unit(work, number, tokenizer)
            ]
            self._share(task.write_unit, missing, on_progress)
            parts, found = all_parts(work, self.source, tokenizer)
            count = parts.shards()
            left = [
                number for number in range(count) if not is_gathered(parts, self.folder, number)
            ]
            size = min(AT_ONCE, max(FEW, -(-len(left) // self.workers)))
            jobs = [(parts, some, count) for some in groups(left, size)]
            self._share(task.gather, jobs, lambda characters: None)
            return finish(self.folder, parts, count, self.source, tokenizer, found)
        except OSError as error:
            raise not_writable(self.folder, error, "choose another -o") from error

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


def _delete_tokenizer(folder: Path) -> None:
    """Delete the tokenizer in a folder. Raises `OSError` if there is something else."""
    files = {*Tokenizer.load(folder).files()}
    if others := [path.name for path in folder.iterdir() if path.name not in files]:
        raise OSError(f"{folder} also has {others[0]}")
    for name in files:
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _refuse_foreign(folder: Path) -> None:
    """Raise `XinyeError` if the folder of a corpus has a link where files are written or deleted,
    or its folder of parts has files that no preparation wrote."""
    work = folder / WORK
    within = [*work.iterdir()] if work.is_dir() and not work.is_symlink() else []
    hidden = [path for path in folder.glob(".*") if path.is_symlink()]
    foreign = [*hidden, *(path for path in within if not is_own(path))]
    if foreign:
        raise XinyeError(
            f"{foreign[0]}: this is not a file of the preparation, which deletes its own files "
            "there; move it elsewhere, or choose another -o"
        )


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
        write_unit_parts(self.folder / WORK, self.source, number, _load(self.folder), _add)

    def gather(self, job: tuple[Parts, Sequence[int], int]) -> None:
        parts, numbers, count = job
        gather(parts, self.folder, numbers, count)
