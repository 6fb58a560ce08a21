"""Messages in Chinese: looked up with what fills their gaps, and none without its translation."""

import re
import string

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from hypothesis import given, settings
from hypothesis import strategies as st

import messages
from xinye import language


def catalogue():
    with messages.CATALOGUE.open("rb") as file:
        return {entry.id: entry.string for entry in read_po(file, locale="zh") if entry.id}


def test_every_message_of_the_code_has_its_chinese_and_nothing_else_does():
    there, wanted = catalogue(), {message for _, message in messages.messages()}
    assert {*there} == wanted, "python tests/messages.py brings the catalogue up to date"
    missing = [english for english, said in there.items() if not any(said)]
    assert not missing


def test_chinese_has_no_gaps_but_those_of_its_english():
    gaps = re.compile(r"\{(\w*)\}")
    for english, said in catalogue().items():
        ids = english if isinstance(english, tuple) else (english,)
        said = said if isinstance(said, str) else said[0]
        assert {*gaps.findall(said)} <= {*gaps.findall(ids[0])}, english


@pytest.fixture
def chinese_screen(monkeypatch):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "XINYE_LANGUAGE": "en"}, "en"),
        ({"LC_ALL": "C", "XINYE_LANGUAGE": "zh"}, "zh"),
        ({"LC_ALL": "C"}, "en"),
        ({"LC_ALL": "de_DE"}, "en"),
    ],
)
def test_the_language_is_what_the_variable_or_else_the_locale_says(
    monkeypatch, variables, expected
):
    for name in ("XINYE_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language.screen_language() == expected


@pytest.mark.parametrize(
    "english, chinese",
    [
        ("a.jsonl, line 2: not valid ({} b)", "a.jsonl 第 2 行：格式不对（{} b）"),
        (
            "a.csv: add a column; if line 3 is it; it is b",
            "a.csv：请加一列；如果第 3 行 是；它是 b",
        ),
        ("a: not valid (b: column 1 (char 0))", "a：格式不对（b: column 1 (char 0)）"),
        ("add a column (a (1).csv, line 3)", "请加一列（a (1).csv 第 3 行）"),
        ("cannot (a): ; b; ", "cannot (a): ; b; "),
        ("; a: " * 500, "; a: " * 500),
    ],
)
def test_a_message_is_found_behind_a_place_and_among_others(monkeypatch, english, chinese):
    gapped = [
        ("not valid (", ")", "格式不对（{0}）"),
        ("if ", " is it; it is ", "", "如果{0} 是；它是 {1}"),
    ]
    known = [language.Message(around, said, [""] * (len(around) - 1)) for *around, said in gapped]
    monkeypatch.setattr(language, "_messages", lambda: ({"add a column": "请加一列"}, known))
    assert language.chinese(english) == chinese


@pytest.fixture
def known(tmp_path, monkeypatch):
    """Some messages of the catalogue's kinds."""
    catalog = Catalog(locale="zh")
    for english, said in {
        ("{count} bad record is", "{count} bad records are"): ("{count} 条无效样本",),
        "{what} left out: {first}": "略去了{what}：{first}",
        "{place}, field {column}: expected {what}, found {str}": (
            "{place}，字段 {column}：应为{what}，实际是 {str}"
        ),
        "{place}, field {column}: expected {what}, found nothing": (
            "{place}，字段 {column}：应为{what}，实际为空"
        ),
        "a label": "标签",
        "{what} there again: first {where}": "{what}重复：最早的是 {where}",
        ("{count} record stands", "{count} records stand"): ("{count} 条样本",),
        "{what} ({count} times, first {where})": "{what}（{count} 次，最早在 {where}）",
        "the header stands again": "表头重复出现",
        "no data; {advice}": "没有数据；{advice}",
    }.items():
        catalog.add(english, said)
    path = tmp_path / "xinye.po"
    with path.open("wb") as file:
        write_po(file, catalog)
    monkeypatch.setattr(language, "CATALOGUE", path)
    language._messages.cache_clear()
    yield
    language._messages.cache_clear()


@pytest.mark.parametrize(
    "english, expected",
    [
        ("a.csv, line 3, line 9", "a.csv 第 3、9 行"),
        ("评分.xlsx, row 6 and 拼接.csv, line 6", "评分.xlsx 第 6 行和拼接.csv 第 6 行"),
        ("a.csv, line 1,006 and b.csv, line 6", "a.csv 第 1,006 行和 b.csv 第 6 行"),
        ("a.csv, line 3, b.json, record 9", "a.csv 第 3 行、b.json 第 9 条"),
        ("v.csv, line 2 = r.csv, line 7", "v.csv 第 2 行 = r.csv 第 7 行"),
        ("t.xlsx, row 3, field '标签'", "t.xlsx 第 3 行，字段 '标签'"),
        ("line 6, field '标签'", "第 6 行，字段 '标签'"),
        ("salt and pepper, line 2.txt, line 3", "salt and pepper, line 2.txt 第 3 行"),
        ("t.xlsx, column AB", "t.xlsx AB 列"),
        (
            "4 bad records are left out: line 6, field '标签': expected a label, found nothing; "
            "line 7, field 'x': expected a label, found 3 …",
            "略去了4 条无效样本：第 6 行，字段 '标签'：应为标签，实际为空；"
            "第 7 行，字段 'x'：应为标签，实际是 3 …",
        ),
        (
            "3 records stand there again: first r.csv, line 103 = line 38",
            "3 条样本重复：最早的是 r.csv 第 103 行 = 第 38 行",
        ),
        (
            "the header stands again (2 times, first a (1).csv, line 3 and b.csv, line 9)",
            "表头重复出现（2 次，最早在 a (1).csv 第 3 行和 b.csv 第 9 行）",
        ),
        ("no data; name a file; or a folder", "没有数据；name a file; or a folder"),
        ("the end of the line 3.txt", "the end of the line 3.txt"),
    ],
)
def test_what_fills_a_message_and_places_are_chinese(known, english, expected):
    assert language.chinese(english) == expected


@settings(deadline=None)  # the first one reads the catalogue
@given(st.text(max_size=300))
def test_any_text_can_be_shown(text):
    assert isinstance(language.chinese(text), str)


@given(st.text(string.ascii_letters + " ", min_size=1, max_size=200), st.integers(20, 80))
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    text = text.replace("a", "新叶，")
    lines = language.wrapped(text, width).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        columns = sum(1 + (ord(letter) > 0x2E80) for letter in line)
        assert columns <= width or " " not in line
