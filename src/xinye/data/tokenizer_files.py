"""Tokenizers from files: `tokenizer.json`, or GPT-2's two files, and the files beside it.

They may belong to another model: then control tokens have other names, given in other files, and
the files are not trusted. A few lines of a `tokenizer.json` can make a text longer than any memory,
so its growth is measured first.
"""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from xinye.data.files import read_json, read_text
from xinye.data.tokenizer_training import EOS
from xinye.errors import XinyeError

LARGEST_TEMPLATE = 1 << 20  # bytes
# what tokenizer_config.json calls them
NAMED = ("pad_token", "bos_token", "eos_token", "unk_token")
_GPT2 = "<|endoftext|>"
MOST_GROWTH = 100  # times; Llama 2's makes 12 of one, NFKC before a byte-level split 22
MOST_PARTS = 100  # of a tokenizer.json that change a text one after the other
_INNER = ("normalizers", "pretokenizers", "processors", "decoders")
_TIMES = {  # in bytes, at worst
    "ByteLevel": 2, "Metaspace": 4, "NFC": 3, "NFD": 3, "NFKC": 11, "NFKD": 11, "BertNormalizer": 6,
    "Lowercase": 2,
    **dict.fromkeys(
        ("Strip", "StripAccents", "Nmt", "Split", "Digits", "Punctuation", "Whitespace",
         "WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit", "UnicodeScripts",
         "FixedLength", "RobertaProcessing", "BertProcessing", "ByteFallback", "Fuse", "CTC",
         "BPEDecoder", "WordPiece"), 1,
    ),
}  # fmt: skip
_OTHER_TIMES = 4

Json = Mapping[str, Any]  # an object of a file, which is only read


def read_object(path: Path) -> Json:
    """A JSON object; empty where there is no such file."""
    return read_json(path) if path.is_file() else {}


@contextmanager
def panic_reported() -> Iterator[None]:
    """What the library's Rust panics with inside is no `Exception`; here it becomes one line."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise XinyeError(
            f"this tokenizer.json fails on the text ({_first_line(error)}); its pre-tokenizer or "
            "one of its patterns is wrong",
            exit_code=1,
        ) from None


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Whatever the library cannot make a tokenizer of is one line."""
    try:
        yield
    except (XinyeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # Rust panics with what is no Exception
        raise XinyeError(f"{path}: not a tokenizer ({_first_line(error)})") from None


def read_backend(path: Path, most: float = MOST_GROWTH) -> tokenizers.Tokenizer:
    """The tokenizer in a `tokenizer.json`, unless it could make a text more than `most` times as
    long.
    """
    check_growth(read_json(path, "not a tokenizer"), str(path), most)
    with refused(path):
        return tokenizers.Tokenizer.from_file(str(path))


def find_backend(folder: Path, tokenizer_class: str) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if path.is_file():
        return read_backend(path)
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if vocabulary.is_file() and merges.is_file() and tokenizer_class in ("None", "GPT2Tokenizer"):
        return read_gpt2(vocabulary, merges)
    saved = (folder / "tokenizer_config.json").is_file()
    problem = f"{folder}: no tokenizer.json there"
    if saved:
        problem = f"{folder}: no tokenizer.json there; AutoTokenizer's save_pretrained writes one"
    raise XinyeError(problem)


def read_gpt2(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """A tokenizer in GPT-2's own two files, with GPT-2's pre-split."""
    with refused(vocabulary):
        backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    if any(backend.token_to_id(byte) is None for byte in pre_tokenizers.ByteLevel.alphabet()):
        raise XinyeError(f"{vocabulary}: not a byte-level vocabulary such as GPT-2's")
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if backend.token_to_id(_GPT2) is not None:
        backend.add_special_tokens([AddedToken(_GPT2, normalized=False)])
    return backend


def control_tokens(
    folder: Path, config: Json, backend: tokenizers.Tokenizer
) -> tuple[dict[str, str] | None, list[int]]:
    """The control tokens' names, None where they are ours, and the ids that end a text, from the
    files that may tell.

    The tokenizer's own files come first, then the ids of the model's. All that these call special
    becomes special.
    """
    told = {**read_object(folder / "special_tokens_map.json"), **config}
    model = read_object(folder / "config.json")
    names = {}
    for name in NAMED:
        token = _content(told.get(name))
        found = _ids(model, name)
        if token is None and name not in told and found and found[0] < 2**31:
            token = backend.id_to_token(found[0])
        if token and backend.token_to_id(token) is not None:
            names[name] = token
    if "eos_token" not in names:
        if backend.token_to_id(EOS) is not None:
            return None, []
        if backend.token_to_id(_GPT2) is not None:
            names |= {"bos_token": _GPT2, "eos_token": _GPT2}
    make_special(backend, filter(None, map(_content, _listed(told, config))))
    generation = read_object(folder / "generation_config.json")
    return names, _ids(generation, "eos_token") or _ids(model, "eos_token")


def make_special(backend: tokenizers.Tokenizer, tokens: Iterable[str]) -> None:
    """Let these tokens, as far as they are in the vocabulary, be control tokens."""
    known = backend.get_added_tokens_decoder()
    special = {token.content for token in known.values() if token.special}
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False)
            for token in tokens
            if token not in special and backend.token_to_id(token) is not None
        ]
    )


