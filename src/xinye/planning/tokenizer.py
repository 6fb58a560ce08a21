"""Trains a tokenizer, for a run or to be shared by several models."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye.data.cleaning import Cleaning, clean
from xinye.data.manifest import refuse_corpora
from xinye.data.sources import find_files, read_pieces
from xinye.data.tokenizer import Tokenizer, sample_texts
from xinye.errors import XinyeError
from xinye.planning.pretraining import vocabulary_size

DEFAULT_SIZE = 50_000_000  # a tokenizer trained alone is made for a model of this many parameters


def learn_tokenizer(
    texts: Iterable[str], kind: str, vocab_size: int | None, size: int, show_progress: bool = False
) -> tuple[Tokenizer, str]:
    """A tokenizer trained on texts for a model of `size` parameters, and the reason for its
    vocabulary size."""
    if kind == "bytes":
        return Tokenizer.train((), kind), "one for each of 256 bytes"
    if kind != "bpe":
        return Tokenizer.train(texts, kind, vocab_size), "every character of the text"
    sample, characters = sample_texts(texts)
    if vocab_size is not None:
        return Tokenizer.train(sample, kind, vocab_size, show_progress=show_progress), "given"
    some = "".join(part[:500] for part in sample)
    chinese = sum("\u3400" <= character <= "\u9fff" for character in some) > 0.3 * len(some)
    wanted, reason = vocabulary_size(size, characters, chinese)
    return Tokenizer.train(sample, kind, wanted, exact=False, show_progress=show_progress), reason


def train_tokenizer(
    files: Sequence[str],
    output: str | Path,
    kind: str = "bpe",
    vocab_size: int | None = None,
    field: str | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Train a tokenizer on files and save it; returns its size and how well it compresses the text.

    Raises `XinyeError` if the files have no text, or if the folder cannot be written.
    """
    paths = find_files(files)
    refuse_corpora(paths)

    def texts() -> Iterator[str]:
        for piece in clean(read_pieces(paths, field), Cleaning()):
            yield piece.text

    sample = "".join(sample_texts(texts(), 300_000)[0])
    if not sample:
        raise XinyeError(f"{', '.join(files)}: there is no text in these files")
    tokenizer, _ = learn_tokenizer(texts(), kind, vocab_size, DEFAULT_SIZE, show_progress)
    try:
        tokenizer.save(output)
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error
    tokens = len(tokenizer.encode(sample))
    return {
        "tokenizer": str(output),
        "kind": kind,
        "vocab_size": tokenizer.vocab_size,
        "tokens_per_character": round(tokens / len(sample), 3),
        "bytes_per_token": round(len(sample.encode("utf-8", "ignore")) / tokens, 3),
    }


def check_output(output: str | Path, overwrite: bool) -> None:
    """Raise `XinyeError` if a tokenizer cannot be written here, or would replace another one."""
    if Path(output).exists() and not Path(output).is_dir():
        raise XinyeError(f"{output}: this exists and is not a folder; choose another with -o")
    if (Path(output) / "tokenizer.json").exists() and not overwrite:
        raise XinyeError(f"{output}: there is a tokenizer already; replace it with --overwrite")
