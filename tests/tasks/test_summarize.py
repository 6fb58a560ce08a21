"""Summaries: records of every form, the choice of a summary, and the verb from training to use."""

import json
import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xinye as package
from xinye import machine
from xinye.data.files import write_json_lines
from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.summaries import NUMBERS, ClausePicker, Unit
from xinye.planning.writing_settings import SummarizeSettings
from xinye.tasks.news import news
from xinye.tasks.summarize import DAMAGED, UNDECIDED, Summarize
from xinye.tasks.summarize_choice import CUT, INVENTED, LONG, Choice, faithful_share, fitted
from xinye.tasks.text_to_text import Window, Work

TEXT = "茶铺八点开门，六点关门。今年的龙井每斤120元，比去年贵。"
OTHER = "天气渐渐凉了，路上慢些走。茶铺明天盘点，关门一天。"
ROWS = {
    "named.jsonl": json.dumps({"正文": TEXT, "标题": "龙井涨价"}),
    "abstract.csv": f"标题,摘要\n龙井涨价,{TEXT}\n",
    "csl.tsv": f"to title\t{TEXT}\t龙井涨价\nto title\t{OTHER}\t茶铺关门\n",
    "finna.json": json.dumps([["龙井涨价", TEXT], ["茶铺关门", OTHER]]),
    "lcsts.json": json.dumps(
        [{"content": TEXT, "title": "龙井涨价", "summary": "茶贵"}, {"seed": 1, "rouge-1": 0.4}]
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_formats(tmp_path, name):
    (tmp_path / name).write_text(ROWS[name], "utf-8")
    notes = Notes()
    first = Summarize.read([str(tmp_path / name)], notes=notes)[0]
    assert (first.source, first.target) == (TEXT, "龙井涨价")
    said = " ".join(notes.sentences())
    assert ("'title' is read as the summary" in said) == (name == "lcsts.json")
    assert ("there is no text in it" in said) == (name == "lcsts.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "", "summary": "茶"}', "a.jsonl, line 1, field 'text': expected a text"),
        ('{"text": "茶", "summary": " "}', "line 1, field 'summary': expected a text"),
        ('{"text": "茶"}', "expected the fields 'text' and 'summary'"),
        ('["茶水", "茶"]\n["茶", "茶水"]', "cannot tell which column holds the texts"),
    ],
)
def test_bad_records_are_named(tmp_path, content, says):
    (tmp_path / "a.jsonl").write_text(content, "utf-8")
    with pytest.raises(XinyeError, match=says):
        Summarize.read([str(tmp_path / "a.jsonl")])


def test_odd_pairs_are_counted(tmp_path):
    pairs = [("茶水", "茶水 "), ("茶", "一壶好茶"), (TEXT, "Dear tea"), (TEXT, "龙井涨价")]
    rows = [{"text": text, "summary": summary} for text, summary in pairs]
    write_json_lines(tmp_path / "a.jsonl", rows)
    notes = Notes()
    assert len(Summarize.read([str(tmp_path / "a.jsonl")], notes=notes)) == 3
    said = [note.split(" (")[0] for note in notes.sentences()]
    assert said == [
        "the summary is the whole text, so the record is left out",
        "the summary is longer than its text",
        "the summary is in another language than its text",
    ]


# -- the choice ------------------------------------------------------------------------------------


def choice(*texts: str, **settings) -> Choice:
    """A choice to which later pieces are likelier, without a model."""
    return Choice(
        TEXT, texts, SummarizeSettings(**settings), Unit(TEXT), lambda pieces: range(len(pieces))
    )


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        (["六点打烊关门", "六点关门了", "龙井"], "六点关门"),
        (["茶铺八点开门到六点", "茶铺八点开到六点关门"], "茶铺八点开门，六点关门"),
        (["雪"], "比去年贵"),  # as likely as nothing that was written
        ([], "比去年贵"),
    ],
)
def test_the_clause_most_like_what_was_written_is_quoted(texts, chosen):
    assert choice(*texts).quoted() == chosen


