"""The recurrent network: documents in one window are as if alone, and both ways of computing are
one."""

import pytest
import torch

from xinye.errors import XinyeError
from xinye.model.config import LSTMConfig
from xinye.model.lstm import LSTM

CONFIG = LSTMConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, max_position_embeddings=16)


@pytest.fixture
def model() -> LSTM:
    model = LSTM(CONFIG)
    model.initialize(0)
    return model


def test_the_config_counts_its_weights(model: LSTM) -> None:
    untied = LSTMConfig(50, 24, 3, 16, tie_word_embeddings=False)
    assert CONFIG.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert untied.parameters == sum(parameter.numel() for parameter in LSTM(untied).parameters())


def test_the_fused_kernel_and_the_loop_agree(model: LSTM) -> None:
    tokens = torch.randint(0, 50, (3, 16))
    positions = torch.arange(16).expand(3, 16)
    gradients = []
    for where in (None, positions):
        model.zero_grad()
        model.loss(tokens, tokens.roll(-1, 1), where).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for fused, looped in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, looped, rtol=1e-4, atol=1e-5)


def test_documents_packed_into_a_window_are_as_if_alone(model: LSTM) -> None:
    tokens = torch.randint(0, 50, (1, 16))
    lengths = [5, 1, 10]
    packed = model(tokens, torch.cat([torch.arange(length) for length in lengths])[None])
    alone = [model(part) for part in tokens.split(lengths, dim=1)]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1))


def test_with_a_cache_tokens_can_come_one_by_one(model: LSTM) -> None:
    tokens = torch.randint(0, 50, (2, 16))
    cache = model.new_cache(2)
    steps = [model(tokens[:, i : i + 1], torch.full((2, 1), i), cache=cache) for i in range(16)]
    torch.testing.assert_close(model(tokens), torch.cat(steps, dim=1))
    assert cache.length == 16


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(XinyeError, match="hidden_size is 0"):
        LSTMConfig(50, 0, 1, 16)
