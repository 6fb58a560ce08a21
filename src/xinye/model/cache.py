"""The keys and values that attention keeps of tokens that were read before."""

import torch
from torch import Tensor

from xinye.errors import XinyeError
from xinye.model.config import GPTConfig


class KeyValueCache:
    """Keys and values of the tokens read so far: for each layer two tensors (B, K, capacity, D), of
    which the first `length` tokens are filled."""

    def __init__(
        self, config: GPTConfig, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        if config.dynamic and capacity > config.max_position_embeddings:
            raise XinyeError(
                "dynamic RoPE scaling rotates all keys again at each length, so the cache cannot "
                f"hold more than {config.max_position_embeddings} tokens; use linear or yarn"
            )
        shape = (
            config.num_hidden_layers,
            2,
            batch,
            config.num_key_value_heads,
            capacity,
            config.head_dim,
        )
        try:  # The system provides the memory only as it is filled.
            self.tensors = torch.empty(shape, dtype=dtype, device=device)
        except RuntimeError:
            needed = batch * capacity * config.cache_bytes_per_token(dtype.itemsize) / 1e9
            raise XinyeError(
                f"{needed:,.1f} GB are needed to keep {batch * capacity:,} tokens, more "
                "than the free memory; reduce max_position_embeddings in config.json"
            ) from None
        self.length = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, K, T, D) after the earlier ones; returns all of them, (B, K, S,
        D)."""
        end = self.length + keys.shape[2]
        stored = self.tensors[layer, :, :, :, :end]
        stored[0, :, :, self.length :], stored[1, :, :, self.length :] = keys, values
        return stored[0], stored[1]
