"""The task `translate`: which records files have, how they are split, and which parts of a text are
translated."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.planning.writing_settings import TranslateSettings
from xinye.tasks.text_to_text import Window, Work
from xinye.tasks.translate import Translate
from xinye.tasks.translate_exercise import answered, sentence_pairs, shown
from xinye.tasks.translate_exercise import given as asked
from xinye.tasks.translate_records import read_pairs
from xinye.tasks.writing_records import Named

BOTH = [("I drink tea.", "我喝茶。"), ("我喝茶。", "I drink tea.")]
INTO_CHINESE, INTO_ENGLISH = TranslateSettings(to="zh"), TranslateSettings(to="en")


def read(tmp_path, name, text, **columns):
    (tmp_path / name).write_text(text, "utf-8")
    notes = Notes()
    records = Translate.read([str(tmp_path / name)], notes=notes, **columns)
    return records, notes.sentences()


def rows(*found):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)


@pytest.mark.parametrize(
    ("name", "text", "pairs"),
    [
        ("a.jsonl", rows({"en": "I drink tea.", "zh": "我喝茶。"}), BOTH),
        ("a.csv", "中文,英文\n我喝茶。,I drink tea.\n", BOTH),
        ("a.jsonl", rows({"id": "1", "translation": {"en": "I drink tea.", "zh": "我喝茶。"}}), BOTH),
        ("a.jsonl", rows({"source": "我喝茶。", "target": "I drink tea."}), BOTH[1:]),
        ("a.csv", "原文,译文\nI drink tea.,我喝茶。\n", BOTH[:1]),
        # as Tatoeba writes it, with who wrote the sentences
        ("a.tsv", "I drink tea.\t我喝茶。\tCC-BY 2.0 (France) #1 (CM) & #2 (Li)\n", BOTH),
        ("a.txt", "I drink tea.\t我喝茶。\tCC-BY 2.0 (France) #1 (CM) & #2 (Li)\n", BOTH),
        # the texts decide, not the names of the columns
        ("a.jsonl", rows({"en": "我喝茶。", "zh": "I drink tea."}), BOTH[::-1]),
    ],
)  # fmt: skip
def test_rows_are_read_in_each_direction_that_they_show(tmp_path, name, text, pairs):
    records, notes = read(tmp_path, name, text)
    assert [(record.source, record.target) for record in records] == pairs
    assert [record.to for record in records] == [
        "zh" if source.isascii() else "en" for source, _ in pairs
    ]
    assert not notes


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"en": "我喝茶。", "zh": "他喝茶。"}, "both texts are in the same language"),
        ({"source": "Tea.", "target": "Cup."}, "both texts are in the same language"),
        ({"source": "お茶が好きです", "target": "我喝茶。"}, "neither English nor Chinese"),
        ({"en": "1", "zh": "2"}, "no English or Chinese words"),
        ({"en": " ", "zh": "茶"}, "field 'en': expected a text"),
        ({"en": 3, "zh": "茶"}, "field 'en': expected a text"),
        ({"question": "茶", "reply": "tea"}, "expected the fields 'en' and 'zh'"),
    ],
)
def test_a_row_without_an_english_and_a_chinese_text_is_refused(tmp_path, row, problem):
    with pytest.raises(XinyeError, match=f"line 1.*{problem}"):
        read(tmp_path, "a.jsonl", rows(row))


def test_a_pair_of_equal_texts_is_left_out_and_counted(tmp_path):
    same = {"en": "OK", "zh": "OK"}
    records, notes = read(tmp_path, "a.jsonl", rows(same, {"en": "tea", "zh": "茶"}, same))
    assert len(records) == 2
    assert "the source equals the target; the pair is left out (2 times" in notes[0]


NAMES = st.sampled_from(["en", "zh", "source", "译文", "1", "translation"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text("茶ab \n1", max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(VALUES)
def test_any_row_is_read_or_refused_with_its_place(row):
    try:
        found = read_pairs(row, "a.jsonl, line 1", Named(), Notes())
    except XinyeError as error:
        assert str(error).startswith("a.jsonl, line 1")
    else:
        assert all(each.source and each.target for each in found)


def test_named_columns_give_one_direction(tmp_path):
    text = rows({"en": "tea", "zh": "茶", "alt": "茶叶"})
    records, _ = read(tmp_path, "a.jsonl", text, prompt_field="en", answer_field="alt")
    assert [(record.source, record.target) for record in records] == [("tea", "茶叶")]


def test_a_split_separates_no_sentences(tmp_path):
    pairs = [(f"text {'abcdefghij'[i % 10]}", f"文{'一二三四五六七八'[i % 8]}") for i in range(80)]
    pairs += [(f"other {letter}", f"别{letter}") for letter in "klmnopqrst"]
    records, _ = read(tmp_path, "a.jsonl", rows(*({"en": en, "zh": zh} for en, zh in pairs)))
    training, validation = Translate.split(records, 0.2, 0)
    texts = [
        {text for r in part for text in (r.source, r.target)} for part in (training, validation)
    ]
    assert validation and not texts[0] & texts[1]
    assert len(training) + len(validation) == len(records)


def test_findings_tell_of_leaks_duplicates_and_a_missing_direction():
    pairs = [("茶", 1), ("茶", 2), ("茶叶", 3)]
    records = [Translate.pair("tea", zh, f"a.csv, line {line}", "") for zh, line in pairs]
    found = list(Translate.findings(records[:2], records[2:]))
    assert "all records translate in one direction" in found[0]
    assert "1 duplicate record" in found[1]
    assert "the training data contain 1 of 1 validation record" in found[2]


def test_the_prompt_names_the_direction_in_the_language_of_the_text():
    task = Translate()
    assert task.prompt("Tea?", TranslateSettings()) == "Translate into Chinese: Tea?"
    assert task.prompt("茶？", TranslateSettings()) == "译成英文：茶？"


@pytest.mark.parametrize(
    ("text", "settings", "better"),
    [("我喝茶。", INTO_CHINESE, "Chinese already; use --to en"),
     ("I drink tea.", INTO_ENGLISH, "English already; use --to zh")],
)  # fmt: skip
def test_a_text_in_the_language_of_the_translation_is_refused(text, settings, better):
    with pytest.raises(XinyeError, match=better):
        Translate().check_source(text, settings)


def test_a_text_with_one_sentence_to_translate_is_not_refused():
    Translate().check_source("我喝茶。他喝水。 I drink tea.", INTO_CHINESE)


@pytest.mark.parametrize(
    ("source", "target"),
    [("Tom和Mary。", "Tom and Mary."), ("“Tea”的中文是什么？", "What is Chinese for “tea”?"),
     ("What is 红茶 in English? 红茶！", "红茶用英语怎么说？红茶！")],
)  # fmt: skip
def test_a_record_is_translated_whatever_its_source_looks_like(source, target):
    task, tokenizer = Translate(), Tokenizer.train([source, target], kind="char")
    tokenizer = Translate.tokenizer(tokenizer)
    work = task.begin_record(tokenizer, Translate.pair(source, target, "", ""), 512)
    assert work.windows and all(window.candidates for window in work.windows)


def copied(text, settings):
    """What comes back if each sentence is translated by itself."""
    parts = Translate().parts(text, lambda some: len(some) < 30)
    windows = [Window(part, [], before) for before, part in parts]
    return Translate().end(None, None, Work(text, settings, windows, 64))["text"]


@given(st.text("茶ab.。!\n \t3😀@/:", max_size=80))
def test_lines_and_characters_stay(text):
    for settings in (INTO_CHINESE, INTO_ENGLISH):
        found = copied(text, settings)
        assert "".join(found.split()) == "".join(text.split())
        assert found.count("\n") == text.strip().count("\n")


def test_sentences_are_joined_as_their_language_does():
    assert copied("我喝茶。他喝水。\n\n你呢？", INTO_ENGLISH) == "我喝茶。 他喝水。\n\n你呢？"
    assert copied("我喝茶。 他喝水。", INTO_CHINESE) == "我喝茶。他喝水。"


def test_an_address_is_not_cut():
    found = [*Translate().parts("See https://a.org/b?c=1 now. Go!", lambda some: True)]
    assert found == [("", "See https://a.org/b?c=1 now."), (" ", "Go!")]


@pytest.mark.parametrize(
    ("part", "written"),
    [("我喝茶。", True), ("I drink tea.", False), ("https://a.org/tea", False), ("😀 12.5", False),
     ("Tea 是茶 and 水是 water", True), ("お茶が好きです", False)],
)  # fmt: skip
def test_only_sentences_of_the_other_language_are_translated(part, written):
    assert Translate().is_written(part, INTO_ENGLISH) == written


def test_the_exercise_shows_the_sentence_that_the_model_is_given():
    for row in sentence_pairs(20):
        source = asked(row)
        changed, _ = answered(row, {"text": "X"})
        assert shown(row).startswith(source) and shown(changed) == f"{source} → X"
