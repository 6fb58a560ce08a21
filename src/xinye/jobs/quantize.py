"""Make a model smaller: write it as GGUF with quantized matrices, and measure what that costs.

The cost is measured with the file that was written, on text that the model was not trained on: the
bits per byte of the same tokens before and after.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xinye import machine
from xinye.checkpoints.gguf import load_gguf, save_gguf
from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.perplexity import perplexity, sliding_windows
from xinye.jobs.evaluate import Part, own_text, text_of, window
from xinye.jobs.export import check_target
from xinye.model.build import LanguageModel
from xinye.observer import Observer
from xinye.planning.job_settings import EvaluateSettings

# of the text, at most; the difference of two figures for the same tokens needs no more
TOKENS = 65_536


@dataclass(frozen=True)
class Quantized:
    """A quantized model's file and its cost; the figures are None where there was no text to
    measure on."""

    model: str
    file: str
    kind: str
    bytes_before: int
    bytes: int
    kept_as_f16: list[str]  # matrices whose rows 32 does not divide
    tokens: int | None = None
    bits_per_byte_before: float | None = None
    bits_per_byte: float | None = None
    loss_percent: float | None = None
    notes: list[str] = field(default_factory=list)


def quantize(
    model: str | Path,
    kind: Literal["q8_0", "q4_0"],
    output: str | Path | None = None,
    files: Sequence[str] = (),
    observer: Observer | None = None,
) -> Quantized:
    """Write a model as GGUF, without `output` into this folder under the model's name, and measure
    it on the files, or on what its run held back from training.

    Raises `XinyeError` for whatever a person can put right, before anything is written.
    """
    observer = observer or Observer()
    source = Path(model)
    name = source.absolute().name.removesuffix(".gguf")
    path = Path(output or f"{name}-{kind}.gguf")
    check_target(path, source, "gguf")
    if not path.absolute().parent.is_dir():
        raise XinyeError(f"{path.parent}: there is no such folder")
    observer.stage("reading the model")
    network, tokenizer = load_model(model)
    notes: list[str] = []
    part: Part | None
    if files:
        part, _ = text_of(files, source, tokenizer, EvaluateSettings(), observer)
    else:
        _, part, _ = own_text(source, tokenizer, EvaluateSettings(), observer, notes)
    before = None if part is None else measure(network, tokenizer, part, observer)
    observer.stage(f"writing {path}")
    kept = save_gguf(path, network, tokenizer, kind, {"general.name": name})
    del network  # so that there is one model in memory
    sizes = Quantized(
        str(model), str(path), kind, weight_bytes(source), path.stat().st_size, kept, notes=notes
    )
    if part is None or before is None:
        return sizes
    after = measure(load_gguf(path)[0], tokenizer, part, observer)
    bits, bits_before = after["bits_per_byte"], before["bits_per_byte"]
    return Quantized(
        **vars(sizes) | {
            "tokens": after["tokens"],
            "bits_per_byte_before": bits_before,
            "bits_per_byte": bits,
            "loss_percent": 100 * (bits / bits_before - 1),
        }
    )  # fmt: skip


def measure(
    network: LanguageModel, tokenizer: Tokenizer, part: Part, observer: Observer
) -> dict[str, float]:
    """The figures of at most `TOKENS` tokens of a text, an equal share of each document."""
    observer.stage("scoring the text")
    network, some = network.to(machine.device()), part.at_most(TOKENS)
    context, stride = window(network, EvaluateSettings())
    windows = sliding_windows(some.spans, context, stride)
    return perplexity(
        network, tokenizer, some.tokens, windows, observer.counting("scoring", len(some), "tokens")
    )


def weight_bytes(model: Path) -> int:
    """What a model's weights take on disk; 0 where they do not lie under this name."""
    return sum(
        file.stat().st_size
        for file in (model.glob("*.safetensors") if model.is_dir() else [model])
        if file.is_file()
    )
