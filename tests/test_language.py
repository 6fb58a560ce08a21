"""Messages in Chinese: looked up with what fills their gaps, and none without its translation."""

import re
import string
from collections import Counter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from hypothesis import given, settings
from hypothesis import strategies as st

import messages
from xinye import language
from xinye.cli.output import answer, print_table, verbatim


def catalogue():
    with messages.CATALOGUE.open("rb") as file:
        return {entry.id: entry.string for entry in read_po(file, locale="zh") if entry.id}


def test_every_message_of_the_code_has_its_chinese_and_nothing_else_does():
    there, wanted = catalogue(), {message for _, message in messages.messages()}
    assert {*there} == wanted, "python tests/messages.py brings the catalogue up to date"
    missing = [english for english, said in there.items() if not any(said)]
    assert not missing


def pairs():
    """Each message and its Chinese."""
    for english, said in catalogue().items():
        for form in english if isinstance(english, tuple) else (english,):
            yield form, said if isinstance(said, str) else said[0]


GAP = re.compile(r"\{(\w*)\}")
KINDS = {"count": "3", "plural": "3 records", "duration": "3 s", "gigabytes": "3.0 GB"}
IN_CHINESE = {"3 records": "3 条样本", "3 s": "3 秒"}


def test_chinese_has_the_gaps_of_its_english():
    for english, said in pairs():
        assert Counter(GAP.findall(said)) == Counter(GAP.findall(english)), english


def test_chinese_is_chinese():
    for english, said in pairs():
        words = re.findall("[a-z]{2,}", GAP.sub("", said))
        assert re.search("[\u3400-\u9fff]", said) or len(words) < 5, english


@pytest.mark.parametrize("filling", ["runs/x", "'好评'", "3"])
def test_each_message_is_found_with_its_gaps_filled(filling):
    for english, said in pairs():
        filled = GAP.sub(lambda gap: KINDS.get(gap[1], filling), english).strip()
        expected = GAP.sub(lambda gap: KINDS.get(gap[1], filling), said).strip()
        for text, chinese in IN_CHINESE.items():
            expected = expected.replace(text, chinese)
        if " " in filled and filled != english.strip():
            found = language._in_lines(filled)
            assert found.replace(" ", "") == expected.replace(" ", ""), english


@pytest.fixture
def chinese_screen(monkeypatch):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")


