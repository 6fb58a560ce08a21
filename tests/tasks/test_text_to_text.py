"""The base class of tasks that turn a text into another: windows, candidates and few-shot
examples."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.translation import most_alike
from xinye.planning.writing_settings import TranslateSettings
from xinye.tasks.few_shot import fitting
from xinye.tasks.summarize import Summarize
from xinye.tasks.text_to_text import Window, Work
from xinye.tasks.text_windows import windows
from xinye.tasks.translate import Translate


@given(st.text("一二。！ab.\n "), st.integers(1, 9))
def test_windows_keep_every_character(text, room):
    parts = list(windows(text, lambda some: len(some) <= room))
    assert "".join(before + part for before, part in parts).split() == text.split()
    assert all(len(part) <= room for _, part in parts)


def test_windows_end_behind_sentences_and_are_as_long_as_possible():
    text = "第一句。第二句。\n\n第三句很长。"
    assert list(windows(text, lambda some: len(some) <= 9)) == [
        ("", "第一句。第二句。"),
        ("\n\n", "第三句很长。"),
    ]


@pytest.mark.parametrize("sentence", ["茶", "北京的茶店今天开门了。"])
def test_windows_look_at_a_text_a_few_times_however_long_it_is(sentence):
    def looked_at(length: int) -> int:
        seen = []
        text = sentence * (length // len(sentence))
        assert len([*windows(text, lambda some: seen.append(len(some)) or len(some) <= 100)]) > 9
        return sum(seen)

    assert looked_at(40_000) < 5 * looked_at(10_000)


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [(["a"], 0), (["ab", "xy", "abc"], 0), (["zz", "ab", "ab", "abc"], 1)],
)
def test_the_text_most_like_the_others_is_chosen(texts, chosen):
    assert most_alike(texts) == chosen


def test_the_note_is_about_the_text_that_is_chosen():
    written = [("茶茶茶", "length"), ("我喝茶。", "stop"), ("我喝茶。", "stop")]
    candidates = [SimpleNamespace(text=text, finish_reason=why) for text, why in written]
    work = Work(
        "I drink tea.", TranslateSettings(to="zh"), [Window("I drink tea.", candidates)], 64
    )
    result = Translate().end(None, None, work)
    assert result == {"text": "我喝茶。", "ended": True, "notes": []}


def test_what_ends_an_answer_in_plain_text_is_in_no_example():
    def stop(*targets):
        shown = [Summarize.pair("茶铺###", target, "", "") for target in targets]
        return Summarize().showing(shown, plain=True).stop

    assert stop("茶。", "Tea.") == "\n"
    assert stop("茶。", "Dear Tom,\n\nI drink tea.") == "\n####"


def test_examples_leave_room_for_a_text_and_its_answer():
    text = "从前有一片新叶。"
    tokenizer = Tokenizer.train([text, "Translate into Chinese译成英文：abc"], kind="char")
    records = [Translate.pair(f"{text}{name}", "Abc.", "", "") for name in "abcab" * 9]
    settings = TranslateSettings(to="en")
    room = (256 - Translate().room_for_answer(256, settings)) // 2
    task = Translate().showing(fitting(Translate, tokenizer, records, True, room, settings), True)
    assert task.shown and len(task.encode(tokenizer, "", settings)) <= 64
    assert len(task.begin(tokenizer, text * 4, 256, settings).windows) == 4


def test_each_direction_has_examples_of_its_own():
    tokenizer = Tokenizer.train(
        ["我喝茶。I drink tea. Translate into Chinese译成英文："], kind="char"
    )
    pairs = [("我喝茶。", "I drink tea."), ("I drink tea.", "我喝茶。")] * 20
    records = [Translate.pair(*pair, "", "") for pair in pairs]
    ways = Translate.ways(records, TranslateSettings())
    fit = [
        fitting(Translate, tokenizer, Translate.examples_for(records, way), True, 9999, way)
        for way in ways
    ]
    assert [way.to for way in ways] == ["en", "zh"] and [len(each) for each in fit] == [16, 16]
    asked = Translate().showing([*fit[0], *fit[1]], True).asked_for("我", ways[0])
    assert len(asked) == 33 and all("英文" in each["content"] for each in asked[::2])


def test_spaces_around_a_source_are_not_learned():
    record = Summarize.record({"text": "\n 茶贵了，关门。\n", "summary": "茶贵了"}, "", Notes())
    assert record.messages[0]["content"] == Summarize().prompt("茶贵了，关门。", None)


@pytest.mark.parametrize(
    ("task", "header", "row", "read_as"),
    [
        (
            "summarize",
            "新闻标题,新闻正文",
            "茶价上涨,今天茶价上涨了。",
            "'新闻正文' and '新闻标题'",
        ),
        ("translate", "英文原文,中文译文", "I drink tea.,我喝茶。", "'英文原文' and '中文译文'"),
        ("proofread", "改前,改后", "我和茶。,我喝茶。", "'改前' → '改后'"),
        ("write", "体裁,写作要点,邮件正文", "mail,茶=绿茶,绿茶到了，请来取。", "'写作要点'"),
    ],
)
def test_chinese_headers_are_known_by_their_endings(xinye, workplace, task, header, row, read_as):
    Path("a.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    shown = xinye("data", "check", "a.csv", "--task", task)
    assert shown.code == 0 and read_as in shown.out
