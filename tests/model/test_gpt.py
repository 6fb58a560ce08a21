"""The network computes what plain PyTorch would: packed or alone, in blocks or whole, and only from
the past."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from random_models import random_model
from xinye.data.batches import IGNORED
from xinye.errors import XinyeError
from xinye.model.cache import KeyValueCache
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.kernels import BLOCK, attention, rms_norm

V, CONTEXT = 50, 300
SHAPES = {
    "modern": GPTConfig("modern", V, 24, 2, 4, 2, 6, 40, CONTEXT),
    "llama": GPTConfig("llama", V, 24, 2, 4, 1, 6, 40, CONTEXT, tie_word_embeddings=False),
    "gpt2": GPTConfig("gpt2", V, 24, 2, 4, 4, 6, 96, CONTEXT),
}


def gradients_of(model: GPT, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def relative_error(one: Tensor, other: Tensor) -> float:
    return float(((one - other).abs().max() / other.abs().max()).detach())


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize(
    "lengths", [(5, 9, 1, 3), (BLOCK - 20, 50, BLOCK)], ids=["one block", "over block borders"]
)
def test_packed_documents_are_as_if_each_were_alone(
    architecture: str, lengths: tuple[int, ...]
) -> None:
    model = random_model(SHAPES[architecture])
    room = sum(lengths) + 6  # the rest is padding
    tokens, positions = (
        torch.zeros(2, room, dtype=torch.long),
        torch.zeros(2, room, dtype=torch.long),
    )
    targets, documents = torch.full((2, room), IGNORED), torch.full((2, room), -1)
    alone = torch.zeros(())
    for row, order in enumerate((lengths, lengths[::-1])):
        at = 0
        for number, length in enumerate(order):
            part = slice(at, at + length)
            text = torch.randint(0, V, (1, length + 1))
            tokens[row, part], targets[row, part] = text[0, :-1], text[0, 1:]
            positions[row, part], documents[row, part] = torch.arange(length), number
            alone = alone + model.loss(text[:, :-1], text[:, 1:])
            at += length
    packed = model.loss(tokens, targets, positions, documents)
    assert relative_error(packed, alone) <= 1e-5
    wanted = gradients_of(model, alone)
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    for one, other in zip(gradients_of(model, packed), wanted, strict=True):
        # A key's bias moves all scores of a query alike: its true gradient is zero, and what comes
        # out is rounding.
        assert (one - other).abs().max() <= 1e-4 * max(float(other.abs().max()), 1e-3 * largest)


@pytest.mark.parametrize("architecture", SHAPES)
def test_no_token_sees_a_later_one(architecture: str) -> None:
    model = random_model(SHAPES[architecture])
    tokens = torch.randint(0, V, (1, BLOCK + 20))
    changed = tokens.clone()
    changed[0, BLOCK + 3 :] = (changed[0, BLOCK + 3 :] + 1) % V
    before, after = model(tokens), model(changed)  # with gradients: the training path
    assert torch.allclose(before[:, : BLOCK + 3], after[:, : BLOCK + 3], atol=1e-4)
    assert not torch.allclose(before[:, BLOCK + 3], after[:, BLOCK + 3], atol=1e-2)


@pytest.mark.parametrize("length", [1, 5, BLOCK, BLOCK + 1, 2 * BLOCK + 44])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_blocks_is_attention(length: int, masked: bool) -> None:
    torch.manual_seed(length)
    inputs = [torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3)]
    mask = None
    if masked:  # three documents in each row, cut elsewhere in each
        documents = torch.randint(0, 3, (2, length)).sort().values
        mask = (documents[:, :, None] == documents[:, None, :]).tril()[:, None]
    ours = attention(*inputs, mask)
    theirs = F.scaled_dot_product_attention(*inputs, attn_mask=mask, is_causal=mask is None)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weights = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), inputs),
        torch.autograd.grad((theirs * weights).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_rms_norm_is_that_of_pytorch(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 7, 48)
    x[0, 0] = 0  # of a padded row, say
    x, weight = x.to(dtype).requires_grad_(), torch.randn(48, requires_grad=True)
    reference, reference_weight = (
        x.detach().float().requires_grad_(),
        weight.detach().clone().requires_grad_(),
    )
    ours, theirs = rms_norm(x, weight, 1e-6), F.rms_norm(reference, (48,), reference_weight, 1e-6)
    assert ours.dtype == dtype
    assert relative_error(ours.float(), theirs) <= tolerance
    direction = torch.randn_like(theirs).to(dtype)
    direction[0, 0] = 0  # there the slope is 1/√eps, which drowns all others
    one = torch.autograd.grad(ours, (x, weight), direction)
    other = torch.autograd.grad(theirs, (reference, reference_weight), direction.float())
    assert relative_error(one[0].float(), other[0]) <= tolerance
    assert relative_error(one[1], other[1]) <= tolerance


@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
def test_flops_are_those_that_pytorch_counts(architecture: str) -> None:
    keys = 2 if architecture == "modern" else 4
    context = 8 * BLOCK
    config = GPTConfig(architecture, 300, 128, 2, 4, keys, 32, 256, context)  # type: ignore[arg-type]
    model, tokens = GPT(config), torch.randint(0, 300, (1, context))
    with FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens).backward()
    # Attention is counted as half of full attention; in blocks, each block's own half of the future
    # is computed too.
    assert 1.0 <= counter.get_total_flops() / (context * config.flops_per_token(context)) < 1.06


def test_the_cache_takes_the_memory_that_the_config_says() -> None:
    config = SHAPES["modern"]
    cache = KeyValueCache(config, 3, 10, torch.bfloat16, torch.device("cpu"))
    assert cache.tensors.nbytes == 3 * 10 * config.cache_bytes_per_token(2)


@pytest.mark.parametrize("architecture", SHAPES)
def test_the_same_seed_gives_the_same_weights_and_layers_begin_as_the_identity(
    architecture: str,
) -> None:
    first, again, other = (GPT(SHAPES[architecture]) for _ in range(3))
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        model.initialize(seed)
    tokens = torch.randint(0, V, (1, 9))
    assert torch.equal(first(tokens), again(tokens))
    assert not torch.equal(first(tokens), other(tokens))
    assert torch.equal(first.hidden(tokens), first.model.norm(embedded(first, tokens)))


def embedded(model: GPT, tokens: Tensor) -> Tensor:
    x = model.model.embed_tokens(tokens)
    return x if model.config.rotary else x + model.model.embed_positions.weight[: tokens.shape[1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be at least 1"),
        ({"vocab_size": -5}, "vocab_size is -5; it must be at least 1"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 key-value heads"),
        ({"head_dim": 5}, "head_dim is 5; rotary positions need an even number"),
        (
            {"architecture": "gpt2"},
            "gpt2 needs hidden_size = heads × head_dim and as many key-value heads as heads",
        ),
        (
            {"architecture": "gpt2", "num_key_value_heads": 4, "head_dim": 7},
            "gpt2 needs hidden_size = heads",
        ),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(XinyeError, match=message):
        GPTConfig(**(vars(SHAPES["modern"]) | changes))


@pytest.mark.parametrize("architecture", SHAPES)
def test_layers_computed_again_keep_only_their_inputs(architecture: str) -> None:
    model, kept = random_model(replace(SHAPES[architecture], dropout=0.2)).train(), [0, 0]
    tokens = torch.randint(V, (2, 40))
    gradients = []
    for again in (False, True):

        def keep(tensor: Tensor, again: bool = again) -> Tensor:
            kept[again] += tensor.numel()
            return tensor

        model.activation_checkpointing = again
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model.loss(tokens, tokens.roll(-1))
        gradients.append(gradients_of(model, loss))
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    assert kept[True] < kept[False] / 2
