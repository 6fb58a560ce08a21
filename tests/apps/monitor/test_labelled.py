"""Labelled texts are read, whatever people call their columns and moods."""

import json
from pathlib import Path

import pytest

from xinye.apps.monitor.labelled import (
    LONGEST,
    Columns,
    Labelled,
    joined,
    read_labelled,
    relabelled,
)
from xinye.errors import XinyeError


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return str(path)


def test_chinese_and_english_columns(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("新闻标题,正文,主题,正负面\n降价,全场八折。,价格、门店,利好\n", "utf-8")
    lines = write(tmp_path / "b.jsonl", [{"text": "Late again.", "topics": ["delivery"]}])
    read = read_labelled([str(table), lines], Columns())
    assert read.files == 2
    assert read.texts == [
        Labelled("降价\n全场八折。", ("价格", "门店"), "positive"),
        Labelled("Late again.", ("delivery",), ""),
    ]


@pytest.mark.parametrize(
    ("values", "moods"),
    [
        ((0, 1, 2), ("negative", "neutral", "positive")),
        ((-1, 0, 1), ("negative", "neutral", "positive")),
        ((0, 1), ("negative", "positive")),
        (("负面", "中性", "Positive"), ("negative", "neutral", "positive")),
        (("0.0", "1.0"), ("negative", "positive")),
    ],
)
def test_what_moods_are_called(
    tmp_path: Path, values: tuple[object, ...], moods: tuple[str, ...]
) -> None:
    rows = [{"text": f"第{at}条", "mood": value} for at, value in enumerate(values)]
    read = read_labelled([write(tmp_path / "a.jsonl", rows)], Columns())
    assert tuple(each.mood for each in read.texts) == moods


def test_what_lacks_a_label_is_told(tmp_path: Path) -> None:
    rows = [
        {"text": "好", "topics": "价格", "mood": ""},
        {"text": "坏", "topics": "", "mood": ""},
        {"text": "", "topics": "价格", "mood": "neutral"},
    ]
    read = read_labelled([write(tmp_path / "a.jsonl", rows)], Columns())
    assert read.texts == [Labelled("好", ("价格",), "")]
    assert len(read.notes.sentences()) == 2


@pytest.mark.parametrize(
    ("row", "columns", "said"),
    [
        ({"text": "好", "mood": "happy"}, Columns(), "'happy' is no mood that is known"),
        ({"text": "好", "note": "x"}, Columns(), "cannot tell which column has the topics"),
        ({"text": "好", "mood": 1}, Columns(mood_field="feeling"), "there is no column 'feeling'"),
    ],
)
def test_what_is_refused(tmp_path: Path, row: dict, columns: Columns, said: str) -> None:
    with pytest.raises(XinyeError, match=said):
        read_labelled([write(tmp_path / "a.jsonl", [row])], columns)


@pytest.mark.parametrize(
    ("values", "topics", "moods"),
    [
        (("负面", "中性"), None, ("negative", "neutral")),
        ((-1, 1), None, ("negative", "positive")),
        (("财经", "体育"), ("财经",), ("", "")),
    ],
)
def test_a_column_called_label_is_what_its_values_say(
    tmp_path: Path, values: tuple[object, ...], topics: tuple[str, ...] | None, moods: tuple
) -> None:
    rows = [{"text": f"第{at}条", "label": value} for at, value in enumerate(values)]
    read = read_labelled([write(tmp_path / "a.jsonl", rows)], Columns())
    assert (read.texts[0].topics, tuple(each.mood for each in read.texts)) == (topics, moods)
    assert "the column 'label' is read as" in read.notes.sentences()[0]


def test_topics_with_recurring_parts_are_noted(tmp_path: Path) -> None:
    places, subjects = ("中国", "外国"), ("公司", "行业", "政策")
    several = [f"{place} {subject}" for place in places for subject in subjects]
    file = write(tmp_path / "a.jsonl", [{"text": each, "topics": each} for each in several])
    [note] = read_labelled([file], Columns()).notes.sentences()
    assert '--topic-separator " "' in note
    assert not read_labelled([file], Columns(topic_separator=" ")).notes.sentences()
    english = ["customer service", "real estate", "price", "public health", "interest rates"]
    file = write(tmp_path / "b.jsonl", [{"text": each, "topics": each} for each in english])
    assert not read_labelled([file], Columns()).notes.sentences()


def test_texts_that_come_again_are_noted(tmp_path: Path) -> None:
    rows = [{"text": "好", "mood": mood} for mood in ("正面", "正面", "负面")]
    same, other = read_labelled([write(tmp_path / "a.jsonl", rows)], Columns()).notes.sentences()
    assert "same labels" in same and "line 2" in same
    assert "other labels" in other and "line 3" in other


def test_a_separator_can_be_a_space(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "好", "topics": "中国 公司"}])
    read = read_labelled([file], Columns(topic_separator=" "))
    assert read.texts[0].topics == ("中国", "公司")


def test_models_read_the_beginning() -> None:
    assert joined("", "正文") == "正文"
    assert joined("标题", "标题：正文") == "标题：正文"
    assert len(joined("标题", "字" * 1000)) == LONGEST


def test_what_is_said_later_of_a_text_counts() -> None:
    old = [Labelled("茶凉了", ("配送",), ""), Labelled("开业了", ("门店",), "positive")]
    later = [
        Labelled("茶凉了", None, "negative"),
        Labelled("开业了", (), ""),
        Labelled("贵", None, "negative"),
    ]
    assert relabelled(old, later) == [
        Labelled("茶凉了", ("配送",), "negative"),
        Labelled("开业了", (), "positive"),
        Labelled("贵", None, "negative"),
    ]
