"""Text to tokens and back: byte-level BPE that is good at Chinese, or characters, or bytes.

All three kinds are one thing, a byte-level BPE with Qwen's pre-split in Hugging Face's `tokenizer.json`, and differ
only in their merges: learned ones, those that build single characters, or none. So every text can be encoded, no kind
has an unknown token, and every tool of the field reads all three.

Every sequence that a model sees begins with `<bos>`; every document ends with `<eos>`. What a user types never becomes
a control token: `encode` knows none, only `encode_chat` puts them in, from the template's side.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from xinye.errors import XinyeError

Kind = Literal["bpe", "char", "bytes"]
PAD, BOS, EOS, MESSAGE_START, MESSAGE_END = CONTROL_TOKENS = ("<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>")

# Qwen2's pre-split: contractions, words, single digits, punctuation, line ends, spaces. llama.cpp knows it as `qwen2`.
PRE_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ROLES = ("system", "user", "assistant", "tool")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{{ message['content'] }}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Learning merges on Chinese takes about 250 bytes of memory for each byte of text, because most clauses are unique.
SAMPLE_BYTES = 6_000_000
SAMPLE_PART = 5_000  # characters taken or left together


def _byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
_CHARACTER_OF = {byte: character for character, byte in _BYTE_OF.items()}


class Tokenizer:
    """A trained tokenizer.

    >>> tokenizer = Tokenizer.train(["to be or not to be"], kind="char")
    >>> tokenizer.decode(tokenizer.encode("be 新"))
    'be 新'
    """

    def __init__(self, backend: tokenizers.Tokenizer, chat_template: str = CHAT_TEMPLATE) -> None:
        self.backend = backend
        self.chat_template = chat_template
        backend.encode_special_tokens = True  # text is text, also when it reads "<eos>"
        backend.no_truncation()  # other tools save their settings of these with the tokenizer
        backend.no_padding()
        ids = [index for index in map(backend.token_to_id, (PAD, BOS, EOS)) if index is not None]
        if len(set(ids)) != 3:
            raise XinyeError(f"tokenizer.json: the tokens {PAD}, {BOS} and {EOS} must be there, with ids of their own")
        if not isinstance(backend.decoder, decoders.ByteLevel):
            raise XinyeError("tokenizer.json: its tokens do not stand for bytes; only byte-level tokenizers work here")
        self.pad_id, self.bos_id, self.eos_id = ids

    # -- making, loading, saving ------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "bpe",
        vocab_size: int | None = None,
        exact: bool = True,
        show_progress: bool = False,
    ) -> "Tokenizer":
        """Learn a tokenizer from texts; the same texts always give the same one.

        `vocab_size` counts everything: control tokens, the 256 bytes, merges. It is ignored by `bytes`; `char` without
        it takes every character. With `exact`, texts that do not support the size asked for are a `XinyeError`.
        """
        if kind not in get_args(Kind):
            raise XinyeError(f"unknown kind of tokenizer {kind!r}; choose one of {', '.join(get_args(Kind))}")
        smallest = len(CONTROL_TOKENS) + 256
        if kind != "bytes" and vocab_size is not None and vocab_size < smallest:
            raise XinyeError(
                f"vocabulary of {vocab_size} is too small: the 256 bytes and control tokens take {smallest}"
            )
        if kind == "bpe":
            backend = cls._train_bpe(texts, vocab_size or 8192, show_progress)
        else:
            merges = [] if kind == "bytes" else _character_merges(texts, vocab_size)
            backend = tokenizers.Tokenizer(_bpe_model(merges))
            _complete(backend)
        tokenizer = cls(backend)
        if kind == "bpe" and exact and vocab_size is not None and tokenizer.vocab_size < vocab_size:
            raise XinyeError(
                f"a vocabulary of {vocab_size} is more than this text supports: only {tokenizer.vocab_size} tokens "
                f"occur at least twice; use --vocab-size {tokenizer.vocab_size} or less, or auto"
            )
        return tokenizer

    @staticmethod
    def _train_bpe(texts: Iterable[str], vocab_size: int, show_progress: bool) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer(models.BPE())
        _complete(backend)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=[AddedToken(token, special=True) for token in CONTROL_TOKENS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            max_token_length=48,  # bytes: sixteen Chinese characters; without it a repeated clause becomes one token
            show_progress=show_progress,
        )
        backend.train_from_iterator(texts, trainer)
        return backend

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read `tokenizer.json` (and `chat_template.jinja`, if there) from a folder."""
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise XinyeError(f"{folder}: no tokenizer.json there")
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise XinyeError(f"{path}: not a tokenizer ({error})") from None
        template = path.with_name("chat_template.jinja")
        try:
            return cls(backend, template.read_text("utf-8") if template.is_file() else CHAT_TEMPLATE)
        except UnicodeDecodeError as error:
            raise XinyeError(f"{template}: not UTF-8 ({error.reason} at byte {error.start})") from None

    def files(self) -> dict[str, str]:
        """The files of a saved tokenizer, by name: what Hugging Face's `AutoTokenizer` loads as it stands."""
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # without it transformers rebuilds a pre-split of its own
            "pad_token": PAD,
            "bos_token": BOS,
            "eos_token": EOS,
            "add_bos_token": True,
            "add_eos_token": False,
            "additional_special_tokens": [MESSAGE_START, MESSAGE_END],
            "clean_up_tokenization_spaces": False,
        }
        return {
            "tokenizer.json": self.backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
            "chat_template.jinja": self.chat_template,
        }

    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, made if need be; each appears whole or not at all."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            beside = folder / f".{name}.new"
            beside.write_text(text, "utf-8")
            beside.replace(folder / name)

    # -- text and tokens --------------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without `<bos>`; nothing in it is taken for a control token."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts, on all processors."""
        return [item.ids for item in self.backend.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_chat(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> list[int]:
        """Messages (`role`, `content`) as tokens, by the chat template.

        Only the template's own pieces may be control tokens. While it is filled in, each content is held by a mark that
        no message contains.
        """
        contents = [message["content"] for message in messages]
        if odd := [message["role"] for message in messages if message["role"] not in ROLES]:
            raise XinyeError(f"a message's role is {odd[0]!r}; it must be one of {', '.join(ROLES)}")
        stem = "\ue000"
        while any(stem in content for content in contents):
            stem += "\ue000"
        marks = [f"{stem}{i}\ue001" for i in range(len(contents))]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        rest = environment.from_string(self.chat_template).render(
            messages=[{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)],
            add_generation_prompt=add_generation_prompt,
            bos_token=BOS,
            eos_token=EOS,
        )
        tokens: list[int] = []
        for mark, content in zip(marks, contents, strict=True):
            piece, found, rest = rest.partition(mark)
            if not found:
                raise XinyeError("the chat template leaves out a message, changes one, or puts them in another order")
            tokens += self._encode_template(piece) + self.encode(content)
        return tokens + self._encode_template(rest)

    def _encode_template(self, piece: str) -> list[int]:
        return self._template_backend.encode(piece, add_special_tokens=False).ids

    @cached_property
    def _template_backend(self) -> tokenizers.Tokenizer:
        """A twin that knows control tokens; a switch on the first would also be on for other threads."""
        return tokenizers.Tokenizer.from_str(self.backend.to_str())

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; control tokens have none, and bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes[token] for token in tokens).decode("utf-8", "replace")

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes that each token stands for; none for control tokens."""
        table = [b""] * self.vocab_size
        added = {token.content: token.special for token in self.backend.get_added_tokens_decoder().values()}
        for token, index in self.backend.get_vocab().items():
            if token not in added:
                table[index] = bytes(_BYTE_OF[character] for character in token)
            elif not added[token]:
                table[index] = token.encode()
        return table

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """The number of bytes of each token, (V,), for bits per byte."""
        return np.array([len(piece) for piece in self.token_bytes], dtype=np.int64)

    @cached_property
    def token_characters(self) -> np.ndarray:
        """The number of characters that begin in each token, (V,); a byte of UTF-8 that begins none is 10xxxxxx."""
        return np.array([sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.token_bytes], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.blake2b(self.backend.to_str().encode(), digest_size=16).hexdigest()


def _complete(backend: tokenizers.Tokenizer) -> None:
    """Give a model its pre-split, decoder, control tokens and leading `<bos>`."""
    split = pre_tokenizers.Split(Regex(PRE_SPLIT), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in CONTROL_TOKENS])
    bos = backend.token_to_id(BOS)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)]
    )


def _bpe_model(merges: list[tuple[str, str]]) -> models.BPE:
    tokens = [*CONTROL_TOKENS, *(_CHARACTER_OF[byte] for byte in range(256)), *(a + b for a, b in merges)]
    return models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)


def _character_merges(texts: Iterable[str], vocab_size: int | None) -> list[tuple[str, str]]:
    """Merges that build each character of the texts from its bytes, the most frequent characters first.

    A merge starts with the character's first byte, which stands nowhere else, so none reaches over a border.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    room = (vocab_size or 2**31) - len(CONTROL_TOKENS) - 256
    merges: dict[tuple[str, str], None] = {}
    for character, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        symbols = [_CHARACTER_OF[byte] for byte in character.encode("utf-8", "ignore")]
        new = [("".join(symbols[:i]), symbols[i]) for i in range(1, len(symbols))]
        new = [merge for merge in new if merge not in merges]
        if len(merges) + len(new) > room:
            break
        merges.update(dict.fromkeys(new))
    return list(merges)


def sample_texts(texts: Iterable[str], budget: int = SAMPLE_BYTES) -> tuple[list[str], int]:
    """A share of the texts of about `budget` bytes, spread evenly over all of them, and the characters in all.

    Every part is kept until the budget is spent, then every second one, then every fourth …, so that nothing has to be
    known beforehand, and the same texts always give the same sample.
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


def describe(tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    """What a tokenizer makes of a text, in numbers."""
    tokens = tokenizer.encode(text)
    return {
        "vocab_size": tokenizer.vocab_size,
        "tokens_per_character": round(len(tokens) / max(1, len(text)), 3),
        "bytes_per_token": round(len(text.encode("utf-8", "ignore")) / max(1, len(tokens)), 3),
    }
