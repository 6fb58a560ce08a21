"""`xinye tokenizer train` as a person meets it."""

import json
from pathlib import Path

import pytest

from conftest import contents
from xinye.data.tokenizer import Tokenizer


@pytest.mark.parametrize("kind", ["bpe", "char", "bytes"])
def test_trains_a_folder(xinye, workplace, kind):
    outcome = xinye("tokenizer", "train", "zh.txt", "en.txt", "-o", "mine", "--kind", kind, "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    assert list(result) == ["tokenizer", "kind", "vocab_size", "tokens_per_character", "bytes_per_token"]
    tokenizer = Tokenizer.load("mine")
    assert (result["kind"], result["vocab_size"]) == (kind, tokenizer.vocab_size)
    assert tokenizer.decode(tokenizer.encode("小兔豆豆 and Pip 🍂")) == "小兔豆豆 and Pip 🍂"
    assert outcome.err.splitlines()[-1].endswith("saved in mine")


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
        (["zh.txt", "-o", "mine", "--vocab-size", "99999"], "a vocabulary of 99999 is more than this text supports"),
        (["zh.txt", "-o", "mine", "--vocab-sise", "300"], "did you mean '--vocab-size'?"),
        (["zh.txt", "-o", "en.txt"], "en.txt: exists and is not a folder"),
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
    assert outcome.code == 2 and "--overwrite" in outcome.complaint and contents(Path("mine")) == before
    (workplace / "damaged.txt").write_bytes("新叶".encode() * 50 + b"\xff\xfe" + "好".encode() * 50)
    outcome = xinye(*command[:2], "damaged.txt", *command[3:], "--overwrite")
    assert outcome.code == 2 and outcome.complaint and contents(Path("mine")) == before
    assert xinye(*command[:2], "zh.txt", *command[3:], "--overwrite").code == 0
    assert contents(Path("mine")) != before


def test_unknown_verb(xinye):
    outcome = xinye("tokenizer", "trian")
    assert outcome.code == 2 and "did you mean 'train'?" in outcome.complaint
    assert "train  " in xinye("tokenizer").out
