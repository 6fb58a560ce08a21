"""A network with a head as a folder: Hugging Face's `…ForSequenceClassification` or
`…ForTokenClassification`, with the labels' names, as `transformers.pipeline` runs it."""

from dataclasses import replace
from pathlib import Path

import torch

from xinye.checkpoints.families import FAMILIES, family_of, from_config_json, to_config_json
from xinye.checkpoints.huggingface import read_tensors, write_tensors
from xinye.checkpoints.layout import from_tensors, to_tensors
from xinye.data.files import read_json, write_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.heads import Head, HeadConfig, Kind

_ENDINGS: dict[Kind, str] = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
}
_SEVERAL = "multi_label_classification"


def is_head(folder: Path) -> bool:
    """Whether a folder holds a network with a head."""
    path = folder / "config.json"
    return path.is_file() and _architecture(path).endswith(tuple(_ENDINGS.values()))


def _architecture(config: Path) -> str:
    named = read_json(config).get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def save_head(folder: Path, model: Head, tokenizer: Tokenizer) -> None:
    """Write the folder of a network with a head. Each file is written beside and renamed, the
    weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    save_head_config(folder, model.config, tokenizer)
    write_tensors(folder / "model.safetensors", to_tensors(model))


def save_head_config(folder: Path, config: HeadConfig, tokenizer: Tokenizer) -> None:
    """Write `config.json`: the network's shape and its labels."""
    data = to_config_json(config.backbone, tokenizer) | {
        "architectures": [FAMILIES[family_of(config.backbone)].stem + _ENDINGS[config.kind]],
        "id2label": {str(number): label for number, label in enumerate(config.labels)},
        "label2id": {label: number for number, label in enumerate(config.labels)},
    }
    if config.kind == "sequence":
        data["problem_type"] = _SEVERAL if config.several else "single_label_classification"
    write_json(folder / "config.json", data)


def load_head(folder: Path) -> Head:
    """The network of a folder, in fp32, on the CPU. Raises `XinyeError` where it is damaged or of
    another kind."""
    config = head_config(folder)
    tensors = read_tensors(folder, config, torch.float32)
    with torch.device("meta"):
        model = Head(config)
    model.load_state_dict(from_tensors(tensors, model), assign=True)
    return model.requires_grad_()


def head_config(folder: Path) -> HeadConfig:
    """The shape and labels that the `config.json` of a folder tells."""
    path = folder / "config.json"
    data, architecture = read_json(path), _architecture(path)
    kind = next((kind for kind, ending in _ENDINGS.items() if architecture.endswith(ending)), None)
    backbone = from_config_json(data, str(path))
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
