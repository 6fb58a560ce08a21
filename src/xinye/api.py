"""The Python face of Xinye: the same words as on the command line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.generation.generate import Continuation, generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.recipes.evaluate import Evaluation
from xinye.recipes.evaluate import evaluate as run_evaluate
from xinye.recipes.pretrain import Run
from xinye.recipes.pretrain import pretrain as run_pretrain
from xinye.recipes.settings import EvaluateSettings, PretrainSettings
from xinye.recipes.watcher import Watcher

__all__ = ["Evaluation", "Model", "Run", "load", "pretrain"]


class Model:
    """A loaded model: its network (`gpt`), its `tokenizer`, and the `folder` it was loaded from."""

    def __init__(self, gpt: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
        self.gpt, self.tokenizer, self.folder = gpt.to(machine.device()), tokenizer, folder

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

    def evaluate(
        self,
        files: str | Path | Sequence[str | Path] = (),
        *,
        text: str | Sequence[str] = (),
        watcher: Watcher | None = None,
        **settings: Any,
    ) -> Evaluation:
        """How well the model predicts a text, beside gzip, xz and a 5-gram model on the same text.

        The text is in `files`, or given as `text` (a document, or several); without both it is what a run held back of
        its own. `settings` are those of `xinye evaluate --help`: `context`, `stride`, `by_position`, `rope_scaling` …
        Raises `XinyeError` for whatever a person can put right.

        >>> model.evaluate(text="话说天下大势，分久必合，合久必分。").bits_per_byte  # doctest: +SKIP
        """
        paths = [files] if isinstance(files, str | Path) else files
        texts = [text] if isinstance(text, str) else text
        checked_settings = checked(EvaluateSettings, settings, "evaluate")
        return run_evaluate(self.gpt, self.tokenizer, self.folder, paths, texts, checked_settings, watcher)

    def _start(self, prompt: str) -> Continuation:
        return start(self.tokenizer, prompt, self.gpt.config.max_position_embeddings)


def load(model: str | Path) -> Model:
    """The model of a run's folder, of any that Hugging Face tools wrote for GPT-2, Llama, Mistral, Qwen2 or Qwen3, of a
    GGUF file, or of a hub name that `xinye download` has fetched.

    Raises `XinyeError` where there is none, or it is damaged or of another kind.
    """
    return Model(*load_model(model), Path(model))


def pretrain(
    files: str | Path | Sequence[str | Path] = (),
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Train a GPT from scratch on files, folders or globs of text; returns the run's folder and figures.

    `settings` are those of `xinye pretrain --help` by the same names: `size="5M"`, one of `time="10min"`,
    `tokens="20M"`, `epochs=3`, `steps=500`, and all that is otherwise derived. Without `output` the run lies in `runs/`
    under the first file's name; `resume` goes on with the run that lies there. Raises `XinyeError` for whatever a
    person can put right.

    >>> run = xinye.pretrain("novel.txt", size="1M", time="2min")  # doctest: +SKIP
    >>> run.validation["bits_per_byte"]  # doctest: +SKIP
    """
    names = [str(file) for file in ([files] if isinstance(files, str | Path) else files)]
    values = {**settings, "files": tuple(names), "output": output}
    run = run_pretrain(checked(PretrainSettings, values, "pretrain"), watcher, overwrite, resume)
    if run is None:
        raise XinyeError("nothing was trained")
    return run
