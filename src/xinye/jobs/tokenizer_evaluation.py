"""Compares tokenizers on a text: Xinye's, GPT-2's, Qwen's, or any that Hugging Face's library
reads.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tokenizers

from xinye.checkpoints.hub import find_downloaded
from xinye.data.cleaning import Cleaning, clean
from xinye.data.manifest import refuse_corpora
from xinye.data.sources import find_files, read_pieces
from xinye.data.tokenizer import panic_reported, read_backend, read_gpt2, sample_texts
from xinye.errors import XinyeError, refuse_first
from xinye.evaluation.plots import grouped_bar_chart
from xinye.evaluation.tokenizers import Figures, count_words, measure
from xinye.observer import Observer

# At most, spread evenly over the text. More bytes do not change the measurements.
EVALUATED_BYTES = 4_000_000
CHANGED = 0.1  # share of texts; a Unicode normal form changes a few texts, lower case changes all
GROWTH = 2000  # ALBERT's tables reach 1,936
CONTEXT = 256  # tokens of the example in the verdict on a single tokenizer


@dataclass(frozen=True)
class Comparison:
    """The measurements of tokenizers by name, the one with the fewest tokens first, and a verdict
    in words.
    """

    # Numbers of files and characters, and of the evaluated characters, bytes, Chinese characters
    # and English words.
    text: dict[str, int]
    figures: dict[str, Figures]
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """The comparison for --json."""
        rows = [{"tokenizer": name, **asdict(figures)} for name, figures in self.figures.items()]
        return {"text": self.text, "tokenizers": rows, "verdict": self.verdict}


def compare_tokenizers(
    arguments: Sequence[str], field: str | None, observer: Observer
) -> Comparison:
    """Measure each tokenizer among the arguments on the text of the other arguments. Raises
    `XinyeError` if there is no tokenizer or no text.
    """
    backends, patterns = find_tokenizers(arguments)
    refuse_first(
        (not backends, "name at least one tokenizer: a folder with tokenizer.json, or that file"),
        (not patterns, "give the text to compare on: files, folders or globs"),
    )
    paths = find_files(patterns)
    refuse_corpora(paths)
    observer.stage("reading the text")
    pieces = clean(read_pieces(paths, field), Cleaning())
    texts, characters = sample_texts((piece.text for piece in pieces), EVALUATED_BYTES)
    if not texts:
        raise XinyeError(f"{', '.join(patterns)}: there is no text in these files")
    measured: dict[str, Figures] = {}
    for name, backend in backends.items():
        observer.stage(f"measuring {name}")
        with panic_reported():
            measured[name] = measure(backend, texts)
    figures = dict(sorted(measured.items(), key=lambda item: -item[1].bytes_per_token))
    chinese, words = count_words(texts)
    text = {
        "files": len(paths),
        "characters": characters,
        "evaluated_characters": sum(map(len, texts)),
        "evaluated_bytes": sum(len(part.encode()) for part in texts),
        "chinese_characters": chinese,
        "english_words": words,
    }
    return Comparison(text, figures, verdict(figures, text["evaluated_characters"]))


def verdict(figures: dict[str, Figures], characters: int) -> str:
    """Which tokenizer is best on the text, and what that gains, in sentences. Tokenizers that lose
    text do not compete.
    """
    whole = {name: each for name, each in figures.items() if each.texts_changed <= CHANGED}
    if not whole:
        return "None of these tokenizers reproduces the text unchanged; no model can learn from it."
    best, *others = whole
    mine = whole[best]
    if not others:
        return (
            f"A token of {best} holds {mine.bytes_per_token:.2f} bytes of this text: a context of "
            f"{CONTEXT} tokens holds about {CONTEXT * characters / mine.tokens:,.0f} characters."
        )
    second, last = whole[others[0]], whole[others[-1]]
    sentences = [
        f"{best} needs the fewest tokens for this text: compared with {others[-1]}, the "
        f"same context holds {last.tokens / mine.tokens:.2f} times as much text, and "
        f"generating it takes only {mine.tokens / last.tokens:.0%} of the steps."
    ]
    for part in ("chinese", "english"):
        rates = {
            name: getattr(each, f"bytes_per_token_{part}") or 0 for name, each in whole.items()
        }
        first = max(rates, key=lambda name: rates[name])
        if rates[first] > rates[best]:
            texts = "the Chinese texts" if part == "chinese" else "the English texts"
            sentences.append(f"For {texts}, {first} is better.")
    if mine.vocab_size > second.vocab_size:
        sentences.append(
            f"{best} has the larger vocabulary, {mine.vocab_size:,} entries against "
            f"{second.vocab_size:,} of {others[0]}; each entry costs as many weights as the model "
            "is wide, so a small model may do better with the smaller one."
        )
    return "\n".join(sentences)


def chart(comparison: Comparison) -> str:
    """Bytes per token of each tokenizer, for Chinese and for English, as SVG."""
    keys = {part: f"bytes_per_token_{part.lower()}" for part in ("Chinese", "English")}
    every = comparison.figures.values()
    parts = {part: key for part, key in keys.items() if any(getattr(each, key) for each in every)}
    parts = parts or {"all": "bytes_per_token"}
    groups = {
        f"{name} ({each.vocab_size:,})": {
            part: getattr(each, key) or 0.0 for part, key in parts.items()
        }
        for name, each in comparison.figures.items()
    }
    return grouped_bar_chart(groups, "bytes per token (vocabulary size in brackets)")


# -- finding the tokenizers ------------------------------------------------------------------------


def find_tokenizers(arguments: Sequence[str]) -> tuple[dict[str, tokenizers.Tokenizer], list[str]]:
    """The tokenizers among the arguments, by the name of their folder or file, and the arguments
    that are text.
    """
    found: dict[str, tokenizers.Tokenizer] = {}
    patterns: list[str] = []
    for argument in arguments:
        backend = open_tokenizer(argument)
        if backend is None:
            patterns.append(argument)
            continue
        path = Path(argument).expanduser().resolve()
        named = path.parent if path.name == "tokenizer.json" else path
        short = named.name.removesuffix(".json")
        found[argument if short in found else short] = backend
    return found, patterns


def open_tokenizer(argument: str) -> tokenizers.Tokenizer | None:
    """The tokenizer in a folder, a JSON file, or a hub name in the local cache. None if the
    argument is text.
    """
    path = Path(argument).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            known = path.suffix == ".json" and b'"added_tokens"' in file.read(4096)
        return read_backend(path, GROWTH) if known else None
    if not path.is_dir():
        path = find_downloaded(argument, "tokenizer.json") or path
    if (path / "tokenizer.json").is_file():
        return read_backend(path / "tokenizer.json", GROWTH)
    for vocabulary, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (path / vocabulary).is_file() and (path / merges).is_file():
            return read_gpt2(path / vocabulary, path / merges)
    if (path / "tokenizer.model").is_file():
        raise XinyeError(
            f"{path}: there is no tokenizer.json; AutoTokenizer's save_pretrained writes one from "
            "tokenizer.model"
        )
    return None
