"""Folders of heads give the same probabilities in transformers' pipelines, and damaged ones are
refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from xinye.checkpoints.families import is_head
from xinye.checkpoints.huggingface import load_weights, save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.heads import Head, HeadConfig
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag

TEXTS = ["沈知秋在云帆银行工作", "很好吃 very good", "嗯"]
TOKENIZER = Tokenizer.train(TEXTS, kind="char")
SHAPE = GPTConfig("modern", TOKENIZER.vocab_size, 32, 2, 4, 2, 8, 48, 64)
SHAPES = {
    "modern": SHAPE,
    "llama": replace(SHAPE, architecture="llama"),
    "gpt2": replace(SHAPE, architecture="gpt2", num_key_value_heads=4, intermediate_size=64),
}


def random_head(
    shape: GPTConfig, kind: str, labels: tuple[str, ...], several: bool = False
) -> Head:
    torch.manual_seed(1)
    model = Head(HeadConfig(shape, kind, labels, several))  # type: ignore[arg-type]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return model


def scores(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["label"]: pytest.approx(each["score"], abs=1e-5) for each in found}


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both"])
@pytest.mark.parametrize("name", SHAPES)
def test_classification_pipeline(tmp_path, name, causal):
    task = Classify(("负", "中", "正"), False)
    save_model(
        tmp_path,
        random_head(replace(SHAPES[name], is_causal=causal), "sequence", task.labels),
        TOKENIZER,
    )
    model = load_weights(tmp_path)
    assert (
        is_head(tmp_path)
        and model.config.labels == task.labels
        and model.config.backbone.is_causal == causal
    )
    ours = task.probabilities(model, TOKENIZER, [(text, "") for text in TEXTS], 64)
    theirs = transformers.pipeline(
        "text-classification", str(tmp_path), top_k=None, device="cpu", batch_size=3
    )
    for row, found in zip(ours, theirs(TEXTS), strict=True):
        assert {each["label"]: pytest.approx(each["score"], abs=1e-5) for each in found} == dict(
            zip(task.labels, row, strict=True)
        )


def test_several_labels_and_pairs_in_the_pipeline(tmp_path):
    task = Classify(("快", "好"), True)
    save_model(tmp_path, random_head(SHAPE, "sequence", task.labels, several=True), TOKENIZER)
    model = load_weights(tmp_path)
    ours = task.probabilities(model, TOKENIZER, [(TEXTS[0], TEXTS[1])], 64)[0]
    theirs = transformers.pipeline("text-classification", str(tmp_path), top_k=None, device="cpu")
    found = theirs({"text": TEXTS[0], "text_pair": TEXTS[1]})
    assert model.config.several
    assert {each["label"]: pytest.approx(each["score"], abs=1e-5) for each in found} == dict(
        zip(task.labels, ours, strict=True)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_tagging_pipeline(tmp_path, name):
    task, tokenizer = Tag(("O", "B-PER", "I-PER")), Tag.tokenizer(TOKENIZER)
    shape = replace(SHAPES[name], is_causal=False)
    save_model(tmp_path, random_head(shape, "token", task.labels), tokenizer)
    tokens = torch.tensor(
        [Tokenizer.load(tmp_path).backend.encode(TEXTS[0], add_special_tokens=True).ids]
    )
    # without <bos>
    ours = (
        load_weights(tmp_path)(tokens, torch.tensor([tokens.shape[1]])).softmax(-1)[0, 1:].max(-1)
    )
    theirs = transformers.pipeline(
        "token-classification", str(tmp_path), ignore_labels=[], device="cpu"
    )(TEXTS[0])
    assert [task.labels[number] for number in ours.indices] == [found["entity"] for found in theirs]
    assert ours.values.tolist() == pytest.approx([found["score"] for found in theirs], abs=1e-5)


def test_damaged_folders_are_refused(tmp_path):
    save_model(tmp_path, random_head(SHAPE, "sequence", ("a", "b")), TOKENIZER)
    path, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    tensors = load_file(path)
    for change, says in [
        ({"score.weight": torch.zeros(3, 32)}, r"score\.weight has shape \[3, 32\], not \[2, 32\]"),
        ({"score.weight": torch.full((2, 32), torch.nan)}, "holds NaN"),
        ({"other.weight": torch.zeros(1)}, "has an unknown tensor other"),
    ]:
        save_file({**tensors, **change}, path)
        with pytest.raises(XinyeError, match=says):
            load_weights(tmp_path)
    save_model(tmp_path, random_head(SHAPE, "sequence", ("a", "b")), TOKENIZER)
    told = json.loads(config.read_text("utf-8"))
    # nothing of that size is built
    config.write_text(json.dumps(told | {"num_hidden_layers": 10**12}), "utf-8")
    with pytest.raises(XinyeError, match="tensors cannot be 1000000000000 layers"):
        load_weights(tmp_path)
    config.write_text(json.dumps(told), "utf-8")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(XinyeError, match="damaged or cut short"):
        load_weights(tmp_path)
    config.write_text(
        json.dumps(json.loads(config.read_text("utf-8")) | {"id2label": {"1": "a"}}), "utf-8"
    )
    with pytest.raises(XinyeError, match="id2label must name the labels"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"id2label": {"0": "LABEL_0"}}, {"problem_type": "regression"}],
    ids=["one output", "regression"],
)
def test_a_head_that_gives_a_number_is_no_classifier(tmp_path, change):
    save_model(tmp_path, random_head(SHAPE, "sequence", ("a", "b")), TOKENIZER)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(XinyeError, match="gives a number"):
        load_weights(tmp_path)