@pytest.mark.parametrize(
    ("texts", "settings", "chosen"),
    [
        ([], {}, "比去年贵"),
        (["龙井很香"], {}, "比去年贵"),  # less like any clause than the picker is sure
        (["六点关门"], {}, "六点关门"),
        (["六点关门"], {"characters": 3}, "六点关门"),  # no clause is as short
    ],
)
def test_the_picker_and_what_was_written_decide_together(texts, settings, chosen):
    picker = ClausePicker(
        most=5, mean_tokens=4, constant=0.1, numbers=[0] * NUMBERS, phrases={"贵": 0.5}
    )
    found = choice(*texts, **settings)
    found.picker = picker  # expects 0.14 more of 比去年贵, by one of its phrases
    assert found.quoted() == chosen


def test_free_takes_what_the_candidates_agree_on():
    assert choice("关门", "龙井每斤贵了", "龙井今年贵了", "龙井贵了").free() == "龙井贵了"


@pytest.mark.parametrize(
    ("texts", "settings", "chosen", "note"),
    [
        (["龙井130元", "龙井130元", "龙井120元"], {}, "龙井120元", []),
        (["龙井130元"], {}, "今年的龙井每斤120元", [INVENTED]),
        (["iPhone涨价"], {}, "比去年贵", [INVENTED]),
        (["龙井贵了，六点关门"], {"characters": 5}, "龙井贵了", []),
        (["龙井比去年贵了"], {"characters": 5}, "比去年贵", [LONG]),
        (["龙井比去年贵了", "茶贵了"], {"characters": 5}, "茶贵了", []),
    ],
)
def test_faithful_and_short(texts, settings, chosen, note):
    found = choice(*texts, faithful=True, **settings)
    assert (found.free(), found.notes, found.kept is None) == (chosen, note, bool(note))


def written(*texts: str) -> list[SimpleNamespace]:
    """Texts of a model; those without a full stop do not end by themselves."""
    return [
        SimpleNamespace(text=text, finish_reason="stop" if text.endswith("。") else "length")
        for text in texts
    ]


@pytest.mark.parametrize(
    ("texts", "settings", "ended", "quoted"),
    [
        (["龙井贵", "龙井贵了。", "龙井贵了。"], {}, True, False),
        (["龙井贵", "龙井贵", "龙井贵了。"], {}, False, False),
        (["iPhone比去年贵"], {"faithful": True}, True, True),
        (["龙井比去年贵了很多", "龙井贵了，六点关门。"], {"characters": 5}, True, False),
    ],
)
def test_whether_it_ended_is_about_the_text_that_is_kept(texts, settings, ended, quoted):
    asked = SummarizeSettings(free=True, **settings)
    work = Work(TEXT, asked, [Window(TEXT, written(*texts))], 64)
    result = Summarize().end(None, None, work)
    assert (result["ended"], result["extract"]) == (ended, quoted), result


def test_summaries_of_parts_that_are_too_long_are_summarized_in_the_unit_of_the_text():
    tokenizer = Tokenizer.train(
        [TEXT, "Tea from the hills。Summarize this text:写出下文的摘要："], kind="char"
    )
    part = Window(TEXT, written("Tea from the hills。"))
    work = Work(TEXT * 2, SummarizeSettings(free=True, characters=20), [part, part], 256)
    left = Summarize().end(None, tokenizer, work)
    assert isinstance(left, Work) and left.source == "Tea from the hills。\nTea from the hills。"
    left.windows[0].candidates = written("Tea from the hills of the west。")
    assert len(Summarize().end(None, tokenizer, left)["text"]) <= 20  # characters, not words


def test_what_has_no_short_clause_is_cut_and_told():
    notes: list[str] = []
    assert fitted("龙井贵了，六点关门", 6, Unit(TEXT), notes) == "龙井贵了" and not notes
    assert fitted("龙井贵了", 2, Unit(TEXT), notes) == "龙井" and notes == [CUT]
    assert fitted("Tea costs more", 2, Unit("Tea costs"), notes) == "Tea costs"


@given(st.text("茶水，。ab 1", max_size=30), st.integers(1, 9), st.sampled_from([TEXT, "Tea"]))
def test_what_is_fitted_is_never_longer(text, most, source):
    unit = Unit(source)
    assert unit.size(fitted(text, most, unit, [])) <= most


