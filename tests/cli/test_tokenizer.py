"""`xinye tokenizer train` and `eval` as a person meets them."""

import json
import re
from pathlib import Path

import pytest
import tokenizers

from conftest import contents
from xinye.data.tokenizer import Tokenizer
from xinye.demo.stories import stories


@pytest.mark.parametrize("kind", ["bpe", "char", "bytes"])
def test_trains_a_folder(xinye, workplace, kind):
    outcome = xinye(
        "tokenizer", "train", "zh.txt", "en.txt", "-o", "mine", "--kind", kind, "--json"
    )
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    assert list(result) == [
        "tokenizer",
        "kind",
        "vocab_size",
        "tokens_per_character",
        "bytes_per_token",
    ]
    tokenizer = Tokenizer.load("mine")
    assert (result["kind"], result["vocab_size"]) == (kind, tokenizer.vocab_size)
    assert tokenizer.decode(tokenizer.encode("小兔豆豆 and Pip 🍂")) == "小兔豆豆 and Pip 🍂"
    assert outcome.err.splitlines()[-1].endswith("saved to mine")


def test_the_same_text_gives_the_same_tokenizer(xinye, workplace):
    for name in ("one", "two"):
        assert xinye("tokenizer", "train", "zh.txt", "-o", name, "--vocab-size", "600").code == 0
    assert contents(Path("one")) == contents(Path("two"))


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["missing.txt", "-o", "mine"], "missing.txt: no such file"),
        (["empty.txt", "-o", "mine"], "empty.txt: there is no text"),
        (["zh.txt"], "--output"),
        (["-o", "mine"], "FILES"),
        (["zh.txt", "-o", "mine", "--kind", "bpee"], "'bpee'; choose one of bpe, char, bytes"),
        (["zh.txt", "-o", "mine", "--vocab-size", "big"], "'big' is neither a number nor auto"),
        (["zh.txt", "-o", "mine", "--vocab-size", "10"], "vocabulary of 10 is too small"),
        (
            ["zh.txt", "-o", "mine", "--vocab-size", "99999"],
            "a vocabulary of 99999 is more than this text supports",
        ),
        (["zh.txt", "-o", "mine", "--vocab-sise", "300"], "did you mean '--vocab-size'?"),
        (["zh.txt", "-o", "en.txt"], "en.txt: this exists and is not a folder"),
    ],
)
def test_wrong_use_is_one_line(xinye, workplace, arguments, says):
    (workplace / "empty.txt").touch()
    before = contents(workplace)
    outcome = xinye("tokenizer", "train", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before and not (workplace / "mine").exists()


def test_output_that_cannot_be_written(xinye, workplace):
    outcome = xinye("tokenizer", "train", "zh.txt", "-o", "en.txt/mine")
    assert outcome.code == 1 and "en.txt/mine: cannot write there" in outcome.complaint


def test_a_tokenizer_that_exists_is_kept(xinye, workplace):
    command = ["tokenizer", "train", "en.txt", "-o", "mine", "--kind", "char"]
    assert xinye(*command).code == 0
    before = contents(Path("mine"))
    outcome = xinye(*command[:2], "zh.txt", *command[3:])
    assert (
        outcome.code == 2
        and "--overwrite" in outcome.complaint
        and contents(Path("mine")) == before
    )
    (workplace / "damaged.txt").write_bytes("新叶".encode() * 50 + b"\xff\xfe" + "好".encode() * 50)
    outcome = xinye(*command[:2], "damaged.txt", *command[3:], "--overwrite")
    assert outcome.code == 2 and outcome.complaint and contents(Path("mine")) == before
    assert xinye(*command[:2], "zh.txt", *command[3:], "--overwrite").code == 0
    assert contents(Path("mine")) != before


def test_unknown_verb(xinye):
    outcome = xinye("tokenizer", "trian")
    assert outcome.code == 2 and "did you mean 'train'?" in outcome.complaint
    assert "train  " in xinye("tokenizer").out


# -- eval ------------------------------------------------------------------------------------------


@pytest.fixture
def compared(workplace):
    """A tokenizer of ours, one in GPT-2's two files, one of another make as a file, and both
    texts."""
    Tokenizer.train(stories(200, "zh"), "bpe", 600).save("ours")
    Path("gpt2").mkdir()
    model = json.loads(Tokenizer.train(stories(200, "en"), "bpe", 600).backend.to_str())["model"]
    Path("gpt2/encoder.json").write_text(json.dumps(model["vocab"]), "utf-8")
    Path("gpt2/vocab.bpe").write_text(
        "#version: 0.2\n" + "\n".join(map(" ".join, model["merges"])), "utf-8"
    )
    foreign = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<unk>": 0, "the": 1}, unk_token="<unk>")
    )
    foreign.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    foreign.save("words.json")
    return ["ours", "gpt2", "words.json", "zh.txt", "en.txt"]


