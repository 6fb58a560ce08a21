"""`xinye tokenizer train` and `xinye tokenizer eval`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import BAD_BYTES, FIELD, JSON, SOME_FILES, Parser, flag, switch
from xinye.cli.output import Display, answer, bad_bytes_told, console, print_result, print_table
from xinye.errors import XinyeError
from xinye.evaluation.plots import save_chart
from xinye.libraries import need

if TYPE_CHECKING:  # it brings tokenizers
    from xinye.jobs.tokenizer_evaluation import Comparison

RATES = (
    "bytes_per_token",
    "bytes_per_token_chinese",
    "bytes_per_token_english",
    "tokens_per_chinese_character",
    "tokens_per_english_word",
)


def evaluate(arguments: list[str]) -> int:
    given = Parser(
        "tokenizer eval",
        "Compare tokenizers on a text: those trained here, or any tokenizer.json, "
        "such as GPT-2's or Qwen's.",
        "xinye tokenizer eval tokenizers/novels gpt2/ novels/ shakespeare.txt --plot "
        "tokenizers.svg",
        flag(
            "paths",
            "DIR|FILES",
            "folders with tokenizer.json (or the hub name of a downloaded one), and text",
            nargs="+",
        ),
        FIELD,
        BAD_BYTES,
        flag("--plot", "FILE", "draw the bytes per token as an SVG chart", type=Path),
        JSON,
    ).read(arguments)
    if plot := given.plot:
        if plot.suffix != ".svg":
            raise XinyeError(
                f"--plot {plot}: the chart is an SVG file; give it a name that ends in .svg"
            )
        need("--plot", "matplotlib")
        if not plot.absolute().parent.is_dir():
            raise XinyeError(f"--plot {plot}: the folder {plot.parent} does not exist")

    from xinye.jobs.tokenizer_evaluation import chart, compare_tokenizers

    with Display() as display, bad_bytes_told(given.bad_bytes):
        comparison = compare_tokenizers(given.paths, given.field, display)
    if plot:
        save_chart(chart(comparison), plot)
    return print_result(comparison, given.json, show)


def show(comparison: "Comparison") -> None:
    """Print the text, one row for each tokenizer, and the verdict, 80 columns wide."""
    text = comparison.text
    share = text["evaluated_characters"] / text["characters"]
    answer.print(
        f"evaluated {text['evaluated_bytes'] / 1e6:.1f} MB of text ({share:.0%}): "
        f"{text['chinese_characters']:,} Chinese characters, "
        f"{text['english_words']:,} English words\n"
    )
    rows = [
        (
            name,
            f"{each.vocab_size:,}",
            *(
                "–" if rate is None else f"{rate:.2f}"
                for rate in (getattr(each, figure) for figure in RATES)
            ),
            f"{each.characters_split:.1%}",
            f"{each.vocabulary_used:.1%}",
            f"{each.megabytes_per_second:.1f}",
        )
        for name, each in comparison.figures.items()
    ]
    heads = ("vocab\nsize", "bytes/\ntoken", "\nzh", "\nen", "tokens/\nzh char", "tokens/\nen word")
    print_table(("\ntokenizer", *heads, "\nsplit", "vocab\nused", "\nMB/s"), rows, gap=1)
    answer.print(
        "zh, en: in the Chinese and in the English texts; split: characters whose "
        "bytes are in several tokens; MB/s: encoding on one thread. A tokenizer "
        "trained on this very text looks better here than on new text.",
        style="dim",
    )
    for name, each in comparison.figures.items():
        if each.characters_unknown:
            answer.print(
                f"\n{name} does not know {each.characters_unknown:.2%} of the "
                "characters, so its figures look too good."
            )
        if each.texts_changed:
            answer.print(
                f"\n{name} changes {each.texts_changed:.1%} of the texts when it "
                "encodes and decodes them."
            )
    answer.print(f"\n{comparison.verdict}")


def train(arguments: list[str]) -> int:
    given = Parser(
        "tokenizer train",
        "Train a tokenizer on text and save it as a folder that Hugging Face's "
        "AutoTokenizer loads.",
        "xinye tokenizer train novels/ -o tokenizers/novels --vocab-size 8192",
        SOME_FILES,
        flag("-o --output", "DIR", "folder to write", required=True),
        flag("--kind", "bpe|char|bytes", "byte pairs, characters or bytes (bpe)", "bpe"),
        flag("--vocab-size", "N|auto", "vocabulary size in tokens (auto)", "auto"),
        FIELD,
        BAD_BYTES,
        switch("--overwrite", "replace the tokenizer in DIR"),
        JSON,
    ).read(arguments)
    if given.vocab_size != "auto" and not given.vocab_size.isdigit():
        raise XinyeError(f"--vocab-size {given.vocab_size!r} is neither a number nor auto")

    from xinye.planning.tokenizer import check_output, train_tokenizer

    vocab_size = None if given.vocab_size == "auto" else int(given.vocab_size)
    check_output(given.output, given.overwrite)
    with bad_bytes_told(given.bad_bytes):
        result = train_tokenizer(
            given.files, given.output, given.kind, vocab_size, given.field, sys.stderr.isatty()
        )
    console.print(
        f"vocabulary of {result['vocab_size']:,} tokens; on the text "
        f"{result['tokens_per_character']} tokens per character, "
        f"{result['bytes_per_token']} bytes per token; saved to {given.output}",
        soft_wrap=True,
    )
    return print_result(result, given.json)
