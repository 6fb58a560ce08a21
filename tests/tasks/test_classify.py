"""Records of texts with labels: found, refused by line, split, and told of."""

import json
from pathlib import Path

import pytest
from tokenizers import processors

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.tasks.classify import Classify
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.heads import altered

ROWS = [
    ("很好吃，下次再来", "正面"),
    ("太慢了，不会再来", "负面"),
    ("味道不错", "正面"),
    ("难吃", "负面"),
]
TOKENIZER = Tokenizer.train(["".join(text for text, _ in ROWS) + "good bad"], kind="char")


def csv(rows: list[tuple[str, str]], header: str = "review,label") -> str:
    return "\n".join([header, *(f"{text},{label}" for text, label in rows)]) + "\n"


def read(path: Path, content: str | bytes, **columns: str) -> list[LabelledText]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Classify.read([str(path)], **columns)


FILES = {
    "a.csv": csv(ROWS).replace("，", " "),
    "b.tsv": csv(ROWS).replace(",", "\t"),
    "c.txt": "\n".join(f"{text}\t{label}" for text, label in ROWS * 2),
    "d.jsonl": "\n".join(
        json.dumps({"id": i, "内容": t, "类别": label}) for i, (t, label) in enumerate(ROWS)
    ),
    "e.json": json.dumps([{"text": text, "category": label} for text, label in ROWS]),
}


@pytest.mark.parametrize("name", FILES)
def test_columns_are_found_by_themselves(tmp_path, name):
    records = read(tmp_path / name, FILES[name])
    assert [(r.text.replace(" ", "，"), r.labels) for r in records[:4]] == [
        (text, (label,)) for text, label in ROWS
    ]
    first = "record 1" if name == "e.json" else f"line {1 if name[0] in 'cd' else 2}"
    assert records[0].place == f"{tmp_path / name}, {first}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "体验十大创新\t8\n港股缩量回调\t2\n新股\t2\n"),
        ("a.csv", "8,体验十大创新\n2,港股缩量回调\n2,新股\n"),
        (
            "a.tsv",
            "to category\t体验十大创新\t8\nto category\t港股缩量回调\t2\nto category\t新股\t2\n",
        ),
    ],
)
def test_a_table_without_a_header(tmp_path, name, content):
    records = read(tmp_path / name, content)
    assert [(r.text, *r.labels) for r in records] == [
        ("体验十大创新", "8"),
        ("港股缩量回调", "2"),
        ("新股", "2"),
    ]
    assert records[0].place.endswith("line 1")


def test_columns_by_number_or_by_a_word_of_the_first_line(tmp_path):
    rows = "标题党,8\n港股回调,2\n"
    assert [
        r.text for r in read(tmp_path / "a.csv", rows, text_field="标题党", label_field="8")
    ] == ["港股回调"]
    named = read(tmp_path / "b.csv", "review,mood\n好,a\n坏,b\n", text_field="1", label_field="2")
    assert [(r.text, *r.labels) for r in named] == [("review", "mood"), ("好", "a"), ("坏", "b")]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path / "a.csv", csv(ROWS * 9).encode(encoding))[0].text == ROWS[0][0]


def test_pairs_numbers_and_several_labels(tmp_path):
    pair = read(
        tmp_path / "a.jsonl", json.dumps({"sentence1": "甲", "sentence2": "乙", "label": 1})
    )[0]
    assert (pair.text, pair.pair, pair.labels) == ("甲", "乙", ("1",))
    rows = "\n".join(
        json.dumps({"text": t, "labels": found}) for t, found in [("甲", ["快", "好"]), ("乙", [])]
    )
    task = Classify.of(read(tmp_path / "b.jsonl", rows))
    assert task.labels == ("好", "快") and task.several
    assert read(tmp_path / "c.csv", csv([("甲", "快|好")]), label_separator="|")[0].labels == (
        "快",
        "好",
    )
    numbers = Classify.of([LabelledText("a", "", (str(n),), "") for n in (10, 9, 2)])
    assert numbers.labels == ("2", "9", "10")
    row = {"keyword": ["茶", "水"], "abst": "泡茶", "label": 1}
    assert (
        read(tmp_path / "d.jsonl", json.dumps(row), text_field="keyword,abst")[0].whole
        == "茶\n水\n泡茶"
    )


