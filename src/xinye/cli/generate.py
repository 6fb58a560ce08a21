"""`xinye generate`"""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.check.inspection import plural
from xinye.cli.arguments import (
    ANY_MODEL,
    DTYPE,
    JSON,
    Fields,
    Given,
    Parser,
    flag,
    read_stdin,
)
from xinye.cli.output import Display, console, duration, prepare_writing, print_json, write
from xinye.data.files import check_regular
from xinye.errors import XinyeError, checked
from xinye.generation.sampling import Sampling

if TYPE_CHECKING:  # it brings torch
    from xinye.api import Model

MOST_TEXTS = 4096  # at once: all are held in memory


def main(arguments: list[str]) -> int:
    given = Parser(
        "generate",
        "Write text with a model. It goes on from the prompt; without one it begins a text of its "
        "own.",
        'xinye generate runs/novel "话说" --max-tokens 200 --temperature 0.8 --top-p 0.95 -n 3',
        ANY_MODEL,
        flag("prompt", "PROMPT", "- reads it from standard input", "", nargs="?"),
        flag("--prompts", "FILE", 'write for each line: {"prompt": "…"} or {"messages": […]}'),
        flag("-o --output", "FILE", "where to, a line for each; resumes"),
        flag("-n", "N", "write this many texts (1)", 1, type=int),
        DTYPE,
        flag(
            "--speculation",
            "auto|off|MODEL",
            "guess next tokens from the text itself (auto), or by a small model with the same "
            "tokenizer: same texts, sooner there",
            "auto",
        ),
        JSON,
        Fields(Sampling),
    ).read(arguments)
    if not 1 <= given.n <= MOST_TEXTS:
        raise XinyeError(f"-n {given.n}: from 1 to {MOST_TEXTS:,} texts are written at once")
    checked(Sampling, given.settings, "generate")
    if (given.prompts is None) != (given.output is None):
        raise XinyeError(
            "--prompts FILE and -o FILE go together: what is written for one is put into the other"
        )
    if given.prompts is None:
        if "logprobs" in given.settings and not given.json:
            raise XinyeError("--logprobs are printed with --json only")
        return write_texts(given)
    if given.prompt:
        raise XinyeError("give a prompt, or a file of them with --prompts")
    if not Path(given.prompts).exists():
        raise XinyeError(f"{given.prompts}: there is no such file")
    check_regular(Path(given.prompts))
    return write_file(given)


def load_writer(given: Given) -> "Model":
    """The model, ready to write fast."""
    from xinye.api import load

    model = load(given.model, given.dtype, given.speculation)
    prepare_writing()
    return model


def write_texts(given: Given) -> int:
    """Write behind one prompt, and print the texts."""
    prompt = read_stdin().removesuffix("\n") if given.prompt == "-" else given.prompt
    model = load_writer(given)
    if not given.json and given.n == 1:
        write(chain([prompt], model.stream(prompt, **given.settings)), exact=True)
        return 0
    texts = model.complete([prompt] * given.n, **given.settings)
    if not given.json:
        for number, text in enumerate(texts, start=1):
            write([f"--- {number} ---\n{prompt}{text.text}"], exact=True)
        return 0
    usage = {
        "prompt_tokens": texts[0].prompt_tokens,
        "completion_tokens": sum(text.completion_tokens for text in texts),
    }
    result = {
        "texts": [text.text for text in texts],
        "finish_reasons": [text.finish_reason for text in texts],
        "usage": usage,
    }
    if "logprobs" in given.settings:
        result["logprobs"] = [text.logprobs for text in texts]
    print_json(result)
    return 0


def write_file(given: Given) -> int:
    """Write for a file of prompts; the exit code is 1 where some could not be done."""
    model = load_writer(given)
    with Display() as display:
        result = model.generate_file(
            given.prompts, given.output, n=given.n, observer=display, **given.settings
        )
    notes = {"done before": result["done_before"], "could not be done": len(result["errors"])}
    console.print(
        f"{plural(result['texts'], 'text')} with {plural(result['tokens'], 'token')} in "
        f"{duration(result['seconds'])} ({result['tokens_per_second']:,.0f} tokens/s), in "
        f"{given.output}"
        + "".join(f"; {plural(count, 'line')} {what}" for what, count in notes.items() if count),
        soft_wrap=True,
    )
    if given.json:
        print_json(result)
    return 1 if result["errors"] else 0
