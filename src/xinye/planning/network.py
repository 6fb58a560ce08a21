"""The network of a given width and depth, as the planner builds it."""

from xinye.checkpoints.head_sizes import preferred
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.planning.settings import PretrainSettings


def network(
    settings: PretrainSettings, size: int, vocab_size: int, context: int, width: int, layers: int
) -> Config:
    """The config of this width and depth. In GPT-2, and below 30 M parameters, embedding and output
    head are one matrix."""
    gpt2 = settings.architecture == "gpt2"
    tied = size < 30e6 or gpt2  # some tools, such as SGLang, support no other GPT-2
    if settings.architecture == "lstm":
        return LSTMConfig(vocab_size, width, layers, context, tied)
    fitting = [width // count for count in range(max(1, width // 64), 0, -1) if width % count == 0]
    heads = settings.heads or width // preferred(fitting)
    if width % heads:
        raise XinyeError(
            f"width {width} cannot be divided among {heads} heads; give a --width that is a "
            "multiple, or other --heads"
        )
    halved = size >= 50e6 and heads % 2 == 0 and not gpt2
    return GPTConfig(
        architecture=settings.architecture,
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=settings.key_value_heads or (heads // 2 if halved else heads),
        head_dim=width // heads,
        intermediate_size=4 * width if gpt2 else max(32, round(width * 8 / 3 / 32) * 32),
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        norm_eps=1e-5 if gpt2 else 1e-6,
    )