FLAGGED = (
    "id,comment,toxic,insult,threat\n7,much too slow,1,0,0\n8,much too cold,1,1,0\n9,good,0,0,0\n"
)


def test_several_columns_of_0_and_1_are_labels(tmp_path):
    path, notes = tmp_path / "a.csv", Notes()
    path.write_text(FLAGGED)
    records = Classify.read([str(path)], notes=notes)
    assert [(r.text, r.labels) for r in records] == [
        ("much too slow", ("toxic",)),
        ("much too cold", ("toxic", "insult")),
        ("good", ()),
    ]
    said = " ".join(notes.sentences())
    assert "'toxic', 'insult', 'threat' hold only 0 and 1" in said
    assert "no record has the label 'threat': it is not learned" in said
    asked = read(path, FLAGGED.replace("id", "mood"), label_field="toxic,insult")
    assert asked[1].labels == ("toxic", "insult")
    for content, says in [
        (
            FLAGGED.replace("id", "mood").replace("9,", "8,"),
            "--label-field toxic,insult,threat. There are also 'mood'",
        ),
        (FLAGGED.replace("good,0", "good,-1"), "which column is the label"),
    ]:
        with pytest.raises(XinyeError, match=says):
            read(path, content)
    with pytest.raises(XinyeError, match=r"line 4, field 'toxic': expected 0 or 1, found '-1'"):
        read(path, FLAGGED.replace("good,0", "good,-1"), label_field="toxic,insult")


@pytest.mark.parametrize(
    "name", ["label", "Rating", "stars", "Sentiment", "评分", "类别", "分类", "等级"]
)
def test_usual_names_of_labels(tmp_path, name):
    rows = "".join(f"{number},some {number} words,{number}\n" for number in range(9))
    [first, *_] = read(tmp_path / "a.csv", f"number,text,{name}\n{rows}")
    assert first.format == f"text in 'text', label in {name!r}"


def test_reviews_beside_their_rating_are_texts(tmp_path):
    rows = [("很好吃，下次还会再来", "5"), ("太慢了，再也不会来了", "1")]
    records = read(tmp_path / "a.csv", csv(rows, "评价,评分"))
    assert [(r.text, *r.labels) for r in records] == rows


def test_of_two_columns_that_may_be_the_label_one_must_be_named(tmp_path):
    content = "text,rating,sentiment\nvery good,5,good\nvery bad,1,bad\n"
    with pytest.raises(XinyeError, match="'sentiment', 'rating' with --label-field"):
        read(tmp_path / "a.csv", content)
    assert read(tmp_path / "a.csv", content, label_field="rating")[0].labels == ("5",)


