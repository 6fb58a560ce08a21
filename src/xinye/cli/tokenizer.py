"""`xinye tokenizer train` and `xinye tokenizer eval`"""

import sys

from xinye.cli.arguments import Parser, run_group
from xinye.errors import XinyeError


def main(arguments: list[str]) -> int:
    verbs = {
        "train": (train, "learn a tokenizer from text"),
        "eval": (evaluate, "what tokenizers make of a text, side by side"),
    }
    return run_group("tokenizer", verbs, arguments)


def evaluate(arguments: list[str]) -> int:
    raise NotImplementedError


def train(arguments: list[str]) -> int:
    parser = Parser(
        "tokenizer train",
        "Learn a tokenizer from text: a folder that Hugging Face's AutoTokenizer loads.",
        "xinye tokenizer train novels/ -o tokenizers/novels --vocab-size 8192",
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--kind", default="bpe", metavar="bpe|char|bytes", help="byte pairs, characters or bytes (bpe)")
    parser.add_argument("--vocab-size", default="auto", metavar="N|auto", help="tokens in the vocabulary (auto)")
    parser.add_argument("--field", default=None, metavar="NAME", help="the column or key that holds the text")
    parser.add_argument("--overwrite", action="store_true", default=False, help="replace the tokenizer in DIR")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    if values["vocab_size"] != "auto" and not values["vocab_size"].isdigit():
        raise XinyeError(f"--vocab-size {values['vocab_size']!r} is neither a number nor auto")

    from xinye.cli.output import console, print_json
    from xinye.recipes.tokenizer import train_tokenizer

    vocab_size = None if values["vocab_size"] == "auto" else int(values["vocab_size"])
    result = train_tokenizer(
        values["files"], values["output"], values["kind"], vocab_size, values["field"], values["overwrite"],
        show_progress=sys.stderr.isatty(),
    )  # fmt: skip
    console.print(
        f"{result['vocab_size']:,} tokens; on the text {result['tokens_per_character']} tokens per character, "
        f"{result['bytes_per_token']} bytes per token; saved in {values['output']}",
        soft_wrap=True,
    )
    if values["json"]:
        print_json(result)
    return 0
