"""What a model writes while it learns, and when it has."""

from xinye.data.tokenizer import Tokenizer
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel

LONGER = 2  # samples that the texts at the end, which are written together, take as long as


def write_sample(model: LanguageModel, tokenizer: Tokenizer, prompt: str, seed: int) -> str:
    """A short text from the model as it stands, the same whenever the same run is at this step."""
    return _texts(model, tokenizer, prompt, Sampling(max_tokens=60, temperature=0.7, seed=seed), 1)[
        0
    ]


def write_texts(model: LanguageModel, tokenizer: Tokenizer, prompt: str, seed: int) -> list[str]:
    """Three longer texts of the finished model."""
    return _texts(model, tokenizer, prompt, Sampling(max_tokens=100, temperature=0.7, seed=seed), 3)


def _texts(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, sampling: Sampling, count: int
) -> list[str]:
    context = model.config.max_position_embeddings
    sequences = [start(tokenizer, prompt, context, sampling, number) for number in range(count)]
    for _ in generate(model, tokenizer, sequences):
        pass
    return [prompt + sequence.text for sequence in sequences]
