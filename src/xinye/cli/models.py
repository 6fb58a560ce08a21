"""`xinye download`, `export`, `quantize` and `merge`: from one model to another."""

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

OUTPUT = flag("-o --output", "FILE", "the file (./NAME-KIND.gguf)", type=Path)


def download(arguments: list[str]) -> int:
    given = Parser(
        "download",
        "Fetch a model from the Hugging Face hub, to use it by its name from then on, without "
        "network. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are honoured.",
        "xinye download Qwen/Qwen2.5-0.5B",
        flag("model", "NAME", "its name on the hub, such as owner/model"),
        JSON,
    ).read(arguments)

    from huggingface_hub.utils import disable_progress_bars

    from xinye.jobs.download import download

    if not console.is_terminal:
        disable_progress_bars()
    # on a terminal the hub's client has bars
    downloaded = download(given.model, Observer() if console.is_terminal else Display())
    if not given.json:
        console.print(
            f"{downloaded.model}: {plural(downloaded.files, 'file')}, "
            f"{downloaded.bytes / 1e6:,.1f} MB in {downloaded.folder}\n"
            f"now: xinye generate {quoted(downloaded.model)} …",
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
        "Write a model as one file for other tools: GGUF for llama.cpp, Ollama and LM Studio, "
        "ONNX for ONNX Runtime. "
        "Hugging Face tools, vLLM and SGLang load a run's folder as it stands.",
        "xinye export runs/novel --to gguf --quantize q8_0 -o novel.gguf",
        MODEL,
        flag("--to", None, "the kind of file", choices=("gguf", "onnx"), required=True),
        flag(
            "--quantize",
            None,
            "what the weights of a GGUF are kept as (f32: nothing is lost)",
            "f32",
            choices=("f32", "bf16", "f16", "q8_0", "q4_0"),
        ),
        OUTPUT,
        JSON,
    ).read(arguments)

    from xinye.jobs.convert import export

    result = export(given.model, given.to, given.output, given.quantize)
    file = Path(result.file)
    kind = f" in {result.quantize}" if result.to == "gguf" else ""
    size = f"{result.bytes / 1e6:,.1f} MB, {result.parameters:,} parameters"
    console.print(f"{file}: {size}{kind}", soft_wrap=True)
    if result.kept_as_f16:
        console.print(
            f"{plural(len(result.kept_as_f16), 'matrix is', 'matrices are')} f16: "
            f"{result.quantize} wants rows of a multiple of 32"
        )
    path = quoted(file)
    name = quoted(file.stem)
    if result.to == "gguf":
        console.print(
            f'llama.cpp: llama-completion -m {path} -p "…" -n 200   (chat models: llama-cli -m '
            f"{path})\n"
            f'Ollama:    a file Modelfile with the line "FROM ./{file.name}", then ollama create '
            f"{name}; ollama run {name}",
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
        "Make a model smaller: write it as GGUF with weights of 8 or 4 bits, which Xinye and "
        "llama.cpp run as they are, and measure what that costs, on FILES or on what the run held "
        "back from training.",
        "xinye quantize runs/novel --to q8_0 -o novel-q8_0.gguf",
        MODEL,
        flag("files", "FILES", "text to measure the cost on", nargs="*"),
        flag(
            "--to",
            None,
            "(q8_0) 8 or 4 bits a weight, and a half for scales",
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
    """What it costs."""
    before = (result.model, result.bytes_before, result.bits_per_byte_before)
    after = (result.file, result.bytes, result.bits_per_byte)
    rows = [
        (name, f"{size / 1e6:,.1f}", "" if bits is None else f"{bits:.4f}")
        for name, size, bits in (before, after)
    ]
    print_table(("", "MB", "bits per byte"), rows)
    if result.loss_percent is not None:
        answer.print(
            f"\n{result.kind} costs {result.loss_percent:.2f} % in bits per byte, on "
            f"{result.tokens:,} tokens.",
            soft_wrap=True,
        )
    notes = [*result.notes]
    if result.kept_as_f16:
        are = plural(len(result.kept_as_f16), "matrix is", "matrices are")
        notes.insert(0, f"{are} f16, since 32 does not divide the rows")
    for note in notes:
        answer.print(f"note: {note}", soft_wrap=True)


def merge(arguments: list[str]) -> int:
    given = Parser(
        "merge",
        "Put an adapter, LoRA or AdaLoRA, into the weights of its base: a plain model's folder "
        "with the same logits,\n"
        "as fast as the base. The adapter and the base stay as they are.",
        "xinye merge runs/reviews -o models/reviews",
        flag("run", "MODEL", "the adapter's folder, of this package or of peft", type=Path),
        flag("-o --output", "DIR", "the folder to write", type=Path, required=True),
        switch("--overwrite", "replace the model in DIR"),
        JSON,
    ).read(arguments)

    from xinye.jobs.convert import merge

    merged = merge(given.run, given.output, given.overwrite)
    if not given.json:
        console.print(
            f"{merged.method} of {merged.matrices} matrices, ranks {merged.lowest_rank} "
            f"to {merged.highest_rank}, merged into {merged.base}\n"
            f"saved: {merged.output}",
            soft_wrap=True,
        )
        if not is_run(given.run):
            console.print(
                "note: no model card is written: how this adapter was trained is not known here"
            )
    return print_result(merged, given.json)
