"""Contexts longer than the trained one. Beside transformers they stand in test_huggingface."""

import pytest
import torch

from xinye.errors import XinyeError
from xinye.model.cache import KeyValueCache
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.rope import RopeScaling

SHORT = GPTConfig("modern", 50, 32, 2, 2, 2, 16, 40, 12)


def of(config: GPTConfig) -> GPT:
    torch.manual_seed(0)
    model = GPT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


def test_extended_keeps_the_weights_and_names_the_first_context() -> None:
    assert SHORT.extended("yarn", 4).rope_scaling == RopeScaling("yarn", 4, 12)
    assert SHORT.extended("yarn", 4).max_position_embeddings == 48
    assert SHORT.extended("linear", 2).max_position_embeddings == 24
    assert SHORT.extended("dynamic", 2).max_position_embeddings == 12  # lengths are measured by it
    assert SHORT.extended("llama3", 2).parameters == SHORT.parameters


@pytest.mark.parametrize("rope_type", ["linear", "yarn", "llama3"])
def test_reading_one_by_one_with_a_cache_is_reading_at_once(rope_type: str) -> None:
    model = of(SHORT.extended(rope_type, 3))  # type: ignore[arg-type]
    tokens = torch.randint(0, 50, (1, 30))
    cache = KeyValueCache(model.config, 1, 30, torch.float32, torch.device("cpu"))
    with torch.no_grad():
        one_by_one = torch.cat([model(tokens[:, i : i + 1], cache=cache) for i in range(30)], dim=1)
        assert torch.allclose(one_by_one, model(tokens), atol=1e-4)


def test_dynamic_scaling_has_a_cache_only_within_the_first_context() -> None:
    config = SHORT.extended("dynamic", 2)
    KeyValueCache(config, 1, 12, torch.float32, torch.device("cpu"))
    with pytest.raises(XinyeError, match="cannot hold more than 12 tokens"):
        KeyValueCache(config, 1, 13, torch.float32, torch.device("cpu"))


def test_dynamic_scaling_changes_nothing_within_the_first_context() -> None:
    tokens = torch.randint(0, 50, (1, 13))
    plain, scaled = of(SHORT), of(SHORT.extended("dynamic", 2))
    with torch.no_grad():
        assert torch.allclose(plain(tokens[:, :12]), scaled(tokens[:, :12]), atol=1e-5)
        assert not torch.allclose(plain(tokens), scaled(tokens), atol=1e-3)


def test_what_cannot_be_extended_says_so() -> None:
    with pytest.raises(XinyeError, match="gpt2 has learned positions"):
        GPTConfig("gpt2", 50, 32, 2, 2, 2, 16, 40, 12).extended("yarn", 2)
    with pytest.raises(XinyeError, match=r"scaled already \(yarn\)"):
        SHORT.extended("yarn", 2).extended("linear", 2)
    with pytest.raises(XinyeError, match=r"factor is 0\.5; it must be at least 1"):
        SHORT.extended("linear", 0.5)
