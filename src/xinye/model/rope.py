"""RoPE scaling: rotary positions for contexts longer than the model was trained on.

The names are Hugging Face's. Pair i of a head of D elements rotates by θ^(-2i/D) at each position.
Over a context of L₀ tokens the fast pairs rotate many times, the slow ones less than once. Beyond
L₀ the slow pairs reach angles that they have never seen in training. Ways to scale by `factor`:

- `linear`: all angles are divided by it (arXiv:2306.15595)
- `dynamic`: "NTK-aware", θ grows with the length L read so far, θ · (factor · L / L₀ - factor +
  1)^(D / (D - 2)), so that slow pairs are slowed down most; up to L₀ nothing changes
- `yarn`: pairs that rotate less than `beta_slow` times over L₀ are divided, those that rotate more
  than `beta_fast` times stay, with a ramp between; queries and keys are multiplied by
  `attention_factor`, 0.1 ln(factor) + 1 (arXiv:2309.00071)
- `llama3`: the same idea, with the ramp over 1 / wavelength between two fractions of L₀ (Llama 3.1)
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xinye.errors import XinyeError

RopeType = Literal["linear", "dynamic", "yarn", "llama3"]


@dataclass(frozen=True)
class RopeScaling:
    """How the positions of a model are scaled. `original_max_position_embeddings` is L₀ for `yarn`
    and `llama3`; the others take L₀ from the model's config.

    Raises `XinyeError` for values out of range.
    """

    rope_type: RopeType
    factor: float
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None  # for yarn; derived from `factor` if None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    low_freq_factor: float = 1.0  # this and the next: for llama3
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        if not 1 <= self.factor < math.inf:
            raise XinyeError(f"RoPE scaling: factor is {self.factor}; it must be at least 1")
        original = self.original_max_position_embeddings
        if original is not None and not 1 <= original < 2**40:
            raise XinyeError(
                f"RoPE scaling: the original context is {original}; it must be a count"
            )
        positive = {
            name: getattr(self, name)
            for name in ("attention_factor", "beta_fast", "beta_slow", "low_freq_factor")
        }
        for name, value in positive.items():
            if value is not None and not 0 < value < math.inf:
                raise XinyeError(f"RoPE scaling: {name} is {value}; it must be more than 0")
        if not self.low_freq_factor < self.high_freq_factor < math.inf:
            raise XinyeError(
                f"RoPE scaling: high_freq_factor is {self.high_freq_factor}; it must be more than "
                f"low_freq_factor, {self.low_freq_factor}"
            )


def scaled_frequencies(
    scaling: RopeScaling,
    theta: float,
    head_dim: int,
    max_position_embeddings: int,
    positions: Tensor,
) -> tuple[Tensor, float | None]:
    """The angle in radians that each pair rotates by from one position to the next, (D / 2,), and
    the factor for cosines and sines; None for no factor."""
    factor, original = (
        scaling.factor,
        scaling.original_max_position_embeddings or max_position_embeddings,
    )
    exponents = (
        torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    )
    if scaling.rope_type == "dynamic":
        length = (positions.max() + 1).clamp(min=original)
        grown = theta * (factor * length / original - (factor - 1)) ** (head_dim / (head_dim - 2))
        return grown**-exponents, None
    frequencies = 1.0 / theta**exponents
    if scaling.rope_type == "linear":
        return frequencies / factor, None
    if scaling.rope_type == "yarn":

        def pair(turns: float) -> float:
            """The number of the pair, not rounded, that rotates this many times over the original
            context."""
            return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = (
            max(math.floor(pair(scaling.beta_fast)), 0),
            min(math.ceil(pair(scaling.beta_slow)), head_dim - 1),
        )
        pairs = torch.arange(head_dim // 2, device=positions.device, dtype=torch.float32)
        divided = ((pairs - low) / (high - low or 0.001)).clamp(0, 1)  # 0 leaves the pair unscaled
        derived = 0.1 * math.log(factor) + 1
        attention_factor = derived if scaling.attention_factor is None else scaling.attention_factor
    else:
        turns = original * frequencies / (2 * math.pi)
        width = scaling.high_freq_factor - scaling.low_freq_factor
        divided, attention_factor = (
            1 - ((turns - scaling.low_freq_factor) / width).clamp(0, 1),
            None,
        )
    return frequencies / factor * divided + frequencies * (1 - divided), attention_factor
