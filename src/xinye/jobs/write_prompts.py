"""Writes texts for a file of prompts, many at once with one engine. If interrupted, it continues
with the missing lines.

Each line of the output belongs to one line of the input, in the order of completion. Its `request`
is a hash of everything that was asked, by which finished lines are recognised.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinye.data.files import one_file
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sources import read_records
from xinye.data.tables import is_table
from xinye.errors import XinyeError, checked, plural
from xinye.generation.chat import start_answer
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import ChatSampling, Sampling
from xinye.generation.sequence import Sequence
from xinye.observer import Observer
from xinye.tasks.chat_columns import by_words


@dataclass(frozen=True)
class Job:
    """One line of the input with its sequences."""

    line: int
    id: Any
    request: str
    sequences: list[Sequence]

    def record(self) -> Row:
        """The line for the output."""
        tokens = sum(sequence.completion_tokens for sequence in self.sequences)
        record: Row = {
            "line": self.line,
            "request": self.request,
            **({} if self.id is None else {"id": self.id}),
            "texts": [sequence.text for sequence in self.sequences],
            "finish_reasons": [sequence.finish_reason for sequence in self.sequences],
            "usage": {
                "prompt_tokens": self.sequences[0].prompt_tokens,
                "completion_tokens": tokens,
            },
        }
        if self.sequences[0].sampling.logprobs is not None:
            record["logprobs"] = [sequence.logprobs for sequence in self.sequences]
        return record


def write_prompts(
    engine: Engine, prompts: Path, output: Path, n: int, sampling: Row, observer: Observer
) -> Row:
    """Write `n` texts for each line of a file of prompts, and return a summary.

    A line is `{"prompt": …}` or `{"messages": […]}`, optionally with an `id`, an `n` and sampling
    fields. In a table, the column of prompts is used, and columns named like sampling fields. A
    line that fails is listed under `errors`, and the others continue; finished lines in the output
    are skipped. Raises `XinyeError` if the output holds other texts.
    """
    if prompts.resolve() == output.resolve():
        raise XinyeError(f"{output}: this is the file of prompts; choose another name for texts")
    errors: list[Row] = []

    def bad(path: Path, line: int, problem: str) -> None:
        errors.append({"line": line, "error": problem})
        observer.warn(f"{place_of(path, line)}: {problem}")

    prompts = one_file(prompts)
    total = count_prompts(prompts, observer)
    column = prompt_column(prompts, observer)
    done = finished(output)
    counts = Counter(done=0, done_before=0, texts=0, tokens=0)

    def jobs() -> Iterator[Job]:
        for line, row in read_records(prompts, bad):
            record = _of_table(row, column) if column else row
            try:
                job = begin(engine, line, record, n, sampling)
            except XinyeError as error:
                bad(prompts, line, str(error))
                continue
            if done.get(line, job.request) != job.request:
                raise XinyeError(
                    f"{output}: line {line} was written with another prompt; choose another name"
                )
            if line not in done:
                yield job
            counts["done_before"] += line in done

    began = time.monotonic()
    with output.open("a", encoding="utf-8") as file:
        for job in written(engine, jobs()):
            if error := next((each.error for each in job.sequences if each.error), None):
                bad(prompts, job.line, str(error))
                continue
            record = job.record()
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            tokens = record["usage"]["completion_tokens"]
            counts.update(done=1, texts=len(job.sequences), tokens=tokens)
            _show_progress(observer, counts, total, time.monotonic() - began)
    seconds = time.monotonic() - began
    return {"output": str(output), "lines": total, **counts} | {
        "seconds": round(seconds, 2),
        "tokens_per_second": round(counts["tokens"] / seconds, 1),
        "errors": errors,
    }


def _show_progress(observer: Observer, counts: Counter[str], total: int, seconds: float) -> None:
    ready = counts["done_before"] + counts["done"]
    speed = counts["tokens"] / seconds
    observer.progress(f"writing … {ready:,} of {plural(total, 'line')}, {speed:,.0f} tokens/s")


def _of_table(row: Row, column: str) -> Row:
    """The prompt and settings in a row of a table."""
    kept = ("id", "n", *Sampling.model_fields)
    return {name: row[name] for name in row if name in kept} | {"prompt": row[column]}


def count_prompts(prompts: Path, observer: Observer) -> int:
    """The number of prompts in a file. Warns of what is left out, such as other sheets."""
    notes = Notes()
    total = sum(1 for _ in read_records(prompts, lambda *_: None, notes=notes))
    for said in notes.sentences():
        observer.warn(said)
    return total


def prompt_column(prompts: Path, observer: Observer) -> str | None:
    """The column of a table that holds the prompts, or None if the file is not a table. Raises
    `XinyeError` unless exactly one column has a suitable name.
    """
    _, row = next(read_records(prompts, lambda *_: None), (0, {}))
    if not is_table(prompts, tabbed=False) or not isinstance(row, dict) or not row:
        return None
    column = "prompt" if "prompt" in row else by_words(row)[0]
    if column is None:
        raise XinyeError(
            f"{prompts}: no column is called prompt; rename the column of the prompts to "
            f"prompt. The columns are {', '.join(row)}"
        )
    if column != "prompt":
        observer.warn(f"{prompts}: the column {column!r} is read as the prompts")
    return column


def written(engine: Engine, coming: Iterator[Job]) -> Iterator[Job]:
    """Each job as soon as its last text is complete. The engine never waits for the next job."""
    running: dict[Sequence, Job] = {}
    try:
        while True:
            while len(engine.waiting) < engine.scheduler.max_running and (
                job := next(coming, None)
            ):
                running |= dict.fromkeys(job.sequences, job)
                for sequence in job.sequences:
                    engine.add(sequence)
            if not engine.busy:
                return
            for sequence, _ in engine.step():
                job = running.get(sequence)
                if job and all(each.ended for each in job.sequences):
                    running = {each: other for each, other in running.items() if other is not job}
                    yield job
    finally:
        for sequence in running:
            engine.cancel(sequence)


def begin(engine: Engine, line: int, record: Any, n: int, sampling: Row) -> Job:
    """The job of one line. Raises `XinyeError` if the line is invalid or can never run."""
    if not isinstance(record, dict) or ("prompt" in record) == ("messages" in record):
        raise XinyeError('expected {"prompt": "…"} or {"messages": […]}')
    own = {key: record[key] for key in record.keys() - {"id", "prompt", "messages", "n"}}
    count = record.get("n", n)
    if not isinstance(count, int) or count < 1:
        raise XinyeError(f"n is {json.dumps(count)}; it must be a whole number, at least 1")
    if not isinstance(record.get("prompt", ""), str):
        raise XinyeError("the prompt must be a text")
    kind = ChatSampling if "messages" in record else Sampling
    settings = checked(kind, sampling | own, "sampling")
    sequences = []
    for number in range(count):
        asking = (engine.context, settings, number)
        if "messages" in record:
            sequence, _ = start_answer(engine.tokenizer, record["messages"], *asking)
        else:
            sequence = start(engine.tokenizer, record["prompt"], *asking)
        engine.check(sequence)
        sequences.append(sequence)
    asked = [record.get("prompt", record.get("messages")), count, settings.model_dump(mode="json")]
    request = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=8).hexdigest()
    return Job(line, record.get("id"), request, sequences)


def finished(output: Path) -> dict[int, str]:
    """The finished lines of the input with their requests. A last line that is incomplete is
    deleted. Raises `XinyeError` if the file holds something else.
    """
    if not output.exists():
        return {}
    done = {}
    with output.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(file.tell() - len(line))
                break
            try:
                record = json.loads(line)
                done[int(record["line"])] = str(record["request"])
            except (ValueError, TypeError, KeyError):
                raise XinyeError(
                    f"{output}: the file exists and was not written by generate --prompts; "
                    "choose another name"
                ) from None
    return done
