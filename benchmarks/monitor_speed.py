"""How many documents a second the opinion monitor reads, analyses, counts and judges.

    OMP_NUM_THREADS=2 python benchmarks/monitor_speed.py MONITOR NEWS.csv [--rounds 3]

What `xinye monitor run MONITOR --source FILE --store NEW` does in its step, with the columns 标题
and 正文 of the news in a file of JSON Lines. They have no dates there, so all of them come now and
alarms are judged; as so many at once are an alarm of most topics, alerts are opened and summed up,
too. Each round is a process of its own, its store is empty, and its start (imports, models) is not
timed. Prints the median of the rounds: documents a second, seconds of clock and of processor, and
the seconds of the parts. With ATEN_CPU_CAPABILITY=avx2 most machines choose fp32, not bf16.
`labels` is a hash of all topics and moods: what makes it faster must not change it. Prints one
JSON object last.
"""

import argparse
import csv
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from common import in_own_process, machine, report

from xinye.apps.monitor import ingest as ingest_module
from xinye.apps.monitor import normalized
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.near import Near
from xinye.apps.monitor.runner import Runner, open_monitor
from xinye.apps.monitor.watch import Watch
from xinye.apps.store import Transaction
from xinye.data.masking import Masker

PARTS = {  # what is timed as which part
    "masking": [(Masker, "mask")],
    "repeats": [
        (normalized, "sketch"),
        (normalized, "title_hash"),
        (normalized, "needed"),
        (ingest_module, "held"),
        (Near, "find"),
        (Near, "add"),
    ],
    "models": [(Ingest, "_analysed")],
    "alarms": [(Watch, "look")],
    "writing": [(Ingest, "add")],  # and all else
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("monitor", type=Path)
    parser.add_argument("news", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options.monitor, options.news), ensure_ascii=False))
        return
    facts = machine("torch", "numpy")
    rounds = [
        in_own_process("--once", str(options.monitor), str(options.news))
        for _ in range(options.rounds)
    ]
    if len({each["labels"] for each in rounds}) > 1:
        raise SystemExit("the rounds do not agree on the labels")
    rounds.sort(key=lambda each: each["seconds"])
    report(
        benchmark="monitor_speed",
        threads=os.environ.get("OMP_NUM_THREADS"),
        **rounds[len(rounds) // 2],
        processor_seconds_of_rounds=[each["processor_seconds"] for each in rounds],
        documents_a_second_of_rounds=[each["documents_a_second"] for each in rounds],
        median_processor=statistics.median(each["processor_seconds"] for each in rounds),
        machine=facts,
    )


def measure(monitor: Path, news: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        source, documents = Path(temporary) / "news.jsonl", write_lines(news, Path(temporary))
        folder = MonitorFolder.read(monitor)
        with closing(open_monitor(folder, Path(temporary) / "monitor.db")) as store:
            runner = Runner(folder, store, [str(source)])
            parts = watched(runner)
            begin, processor = time.perf_counter(), time.process_time()
            added = runner.step().added
            while runner.reading:
                added += runner.step().added
            seconds, processor = time.perf_counter() - begin, time.process_time() - processor
            with store.store.reading() as transaction:
                labels = labels_of(transaction)
            mood = runner.analyst.models.mood
            dtype = str(mood.network.compute_dtype) if mood else ""
    return {
        "documents": documents,
        "new": added.new,
        "repeats": added.repeats,
        "alerts": len(added.alerts),
        "documents_a_second": round(documents / seconds, 1),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "parts": {name: round(value, 2) for name, value in parts.items()},
        "dtype": dtype,
        "labels": labels,
    }


class Parts:
    """Seconds of the parts; what a part calls is not counted as its own."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner: list[float] = []  # seconds of the calls within those that run

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                all_of_it = time.perf_counter() - begin
                self.seconds[part] += all_of_it - self._inner.pop()
                if self._inner:
                    self._inner[-1] += all_of_it

        return run


def watched(runner: Runner) -> Counter[str]:
    """The seconds of the parts, which are counted from now on."""
    parts = Parts()
    for part, functions in PARTS.items():
        for owner, name in functions:
            setattr(owner, name, parts.timed(part, getattr(owner, name)))

    def timed_reading(batches: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        def read() -> Iterator[Any]:
            following = parts.timed("reading", batches().__next__)
            while True:
                try:
                    yield following()
                except StopIteration:
                    return

        return read

    for source in runner._sources.values():
        source.read = timed_reading(source.read)
    return parts.seconds


def write_lines(news: Path, folder: Path) -> int:
    """Write the news to news.jsonl in a folder. Returns how many they are."""
    with news.open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    lines = [
        json.dumps({"id": str(number), "title": row["标题"], "text": row["正文"]})
        for number, row in enumerate(rows)
    ]
    (folder / "news.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return len(rows)


def labels_of(transaction: Transaction) -> str:
    """A hash of the topics and moods of all documents in the store."""
    found = [
        [tuple(row) for row in transaction.select(query)]
        for query in (
            "SELECT number, first, mood FROM documents ORDER BY number",
            "SELECT document, topic FROM document_topics ORDER BY document, topic",
        )
    ]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
