"""Reads and writes adapters as `peft` folders, without `peft`, next to a tokenizer.

`adapter_config.json` has the method, its sizes and the place of the base.
`adapter_model.safetensors` has the new weights and, in its header, the SHA-256 of the base's
weights, because an adapter is useless on any other base. `peft` has no bottleneck, so its files
have the same form but a type that only Xinye knows.
"""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

from torch import Tensor, nn

from xinye.checkpoints.adapter_tensors import (
    FINGERPRINT,
    PREFIX,
    changes_in,
    check_patterns,
    put_whole,
    read_adapter,
)
from xinye.checkpoints.bases import CONFIG, place_of
from xinye.checkpoints.families import (
    ADAPTER_TASKS,
    Json,
    check_numbers,
    is_head,
    to_config_json,
)
from xinye.checkpoints.huggingface import write_tensors
from xinye.checkpoints.layout import check_shapes, their_name
from xinye.data.files import read_json, write_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.model.adapter_layers import AdaLoRA, Bottleneck, LoRA, Prefix
from xinye.model.adapter_settings import FIELDS, AdapterSettings, Method
from xinye.model.adapters import HEADS, adapters, attach, attached, sites
from xinye.model.build import Network
from xinye.model.heads import Head, HeadConfig

WEIGHTS = "adapter_model.safetensors"
_TYPES: dict[Method, str] = {
    "lora": "LORA",
    "adalora": "ADALORA",
    "prefix": "PREFIX_TUNING",
    "adapter": "XINYE_BOTTLENECK",
}
# Fields that are ignored: they follow from the names and shapes of the tensors or from the base, or
# they do not affect the result.
_IMPLIED = {
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "auto_mapping",
    "peft_version",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "use_dora",
    "fan_in_fan_out",
    "modules_to_save",
    "r",
    "token_dim",
    "num_transformer_submodules",
    "num_attention_heads",
    "num_layers",
    "encoder_hidden_size",
    "prefix_projection",
    "init_weights",
    "runtime_config",
    "megatron_core",
    "qalora_group_size",
}
# the supported values of fields whose other values change the base, or more
_COMPUTED = {
    "bias": ("none", "all", "lora_only"),
    "init_lora_weights": (True, False, "gaussian", "eva", "mica", "orthogonal"),
}
_PEFTS = {"lora_alpha": 8}  # peft's defaults that differ from Xinye's


def save_adapter(
    folder: Path,
    model: Network,
    base: str | Path,
    tokenizer: Tokenizer | None = None,
    seen_from: Path | None = None,
) -> None:
    """Write the adapter of a model, and its new head if it has one. Each file is written under
    another name and renamed.

    For a network with a head, `config.json` has the labels. `base` is the folder, file or hub name
    of the base model. Its path is saved relative to `folder`, or to `seen_from` if the files will
    be copied there. Raises `XinyeError` for a model without an adapter.
    """
    settings = attached(model)
    if settings is None:
        raise XinyeError(f"{folder}: this model has no adapter to save")
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder)
        if isinstance(model, Head):
            write_json(folder / "config.json", to_config_json(model.config, tokenizer))
    place = os.path.relpath(base, seen_from or folder) if Path(base).exists() else str(base)
    write_json(folder / CONFIG, _to_config(model, settings) | {"base_model_name_or_path": place})
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(model).items()}
    write_tensors(folder / WEIGHTS, tensors, {FINGERPRINT: fingerprint(base)})


