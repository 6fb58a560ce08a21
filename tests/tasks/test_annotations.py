"""What annotation tools export: read as it was meant, and what is left out is counted."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.evaluation.spans import Span
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag

TEXT = "😀 Ann 在巴黎"
PER, LOC = Span(2, 5, "PER"), Span(7, 9, "LOC")
TOKENS = ["Ann", "Lee", "waves"]


def read(task: Any, content: Any, name: str = "a.json", **columns: str) -> tuple[list[Any], str]:
    """The records of a file, and what the notes say."""
    text = content if isinstance(content, str) else json.dumps(content)
    Path(name).write_text(text, "utf-8")
    notes = Notes()
    return task.read([name], notes=notes, **columns), "\n".join(notes.sentences())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def by_label_studio(*results: dict[str, Any], text: str = TEXT, **more: Any) -> dict[str, Any]:
    """A task of Label Studio's export with one annotation."""
    annotation = {"id": 1, "was_cancelled": False, "result": list(results), **more}
    return {"id": 1, "data": {"text": text}, "annotations": [annotation], "predictions": []}


def region(start: int, end: int, label: str, words: str = "") -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]} | ({"text": words} if words else {})
    return {"from_name": "label", "to_name": "text", "type": "labels", "value": value}


def choice(*labels: str) -> dict[str, Any]:
    value = {"choices": list(labels)}
    return {"from_name": "mood", "to_name": "text", "type": "choices", "value": value}


# -- spans -----------------------------------------------------------------------------------------

SPANS = {
    "doccano, old": {"id": 1, "text": TEXT, "labels": [[2, 5, "PER"], [7, 9, "LOC"]]},
    "doccano, text in data": {"id": 1, "data": TEXT, "label": [[2, 5, "PER"], [7, 9, "LOC"]]},
    "doccano, new": {"text": TEXT, "Comments": [], "relations": [], "entities": [
        {"id": 1, "label": "PER", "start_offset": 2, "end_offset": 5},
        {"id": 2, "label": "LOC", "start_offset": 7, "end_offset": 9},
    ]},
    "Label Studio": by_label_studio(region(2, 5, "PER", "Ann"), region(7, 9, "LOC")),
    "Label Studio, JSON-MIN": {"id": 1, "text": TEXT, "annotation_id": 2, "lead_time": 1.5, "label": [
        region(2, 5, "PER")["value"], region(7, 9, "LOC")["value"],
    ]},
    "Prodigy": {"text": TEXT, "answer": "accept", "label": "news", "tokens": [{"text": "😀", "start": 0, "end": 1}],
                "spans": [{"start": 2, "end": 5, "label": "PER"}, {"start": 7, "end": 9, "label": "LOC"}]},
    "spaCy's pairs": [TEXT, {"entities": [[2, 5, "PER"], [7, 9, "LOC"]]}],
    "pairs in one object": {"classes": ["PER"], "annotations": [
        [TEXT, {"entities": [[2, 5, "PER"], [7, 9, "LOC"]]}], None,
    ]},
    "a last character, as its words say": {"text": TEXT, "entities": [
        {"start_idx": 2, "end_idx": 4, "type": "PER", "entity": "Ann"},
        {"start_idx": 7, "end_idx": 9, "type": "LOC"},
    ]},
    "spaces at the ends": {"text": TEXT, "spans": [[1, 6, "PER"], [7, 9, "LOC"], [1, 2, "LOC"]]},
}  # fmt: skip


@pytest.mark.parametrize("tool", SPANS)
def test_spans(tool):
    [record], _ = read(Tag, [SPANS[tool]])
    assert (record.text, record.spans) == (TEXT, (PER, LOC))


def test_what_label_studio_says_of_no_use_is_counted():
    one, two = region(2, 5, "PER"), region(7, 9, "LOC")
    several = by_label_studio(one)
    several["annotations"] += by_label_studio(two, ground_truth=True)["annotations"]
    relation = {"from_id": "a", "to_id": "b", "type": "relation"}
    nobody = {"data": {"text": TEXT}, "annotations": []}
    cancelled = by_label_studio(one, was_cancelled=True)
    records, notes = read(
        Tag, [by_label_studio(one, relation), by_label_studio(), several, cancelled, nobody]
    )
    assert [record.spans for record in records] == [(PER,), (), (LOC,)]
    for said in (
        "results of the kind 'relation' are not read (a.json, record 1)",
        "a cancelled annotation is left out (a.json, record 4)",
        "a text without an annotation is left out (2 times",
        "several annotations of one text: the one marked as ground truth is read",
    ):
        assert said in notes


