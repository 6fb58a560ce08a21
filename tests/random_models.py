"""Models whose every weight counts: biases and norms are random, too."""

from typing import Any

import torch

from xinye.model.build import Config, build


def random_model(
    config: Config,
    scale: float = 0.3,
    norms: float = 0.0,
    seed: int = 0,
    *,
    of_vectors: float | None = None,
    noise: float = 0.0,
) -> Any:
    """A model of normal weights with this scale, biases and norms with `of_vectors`. The weights of
    norms are around `norms`. With noise, it often, but not always, goes on as without."""
    torch.manual_seed(seed)
    model = build(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            own = scale if of_vectors is None or parameter.ndim > 1 else of_vectors
            is_norm = "norm" in name and name.endswith("weight")
            parameter.normal_(norms if is_norm else 0.0, own)
        for parameter in model.parameters() if noise else ():
            parameter.add_(noise * parameter.std() * torch.randn_like(parameter))
    return model


def endless_model(config: Config) -> Any:
    """Its texts never end by themselves."""
    # large biases would let one token always win
    model = random_model(config, norms=1.0, of_vectors=0.03).requires_grad_(False)
    model.lm_head.weight[:5] = 0
    return model
