"""`xinye quantize`"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import Parser

if TYPE_CHECKING:
    from xinye.jobs.convert import Quantized


def main(arguments: list[str]) -> int:
    parser = Parser(
        "quantize",
        "Make a model smaller: write it as GGUF with weights of 8 or 4 bits, which Xinye and "
        "llama.cpp run as they are, and measure what that costs, on FILES or on what the run held "
        "back from training.",
        "xinye quantize runs/novel --to q8_0 -o novel-q8_0.gguf",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a run's folder, any Hugging Face folder, or a GGUF file"
    )
    parser.add_argument(
        "files", nargs="*", default=[], metavar="FILES", help="text to measure the cost on"
    )
    parser.add_argument(
        "--to",
        choices=("q8_0", "q4_0"),
        default="q8_0",
        help="(q8_0) 8 or 4 bits a weight, and a half for scales",
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

    from xinye.cli.output import Display, print_json
    from xinye.jobs.convert import quantize

    with Display() as display:
        result = quantize(values["model"], values["to"], values["output"], values["files"], display)
    if values["json"]:
        print_json(asdict(result))
        return 0
    show(result)
    return 0


def show(result: "Quantized") -> None:
    """What it costs, on standard output."""
    from rich.table import Table

    from xinye.cli.output import answer

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(("", "MB", "bits per byte")):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for name, size, bits in (
        (result.model, result.bytes_before, result.bits_per_byte_before),
        (result.file, result.bytes, result.bits_per_byte),
    ):
        table.add_row(name, f"{size / 1e6:,.1f}", "" if bits is None else f"{bits:.4f}")
    answer.print(table)
    if result.loss_percent is not None:
        answer.print(
            f"\n{result.kind} costs {result.loss_percent:.2f} % in bits per byte, on "
            f"{result.tokens:,} tokens.",
            soft_wrap=True,
        )
    if result.kept_as_f16:
        count = len(result.kept_as_f16)
        answer.print(
            f"note: {count} matrices are f16, since 32 does not divide their rows", soft_wrap=True
        )
    for note in result.notes:
        answer.print(f"note: {note}; name a text to measure the cost on", soft_wrap=True)
