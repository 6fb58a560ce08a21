"""The commands of tasks, such as `xinye classify` and `xinye summarize`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import BAD_BYTES, JSON, Fields, Parser, flag, read_stdin
from xinye.cli.output import Display, answer, bad_bytes_told, console, print_json, verbatim
from xinye.data.columns import find_column
from xinye.data.files import RECORD_SUFFIXES, SUFFIXES, suffix_of
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sources import read_lines, read_records
from xinye.errors import XinyeError, checked, quoted
from xinye.language import INPUT
from xinye.retrieval.documents import documents
from xinye.runs.folder import RunFolder
from xinye.tasks.registry import TASKS, find_text_task

if TYPE_CHECKING:
    from xinye.tasks.task import Task

PAIR = flag("--pair", "TEXT", "the second text, for a model of text pairs")
LINES = (
    "a text, a file with one text per line, a table with a text in each row, or - to read lines "
    "from a pipe"
)
DOCUMENT = (
    "a text, a file with one text (txt, md, html, pdf …), a table with a text in each row, or - to "
    "read a text from a pipe"
)


def use(verb: str, arguments: list[str]) -> int:
    """`xinye VERB`: print a model's results for texts, for the task that it was trained for."""
    entry = TASKS[verb]
    example = entry.example or f'xinye {verb} runs/model "…"'
    file = "text.txt" if entry.documents else "texts.txt"
    model = f"folder of a model fine-tuned with xinye finetune --task {verb}"
    given = Parser(
        verb,
        entry.more or entry.summary,
        f"{example}\n  cat {file} | xinye {verb} {example.split()[2]} -",
        flag("model", "MODEL", model),
        flag("text", "TEXT", DOCUMENT if entry.documents else LINES),
        BAD_BYTES,
        JSON,
        *([PAIR] if entry.takes_pairs else []),
        *([Fields(entry.use_settings)] if entry.use_settings else []),
    ).read(arguments)
    if entry.use_settings:
        checked(entry.use_settings, given.settings, verb)
    with bad_bytes_told(given.bad_bytes):
        texts = inputs_of(given.text, verb)
    inputs: list[Any] = texts
    if entry.takes_pairs and given.pair is not None:
        inputs = [(text, given.pair) for text in texts]

    from xinye.api import load

    loaded, task = load(given.model), find_text_task(verb)
    for said in RunFolder(loaded.folder).unfinished():
        console.print(f"note: {said}", soft_wrap=True)
    with Display() as display:
        results = loaded.use(verb, inputs, observer=display, **given.settings)
    answers = list(zip(texts, results, strict=True))
    if given.json:
        print_json({"results": [{"text": text, **task.told(result)} for text, result in answers]})
        return 0
    for text, result in answers:
        for line in task.lines(text, result, len(texts) == 1):
            show(line, task)
        for note in task.notes_on(result):
            console.print(f"note: {note}", soft_wrap=True)
    return 0


def show(line: str, task: "type[Task]") -> None:
    """Print a line of a result, in colour where the task says so."""
    if task.exact and not answer.is_terminal:
        print(line, file=answer.file)
        return
    text = verbatim(line)
    for pattern, style in task.highlights.items():
        text.highlight_regex(pattern, style)
    answer.print(text, soft_wrap=True)


def inputs_of(given: str, verb: str) -> list[str]:
    """The texts for a task. Says what reading has changed or left out."""
    notes = Notes()
    texts = read_inputs(given, verb, notes)
    for said in notes.sentences():
        console.print(f"note: {said}", soft_wrap=True)
    return texts


def read_inputs(given: str, verb: str, notes: Notes) -> list[str]:
    """The texts for a task: the text itself; the text of each record of a table; the lines of
    another file or of standard input, or all of it for a task that takes documents. `notes` report
    the empty ones, which are left out. Raises `XinyeError` if all are."""
    path, whole = Path(given), TASKS[verb].documents
    from_file = given != "-" and is_file(given)
    placed: Iterable[tuple[str, str]]
    if from_file and (whole or suffix_of(path) in RECORD_SUFFIXES):
        placed = texts_of_file(path, verb, notes)
    elif from_file:
        placed = ((place_of(path, at), line) for at, line in read_lines(path))
    elif given != "-":
        check_meant(given)
        placed = [("", given)]
    elif whole:
        placed = [("", read_stdin())]
    else:
        lines = read_stdin().removesuffix("\n").split("\n")
        placed = ((place_of(INPUT, at), line) for at, line in enumerate(lines, 1))
    placed = [*placed]
    texts = [text for _, text in placed if text.strip()]
    if not texts:
        raise XinyeError(f"{given}: the file has no text" if from_file else "the text is empty")
    for place, text in placed:
        if not text.strip():
            notes.add(place, "the text is empty, so it is left out")
    return texts


def check_meant(text: str) -> None:
    """Raises `XinyeError` for a text that looks like the name of a missing file."""
    if suffix_of(Path(text)) in SUFFIXES and len(text.split()) == 1:
        raise XinyeError(
            f"{text}: there is no such file; if this is the text itself, pipe "
            f"it: echo {quoted(text)} | xinye …"
        )


def is_file(given: str) -> bool:
    """Whether a text is the path of a file. Raises `XinyeError` for that of a folder, a pipe or a
    broken link."""
    if len(given) >= 1000 or "\n" in given or "\0" in given or not os.path.lexists(given):
        return False
    if not Path(given).is_file():
        raise XinyeError(f"{given}: this is no plain file; give a file, or - to read from a pipe")
    return True


def texts_of_file(path: Path, verb: str, notes: Notes) -> Iterator[tuple[str, str]]:
    """The texts of a file with their places: each record of a table, or the whole file, of any
    format that Xinye extracts text from. A record without a text gives ""."""
    if suffix_of(path) not in RECORD_SUFFIXES:
        yield from ((str(path), document.text) for document in documents(path))
        return
    rows = [(place_of(path, line), keyed(row)) for line, row in read_records(path, notes=notes)]
    column = column_of_texts(path, [row for _, row in rows], find_text_task(verb).sources, notes)
    for place, row in rows:
        name = find_column(row, column, endings=True)
        text = row[name] if name else None
        yield place, text if isinstance(text, str) else ""


def keyed(row: Any) -> Row:
    """A row with its cells by column: those of a list by their numbers, a text as column "1"."""
    if isinstance(row, dict):
        return row
    cells = row if isinstance(row, list) else [row]
    return {str(number): cell for number, cell in enumerate(cells, 1)}


def column_of_texts(
    path: Path, rows: Sequence[Row], usual: Sequence[str], notes: Notes
) -> Sequence[str]:
    """The names that the column of texts can have: the `usual` ones of a task. In a table without a
    header its first column that is at least half as long as the longest; a column that says the
    same in every row does not count. Raises `XinyeError` if there is no such column."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows or find_column(names, usual, endings=True):
        return usual
    lengths = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        if len(rows) == 1 or any(cell != cells[0] for cell in cells):
            lengths[name] = sum(len(cell) for cell in cells if isinstance(cell, str))
    longest = max(lengths.values(), default=0)
    if not longest or names != [str(number) for number in range(1, len(names) + 1)]:
        raise XinyeError(
            f"{path}: no column with a text; name it one of {', '.join(usual[:3])}. The columns "
            f"are {', '.join(map(str, names))}"
        )
    column = next(name for name, length in lengths.items() if 2 * length >= longest)
    if len(names) > 1:
        notes.add(str(path), f"column {column} is read as the text")
    return (column,)
