"""How fast text becomes tokens on disk beside the bare `tokenizers` library, in how much memory;
and `xinye --help`.

    python benchmarks/preparation.py [FILES…] [--megabytes 1000] [--rounds 1] [--documents]

The text is that of the FILES (else the built-in stories, Chinese and English), in equal shares by
bytes, repeated to the size asked for, with a word that counts before every sentence: caches must
not make it easier than text is. Ours is to read, clean, tokenize and write, all of it timed. The
library's is `encode_batch` of the same text from memory, in batches of parts cut at line ends; only
that call is timed. Each has a process of its own. The goals: at least 1.0 of the library's speed,
and less than 2 GB.

Last, a process opens the prepared text as pretraining does and takes ten batches of 16 windows of
256 tokens: the seconds until the corpus is open and until the first batch, and the memory beside
that for the libraries.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

from common import in_own_process, in_turn, machine, peak_gigabytes, per_second, ratio, report

# characters in a batch, and lines in one of its parts, that the library is given
BATCH, PART = (
    2_000_000,
    40,
)
SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]


def counter_word(number: int, chinese: bool) -> str:
    """Another word for each number: "kama ", "丑专"."""
    word, base = "", 2000 if chinese else len(SYLLABLES)
    while number or not word:
        number, digit = divmod(number, base)
        word += chr(0x4E00 + digit) if chinese else SYLLABLES[digit]
    return word if chinese else word + " "


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Write the text, and a tokenizer learned from a sample of it."""
    from xinye.data.sources import read_pieces
    from xinye.data.tokenizer import Tokenizer, sample_texts
    from xinye.demo.stories import stories

    kinds = [
        [line for piece in read_pieces([file]) for line in piece.text.split("\n")]
        for file in options.files
    ]
    kinds = kinds or [stories(2000, language) for language in ("zh", "en")]
    lines, written, numbers = [cycle(kind) for kind in kinds], [0] * len(kinds), count()
    path, size = options.folder / "text.txt", options.megabytes * 1_000_000
    with path.open("wb") as text:
        while sum(written) < size:
            kind = written.index(min(written))
            sentences = re.split(r"(?<=[。！？])|(?<=[.!?] )", next(lines[kind]))
            varied = (
                counter_word(next(numbers), each[0] > "\u2e80") + each for each in sentences if each
            )
            written[kind] += text.write(("".join(varied) + "\n").encode())
    sample, _ = sample_texts(piece.text for piece in read_pieces([path]))
    Tokenizer.train(sample, "bpe", 8192, exact=False).save(options.folder)
    return {}


def xinye(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare the text as pretraining does."""
    from xinye.data.preparation import Reading, Source, prepare
    from xinye.data.tokenizer import Tokenizer

    tokenizer, start = Tokenizer.load(options.folder), time.perf_counter()
    reading = Reading(document_separator="\n" if options.documents else None)
    # nothing was kept under this name
    source = Source([options.folder / "text.txt"], str(start), reading)
    about = prepare(source, tokenizer, lambda characters: None).about
    counts = {name: getattr(about, name) for name in ("tokens", "documents", "characters")}
    return {"seconds": time.perf_counter() - start, **counts}


def library(options: argparse.Namespace) -> dict[str, Any]:
    """Encode the same text, with nothing else going on."""
    import tokenizers

    tokenizer, seconds, tokens = (
        tokenizers.Tokenizer.from_file(str(options.folder / "tokenizer.json")),
        0.0,
        0,
    )
    with open(options.folder / "text.txt", encoding="utf-8") as text:
        while lines := text.readlines(BATCH):
            parts = ["".join(lines[first : first + PART]) for first in range(0, len(lines), PART)]
            start = time.perf_counter()
            encoded = tokenizer.encode_batch(parts, add_special_tokens=False)
            seconds += time.perf_counter() - start
            tokens += sum(map(len, encoded))
    return {"seconds": seconds, "tokens": tokens}


def opened(options: argparse.Namespace) -> dict[str, Any]:
    """Open the prepared text, which is prepared here if it is not yet, and take the first
    batches."""
    from xinye.observer import Observer
    from xinye.planning.plan import Draft
    from xinye.planning.settings import PretrainSettings
    from xinye.tasks.text import prepare_text

    settings = PretrainSettings(
        files=[str(options.folder / "text.txt")],
        tokenizer=str(options.folder),
        document_separator="\n" if options.documents else None,
        context=256,
    )
    libraries, start = peak_gigabytes(), time.perf_counter()
    training = prepare_text(settings, Draft(), Observer()).training
    until_open = time.perf_counter() - start
    training.batch(0, 16)
    until_batch = time.perf_counter() - start - until_open
    for number in range(1, 10):
        training.batch(16 * number, 16)
    return {
        "shards": len(training.blocks),
        "seconds_until_open": round(until_open, 2),
        "seconds_until_first_batch": round(until_batch, 2),
        "gigabytes_of_libraries": libraries,
        "gigabytes_beside": round(peak_gigabytes() - libraries, 2),
    }


def help_time() -> dict[str, Any] | None:
    """The best of five, and whether torch was imported; None where it fails."""
    command = ["-m", "xinye", "--help"]
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True
    )
    once = partial(subprocess.run, [sys.executable, *command], capture_output=True)
    seconds = min(1 / per_second(once, 1, 1) for _ in range(5))
    torch = re.search(r"\| +torch$", traced.stderr, re.MULTILINE) is not None
    return None if traced.returncode else {"seconds": round(seconds, 3), "imports_torch": torch}


JOBS = {"make": make, "xinye": xinye, "library": library, "opened": opened}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILES")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--documents", action="store_true", help="each line is a document, not the file"
    )
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        return report(**JOBS[options.job](options), peak_gigabytes=peak_gigabytes())

    facts, size = machine("tokenizers", "numpy"), options.megabytes
    with tempfile.TemporaryDirectory() as folder:
        start = partial(
            in_own_process, *sys.argv[1:], "--folder", folder, "--job", XINYE_CACHE=folder
        )
        start("make")
        results = in_turn(
            {job: partial(start, job) for job in ("xinye", "library")}, options.rounds
        )
        start("opened")  # this prepares it
        first_batches = start("opened")
    speeds = {job: [size / result["seconds"] for result in each] for job, each in results.items()}
    report(
        benchmark="preparation", machine=facts, megabytes=size, rounds=options.rounds,
        documents=results["xinye"][0]["documents"], tokens={job: each[0]["tokens"] for job, each in results.items()},
        megabytes_per_second={job: round(statistics.median(each), 2) for job, each in speeds.items()},
        to_library=ratio(speeds["xinye"], speeds["library"]), help=help_time(),
        opened=first_batches,
        peak_gigabytes={job: max(result["peak_gigabytes"] for result in each) for job, each in results.items()},
    )  # fmt: skip


if __name__ == "__main__":
    main()
