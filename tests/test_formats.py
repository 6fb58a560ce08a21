"""docs/formats: each example there is read, without a record that is refused, and as
formats_expected.jsonl has it, a line for each example.

After a change of the examples: `python tests/test_formats.py` writes that file anew, and
`git diff tests` shows what is read otherwise: look whether each line is what a user means.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from xinye.data.notes import Notes
from xinye.data.sources import read_pieces
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.records import refuse
from xinye.tasks.registry import find_task
from xinye.tasks.tag_spans import TaggedText

PAGES = ("formats.md", "formats_zh.md")
DOCUMENTS = Path(__file__).parents[1] / "docs"
EXPECTED = Path(__file__).with_name("formats_expected.jsonl")
EXAMPLE = re.compile(r"^```\w+ (\S+)((?: \S+)*)\n(.*?)^```", re.M | re.S)  # file, arguments, lines


@dataclass(frozen=True)
class Example:
    page: str
    file: str
    arguments: tuple[str, ...]
    lines: str

    @property
    def name(self) -> str:
        return f"{self.page} {' '.join([self.file, *self.arguments])}"


def examples() -> Iterator[Example]:
    for page in PAGES:
        for file, arguments, lines in EXAMPLE.findall((DOCUMENTS / page).read_text("utf-8")):
            yield Example(page, file, tuple(arguments.split()), lines)


def read(example: Example) -> dict[str, Any]:
    """What is read of an example, from the file in the current folder, and what is noted."""
    Path(example.file).write_text(example.lines, "utf-8")
    notes = Notes()
    given = dict(zip(example.arguments[::2], example.arguments[1::2], strict=True))
    task = given.pop("--task", "")
    columns: dict[str, Any] = {
        flag.removeprefix("--").replace("-", "_"): value for flag, value in given.items()
    }
    if task:
        records = find_task(task).read([example.file], refuse, notes, **columns)
        found = [shown(record) for record in records]
    else:
        pieces = read_pieces([Path(example.file)], columns.get("field"), "\n\n", notes=notes)
        found = [piece.text.strip() for piece in pieces]
    return {"example": example.name, "read": found, "notes": notes.sentences()}


def shown(record: Any) -> Any:
    """A record as one reads it: a text with its labels, with brackets around its spans, or what was
    said in turn; what is learned of it has a star."""
    if isinstance(record, LabelledText):
        return [record.whole, *record.labels]
    if not isinstance(record, TaggedText):
        return [
            f"{message['role']}{'*' * (number in record.answers)}: {content}"
            for number, (message, content) in enumerate(
                zip(record.messages, record.contents, strict=True)
            )
        ]
    text = record.text
    for span in sorted(record.spans, key=lambda span: -span.start):
        text = f"{text[: span.start]}[{text[span.start : span.end]}]{span.type}{text[span.end :]}"
    return text


@cache
def expected() -> dict[str, str]:
    lines = EXPECTED.read_text("utf-8").splitlines()
    return {json.loads(line)["example"]: line for line in lines}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_is_read(tmp_path, monkeypatch, example):
    monkeypatch.chdir(tmp_path)
    assert as_line(read(example)) == expected().get(example.name), "see the top of this file"


def as_line(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        lines = sorted(as_line(read(example)) for example in examples())
    EXPECTED.write_text("\n".join(lines) + "\n", "utf-8")
