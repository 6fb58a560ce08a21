"""Reads and writes model folders in Hugging Face's format, without `transformers`.

A folder may come from anywhere. Names, shapes and types of all tensors are compared with the config
before anything of their size is allocated or read. A setting that changes the arithmetic and is not
supported raises an error that names it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xinye.checkpoints.families import Json, read_config, to_config_json, token_ids
from xinye.checkpoints.layout import (
    WRAPPERS,
    check_finite,
    check_memory,
    check_shapes,
    from_tensors,
    their_name,
    to_tensors,
)
from xinye.data.files import check_regular, read_json, write_json, written_beside
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import Config, LanguageModel, Network, build
from xinye.model.heads import Head, HeadConfig

# Tensors in old files and in those of training scripts that are computed, not learned.
_BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
    ".rotary_emb.original_inv_freq",
    ".rotary_emb.cos_cached",
    ".rotary_emb.sin_cached",
    ".position_ids",
)
_BACKBONES = {"wte.weight": "transformer.", "embed_tokens.weight": "model."}
_OUTER = re.compile(r"(?:module\.|model\.)*")  # prefixes that a training script adds to names
_DTYPES = ("F32", "F16", "BF16")
PICKLED = (".bin", ".pt", ".pth", ".ckpt")


# -- saving ----------------------------------------------------------------------------------------


def save_model(folder: Path, model: Network, tokenizer: Tokenizer) -> None:
    """Write a model's folder, with or without a head. Each file is written under another name and
    renamed, the weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    write_json(folder / "config.json", to_config_json(model.config, tokenizer) | {"dtype": dtype})
    if not isinstance(model, Head):
        generation: Json = {
            name: value for name, value in token_ids(tokenizer).items() if value is not None
        }
        if others := sorted(tokenizer.stop_ids - {tokenizer.eos_id}):
            generation["eos_token_id"] = [tokenizer.eos_id, *others]
        write_json(folder / "generation_config.json", generation)
    write_tensors(folder / "model.safetensors", to_tensors(model))


def write_tensors(
    path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file, under another name and renamed. `about` is added to its
    header."""
    with written_beside(path) as beside:
        save_file(tensors, beside, metadata={"format": "pt", **(about or {})})


# -- loading ---------------------------------------------------------------------------------------


def load_model(
    folder: str | Path, dtype: torch.dtype | None = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """The language model of a folder with its weights in `dtype`, on the CPU, and its tokenizer.
    See `load_weights`.

    Raises `XinyeError` if the folder holds no model, is damaged, or has an unsupported
    architecture.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise XinyeError(f"{folder}: not a model's folder (no config.json)")
    tokenizer, model = Tokenizer.load(folder), load_weights(folder, dtype)
    assert not isinstance(model, Head)
    check_vocabulary(tokenizer, model.config, folder)
    return model, tokenizer


def check_vocabulary(tokenizer: Tokenizer, config: Config, where: Path) -> None:
    """Raise `XinyeError` if the tokenizer has more tokens than the model. Fewer are fine, as in
    Qwen."""
    if tokenizer.vocab_size > config.vocab_size:
        raise XinyeError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}"
        )


def load_weights(folder: Path, dtype: torch.dtype | None = torch.float32) -> Network:
    """The network of a folder, with its head if it has one, on the CPU. Weights are in `dtype`.
    With None they stay as they are stored: they lie in the file, and take memory of their own only
    where they are copied."""
    config = read_config(folder)
    tensors = read_tensors(folder, config, dtype)
    with torch.device("meta"):
        model = _network(config)
    if isinstance(model, Head):
        model.load_state_dict(from_tensors(tensors, model), assign=True)
        return model.requires_grad_()
    if read_json(folder / "config.json").get("is_causal") is False:
        raise XinyeError(
            f"{folder / 'config.json'}: is_causal = False: the model attends to later tokens, so "
            "it cannot generate text"
        )
    if model.config.tie_word_embeddings and "lm_head.weight" in tensors:
        embedding = their_name("model.embed_tokens.weight", model)
        if not torch.equal(tensors.pop("lm_head.weight"), tensors[embedding]):
            raise XinyeError(
                f"{folder / 'model.safetensors'}: tensor lm_head.weight differs from {embedding}, "
                "although config.json ties them"
            )
    model.load_state_dict(from_tensors(tensors, model), strict=False, assign=True)
    model.tie()
    return model.requires_grad_()