def test_faithful_share_counts_numbers_and_names():
    assert faithful_share([("龙井130元，Bob说", TEXT), ("龙井120元", TEXT)]) == pytest.approx(3 / 5)
    assert faithful_share([("茶贵", TEXT)]) == 1.0


# -- from training to use --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    """A run on news, and a file of other news."""
    folder = tmp_path_factory.mktemp("summaries")
    rows = news(16, "zh")
    write_json_lines(folder / "news.jsonl", rows[:12])
    write_json_lines(folder / "test.jsonl", rows[12:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        shape = {"layers": 1, "width": 64, "context": 96, "tokenizer": "char"}
        tiny = {"dtype": "float32", "compile": "no", "evaluations": 1}
        data = str(folder / "news.jsonl")
        package.pretrain(data, folder / "base", field="text", steps=2, **shape, **tiny)
        settings = {"task": "summarize", "data": data, "epochs": 1, "dtype": "float32"}
        package.finetune(str(folder / "base"), folder / "run", **settings)
    return folder


def test_the_better_kind_is_the_default(run, xinye):
    result = json.loads((run / "run" / "training" / "result.json").read_text("utf-8"))
    assert result["baseline"]["name"] == "clause picker"
    assert result["other_baselines"][0]["name"] == "first sentence"
    measured = result["measured"]
    quotes = measured["extract_rougeL"] > measured["free_rougeL"]
    model = package.load(run / "run")
    text = news(16, "zh")[-1]["text"]
    assert model.task.quotes == quotes
    assert model.summarize(text)["extract"] == quotes
    quoted = model.summarize(text, extract=True)["text"].split("\n")
    assert all(clause in text for clause in quoted)
    for most in (4, 9):
        assert len(model.summarize(text, characters=most)["text"]) <= most
    judged = xinye("evaluate", run / "run", "--data", run / "test.jsonl", "--json")
    assert {"rougeL", "copied", "faithful", "ended"} <= json.loads(judged.out)["measured"].keys()


def test_quoting_uses_what_the_run_learned_about_clauses(run, tmp_path):
    text = news(16, "zh")[-1]["text"]
    learned = package.load(run / "run").task.picker
    assert learned.phrases and all(map(str.strip, learned.phrases))
    copy = tmp_path / "run"
    shutil.copytree(run / "run", copy)
    about = copy / "training" / "settings.json"
    saved = json.loads(about.read_text("utf-8"))
    assert saved["data"]["picker"]["phrases"] == learned.phrases
    for picker in ({"most": "x"}, None):
        about.write_text(json.dumps(saved | {"data": {"picker": picker}}), "utf-8")
        model = package.load(copy)
        assert model.task.picker is None
        found = model.summarize(text, extract=True)
        assert all(line in text for line in found["text"].split("\n"))
        assert (DAMAGED in found["notes"]) == bool(picker)


def test_figures_that_cannot_be_read_are_told(run, tmp_path):
    shutil.copytree(run / "run", tmp_path / "run")
    (tmp_path / "run" / "training" / "result.json").write_text("{", "utf-8")
    model = package.load(tmp_path / "run")
    assert UNDECIDED in model.summarize(TEXT)["notes"]
    assert UNDECIDED not in model.summarize(TEXT, free=True)["notes"]


def test_the_command_reads_a_file_as_one_text(run, xinye, tmp_path):
    lines = [row["text"] for row in news(6, "zh", seed=1)]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    found = xinye("summarize", run / "run", tmp_path / "a.txt", "--extract", "--json")
    [result] = json.loads(found.out)["results"]
    assert "parts" in result["notes"][0]
    assert all(line in "".join(lines) for line in result["summarize"].split("\n"))
    (tmp_path / "a.csv").write_text(f"id,text\n1,{lines[0]}\n2,\n", "utf-8")
    found = xinye("summarize", run / "run", tmp_path / "a.csv", "--extract", "--json")
    assert [row["text"] for row in json.loads(found.out)["results"]] == [lines[0]]
    assert "the text is empty, so it is left out" in found.err
    assert xinye("summarize", run / "run", " ").code == 2
    both = xinye("summarize", run / "run", "茶", "--extract", "--free")
    assert "exclude each other" in both.complaint
    assert "characters" in xinye("summarize", run / "run", "茶", "--characters", "0").complaint
