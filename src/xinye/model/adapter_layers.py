"""The layers that adapters consist of. `adapters.py` attaches them to a frozen network."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model.adapter_settings import AdapterSettings
from xinye.model.gpt import Linear


@dataclass(frozen=True)
class Change:
    """What an adapter file says about the change of one matrix: its rank, its alpha if that differs
    from the settings, and whether it has `magnitudes` (DoRA)."""

    rank: int
    alpha: float | None = None
    magnitudes: bool = False


class LoRA(nn.Module):
    """The low-rank change of one matrix: weight + scaling · B·A. `site` is the name of the matrix.

    If several layers share the change, each uses some `rows` of B. With magnitudes it is DoRA
    (arXiv:2402.09353): each row of the changed matrix gets a learned length.
    """

    lora_magnitude_vector: nn.Parameter | None
    length_over = 1  # the dimension of the weight over which lengths are measured

    def __init__(
        self, site: str, settings: AdapterSettings, inputs: int, outputs: int, rank: int
    ) -> None:
        super().__init__()
        self.site, self.settings = site, settings
        self.lora_A = nn.Parameter(torch.empty(rank, inputs))
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank))
        self.register_parameter("lora_magnitude_vector", None)
        self.scale(settings.lora_alpha)

    def scale(self, alpha: float) -> None:
        rank = len(self.lora_A)
        self.scaling = alpha / (rank**0.5 if self.settings.use_rslora else max(rank, 1))

    def fit(self, change: Change) -> None:
        """Set the alpha and create the magnitudes that a file has for this matrix."""
        if change.alpha is not None:
            self.scale(change.alpha)
        if change.magnitudes:
            size = (self.lora_A.shape[1], len(self.lora_B))[self.length_over]
            self.lora_magnitude_vector = nn.Parameter(torch.ones(size))

    def initialize(self, generator: torch.Generator) -> None:
        bound = self.lora_A.shape[1] ** -0.5
        nn.init.uniform_(self.lora_A, -bound, bound, generator=generator)

    def down(self) -> Tensor:
        """The matrix that inputs are multiplied by first, (rank, inputs)."""
        return self.lora_A

    def delta(self, rows: slice) -> Tensor:
        """The change of the weight without magnitudes, (rows, inputs)."""
        return self.lora_B[rows] @ self.down() * self.scaling

    def changed(self, weight: Tensor, rows: slice) -> Tensor:
        """The changed weight (rows, inputs) in float32."""
        weight = weight.float() + self.delta(rows)
        if self.lora_magnitude_vector is None:
            return weight
        lengths = weight.norm(dim=self.length_over, keepdim=True)
        wanted = self.lora_magnitude_vector.unsqueeze(self.length_over)
        return weight * (wanted[rows] if self.length_over else wanted) / lengths

    def forward(self, x: Tensor, y: Tensor, rows: slice) -> Tensor:
        x = F.dropout(x, self.settings.lora_dropout, self.training)
        return (
            y
            + F.linear(F.linear(x, self.down().to(x.dtype)), self.lora_B[rows].to(x.dtype))
            * self.scaling
        )


class EmbeddingLoRA(LoRA):
    """The low-rank change of an embedding table. DoRA's lengths are those of its columns."""

    length_over = 0


