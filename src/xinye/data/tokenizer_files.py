"""Loads tokenizers from `tokenizer.json` or GPT-2's two files, and from the files next to them.

These may belong to another model. Then control tokens have other names, which other files define,
and the files are not trusted: a few lines of a `tokenizer.json` can make a text too long for any
memory, so its growth is bounded before it is used.
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
# the control tokens' names in tokenizer_config.json
NAMED = ("pad_token", "bos_token", "eos_token", "unk_token")
_GPT2 = "<|endoftext|>"
MOST_GROWTH = 100  # a factor; Llama 2's tokenizer reaches 12, NFKC before a byte-level split 22
MOST_PARTS = 100  # parts of a tokenizer.json that change a text one after the other
_INNER = ("normalizers", "pretokenizers", "processors", "decoders")
_TIMES = {  # how many times as many bytes each part can produce
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

Json = Mapping[str, Any]  # a JSON object that is only read


def read_object(path: Path) -> Json:
    """The object in a JSON file, or an empty one if the file does not exist."""
    return read_json(path) if path.is_file() else {}


@contextmanager
def panic_reported() -> Iterator[None]:
    """Within this context, a panic of the tokenizers library becomes a `XinyeError`. A panic in
    Rust is not an `Exception` in Python.
    """
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
    """Within this context, every error of the tokenizers library becomes a `XinyeError` about this
    file.
    """
    try:
        yield
    except (XinyeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic in Rust is not an Exception
        raise XinyeError(f"{path}: not a tokenizer ({_first_line(error)})") from None


def read_backend(path: Path, most: float = MOST_GROWTH) -> tokenizers.Tokenizer:
    """The tokenizer in a `tokenizer.json`. Raises `XinyeError` if it is damaged, or if it could
    make a text more than `most` times as long.
    """
    data = read_json(path, "not a tokenizer")
    check_growth(data, str(path), most)
    check_templates(data, str(path))
    with refused(path):
        return tokenizers.Tokenizer.from_file(str(path))


def find_backend(folder: Path, tokenizer_class: str) -> tokenizers.Tokenizer:
    """The tokenizer in a folder. Raises `XinyeError` if there is none."""
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
    """A tokenizer from GPT-2's two files (vocabulary and merges), with GPT-2's pre-split. Raises
    `XinyeError` if the vocabulary is not byte-level.
    """
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
    """The control tokens by their names in `NAMED` (None if they are Xinye's own), and the ids that
    end a text.

    The tokenizer's files have priority over the ids in the model's files. Every token that they
    call special is made special in `backend`.
    """
    settings = {**read_object(folder / "special_tokens_map.json"), **config}
    model = read_object(folder / "config.json")
    names = {}
    for name in NAMED:
        token = _content(settings.get(name))
        found = _ids(model, name)
        if token is None and name not in settings and found and found[0] < 2**31:
            token = backend.id_to_token(found[0])
        if token and backend.token_to_id(token) is not None:
            names[name] = token
    if "eos_token" not in names:
        if backend.token_to_id(EOS) is not None:
            return None, []
        if backend.token_to_id(_GPT2) is not None:
            names |= {"bos_token": _GPT2, "eos_token": _GPT2}
    make_special(backend, filter(None, map(_content, _listed(settings, config))))
    generation = read_object(folder / "generation_config.json")
    return names, _ids(generation, "eos_token") or _ids(model, "eos_token")


def make_special(backend: tokenizers.Tokenizer, tokens: Iterable[str]) -> None:
    """Make these tokens control tokens, as far as the vocabulary has them."""
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


def _listed(settings: Json, config: Json) -> list[Any]:
    """The additional tokens that the tokenizer's files call special."""
    more = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    more = [*more.values()] if isinstance(more, dict) else more
    described = config.get("added_tokens_decoder")
    every = described.values() if isinstance(described, dict) else ()
    special = [each for each in every if isinstance(each, dict) and each.get("special")]
    return (more if isinstance(more, list) else []) + special


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _content(token: Any) -> str | None:
    """A token's text, which files store directly or in an object."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def chat_template(folder: Path, config: Json) -> str | None:
    """The chat template: the file next to the tokenizer, or the one in its config. If the config
    has several, the one named `default`. None if there is none.
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
    """True for byte-level BPE, False for BPE with byte fallback. Raises `XinyeError` for any other
    tokenizer.
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


# -- how much a tokenizer.json can lengthen a text -------------------------------------------------


def check_growth(data: Json, where: str, most: float = MOST_GROWTH) -> None:
    """Raises `XinyeError` if a tokenizer.json could make a text more than `most` times as long, or
    has far too many parts. A part is recognised by its fields, as in the library, because its type
    may be missing.
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


def check_templates(data: Json, where: str) -> None:
    """Raises `XinyeError` for a post-processor's template that would make the library panic: it
    uses a token that is not defined, or a second text for a single one.
    """
    for part in _parts(data.get("post_processor")):
        defined = part.get("special_tokens")
        for name, texts in (("single", ("A",)), ("pair", ("A", "B"))):
            pieces = part.get(name)
            for piece in pieces if isinstance(pieces, list) else ():
                token, text = (_id_of(piece, kind) for kind in ("SpecialToken", "Sequence"))
                if token is not None and isinstance(defined, dict) and token not in defined:
                    raise XinyeError(
                        f"{where}: not a tokenizer (the post_processor's template {name} has the "
                        f"token {token[:50]!r}, which its special_tokens do not define)"
                    )
                if text is not None and text not in texts:
                    raise XinyeError(
                        f"{where}: not a tokenizer (the post_processor's template {name} has no "
                        f"text {text[:50]!r})"
                    )


def _id_of(piece: Any, kind: str) -> str | None:
    """The id of a template's piece, if it is of this kind."""
    found = piece.get(kind) if isinstance(piece, dict) else None
    name = found.get("id") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def _parts(part: Any) -> list[Json]:
    if not isinstance(part, dict):
        return []
    inner = next((part[name] for name in _INNER if isinstance(part.get(name), list)), None)
    return [part] if inner is None else [each for one in inner for each in _parts(one)]


def _times(part: Json) -> float:
    # a template, which may repeat the text
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
    """The growth by a replacement of `content` bytes. A regular expression may match between all
    characters.
    """
    text = pattern.get("String") if isinstance(pattern, dict) else pattern
    if isinstance(text, str) and text:
        return max(1.0, content / _bytes(text))
    return 1 + content


def _times_of_table(text: str) -> float:
    """The growth by SentencePiece's table: the size of a tree, the tree, and the replacements, each
    ended by a zero. The longest replacement may be for a character of three bytes. A wrong size is
    rejected because the library would allocate it.
    """
    try:
        table = base64.b64decode(text)
    except ValueError:
        return math.inf
    size = int.from_bytes(table[:4], "little")
    if size % 4 or not 0 < size <= len(table) - 4:
        return math.inf
    return max(1.0, max(map(len, table[4 + size :].split(b"\0"))) / 3)