def load_adapter(folder: Path, model: Network, base: str | Path | None = None) -> None:
    """Attach the adapter in a folder to a model, in place, and replace the model's weights by the
    whole weights that it holds. `base` is where the model was loaded from.

    Raises `XinyeError` if the adapter was made for another base, is unsupported or damaged.
    """
    config, where = read_json(folder / CONFIG), str(folder / CONFIG)
    settings = from_config(config, where)
    file = read_adapter(folder / WEIGHTS)
    if base is not None and file.base is not None and fingerprint(base) != file.base:
        raise XinyeError(
            f"{folder}: this adapter was made for {config.get('base_model_name_or_path')} "
            f"(weights {file.base[:12]}…), not for {base} (weights {fingerprint(base)[:12]}…); "
            "give the right base model with --base DIR"
        )
    lacking = _heads(model).keys() - file.whole.keys()
    has_head = base is not None and is_head(place_of(base))
    if lacking and not has_head:
        raise XinyeError(f"{file.path}: lacks tensor {min(lacking)}; it does not fit its {CONFIG}")
    put_whole(file, model, config.get("modules_to_save") or [])
    sizes = {"prefix": settings.num_virtual_tokens, "adapter": settings.bottleneck_size}
    rows = sizes.get(settings.method, 0)
    if rows > max((len(tensor) for tensor in file.learned.values() if tensor.dim()), default=0):
        raise XinyeError(f"{file.path}: no tensor has {rows} rows; it does not fit its {CONFIG}")
    low_rank = settings.method in ("lora", "adalora")
    attach(model, settings, changes=changes_in(file, model, config) if low_rank else None)
    wanted = {name: tensor.shape for name, tensor in _changes(model).items()}
    found = {name: tensor.shape for name, tensor in file.learned.items()}
    check_shapes(found, wanted, f"{file.path}: ", CONFIG)
    for name, parameter in _changes(model).items():
        parameter.data.copy_(file.learned[name])


