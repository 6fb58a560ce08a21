"""Tables that a program wrote as one JSON object."""

import json

import pytest

from xinye.data.notes import Notes
from xinye.data.sources import read_pieces, read_records
from xinye.errors import XinyeError

ROWS = [{"text": "t 0", "label": "a"}, {"text": "t 1", "label": "b"}]
COLUMNS = {"text": ["t 0", "t 1"], "label": ["a", "b"]}


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        {"text": {"0": "t 0", "1": "t 1"}, "label": {"0": "a", "1": "b"}},
        {"columns": ["text", "label"], "index": [0, 1], "data": [["t 0", "a"], ["t 1", "b"]]},
        {"0": ROWS[0], "1": ROWS[1]},
        {"schema": {"fields": []}, "data": ROWS},
    ],
)
def test_its_rows_are_read_and_noted(tmp_path, table):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(table))
    notes = Notes()
    assert [row for _, row in read_records(path, notes=notes)] == ROWS
    assert "its rows are read" in notes.sentences()[0]
    assert [piece.text for piece in read_pieces([path])] == ["t 0", "t 1"]


@pytest.mark.parametrize(
    "record",
    [
        {"tokens": ["a", "b"], "ner_tags": [0, 1]},
        {"messages": [{"role": "user", "content": "a"}] * 2, "tools": [{}]},
        {"text": ["a line", "another"]},
        {"text": "a", "label": {"0": 1}},
    ],
)
def test_a_record_stays_one(tmp_path, record):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    assert [row for _, row in read_records(path)] == [record]


def test_columns_of_different_lengths_are_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COLUMNS | {"label": ["a"]}))
    with pytest.raises(XinyeError, match="have different lengths"):
        [*read_records(path)]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_an_array_of_messages_is_one_conversation(tmp_path, name, indent):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = tmp_path / name
    path.write_text(json.dumps(messages, indent=indent))
    assert [row for _, row in read_records(path)] == [messages]
