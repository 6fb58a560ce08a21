"""`xinye evaluate` as a person meets it."""

import gzip
import json
import lzma
import math
import shutil
from pathlib import Path

import pytest


def result(outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out.splitlines()[-1])


@pytest.fixture(scope="module")
def text(tmp_path_factory, story_text) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("text")
    paths = {language: folder / f"{language}.txt" for language in story_text}
    for language, path in paths.items():
        path.write_text(story_text[language][:3000].rstrip(), "utf-8")
    return paths


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_text_beside_its_baselines(xinye, trained, text, language):
    found = result(xinye("evaluate", trained, text[language], "--json"))
    assert list(found) == [
        "model", "text", "loss", "perplexity", "bits_per_byte", "bits_per_character", "tokens", "bytes", "context",
        "stride", "baselines", "by_position", "rope_scaling", "notes",
    ]  # fmt: skip
    raw = text[language].read_bytes()
    characters = len(raw.decode())
    assert (found["bytes"], found["text"]["characters"]) == (len(raw), characters)
    assert (found["context"], found["stride"], found["text"]["documents"]) == (32, 16, 1)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["bits_per_byte"] == pytest.approx(
        found["loss"] * found["tokens"] / math.log(2) / len(raw)
    )
    assert found["bits_per_character"] == pytest.approx(
        found["bits_per_byte"] * len(raw) / characters
    )
    baselines = found["baselines"]
    assert baselines["gzip"]["bits_per_byte"] == 8 * len(gzip.compress(raw, 9)) / len(raw)
    xz = 8 * len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)) / len(raw)
    assert baselines["xz"]["bits_per_byte"] == xz
    assert baselines["xz_after_training_text"]["bits_per_byte"] < xz
    assert 1 < baselines["five_gram"]["perplexity"] < 1e6
    assert (found["by_position"], found["rope_scaling"], found["notes"]) == ([], [], [])


def test_without_files_it_is_the_text_held_back(xinye, trained):
    found = result(xinye("evaluate", trained, "--json"))
    assert found["text"]["source"] == "validation" and found["notes"] == []
    plan = json.loads((trained / "training" / "plan.json").read_text())["values"]
    assert found["tokens"] == plan["validation_tokens"]
    assert found["baselines"]["five_gram"]["training_tokens"] == plan["training_tokens"]


def test_the_table_ranks_the_model_among_its_baselines(xinye, trained):
    outcome = xinye("evaluate", trained, "--by-position", "--rope-scaling", "yarn:2")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    names = ("gzip -9", "xz -9e ", "xz -9e after", "5-gram, Kneser-Ney", str(trained)[:30])
    rows = [next(line for line in lines[2:] if line.startswith(name)) for name in names]
    found = [
        float(row.split()[-3 if row.startswith(("5-gram", str(trained)[:30])) else -2])
        for row in rows
    ]
    places = [lines.index(row) for row in rows]
    assert [place for _, place in sorted(zip(found, places, strict=True))] == sorted(places)
    assert (
        "the model would reduce this text to" in outcome.out
        and "than a 5-gram model" in outcome.out
    )
    assert "extending the context from 16 to 32 tokens gains" in outcome.out
    assert "RoPE scaling  context 32  context 64" in outcome.out


def test_by_position_and_beyond_with_a_chart(xinye, trained, tmp_path):
    chart = tmp_path / "chart.svg"
    arguments = [
        "--by-position",
        "--plot",
        chart,
        "--rope-scaling",
        "linear:2",
        "--rope-scaling",
        "all",
        "--json",
    ]
    found = result(xinye("evaluate", trained, *arguments))
    assert [row["context"] for row in found["by_position"]] == [8, 16, 32]
    assert len({row["tokens"] for row in found["by_position"]}) == 1
    names = [(row["rope_type"], row["factor"], row["context"]) for row in found["rope_scaling"]]
    kinds = [("none", 1), ("linear", 2), ("linear", 4), ("dynamic", 4), ("yarn", 4)]
    assert names == [(kind, factor, context) for kind, factor in kinds for context in (32, 64, 128)]
    losses = {name: row["loss"] for name, row in zip(names, found["rope_scaling"], strict=True)}
    assert losses["dynamic", 4, 32] == pytest.approx(losses["none", 1, 32], rel=1e-5)
    assert losses["yarn", 4, 128] != losses["none", 1, 128]
    assert chart.read_text("utf-8").startswith("<svg")


