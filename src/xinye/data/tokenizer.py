"""Turns text into tokens and back: byte-level BPE that is good at Chinese, characters, or bytes,
and tokenizers of other models.

Our three kinds are all byte-level BPE with Qwen's pre-split in Hugging Face's `tokenizer.json`.
They only differ in their merges: learned ones, those that build single characters, or none. So
every text can be encoded, there is no unknown token, and every tool of the field can read all
three. Of other models' tokenizers, Xinye reads those whose tokens stand for bytes: byte-level BPE
(GPT-2, Qwen, Llama 3) and BPE with byte fallback (Llama 2, Mistral).

Every document ends with `<eos>`, and every training sequence begins with `<bos>`. Text that a user
types never becomes a control token: `encode` produces none, and `encode_chat` only produces those
that the template writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Encoding

from xinye.data.chat import render
from xinye.data.chat_templates import CHAT_TEMPLATE
from xinye.data.files import written_beside
from xinye.data.token_bytes import bytes_of_tokens
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
from xinye.data.tool_calls import (
    CallFormat,
    example,
    format_of,
    may_know_tools,
    shows_tools,
    textual,
    without_tools,
)
from xinye.errors import XinyeError, not_unicode

__all__ = [
    "CHAT_TEMPLATE", "CONTROL_TOKENS", "MESSAGE_END", "MESSAGE_START", "PRE_SPLIT", "ROLES", "Kind",
    "Tokenizer", "panic_reported", "read_backend", "read_gpt2", "sample_texts",
]  # fmt: skip

ROLES = ("system", "user", "assistant", "tool")
GOLDEN = "chat_golden.json"  # saved next to the tokenizer of a chat model
# Private-use characters, which almost no text contains; marks are made of them.
_PRIVATE = range(0xF0000, 0xFFFFE)


class Tokenizer:
    """A trained tokenizer.

    `pad_id`, `bos_id` and `eos_id` are its control tokens; if the vocabulary has no `<bos>` or
    `<pad>`, they equal `eos_id`. `prefix` holds the tokens that its model expects before a text,
    and `stop_ids` those that end one. `vocab_size` counts all tokens.

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
        """`names` maps the names in `NAMED` to control tokens; None means Xinye's own control
        tokens. Raises `XinyeError` if control tokens are missing or the vocabulary is damaged.
        """
        self.backend = backend
        self.chat_template = chat_template
        self.names = dict(names or {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS})
        # An example chat (`messages`) and the token `ids` that the model was trained on for it.
        self.golden: Json | None = None
        backend.encode_special_tokens = True  # text is text, also when it reads "<eos>"
        backend.no_truncation()  # other tools save truncation and padding in tokenizer.json
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
        # Not every model's files list this token as an end.
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

    # -- training, loading, saving -----------------------------------------------------------------

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "bpe",
        vocab_size: int | None = None,
        exact: bool = True,
        show_progress: bool = False,
    ) -> "Tokenizer":
        """Train a tokenizer on texts. The same texts always give the same tokenizer.

        `kind` is "bpe", "char" or "bytes". `vocab_size` counts everything: control tokens, the 256
        bytes and merges. `bytes` ignores it; `char` without it takes every character. Raises
        `XinyeError` if the size is too small, or if, with `exact`, the texts do not contain enough
        for it.
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
        """Load a tokenizer from a folder: `tokenizer.json` or GPT-2's two files, the names of the
        control tokens, and the chat template.

        Raises `XinyeError` if no tokenizer can be read, or if the chat template now gives other
        tokens than the model was trained on.
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
        """A copy of this tokenizer with another chat template, or with none."""
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        return Tokenizer(backend, template, self.names, self.stop_ids)

    def files(self) -> dict[str, str]:
        """The contents of a saved tokenizer's files, keyed by name. Hugging Face's `AutoTokenizer`
        can load them.
        """
        added = sorted(self.backend.get_added_tokens_decoder().items())
        special = [token.content for _, token in added if token.special]
        config = {
            # Without this, transformers uses a different pre-split.
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
        """Save the tokenizer's files to a folder, which is created if missing. A reader never sees
        a half-written file.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            with written_beside(folder / name) as beside:
                beside.write_text(text, "utf-8")

    # -- text and tokens ---------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without `prefix`. Control tokens in the text are encoded as
        plain text. Raises `XinyeError` if the text is not valid Unicode.
        """
        return self._encoded(self.backend.encode, text).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of many texts, as from `encode`, computed on all processors."""
        return [item.ids for item in self._encoded(self.backend.encode_batch_fast, texts)]

    def encodings(self, texts: Sequence[Any], special_tokens: bool = False) -> list[Encoding]:
        """The tokens of texts, or of pairs of texts, with the place of each token in the text
        (`offsets`, in characters). With `special_tokens`, the control tokens around a text are
        added.
        """
        return self._encoded(self.backend.encode_batch, texts, special_tokens)

    @staticmethod
    def _encoded(encode: Callable[..., Any], texts: Any, special_tokens: bool = False) -> Any:
        """The backend's result. Raises `XinyeError` for anything that is not text."""
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
        """The token ids of messages (`role`, `content`), by the chat template.

        With `add_generation_prompt` they end where the assistant's answer begins. Only what the
        template itself writes can become a control token. Tools and calls, as in `tool_calls.py`,
        are written as text if the template does not know them. Raises `XinyeError` for a message
        without a known role or text, and if the template is missing, fails or takes too long.
        """
        if odd := [message.get("role") for message in messages if message.get("role") not in ROLES]:
            raise XinyeError(
                f"a message's role is {odd[0]!r}; it must be one of {', '.join(ROLES)}"
            )
        if any(not isinstance(message.get("content"), str) for message in messages):
            raise XinyeError("a message's content is not a text")
        text = self._chat_text([dict(message) for message in messages], add_generation_prompt)
        _, backend = self._chat_backend
        # A batch of one text, because `encode` does not release Python's lock.
        return self._encoded(backend.encode_batch_fast, [text])[0].ids

    def _chat_text(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The text of a chat, with marks that keep what messages say from being control tokens."""
        if self.chat_template is None:
            raise XinyeError(
                "this model has no chat template: it continues texts, and cannot read messages"
            )
        mark, _ = self._chat_backend
        if mark in json.dumps(messages, ensure_ascii=False):
            raise XinyeError(
                f"a message has the character U+{ord(mark):X}, which chats cannot hold; remove it"
            )
        has_tools = any(each.get("tools") or each.get("tool_calls") for each in messages)
        if has_tools and not self.knows_tools:
            messages = textual(messages)
        return self._filled_in(messages, add_generation_prompt)

    def _filled_in(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The text that the chat template makes of messages."""
        mark, _ = self._chat_backend
        messages, tools = without_tools(messages)
        added = self.backend.get_added_tokens_decoder().values()
        return render(
            str(self.chat_template),
            messages,
            self.names | {"add_generation_prompt": add_generation_prompt, "tools": tools},
            [token.content for token in added if token.special],
            [token.content for token in added if not token.special],
            mark,
        )

    @cached_property
    def call_format(self) -> CallFormat | None:
        """The format in which the model calls tools, or None if its chat template knows none, or
        another one. Raises `XinyeError` if the template cannot be filled in.
        """
        return format_of(self._example) if may_know_tools(self.chat_template) else None

    @cached_property
    def knows_tools(self) -> bool:
        """True if the chat template writes both the tools and the calls of messages."""
        if not may_know_tools(self.chat_template):
            return False
        try:
            return shows_tools(self._example)
        except XinyeError:
            return True  # it may not fail for the messages that are to come

    @cached_property
    def _example(self) -> str:
        return self._filled_in(example(), add_generation_prompt=False)

    @cached_property
    def _chat_backend(self) -> tuple[str, tokenizers.Tokenizer]:
        """A mark, and a copy of the backend that finds control tokens first and removes the marks
        after that. The original must not find control tokens, because other threads use it. Control
        tokens of a single character cannot be split by a mark, so they stay text.

        All messages share one mark, because building the copy takes a second and blocks other
        threads.
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
        """The text of token ids. Control tokens give no text; bytes that are not UTF-8 become
        U+FFFD.
        """
        text = b"".join(self.token_bytes[token] for token in tokens).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.leading_space else text

    @cached_property
    def leading_space(self) -> bool:
        """True if `encode` adds a space before a text, as in Llama 2 and Mistral."""
        return not self._byte_level and self.token_bytes[self.encode("a")[0]].startswith(b" ")

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of each token, by id; b"" for control tokens, except those around calls of
        tools."""
        found = bytes_of_tokens(self.backend, self._byte_level)
        return [found.get(index, b"") for index in range(self.vocab_size)]

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """The number of bytes of each token, (V,), to compute bits per byte."""
        return np.array([len(piece) for piece in self.token_bytes], dtype=np.int64)

    @cached_property
    def token_characters(self) -> np.ndarray:
        """The number of characters that begin in each token, (V,). In UTF-8, a byte 10xxxxxx does
        not begin a character.
        """
        return np.array(
            [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.token_bytes],
            dtype=np.int64,
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the tokenizer's complete `tokenizer.json`."""
        return hashlib.blake2b(self.backend.to_str().encode(), digest_size=16).hexdigest()
