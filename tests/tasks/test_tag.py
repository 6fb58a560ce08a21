"""Spans: read in every format, turned to tags of tokens and back."""

import json
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
import transformers

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.spans import Span
from xinye.model.crf import likeliest
from xinye.tasks.tag import Tag
from xinye.tasks.tag_spans import (
    TaggedText,
    first_transitions,
    marked,
    segments_of,
    spans_of,
    targets_of,
)

TEXT = "沈知秋在云帆银行CSOL工作。"
SPANS = (Span(0, 3, "name"), Span(4, 8, "company"), Span(8, 12, "game"))
TOKENIZER = Tag.tokenizer(
    Tokenizer.train([TEXT + "云帆银行" * 9 + " Mad Punk The Paris"] * 9, kind="bpe", exact=False)
)


def read(path: Path, content: str) -> list[TaggedText]:
    path.write_text(content, "utf-8")
    return Tag.read([str(path)])


def columns(tags: str) -> str:
    return "\n".join(
        f"{token} {tag}" for token, tag in zip("沈知秋在云帆", tags.split(), strict=True)
    )


FILES = {
    "cluener.json": {"text": TEXT, "label": {"name": {"沈知秋": [[0, 2]]}, "company": {"云帆银行": [[4, 7]]},
                                            "game": {"CSOL": [[8, 11]]}}},
    "spans.jsonl": {"text": TEXT, "spans": [{"start": s.start, "end": s.end, "label": s.type} for s in SPANS]},
    "lists.jsonl": {"text": TEXT, "label": [list(s) for s in SPANS]},
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_json(tmp_path, name):
    assert read(tmp_path / name, json.dumps(FILES[name])) == [
        TaggedText(TEXT, SPANS, f"{tmp_path / name}, line 1")
    ]


@pytest.mark.parametrize(
    "tags",
    [
        "B-N I-N I-N O B-C I-C",
        "I-N I-N I-N O I-C I-C",
        "B-N I-N E-N O B-C E-C",
        "B-N M-N E-N O B-C L-C",
    ],
    ids=["IOB2", "IOB1", "BIOES", "BMES"],
)
def test_schemes(tmp_path, tags):
    record = read(tmp_path / "a.conll", f"-DOCSTART- O\n\n{columns(tags)}\n\n\n")[0]
    assert (record.text, record.spans) == ("沈知秋在云帆", (Span(0, 3, "N"), Span(4, 6, "C")))
    scheme = "BIOES" if "E" in tags else "IOB2" if tags.startswith("B") else "IOB1"
    assert record.format == f"CoNLL columns in {scheme}"


def test_neighbours_and_single_tokens(tmp_path):
    assert read(tmp_path / "a", columns("I-N B-N S-N O U-C S-C"))[0].spans == (
        Span(0, 1, "N"), Span(1, 2, "N"), Span(2, 3, "N"), Span(4, 5, "C"), Span(5, 6, "C"),
    )  # fmt: skip
    english = read(tmp_path / "b", "The\tX\tB-ORG\nMad\tX\tI-ORG\nis\tX\tO\n\nParis\tX\tI-LOC\n")
    assert [(r.text, r.spans) for r in english] == [
        ("The Mad is", (Span(0, 7, "ORG"),)),
        ("Paris", (Span(0, 5, "LOC"),)),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("叶 B-N\n老\n", "line 2: expected a token and its tag, found '老'"),
        ("叶 N\n", "line 1: expected a tag such as O, B-PER or I-PER, found 'N'"),
        ('{"text": "叶"}', "expected a field 'label' or 'spans', found text"),
        (
            '{"text": "沈知秋", "label": {"name": {"沈知": [[1, 2]]}}}',
            "the words '沈知' of a span at 1–2",
        ),
        (
            '{"text": "叶", "spans": [[0, 2, "N"]]}',
            "expected a span within the text's 1 characters, found 0–2",
        ),
        ('{"text": "叶", "spans": [[0, "N"]]}', "field 'spans': expected spans such as"),
        ('{"text": " ", "spans": []}', "field 'text': the text is empty"),
        ("\n", "no records"),
    ],
)
def test_what_is_no_record_is_refused_by_line(tmp_path, content, says):
    with pytest.raises(XinyeError, match=says):
        read(tmp_path / "a.json", content)


