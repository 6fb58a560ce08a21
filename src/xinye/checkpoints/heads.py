"""A network with a head as a folder: Hugging Face's `…ForSequenceClassification` or `…ForTokenClassification`, with the
labels' names, as `transformers.pipeline` runs it."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from xinye.checkpoints.huggingface import (
    _from_tensors,
    from_config_json,
    read_json,
    to_config_json,
    to_tensors,
    write_json,
    write_tensors,
)
from xinye.data.files import check_regular
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.heads import Head, HeadConfig, Kind

_ENDINGS: dict[str, Kind] = {
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "token",
}
_SEVERAL = "multi_label_classification"


def is_head(folder: Path) -> bool:
    """Whether a folder holds a network with a head."""
    path = folder / "config.json"
    return path.is_file() and str(_architecture(path)).endswith(tuple(_ENDINGS))


def _architecture(config: Path) -> str:
    named = read_json(config).get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def save_head(folder: Path, model: Head, tokenizer: Tokenizer) -> None:
    """Write the folder of a network with a head. Each file is written beside and renamed, the weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    save_head_config(folder, model.config, tokenizer)
    write_tensors(folder / "model.safetensors", _to_tensors(model))


def save_head_config(folder: Path, config: HeadConfig, tokenizer: Tokenizer) -> None:
    """Write `config.json`: the network's shape and its labels."""
    ending = next(ending for ending, kind in _ENDINGS.items() if kind == config.kind)
    data = to_config_json(config.backbone, tokenizer)
    stem = data["architectures"][0].removesuffix("ForCausalLM").removesuffix("LMHeadModel")
    data |= {
        "architectures": [stem + ending],
        "id2label": {str(number): label for number, label in enumerate(config.labels)},
        "label2id": {label: number for number, label in enumerate(config.labels)},
    }
    if config.kind == "sequence":
        data["problem_type"] = _SEVERAL if config.several else "single_label_classification"
    write_json(folder / "config.json", data)


def load_head(folder: Path) -> Head:
    """The network of a folder, in fp32, on the CPU. Raises `XinyeError` where it is damaged or of another kind."""
    path = folder / "model.safetensors"
    with torch.device("meta"):
        model = Head(head_config(folder))
    try:
        check_regular(path)
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
    shapes = {name: tensor.shape for name, tensor in _to_tensors(model).items()}
    for name in sorted(shapes.keys() | tensors.keys()):
        if name not in tensors or name not in shapes:
            raise XinyeError(
                f"{path}: {'lacks' if name in shapes else 'has an unknown'} tensor {name}"
            )
        if tensors[name].shape != shapes[name]:
            raise XinyeError(
                f"{path}: tensor {name} has shape {list(tensors[name].shape)}, not {list(shapes[name])}"
            )
        if not bool(torch.isfinite(tensors[name]).all()):
            raise XinyeError(f"{path}: tensor {name} holds NaN or infinity")
    stem = _head_name(model)
    score = {
        f"score.{name.rpartition('.')[2]}": tensors.pop(name)
        for name in list(tensors)
        if name.startswith(stem)
    }
    state = {f"gpt.{name}": tensor for name, tensor in _from_tensors(tensors, model.gpt).items()}
    model.load_state_dict(state | score, assign=True)
    return model.requires_grad_()


def head_config(folder: Path) -> HeadConfig:
    """The shape and labels that the `config.json` of a folder tells."""
    data = read_json(folder / "config.json")
    kind = next(
        (
            kind
            for end, kind in _ENDINGS.items()
            if _architecture(folder / "config.json").endswith(end)
        ),
        None,
    )
    backbone = from_config_json(data, str(folder / "config.json"))
    if kind is None or not isinstance(backbone, GPTConfig):
        raise XinyeError(f"{folder}: it has no head that judges texts or tokens")
    try:
        labels = tuple(
            str(data["id2label"][str(number)]) for number in range(len(data["id2label"]))
        )
    except (KeyError, TypeError):
        raise XinyeError(f"{folder}/config.json: id2label must name the labels 0, 1, 2 …") from None
    backbone = replace(backbone, is_causal=data.get("is_causal", True) is not False)
    return HeadConfig(backbone, kind, labels, data.get("problem_type") == _SEVERAL)


def _head_name(model: Head) -> str:
    gpt2_tokens = model.config.kind == "token" and model.config.backbone.architecture == "gpt2"
    return "classifier." if gpt2_tokens else "score."


def _to_tensors(model: Head) -> dict[str, Tensor]:
    """The weights under Hugging Face's names and in its layout."""
    head = {_head_name(model) + name: tensor for name, tensor in model.score.state_dict().items()}
    return to_tensors(model.gpt) | {name: t if t.is_meta else t.cpu() for name, t in head.items()}