def read_tensors(
    folder: Path, config: Config | HeadConfig, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """The tensors of a folder by Hugging Face's names, in `dtype`. They are checked to fit the
    config and to be finite; otherwise this raises `XinyeError`."""
    path, shards = _shards(folder)
    tensors: dict[str, Tensor] = {}
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(shard, framework="pt")) for shard in shards]
            holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118
            if len(holders) < sum(len(file.keys()) for file in files):
                raise XinyeError(f"{path}: several of its files hold the same tensor")
            spans = isinstance(config, HeadConfig) and config.kind == "span"
            plain = _plain_names(path, holders, spans)
            slices = {
                plain[name]: file.get_slice(name)
                for name, file in holders.items()
                if not f".{name}".endswith(_BUFFERS)
            }
            _check_names(path, config, {name: part.get_shape() for name, part in slices.items()})
            if dtype:
                check_memory(config.parameters * dtype.itemsize, dtype, f"{path}: ")
            for name, part in slices.items():
                if part.get_dtype() not in _DTYPES:
                    raise XinyeError(
                        f"{path}: tensor {name} has type {part.get_dtype()}, which is not "
                        f"supported; Xinye reads {', '.join(_DTYPES)}"
                    )
                tensors[name] = part[:].to(dtype) if dtype else part[:]
                check_finite(tensors[name], name, path)
    except (SafetensorError, OSError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
    return tensors


def _plain_names(path: Path, stored: Iterable[str], spans: bool) -> dict[str, str]:
    """Hugging Face's name of each tensor in a file. It removes what compiling, several processes or
    a training script put before it, and adds the first part that files of a backbone leave out.

    With a head for `spans` the layers of all families are called `transformer`, as in GPT-2; some
    of Hugging Face's classes call them `model`."""
    names = {name: WRAPPERS.sub("", name) for name in stored}
    if spans:
        names = {name: re.sub(r"^model\.", "transformer.", plain) for name, plain in names.items()}
    table = next((name for name in names.values() if name.endswith(tuple(_BACKBONES))), "")
    ending = next((name for name in _BACKBONES if table.endswith(name)), "")
    if ending:
        first = "transformer." if spans else _BACKBONES[ending]
        before = table.removesuffix(ending)
        outer = before.removesuffix(first)
        if not _OUTER.fullmatch(outer):
            raise XinyeError(
                f"{path}: found tensor {table[:100]} instead of {first}{ending}; save only the "
                f"model that is inside {outer[:50]!r}"
            )
        start = "" if before.endswith(first) else first
        names = {name: start + plain.removeprefix(outer) for name, plain in names.items()}
    if len(set(names.values())) < len(names):
        raise XinyeError(f"{path}: the file holds the same tensor under two names")
    return names


def _shards(folder: Path) -> tuple[Path, list[Path]]:
    """The path to name in errors, and the files with the weights: one file, or those that an index
    lists."""
    path, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if path.exists():
        check_regular(path)
        return path, [path]
    if index.is_file():
        shards = [folder / name for name in index_files(index)]
        if absent := [shard for shard in shards if not shard.is_file()]:
            raise XinyeError(f"{absent[0]}: there is no such file, but {index.name} lists it")
        return index, shards
    if shards := sorted(folder.glob("model-*-of-*.safetensors")):
        raise XinyeError(f"{index}: there is no such file; {shards[0].name} needs it as its index")
    if pickled := sorted(item.name for item in folder.iterdir() if item.suffix in PICKLED):
        raise XinyeError(refusal_of_pickle(folder / pickled[0], folder))
    raise XinyeError(f"{path}: there is no such file")


def index_files(index: Path) -> list[str]:
    """The names of the weight files that an index lists. Raises `XinyeError` unless all are plain
    names in its folder."""
    names = read_json(index).get("weight_map")
    if (
        not isinstance(names, dict)
        or not names
        or not all(isinstance(name, str) for name in names.values())
    ):
        raise XinyeError(f"{index}: damaged (no weight_map)")
    for name in names.values():
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise XinyeError(
                f"{index}: {name!r} is not the name of a safetensors file in this folder"
            )
    return sorted(set(names.values()))


def refusal_of_pickle(path: Path, folder: Path) -> str:
    """The message that a pickled file is not read, with the command that converts it to
    safetensors."""
    return (
        f"{path}: Xinye does not read pickled weights, because reading them runs code in the "
        "file; if you trust it, convert it to safetensors: "
        'python -c "from transformers import AutoModelForCausalLM as Model; '
        f'Model.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"'
    )


def _check_names(
    path: Path, config: Config | HeadConfig, found: Mapping[str, Sequence[int]]
) -> None:
    """Compare a file's tensors with its config. Only one layer is built for that, so a wrong number
    of layers costs no memory."""
    shape = config.backbone if isinstance(config, HeadConfig) else config
    layers = shape.num_hidden_layers
    if layers > len(found):
        raise XinyeError(
            f"{path}: {len(found)} tensors are too few for {layers} layers; the file does not fit "
            "its config.json"
        )
    try:
        with torch.device("meta"):
            one = {
                name: tuple(tensor.shape)
                for name, tensor in to_tensors(_network(config, num_hidden_layers=1)).items()
            }
    except (RuntimeError, OverflowError, TypeError) as error:
        raise XinyeError(
            f"{path}: its config.json has sizes that are out of range ({error})"
        ) from None
    wanted = {
        name.replace(".0.", f".{layer}.", 1): size
        for name, size in one.items()
        for layer in range(layers if ".0." in name else 1)
    }
    if shape.tie_word_embeddings and not isinstance(config, HeadConfig):
        found = {name: size for name, size in found.items() if name != "lm_head.weight"}
    check_shapes(found, wanted, f"{path}: ")


def _network(config: Config | HeadConfig, **changed: Any) -> Network:
    if isinstance(config, HeadConfig):
        return Head(replace(config, backbone=replace(config.backbone, **changed)))
    return build(replace(config, **changed))