def _ids(data: Json, name: str) -> list[int]:
    value = data.get(f"{name}_id")
    values = value if isinstance(value, list) else [value]
    return [each for each in values if type(each) is int and each >= 0]


def _listed(told: Json, config: Json) -> list[Any]:
    """The further tokens that the tokenizer's files call special."""
    more = told.get("additional_special_tokens") or told.get("extra_special_tokens") or []
    more = [*more.values()] if isinstance(more, dict) else more
    described = config.get("added_tokens_decoder")
    every = described.values() if isinstance(described, dict) else ()
    special = [each for each in every if isinstance(each, dict) and each.get("special")]
    return (more if isinstance(more, list) else []) + special


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _content(token: Any) -> str | None:
    """A token's text: files hold that, or an object around it."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def chat_template(folder: Path, config: Json) -> str | None:
    """The template beside the tokenizer, or in its config: alone, or as the one named `default` of
    several.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_text(path, LARGEST_TEMPLATE)
        except UnicodeDecodeError as error:
            raise XinyeError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    template = config.get("chat_template")
    for each in template if isinstance(template, list) else ():
        if isinstance(each, dict) and each.get("name") == "default":
            template = each.get("template")
    return template if isinstance(template, str) else None


def stands_for_bytes(backend: tokenizers.Tokenizer) -> bool:
    """True for byte-level BPE, False for BPE that falls back on bytes; anything else is a
    `XinyeError`.
    """
    decoder = "" if backend.decoder is None else backend.decoder.__getstate__().decode()
    if isinstance(backend.model, models.BPE):
        if '"ByteLevel"' in decoder:
            return True
        if '"ByteFallback"' in decoder and all(
            backend.token_to_id(f"<0x{byte:02X}>") is not None for byte in range(256)
        ):
            return False
    raise XinyeError(
        "tokenizer.json: its tokens do not stand for bytes; only byte-level BPE and BPE with byte "
        "fallback can be used"
    )


# -- how long a tokenizer.json can make a text -----------------------------------------------------


def check_growth(data: Json, where: str, most: float = MOST_GROWTH) -> None:
    """Raises `XinyeError` where a tokenizer.json could make a text more than `most` times as long,
    or has far too many parts. A part is known by its fields, as the library knows it, not by a type
    that may be left out.
    """
    for names in (("normalizer", "pre_tokenizer", "post_processor"), ("decoder",)):
        parts = [part for name in names for part in _parts(data.get(name))]
        if len(parts) > MOST_PARTS:
            raise XinyeError(
                f"{where}: {len(parts):,} parts change a text one after the other, more than "
                f"{MOST_PARTS}; it is not read, for safety"
            )
        times = math.prod(map(_times, parts))
        if times > most:
            raise XinyeError(
                f"{where}: it could make a text {times:.3g} times as long; it is not read, for "
                "safety"
            )


def _parts(part: Any) -> list[Json]:
    if not isinstance(part, dict):
        return []
    inner = next((part[name] for name in _INNER if isinstance(part.get(name), list)), None)
    return [part] if inner is None else [each for one in inner for each in _parts(one)]


def _times(part: Json) -> float:
    # a template, in which the text may stand again and again
    if isinstance(part.get("single"), list):
        pieces = [piece for piece in part["single"] if isinstance(piece, dict)]
        return max(1, sum("Sequence" in piece for piece in pieces))
    if "pattern" in part and "content" in part:
        return _times_of_replace(part["pattern"], _bytes(part["content"]))
    if "prepend" in part:
        return 1 + _bytes(part["prepend"])
    if "precompiled_charsmap" in part:
        return _times_of_table(str(part["precompiled_charsmap"]))
    return _TIMES.get(str(part.get("type")), _OTHER_TIMES)


def _bytes(text: object) -> int:
    return len(str(text).encode("utf-8", "replace"))


def _times_of_replace(pattern: Any, content: int) -> float:
    """Of a replacement of so many bytes; a regular expression may match between all characters."""
    text = pattern.get("String") if isinstance(pattern, dict) else pattern
    if isinstance(text, str) and text:
        return max(1.0, content / _bytes(text))
    return 1 + content


def _times_of_table(text: str) -> float:
    """Of SentencePiece's table: the size of a tree, the tree, and what characters become, each
    ended by a zero. The longest of those is of a character of three bytes. A size that lies would
    be allocated.
    """
    try:
        table = base64.b64decode(text)
    except ValueError:
        return math.inf
    size = int.from_bytes(table[:4], "little")
    if size % 4 or not 0 < size <= len(table) - 4:
        return math.inf
    return max(1.0, max(map(len, table[4 + size :].split(b"\0"))) / 3)
