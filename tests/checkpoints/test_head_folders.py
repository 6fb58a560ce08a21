"""Folders of heads give the same probabilities in transformers' pipelines, and damaged ones are
refused."""

import json
from dataclasses import replace
from pathlib import Path
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
from xinye.model.heads import EVERY_ANSWER, POINTERS, Head, HeadConfig, Labelled
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
    with pytest.raises(XinyeError, match="tensors are too few for 1000000000000 layers"):
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
    with pytest.raises(XinyeError, match="predicts a number"):
        load_weights(tmp_path)


# -- as transformers and training scripts write them -----------------------------------------------


def stock(folder: Path, kind: str, **more: Any) -> Any:
    """A folder that transformers wrote, and its model."""
    config = transformers.LlamaConfig(
        vocab_size=TOKENIZER.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, pad_token_id=TOKENIZER.pad_id,
        bos_token_id=TOKENIZER.bos_id, eos_token_id=TOKENIZER.eos_id, **more,
    )  # fmt: skip
    torch.manual_seed(2)
    model = getattr(transformers, f"AutoModelFor{kind}").from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    model.save_pretrained(folder, max_shard_size="20KB")
    TOKENIZER.save(folder)
    return model


def same_logits(folder: Path, model: Any) -> bool:
    tokens = torch.randint(5, TOKENIZER.vocab_size, (2, 9))
    ours = load_weights(folder)
    arguments = (tokens, torch.tensor([9, 9])) if isinstance(ours, Head) else (tokens,)
    expected = model(input_ids=tokens).logits
    return float((ours(*arguments) - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize(
    "kind, verb", [("SequenceClassification", "classify"), ("TokenClassification", "tag")]
)
def test_shards_without_names_of_labels_and_with_buffers(xinye, tmp_path, kind, verb):
    model = stock(tmp_path, kind, num_labels=2)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    index = tmp_path / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    buffers |= {"model.embeddings.position_ids": torch.arange(9)[None]}
    save_file(buffers, tmp_path / "more.safetensors")
    told["weight_map"] |= dict.fromkeys(buffers, "more.safetensors")
    index.write_text(json.dumps(told))
    assert same_logits(tmp_path, model)
    assert load_weights(tmp_path).config.labels == ("LABEL_0", "LABEL_1")
    outcome = xinye(verb, tmp_path, "很好吃", "--json")
    assert outcome.code == 0, outcome.err
    index.unlink()
    assert "model-00001-of-00005.safetensors needs it" in xinye(verb, tmp_path, "很好吃").complaint


@pytest.mark.parametrize("kind", ["CausalLM", "SequenceClassification"])
@pytest.mark.parametrize(
    "names",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"model.{name}",
        lambda name: name.replace("layers.1.", "layers.1._orig_mod."),
    ],
    ids=["compiled", "in several processes", "in a module", "compiled layers"],
)
def test_what_training_puts_before_the_names_is_taken_away(tmp_path, kind, names):
    model = stock(tmp_path, kind)
    tensors = {names(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    for path in tmp_path.glob("model*"):
        path.unlink()
    save_file(tensors, tmp_path / "model.safetensors")
    assert same_logits(tmp_path, model)
    strange = {f"student.{name}": tensor for name, tensor in model.state_dict().items()}
    save_file(strange, tmp_path / "model.safetensors")
    with pytest.raises(
        XinyeError, match=r"found tensor student\.model\.embed_tokens.* save only the"
    ):
        load_weights(tmp_path)
    twice = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(
        twice | {f"_orig_mod.{name}": t + 1 for name, t in twice.items()},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(XinyeError, match="the same tensor under two names"):
        load_weights(tmp_path)


@pytest.mark.parametrize("threshold", [-1.5, EVERY_ANSWER, None])
def test_the_threshold_of_a_reader_is_saved_and_others_load_the_folder(tmp_path, threshold):
    model = random_head(SHAPE, "span", POINTERS)
    model.config = replace(model.config, threshold=threshold)
    save_model(tmp_path, model, TOKENIZER)
    assert load_weights(tmp_path).config.threshold == threshold
    transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"answer_threshold": "high"}))
    with pytest.raises(XinyeError, match="answer_threshold must be a number or null, not 'high'"):
        load_weights(tmp_path)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both"])
@pytest.mark.parametrize("name", SHAPES)
def test_spans_have_the_logits_loss_and_gradients_of_transformers(tmp_path, name, causal):
    model = random_head(replace(SHAPES[name], is_causal=causal), "span", POINTERS)
    save_model(tmp_path, model, TOKENIZER)
    stock = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval()
    model = load_weights(tmp_path).eval()
    tokens, lengths = torch.randint(0, TOKENIZER.vocab_size, (2, 12)), torch.tensor([12, 12])
    targets = torch.tensor([[2, 5], [0, 0]])
    theirs = stock(tokens, start_positions=targets[:, 0], end_positions=targets[:, 1])
    expected = torch.stack([theirs.start_logits, theirs.end_logits], -1)
    assert torch.allclose(model(tokens, lengths), expected, atol=1e-5)
    loss = model.loss(Labelled(tokens, lengths, targets)) / targets.numel()
    assert torch.allclose(loss, theirs.loss, atol=1e-6)
    loss.backward()
    theirs.loss.backward()
    grads = [each.grad for each in (model.score.weight, stock.qa_outputs.weight)]
    assert torch.allclose(*grads, atol=1e-5) and grads[0].abs().max() > 0
