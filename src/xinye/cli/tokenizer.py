"""`xinye tokenizer train` and `xinye tokenizer eval`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import Parser, run_group
from xinye.errors import XinyeError
from xinye.libraries import need

if TYPE_CHECKING:
    from xinye.jobs.tokenizer_evaluation import Comparison


def main(arguments: list[str]) -> int:
    verbs = {
        "train": (train, "learn a tokenizer from text"),
        "eval": (evaluate, "what tokenizers make of a text, side by side"),
    }
    return run_group("tokenizer", verbs, arguments)


def evaluate(arguments: list[str]) -> int:
    parser = Parser(
        "tokenizer eval",
        "What tokenizers make of a text, side by side: trained here, or any tokenizer.json, such "
        "as GPT-2's or Qwen's.",
        "xinye tokenizer eval tokenizers/novels gpt2/ novels/ shakespeare.txt --plot "
        "tokenizers.svg",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="DIR|FILES",
        help="folders with tokenizer.json (or a hub name that is cached), and text",
    )
    parser.add_argument(
        "--field", default=None, metavar="NAME", help="the column or key that holds the text"
    )
    parser.add_argument(
        "--plot", type=Path, default=None, metavar="FILE.svg", help="bytes per token as a chart"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    plot = values["plot"]
    if plot and plot.suffix != ".svg":
        raise XinyeError(f"--plot {plot}: charts are written as SVG; let its name end in .svg")
    if plot:
        need("--plot", "matplotlib")
    if plot and not plot.absolute().parent.is_dir():
        raise XinyeError(f"--plot {plot}: there is no folder {plot.parent}")

    from xinye.cli.output import Display, print_json
    from xinye.evaluation.plots import save_chart
    from xinye.jobs.tokenizer_evaluation import chart, compare_tokenizers

    with Display() as display:
        comparison = compare_tokenizers(values["paths"], values["field"], display)
    if not values["json"]:
        show(comparison)
    if plot:
        save_chart(chart(comparison), plot)
    if values["json"]:
        print_json(comparison.as_dict())
    return 0


def show(comparison: "Comparison") -> None:
    """The text, one row for each tokenizer, and the verdict, 80 columns wide."""
    from rich.table import Table

    from xinye.cli.output import answer

    text = comparison.text
    share = text["evaluated_characters"] / text["characters"]
    answer.print(
        f"{text['evaluated_bytes'] / 1e6:.1f} MB of text, {share:.0%} of it: "
        f"{text['chinese_characters']:,} Chinese characters, {text['english_words']:,} English "
        "words\n"
    )
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("\ntokenizer", overflow="fold")
    heads = ("vocab\nsize", "bytes/\ntoken", "\nzh", "\nen", "tokens/\nzh char", "tokens/\nen word")
    for head in (*heads, "\nsplit", "vocab\nused", "\nMB/s"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, each in comparison.figures.items():
        rates = (
            each.bytes_per_token, each.bytes_per_token_chinese, each.bytes_per_token_english,
            each.tokens_per_chinese_character, each.tokens_per_english_word,
        )  # fmt: skip
        table.add_row(
            name,
            f"{each.vocab_size:,}",
            *("–" if rate is None else f"{rate:.2f}" for rate in rates),
            *(f"{share:.1%}" for share in (each.characters_split, each.vocabulary_used)),
            f"{each.megabytes_per_second:.1f}",
        )
    answer.print(table)
    answer.print(
        "zh, en: in the Chinese and in the English texts; split: characters whose bytes\nlie in "
        "several tokens; "
        "MB/s: encoding on one thread. A tokenizer learned from\nthis very text looks better here "
        "than on new text.",
        style="dim",
    )
    for name, each in comparison.figures.items():
        if each.characters_unknown:
            answer.print(
                f"\n{name} does not know {each.characters_unknown:.2%} of the characters: its "
                "figures flatter."
            )
        if each.texts_changed:
            answer.print(
                f"\n{name} gives {each.texts_changed:.1%} of the texts back changed, when decoded."
            )
    answer.print(f"\n{comparison.verdict}")


def train(arguments: list[str]) -> int:
    parser = Parser(
        "tokenizer train",
        "Learn a tokenizer from text: a folder that Hugging Face's AutoTokenizer loads.",
        "xinye tokenizer train novels/ -o tokenizers/novels --vocab-size 8192",
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--kind",
        default="bpe",
        metavar="bpe|char|bytes",
        help="byte pairs, characters or bytes (bpe)",
    )
    parser.add_argument(
        "--vocab-size", default="auto", metavar="N|auto", help="tokens in the vocabulary (auto)"
    )
    parser.add_argument(
        "--field", default=None, metavar="NAME", help="the column or key that holds the text"
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the tokenizer in DIR"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    if values["vocab_size"] != "auto" and not values["vocab_size"].isdigit():
        raise XinyeError(f"--vocab-size {values['vocab_size']!r} is neither a number nor auto")

    from xinye.cli.output import console, print_json
    from xinye.planning.tokenizer import check_output, train_tokenizer

    vocab_size = None if values["vocab_size"] == "auto" else int(values["vocab_size"])
    files, output, kind = values["files"], values["output"], values["kind"]
    check_output(output, values["overwrite"])
    progress = sys.stderr.isatty()
    result = train_tokenizer(files, output, kind, vocab_size, values["field"], progress)
    console.print(
        f"{result['vocab_size']:,} tokens; on the text {result['tokens_per_character']} tokens per "
        f"character, {result['bytes_per_token']} bytes per token; saved in {values['output']}",
        soft_wrap=True,
    )
    if values["json"]:
        print_json(result)
    return 0
