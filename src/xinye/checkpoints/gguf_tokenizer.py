"""Converts tokenizers from and to the metadata of GGUF files: tokens, their types, merges or
scores, and the name of a pre-split.

Two models of the format are supported: `gpt2`, byte-level BPE, where the name of the pre-split
stands for regular expressions built into llama.cpp; and `llama`, SentencePiece, which has scores
instead of merges. Both become tokenizers of the `tokenizers` library with the same ids.
"""

import json
import re
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from xinye.checkpoints.gguf_file import Metadata, value_of
from xinye.data.tokenizer import PRE_SPLIT, Tokenizer
from xinye.errors import XinyeError, refuse_first

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = PRE_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WHOLE_WORDS = (_LLAMA3, _TEKKEN)  # with these a word that is a token is not built by merges
PRE_SPLITS: dict[
    str, tuple[str, ...]
] = {  # the splits of each name, in order; of equal ones the first name is written
    "gpt-2": (_GPT2,),
    "qwen2": (PRE_SPLIT,),
    "llama-bpe": (_LLAMA3,),
    "smollm": (r"\p{N}", _GPT2),
    "tekken": (_TEKKEN,),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    **dict.fromkeys(("olmo", "mpt", "phi-2"), (_GPT2,)),
    **dict.fromkeys(("stablelm2", "deepseek-r1-qwen", "megrez"), (PRE_SPLIT,)),
    **dict.fromkeys(("llama3", "llama-v3", "smaug-bpe", "falcon3", "pixtral"), (_LLAMA3,)),
    **dict.fromkeys(("starcoder", "refact", "codeshell"), (r"\p{N}", _GPT2)),
}
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # the types of tokens
_PREFIX = "tokenizer.ggml."
# the names in a file, and those of Hugging Face
_NAMES = {
    "bos_token_id": "bos_token",
    "eos_token_id": "eos_token",
    "padding_token_id": "pad_token",
}
_TURN_ENDS = ("eot_token_id", "eom_token_id")  # end of a turn, end of a message


def from_metadata(metadata: Metadata) -> Tokenizer:
    """The tokenizer that a file's metadata describe. Raises `XinyeError`, without the name of the
    file, if it is damaged or unsupported."""
    if _PREFIX + "model" not in metadata:
        raise XinyeError(f"{_PREFIX}model is missing: the file contains no tokenizer")
    model = value_of(metadata, _PREFIX + "model", str)
    tokens = _texts(metadata, "tokens")
    types = metadata.get(_PREFIX + "token_type", [_NORMAL] * len(tokens))
    matched = isinstance(types, list) and len(types) == len(tokens)
    refuse_first(
        (not matched, "tokenizer.ggml.token_type does not have one value for each token"),
        (len(set(tokens)) < len(tokens), "tokenizer.ggml.tokens: a token occurs twice"),
    )
    vocabulary = {token: index for index, token in enumerate(tokens) if types[index] != _UNUSED}
    if model == "gpt2":
        pre = value_of(metadata, _PREFIX + "pre", str, "default")
        if pre not in PRE_SPLITS:
            raise XinyeError(
                f"the pre-tokenizer {pre[:40]!r} is not supported; Xinye reads "
                f"{', '.join(PRE_SPLITS)}"
            )
        backend = _byte_level(vocabulary, _texts(metadata, "merges"), PRE_SPLITS[pre])
        opens = PRE_SPLITS[pre][0] in _WHOLE_WORDS
    elif model == "llama":
        backend = _sentencepiece(metadata, vocabulary, types)
        opens = True
    else:
        raise XinyeError(
            f"the tokenizer model {model[:40]!r} is not supported; Xinye reads gpt2 and llama"
        )
    by_kind = {
        kind: [token for token, its in zip(tokens, types, strict=True) if its == kind]
        for kind in set(types)
    }
    control, own = by_kind.get(_CONTROL, []), by_kind.get(_USER_DEFINED, [])
    backend.add_special_tokens([AddedToken(token, special=True) for token in control])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in own])
    ids = _ids(metadata, tokens)
    names = {ours: tokens[ids[theirs]] for theirs, ours in _NAMES.items() if theirs in ids}
    if "eos_token" not in names:
        raise XinyeError(
            "tokenizer.ggml.eos_token_id is missing: without it, generated text never ends"
        )
    if value_of(metadata, _PREFIX + "add_bos_token", bool, opens) and "bos_token" in names:
        bos = names["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], special_tokens=[(bos, ids["bos_token_id"])]
        )
    template = metadata.get("tokenizer.chat_template")
    return Tokenizer(
        backend,
        template if isinstance(template, str) else None,
        names,
        [ids[name] for name in _TURN_ENDS if name in ids],
    )