def test_another_context_and_stride(xinye, trained, text):
    shorter = result(
        xinye("evaluate", trained, text["zh"], "--context", 8, "--stride", 3, "--json")
    )
    assert (shorter["context"], shorter["stride"]) == (8, 3)
    assert shorter["loss"] != result(xinye("evaluate", trained, text["zh"], "--json"))["loss"]


def test_documents_apart(xinye, trained, text):
    found = result(
        xinye("evaluate", trained, text["zh"], "--document-separator", r"\n\n", "--json")
    )
    assert found["text"]["documents"] == len(set(text["zh"].read_text("utf-8").split("\n\n")))


def test_a_file_it_was_trained_on_is_told_of(xinye, trained, tmp_path):
    copy = shutil.copy(trained.parent / "zh.txt", tmp_path / "又一个.txt")
    assert result(xinye("evaluate", trained, copy, "--json"))["notes"] == [
        f"{copy}: this file was in the training text, which makes the model look better than it is"
    ]


def test_where_the_training_text_is_gone_the_rest_is_measured(xinye, trained, text, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    settings = run / "training" / "settings.json"
    settings.write_text(settings.read_text("utf-8").replace("zh.txt", "gone.txt"), "utf-8")
    found = result(xinye("evaluate", run, text["zh"], "--json"))
    assert (
        found["baselines"]["five_gram"] is None
        and found["baselines"]["xz_after_training_text"] is None
    )
    assert found["baselines"]["gzip"] and "gone.txt: no such file" in found["notes"][0]
    outcome = xinye("evaluate", run)
    assert outcome.code == 2 and "give a text to evaluate it on" in outcome.complaint


def test_a_model_from_elsewhere_takes_its_training_text(xinye, trained, text, tmp_path):
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    shutil.rmtree(model / "training")
    found = result(xinye("evaluate", model, text["zh"], "--json"))
    assert found["baselines"]["five_gram"] is None and "--training-text" in found["notes"][1]
    found = result(xinye("evaluate", model, text["zh"], "--training-text", text["en"], "--json"))
    assert found["baselines"]["five_gram"]["training_tokens"] > 1000 and found["notes"] == []


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "MODEL"),
        (["missing"], "missing: there is no such folder"),
        (["RUN", "missing.txt"], "missing.txt: no such file"),
        (["RUN", "--stride", "33"], "stride 33 is longer than the context, 32"),
        (["RUN", "--stride", "0"], "stride"),
        (["RUN", "--context", "many"], "context"),
        (["RUN", "--rope-scaling", "yarn"], "'yarn' is not one of linear:2, dynamic:2, yarn:4"),
        (["RUN", "--rope-scaling", "yarn:0.5"], "factor is 0.5; it must be at least 1"),
        (
            ["RUN", "--training-text", "zh.txt"],
            "with --training-text, it is not known which part was held out from training",
        ),
        (["RUN", "--plot", "chart.svg"], "--by-position"),
        (["RUN", "--by-positon"], "did you mean '--by-position'?"),
    ],
)
def test_wrong_use_is_one_line(xinye, trained, workplace, arguments, says):
    outcome = xinye(
        "evaluate", *(trained if argument == "RUN" else argument for argument in arguments)
    )
    assert outcome.code == 2 and says in outcome.complaint


def test_learned_positions_end_with_the_context(xinye, workplace):
    tiny = [
        "--size",
        "1M",
        "--layers",
        1,
        "--width",
        64,
        "--context",
        32,
        "--batch-size",
        4,
        "--steps",
        1,
    ]
    options = [
        "--architecture",
        "gpt2",
        "--tokenizer",
        "bytes",
        "--compile",
        "no",
        "--evaluations",
        1,
    ]
    assert xinye("pretrain", "zh.txt", "-o", "run", *tiny, *options).code == 0
    assert xinye("evaluate", "run", "--context", 32).code == 0
    beyond = xinye("evaluate", "run", "--context", 33)
    assert beyond.code == 2 and "learned positions for only 32 tokens" in beyond.complaint
    scaled = xinye("evaluate", "run", "--rope-scaling", "linear:2")
    assert scaled.code == 2 and "gpt2 has learned positions" in scaled.complaint
