"""Trains our three kinds of tokenizer: byte-level BPE that is good at Chinese, characters, or
bytes.

All are byte-level BPE with Qwen's pre-split. They only differ in their merges: learned ones, those
that build single characters, or none.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Literal, get_args

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from xinye.errors import XinyeError, did_you_mean

Kind = Literal["bpe", "char", "bytes"]
CONTROL_TOKENS = ("<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>")
PAD, BOS, EOS, MESSAGE_START, MESSAGE_END = CONTROL_TOKENS

# Qwen2's pre-split: contractions, words, single digits, punctuation, line ends, spaces. llama.cpp
# knows it as `qwen2`.
PRE_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Learning merges on Chinese takes about 250 bytes of memory for each byte of text, because most
# clauses are unique.
SAMPLE_BYTES = 6_000_000
SAMPLE_PART = 5_000  # characters that are kept or dropped together


# The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table).
_PRINTABLE = {*range(33, 127), *range(161, 173), *range(174, 256)}
_OTHERS = count(256)
CHARACTERS = [chr(byte if byte in _PRINTABLE else next(_OTHERS)) for byte in range(256)]


def learn(
    texts: Iterable[str], kind: str, vocab_size: int | None, show_progress: bool
) -> tokenizers.Tokenizer:
    """Train a tokenizer of a kind. `vocab_size` counts control tokens, the 256 bytes and merges.
    `bytes` ignores it; `char` without it takes every character.

    Raises XinyeError for an unknown kind, or a size below the bytes and control tokens.
    """
    if kind not in get_args(Kind):
        raise XinyeError(
            f"unknown kind of tokenizer {kind!r}; choose one of {', '.join(get_args(Kind))}"
            + did_you_mean(kind, get_args(Kind))
        )
    smallest = len(CONTROL_TOKENS) + 256
    if kind != "bytes" and vocab_size is not None and vocab_size < smallest:
        raise XinyeError(
            f"a vocabulary of {vocab_size} is too small: the 256 bytes and control tokens take "
            f"{smallest}"
        )
    if kind == "bpe":
        backend = _completed(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size or 8192,
            min_frequency=2,
            special_tokens=[AddedToken(token, special=True) for token in CONTROL_TOKENS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            # In bytes, so sixteen Chinese characters. Without a limit, a repeated clause becomes
            # one token.
            max_token_length=48,
            show_progress=show_progress,
        )
        backend.train_from_iterator(texts, trainer)
        return backend
    merges = [] if kind == "bytes" else _character_merges(texts, vocab_size)
    tokens = (*CONTROL_TOKENS, *CHARACTERS, *(a + b for a, b in merges))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return _completed(models.BPE(vocab=vocabulary, merges=merges))


def _completed(model: models.BPE) -> tokenizers.Tokenizer:
    """A BPE model with its pre-split, decoder, control tokens and leading `<bos>`."""
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in CONTROL_TOKENS])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, backend.token_to_id(BOS))],
    )
    return backend


def _character_merges(texts: Iterable[str], vocab_size: int | None) -> list[tuple[str, str]]:
    """Merges that build each character from its bytes, the most frequent characters first.

    A merge begins with the character's first byte, which only occurs there, so no merge crosses a
    character's border.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    room = (vocab_size or 2**31) - len(CONTROL_TOKENS) - 256
    merges: dict[tuple[str, str], None] = {}
    for character, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        symbols = [CHARACTERS[byte] for byte in character.encode("utf-8", "ignore")]
        new = [("".join(symbols[:i]), symbols[i]) for i in range(1, len(symbols))]
        new = [merge for merge in new if merge not in merges]
        if len(merges) + len(new) > room:
            break
        merges.update(dict.fromkeys(new))
    return list(merges)


def sample_texts(texts: Iterable[str], budget: int = SAMPLE_BYTES) -> tuple[list[str], int]:
    """A sample of the texts of about `budget` bytes, spread evenly over all of them, and the total
    number of characters.

    It keeps every part until the budget is spent, then every second part, then every fourth, and so
    on. So it needs no knowledge of the size, and the same texts always give the same sample.
    """
    kept: list[str] = []
    size, stride, number, characters = 0, 1, 0, 0
    for text in texts:
        for start in range(0, len(text), SAMPLE_PART):
            part = text[start : start + SAMPLE_PART]
            characters += len(part)
            if number % stride == 0:
                kept.append(part)
                size += len(part.encode("utf-8", "ignore"))
            number += 1
            while size > budget and len(kept) > 1:
                kept, stride = kept[::2], stride * 2
                size = sum(len(part.encode("utf-8", "ignore")) for part in kept)
    return kept, characters
