"""How much memory a training needs."""

import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import LSTMConfig
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count

BLOCK_BYTES = 4 * 256  # bytes of the attention scores and probabilities of one token, bf16
STATES = {"muon": 4, "adamw": 8, "sgd": 4}  # bytes of optimizer state for each weight


def check_size(settings: PretrainSettings, device: torch.device) -> None:
    """Raise `XinyeError` if the weights of this size alone do not fit into memory, before any text
    is read."""
    if settings.width or settings.layers or settings.from_:
        return  # the size is then only approximate, or not known yet
    size, states = parse_count(settings.size), STATES[settings.optimizer]
    most = machine.memory_bytes(device)
    if size * (8 + states) > most:
        raise XinyeError(
            f"size {settings.size} does not fit: {size:,} parameters × (4 weight + 4 gradient + "
            f"{states} optimizer) bytes = {size * (8 + states) / 1e9:,.1f} GB, but "
            f"{most / 1e9:.1f} GB are free; choose a smaller --size"
        )


def memory_needed(
    config: Config, micro_batch_tokens: int, optimizer: str, again: bool = False
) -> tuple[int, str]:
    """The bytes that training needs, and the calculation in words; with `again`, if each layer is
    computed again in the backward pass."""
    states = STATES[optimizer]
    weights = config.parameters * (4 + 4 + states)
    if isinstance(config, LSTMConfig):
        per_layer = 24 * config.hidden_size * 2
    else:
        per_layer = (16 * config.hidden_size + 4 * config.intermediate_size) * 2
        per_layer += config.num_attention_heads * BLOCK_BYTES
    layers = config.num_hidden_layers * per_layer
    if again:
        layers = config.num_hidden_layers * 2 * config.hidden_size + per_layer
    per_token = config.vocab_size * 10 + layers
    activations = micro_batch_tokens * per_token
    arithmetic = (
        f"{config.parameters:,} parameters × (4 weight + 4 gradient + {states} optimizer) bytes "
        f"= {weights / 1e9:.1f} GB, and {activations / 1e9:.1f} GB for {micro_batch_tokens:,} "
        "tokens at once"
    )
    return weights + activations, arithmetic
