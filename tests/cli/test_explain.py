"""`xinye explain` as a person meets it."""

import json
from pathlib import Path

import pytest
import torch

from server.tiny_server import SHAPE, TOKENIZER
from xinye.checkpoints.huggingface import save_model
from xinye.cli.explain import coloured
from xinye.jobs.explain import Word
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """An own folder with a `base` and a classifier, `reviews`, with random weights."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    base, head = GPT(SHAPE), Head(HeadConfig(SHAPE, "sequence", ("好", "坏"), several=True))
    for parameter in (*base.parameters(), *head.parameters()):
        torch.nn.init.normal_(parameter, 0, 0.3)
    save_model(tmp_path / "base", base, TOKENIZER)
    save_model(tmp_path / "reviews", head, TOKENIZER)
    return tmp_path


def test_the_strongest_words_are_listed_and_add_up(xinye, models):
    outcome = xinye("explain", "reviews", "从前有一片新叶 hello", "--label", "好")
    assert outcome.code == 0 and "+ speaks for the decision" in outcome.err
    decision, text, *rows = outcome.out.splitlines()
    assert decision.startswith("好  ") and text == "从前有一片新叶 hello"
    rows = [row.split() for row in rows if row]
    assert (
        len(rows) == 8 and rows[5][:3] == ["3", "other", "words"] and rows[7][:2] == ["sum,", "the"]
    )
    scores = [float(row[1]) for row in rows[:5]]
    assert scores == sorted(scores, key=abs, reverse=True)
    assert all(
        ("█" if score > 0 else "░") in row[2] for score, row in zip(scores, rows, strict=False)
    )
    total = sum(
        float(row[column]) for row, column in zip(rows, (1, 1, 1, 1, 1, 3, 4), strict=False)
    )
    assert total == pytest.approx(float(rows[7][3]), abs=0.05)


def test_of_a_mix_the_network_is_explained(xinye, models):
    asked = ("explain", "reviews", "从前有一片新叶", "--label", "好")
    alone = xinye(*asked).out.rstrip().splitlines()
    Path("reviews/calibration.json").write_text('{"weights": {"network": 0.5}}', "utf-8")
    mixed = xinye(*asked).out.rstrip().splitlines()
    assert alone[0] != mixed[0]  # the probability
    assert alone[-1].split()[:-1] == ["sum,", "the", "log-odds"]
    assert mixed[-1].split()[:-1] == ["sum,", "the", "log-odds", "of", "the", "GPT", "alone"]
    assert mixed[-1].split()[-1] == alone[-1].split()[-1]


def test_json_has_every_word(xinye, models):
    Path("texts.txt").write_text("从前\n\n新叶\n", "utf-8")
    outcome = xinye("explain", "reviews", "texts.txt", "--label", "坏", "--json")
    results = json.loads(outcome.out)["results"]
    assert [result["text"] for result in results] == ["从前", "新叶"]
    note = "note: the text is empty, so it is left out (texts.txt, line 2)"
    assert " ".join(outcome.err.split()) == note
    [explanation] = results[1]["explanations"]
    assert [word["text"] for word in explanation["words"]] == ["新", "叶"]
    assert {"decision", "probability", "log_odds", "rest", "left_out", "start"} <= {*explanation}


def test_words_have_colours_and_no_text_drives_the_terminal():
    text = "好\x1b[31m 坏"
    words = [Word("好", 0, 1, 2.0), Word("坏", 7, 8, -0.5)]
    shown = coloured(text, words, 2.0)
    assert shown.plain == "好␛[31m 坏"
    assert [(span.start, span.end, str(span.style)) for span in shown.spans] == [
        (0, 1, "white on green4"),
        (7, 8, "red"),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("base", "从前"), "generates text, and there is no decision to explain. Fine-tune it for"),
        (("reviews", " "), "the text is empty"),
        (("reviews", "从前", "--label", "妤"), "does not know the label '妤', only 好, 坏"),
        (("reviews", "从前", "--pair", "a", "--passage", "b"), "give only one of --pair"),
        (("reviews",), "TEXT"),
    ],
)
def test_one_clear_line(xinye, models, arguments, says):
    outcome = xinye("explain", *arguments)
    assert outcome.code == 2 and says in outcome.complaint


def test_words_of_other_tools_lead_here(xinye):
    assert "did you mean 'explain'" in xinye("解释").complaint
    assert (
        "  explain " in xinye("--help").out.split("fine-tuned model:")[1].split("other commands")[0]
    )
