"""Measures what a tokenizer makes of texts, in the same way for all kinds: by the characters that
each token covers.

So byte-level, byte-fallback, WordPiece and Unigram tokenizers can be compared, with or without a
normalizer.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers

BATCH = 100  # texts encoded at a time: each token with its place takes about 200 bytes
TIMED_BYTES = 1_000_000

_CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]")
_WORD = re.compile(f"{_LETTER.pattern}+(?:['’-]{_LETTER.pattern}+)*")


@dataclass(frozen=True)
class Figures:
    """The measurements of a tokenizer on some texts. Shares are from 0 to 1; a value is None if the
    texts contain nothing to measure it on.
    """

    vocab_size: int
    tokens: int
    bytes_per_token: float
    bytes_per_token_chinese: float | None  # in Chinese texts only
    bytes_per_token_english: float | None
    tokens_per_chinese_character: float | None  # tokens that contain part of a Chinese character
    tokens_per_english_word: float | None
    characters_split: float  # share of characters whose bytes are in several tokens
    characters_unknown: float  # share of characters that became the unknown token or no token
    texts_changed: float  # share of texts that change when encoded and decoded
    vocabulary_used: float  # share of the vocabulary that occurs
    megabytes_per_second: float  # per second of processor time, on one thread


def language(text: str) -> str | None:
    """`chinese` or `english` (words in Latin letters), by the characters that a text mostly
    contains, or None.
    """
    if len(_CHINESE.findall(text)) > 0.3 * len(text):
        return "chinese"
    return "english" if len(_LETTER.findall(text)) > 0.5 * len(text) else None


def count_words(texts: Sequence[str]) -> tuple[int, int]:
    """The numbers of Chinese characters and of English words in texts."""
    return sum(len(_CHINESE.findall(text)) for text in texts), sum(
        len(_WORD.findall(text)) for text in texts
    )


def measure(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> Figures:
    """The measurements of a tokenizer on texts, each encoded without the control tokens around
    it.
    """
    backend.encode_special_tokens = True  # control tokens in a text are plain text
    backend.no_truncation()
    backend.no_padding()
    unknown, space = _unknown_id(backend), _id(backend, "▁")
    size: Counter[str | None] = Counter()
    tokens: Counter[str | None] = Counter()
    seen: set[int] = set()
    found = np.zeros(5, np.int64)
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        encoded = backend.encode_batch(batch, add_special_tokens=False)
        decoded = backend.decode_batch([item.ids for item in encoded], skip_special_tokens=False)
        for text, item, back in zip(batch, encoded, decoded, strict=True):
            size[kind := language(text)] += len(text.encode())
            tokens[kind] += len(item.ids)
            seen.update(item.ids)
            ids = np.array(item.ids, np.int64)
            spans = np.array(item.offsets, np.int64).reshape(-1, 2)
            own = ids != space  # the offsets of a lone space also cover the next character
            covered = _cover(spans[own], len(text))
            known = _cover(spans[own & (ids != unknown)], len(text)) > 0
            found += (
                back != text,
                ((covered > 1) & _where(r"[^\x00-\x7f]", text)).sum(),  # ASCII is one byte
                (~known & ~_where(r"\s", text)).sum(),
                _touching(spans[own], _where(_CHINESE.pattern, text)),
                _touching(spans[own], _where(_LETTER.pattern, text)),
            )
    changed, split, lost, touch_chinese, touch_word = found.tolist()
    chinese, words = count_words(texts)
    characters = sum(map(len, texts))
    return Figures(
        vocab_size=backend.get_vocab_size(),
        tokens=tokens.total(),
        bytes_per_token=size.total() / max(1, tokens.total()),
        bytes_per_token_chinese=_ratio(size["chinese"], tokens["chinese"]),
        bytes_per_token_english=_ratio(size["english"], tokens["english"]),
        tokens_per_chinese_character=_ratio(touch_chinese, chinese),
        tokens_per_english_word=_ratio(touch_word, words),
        characters_split=split / characters,
        characters_unknown=lost / characters,
        texts_changed=changed / len(texts),
        vocabulary_used=len(seen) / backend.get_vocab_size(),
        megabytes_per_second=_speed(backend, texts),
    )


def _unknown_id(backend: tokenizers.Tokenizer) -> int:
    """The id of the unknown token, or -1."""
    model = json.loads(backend.to_str())["model"]
    return (
        model["unk_id"]
        if model.get("unk_id") is not None
        else _id(backend, model.get("unk_token") or "")
    )


def _id(backend: tokenizers.Tokenizer, token: str) -> int:
    index = backend.token_to_id(token)
    return -1 if index is None else index


def _cover(spans: np.ndarray, length: int) -> np.ndarray:
    """The number of spans (N, 2) that cover each character, (length,)."""
    begins, ends = (np.bincount(side, minlength=length + 1) for side in spans.T)
    return np.cumsum(begins - ends)[:length]


def _where(pattern: str, text: str) -> np.ndarray:
    """Which characters of a text match a one-character pattern, (len(text),)."""
    mask = np.zeros(len(text), bool)
    mask[[match.start() for match in re.finditer(pattern, text)]] = True
    return mask


def _touching(spans: np.ndarray, mask: np.ndarray) -> int:
    """The number of spans that contain a character of the mask."""
    before = np.concatenate(([0], np.cumsum(mask)))
    return int((before[spans[:, 1]] > before[spans[:, 0]]).sum())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _speed(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> float:
    """MB per second of processor time, measured on about 1 MB of the texts. Encoding one text at a
    time keeps it on one thread.
    """
    stride = max(1, sum(len(text.encode()) for text in texts) // TIMED_BYTES)
    timed = texts[::stride]
    begin = time.process_time()
    for text in timed:
        backend.encode_batch_fast([text], add_special_tokens=False)
    return sum(len(text.encode()) for text in timed) / 1e6 / max(1e-9, time.process_time() - begin)
