"""Text to tokens and back: byte-level BPE that is good at Chinese, or characters, or bytes; and those of other models.

Our three kinds are one thing, a byte-level BPE with Qwen's pre-split in Hugging Face's `tokenizer.json`, and differ
only in their merges: learned ones, those that build single characters, or none. So every text can be encoded, no kind
has an unknown token, and every tool of the field reads all three. Of other tokenizers those are read here whose tokens
stand for bytes, too: byte-level BPE (GPT-2, Qwen, Llama 3) and BPE that falls back on bytes (Llama 2, Mistral).

Every document ends with `<eos>`, and every sequence that a model learns from begins with `<bos>`. What a user types
never becomes a control token: `encode` knows none, only `encode_chat` puts them in, from the template's side.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tokenizers
from tokenizers import (
    AddedToken,
    Encoding,
    Regex,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

from xinye.data.chat import render
from xinye.data.files import read_json, read_text
from xinye.data.tokenizer_growth import check_growth
from xinye.errors import XinyeError, not_unicode

Kind = Literal["bpe", "char", "bytes"]
PAD, BOS, EOS, MESSAGE_START, MESSAGE_END = CONTROL_TOKENS = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<|im_start|>",
    "<|im_end|>",
)

# Qwen2's pre-split: contractions, words, single digits, punctuation, line ends, spaces. llama.cpp knows it as `qwen2`.
PRE_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ROLES = ("system", "user", "assistant", "tool")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{{ message['content'] }}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Learning merges on Chinese takes about 250 bytes of memory for each byte of text, because most clauses are unique.
SAMPLE_BYTES = 6_000_000
SAMPLE_PART = 5_000  # characters taken or left together

LARGEST_TEMPLATE = 1 << 20  # bytes
NAMED = (
    "pad_token",
    "bos_token",
    "eos_token",
    "unk_token",
)  # what tokenizer_config.json calls them
GOLDEN = "chat_golden.json"  # beside the tokenizer of a model that was taught to chat
_GPT2 = "<|endoftext|>"
_PRIVATE = range(
    0xF0000, 0xFFFFE
)  # characters that no text has, or hardly any; marks are made of them


def _byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


_BYTE_OF = _byte_alphabet()
_CHARACTER_OF = {byte: character for character, byte in _BYTE_OF.items()}


class Tokenizer:
    """A trained tokenizer.

    `pad_id`, `bos_id`, `eos_id` are its control tokens; where its model has no `<bos>` or `<pad>`, `<eos>` stands for
    it. `prefix` is what its model is used to see before a text, and `stop_ids` are the tokens that end one.

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
        """`names` are the control tokens by what `NAMED` calls them; without them the tokenizer is one of ours."""
        self.backend = backend
        self.chat_template = chat_template
        self.names = dict(names or {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS})
        backend.encode_special_tokens = True  # text is text, also when it reads "<eos>"
        backend.no_truncation()  # other tools save their settings of these with the tokenizer
        backend.no_padding()
        found = {name: backend.token_to_id(token) for name, token in self.names.items()}
        ids = {name: index for name, index in found.items() if index is not None}
        if names is None and len(set(ids.values())) != 3:
            raise XinyeError(
                f"tokenizer.json: the tokens {PAD}, {BOS} and {EOS} must be there, with ids of their own"
            )
        if "eos_token" not in ids:
            raise XinyeError(
                "tokenizer.json: it has no token that ends a text (eos_token in tokenizer_config.json)"
            )
        known = backend.get_added_tokens_decoder()
        if plain := [
            name for name, index in ids.items() if index not in known or not known[index].special
        ]:
            backend.add_special_tokens(
                [AddedToken(self.names[name], normalized=False) for name in plain]
            )
        self.eos_id = ids["eos_token"]
        self.bos_id = ids.get("bos_token", self.eos_id)
        self.pad_id = ids.get("pad_token", self.eos_id)
        vocabulary = backend.get_vocab()
        self.vocab_size = 1 + max(vocabulary.values())
        if self.vocab_size > 2 * len(vocabulary):
            raise XinyeError(
                f"tokenizer.json: damaged ({len(vocabulary):,} tokens, ids up to {self.vocab_size - 1:,})"
            )
        ends = [self.eos_id, *(index for index in stop_ids if 0 <= index < self.vocab_size)]
        if (
            MESSAGE_END in (chat_template or "") and MESSAGE_END in vocabulary
        ):  # not every model's files tell of it
            ends.append(vocabulary[MESSAGE_END])
        self.stop_ids = frozenset(ends)
        self.golden: dict[str, Any] | None = (
            None  # `messages` and the `ids` that a model learned them as
        )
        self._byte_level = _stands_for_bytes(backend)
        front = backend.encode("a", add_special_tokens=True)
        self.prefix = tuple(front.ids[: (*front.special_tokens_mask, 0).index(0)])

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
            raise XinyeError(
                f"unknown kind of tokenizer {kind!r}; choose one of {', '.join(get_args(Kind))}"
            )
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
    def _train_bpe(
        texts: Iterable[str], vocab_size: int, show_progress: bool
    ) -> tokenizers.Tokenizer:
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
        """Read a folder's `tokenizer.json`, or GPT-2's two files, and what lies beside it: the control tokens' names
        and the chat template."""
        folder = Path(folder)
        config = _read_object(folder / "tokenizer_config.json")
        template = _chat_template(folder, config)
        try:
            backend = _read_backend(folder, str(config.get("tokenizer_class")))
            names, stop_ids = _control_tokens(folder, config, backend)
            tokenizer = cls(backend, template, names, stop_ids)
            tokenizer.golden = _read_object(folder / GOLDEN) or None
        except (XinyeError, KeyboardInterrupt):
            raise
        except (
            BaseException
        ) as error:  # the library raises plain Exception, and what Rust panics with is not even one
            raise XinyeError(
                f"{folder / 'tokenizer.json'}: not a tokenizer ({_first_line(error)})"
            ) from None
        tokenizer._check_golden(folder)
        return tokenizer

    def _check_golden(self, folder: Path) -> None:
        """Raises `XinyeError` where the model learned other tokens for a conversation than it would be given now."""
        if self.golden and self.encode_chat(self.golden.get("messages") or []) != self.golden.get(
            "ids"
        ):
            raise XinyeError(
                f"{folder}: its chat template or tokenizer is not what it was trained with: {GOLDEN} has a "
                "conversation and its tokens, and now it gives others; put the old files back"
            )

    def with_template(self, template: str) -> "Tokenizer":
        """The same tokenizer with another chat template."""
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        return Tokenizer(backend, template, self.names, self.stop_ids)

    def files(self) -> dict[str, str]:
        """The files of a saved tokenizer, by name: what Hugging Face's `AutoTokenizer` loads as it stands."""
        special = {
            index: t.content
            for index, t in self.backend.get_added_tokens_decoder().items()
            if t.special
        }
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # without it transformers rebuilds a pre-split of its own
            **self.names,
            "add_bos_token": self.prefix == (self.bos_id,),
            "add_eos_token": False,
            "additional_special_tokens": [
                token for _, token in sorted(special.items()) if token not in self.names.values()
            ],
            "clean_up_tokenization_spaces": False,
        }
        files = {
            "tokenizer.json": self.backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }
        if self.golden:
            files[GOLDEN] = json.dumps(self.golden, indent=2, ensure_ascii=False) + "\n"
        return files | (
            {} if self.chat_template is None else {"chat_template.jinja": self.chat_template}
        )

    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, made if need be; each appears whole or not at all."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            beside = folder / f".{name}.new"
            beside.write_text(text, "utf-8")
            beside.replace(folder / name)

    # -- text and tokens --------------------------------------------------------------------------------------------

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
            with panic_told():
                return encode(texts, add_special_tokens=special_tokens)
        except TypeError:
            raise XinyeError(
                not_unicode(texts) or f"expected a text, found {str(texts)[:40]}"
            ) from None

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True
    ) -> list[int]:
        """Messages (`role`, `content`) as tokens, by the chat template.

        Only what the template itself writes may become a control token: in the messages a mark keeps their characters
        apart, until the control tokens have been found. Raises `XinyeError` where a message is none, or the template
        fails, takes too long, or is not there.
        """
        if self.chat_template is None:
            raise XinyeError(
                "this model has no chat template: it goes on with texts, and knows no messages"
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
                f"a message has the character U+{ord(mark):X}, which chats cannot have: remove it"
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
        try:
            # of one text, for `encode` lets no other thread of Python run meanwhile
            with panic_told():
                return backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
        except TypeError:  # half a character
            raise XinyeError("a message is not valid Unicode text") from None

    @cached_property
    def _chat_backend(self) -> tuple[str, tokenizers.Tokenizer]:
        """A mark, and a twin that knows control tokens (a switch on the first would also be on for other threads) and
        takes the marks away when it has found them. One of a single character cannot be kept apart, and stays text.

        The mark is the same for all messages: to build the twin takes a second, in which no other thread runs.
        """
        mark = next(
            character
            for character in map(chr, _PRIVATE)
            if character not in str(self.chat_template)
        )
        data = json.loads(self.backend.to_str())
        added = data["added_tokens"]
        data["added_tokens"] = [
            each for each in added if not each["special"] or len(each["content"]) > 1
        ]
        for token in data["added_tokens"]:
            token["normalized"] &= not token["special"]
        unmark = {"type": "Replace", "pattern": {"String": mark}, "content": ""}
        before = [data["normalizer"]] if data["normalizer"] else []
        data["normalizer"] = {"type": "Sequence", "normalizers": [unmark, *before]}
        return mark, tokenizers.Tokenizer.from_str(json.dumps(data))

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; control tokens have none, and bytes that are no UTF-8 become U+FFFD."""
        text = b"".join(self.token_bytes[token] for token in tokens).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.leading_space else text

    @cached_property
    def leading_space(self) -> bool:
        """Whether `encode` puts a space before a text, which is not the text's own (Llama 2, Mistral)."""
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
        """The number of characters that begin in each token, (V,); a byte of UTF-8 that begins none is 10xxxxxx."""
        return np.array(
            [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.token_bytes],
            dtype=np.int64,
        )

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


# -- tokenizers of other models --------------------------------------------------------------------------------------


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    return read_json(path) if path.is_file() else {}


@contextmanager
def panic_told() -> Iterator[None]:
    """What the library's Rust panics with inside is no `Exception`; here it becomes one line."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        message = f"this tokenizer.json cannot read the text ({_first_line(error)}); its split or a pattern is at fault"
        raise XinyeError(message, exit_code=1) from None


def _read_backend(folder: Path, tokenizer_class: str) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
        if (
            vocabulary.is_file()
            and merges.is_file()
            and tokenizer_class in ("None", "GPT2Tokenizer")
        ):
            return read_gpt2(vocabulary, merges)
        hint = (
            "; AutoTokenizer's save_pretrained writes one"
            if (folder / "tokenizer_config.json").is_file()
            else ""
        )
        raise XinyeError(f"{folder}: no tokenizer.json there{hint}")
    check_growth(read_json(path, "not a tokenizer"), str(path))
    return tokenizers.Tokenizer.from_file(str(path))


def read_gpt2(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """A tokenizer in GPT-2's own two files, with GPT-2's pre-split."""
    try:
        backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the library raises plain Exception
        raise XinyeError(f"{vocabulary}: not a tokenizer ({error})") from None
    if any(backend.token_to_id(byte) is None for byte in pre_tokenizers.ByteLevel.alphabet()):
        raise XinyeError(f"{vocabulary}: not a byte-level vocabulary such as GPT-2's")
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if backend.token_to_id(_GPT2) is not None:
        backend.add_special_tokens([AddedToken(_GPT2, normalized=False)])
    return backend


def _control_tokens(
    folder: Path, config: dict[str, Any], backend: tokenizers.Tokenizer
) -> tuple[dict[str, str] | None, list[int]]:
    """The control tokens' names, None where they are ours, and the ids that end a text, from the files that may tell.

    The tokenizer's own files come first, then the ids of the model's. All that these call special becomes special.
    """
    told = {**_read_object(folder / "special_tokens_map.json"), **config}
    model = _read_object(folder / "config.json")
    generation = _read_object(folder / "generation_config.json")

    def ids(data: dict[str, Any], name: str) -> list[int]:
        value = data.get(f"{name}_id")
        return [
            each
            for each in (value if isinstance(value, list) else [value])
            if type(each) is int and each >= 0
        ]

    names = {}
    for name in NAMED:
        token = _content(told.get(name))
        if token is None and name not in told and (found := ids(model, name)) and found[0] < 2**31:
            token = backend.id_to_token(found[0])
        if token and backend.token_to_id(token) is not None:
            names[name] = token
    if "eos_token" not in names and backend.token_to_id(EOS) is not None:
        return None, []
    if "eos_token" not in names and backend.token_to_id(_GPT2) is not None:
        names |= {"bos_token": _GPT2, "eos_token": _GPT2}
    more = told.get("additional_special_tokens") or told.get("extra_special_tokens") or []
    listed = [*more.values()] if isinstance(more, dict) else more if isinstance(more, list) else []
    described = config.get("added_tokens_decoder")
    described = described.values() if isinstance(described, dict) else ()
    listed = [
        *listed,
        *(each for each in described if isinstance(each, dict) and each.get("special")),
    ]
    known = backend.get_added_tokens_decoder()
    for token in map(_content, listed):
        index = None if token is None else backend.token_to_id(token)
        if index is not None and not (index in known and known[index].special):
            backend.add_special_tokens([AddedToken(token, normalized=False)])
    return names, ids(generation, "eos_token") or ids(model, "eos_token")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _content(token: Any) -> str | None:
    """A token's text: files hold that, or an object around it."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """The template beside the tokenizer, or in its config: alone, or as the one named `default` of several."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_text(path, LARGEST_TEMPLATE)
        except UnicodeDecodeError as error:
            raise XinyeError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {
            each.get("name"): each.get("template") for each in template if isinstance(each, dict)
        }
        template = named.get("default")
    return template if isinstance(template, str) else None


def _stands_for_bytes(backend: tokenizers.Tokenizer) -> bool:
    """True for byte-level BPE, False for BPE that falls back on bytes; anything else is a `XinyeError`."""
    decoder = "" if backend.decoder is None else backend.decoder.__getstate__().decode()
    if isinstance(backend.model, models.BPE):
        if '"ByteLevel"' in decoder:
            return True
        if '"ByteFallback"' in decoder and all(
            backend.token_to_id(f"<0x{byte:02X}>") is not None for byte in range(256)
        ):
            return False
    raise XinyeError(
        "tokenizer.json: its tokens do not stand for bytes; only byte-level BPE, and BPE that falls back on bytes, "
        "work here"
    )


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


def _bpe_model(merges: list[tuple[str, str]]) -> models.BPE:
    tokens = [
        *CONTROL_TOKENS,
        *(_CHARACTER_OF[byte] for byte in range(256)),
        *(a + b for a, b in merges),
    ]
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