@pytest.mark.parametrize("unit", ["bytes", "utf-16"])
def test_offsets_in_other_units(unit):
    start, end = {"bytes": (5, 8), "utf-16": (3, 6)}[unit]
    [record], _ = read(Tag, [{"text": TEXT, "spans": [[start, end, "PER"]]}], offsets=unit)
    assert record.spans == (PER,)
    with pytest.raises(
        XinyeError, match=r"record 1, field 'spans': the span 1–8 has a border within"
    ):
        read(Tag, [{"text": TEXT, "spans": [[1, 8, "PER"]]}], offsets=unit)
    with pytest.raises(XinyeError, match=f"its offsets count {unit}: --offsets {unit}"):
        read(Tag, [by_label_studio(region(start, end, "PER", "Ann"))])


def test_fields_by_name():
    row = {"gist": TEXT, "gold": [[2, 5, "PER"]]}
    [record], _ = read(Tag, [row], text_field="gist", label_field="gold")
    assert record.spans == (PER,) and record.format == "spans in 'gold', text in 'gist'"
    with pytest.raises(XinyeError, match=r"no field 'gits' \(--text-field\).*mean 'gist'"):
        read(Tag, [row], text_field="gits")
    with pytest.raises(XinyeError, match="'text', found gist, gold, id; name it with --text-field"):
        read(Tag, [row | {"id": "a"}])
    assert read(Tag, [row], label_field="gold")[0][0].spans == (PER,), "the only text"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"data": {"text": "a"}, "annotations": [3]}, "expected annotations as Label Studio"),
        ({"text": "ab", "annotations": [{"label": 1, "start_offset": 0, "end_offset": 1}]},
         "the type 1 is a number: export the names"),
        ({"text": "ab", "spans": [[0, 9, "X"]]}, "do not count characters, name their unit with --offsets"),
    ],
)  # fmt: skip
def test_what_is_no_annotation_is_refused(row, says):
    with pytest.raises(XinyeError, match=says):
        read(Tag, [row])


# -- tokens with tags ------------------------------------------------------------------------------


