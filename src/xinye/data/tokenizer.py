"""Text to tokens and back: byte-level BPE that is good at Chinese, or characters, or bytes; and
those of other models.

Our three kinds are one thing, a byte-level BPE with Qwen's pre-split in Hugging Face's
`tokenizer.json`, and differ only in their merges: learned ones, those that build single characters,
or none. So every text can be encoded, no kind has an unknown token, and every tool of the field
reads all three. Of other tokenizers those are read here whose tokens stand for bytes, too:
byte-level BPE (GPT-2, Qwen, Llama 3) and BPE that falls back on bytes (Llama 2, Mistral).

Every document ends with `<eos>`, and every sequence that a model learns from begins with `<bos>`.
What a user types never becomes a control token: `encode` knows none, only `encode_chat` puts them
in, from the template's side.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Encoding

from xinye.data.chat import render
from xinye.data.files import written_beside
from xinye.data.tokenizer_files import (
    Json,
    chat_template,
    control_tokens,
    find_backend,
    make_special,
    panic_reported,
    read_backend,
    read_gpt2,
    read_object,
    refused,
    stands_for_bytes,
)
from xinye.data.tokenizer_training import (
    BOS,
    CHARACTERS,
    CONTROL_TOKENS,
    EOS,
    MESSAGE_END,
    MESSAGE_START,
    PAD,
    PRE_SPLIT,
    Kind,
    learn,
    sample_texts,
)
from xinye.errors import XinyeError, not_unicode

__all__ = [
    "CHAT_TEMPLATE", "CONTROL_TOKENS", "MESSAGE_END", "MESSAGE_START", "PRE_SPLIT", "ROLES", "Kind",
    "Tokenizer", "panic_reported", "read_backend", "read_gpt2", "sample_texts",
]  # fmt: skip

ROLES = ("system", "user", "assistant", "tool")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ "
    "message['content'] }}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}"
)
GOLDEN = "chat_golden.json"  # beside the tokenizer of a model that was taught to chat
# characters that no text has, or hardly any; marks are made of them
_PRIVATE = range(0xF0000, 0xFFFFE)
_BYTE_OF = {character: byte for byte, character in enumerate(CHARACTERS)}


class Tokenizer:
    """A trained tokenizer.

    `pad_id`, `bos_id`, `eos_id` are its control tokens; where its model has no `<bos>` or `<pad>`,
    `<eos>` stands for it. `prefix` is what its model is used to see before a text, and `stop_ids`
    are the tokens that end one.

    >>> tokenizer = Tokenizer.train(["to be or not to be"], kind="char")
    >>> tokenizer.decode(tokenizer.encode("be 新"))
    'be 新'
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        chat_template: str | None = CHAT_TEMPLATE,
        names: Mapping[str, str] | None = None,
        stop_ids: Iterable[int] = (),
    ) -> None:
        """`names` are the control tokens by what `NAMED` calls them; without them the tokenizer is
        one of ours.
        """
        self.backend = backend
        self.chat_template = chat_template
        self.names = dict(names or {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS})
        # The `messages` of a chat, and the `ids` that a model learned them as.
        self.golden: Json | None = None
        backend.encode_special_tokens = True  # text is text, also when it reads "<eos>"
        backend.no_truncation()  # other tools save their settings of these with the tokenizer
        backend.no_padding()
        vocabulary = backend.get_vocab()
        ids = {name: vocabulary[token] for name, token in self.names.items() if token in vocabulary}
        if names is None and len(set(ids.values())) != 3:
            raise XinyeError(
                f"tokenizer.json: the tokens {PAD}, {BOS} and {EOS} must exist, each with "
                "its own id"
            )
        if "eos_token" not in ids:
            raise XinyeError(
                "tokenizer.json: it has no token that ends a text; name one in "
                "tokenizer_config.json (eos_token)"
            )
        make_special(backend, self.names.values())
        self.eos_id = ids["eos_token"]
        self.bos_id = ids.get("bos_token", self.eos_id)
        self.pad_id = ids.get("pad_token", self.eos_id)
        self.vocab_size = 1 + max(vocabulary.values())
        if self.vocab_size > 2 * len(vocabulary):
            raise XinyeError(
                f"tokenizer.json: damaged ({len(vocabulary):,} tokens, ids up to "
                f"{self.vocab_size - 1:,})"
            )
        ends = [self.eos_id, *(index for index in stop_ids if 0 <= index < self.vocab_size)]
        # not every model's files tell of it
        if MESSAGE_END in (chat_template or "") and MESSAGE_END in vocabulary:
            ends.append(vocabulary[MESSAGE_END])
        self.stop_ids = frozenset(ends)
        self._byte_level = stands_for_bytes(backend)
        front = backend.encode("a", add_special_tokens=True)
        self.prefix = tuple(front.ids[: (*front.special_tokens_mask, 0).index(0)])
        if unknown := [index for index in front.ids if index >= self.vocab_size]:
            raise XinyeError(
                f"tokenizer.json: damaged (its post_processor adds the token {unknown[0]:,}, but "
                f"the vocabulary ends at {self.vocab_size - 1:,})"
            )

    # -- making, loading, saving -------------------------------------------------------------------

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

        `vocab_size` counts everything: control tokens, the 256 bytes, merges. It is ignored by
        `bytes`; `char` without it takes every character. With `exact`, texts that do not support
        the size asked for are a `XinyeError`.
        """
        tokenizer = cls(learn(texts, kind, vocab_size, show_progress))
        size = tokenizer.vocab_size
        if kind == "bpe" and exact and vocab_size is not None and size < vocab_size:
            raise XinyeError(
                f"a vocabulary of {vocab_size} is more than this text supports: only {size} tokens "
                f"occur at least twice; use --vocab-size {size} or less, or auto"
            )
        return tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read a folder's `tokenizer.json`, or GPT-2's two files, and what lies beside it: the
        control tokens' names and the chat template. Raises `XinyeError`, too, where the model
        learned other tokens for a conversation than it would be given now.
        """
        folder = Path(folder)
        config = read_object(folder / "tokenizer_config.json")
        template = chat_template(folder, config)
        with refused(folder / "tokenizer.json"):
            backend = find_backend(folder, str(config.get("tokenizer_class")))
            tokenizer = cls(backend, template, *control_tokens(folder, config, backend))
            tokenizer.golden = golden = read_object(folder / GOLDEN) or None
        if golden and tokenizer.encode_chat(golden.get("messages") or []) != golden.get("ids"):
            raise XinyeError(
                f"{folder}: its chat template or tokenizer has changed since training: the "
                f"conversation in {GOLDEN} gives other tokens now; restore the old files"
            )
        return tokenizer

    def with_template(self, template: str | None) -> "Tokenizer":
        """The same tokenizer with another chat template, or none."""
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        return Tokenizer(backend, template, self.names, self.stop_ids)

    def files(self) -> dict[str, str]:
        """The files of a saved tokenizer, by name: what Hugging Face's `AutoTokenizer` loads as it
        stands.
        """
        added = sorted(self.backend.get_added_tokens_decoder().items())
        special = [token.content for _, token in added if token.special]
        config = {
            # Without it transformers rebuilds a pre-split of its own.
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self.names,
            "add_bos_token": self.prefix == (self.bos_id,),
            "add_eos_token": False,
            "additional_special_tokens": [
                token for token in special if token not in self.names.values()
            ],
            "clean_up_tokenization_spaces": False,
        }
        files = {
            "tokenizer.json": self.backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }
        if self.golden:
            files[GOLDEN] = json.dumps(self.golden, indent=2, ensure_ascii=False) + "\n"
        if self.chat_template is not None:
            files["chat_template.jinja"] = self.chat_template
        return files

    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, made if need be; each appears whole or not at
        all.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            with written_beside(folder / name) as beside:
                beside.write_text(text, "utf-8")

    # -- text and tokens ---------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without `prefix`; nothing in it is taken for a control token."""
        return self._encoded(self.backend.encode, text).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts, on all processors."""
        return [item.ids for item in self._encoded(self.backend.encode_batch_fast, texts)]

    def encodings(self, texts: Sequence[Any], special_tokens: bool = False) -> list[Encoding]:
        """Texts, or pairs of them, as tokens with their places in the text (`offsets`)."""
        return self._encoded(self.backend.encode_batch, texts, special_tokens)

    @staticmethod
    def _encoded(encode: Callable[..., Any], texts: Any, special_tokens: bool = False) -> Any:
        """What the backend makes of texts. Raises `XinyeError` for what is none."""
        try:
            with panic_reported():
                return encode(texts, add_special_tokens=special_tokens)
        except TypeError:
            raise XinyeError(
                not_unicode(texts) or f"expected a text, found {str(texts)[:40]}"
            ) from None

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True
    ) -> list[int]:
        """Messages (`role`, `content`) as tokens, by the chat template.

        Only what the template itself writes may become a control token: in the messages a mark
        keeps their characters apart, until the control tokens have been found. Raises `XinyeError`
        where a message is none, or the template fails, takes too long, or is not there.
        """
        if self.chat_template is None:
            raise XinyeError(
                "this model has no chat template: it continues texts, and cannot read messages"
            )
        if odd := [message.get("role") for message in messages if message.get("role") not in ROLES]:
            raise XinyeError(
                f"a message's role is {odd[0]!r}; it must be one of {', '.join(ROLES)}"
            )
        if any(not isinstance(message.get("content"), str) for message in messages):
            raise XinyeError("a message's content is not a text")
        mark, backend = self._chat_backend
        if mark in json.dumps([*messages], ensure_ascii=False):
            raise XinyeError(
                f"a message has the character U+{ord(mark):X}, which chats cannot hold; remove it"
            )
        added = self.backend.get_added_tokens_decoder().values()
        text = render(
            self.chat_template,
            messages,
            self.names | {"add_generation_prompt": add_generation_prompt},
            [token.content for token in added if token.special],
            [token.content for token in added if not token.special],
            mark,
        )
        # of one text, for `encode` lets no other thread of Python run meanwhile
        return self._encoded(backend.encode_batch_fast, [text])[0].ids

    @cached_property
    def _chat_backend(self) -> tuple[str, tokenizers.Tokenizer]:
        """A mark, and a twin that knows control tokens (a switch on the first would also be on for
        other threads) and takes the marks away when it has found them. One of a single character
        cannot be kept apart, and stays text.

        The mark is the same for all messages: to build the twin takes a second, in which no other
        thread runs.
        """
        mark = next(
            character
            for character in map(chr, _PRIVATE)
            if character not in str(self.chat_template)
        )
        data = json.loads(self.backend.to_str())
        data["added_tokens"] = [
            token | {"normalized": token["normalized"] and not token["special"]}
            for token in data["added_tokens"]
            if not token["special"] or len(token["content"]) > 1
        ]
        unmark = {"type": "Replace", "pattern": {"String": mark}, "content": ""}
        before = [data["normalizer"]] if data["normalizer"] else []
        data["normalizer"] = {"type": "Sequence", "normalizers": [unmark, *before]}
        return mark, tokenizers.Tokenizer.from_str(json.dumps(data))

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; control tokens have none, and bytes that are no UTF-8 become
        U+FFFD.
        """
        text = b"".join(self.token_bytes[token] for token in tokens).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.leading_space else text

    @cached_property
    def leading_space(self) -> bool:
        """Whether `encode` puts a space before a text, which is not the text's own (Llama 2,
        Mistral).
        """
        return not self._byte_level and self.token_bytes[self.encode("a")[0]].startswith(b" ")

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes that each token stands for; none for control tokens."""
        table = [b""] * self.vocab_size
        added = {
            token.content: token.special
            for token in self.backend.get_added_tokens_decoder().values()
        }
        piece_bytes = _bytes_of_characters if self._byte_level else _bytes_of_piece
        for token, index in self.backend.get_vocab().items():
            if token not in added:
                table[index] = piece_bytes(token)
            elif not added[token]:
                table[index] = token.encode()
        return table

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """The number of bytes of each token, (V,), for bits per byte."""
        return np.array([len(piece) for piece in self.token_bytes], dtype=np.int64)

    @cached_property
    def token_characters(self) -> np.ndarray:
        """The number of characters that begin in each token, (V,); a byte of UTF-8 that begins none
        is 10xxxxxx.
        """
        return np.array(
            [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.token_bytes],
            dtype=np.int64,
        )

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.blake2b(self.backend.to_str().encode(), digest_size=16).hexdigest()


def _bytes_of_characters(token: str) -> bytes:
    """The bytes of a token in a byte-level vocabulary."""
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()


def _bytes_of_piece(token: str) -> bytes:
    """The bytes of a token of SentencePiece's kind: `▁` is a space, `<0xAB>` a byte."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()
