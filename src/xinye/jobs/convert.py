"""Converts a model: exports it as one file for other tools, quantizes it, or merges it with its
adapter. Nothing is written before everything is checked.

The cost of quantization is measured with the written file, on text that the model was not trained
on: bits per byte of the same tokens before and after.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from xinye import machine
from xinye.checkpoints import gguf_tokenizer
from xinye.checkpoints.bases import CONFIG, find_base, is_adapter, place_of
from xinye.checkpoints.folders import near_run
from xinye.checkpoints.gguf import load_gguf, save_gguf
from xinye.checkpoints.head_sizes import refusal
from xinye.checkpoints.huggingface import save_model
from xinye.checkpoints.load import load_adapted, load_model
from xinye.data.files import written_beside
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, quoted, refuse_first
from xinye.evaluation.perplexity import perplexity, sliding_windows
from xinye.jobs.evaluate import Part, own_text, text_of, window
from xinye.libraries import need
from xinye.model.adapters import attached, ranks_of
from xinye.model.adapters import merge as merge_weights
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.quantization import QuantizedLinear
from xinye.observer import Observer
from xinye.planning.job_settings import EvaluateSettings
from xinye.runs.card import write_card
from xinye.runs.saved import is_run, read_run
from xinye.runs.taught import can_chat, taught
from xinye.tasks.registry import TASKS, find_text_task, tasks
from xinye.tasks.settings import with_words
from xinye.tasks.task import Figures

Format = Literal["gguf", "onnx"]
MAGIC = {"gguf": b"GGUF", "onnx": b"\x08"}  # the first bytes of such files
# tokens of text, at most; comparing two measurements of the same tokens needs no more
TOKENS = 65_536


@dataclass(frozen=True)
class Export:
    """An exported file. `bytes` is its size, and `kept_as_f16` lists the matrices stored as f16
    because the block size does not divide their rows.
    """

    file: str
    to: Format
    quantize: str
    parameters: int
    bytes: int
    kept_as_f16: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Quantized:
    """A quantized file and its cost. The measurements are None if there was no text."""

    model: str
    file: str
    kind: str
    bytes_before: int
    bytes: int
    kept_as_f16: list[str]  # matrices whose row length is not a multiple of 32
    tokens: int | None = None
    bits_per_byte_before: float | None = None
    bits_per_byte: float | None = None
    loss_percent: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merged:
    """The folder of a merged model, and facts about the adapter that was merged."""

    output: str
    base: str
    method: str
    matrices: int
    lowest_rank: int
    highest_rank: int


def export(model: str, to: Format, output: Path | None = None, quantize: str = "f32") -> Export:
    """Write a model to one file. Without `output`, the file is named after the model, in the
    current folder.

    The default is float32, which loses nothing; llama-quantize can convert it further. Raises
    `XinyeError` if the model is not a GPT, or if the file would replace one of another kind.
    """
    if to == "onnx" and quantize != "f32":
        raise XinyeError(
            f"--quantize {quantize} works for GGUF only; ONNX Runtime's own tools quantize an "
            "ONNX file"
        )
    if to == "onnx":
        # torch's exporter needs both packages.
        need("an ONNX file", "onnx", "onnxscript", extra="onnx")
    name, path = _target(Path(model), output, to, quantize)
    network, tokenizer = load_model(model)
    if not isinstance(network, GPT):
        raise XinyeError(f"{model}: an LSTM cannot be exported; other tools do not read its format")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: list[str] = []
    notes = list(filter(None, [refusal(network.config.head_dim)]))
    if to == "gguf":
        tokenizer = as_it_talks(model, tokenizer)
        kept = save_gguf(path, network, tokenizer, quantize, {"general.name": name})
        notes += gguf_tokenizer.notes(tokenizer)
    else:
        from xinye.checkpoints.onnx import save_onnx

        save_onnx(path, network)
    size = path.stat().st_size
    return Export(str(path), to, quantize, network.config.parameters, size, kept, notes)


def as_it_talks(model: str | Path, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, without its chat template if the model cannot chat: llama.cpp would offer a
    chat otherwise.
    """
    return (
        tokenizer
        if can_chat(Path(model), tokenizer.chat_template)
        else tokenizer.with_template(None)
    )