def test_true_and_false_are_labels(tmp_path):
    rows = '{"text": "good", "label": true}\n{"text": "bad", "label": false}'
    assert [r.labels for r in read(tmp_path / "a.jsonl", rows)] == [("true",), ("false",)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"text": "好", "label": 1}\n{"text": 3, "label": 1}', r"line 2, field 'text': expected a text"),
        ("a.csv", "text,label\n好,\n", r"line 2, field 'label': expected a label, found nothing"),
        ("a.csv", "text,label\n ,1\n", r"line 2, field 'text': expected a text, found nothing"),
        ("a.txt", "好\t正\n没有标签\n", r"line 2: 1 column, but the header line has 2; columns are separated by tabs"),
        ("a.txt", "没有标签\n也没有\n", r"line 1: expected a column of texts and one of labels.* found only one column: '没有标签'"),
        ("a.jsonl", '["好", "a"]', r"line 1: expected an object with a text and a label"),
        ("a.csv", "text,kind,shop\n" + "好,a,b\n坏,b,a\n" * 4, "which column is the label"),
        ("a.csv", "", "no records"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_by_line(tmp_path, name, content, says):
    with pytest.raises(XinyeError, match=says):
        read(tmp_path / name, content)


def test_a_column_by_a_wrong_name(tmp_path):
    with pytest.raises(XinyeError, match=r"no column 'lable' .*did you mean 'label'"):
        read(tmp_path / "a.csv", csv(ROWS), label_field="lable")


def test_the_split_keeps_the_shares_and_equal_texts_together():
    records = [
        LabelledText(f"文{i % 90}", "", ("正" if i % 90 < 60 else "负",), str(i))
        for i in range(180)
    ]
    training, kept = Classify.split(records, 0.1, seed=1)
    assert Classify(["正", "负"], False).counts(kept) == {"正": 12, "负": 6}
    assert not {r.text for r in training} & {r.text for r in kept}
    assert (
        (training, kept)
        == Classify.split(records, 0.1, seed=1)
        != Classify.split(records, 0.1, seed=2)
    )
    with pytest.raises(XinyeError, match=r"^3 records: too few to keep some"):
        Classify.split(records[:3], 0.1, seed=0)
    each = [LabelledText(f"文{i}", "", (f"{i}",), "") for i in range(30)]
    with pytest.raises(XinyeError, match=r"^30 records: too few of each label to keep some"):
        Classify.split(each, 0.1, seed=0)


def test_findings():
    training = [LabelledText(f"文{i}", "", ("正面",), f"train, line {i}") for i in range(20)]
    training += [
        LabelledText("文0", "", ("负面",), "train, line 21"),
        LabelledText("x", "", ("Good",), ""),
        LabelledText("y", "", ("good",), ""),
        LabelledText("z", "", ("Ｇｏｏ d",), ""),
    ]
    told = Classify.findings(training, [LabelledText("文3", "", ("中",), "test, line 7")])
    assert any("'Good', 'good', 'Ｇｏｏ d'" in finding for finding in told)
    assert any("unbalanced: '正面' occurs 20 times" in finding for finding in told)
    assert any(
        "two different labels: first train, line 0 and line 21 (正面 ≠ 负面)" in f for f in told
    )
    assert any(
        "the training data contain 1 of 1 validation record" in f
        and "test, line 7 = train, line 3" in f
        for f in told
    )
    assert any(
        "no training record has these labels" in finding and "中" in finding for finding in told
    )
    assert "no validation record has 5 labels" in next(told) and next(told, None) is None


def test_long_texts_lose_their_middle_and_pairs_the_longer_end():
    task, text = Classify(["a", "b"], False), "很好吃，下次再来太慢了不会"
    ids = TOKENIZER.encode(text)
    short, pair = task.encode(TOKENIZER, [(text, ""), (text, "难吃")], 8)
    assert short.tokens == [TOKENIZER.bos_id, ids[0], *ids[-6:]] and short.cut == len(ids) + 1 - 8
    bos = TOKENIZER.bos_id
    assert pair.tokens == [bos, *ids[:4], bos, *TOKENIZER.encode("难吃")]


def test_a_record_with_nothing_to_learn_from_is_named():
    with pytest.raises(XinyeError, match=r"x\.csv, line 3: the text is empty"):
        Classify(["a", "b"], False).examples(
            TOKENIZER, [LabelledText(" ", "", ("a",), "x.csv, line 3")], 8
        )
    with pytest.raises(XinyeError, match=r"line 9: .* the label 'goood'.*did you mean 'good'"):
        Classify(["bad", "good"], False).check(
            [LabelledText("好", "", ("goood",), "x.csv, line 9")]
        )


@pytest.mark.parametrize("pad", ["<pad>", "<eos>"])
def test_pairs_are_parted_and_texts_end_where_the_head_looks(pad):
    bare = altered(TOKENIZER)
    bare.backend.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B:1", special_tokens=[]
    )
    bare.pad_id = bare.backend.token_to_id(pad)
    # padding is no end in transformers
    changed, end = (
        Classify.tokenizer(bare),
        [bare.eos_id] * (pad != "<eos>"),
    )
    ids = changed.backend.encode("难", "吃", add_special_tokens=True).ids
    assert ids == [*TOKENIZER.encode("难"), TOKENIZER.eos_id, *TOKENIZER.encode("吃"), *end]
    assert changed.backend.encode("难吃", add_special_tokens=True).ids == [
        *TOKENIZER.encode("难吃"),
        *end,
    ]
    assert Classify.tokenizer(changed) is changed
    own = Classify.tokenizer(TOKENIZER).backend.encode("难吃", add_special_tokens=True).ids
    assert own == [TOKENIZER.bos_id, *TOKENIZER.encode("难吃"), TOKENIZER.eos_id]


