"""Sliding windows score each token once, as a model that reads everything anew for each token
would."""

import math

import numpy as np
import pytest
import torch

from xinye.data.batches import Windows
from xinye.data.blocks import OneBlock
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation import perplexity as module
from xinye.evaluation.perplexity import (
    by_position,
    evaluate,
    perplexity,
    same_targets,
    sliding_windows,
    windows_of_context,
)
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

CONTEXT = 16
TEXTS = [
    "芳林新叶催陈叶，流水前波让后波。" * 2,
    "new leaves push out the old ones, " * 3,
    "🙂",
    "新",
    "a" * 11,
]
TOKENIZER = Tokenizer.train(TEXTS, kind="char")
DOCUMENTS = [[*TOKENIZER.encode(text), TOKENIZER.eos_id] for text in TEXTS]
# a text need not begin where its corpus does
TOKENS = np.concatenate([[7, 7, 7], *DOCUMENTS]).astype(np.uint16)
ENDS = 3 + np.cumsum([len(document) for document in DOCUMENTS])
SPANS = np.stack((np.concatenate(([3], ENDS[:-1])), ENDS), axis=1)


def new_model(architecture: str = "modern") -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(architecture, TOKENIZER.vocab_size, 16, 2, 2, 2, 8, 32, CONTEXT))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


@torch.no_grad()
def nats_one_by_one(model: GPT, context: int, stride: int) -> float:
    """Each token by a forward pass of its own, over what its window holds before it."""
    nats = 0.0
    for document in DOCUMENTS:
        for place, token in enumerate(document):
            windows_before = max(0, -(-(place + 1 - context) // stride))
            read = [TOKENIZER.bos_id, *document[windows_before * stride : place]]
            assert len(read) <= context
            nats -= float(model(torch.tensor([read]))[0, -1].log_softmax(-1)[token])
    return nats


@pytest.mark.parametrize("stride", [1, 5, 8, CONTEXT])
@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
def test_windows_are_the_naive_computation(architecture: str, stride: int) -> None:
    model = new_model(architecture)
    figures = perplexity(model, TOKENIZER, TOKENS, sliding_windows(SPANS, CONTEXT, stride))
    tokens, size = sum(map(len, DOCUMENTS)), sum(len(text.encode()) for text in TEXTS)
    characters = sum(map(len, TEXTS))
    nats = nats_one_by_one(model, CONTEXT, stride)
    assert (figures["tokens"], figures["bytes"], figures["characters"]) == (
        tokens,
        size,
        characters,
    )
    assert figures["loss"] == pytest.approx(nats / tokens, rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert figures["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert figures["bits_per_character"] == pytest.approx(nats / math.log(2) / characters, rel=1e-5)


def test_a_stride_of_the_context_cuts_as_training_does() -> None:
    model = new_model()
    packed = Windows(OneBlock(TOKENS, SPANS), CONTEXT, TOKENIZER.bos_id, shuffle=False)
    expected = evaluate(model, packed.in_order(3), TOKENIZER.token_lengths)
    figures = perplexity(model, TOKENIZER, TOKENS, sliding_windows(SPANS, CONTEXT, CONTEXT))
    assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_documents_add_up_and_the_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_model()
    whole = perplexity(model, TOKENIZER, TOKENS, sliding_windows(SPANS, CONTEXT, 4))
    monkeypatch.setattr(module, "LOGITS", 1)
    seen: list[int] = []
    alone = [
        perplexity(
            model, TOKENIZER, TOKENS, sliding_windows(SPANS[i : i + 1], CONTEXT, 4), seen.append
        )
        for i in range(len(SPANS))
    ]
    for name in ("tokens", "bytes", "characters"):
        assert whole[name] == sum(figures[name] for figures in alone)
    nats = sum(figures["loss"] * figures["tokens"] for figures in alone)
    assert whole["loss"] * whole["tokens"] == pytest.approx(nats, rel=1e-5)
    assert len(DOCUMENTS[0]) in seen


def test_without_bos_nothing_predicts_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    model, document = new_model(), DOCUMENTS[0][:CONTEXT]
    windows = np.array([[0, 0, len(document)]])
    monkeypatch.setattr(TOKENIZER, "prefix", ())
    figures = perplexity(model, TOKENIZER, np.array(document), windows)
    with torch.no_grad():
        logits = model(torch.tensor([document[:-1]]))[0]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(document[1:]))
    assert figures["tokens"] == len(document) - 1
    assert figures["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_the_same_tokens_are_scored_in_every_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TARGETS", 40)
    runs = same_targets(SPANS, CONTEXT)
    targets = np.concatenate([np.arange(start, end) for start, end in runs])
    assert 30 <= len(targets) <= 40
    starts = SPANS[np.searchsorted(SPANS[:, 1], targets, side="right"), 0]
    assert (targets - starts >= CONTEXT).all()
    for context in (1, 8, 12, CONTEXT):
        windows = windows_of_context(runs, context)
        scored = np.concatenate([np.arange(start, end) for _, start, end in windows])
        assert (np.sort(scored) == targets).all()
        assert (windows[:, 2] - windows[:, 0] == context).all()
        assert (windows[:, 2] - windows[:, 1] <= max(1, context // 8)).all()


def test_by_position_tells_how_far_back_a_model_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TARGETS", 64)
    model = new_model()
    rows = by_position(model, TOKENIZER, TOKENS, SPANS, CONTEXT)
    assert [row["context"] for row in rows] == [8, 16]
    assert rows[0]["tokens"] == rows[1]["tokens"] and rows[0]["bytes"] == rows[1]["bytes"]
    assert rows[0]["loss"] != rows[1]["loss"]
    for layer in model.model.layers:
        # now only the last token counts, and not what stood before it
        layer.self_attn.o_proj.weight.data.zero_()
    blind = by_position(model, TOKENIZER, TOKENS, SPANS, CONTEXT)
    assert blind[0]["loss"] == pytest.approx(blind[1]["loss"], rel=1e-5)


def test_short_documents_tell_nothing_about_long_contexts() -> None:
    assert by_position(new_model(), TOKENIZER, TOKENS, SPANS[2:], CONTEXT) == []
