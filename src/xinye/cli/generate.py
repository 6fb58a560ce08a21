"""`xinye generate`"""

from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser, read_stdin
from xinye.data.files import check_regular
from xinye.errors import XinyeError, checked
from xinye.generation.sampling import Sampling

MOST_TEXTS = 4096  # at once: all are held in memory


@dataclass(frozen=True)
class Given:
    """What was typed, beside the sampling."""

    model: str
    prompt: str
    prompts: str | None
    output: str | None
    n: int
    dtype: str
    speculation: str
    json: bool


def main(arguments: list[str]) -> int:
    values = parser_of_generate().values(arguments)
    given = Given(**{field.name: values.pop(field.name) for field in fields(Given)})
    if not 1 <= given.n <= MOST_TEXTS:
        raise XinyeError(f"-n {given.n}: from 1 to {MOST_TEXTS:,} texts are written at once")
    checked(Sampling, values, "generate")
    if (given.prompts is None) != (given.output is None):
        raise XinyeError(
            "--prompts FILE and -o FILE go together: what is written for one is put into the other"
        )
    if given.prompts is not None:
        if given.prompt:
            raise XinyeError("give a prompt, or a file of them with --prompts")
        return write_file(given, values)
    if "logprobs" in values and not given.json:
        raise XinyeError("--logprobs are printed with --json only")
    write_texts(given, values)
    return 0


def parser_of_generate() -> Parser:
    parser = Parser(
        "generate",
        "Write text with a model. It goes on from the prompt; without one it begins a text of its "
        "own.",
        'xinye generate runs/novel "话说" --max-tokens 200 --temperature 0.8 --top-p 0.95 -n 3',
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run, a Hugging Face folder, a GGUF file, or a downloaded model's name",
    )
    parser.add_argument(
        "prompt", nargs="?", default="", metavar="PROMPT", help="- reads it from standard input"
    )
    parser.add_argument(
        "--prompts",
        default=None,
        metavar="FILE",
        help='write for each line: {"prompt": "…"} or {"messages": […]}',
    )
    parser.add_argument(
        "-o", "--output", default=None, metavar="FILE", help="where to, a line for each; resumes"
    )
    parser.add_argument("-n", type=int, default=1, metavar="N", help="write this many texts (1)")
    parser.add_argument(
        "--dtype",
        default="auto",
        metavar="auto|float32|bfloat16",
        help="keep the weights in (auto)",
    )
    parser.add_argument(
        "--speculation",
        default="auto",
        metavar="auto|off|MODEL",
        help="guess next tokens from the text itself (auto), or by a small model with the same "
        "tokenizer: same texts, sooner there",
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    parser.add_fields(Sampling, {})
    return parser


def write_texts(given: Given, sampling: dict[str, Any]) -> None:
    """Write behind one prompt, and print the texts."""
    from xinye.api import load
    from xinye.cli.output import prepare_writing, print_json, write

    prompt = read_stdin().removesuffix("\n") if given.prompt == "-" else given.prompt
    model = load(given.model, given.dtype, given.speculation)
    prepare_writing()
    if not given.json and given.n == 1:
        write(chain([prompt], model.stream(prompt, **sampling)), exact=True)
        return
    texts = model.complete([prompt] * given.n, **sampling)
    if not given.json:
        for number, text in enumerate(texts, start=1):
            write([f"--- {number} ---\n{prompt}{text.text}"], exact=True)
        return
    usage = {
        "prompt_tokens": texts[0].prompt_tokens,
        "completion_tokens": sum(text.completion_tokens for text in texts),
    }
    logprobs = {"logprobs": [text.logprobs for text in texts]} if "logprobs" in sampling else {}
    print_json({
        "texts": [text.text for text in texts],
        "finish_reasons": [text.finish_reason for text in texts],
        "usage": usage,
        **logprobs,
    })  # fmt: skip


def write_file(given: Given, sampling: dict[str, Any]) -> int:
    """Write for a file of prompts; the exit code is 1 where some could not be done."""
    from xinye.api import load
    from xinye.check.inspection import plural
    from xinye.cli.output import Display, console, duration, prepare_writing, print_json

    assert given.prompts is not None and given.output is not None
    if not Path(given.prompts).exists():
        raise XinyeError(f"{given.prompts}: there is no such file")
    check_regular(Path(given.prompts))
    model = load(given.model, given.dtype, given.speculation)
    prepare_writing()
    with Display() as display:
        result = model.generate_file(
            given.prompts, given.output, n=given.n, observer=display, **sampling
        )
    failed = len(result["errors"])
    console.print(
        f"{plural(result['texts'], 'text')} with {plural(result['tokens'], 'token')} in "
        f"{duration(result['seconds'])} ({result['tokens_per_second']:,.0f} tokens/s), in "
        f"{given.output}"
        + f"; {plural(result['done_before'], 'line')} done before" * bool(result["done_before"])
        + f"; {plural(failed, 'line')} could not be done" * bool(failed),
        soft_wrap=True,
    )
    if given.json:
        print_json(result)
    return 1 if result["errors"] else 0
