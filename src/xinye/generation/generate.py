"""The short way to texts from a model: prompts in, pieces of text out as they are written."""

from collections.abc import Iterable, Iterator

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import BLOCK, Engine, affordable_tokens
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.model.build import LanguageModel


def start(
    tokenizer: Tokenizer, prompt: str, context: int, sampling: Sampling, number: int = 0
) -> Sequence:
    """A sequence that begins with a prompt; raises `XinyeError` where that alone fills the
    context."""
    tokens = [*tokenizer.prefix, *tokenizer.encode(prompt)] or [tokenizer.bos_id]
    if len(tokens) > context:
        raise XinyeError(
            f"the prompt has {len(tokens)} tokens; this model reads at most {context}: shorten it"
        )
    return Sequence(tokens, len(tokens), sampling, number)


def finish(model: LanguageModel, tokenizer: Tokenizer, sequences: list[Sequence]) -> list[Sequence]:
    """Write all sequences to their ends, and return them."""
    for _ in generate(model, tokenizer, sequences):
        pass
    return sequences


def generate(
    model: LanguageModel, tokenizer: Tokenizer, sequences: Iterable[Sequence]
) -> Iterator[tuple[int, str]]:
    """Write all sequences to their ends, by an engine of their own; yields (number of the sequence,
    new text)."""
    sequences, was_training = [*sequences], model.training
    context = model.config.max_position_embeddings
    most = sum(
        min(len(each.window) + each.sampling.max_tokens, context) + BLOCK for each in sequences
    )
    engine = Engine(model, tokenizer, affordable_tokens(model, most), max(1, len(sequences)))
    try:
        yield from engine.generate(sequences)
    finally:
        model.train(was_training)