def forget():
    for each in (language._messages, language._matched, language._from_parts):
        each.cache_clear()


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "XINYE_LANGUAGE": "en"}, "en"),
        ({"LC_ALL": "C", "XINYE_LANGUAGE": "zh"}, "zh"),
        ({"LC_ALL": "C"}, "en"),
        ({"LC_ALL": "de_DE"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "XINYE_LANGUAGE": "fr"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en_US:en"}, "en"),
        ({"LANG": "C", "LANGUAGE": "zh_CN"}, "en"),
    ],
)
def test_the_language_is_what_the_variable_or_else_the_locale_says(
    monkeypatch, variables, expected
):
    for name in ("XINYE_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
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
    forget()
    monkeypatch.setattr(language, "_messages", lambda: ({"add a column": "请加一列"}, known))
    assert language.chinese(english) == chinese
    language._matched.cache_clear()
    language._from_parts.cache_clear()


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
        "standard input": "标准输入",
        "no data; {advice}": "没有数据；{advice}",
        "{count} copy": "{count} 篇重复",
        "there is no text": "没有文本",
        "{path}: it is damaged": "{path}：已损坏",
    }.items():
        catalog.add(english, said)
    path = tmp_path / "xinye.po"
    with path.open("wb") as file:
        write_po(file, catalog)
    monkeypatch.setattr(language, "CATALOGUE", path)
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    "english, expected",
    [
        ("a.csv, line 3, line 9", "a.csv 第 3、9 行"),
        ("评分.xlsx, row 6 and 拼接.csv, line 6", "评分.xlsx 第 6 行和拼接.csv 第 6 行"),
        ("a.csv, line 1,006 and b.csv, line 6", "a.csv 第 1,006 行和 b.csv 第 6 行"),
        ("a.csv, line 3, b.json, record 9", "a.csv 第 3 行、b.json 第 9 条"),
        ("v.csv, line 2 = r.csv, line 7", "v.csv 第 2 行 = r.csv 第 7 行"),
        ("a.json, line 1, 'one', 'two'", "a.json 第 1 行 'one'、'two'"),
        ("t.xlsx, row 3, field '标签'", "t.xlsx 第 3 行，字段 '标签'"),
        ("line 6, field '标签'", "第 6 行，字段 '标签'"),
        (
            "a.jsonl, line 1, field 'messages', message 2, field 'content': expected a label, found 3",
            "a.jsonl 第 1 行，字段 'messages'，第 2 条消息，字段 'content'：应为标签，实际是 3",
        ),
        ("a.jsonl, line 1, message 12", "a.jsonl 第 1 行，第 12 条消息"),
        (
            "a.jsonl, line 1, field 'history', turn 3",
            "a.jsonl 第 1 行，字段 'history'，第 3 轮对话",
        ),
        ("a.json, record 1, question 2, field 'a b'", "a.json 第 1 条，第 2 个问题，字段 'a b'"),
        ("standard input, line 3", "标准输入 第 3 行"),
        ("salt and pepper, line 2.txt, line 3", "salt and pepper, line 2.txt 第 3 行"),
        ("t.xlsx, column AB", "t.xlsx AB 列"),
        (
            "4 bad records are left out: line 6, field '标签': expected a label, found nothing; "
            "line 7, field 'x': expected a label, found 3 …",
            "略去了 4 条无效样本：第 6 行，字段 '标签'：应为标签，实际为空；"
            "第 7 行，字段 'x'：应为标签，实际是 3 …",
        ),
        (
            "line 6, field '标签': expected a label, found nothing (r.csv)",
            "第 6 行，字段 '标签'：应为标签，实际为空（r.csv）",
        ),
        (
            "3 records stand there again: first r.csv, line 103 = line 38",
            "3 条样本重复：最早的是 r.csv 第 103 行 = 第 38 行",
        ),
        (
            "the header stands again (2 times, first a (1).csv, line 3 and b.csv, line 9)",
            "表头重复出现（2 次，最早在 a (1).csv 第 3 行和 b.csv 第 9 行）",
        ),
        ("1,884 copy, 2 of that", "1,884 篇重复、2 of that"),
        ("b.zip: there is no text: it is damaged", "b.zip：没有文本：已损坏"),
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


@pytest.mark.parametrize("text", ["; a b", ": a b", "a b: ", "A: hi B: well. ", "a: b; c (d e) "])
def test_the_work_for_a_text_is_linear(chinese_screen, monkeypatch, text):
    looked_up = []
    find = language.Message.gaps
    monkeypatch.setattr(
        language.Message, "gaps", lambda self, text: (looked_up.append(1), find(self, text))[1]
    )
    counts = []
    for times in (20, 40):
        forget()
        language.shown("it says: " + text * times)
        counts.append(len(looked_up))
        looked_up.clear()
    assert counts[1] < 3 * counts[0]


LABELS = ["less than 50K", "2 days", "a label", "found his heir", "memory", "note: buy milk"]


def test_what_is_not_ours_is_printed_as_it_is(chinese_screen, capsys):
    for label in LABELS:
        answer.print(verbatim(label))
    print_table(("", *map(verbatim, LABELS)), [[*map(verbatim, LABELS), "x"]])
    printed = capsys.readouterr().out
    assert [printed.count(label) for label in LABELS] == [3] * len(LABELS)


def test_without_its_catalogue_the_screen_is_english(chinese_screen, monkeypatch, tmp_path):
    forget()
    monkeypatch.setattr(language, "CATALOGUE", tmp_path / "gone.po")
    assert language.shown("there is no such folder") == "there is no such folder"
    forget()