def test_tokens_with_tags_of_hugging_face(tmp_path):
    named = {"tokens": TOKENS, "ner_tags": ["B-PER", "I-PER", "O"]}
    numbers = {"tokens": TOKENS, "pos_tags": [1, 2, 3], "ner_tags": [1, 2, 0]}
    names = ["O", "B-PER", "I-PER"]
    assert read(Tag, [named])[0][0].spans == (Span(0, 7, "PER"),)
    assert read(Tag, [numbers], tag_names=",".join(names))[0][0].spans == (Span(0, 7, "PER"),)
    with pytest.raises(
        XinyeError, match=r"record 1, field 'ner_tags': the tags are numbers.*--tag-"
    ):
        read(Tag, [numbers])
    with pytest.raises(XinyeError, match="the tag 2 has no name among 2 names"):
        read(Tag, [numbers], tag_names="O,B-PER")
    with pytest.raises(XinyeError, match="expected a tag for each token, found 3 tokens and 1 tag"):
        read(Tag, [named | {"ner_tags": ["O"]}])
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
    info = {"features": {"tokens": {"dtype": "string"}, "ner_tags": feature}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert read(Tag, [numbers])[0][0].spans == (Span(0, 7, "PER"),)


@pytest.mark.parametrize(
    ("lines", "text", "spans"),
    [
        ("# id 3 domain=en\nAnn _ _ B-P\nLee _ _ I-P", "Ann Lee", [(0, 7)]),
        ("# text = Ann O\n1\tAnn\tB-P\t-\tme\n2-3\tisn't\tO\t-\tme\n2\tis\tO\t-\tme", "Ann is", [(0, 3)]),
        ("# O\n叶 B-P", "#叶", [(1, 2)]),
        ("叶 B-P\n  O\n老 O", "叶 老", [(0, 1)]),
        ("叶\tB-P\n \tO\n\u3000\tO\n老\tO", "叶 \u3000老", [(0, 1)]),
        ("EU NNP B-NP B-ORG\nacts VBZ B-VP O", "EU acts", [(0, 2)]),
        ("[ O\nAnn B-P\n] O", "[ Ann ]", [(2, 5)]),
        ("沈 B_P\n知 I_P", "沈知", [(0, 2)]),
        ("Token\tTag\nAnn\tB-P", "Ann", [(0, 3)]),
    ],
    ids=["comment", "CoNLL-U", "mark", "space", "tab", "columns", "bracket", "underscore", "header"],
)  # fmt: skip
def test_columns(lines, text, spans):
    [record], _ = read(Tag, lines, "a.conll")
    assert (record.text, [(span.start, span.end) for span in record.spans]) == (text, spans)


@pytest.mark.parametrize("numbers", ["1 1 2", "1  2"])
def test_a_table_of_tokens(numbers):
    rows = zip(numbers.split(" "), ["Word", "Berg,", "runs"], ["B-P", "I-P", "O"], strict=True)
    lines = [f'{number},"{token}",NN,{tag}' for number, token, tag in rows]
    table = "\n".join(["Sentence #,Word,POS,Tag", *lines])
    records, _ = read(Tag, table, "a.csv")
    assert [record.text for record in records] == ["Word Berg,", "runs"]
    assert records[0].spans == (Span(0, 10, "P"),) and records[1].place == "a.csv, line 4"
    with pytest.raises(XinyeError, match=r"such as Word and Tag, found id, gist; .*--text-field"):
        read(Tag, "id,gist\n1,2", "a.csv")
    with pytest.raises(
        XinyeError, match=r"no column says where a sentence begins\. Add one called"
    ):
        read(Tag, "word,tag\na,O", "a.csv")


def test_columns_by_number_and_what_is_told_of_them():
    lines = "# a comment\nEU NNP B-NP B-ORG\nacts VBZ B-VP O\n"
    [record], notes = read(Tag, lines, "a.conll", label_field="3")
    assert [span.type for span in record.spans] == ["NP", "VP"]
    assert "a comment, a line that begins with #, is left out (a.conll, line 1)" in notes
    assert "columns 3, 4 hold tags: the last is read" in read(Tag, lines, "a.conll")[1]
    with pytest.raises(
        XinyeError, match="--label-field ner: without a header the columns have numb"
    ):
        read(Tag, lines, "a.conll", label_field="ner")


# -- labels ----------------------------------------------------------------------------------------

LABELS = {
    "doccano": [{"id": 1, "text": "甲", "label": ["好"]}, {"id": 2, "text": "乙", "label": ["坏"]}],
    "doccano, numbers": [{"text": "甲", "annotations": [{"label": 1, "user": 1}]},
                         {"text": "乙", "annotations": [{"label": 2, "user": 1}]}],
    "Label Studio": [by_label_studio(choice("好"), text="甲"), by_label_studio(choice("坏"), text="乙")],
    "JSON-MIN": [
        {"id": 1, "text": "甲", "sentiment": "好", "annotator": 1, "annotation_id": 1, "lead_time": 2.5},
        {"id": 2, "text": "乙", "sentiment": {"choices": ["坏"]}, "annotator": 1, "annotation_id": 2,
         "lead_time": 3.5},
    ],
    "Prodigy": [{"text": "甲", "options": [], "accept": ["好"]}, {"text": "乙", "options": [], "accept": ["坏"]}],
}  # fmt: skip


@pytest.mark.parametrize("tool", LABELS)
def test_labels(tool):
    records, _ = read(Classify, LABELS[tool])
    expected = [("甲", ("1",)), ("乙", ("2",))] if "numbers" in tool else None
    assert [(record.text, record.labels) for record in records] == (
        expected or [("甲", ("好",)), ("乙", ("坏",))]
    )


def test_texts_without_a_label():
    several = by_label_studio(choice("坏", "好"), text="丁")
    records, notes = read(Classify, [by_label_studio(choice("好")), by_label_studio(), several])
    assert [record.labels for record in records] == [("好",), ("坏", "好")]
    assert "a text for which nothing was chosen is left out (a.json, record 2)" in notes
    rows = LABELS["doccano"] + [{"id": 3, "text": "丙", "label": []}]
    assert "learned as a text that has none of the labels (a.json" in read(Classify, rows)[1]


HEADERS = {
    "a sentence's number in each row": (
        "Sentence #\tWord\tTag\nSentence: 1\tRain\tO\n\tin\tO\n\tYork\tB-LOC\nSentence: 2\tSun\tO\n",
        ["Rain in York", "Sun"],
    ),
    "parts of speech between": (
        "POS word tag\nNN Rain O\nIN in O\nNNP York B-LOC\n",
        ["Rain in York"],
    ),
    "the tag first": ("tag\tword\nO\tRain\nO\tin\nB-LOC\tYork\n", ["Rain in York"]),
}


@pytest.mark.parametrize("text, texts", HEADERS.values(), ids=HEADERS)
def test_a_header_of_columns_says_which_is_which(tmp_path, text, texts):
    path = tmp_path / "a.tsv"
    path.write_text(text, "utf-8")
    records = Tag.read([str(path)])
    assert [record.text for record in records] == texts
    assert [span.type for record in records for span in record.spans] == ["LOC"]


def test_tokens_are_joined_as_the_file_is_written(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("公 O\n司 O\n在 O\n北 B-LOC\n京 I-LOC\n\nA B-ORG\nP I-ORG\nP I-ORG\n", "utf-8")
    assert [record.text for record in Tag.read([str(path)])] == ["公司在北京", "APP"]


def test_a_spreadsheet_has_a_token_a_row(tmp_path):
    book = openpyxl.Workbook()
    for row in (
        ["Sentence #", "Word", "Tag"],
        [1, "Rain", "O"],
        [1, "York", "B-LOC"],
        [2, "Sun", "O"],
    ):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    records = Tag.read([str(tmp_path / "a.xlsx")])
    assert [record.text for record in records] == ["Rain York", "Sun"]


# -- what is no record -----------------------------------------------------------------------------


def test_a_choice_that_is_a_text_is_one_label():
    one = by_label_studio(choice())
    one["annotations"][0]["result"][0]["value"]["choices"] = "good"
    [record], _ = read(Classify, [one], label_field="mood")
    assert record.labels == ("good",)


@pytest.mark.parametrize("border", [[0.0, 2], ["0", 2], [0, None], [0, True]])
def test_borders_of_cluener_are_whole_numbers(border):
    with pytest.raises(XinyeError, match="record 1, field 'label': expected spans"):
        read(Tag, [{"text": "Ann", "label": {"PER": {"Ann": [border]}}}])


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"tags": {"feature": {"names": []}}}, "tag 0 has no name"),
        ({"tags": {"feature": {"names": {"0": "O"}}}}, "a list of the tags' names"),
        ({"tags": {"names": ["O", 1]}}, "a list of the tags' names"),
        ([{"name": "tags"}], "expected features"),
        (None, "expected features"),
    ],
)
def test_names_of_tags_that_are_damaged(features, problem):
    Path("dataset_info.json").write_text(json.dumps({"features": features}))
    with pytest.raises(XinyeError, match=problem):
        read(Tag, [{"tokens": ["a"], "tags": [0]}])


KEYS = (
    "text", "label", "labels", "spans", "entities", "tokens", "tags", "data", "annotations",
    "result", "value", "type", "from_name", "choices", "start", "end", "start_offset", "accept",
    "options", "answer", "relations", "annotation_id", "lead_time", "classes", "messages", "role",
    "content", "conversations", "from", "prompt", "chosen", "rejected", "history", "instruction",
    "input", "output", "tool_calls", "weight", "was_cancelled", "ground_truth",
)  # fmt: skip
SCALARS = st.sampled_from([None, True, 0, 1, -1, 2.5, "", "PER", "user", "labels", "choices"])
SHAPES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("task", [Tag, Classify, Chat])
def test_json_of_any_shape_is_read_or_refused(task):
    @settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(st.dictionaries(st.sampled_from(KEYS), SHAPES, max_size=4), min_size=1))
    def refused_in_one_line(rows):
        with suppress(XinyeError):
            read(task, rows)

    refused_in_one_line()