def _ids(metadata: Metadata, tokens: list[str]) -> dict[str, int]:
    """The ids of tokens with a role, by the role's name in the file."""
    named = [name for name in (*_NAMES, *_TURN_ENDS) if _PREFIX + name in metadata]
    ids = {name: value_of(metadata, _PREFIX + name, int) for name in named}
    for name, index in ids.items():
        if index >= len(tokens):
            raise XinyeError(
                f"tokenizer.ggml.{name} is {index}, but there are only {len(tokens):,} tokens"
            )
    return ids


def _byte_level(
    vocabulary: dict[str, int], merges: list[str], splits: tuple[str, ...]
) -> tokenizers.Tokenizer:
    pairs = [
        (merge[:1] + left, right)
        for merge in merges
        for left, _, right in [merge[1:].partition(" ")]
    ]
    try:
        model = models.BPE(vocabulary, pairs, ignore_merges=splits[0] in _WHOLE_WORDS)
    except Exception as error:  # the library raises plain Exception
        raise XinyeError(
            f"tokenizer.ggml.merges do not fit the tokens ({str(error)[:80]})"
        ) from None
    backend = tokenizers.Tokenizer(model)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    parts = [pre_tokenizers.Split(Regex(split), "isolated") for split in splits]
    backend.pre_tokenizer = pre_tokenizers.Sequence([*parts, byte_level])
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(
    metadata: Metadata, vocabulary: dict[str, int], types: list[int]
) -> tokenizers.Tokenizer:
    """A SentencePiece tokenizer. It joins the neighbours whose joint token has the best score, so
    the merges are in the order of scores."""
    scores = metadata.get(_PREFIX + "scores")
    if (
        not isinstance(scores, list)
        or len(scores) != len(types)
        or not isinstance(scores[0], int | float)
    ):
        raise XinyeError("tokenizer.ggml.scores does not have one value for each token")
    pieces = {
        token: index
        for token, index in vocabulary.items()
        if types[index] in (_NORMAL, _USER_DEFINED)
    }
    merges = [
        (-scores[index], pieces[token[:i]], pieces[token[i:]], token[:i], token[i:])
        for token, index in pieces.items()
        if types[index] == _NORMAL
        for i in range(1, len(token))
        if token[:i] in pieces and token[i:] in pieces
    ]
    unknown = next((token for token, index in vocabulary.items() if types[index] == _UNKNOWN), None)
    pairs = [(left, right) for *_, left, right in sorted(merges)]
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocabulary, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=_BYTE in types
        )
    )
    space = (
        [normalizers.Prepend("▁")]
        if value_of(metadata, _PREFIX + "add_space_prefix", bool, True)
        else []
    )
    backend.normalizer = normalizers.Sequence([*space, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if space else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return backend


def to_metadata(tokenizer: Tokenizer, vocab_size: int) -> Metadata:
    """The metadata of a tokenizer. Ids up to the model's `vocab_size` without a token are written
    as unused. Raises `XinyeError` if llama.cpp would split text differently."""
    saved = json.loads(tokenizer.backend.to_str())
    tokens, types = [f"[PAD{index}]" for index in range(vocab_size)], [_UNUSED] * vocab_size
    added = tokenizer.backend.get_added_tokens_decoder()
    for token, index in tokenizer.backend.get_vocab().items():
        tokens[index], types[index] = token, _NORMAL
        if index in added:
            types[index] = _CONTROL if added[index].special else _USER_DEFINED
    if saved["model"].get("byte_fallback"):
        metadata = _sentencepiece_metadata(saved, tokens, types)
    else:
        metadata = _byte_level_metadata(saved)
    metadata |= {
        "tokens": tokens,
        "token_type": types,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "padding_token_id": tokenizer.pad_id,
        "add_bos_token": tokenizer.prefix == (tokenizer.bos_id,),
        "add_eos_token": False,
    }
    metadata |= zip(_TURN_ENDS, sorted(tokenizer.stop_ids - {tokenizer.eos_id}), strict=False)
    template = (
        {}
        if tokenizer.chat_template is None
        else {"tokenizer.chat_template": tokenizer.chat_template}
    )
    return {_PREFIX + name: value for name, value in metadata.items()} | template


def _byte_level_metadata(saved: dict[str, Any]) -> Metadata:
    """The metadata that only byte-level BPE has."""
    model = saved["model"]
    splits = _splits(saved["pre_tokenizer"])
    pre = next((name for name, value in PRE_SPLITS.items() if value == splits), None)
    normalizer = saved["normalizer"] or {"type": None}
    if (
        model["type"] != "BPE"
        or pre is None
        or normalizer["type"]
        not in (None, "NFC")  # llama.cpp does not normalise, but nearly all text is NFC
        or bool(model.get("ignore_merges")) != (splits[0] in _WHOLE_WORDS)
    ):
        raise XinyeError(
            "GGUF: this tokenizer splits text in a way that llama.cpp does not support"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {"model": "gpt2", "pre": pre, "merges": merges}


def _sentencepiece_metadata(saved: dict[str, Any], tokens: list[str], types: list[int]) -> Metadata:
    """The metadata that only SentencePiece's BPE has. It also marks bytes and the unknown token in
    `types`."""
    model = saved["model"]
    prefixes = _space_prefixes(saved)
    if prefixes is None or model.get("ignore_merges") or model.get("dropout"):
        raise XinyeError(
            "GGUF: this tokenizer uses byte fallback like SentencePiece, but normalizes or splits "
            "text in a way that llama.cpp does not support"
        )
    metadata: Metadata = {"model": "llama", "pre": "default"}
    for index, token in enumerate(tokens):
        if re.fullmatch("<0x[0-9A-F]{2}>", token):
            types[index] = _BYTE
        elif token == model.get("unk_token"):
            types[index] = _UNKNOWN
            metadata["unknown_token_id"] = index
    pieces = {token for token, kind in zip(tokens, types, strict=True) if kind == _NORMAL}
    scores = _scores([tuple(merge) for merge in model["merges"]], pieces)
    return metadata | {
        "scores": [scores.get(token, 0.0) for token in tokens],
        "add_space_prefix": bool(prefixes),
    }


def _space_prefixes(saved: dict[str, Any]) -> str | None:
    """When a space is put before a text, if spaces become `▁` and nothing else is changed.

    "always" is what llama.cpp does; "first" only if the text has no space there; "" is never. None
    means that the text is changed in other ways.
    """
    normalizer, splitter = saved["normalizer"], saved["pre_tokenizer"]
    if splitter is None and normalizer is not None:
        parts = normalizer.get("normalizers", [normalizer])
        replaced = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        if parts == [replaced]:
            return ""
        return "always" if parts == [{"type": "Prepend", "prepend": "▁"}, replaced] else None
    metaspace = (splitter or {}).get("type") == "Metaspace" and splitter["replacement"] == "▁"
    if normalizer is not None or not metaspace or splitter["split"]:
        return None
    return "" if splitter["prepend_scheme"] == "never" else "first"


def _scores(merges: list[tuple[str, ...]], pieces: set[str]) -> dict[str, float]:
    """SentencePiece's scores computed from merges: the token that is joined first has the highest
    score.

    llama.cpp joins any two neighbours whose joint text is a token, so there must be a merge for
    each way to split a token in two. Raises `XinyeError` if one is missing, or if the merges are
    not grouped by token.
    """
    scores: dict[str, float] = {}
    last = ""
    for left, right in merges:
        joined = left + right
        if joined != last and joined in scores:
            raise _no_scores(joined)
        scores.setdefault(joined, -float(len(scores)))
        last = joined
    known = set(merges)
    for piece in pieces:
        for cut in range(1, len(piece)):
            parts = piece[:cut], piece[cut:]
            if parts not in known and all(len(part) == 1 or part in pieces for part in parts):
                raise _no_scores(piece)
    return scores


def _no_scores(token: str) -> XinyeError:
    return XinyeError(
        f"GGUF: this tokenizer merges {token!r} in an order that SentencePiece's scores cannot "
        "express, so llama.cpp would split text differently"
    )


def notes(tokenizer: Tokenizer) -> list[str]:
    """Warnings about rare cases in which llama.cpp splits text differently from this tokenizer."""
    saved = json.loads(tokenizer.backend.to_str())
    if saved["model"].get("byte_fallback") and _space_prefixes(saved) == "first":
        return [
            "llama.cpp adds a space before every text and after every control token; this "
            "tokenizer adds one only before a text that does not begin with a space"
        ]
    return []


def _splits(pre_tokenizer: dict[str, Any] | None) -> tuple[str, ...]:
    """The regular expressions of a byte-level pre-split, in order; empty if it is of another
    kind."""
    if pre_tokenizer is None:
        return ()
    splits: list[str] = []
    for part in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        if part["type"] == "Split" and part["behavior"] == "Isolated" and not part["invert"]:
            splits.append(part["pattern"].get("Regex", ""))
        elif part["type"] == "Digits" and part["individual_digits"]:
            splits.append(r"\p{N}")
        elif part["type"] == "ByteLevel" and not part["add_prefix_space"]:
            splits += [_GPT2] if part["use_regex"] else []
        else:
            return ()
    return tuple(splits)


def _texts(metadata: Metadata, name: str) -> list[str]:
    values = value_of(metadata, _PREFIX + name, list)
    if not all(isinstance(value, str) for value in values):
        raise XinyeError(f"tokenizer.ggml.{name} must be a list of texts")
    return values