def fingerprint(base: str | Path) -> str:
    """The SHA-256 of a model's weights file; for several files, that of their joined hashes.

    `base` is a folder, a file, or a hub name. Raises `XinyeError` if it has no weights.
    """
    place = place_of(base)
    files = sorted(place.glob("model*.safetensors")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise XinyeError(
            f"{base}: there are no model weights; an adapter needs a complete base model "
            "(xinye merge turns an adapter into one)"
        )
    hashes = [_sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_config(model: Network, settings: AdapterSettings) -> Json:
    if settings.method == "adalora":
        settings = settings.scheduled(settings.total_step or 1)
    task = "CAUSAL_LM"
    if isinstance(model.config, HeadConfig):
        task = ADAPTER_TASKS[model.config.kind]
    result = {
        "peft_type": _TYPES[settings.method],
        "task_type": task,
        "inference_mode": True,
        **{name: getattr(settings, name) for name in _fields(settings.method)},
    }
    if settings.method == "adapter":
        return result
    result["modules_to_save"] = sorted({name.split(".")[0] for name in _heads(model)}) or None
    modules = adapters(model)
    if isinstance(modules[0], Prefix):
        layers, _, heads_of_keys, size = modules[0].shape
        return result | {
            "token_dim": heads_of_keys * size,
            "encoder_hidden_size": heads_of_keys * size,
            "num_attention_heads": heads_of_keys,
            "num_layers": layers,
            "num_transformer_submodules": 1,
            "prefix_projection": False,
        }
    changes = {
        their_name(module.site, model): module for module in modules if isinstance(module, LoRA)
    }
    return result | {
        "target_modules": _targets([*changes], [their_name(site, model) for site in sites(model)]),
        "rank_pattern": _rank_pattern(changes, settings),
        "alpha_pattern": {},
        # GPT-2's matrices are stored transposed
        "fan_in_fan_out": next(iter(changes)).startswith("transformer."),
        "bias": "none",
        "init_lora_weights": True,
    }


def _targets(changed: list[str], every: list[str]) -> list[str]:
    """The names for `target_modules`: the ends of the changed matrices' names if they are the same
    in all layers, else the whole names."""
    endings = {_ending(name) for name in changed}
    alike = {name for name in every if _ending(name) in endings} == set(changed)
    return sorted(endings if alike else changed)


def _rank_pattern(
    changes: dict[str, LoRA], settings: AdapterSettings
) -> dict[str, int | list[bool]]:
    """The ranks that differ from the common one. For AdaLoRA, peft starts with init_r ranks and
    keeps those that are true."""
    pattern: dict[str, int | list[bool]] = {}
    for name, module in changes.items():
        if isinstance(module, AdaLoRA):
            kept = int(module.kept().sum())
            pattern[f"{name}.lora_E"] = [number < kept for number in range(settings.init_r)]
        elif len(module.lora_A) != settings.r:
            pattern[name] = len(module.lora_A)
    return pattern


def from_config(data: Json, where: str = CONFIG) -> AdapterSettings:
    """The settings in an `adapter_config.json`. Raises `XinyeError` that names what Xinye cannot
    compute exactly."""
    peft_type = data.get("peft_type")
    method = next((method for method, kind in _TYPES.items() if kind == peft_type), None)
    if method is None:
        raise XinyeError(
            f"{where}: peft_type {peft_type!r} is not supported; Xinye reads "
            f"{', '.join(_TYPES.values())}"
        )
    check_numbers(data, where)
    for name, kind in (("alpha_pattern", dict), ("modules_to_save", list)):
        if not isinstance(data.get(name) or kind(), kind):
            raise XinyeError(
                f"{where}: {name} = {json.dumps(data[name])[:50]} must be "
                f"{'an object' if kind is dict else 'a list'}"
            )
    known = _IMPLIED.union(_fields(method))
    if method == "lora":
        known.add("alpha_pattern")
        check_patterns(data.get("alpha_pattern") or {}, where)
    for name, value in data.items():
        if value and name not in known and value not in _COMPUTED.get(name, ()):
            hint = ""
            if name == "init_lora_weights":
                hint = (
                    "; it also changes the base model: save the adapter with the option "
                    "path_initial_model_for_weight_conversion of peft's save_pretrained"
                )
            raise XinyeError(f"{where}: {name} = {json.dumps(value)} is not supported{hint}")
    fields = _fields(method)
    values = {name: value for name, value in (_PEFTS | data).items() if name in fields}
    return checked(AdapterSettings, {"method": method, **values}, where)


def _fields(method: Method) -> list[str]:
    """The settings that a file of this method has. Its matrices are in `target_modules`, see
    `_targets`."""
    return [name for name in FIELDS[method] if name != "target_modules"]


def _ending(site: str) -> str:
    """The end of a matrix's name that is the same in all layers: `q_proj`, or in GPT-2
    `attn.c_attn`, because two of its parts have a `c_proj`."""
    return ".".join(site.split(".")[-2 if site.startswith("transformer.") else -1 :])


def _heads(model: Network) -> dict[str, nn.Parameter]:
    """The weights of a new head, by Hugging Face's names."""
    return {
        their_name(name, model): weight
        for name, weight in model.named_parameters()
        if name.startswith(HEADS)
    }


def _parameters(model: Network) -> dict[str, nn.Parameter]:
    """All trained weights, by their names in the file."""
    settings = attached(model)
    # With a prefix, peft wraps the model only once.
    base = "base_model." if settings is not None and settings.method == "prefix" else PREFIX
    heads = {base + name: parameter for name, parameter in _heads(model).items()}
    return heads | _changes(model)


def _changes(model: Network) -> dict[str, nn.Parameter]:
    """The weights of the adapters, by their names in the file."""
    found: dict[str, nn.Parameter] = {}
    for module in adapters(model):
        if isinstance(module, Prefix):
            found["prompt_embeddings"] = module.prompt_embeddings
            continue
        ending = "" if isinstance(module, Bottleneck | AdaLoRA) else ".weight"
        for name, parameter in module.named_parameters():
            found[f"{PREFIX}{their_name(module.site, model)}.{name}{ending}"] = parameter
    return found


def _tensors(model: Network) -> dict[str, Tensor]:
    """The tensors to save: all trained weights, without the ranks that AdaLoRA pruned."""
    tensors: dict[str, Tensor] = dict(_parameters(model))
    for module in adapters(model):
        if isinstance(module, AdaLoRA):
            kept, site = module.kept(), PREFIX + their_name(module.site, model)
            tensors[f"{site}.lora_A"] = module.lora_A[kept]
            tensors[f"{site}.lora_E"] = module.lora_E[kept]
            tensors[f"{site}.lora_B"] = module.lora_B[:, kept]
    return tensors