def quantize(
    model: str | Path,
    kind: Literal["q8_0", "q4_0"],
    output: Path | None,
    files: Sequence[str],
    observer: Observer,
) -> Quantized:
    """Write a model as a quantized GGUF file, and measure the cost on the files, or on the
    validation text of its run. Without `output`, the file is named after the model, in the current
    folder.

    Raises `XinyeError` for errors that the user can fix, before anything is written.
    """
    source = Path(model)
    name, path = _target(source, output, "gguf", kind)
    if not path.absolute().parent.is_dir():
        raise XinyeError(f"{path.parent}: there is no such folder")
    observer.stage("reading the model")
    network, tokenizer = load_model(model)
    if any(isinstance(module, QuantizedLinear) for module in network.modules()):
        observer.warn(
            "this model is quantized already, so its weights are rounded twice; quantize the "
            "model from which it was made"
        )
    notes: list[str] = []
    part: Part | None
    if files:
        part, _ = text_of(files, source, tokenizer, EvaluateSettings(), observer)
    else:
        _, part, _ = own_text(source, tokenizer, EvaluateSettings(), observer, notes)
    before = part and measure(network, tokenizer, part, observer)
    observer.stage(f"writing {path}")
    again = f"xinye quantize {quoted(model)} FILE --to {kind} -o {quoted(path)}"
    notes = [f"{note}; to measure the loss of quality, name a text: {again}" for note in notes]
    notes += gguf_tokenizer.notes(tokenizer)
    kept = save_gguf(path, network, as_it_talks(source, tokenizer), kind, {"general.name": name})
    del network  # keep only one model in memory
    before_bytes, after_bytes = bytes_of(source), path.stat().st_size
    result = Quantized(str(model), str(path), kind, before_bytes, after_bytes, kept, notes=notes)
    if not part or not before:
        return result
    after = measure(load_gguf(path)[0], tokenizer, part, observer)
    return replace(
        result,
        tokens=after["tokens"],
        bits_per_byte_before=before["bits_per_byte"],
        bits_per_byte=after["bits_per_byte"],
        loss_percent=100 * (after["bits_per_byte"] / before["bits_per_byte"] - 1),
    )


def bytes_of(model: Path) -> int:
    """The bytes of a model's weights on disk, with an adapter's base."""
    folder = place_of(model)
    weights = folder.glob("*.safetensors") if folder.is_dir() else [folder]
    size = sum(file.stat().st_size for file in weights if file.is_file())
    return size + (bytes_of(Path(find_base(folder))) if is_adapter(folder) else 0)


def measure(
    network: LanguageModel, tokenizer: Tokenizer, part: Part, observer: Observer
) -> Figures:
    """The metrics on at most `TOKENS` tokens of a text, with an equal share of each document."""
    observer.stage("scoring the text")
    some = part.at_most(TOKENS)
    windows = sliding_windows(some.spans, *window(network, EvaluateSettings()))
    progress = observer.counting("scoring the tokens", len(some))
    return perplexity(network.to(machine.device()), tokenizer, some.tokens, windows, progress)


def _target(source: Path, output: Path | None, to: Format, kind: str) -> tuple[str, Path]:
    """The model's name, and the path of the output file. Raises `XinyeError` if that is a folder,
    the model itself, or a file of another kind.
    """
    name = source.absolute().name.removesuffix(".gguf")
    path = Path(output or (f"{name}.onnx" if to == "onnx" else f"{name}-{kind}.gguf"))
    same = path.exists() and source.exists() and path.samefile(source)
    refuse_first(
        (path.is_dir(), f"{path}: this is a folder; name a file with -o"),
        (same, f"{path}: this is the model itself; name a file with -o"),
    )
    if path.exists():
        with path.open("rb") as file:
            if not file.read(8).startswith(MAGIC[to]):
                raise XinyeError(
                    f"{path}: the file exists and is no {to.upper()} file; name another with -o"
                )
    return name, path


def merge(run: Path, output: Path, overwrite: bool = False) -> Merged:
    """Merge a LoRA or AdaLoRA adapter into its base model and save the result to `output`.

    Raises `XinyeError` if there is no adapter, if it cannot be merged, or if `output` holds
    something else.
    """
    run = place_of(run)
    free = not output.exists() or (output.is_dir() and (overwrite or not any(output.iterdir())))
    refuse_first(
        (not run.exists(), f"{run}: there is no such folder{near_run(run)}"),
        (
            not is_adapter(run) and not (run / "config.json").is_file(),
            f"{run}: not an adapter's folder (no {CONFIG})",
        ),
        (
            not is_adapter(run),
            f"{run}: this folder has no adapter (no {CONFIG}), so there is nothing to merge; "
            "xinye finetune --method lora trains one",
        ),
        (
            not free,
            f"{output}: the folder exists; choose another with -o, or replace its model with "
            "--overwrite",
        ),
    )
    base = find_base(run)
    if output.exists() and output.resolve() in (run.resolve(), Path(base).resolve()):
        raise XinyeError(
            f"{output}: this folder contains the adapter or its base model, which must not "
            "be overwritten; choose another with -o"
        )
    model, tokenizer = load_adapted(run, plain=True)
    ranks, settings = ranks_of(model), attached(model)
    merge_weights(model)
    assert settings is not None
    try:
        forget_beside(output)
        save_model(output, model, tokenizer)
        if is_run(run):  # an adapter of another tool has no run to describe
            copy_beside(run, output)
            write_card(with_words(read_run(run)), output)
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error
    lowest, highest = min(ranks.values()), max(ranks.values())
    return Merged(str(output), base, settings.method, len(ranks), lowest, highest)


def forget_beside(output: Path) -> None:
    """Delete what any task saves beside its network: it would not suit another network."""
    for name in {name for task in tasks() for name in task.beside}:
        (output / name).unlink(missing_ok=True)


def copy_beside(run: Path, output: Path) -> None:
    """Copy what the task of a run has saved beside its network, such as a calibration."""
    task = find_text_task(taught(run)) if taught(run) in TASKS else None
    for name in task.beside if task else ():
        with suppress(FileNotFoundError), written_beside(output / name) as beside:
            shutil.copyfile(run / name, beside)
