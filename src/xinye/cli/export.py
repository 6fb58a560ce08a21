"""`xinye export`"""

from dataclasses import asdict
from pathlib import Path

from xinye.cli.arguments import Parser

KINDS = ("f32", "bf16", "f16", "q8_0", "q4_0")


def main(arguments: list[str]) -> int:
    parser = Parser(
        "export",
        "Write a model as one file for other tools: GGUF for llama.cpp, Ollama and LM Studio, "
        "ONNX for ONNX Runtime. "
        "Hugging Face tools, vLLM and SGLang load a run's folder as it stands.",
        "xinye export runs/novel --to gguf --quantize q8_0 -o novel.gguf",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a run's folder, any Hugging Face folder, or a GGUF file"
    )
    parser.add_argument("--to", choices=("gguf", "onnx"), required=True, help="the kind of file")
    parser.add_argument(
        "--quantize",
        choices=KINDS,
        default="f32",
        help="what the weights of a GGUF are kept as (f32: nothing is lost)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="the file (./NAME-KIND.gguf)",
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.output import console, print_json
    from xinye.jobs.convert import export

    result = export(values["model"], values["to"], values["output"], values["quantize"])
    file, kind = Path(result.file), f" in {result.quantize}" if result.to == "gguf" else ""
    console.print(
        f"{file}: {result.bytes / 1e6:,.1f} MB, {result.parameters:,} parameters{kind}",
        soft_wrap=True,
    )
    if result.kept_as_f16:
        console.print(
            f"{len(result.kept_as_f16)} matrices are f16: {result.quantize} wants rows of a "
            "multiple of 32"
        )
    if result.to == "gguf":
        console.print(
            f'llama.cpp: llama-completion -m {file} -p "…" -n 200   (chat models: llama-cli -m '
            f"{file})\n"
            f'Ollama:    a file Modelfile with the line "FROM ./{file.name}", then ollama create '
            f"{file.stem}; "
            f"ollama run {file.stem}",
            soft_wrap=True,
        )
        if result.quantize in ("f32", "bf16", "f16"):
            console.print(
                f"K-quants:  llama-quantize {file} {file.stem}-Q4_K_M.gguf Q4_K_M   (llama.cpp's "
                "own tool)"
            )
    if values["json"]:
        print_json(asdict(result))
    return 0
