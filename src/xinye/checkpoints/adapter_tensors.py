"""The tensors in an adapter's file: changes of matrices, and whole weights that replace those of
the base.

`peft` saves whole weights for `modules_to_save`, for trained biases, and for embeddings that it
changes or that have new rows for new tokens.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from xinye.checkpoints.bases import CONFIG
from xinye.checkpoints.families import Json
from xinye.checkpoints.layout import (
    WRAPPERS,
    check_finite,
    check_shapes,
    file_shapes,
    put_tensors,
    their_name,
)
from xinye.data.files import check_regular
from xinye.errors import XinyeError
from xinye.model.adapter_layers import Change
from xinye.model.adapters import HEADS, outer_sites, sites
from xinye.model.build import Network
from xinye.model.gpt import GPT
from xinye.model.heads import Head

FINGERPRINT = "base_sha256"  # the key in the file's header
PREFIX = "base_model.model."
# parts of names in the state of a model in training, which are not in peft's own files
_IN_TRAINING = re.compile(rf"{WRAPPERS.pattern}|\.modules_to_save(?=\.)|\.default(?=\.|$)")
_CHANGES = re.compile(r"\.lora_(?:[ABE]|embedding_[AB]|magnitude_vector)(?:\.weight)?$")
_BOTTLENECK = (".down.weight", ".down.bias", ".up.weight", ".up.bias")
_VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight")
_LONGEST_PATTERN = 200  # characters


@dataclass(frozen=True)
class AdapterFile:
    """The content of an adapter's file: `learned` weights of adapters by their names there, and
    `whole` weights by Hugging Face's names in the base. `base` is the fingerprint of the base
    model, if the file has it."""

    path: Path
    learned: dict[str, Tensor]
    whole: dict[str, Tensor]
    base: str | None

    def rows(self, *names: str) -> int | None:
        """The number of rows that a matrix of the base has in this file, under one of these names;
        None if it is not there."""
        for name in names:
            for tensors, its in ((self.whole, name), (self.learned, f"{PREFIX}{name}")):
                stem = its.removesuffix(".weight")
                for each in (its, f"{stem}.lora_B.weight"):
                    if each in tensors:
                        return len(tensors[each])
        return None


def read_adapter(path: Path) -> AdapterFile:
    """The tensors of a file. Raises `XinyeError` if it is damaged or holds values that are not
    finite."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            base = (file.metadata() or {}).get(FINGERPRINT)
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        pickled = path.with_suffix(".bin").is_file()
        hint = "; Xinye does not read pickled weights: save them as safetensors" if pickled else ""
        raise XinyeError(
            f"{path}: the file is missing, damaged or cut short ({error}){hint}"
        ) from None
    learned: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        check_finite(tensor, name, path)
        matrix = _CHANGES.search(name) is not None and "magnitude" not in name
        if not tensor.is_floating_point() or tensor.ndim not in ((2,) if matrix else (1, 2)):
            raise XinyeError(
                f"{path}: tensor {name[:100]} has type {tensor.dtype} and shape "
                f"{[*tensor.shape]}, which no weight of an adapter can have"
            )
        plain = _IN_TRAINING.sub("", name).removeprefix("module.")
        if _CHANGES.search(plain):
            learned |= [_as_of_matrix(plain, tensor)]
        elif plain.endswith(_BOTTLENECK) or not plain.startswith("base_model."):
            learned[plain] = tensor
        else:  # with a prefix, peft's names have one part less
            its = plain.removeprefix(PREFIX).removeprefix("base_model.")
            whole[its.replace(".base_layer.", ".")] = tensor
    if len(learned) + len(whole) < len(stored):
        raise XinyeError(f"{path}: the file holds the same tensor under two names")
    return AdapterFile(path, learned, whole, base)


