"""`xinye download`, `export`, `quantize` and `merge`, which turn one model into another."""

from pathlib import Path
from typing import TYPE_CHECKING

from xinye.checkpoints.bases import find_base, is_adapter
from xinye.cli.arguments import JSON, MODEL, Parser, flag, switch
from xinye.cli.output import Display, answer, console, print_result, print_table
from xinye.errors import XinyeError, plural, quoted
from xinye.observer import Observer
from xinye.runs.saved import is_run

if TYPE_CHECKING:  # it brings torch
    from xinye.jobs.convert import Quantized

OUTPUT = flag("-o --output", "FILE", "file to write (./NAME-KIND.gguf)", type=Path)


def download(arguments: list[str]) -> int:
    given = Parser(
        "download",
        "Download a model from the Hugging Face hub. After that, you can use it by its "
        "name, without a network. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE have "
        "their usual effect.",
        "xinye download Qwen/Qwen2.5-0.5B",
        flag("model", "NAME", "its name on the hub, such as owner/model"),
        JSON,
    ).read(arguments)

    from huggingface_hub.utils import disable_progress_bars

    from xinye.jobs.download import download

    if not console.is_terminal:
        disable_progress_bars()
    # On a terminal, the hub's client shows progress bars.
    downloaded = download(given.model, Observer() if console.is_terminal else Display())
    if not given.json:
        console.print(
            f"{downloaded.model}: {plural(downloaded.files, 'file')}, "
            f"{downloaded.bytes / 1e6:,.1f} MB in {downloaded.folder}\nnext: xinye "
            f"generate {quoted(downloaded.model)} …",
            soft_wrap=True,
        )
    if is_adapter(Path(downloaded.folder)):
        try:
            find_base(Path(downloaded.folder))
        except XinyeError as error:
            console.print(f"note: {error}", soft_wrap=True)
    return print_result(downloaded, given.json)


def export(arguments: list[str]) -> int:
    given = Parser(
        "export",
        "Write a model as one file for other tools: GGUF for llama.cpp, Ollama "
        "and LM Studio, ONNX for ONNX Runtime. Hugging Face tools, vLLM and "
        "SGLang load a run's folder without export.",
        "xinye export runs/novel --to gguf --quantize q8_0 -o novel.gguf",
        MODEL,
        flag("--to", None, "file format", choices=("gguf", "onnx"), required=True),
        flag(
            "--quantize",
            None,
            "number format of a GGUF's weights (f32: lossless)",
            "f32",
            choices=("f32", "bf16", "f16", "q8_0", "q4_0"),
        ),
        OUTPUT,
        JSON,
    ).read(arguments)

    from xinye.jobs.convert import export

    result = export(given.model, given.to, given.output, given.quantize)
    file = Path(result.file)
    size = f"{result.bytes / 1e6:,.1f} MB"
    if result.to == "gguf":
        size += f" ({result.quantize})"
    console.print(f"{file}: {result.parameters:,} parameters, {size}", soft_wrap=True)
    if result.kept_as_f16:
        console.print(
            f"{plural(len(result.kept_as_f16), 'matrix stays', 'matrices stay')} f16, "
            f"because {result.quantize} needs rows whose length is a multiple of 32"
        )
    path = quoted(file)
    name = quoted(file.stem)
    if result.to == "gguf":
        console.print(
            f'llama.cpp: llama-completion -m {path} -p "…" -n 200   (chat '
            f"models: llama-cli -m {path})\nOllama:    write a file Modelfile with "
            f'the line "FROM ./{file.name}", then ollama create {name}; ollama '
            f"run {name}",
            soft_wrap=True,
        )
        if result.quantize in ("f32", "bf16", "f16"):
            console.print(
                f"K-quants:  llama-quantize {path} {quoted(f'{file.stem}-Q4_K_M.gguf')} Q4_K_M   "
                "(llama.cpp's own tool)"
            )
    for note in result.notes:
        console.print(f"note: {note}", soft_wrap=True)
    return print_result(result, given.json)


def quantize(arguments: list[str]) -> int:
    given = Parser(
        "quantize",
        "Make a model smaller: write it as GGUF with weights of 8 or 4 bits, "
        "which Xinye and llama.cpp run directly. Then measure the loss of "
        "quality, on FILES or on the text that the run held out from training.",
        "xinye quantize runs/novel --to q8_0 -o novel-q8_0.gguf",
        MODEL,
        flag("files", "FILES", "text to measure the loss of quality on", nargs="*"),
        flag(
            "--to",
            None,
            "8 or 4 bits for each weight, and half a bit for scales (q8_0)",
            "q8_0",
            choices=("q8_0", "q4_0"),
        ),
        OUTPUT,
        JSON,
    ).read(arguments)

    from xinye.jobs.convert import quantize

    with Display() as display:
        result = quantize(given.model, given.to, given.output, given.files, display)
    return print_result(result, given.json, show_quantized)


def show_quantized(result: "Quantized") -> None:
    """Print the cost of quantization."""
    before = (result.model, result.bytes_before, result.bits_per_byte_before)
    after = (result.file, result.bytes, result.bits_per_byte)
    rows = [
        (name, f"{size / 1e6:,.1f}", "" if bits is None else f"{bits:.4f}")
        for name, size, bits in (before, after)
    ]
    print_table(("", "MB", "bits per byte"), rows)
    if result.loss_percent is not None:
        answer.print(
            f"\n{result.kind} changes the bits per byte by {result.loss_percent:+.2f} %, "
            f"measured on {result.tokens:,} tokens.",
            soft_wrap=True,
        )
    notes = [*result.notes]
    if result.kept_as_f16:
        are = plural(len(result.kept_as_f16), "matrix stays", "matrices stay")
        notes.insert(0, f"{are} f16, because the length of their rows is not a multiple of 32")
    for note in notes:
        answer.print(f"note: {note}", soft_wrap=True)


def merge(arguments: list[str]) -> int:
    given = Parser(
        "merge",
        "Merge a LoRA or AdaLoRA adapter into the weights of its base model. The result "
        "is an ordinary model folder with the same logits, as fast as the base model. The "
        "adapter and the base model stay unchanged.",
        "xinye merge runs/reviews -o models/reviews",
        flag("run", "MODEL", "the adapter's folder, from Xinye or peft", type=Path),
        flag("-o --output", "DIR", "folder to write", type=Path, required=True),
        switch("--overwrite", "replace the model in DIR"),
        JSON,
    ).read(arguments)

    from xinye.jobs.convert import merge

    merged = merge(given.run, given.output, given.overwrite)
    if not given.json:
        console.print(
            f"merged {merged.method} of {merged.matrices} matrices, ranks "
            f"{merged.lowest_rank} to {merged.highest_rank}, into {merged.base}"
            f"\nsaved to {merged.output}",
            soft_wrap=True,
        )
        if not is_run(given.run):
            console.print(
                "note: Xinye writes no model card, since it does not know how "
                "this adapter was trained"
            )
    return print_result(merged, given.json)
