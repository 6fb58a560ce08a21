"""All ways to compute attention give the same. The kernel of a GPU is not here; a plain function
with its arguments stands for it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.model.test_gpt import SHAPES, V, gradients_of, relative_error
from torch import Tensor
from torch.nn.attention import varlen

from random_models import random_model
from xinye.data.batches import IGNORED, Batch, Windows, piece_borders
from xinye.data.blocks import OneBlock
from xinye.model import gpt, kernels
from xinye.model.gpt import GPT
from xinye.model.kernels import Pieces

LENGTHS = (5, 130, 1, 3), (40, 2, 90), (150,)  # of the documents in each row


def piece_by_piece(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    query_borders: Tensor,
    key_borders: Tensor,
    longest_query: int,
    longest_key: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    """`varlen_attn`: tokens (N, H, D), one document after another."""
    assert query_borders is key_borders and query_borders.dtype == torch.int32
    assert window_size == (-1, 0)
    assert int(query_borders[0]) == 0 and int(query_borders[-1]) == len(queries)
    parts = []
    for start, end in query_borders.unfold(0, 2, 1).tolist():
        assert 0 <= end - start <= longest_query == longest_key
        piece = (each[start:end].transpose(0, 1)[None] for each in (queries, keys, values))
        if start < end:
            y = F.scaled_dot_product_attention(*piece, is_causal=True, enable_gqa=enable_gqa)
            parts.append(y[0].transpose(0, 1))
    return torch.cat(parts)


def packed_batch() -> Batch:
    room = 152
    documents = torch.full((len(LENGTHS), room), -1)
    positions = torch.zeros(len(LENGTHS), room, dtype=torch.long)
    for row, lengths in enumerate(LENGTHS):
        at = 0
        for number, length in enumerate(lengths):
            documents[row, at : at + length] = number
            positions[row, at : at + length] = torch.arange(length)
            at += length
    tokens = torch.randint(V, documents.shape)
    targets = torch.where(documents < 0, IGNORED, torch.randint(V, documents.shape))
    return Batch(tokens, targets, positions, documents, piece_borders(documents))


def loss_of(model: GPT, batch: Batch) -> Tensor:
    parts = batch.positions, batch.documents, 0.0, batch.borders
    return model.loss(batch.tokens, batch.targets, *parts)


def test_borders_are_those_of_the_documents_and_of_the_padding() -> None:
    documents = torch.tensor([[0, 0, 1, -1], [0, 0, 0, 0], [0, 1, 2, 2]])
    assert piece_borders(documents).tolist() == [0, 2, 3, 4, 8, 9, 10, 12, 12]
    assert piece_borders(documents[1:2]).tolist() == [0, 4]
    spans = torch.tensor([[0, 40], [40, 47], [47, 90]]).numpy()
    windows = Windows(OneBlock(torch.arange(90).numpy(), spans), 50, 0)
    batch = windows.batch(0, 2)
    assert batch.documents is not None and batch.borders is None
    borders = piece_borders(batch.documents)
    assert len(borders) - 1 == 4 and borders.dtype == torch.int32


@pytest.mark.parametrize("again", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_attention_in_pieces_is_attention_with_the_mask(
    architecture: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(SHAPES[architecture])
    model.activation_checkpointing = again
    torch.manual_seed(2)
    batch = packed_batch()
    masked = loss_of(model, batch)
    wanted = gradients_of(model, masked)
    monkeypatch.setattr(varlen, "varlen_attn", piece_by_piece)
    monkeypatch.setattr(gpt, "takes_pieces", lambda *kernel: True)
    in_pieces = model.apart(batch.documents, batch.borders)
    assert isinstance(in_pieces, Pieces) and in_pieces.longest == batch.tokens.shape[1]
    real = batch.targets != IGNORED
    logits = model(batch.tokens, batch.positions, in_pieces)[real]
    mask = gpt.document_mask(batch.documents)
    assert relative_error(logits, model(batch.tokens, batch.positions, mask)[real]) <= 1e-5
    loss = loss_of(model, batch)
    assert relative_error(loss, masked) <= 1e-5
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    for one, other in zip(gradients_of(model, loss), wanted, strict=True):
        assert (one - other).abs().max() <= 1e-4 * max(float(other.abs().max()), 1e-3 * largest)


def test_the_mask_stays_where_the_kernel_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes(kind: str, dtype: torch.dtype, head_dim: int, major: int = 8) -> bool:
        properties: Any = type("Properties", (), {"major": major})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        return kernels.takes_pieces(torch.device(kind), dtype, head_dim)

    assert takes("cuda", torch.bfloat16, 64) and takes("cuda", torch.float16, 128, 9)
    assert not takes("cuda", torch.float32, 64) and not takes("cpu", torch.bfloat16, 64)
    assert not takes("cuda", torch.bfloat16, 20) and not takes("cuda", torch.bfloat16, 64, 7)
    monkeypatch.setattr(gpt, "takes_pieces", lambda *kernel: True)
    model, batch = random_model(SHAPES["llama"]), packed_batch()
    model.prefix_length = 3
    assert isinstance(model.apart(batch.documents, batch.borders), Tensor)
    assert model.apart(None, None) is None


def test_pytorch_s_kernel_takes_these_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tensors that have shapes, but no memory."""
    monkeypatch.setattr(gpt, "takes_pieces", lambda *kernel: True)
    batch, config = packed_batch(), replace(SHAPES["modern"], head_dim=8)
    model = GPT(config).to("meta")
    model.compute_dtype = torch.bfloat16
    loss = loss_of(model, batch.to("meta"))
    shapes = [weight.shape for weight in model.parameters()]
    assert [each.shape for each in gradients_of(model, loss)] == shapes


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("tokens", [1, 40])
def test_a_group_of_heads_shares_its_keys_and_values(tokens: int, trained: bool) -> None:
    torch.manual_seed(0)
    queries, keys, values = (torch.randn(2, heads, 40, 8) for heads in (6, 2, 2))
    queries = queries[:, :, -tokens:]
    repeated = (each.repeat_interleave(3, dim=1) for each in (keys, values))
    wanted = F.scaled_dot_product_attention(queries, *repeated, is_causal=tokens > 1)
    with torch.set_grad_enabled(trained):
        assert torch.allclose(kernels.attention(queries, keys, values, None), wanted, atol=1e-6)


@pytest.mark.parametrize("onednn", [False, True])
def test_bf16_products_are_computed_in_fp32_where_a_processor_has_no_bf16_units(
    onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "WITHOUT_BF16_UNITS", True)
    monkeypatch.setattr(kernels, "ONEDNN", onednn and torch.backends.mkldnn.is_available())
    torch.manual_seed(3)
    inputs = [torch.randn(size).bfloat16() for size in ((2, 5, 24), (1030, 24), (1030,))]
    narrow = [each.clone().requires_grad_() for each in inputs]
    wide = [each.float().requires_grad_() for each in inputs]
    ours, exact = kernels.linear(*narrow), F.linear(*wide)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), exact, rtol=2**-8, atol=1e-5)
    direction = torch.randn_like(ours)
    gradients = torch.autograd.grad(ours, narrow, direction)
    expected = torch.autograd.grad(exact, wide, direction.float())
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=2**-7, atol=1e-2)
