"""What a tokenizer makes of texts, measured in one way for every kind: by the characters that each
token covers.

So byte-level, byte-fallback, WordPiece and Unigram tokenizers, with or without a normalizer, stand
side by side.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers

BATCH = 100  # texts encoded at a time: a token and its place take some 200 bytes
TIMED_BYTES = 1_000_000

_CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]")
_WORD = re.compile(f"{_LETTER.pattern}+(?:['’-]{_LETTER.pattern}+)*")


@dataclass(frozen=True)
class Figures:
    """What a tokenizer makes of some texts. None where the texts have nothing of the kind; shares
    are from 0 to 1.
    """

    vocab_size: int
    tokens: int
    bytes_per_token: float
    bytes_per_token_chinese: float | None  # in the texts that are Chinese
    bytes_per_token_english: float | None
    tokens_per_chinese_character: float | None  # that touch one, wherever it stands
    tokens_per_english_word: float | None
    characters_split: float  # share whose bytes lie in more than one token
    characters_unknown: float  # share that became the unknown token, or none at all
    texts_changed: float  # share that do not come back the same when decoded
    vocabulary_used: float  # share of the vocabulary that occurs
    megabytes_per_second: float  # of processor time, encoding on one thread


def language(text: str) -> str | None:
    """`chinese` or `english` (words of Latin letters), by the characters that a text has most; None
    for neither.
    """
    if len(_CHINESE.findall(text)) > 0.3 * len(text):
        return "chinese"
    return "english" if len(_LETTER.findall(text)) > 0.5 * len(text) else None


def count_words(texts: Sequence[str]) -> tuple[int, int]:
    """Chinese characters and English words in texts."""
    return sum(len(_CHINESE.findall(text)) for text in texts), sum(
        len(_WORD.findall(text)) for text in texts
    )


def measure(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> Figures:
    """Encode the texts, one by one as they are, without the tokens that a tokenizer puts around
    them.
    """
    backend.encode_special_tokens = True  # text is text, also when it reads "<|endoftext|>"
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
            own = ids != space  # a space alone claims the character behind it, too
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
    """The id of the token for what a vocabulary lacks, -1 for none."""
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
    """By how many of the spans (N, 2) each character is covered, (length,)."""
    begins, ends = (np.bincount(side, minlength=length + 1) for side in spans.T)
    return np.cumsum(begins - ends)[:length]


def _where(pattern: str, text: str) -> np.ndarray:
    """Which characters of a text match a pattern for one character, (len(text),)."""
    mask = np.zeros(len(text), bool)
    mask[[match.start() for match in re.finditer(pattern, text)]] = True
    return mask


def _touching(spans: np.ndarray, mask: np.ndarray) -> int:
    """How many spans hold a character of the mask."""
    before = np.concatenate(([0], np.cumsum(mask)))
    return int((before[spans[:, 1]] > before[spans[:, 0]]).sum())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _speed(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> float:
    """MB per second of processor time, over about a megabyte, the same texts for each; one at a
    time: one thread.
    """
    stride = max(1, sum(len(text.encode()) for text in texts) // TIMED_BYTES)
    timed = texts[::stride]
    begin = time.process_time()
    for text in timed:
        backend.encode_batch_fast([text], add_special_tokens=False)
    return sum(len(text.encode()) for text in timed) / 1e6 / max(1e-9, time.process_time() - begin)
