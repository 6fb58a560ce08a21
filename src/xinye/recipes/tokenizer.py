"""Train a tokenizer alone, for use with several models."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from xinye.data.cleaning import Cleaning, clean
from xinye.data.sources import find_files, read_pieces
from xinye.data.tokenizer import Kind, Tokenizer, describe, sample_texts
from xinye.errors import XinyeError
from xinye.recipes.plan import vocabulary_size

DEFAULT_SIZE = 50_000_000  # the model that a tokenizer made alone is meant for


def learn_tokenizer(
    texts: Callable[[], Iterable[str]],
    total_bytes: int,
    kind: str,
    vocab_size: int | None,
    size: int,
    show_progress: bool = False,
) -> tuple[Tokenizer, str]:
    """A tokenizer learned from texts (read anew at each call), and why its vocabulary has the size it has."""
    if kind not in get_args(Kind):
        raise XinyeError(f"unknown kind of tokenizer {kind!r}; choose one of {', '.join(get_args(Kind))}")
    exact, reason = (
        vocab_size is not None,
        {"char": "every character of the text", "bytes": "the 256 bytes"}.get(kind, ""),
    )
    if kind == "bpe" and not exact:
        sample = "".join(text[:2000] for text in sample_texts(texts(), total_bytes, 400_000))
        characters = int(total_bytes * len(sample) / max(1, len(sample.encode("utf-8"))))
        chinese = sum("\u3400" <= character <= "\u9fff" for character in sample) > 0.3 * len(sample)
        vocab_size, reason = vocabulary_size(size, characters, chinese)
    chosen = texts() if kind == "char" else sample_texts(texts(), total_bytes)
    return Tokenizer.train(chosen, kind, vocab_size, exact=exact, show_progress=show_progress), reason


def train_tokenizer(
    files: Sequence[str],
    output: str | Path,
    kind: str = "bpe",
    vocab_size: int | None = None,
    field: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Learn a tokenizer from files and save it; returns its size and what it makes of the text."""
    if (Path(output) / "tokenizer.json").exists() and not overwrite:
        raise XinyeError(f"{output}: there is a tokenizer already; replace it with --overwrite")
    paths = find_files(files)
    total = sum(path.stat().st_size for path in paths)

    def texts() -> Iterator[str]:
        for piece in clean(read_pieces(paths, field), Cleaning()):
            yield piece.text

    sample = "".join(sample_texts(texts(), total, 300_000))
    if not sample:
        raise XinyeError(f"{', '.join(files)}: there is no text in these files")
    tokenizer, _ = learn_tokenizer(texts, total, kind, vocab_size, size=DEFAULT_SIZE, show_progress=show_progress)
    tokenizer.save(output)
    return {"tokenizer": str(output), "kind": kind, **describe(tokenizer, sample)}
