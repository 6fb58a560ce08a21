"""`xinye bench`"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError

if TYPE_CHECKING:
    from xinye.jobs.bench import Benchmark


def main(arguments: list[str]) -> int:
    parser = Parser(
        "bench",
        "How fast a model writes on this machine, alone and several texts at once: tokens per "
        "second, the wait for the first token and between tokens, and the share that is reached "
        "of what the machine could do.",
        "xinye bench runs/novel --concurrency 1,8,32 --prompt-tokens 128 --output-tokens 64",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a run's folder, any Hugging Face folder, or a GGUF file"
    )
    parser.add_argument(
        "--concurrency", default="1,8,32", metavar="N,N", help="so many texts at once (1,8,32)"
    )
    parser.add_argument(
        "--prompt-tokens",
        type=int,
        default=128,
        metavar="N",
        help="of each prompt, at random (128)",
    )
    parser.add_argument(
        "--output-tokens", type=int, default=64, metavar="N", help="that each text is given (64)"
    )
    parser.add_argument(
        "--dtype",
        default="auto",
        metavar="auto|float32|bfloat16",
        help="keep the weights in (auto)",
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    counts = [part.strip() for part in values["concurrency"].split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 1024 for part in counts):
        raise XinyeError(
            f"--concurrency {values['concurrency']}: name numbers from 1 to 1024, such as 1,8,32"
        )
    for name in ("prompt_tokens", "output_tokens"):
        if values[name] < 1:
            raise XinyeError(f"--{name.replace('_', '-')}: at least 1")

    from xinye.api import load
    from xinye.cli.output import Display, prepare_writing, print_json
    from xinye.jobs.bench import Bench

    model = load(values["model"], values["dtype"])
    prepare_writing()
    benchmark = Bench(model.gpt, model.tokenizer, values["prompt_tokens"], values["output_tokens"])
    with Display() as display:
        result = benchmark.run(values["model"], [int(part) for part in counts], display)
    if values["json"]:
        print_json(asdict(result))
    else:
        show(result)
    return 0


def show(result: "Benchmark") -> None:
    from rich.table import Table

    from xinye.cli.output import answer

    answer.print(
        f"{result.model}: {result.parameters:,} parameters, {result.weight_bytes / 1e6:,.1f} MB, "
        f"{result.dtype}; {result.threads} thread{'s' * (result.threads > 1)}; prompts of "
        f"{result.prompt_tokens} tokens, {result.output_tokens} tokens written\n",
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head in (
        "texts\nat once",
        "tokens/s\nread",
        "tokens/s\nwritten",
        "first token\np50 / p99",
        "between\np50 / p99",
        "of\nmemory",
        "of\nmatrix",
        "cache,\ntokens",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_row(
            str(row.concurrency),
            f"{row.prompt_tokens_per_second:,.0f}",
            f"{row.tokens_per_second:,.0f}",
            f"{milliseconds(row.first_token_p50)} / {milliseconds(row.first_token_p99)}",
            f"{milliseconds(row.between_tokens_p50)} / {milliseconds(row.between_tokens_p99)}",
            "" if row.memory_share is None else f"{row.memory_share:.0%}",
            "" if row.matrix_share is None else f"{row.matrix_share:.0%}",
            f"{row.cache_tokens:,}",
        )
    answer.print(table)
    matrix = result.matrix_flops_per_second
    answer.print(
        "\nof memory: weights and keys read while writing, of "
        f"{result.memory_bytes_per_second / 1e9:,.1f} GB/s; of "
        f"matrix: products while reading prompts, of {(matrix or 0) / 1e9:,.0f} GFLOP/s (xinye "
        "doctor)",
        soft_wrap=True,
    )


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"