def found_in(xinye, path: Path, content: str, *flags: str) -> dict:
    """What `data check` prints of a file with this content."""
    path.write_text(content)
    done = xinye("data", "check", path, "--task", "classify", "--json", *flags)
    assert done.code in (0, 1), done.err
    return json.loads(done.out)


def test_rows_of_totals(xinye, tmp_path):
    path = tmp_path / "a.csv"
    content = "内容,类别\n好吃,好\n难吃,差\n真好,好\n真差,差\n小计,10\nTotal,40\n"
    found = found_in(xinye, path, content)
    assert len(found["counts"]) == 4
    few, totals = found["findings"][:2]
    assert few.startswith("finetune would refuse this: 6 records: too few")
    assert "the text is '小计', as in a row of totals" in totals and "a.csv, line 6" in totals
    assert found_in(xinye, path, content, "--bad-records", "skip")["counts"] == {"好": 2, "差": 2}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("好 差 无 待定", ["无", "待定"]),
        ("有 无 - +", []),
    ],
)
def test_labels_that_say_there_is_none(xinye, tmp_path, labels, said):
    rows = "".join(f"很长的文字{n},{label}\n" for n, label in enumerate(labels.split() * 2))
    findings = found_in(xinye, tmp_path / "a.csv", "text,label\n" + rows)["findings"]
    missing = [each for each in findings if "which looks like a missing value" in each]
    assert len(missing) == len(said)
    assert all(repr(label) in each for label, each in zip(said, missing, strict=True))


def test_a_label_for_each_record(xinye, tmp_path):
    path = tmp_path / "a.csv"
    rows = "label,text,标签\n0,好吃,好\n1,难吃,差\n2,真好,好\n3,真差,差\n"
    with pytest.raises(
        XinyeError, match=r"which column is the label\? Choose from 'label', '标签'"
    ):
        read(path, rows)
    findings = found_in(xinye, path, rows, "--label-field", "label")["findings"]
    assert any(
        "each record has a different label; if another column holds the labels, name it" in each
        for each in findings
    )
    assert any("the field '标签' is not read (4 times" in each for each in findings)


@pytest.mark.parametrize(
    ("yes", "no", "note"),
    [
        ("是", "否", "'是' in columns of labels: read as 1"),
        ("√", "", "empty cells of '辱骂', '广告' are read as 0"),
        ("Y", "N", "'N' in columns of labels: read as 0"),
        ("TRUE", "FALSE", ""),
        ("yes", "no", "'yes' in"),
    ],
)
def test_columns_of_yes_and_no(xinye, tmp_path, yes, no, note):
    content = (
        f"文本,辱骂,广告\n好吃,{no},{yes}\n难吃,{yes},{no}\n真好,{no},{no}\n真差,{yes},{yes}\n"
    )
    found = found_in(xinye, tmp_path / "a.csv", content, "--label-field", "辱骂,广告")
    assert found["counts"] == {"广告": 2, "辱骂": 2}
    assert note in " ".join(found["findings"])


def test_an_empty_cell_beside_yes_and_no(tmp_path):
    content = "文本,辱骂,广告\n好吃,否,是\n难吃,,否\n"
    with pytest.raises(XinyeError, match="line 3, field '辱骂': expected 0 or 1, found nothing"):
        read(tmp_path / "a.csv", content, label_field="辱骂,广告")