def _as_of_matrix(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A tensor of a change, with its name. That of an embedding is stored transposed; it becomes
    like all others."""
    place, _, part = name.removesuffix(".weight").rpartition(".")
    if part == "lora_embedding_A":
        return f"{place}.lora_B.weight", tensor.T
    if part == "lora_embedding_B":
        return f"{place}.lora_A.weight", tensor.T
    return (f"{name}.weight" if part == "lora_magnitude_vector" else name), tensor.contiguous()


# -- changes of matrices ---------------------------------------------------------------------------


def changes_in(file: AdapterFile, model: Network, config: Json) -> dict[str, Change]:
    """The change of each matrix in a file, by site. Raises `XinyeError` for one that does not fit
    the model."""
    ours = {their_name(site, model): site for site in sites(model) | outer_sites(model)}
    alphas = config.get("alpha_pattern") or {}
    changes = {}
    for name, tensor in file.learned.items():
        place, _, part = name.removesuffix(".weight").rpartition(".")
        if part != "lora_A":
            continue
        place = place.removeprefix(PREFIX)
        if place not in ours:
            raise XinyeError(
                f"{file.path}: tensor {name} changes a matrix that this model does not have or "
                "cannot adapt"
            )
        if not len(tensor) and config.get("peft_type") == "LORA":
            raise XinyeError(
                f"{file.path}: tensor {name} is empty; gather weights that are sharded over "
                "several processes (ZeRO-3, FSDP) before you save them"
            )
        dora = bool(config.get("use_dora"))
        changes[ours[place]] = Change(len(tensor), _matching(alphas, place), dora)
    return changes


def check_patterns(patterns: Json, where: str) -> None:
    """Raise `XinyeError` for an `alpha_pattern` that is not a valid regular expression, or that
    could take for ever to match, as nested repetitions can."""
    for pattern, alpha in patterns.items():
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            raise XinyeError(
                f"{where}: alpha_pattern: {pattern[:50]!r} is not a valid regular expression"
            ) from None
        if len(pattern) > _LONGEST_PATTERN or len(re.findall(r"[*+?{]", pattern)) > 1:
            raise XinyeError(
                f"{where}: alpha_pattern: {pattern[:50]!r} is too complex to match safely; write "
                "the names of the matrices instead"
            )
        if type(alpha) not in (int, float) or not alpha > 0:
            raise XinyeError(
                f"{where}: alpha_pattern: {alpha!r} for {pattern[:50]!r} must be a positive number"
            )


def _matching(patterns: Json, place: str) -> float | None:
    """The value of the first pattern that matches a matrix's name as peft does it: all of it, or
    its end."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", place):
            return float(value)
    return None


# -- whole weights ---------------------------------------------------------------------------------


def put_whole(file: AdapterFile, model: Network, saved_modules: list[str]) -> None:
    """Replace weights of the model by the whole weights of a file, in place.

    If a tied embedding and head were saved as two matrices, they become two. New rows of both, for
    new tokens, enlarge the vocabulary. Raises `XinyeError` for weights that do not fit the model.
    """
    for module in saved_modules:
        # peft lists both names of a head, but a model has only one of them.
        if module not in HEADS and not any(module in name.split(".") for name in file.whole):
            raise XinyeError(
                f"{file.path}: the weights of {module} are missing, but {CONFIG} lists it in "
                "modules_to_save"
            )
    if not file.whole:
        return
    quantized = any(hasattr(module, "blocks") for module in model.modules())
    other = sorted(name for name in file.whole if not name.startswith(HEADS))
    if quantized and other:
        raise XinyeError(
            f"{file.path}: tensor {other[0]} replaces a tensor of the base model, which is "
            "quantized; give the base model before quantization with --base DIR"
        )
    tensors = dict(file.whole)
    table, head = (their_name(name, model) for name in _VOCABULARY)
    gpt = model.gpt if isinstance(model, Head) else model
    if isinstance(model, GPT) and model.config.tie_word_embeddings:
        ends = {name.split(".")[-1] for name in saved_modules}
        two_matrices = ends & {table.split(".")[-2], "lm_head"} or (
            head in tensors and not torch.equal(tensors[head], tensors.get(table, tensors[head]))
        )
        if two_matrices:
            model.untie()
        else:
            tensors = {(table if name == head else name): t for name, t in tensors.items()}
    assert isinstance(gpt, GPT)
    if table in tensors and len(tensors[table]) != gpt.config.vocab_size:
        _resize(model, gpt, len(tensors[table]), head in tensors)
    shapes = file_shapes(model)
    if odd := sorted(tensors.keys() - shapes.keys()):
        raise XinyeError(
            f"{file.path}: has an unknown tensor {odd[0][:100]}; it does not fit its base model"
        )
    check_shapes(
        {name: tensor.shape for name, tensor in tensors.items()},
        {name: shapes[name] for name in tensors},
        f"{file.path}: ",
    )
    put_tensors(tensors, model)


def _resize(model: Network, gpt: GPT, rows: int, with_head: bool) -> None:
    """Change the vocabulary of a model to `rows` tokens. The new weights are zero until the caller
    fills them."""
    config = replace(gpt.config, vocab_size=rows)
    table = gpt.model.embed_tokens
    table.weight = nn.Parameter(table.weight.new_zeros(rows, config.hidden_size))
    table.num_embeddings = rows
    gpt.config = config
    if isinstance(model, Head):
        model.config = replace(
            model.config, backbone=replace(model.config.backbone, vocab_size=rows)
        )
    elif config.tie_word_embeddings or with_head:
        gpt.lm_head.weight = nn.Parameter(torch.zeros_like(table.weight))
        gpt.lm_head.out_features = rows
        gpt.tie()
    else:
        raise XinyeError(
            f"the adapter's embedding has {rows} rows, but the adapter has no output head with as "
            "many"
        )
