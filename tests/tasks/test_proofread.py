"""Proofreading: records in every format, errors by rule, tokens and labels, and use."""

import json
from pathlib import Path
from random import Random

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.api import load
from xinye.cli.main import main
from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.edits import units_of
from xinye.evaluation.proofreading import edits_between
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import IGNORED
from xinye.runs.saved import SavedRun
from xinye.tasks.proofread import Proofread
from xinye.tasks.proofread_confusions import Alike, Confusions, same_sound
from xinye.tasks.proofread_errors import ErrorMaker
from xinye.tasks.proofread_exercise import proofs
from xinye.tasks.proofread_records import ProofText
from xinye.tasks.proofread_tokens import FreshErrors

pytest.importorskip("pypinyin")

ZH = ("对不气，最近我很忙。", "对不起，最近我很忙。")
EN = ("I want two go too the park.", "I want to go to the park.")
DATA = Path(__file__).parents[3] / "shared/data/sighan15_zh"


def read(path: Path, content: str, notes: Notes | None = None, **columns) -> list[ProofText]:
    path.write_text(content, "utf-8")
    return Proofread.read([str(path)], notes=notes, **columns)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.tsv", "\t".join(ZH) + "\n" + "\t".join(EN) + "\n"),
        ("a.csv", f'wrong,right\n"{ZH[0]}","{ZH[1]}"\n"{EN[0]}","{EN[1]}"\n'),
        ("a.jsonl", "".join(json.dumps({"原文": w, "正确": r}) + "\n" for w, r in (ZH, EN))),
        (
            "a.json",
            json.dumps(
                [
                    {"id": "1", "original_text": w, "wrong_ids": [2], "correct_text": r}
                    for w, r in (ZH, EN)
                ]
            ),
        ),
    ],
)
def test_pairs(tmp_path, name, content):
    notes = Notes()
    found = read(tmp_path / name, content, notes)
    assert [(each.wrong, each.right, each.made) for each in found] == [(*ZH, False), (*EN, False)]
    assert notes.sentences() == []


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_right_texts_get_errors_that_depend_on_the_text_alone(tmp_path, name):
    texts = [f"今天是{number}号，我们去公园玩，天气很好。" for number in range(40)]
    lines = [json.dumps({"正文": text}) if name.endswith("jsonl") else text for text in texts]
    found = read(tmp_path / name, "\n".join(lines))
    assert [each.right for each in found] == texts and all(each.made for each in found)
    assert found == read(tmp_path / name, "\n".join(lines))
    assert 8 < sum(each.wrong == each.right for each in found) < 32


def test_bad_pairs_are_named(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(XinyeError, match=r"a.csv, line 3, field 'wrong': the text is empty"):
        read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n,{ZH[1]}\n")
    with pytest.raises(XinyeError, match="there is a right text in 'right', but no wrong one"):
        read(path, "right,other\n我们,他们\n")
    with pytest.raises(XinyeError, match="equal in all records"):
        Proofread.of(read(path, f"wrong,right\n{ZH[1]},{ZH[1]}\n"))
    notes = Notes()
    kept = read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n一二三四五,甲乙丙丁戊己\n", notes)
    assert len(kept) == 1 and "more than half of the text is different" in notes.sentences()[0]
    confusions = tmp_path / "same.txt"
    confusions.write_text("太阳\t大阳\n", "utf-8")
    with pytest.raises(XinyeError, match="same.txt, line 1: expected a character"):
        read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n", confusions=(str(confusions),))


def test_confusions_are_read_in_both_directions(tmp_path):
    path = tmp_path / "same.txt"
    path.write_text("#汉字\t同音\n太\t大犬\n末\t未\n", "utf-8")
    table = Confusions([path])
    assert table.of("太") == ("大", "犬") and table.of("未") == ("末",) and table.of("x") == ()


def test_the_same_sound():
    assert "在" in same_sound("再") and "四" in same_sound("是") and "再" not in same_sound("再")
    assert Alike(["在", "你", "their", "there", "cat"]).of("再") == ("在",)
    assert Alike(["receive", "there", "cat"]).of("recieve") == ("receive",)


@given(st.text(), st.integers(1, 4))
@settings(max_examples=50)
def test_errors_are_at_most_as_many_as_asked(text, count):
    wrong = ErrorMaker().spoiled(text, count, Random(0))
    assert len(edits_between(wrong, text)) <= 2 * count or len(units_of(text)) > 200


TOKENIZER = Proofread.tokenizer(
    Tokenizer.train(["".join(ZH + EN) * 9], kind="char", exact=False)
)


def labelled(wrong: str, right: str) -> list[str]:
    record = ProofText(wrong, right, "a.csv, line 2")
    task = Proofread.of([record])
    [example] = task.examples(TOKENIZER, [record], 64)
    return [task.labels[target] for target in example.targets if target != IGNORED]


def test_labels_stand_one_token_before():
    assert labelled("我门去", "我们去") == ["keep", "=们", "keep", "keep"]
    assert labelled("我我们", "我们") == ["keep", "delete", "keep", "keep"]
    assert labelled("我去", "我们去") == ["keep", "insert", "keep"]
    assert labelled("我们", "我们去") == ["keep", "keep", "insert"]
    assert labelled(*EN) == [*"keep keep =to keep =to keep keep keep keep".split()]


def test_each_epoch_draws_other_errors():
    records = [ProofText(text, text, "a.txt", made=True) for text in (ZH[1] * 3, "我们去公园玩。")]
    task = Proofread.of(records)
    fresh = FreshErrors(task.drawing(TOKENIZER, 64), records, seed=0)
    drawn = [fresh.augmented(sample, 0).tokens for sample in range(4)]
    assert drawn == [fresh.augmented(sample, 0).tokens for sample in range(4)]
    assert len({tuple(tokens) for tokens in drawn}) > 1


@pytest.fixture(scope="module")
def proofreader(tmp_path_factory) -> Path:
    """A model whose last layer was set by hand to correct 气 to 起 and to delete a second 我."""
    torch.manual_seed(0)
    shape = GPTConfig(
        vocab_size=TOKENIZER.vocab_size, hidden_size=32, intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=64, is_causal=False,
    )  # fmt: skip
    base = GPT(shape)
    base.initialize(0)
    records = [ProofText(*ZH, "a.csv, line 2"), ProofText("我我们去", "我们去", "a.csv, line 3")]
    task = Proofread.of(records)
    model = task.network(shape, base)
    task.begin_head(model, base, TOKENIZER)
    examples = FreshErrors(task.drawing(TOKENIZER, 64), records, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    model.train()
    for step in range(60):
        [batch] = examples.micro_batches(step * 8, 8, 8)
        optimizer.zero_grad()
        (model.loss(batch) / batch.counted).backward()
        optimizer.step()
    clean = [ProofText(right, right, "a.csv, line 4") for _, right in (ZH, EN)]
    task.validate(model, TOKENIZER, [*records, *clean], 64, None)
    folder = tmp_path_factory.mktemp("proofreader")
    saved(model, folder)
    return folder
