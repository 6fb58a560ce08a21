"""Tokenizers from files: `tokenizer.json`, or GPT-2's two files, and what lies beside it.

That may be another model's: its control tokens have other names, told in other files, and the files
are not trusted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from xinye.data.files import read_json, read_text
from xinye.data.tokenizer_growth import MOST, check_growth
from xinye.data.tokenizer_training import EOS
from xinye.errors import XinyeError

LARGEST_TEMPLATE = 1 << 20  # bytes
# what tokenizer_config.json calls them
NAMED = (
    "pad_token",
    "bos_token",
    "eos_token",
    "unk_token",
)
_GPT2 = "<|endoftext|>"


def read_object(path: Path) -> dict[str, Any]:
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
        problem = f"this tokenizer.json cannot read the text ({_first_line(error)})"
        raise XinyeError(f"{problem}; its split or a pattern is at fault", exit_code=1) from None


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Whatever the library cannot make a tokenizer of is one line."""
    try:
        yield
    except (XinyeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # Rust panics with what is no Exception
        raise XinyeError(f"{path}: not a tokenizer ({_first_line(error)})") from None


def read_backend(path: Path, most: float = MOST) -> tokenizers.Tokenizer:
    """The tokenizer in a `tokenizer.json`, unless it could make a text more than `most` times as
    long.
    """
    check_growth(read_json(path, "not a tokenizer"), str(path), most)
    with refused(path):
        return tokenizers.Tokenizer.from_file(str(path))


def find_backend(folder: Path, tokenizer_class: str) -> tokenizers.Tokenizer:
    path, vocabulary, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    if path.is_file():
        return read_backend(path)
    if vocabulary.is_file() and merges.is_file() and tokenizer_class in ("None", "GPT2Tokenizer"):
        return read_gpt2(vocabulary, merges)
    saved = (folder / "tokenizer_config.json").is_file()
    hint = "; AutoTokenizer's save_pretrained writes one" if saved else ""
    raise XinyeError(f"{folder}: no tokenizer.json there{hint}")


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
    folder: Path, config: dict[str, Any], backend: tokenizers.Tokenizer
) -> tuple[dict[str, str] | None, list[int]]:
    """The control tokens' names, None where they are ours, and the ids that end a text, from the
    files that may tell.

    The tokenizer's own files come first, then the ids of the model's. All that these call special
    becomes special.
    """
    told = {**read_object(folder / "special_tokens_map.json"), **config}
    model = read_object(folder / "config.json")
    generation = read_object(folder / "generation_config.json")
    names = {}
    for name in NAMED:
        token = _content(told.get(name))
        found = _ids(model, name)
        if token is None and name not in told and found and found[0] < 2**31:
            token = backend.id_to_token(found[0])
        if token and backend.token_to_id(token) is not None:
            names[name] = token
    if "eos_token" not in names and backend.token_to_id(EOS) is not None:
        return None, []
    if "eos_token" not in names and backend.token_to_id(_GPT2) is not None:
        names |= {"bos_token": _GPT2, "eos_token": _GPT2}
    known = backend.get_added_tokens_decoder()
    for token in map(_content, _listed(told, config)):
        index = None if token is None else backend.token_to_id(token)
        if index is not None and not (index in known and known[index].special):
            backend.add_special_tokens([AddedToken(token, normalized=False)])
    return names, _ids(generation, "eos_token") or _ids(model, "eos_token")


def _ids(data: dict[str, Any], name: str) -> list[int]:
    value = data.get(f"{name}_id")
    values = value if isinstance(value, list) else [value]
    return [each for each in values if type(each) is int and each >= 0]


def _listed(told: dict[str, Any], config: dict[str, Any]) -> list[Any]:
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


def chat_template(folder: Path, config: dict[str, Any]) -> str | None:
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
    if isinstance(template, list):
        named = {
            each.get("name"): each.get("template") for each in template if isinstance(each, dict)
        }
        template = named.get("default")
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
        "tokenizer.json: its tokens do not stand for bytes; only byte-level BPE, and BPE that "
        "falls back on bytes, work here"
    )
