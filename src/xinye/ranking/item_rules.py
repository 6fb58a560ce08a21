"""The rules that give an `ItemGPT` its shape and its training. They were found by experiment on
MovieLens (benchmarks/recommend.py)."""

import math
from dataclasses import dataclass

from xinye.errors import XinyeError, plural
from xinye.model.config import GPTConfig

WIDTHS = range(32, 4096 + 1, 32)


@dataclass(frozen=True)
class ItemRules:
    """How a network is trained on histories from nothing.

    The figures are NDCG@10 of the next film on MovieLens small, the mean of validation and test, of
    one seed, with a rate that falls in the last 80 % of the steps (now it falls in all of them).
    Values without a figure were not compared with others.
    """

    context: int = 100  # items of a history that are read
    epochs: int = 10  # within one run 0.076 after 3, 0.088 after 7, 0.096 after 10
    batch_size: int = 16  # pieces of histories; with 32 and 16 epochs 0.088 instead of 0.092
    learning_rate: float = 3e-3  # of embeddings and norms, by AdamW
    matrix_learning_rate: float = 0.01  # of the layers, by Muon
    optimizer: str = "muon"
    weight_decay: float = 0.1
    dropout: float = 0.4  # with 0.3 as good within chance, on the bookshop of the demo worse
    # New items were recommended no better with 0.2, in runs of other lengths.
    id_dropout: float = 0.1
    warmup: float = 0.02  # share of the steps


def shape_of(size: int, items: int, features: int, context: int = ItemRules.context) -> GPTConfig:
    """The shape of about `size` parameters for so many items with so many features of their texts:
    two layers, and the width that fits best.

    Raises `XinyeError` if the smallest one has more than twice the parameters.
    """
    shapes = [_shape(width, items, context) for width in WIDTHS]

    def parameters(shape: GPTConfig) -> int:
        return shape.parameters + (features + 1) * shape.hidden_size

    best = min(shapes, key=lambda shape: abs(math.log(parameters(shape) / size)))
    if parameters(best) > 2 * size:
        raise XinyeError(
            f"--size: {plural(items, 'item')} need at least {parameters(best):,} parameters; give "
            "a larger size, or a larger --min-events"
        )
    return best


def _shape(width: int, items: int, context: int) -> GPTConfig:
    heads = max(2, width // 64)
    while width % heads or width // heads % 2:
        heads -= 1
    return GPTConfig(
        architecture="modern",
        vocab_size=items,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        intermediate_size=max(32, round(width * 8 / 3 / 32) * 32),
        max_position_embeddings=context,
    )
