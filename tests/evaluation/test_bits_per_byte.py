"""Bits per byte is what the arithmetic says, however the text is cut into batches."""

import math

import numpy as np
import pytest
import torch

from xinye.data.batches import Batch, Windows
from xinye.data.blocks import OneBlock
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.perplexity import evaluate
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

TEXTS = ["芳林新叶催陈叶，", "new leaves push out the old ones", "🙂", "流水前波让后波。" * 9] * 3
TOKENIZER = Tokenizer.train(TEXTS)
DOCUMENTS = [[*TOKENIZER.encode(text), TOKENIZER.eos_id] for text in TEXTS]
ENDS = np.cumsum([len(document) for document in DOCUMENTS])
SPANS = np.stack((np.concatenate(([0], ENDS[:-1])), ENDS), axis=1)
WINDOWS = Windows(OneBlock(np.concatenate(DOCUMENTS), SPANS), 24, TOKENIZER.bos_id, shuffle=False)


def new_model(dropout: float = 0.0) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig("modern", TOKENIZER.vocab_size, 16, 1, 2, 1, 8, 32, 24, dropout=dropout))


def test_a_model_that_knows_nothing_needs_log2_of_the_vocabulary_for_each_token() -> None:
    model = new_model()
    model.lm_head.weight.data.zero_()
    figures = evaluate(model, WINDOWS.in_order(4), TOKENIZER.token_lengths)
    tokens, size = sum(map(len, DOCUMENTS)), sum(len(text.encode()) for text in TEXTS)
    # `<eos>` is a token and has no bytes
    assert (figures["tokens"], figures["bytes"]) == (
        tokens,
        size,
    )
    assert figures["loss"] == pytest.approx(math.log(TOKENIZER.vocab_size), rel=1e-6)
    assert figures["bits_per_byte"] == pytest.approx(
        math.log2(TOKENIZER.vocab_size) * tokens / size, rel=1e-6
    )


def test_the_batch_size_changes_nothing() -> None:
    model = new_model()
    expected, *others = (
        evaluate(model, WINDOWS.in_order(size), TOKENIZER.token_lengths) for size in (1, 3, 100)
    )
    for figures in others:
        assert figures == pytest.approx(expected, rel=1e-6)


def test_a_model_in_training_is_measured_without_dropout_and_goes_on_training() -> None:
    model = new_model(dropout=0.5).train()
    figures = evaluate(model, WINDOWS.in_order(4), TOKENIZER.token_lengths)
    assert model.training
    assert figures == evaluate(model.eval(), WINDOWS.in_order(4), TOKENIZER.token_lengths)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_of_no_text_there_is_nothing_to_tell() -> None:
    batches: list[Batch] = []
    assert evaluate(new_model(), batches, TOKENIZER.token_lengths) == {
        "loss": 0, "bits_per_byte": 0, "tokens": 0, "bytes": 0
    }  # fmt: skip