class AdaLoRA(LoRA):
    """The change of one matrix as a singular value decomposition, with the importance of each rank
    (Zhang et al. 2023, arXiv:2303.10512)."""

    def __init__(
        self, site: str, settings: AdapterSettings, inputs: int, outputs: int, rank: int
    ) -> None:
        super().__init__(site, settings, inputs, outputs, rank)
        self.lora_E = nn.Parameter(torch.zeros(rank, 1))
        # The scale uses the initial rank, so that it does not jump when ranks are pruned.
        self.scaling = settings.lora_alpha / (settings.init_r + 1e-5)
        # True for the ranks that the last allocation kept
        self.register_buffer("mask", torch.ones(rank, dtype=torch.bool))
        for name, parameter in list(self.named_parameters()):
            self.register_buffer(f"{name}_importance", torch.zeros_like(parameter))
            self.register_buffer(f"{name}_uncertainty", torch.zeros_like(parameter))

    def initialize(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.lora_A, 0.0, 0.02, generator=generator)
        nn.init.normal_(self.lora_B, 0.0, 0.02, generator=generator)

    def down(self) -> Tensor:
        return self.lora_A * self.lora_E

    def kept(self) -> Tensor:
        """Which ranks are in use, (rank,) of bool: those of the last allocation, and those whose
        singular value has become nonzero since."""
        return self.get_buffer("mask") | (self.lora_E[:, 0] != 0)

    def weigh(self) -> None:
        """Update the moving means of the importance, |weight · gradient|, and of its uncertainty
        with the gradients of this step."""
        for name, parameter in self.named_parameters():
            assert parameter.grad is not None
            now = (parameter * parameter.grad).abs()
            mean = self.get_buffer(f"{name}_importance").lerp_(now, 1 - self.settings.beta1)
            self.get_buffer(f"{name}_uncertainty").lerp_(
                (now - mean).abs(), 1 - self.settings.beta2
            )

    def scores(self) -> Tensor:
        """The importance of each rank, (rank,): that of its singular value plus the means of its
        two vectors."""

        def score(name: str) -> Tensor:
            return self.get_buffer(f"{name}_importance") * self.get_buffer(f"{name}_uncertainty")

        return score("lora_E")[:, 0] + score("lora_A").mean(dim=1) + score("lora_B").mean(dim=0)


class Bottleneck(nn.Module):
    """A bottleneck layer after a layer's output y: y + U·gelu(D·y + d) + u. U and u start at zero,
    so that at first it changes nothing."""

    def __init__(
        self, site: str, settings: AdapterSettings, inputs: int, outputs: int, rank: int
    ) -> None:
        super().__init__()
        self.site, self.settings = site, settings
        self.down = Linear(outputs, settings.bottleneck_size)
        self.up = Linear(settings.bottleneck_size, outputs)

    def initialize(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.down.weight, 0.0, self.down.in_features**-0.5, generator=generator)
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, y: Tensor, rows: slice) -> Tensor:
        return y + self.up(F.gelu(self.down(y)))


class Prefix(nn.Module):
    """Learned keys and values, (P, layers · 2 · K · D). The keys have no position, so they are not
    rotated."""

    def __init__(self, settings: AdapterSettings, learned: Tensor) -> None:
        super().__init__()
        self.settings = settings
        length, *self.shape = learned.shape  # (P, layers, 2, K, D)
        self.prompt_embeddings = nn.Parameter(learned.reshape(length, -1))

    def forward(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values (B, K, P + S, D) of a layer, with the learned ones before its own (B,
        K, S, D)."""
        before = self.prompt_embeddings.unflatten(1, self.shape)[:, layer].to(
            keys.dtype
        )  # (P, 2, K, D)
        before = before.permute(1, 2, 0, 3)[:, None].expand(
            -1, len(keys), -1, -1, -1
        )  # (2, B, K, P, D)
        return torch.cat((before[0], keys), dim=2), torch.cat((before[1], values), dim=2)


class Adapted(nn.Module):
    """A layer and the adapter that changes its output."""

    def __init__(self, base_layer: nn.Module, adapter: LoRA | Bottleneck, rows: slice) -> None:
        super().__init__()
        self.base_layer, self.adapter, self.rows = base_layer, adapter, rows

    def forward(self, x: Tensor) -> Tensor:
        adapter: LoRA | Bottleneck = self.adapter
        layer: Any = self.base_layer  # a linear or embedding layer, quantized or not
        if isinstance(adapter, EmbeddingLoRA):
            return F.embedding(x, adapter.changed(layer.weight, self.rows))
        if isinstance(adapter, LoRA) and adapter.lora_magnitude_vector is not None:
            weight = adapter.changed(layer.weight, self.rows).to(x.dtype)
            return F.linear(x, weight, None if layer.bias is None else layer.bias.to(x.dtype))
        return adapter(x, layer(x), self.rows)
