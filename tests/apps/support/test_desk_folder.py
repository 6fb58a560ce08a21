"""The folder of a desk: what it holds, and what is wrong with one that is damaged."""

import os
import shutil

import pytest

from xinye.apps.models_file import Role, model_hash
from xinye.apps.support import desk_folder
from xinye.apps.support.desk_folder import (
    Calibrations,
    Contents,
    DeskFolder,
    Template,
    TestQuestion,
    beside,
)
from xinye.apps.support.desk_settings import DeskSettings
from xinye.apps.support.faq import Entry
from xinye.apps.support.matching import FAQMatcher
from xinye.errors import XinyeError

ENTRY = Entry("怎么退货？", "七天内“申请”\n即可。", ("想退货",), "退货", "客服.csv", 3)


@pytest.fixture
def desk(tmp_path):
    with beside(tmp_path / "desk", False) as folder:
        run = folder / "models" / "intents"
        run.mkdir(parents=True)
        (run / "config.json").write_text("{}", "utf-8")
        Contents(
            DeskSettings(company='新叶 "New Leaf" \\', forbidden=("处方",)),
            {"intents": Role(path="models/intents", sha256=model_hash(run))},
            [ENTRY],
            [Template(intent="thanks", text="不客气。", language="zh")],
            [TestQuestion(question="退？", answerable=False)],
            [],
            [],
            Calibrations(),
            FAQMatcher(),
            {"files": 1},
        ).write(folder)
    return tmp_path / "desk"


def test_what_was_written_is_read(desk):
    found = DeskFolder.read(desk)
    assert found.entries == [ENTRY] and found.settings.company == '新叶 "New Leaf" \\'
    assert (
        found.settings.forbidden == ("处方",) and found.models["intents"].path == "models/intents"
    )
    assert found.templates[0].text == "不客气。" and found.test[0].question == "退？"
    assert found.matcher.match("想退货").confidence == 1.0 and found.knowledge is None


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("desk.toml", "misses = 2", "mises = 2", "unknown key 'mises'; did you mean 'misses'"),
        ("desk.toml", "misses = 2", "misses = 0", "misses: 0 is too small; use at least 1"),
        ("desk.toml", "misses = 2", "misses = ", "a value is missing behind ="),
        ("desk.toml", 'kind = "xinye desk"', 'kind = "menu"', "not the settings of a desk"),
        ("desk.toml", "version = 1", "version = 2", "version 2, and this Xinye reads version 1"),
        ("models.toml", "[intents]", "[intent]", "unknown role 'intent'.* did you mean 'intents'"),
        ("models.toml", "models/intents", "models/others", "'intents' is missing"),
        ("faq.jsonl", '"answer"', '"anwser"', r"damaged file \(line 1: answer"),
        ("faq.jsonl", "{", "", "line 1: not valid JSON"),
        ("templates.jsonl", "不客气。", "", "line 1: text"),
        ("calibration.json", "xinye desk calibration", "other", "not the calibration of a desk"),
        ("desk.toml", 'languages = ["zh", "en"]', "languages = []", "languages: "),
        ("matching.json", "null", '{"a": 1}', "damaged file \\(calibration"),
    ],
)
def test_a_damaged_file_is_named(desk, name, old, new, problem):
    edit(desk / name, old, new)
    with pytest.raises(XinyeError, match=problem) as error:
        _ = DeskFolder.read(desk).matcher
    assert str(desk / name) in str(error.value) and "--overwrite" not in str(error.value)


def test_a_model_that_changed(desk):
    (desk / "models" / "intents" / "config.json").write_text("{ }", "utf-8")
    with pytest.raises(XinyeError, match="the role 'intents' has changed"):
        DeskFolder.read(desk)


def test_a_folder_that_is_no_desk(tmp_path):
    with pytest.raises(
        XinyeError, match="made by another command; make one: xinye support prepare"
    ):
        DeskFolder.read(tmp_path)
    with (
        pytest.raises(XinyeError, match="exists and was not made by xinye support prepare"),
        beside(tmp_path, True),
    ):
        pass


def test_a_desk_is_replaced_as_a_whole_or_not_at_all(desk):
    with (
        pytest.raises(XinyeError, match="all that was edited in it, with --overwrite"),
        beside(desk, False),
    ):
        pass
    with pytest.raises(ZeroDivisionError), beside(desk, True) as new:
        new.joinpath("desk.toml").write_text("", "utf-8")
        _ = 1 / 0
    assert DeskFolder.read(desk).entries == [ENTRY]
    assert [path.name for path in desk.parent.iterdir()] == ["desk"]
    with beside(desk, True) as new:
        (new / "desk.toml").write_text("", "utf-8")
    assert [path.name for path in desk.iterdir()] == ["desk.toml"]


def test_what_a_killed_command_left_is_no_desk_and_is_deleted(desk, monkeypatch):
    """Killed while it wrote its files, one after the other; an hour later the next one comes."""
    monkeypatch.setattr(shutil, "rmtree", lambda path: None)  # a killed process tidies nothing up
    monkeypatch.setattr(desk_folder, "write_json", kill)
    with pytest.raises(KeyboardInterrupt), beside(desk, True) as new:
        read = DeskFolder.read(desk)
        Contents(
            read.settings, {}, [ENTRY], [], [], [], [], read.calibrations, read.matcher, {}
        ).write(new)
    monkeypatch.undo()
    assert (new / "faq.jsonl").exists() and not (new / "desk.toml").exists()
    with pytest.raises(XinyeError, match="this folder was made by another command"):
        DeskFolder.read(new)
    for old in (False, True):
        if old:
            for path in (new, *new.rglob("*")):
                os.utime(path, (0, 0))
        with beside(desk, True) as other:
            shutil.copytree(desk, other, dirs_exist_ok=True)
        assert new.exists() != old
    assert DeskFolder.read(desk).entries == [ENTRY]


def kill(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["desk.2026-11-27-152247", ".desk.0123abcd"])
def test_a_desk_that_lost_its_name_is_found(desk, name):
    """Killed after the old desk was moved aside, and before the new one had its place."""
    aside = desk.rename(desk.with_name(name))
    shutil.copytree(aside, desk.with_name("mydesk.v2"))  # a newer one, of another name
    with pytest.raises(XinyeError, match=f"but there is {aside}") as error:
        DeskFolder.read(desk)
    assert "prepare" not in str(error.value)


def test_files_of_others_are_not_deleted(desk):
    (desk / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(XinyeError, match="other files in this folder"), beside(desk, True):
        pass


@pytest.mark.parametrize(
    ("company", "bot", "chinese", "english"),
    [
        ("青禾", "小禾", "青禾的智能客服小禾", "小禾, the automatic assistant of 青禾"),
        ("Fern", "Ivy", "Fern 的智能客服 Ivy", "Ivy, the automatic assistant of Fern"),
        ("", "", "智能客服", "an automatic assistant"),
    ],
)
def test_the_bot_says_whose_it_is(company, bot, chinese, english):
    settings = DeskSettings(company=company, bot=bot)
    assert (settings.bot_is("zh"), settings.bot_is("en")) == (chinese, english)


def test_a_template_names_the_bot(desk):
    edit(desk / "templates.jsonl", "不客气。", "{bot}很高兴帮到您。")
    found = DeskFolder.read(desk)
    bot = '新叶 "New Leaf" \\ 的智能客服'
    assert found.said("thanks", "zh") == (1, f"{bot}很高兴帮到您。")
    assert found.said("greeting", "zh") == (None, f"您好！我是{bot}，请问有什么可以帮您？")
