"""What a model writes while it learns, and when it has."""

from xinye.data.tokenizer import Tokenizer
from xinye.generation.generate import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.planning.settings import PretrainSettings

LONGER = 2  # samples that the texts at the end, which are written together, take as long as


def write_sample(
    model: LanguageModel, tokenizer: Tokenizer, settings: PretrainSettings, step: int = 0
) -> str:
    """A short text from the model as it stands, the same whenever the same run is at this step."""
    sampling = Sampling(max_tokens=60, temperature=0.7, seed=settings.seed + step)
    sequence = start(tokenizer, settings.prompt, model.config.max_position_embeddings, sampling)
    for _ in generate(model, tokenizer, [sequence]):
        pass
    return settings.prompt + sequence.text


def write_texts(
    model: LanguageModel, tokenizer: Tokenizer, settings: PretrainSettings
) -> list[str]:
    """Three longer texts of the finished model."""
    sampling = Sampling(max_tokens=100, temperature=0.7, seed=settings.seed)
    context = model.config.max_position_embeddings
    sequences = [
        start(tokenizer, settings.prompt, context, sampling, number) for number in range(3)
    ]
    for _ in generate(model, tokenizer, sequences):
        pass
    return [settings.prompt + sequence.text for sequence in sequences]
