"""The Python face of Xinye: the same words as on the command line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye import machine
from xinye.checkpoints.huggingface import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.generation.generate import Continuation, generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.recipes.pretrain import Run
from xinye.recipes.pretrain import pretrain as run_pretrain
from xinye.recipes.settings import PretrainSettings
from xinye.recipes.watcher import Watcher

__all__ = ["Model", "Run", "load", "pretrain"]


class Model:
    """A loaded model: its network (`gpt`) and its `tokenizer`."""

    def __init__(self, gpt: LanguageModel, tokenizer: Tokenizer) -> None:
        self.gpt, self.tokenizer = gpt.to(machine.device()), tokenizer

    def generate(self, prompt: str = "", *, n: int = 1, **sampling: Any) -> list[str]:
        """Write `n` texts that go on from the prompt; returns the new text of each, without the prompt.

        Takes `max_tokens` (200), `temperature` (0.8; 0 is greedy), `top_k`, `top_p`, `min_p`, `repetition_penalty`,
        `stop` (a tuple of strings to end before) and `seed` (the same seed gives the same texts). Raises `XinyeError`
        for a prompt longer than the context and for values out of range.

        >>> model.generate("话说", max_tokens=50, temperature=0.7, n=3)  # doctest: +SKIP
        """
        return [continuation.text for continuation in self.complete([prompt] * n, **sampling)]

    def stream(self, prompt: str = "", **sampling: Any) -> Iterator[str]:
        """One text, piece by piece as it is written; the pieces joined are the whole text."""
        settings = checked(Sampling, sampling, "generate")
        continuations = [self._start(prompt)]
        return (piece for _, piece in generate(self.gpt, self.tokenizer, continuations, settings))

    def complete(self, prompts: Sequence[str], **sampling: Any) -> list[Continuation]:
        """A continuation of each prompt, all written at once, with why each ended and its number of tokens."""
        settings = checked(Sampling, sampling, "generate")
        continuations = [self._start(prompt) for prompt in prompts]
        if continuations:
            for _ in generate(self.gpt, self.tokenizer, continuations, settings):
                pass
        return continuations

    def _start(self, prompt: str) -> Continuation:
        return start(self.tokenizer, prompt, self.gpt.config.max_position_embeddings)


def load(model: str | Path) -> Model:
    """The model of a folder: a run's, or any that Hugging Face tools wrote for GPT-2, Llama or Qwen3.

    Raises `XinyeError` where there is none, or it is damaged or of another kind.
    """
    return Model(*load_model(model))


def pretrain(
    files: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Train a GPT from scratch on files, folders or globs of text; returns the run's folder and figures.

    `settings` are those of `xinye pretrain --help` by the same names: `size="5M"`, one of `time="10min"`,
    `tokens="20M"`, `epochs=3`, `steps=500`, and all that is otherwise derived. Without `output` the run lies in `runs/`
    under the first file's name. Raises `XinyeError` for whatever a person can put right.

    >>> run = xinye.pretrain("novel.txt", size="1M", time="2min")  # doctest: +SKIP
    >>> run.validation["bits_per_byte"]  # doctest: +SKIP
    """
    names = [str(file) for file in ([files] if isinstance(files, str | Path) else files)]
    values = {**settings, "files": tuple(names), "output": output}
    run = run_pretrain(checked(PretrainSettings, values, "pretrain"), watcher, overwrite)
    if run is None:
        raise XinyeError("nothing was trained")
    return run