@pytest.mark.parametrize("context", [200, 50])
def test_tags_say_the_spans_again(context):
    text, spans = (
        TEXT * 3,
        [Span(s.start + at, s.end + at, s.type) for at in (0, 15, 30) for s in SPANS],
    )
    task = Tag.of([TaggedText(text, tuple(spans), "")])
    number = {label: index for index, label in enumerate(task.labels)}
    found = []
    for segment in segments_of(TOKENIZER, text, context):
        assert len(segment.tokens) <= context
        tags = [
            task.labels[index] if index >= 0 else "O"
            for index in targets_of(segment.offsets, spans, number)
        ]
        found += [span for span, _ in spans_of(segment.offsets, [(tag, 1.0) for tag in tags])]
    assert found == spans, "a long text is cut behind a sentence"


def test_every_han_character_is_a_token_also_in_transformers(tmp_path):
    TOKENIZER.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    read = theirs(TEXT, return_offsets_mapping=True)
    assert read.input_ids == TOKENIZER.backend.encode(TEXT).ids
    assert all(
        end - start == 1 for start, end in read.offset_mapping[1:] if not TEXT[start:end].isascii()
    )
    assert Tag.out_of_reach(TOKENIZER, [TaggedText(TEXT, SPANS, "")]) == (0, 3)


def test_spaces_belong_to_no_span():
    text = "The Mad Punk"
    segment = segments_of(TOKENIZER, text, 64)[0]
    assert all(text[start:end] == text[start:end].strip() for start, end in segment.offsets)


@pytest.mark.parametrize(
    "labels", [("O", "B-人", "I-人", "B-地", "I-地"), ("O", "I-人", "I-地")], ids=["IOB2", "IOB1"]
)
def test_the_likeliest_tags_that_may_follow_each_other(labels):
    scores = torch.randn(9, 4, len(labels), generator=torch.Generator().manual_seed(0)).log_softmax(
        -1
    )
    lengths = torch.tensor([4, 3, 1] * 3)

    def legal(tags: tuple[int, ...]) -> bool:
        names = ["O", *(labels[tag] for tag in tags)]
        return (
            all(after[0] != "I" or before[1:] == after[1:] for before, after in pairwise(names))
            or "B-人" not in labels
        )

    real = torch.arange(4) < lengths[:, None]
    paths = likeliest(scores, real, first_transitions(labels))
    for row, length, found in zip(scores, lengths.tolist(), paths, strict=True):
        ways = filter(legal, product(range(len(labels)), repeat=length))
        best = max(ways, key=lambda tags: float(row[range(length), tags].sum()))
        assert tuple(found[:length].tolist()) == best


def test_marked():
    assert marked("沈知秋在家", [Span(0, 3, "name")]) == "[沈知秋 name]在家"


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("B-PER M-PER E-PER S-LOC", [Span(0, 3, "PER"), Span(3, 4, "LOC")]),
        ("B-PER L-PER U-LOC U-LOC", [Span(0, 2, "PER"), Span(2, 3, "LOC"), Span(3, 4, "LOC")]),
        ("LABEL_1 LABEL_1 O LABEL_2", [Span(0, 2, "LABEL_1"), Span(3, 4, "LABEL_2")]),
    ],
    ids=["BMES", "BILOU", "without parts"],
)
def test_tags_of_other_tools_models(tags, expected):
    said = [(tag, 1.0) for tag in tags.split()]
    assert [span for span, _ in spans_of([(at, at + 1) for at in range(4)], said)] == expected
    assert set(Tag(("O", *tags.split())).known) == {span.type for span in expected}


@pytest.mark.parametrize(
    ("span", "flags", "told"),
    [
        ([2, 4, "name"], {}, True),
        ([2, 4, "name"], {"offsets": "characters"}, False),
        ({"start": 2, "end": 4, "label": "name", "text": "知秋"}, {}, False),
        ([0, 1, "name"], {}, False),
    ],
)
def test_offsets_behind_an_emoji_may_count_otherwise(tmp_path, span, flags, told):
    path, notes = tmp_path / "a.jsonl", Notes()
    path.write_text(json.dumps({"text": "沈😀知秋在家", "label": [span]}), "utf-8")
    assert len(Tag.read([str(path)], notes=notes, **flags)) == 1
    assert any("--offsets utf-16" in said for said in notes.sentences()) == told


def test_a_tokenizer_with_borders_is_given_no_more_of_them():
    """As when a run is resumed, or a tagger is trained further."""
    assert Tag.tokenizer(TOKENIZER).backend.to_str() == TOKENIZER.backend.to_str()