def test_tokenizers_side_by_side(xinye, compared):
    outcome = xinye("tokenizer", "eval", *compared, "--json", "--plot", "chart.svg")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    assert list(result) == ["text", "tokenizers", "verdict"] and result["text"]["files"] == 2
    figures = {each.pop("tokenizer"): each for each in result["tokenizers"]}
    ours, gpt2, words = (figures[name] for name in ("ours", "gpt2", "words"))
    assert ours["vocab_size"] == 600 and ours["texts_changed"] == gpt2["texts_changed"] == 0
    assert ours["bytes_per_token_chinese"] > 2 * gpt2["bytes_per_token_chinese"]
    assert gpt2["bytes_per_token_english"] > 2 * ours["bytes_per_token_english"]
    assert gpt2["characters_split"] > 0.2 > 0.05 > ours["characters_split"]
    assert words["characters_unknown"] > 0.8 and words["texts_changed"] == 1
    # not words, which knows next to nothing
    assert result["verdict"].startswith("gpt2 needs the fewest tokens")
    assert "For the Chinese texts, ours is better" in result["verdict"]
    svg = Path("chart.svg").read_text("utf-8")
    assert svg.startswith("<svg") and "gpt2 (600)" in svg and "Chinese" in svg


def test_the_table_fits_a_terminal(xinye, terminal, compared):
    outcome = xinye("tokenizer", "eval", *compared)
    shown = re.sub(
        r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal("tokenizer", "eval", *compared, columns=80).out
    )
    assert outcome.code == 0 and max(map(len, shown.splitlines())) <= 80
    assert (
        "tokens/" in outcome.out
        and "words does not know" in outcome.out
        and "one thread" in outcome.out
    )


def test_one_tokenizer_on_one_language(xinye, compared):
    outcome = xinye(
        "tokenizer", "eval", "ours/tokenizer.json", "zh.txt", "--json", "--plot", "chart.svg"
    )
    result = json.loads(outcome.out.splitlines()[-1])
    (figures,) = result["tokenizers"]
    assert figures["tokenizer"] == "ours" and figures["bytes_per_token_english"] is None
    assert result["verdict"].startswith("A token of ours holds")


def test_a_hub_name_that_is_cached(xinye, compared, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--maker--model" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_bytes(Path("ours/tokenizer.json").read_bytes())
    result = json.loads(xinye("tokenizer", "eval", "maker/model", "zh.txt", "--json").out)
    assert [each["tokenizer"] for each in result["tokenizers"]] == ["model"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["zh.txt"], "name at least one tokenizer"),
        (["ours"], "give the text"),
        ([], "DIR|FILES"),
        (["ours", "missing.txt"], "missing.txt: no such file"),
        (["maker/model", "ours", "zh.txt"], "maker/model: no such file"),
        (["小说", "ours", "zh.txt"], "小说: no such file"),
        (["ours", "empty.txt"], "empty.txt: there is no text"),
        (["damaged", "zh.txt"], "tokenizer.json: not a tokenizer"),
        (["pieces", "zh.txt"], "pieces: there is no tokenizer.json"),
        (["odd", "zh.txt"], "not a byte-level vocabulary"),
        (["ours", "zh.txt", "--plot", "chart.png"], "give it a name that ends in .svg"),
        (["ours", "zh.txt", "--plot", "none/chart.svg"], "the folder none does not exist"),
        (["ours", "zh.txt", "--fild", "text"], "did you mean '--field'?"),
    ],
)
def test_wrong_use_of_eval_is_one_line(xinye, compared, workplace, arguments, says):
    for name in (
        "damaged/tokenizer.json",
        "pieces/tokenizer.model",
        "empty.txt",
        "odd/vocab.json",
        "odd/merges.txt",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text('{"叶": 0}' if name.endswith("vocab.json") else "", "utf-8")
    before = contents(workplace)
    outcome = xinye("tokenizer", "eval", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before
