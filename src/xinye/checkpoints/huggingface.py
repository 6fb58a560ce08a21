"""A model as a folder that every tool of the field loads: Hugging Face's, written and read without `transformers`.

`modern` is saved as Qwen3, `llama` as Llama, `gpt2` as GPT-2. The first two carry Hugging Face's tensor names already;
GPT-2's fuse q, k and v and lie transposed. `lstm` is the same kind of folder, of a model type that only this package
knows.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import Config, LanguageModel, build
from xinye.model.config import Architecture, GPTConfig, LSTMConfig
from xinye.model.rope import RopeScaling

_CLASSES = {
    "modern": ("qwen3", "Qwen3ForCausalLM"),
    "llama": ("llama", "LlamaForCausalLM"),
    "gpt2": ("gpt2", "GPT2LMHeadModel"),
    "lstm": ("xinye_lstm", "XinyeLSTMForCausalLM"),
}
_ARCHITECTURES: dict[str, Architecture] = {"qwen3": "modern", "llama": "llama", "gpt2": "gpt2"}
_GPT2_NAMES = {  # ours: theirs
    "model.embed_tokens": "transformer.wte",
    "model.embed_positions": "transformer.wpe",
    "model.norm": "transformer.ln_f",
    "model.layers": "transformer.h",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
_ORIGINAL = "original_max_position_embeddings"
_ROPE_FIELDS = {  # of each type of RoPE scaling; `linear` and `dynamic` go by max_position_embeddings
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", _ORIGINAL, "attention_factor", "beta_fast", "beta_slow"),
    "llama3": ("factor", _ORIGINAL, "low_freq_factor", "high_freq_factor"),
}
_ROPE_COMMON = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
_GPT2_MATRICES = ("attn.c_attn.weight", "c_proj.weight", "mlp.c_fc.weight")  # stored as (in, out)


def to_config_json(config: Config, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """The content of `config.json`."""
    model_type, architecture = _CLASSES[config.architecture]
    common = {
        "architectures": [architecture],
        "model_type": model_type,
        "dtype": "float32",
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": tokenizer.bos_id if tokenizer else None,
        "eos_token_id": tokenizer.eos_id if tokenizer else None,
        "pad_token_id": tokenizer.pad_id if tokenizer else None,
        **({} if getattr(config, "is_causal", True) else {"is_causal": False}),
    }
    if isinstance(config, LSTMConfig):
        return common | {
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_hidden_layers,
            "max_position_embeddings": config.max_position_embeddings,
        }
    if config.architecture == "gpt2":
        return common | {
            "n_embd": config.hidden_size,
            "n_layer": config.num_hidden_layers,
            "n_head": config.num_attention_heads,
            "n_inner": config.intermediate_size,
            "n_positions": config.max_position_embeddings,
            "layer_norm_epsilon": config.norm_eps,
            "activation_function": "gelu_new",
            **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), config.dropout),
        }
    result = common | {
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "rope_theta": config.rope_theta,  # transformers 4, llama.cpp, vLLM
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # transformers 5
        "attention_bias": config.attention_bias,
        "attention_dropout": 0.0,
    }
    if config.rope_scaling is not None:
        scaling = _to_rope_json(config.rope_scaling)
        result["rope_parameters"] = {"rope_theta": config.rope_theta, **scaling}
        result["rope_scaling"] = scaling  # transformers 4, llama.cpp, vLLM
    if config.architecture == "llama":
        return result | {"mlp_bias": config.mlp_bias}
    return result | {"use_sliding_window": False, "sliding_window": None}


def from_config_json(data: dict[str, Any], where: str = "config.json") -> Config:
    """The shape that a `config.json` describes; what this package cannot compute exactly is refused by name."""
    model_type = data.get("model_type")
    if model_type not in (*_ARCHITECTURES, "xinye_lstm"):
        raise XinyeError(f"{where}: model_type {model_type!r} is not known here; known are {', '.join(_ARCHITECTURES)}")

    def refuse(key: str, *allowed: Any) -> None:
        if data.get(key, allowed[0]) not in allowed:
            raise XinyeError(f"{where}: {key} = {data[key]!r} is not supported (only {allowed[0]!r})")

    try:
        if model_type == "xinye_lstm":
            return LSTMConfig(
                vocab_size=data["vocab_size"],
                hidden_size=data["hidden_size"],
                num_hidden_layers=data["num_hidden_layers"],
                max_position_embeddings=data["max_position_embeddings"],
                tie_word_embeddings=data["tie_word_embeddings"],
            )
        if model_type == "gpt2":
            refuse("activation_function", "gelu_new", "gelu_pytorch_tanh")
            refuse("scale_attn_weights", True)
            refuse("scale_attn_by_inverse_layer_idx", False)
            width, heads = data["n_embd"], data["n_head"]
            return GPTConfig(
                architecture="gpt2",
                vocab_size=data["vocab_size"],
                hidden_size=width,
                num_hidden_layers=data["n_layer"],
                num_attention_heads=heads,
                num_key_value_heads=heads,
                head_dim=width // heads,
                intermediate_size=data.get("n_inner") or 4 * width,
                max_position_embeddings=data["n_positions"],
                tie_word_embeddings=data.get("tie_word_embeddings", True),
                norm_eps=data.get("layer_norm_epsilon", 1e-5),
            )
        refuse("hidden_act", "silu")
        rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
        if data.get("use_sliding_window") or "sliding_attention" in (data.get("layer_types") or ()):
            raise XinyeError(f"{where}: sliding-window attention is not supported")
        width, heads = data["hidden_size"], data["num_attention_heads"]
        return GPTConfig(
            architecture=_ARCHITECTURES[model_type],
            vocab_size=data["vocab_size"],
            hidden_size=width,
            num_hidden_layers=data["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=data.get("num_key_value_heads") or heads,
            head_dim=data.get("head_dim") or (128 if model_type == "qwen3" else width // heads),
            intermediate_size=data["intermediate_size"],
            max_position_embeddings=data["max_position_embeddings"],
            tie_word_embeddings=data.get("tie_word_embeddings", False),
            attention_bias=data.get("attention_bias", False),
            mlp_bias=data.get("mlp_bias", False),
            norm_eps=data.get("rms_norm_eps", 1e-6),
            rope_theta=float(data.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            rope_scaling=_from_rope_json(rope, data, where),
        )
    except KeyError as error:
        raise XinyeError(f"{where}: the key {error} is missing") from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise XinyeError(f"{where}: a value is not what it should be ({error})") from None


def _to_rope_json(scaling: RopeScaling) -> dict[str, Any]:
    values = {name: getattr(scaling, name) for name in ("rope_type", *_ROPE_FIELDS[scaling.rope_type])}
    return {name: value for name, value in values.items() if value is not None}


def _from_rope_json(rope: dict[str, Any], data: dict[str, Any], where: str) -> RopeScaling | None:
    """The RoPE scaling that a config names, if any; a type or field that is not known here is refused."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", *_ROPE_FIELDS) or rope.get("partial_rotary_factor", 1.0) != 1.0:
        known = ", ".join(("default", *_ROPE_FIELDS))
        raise XinyeError(f"{where}: rotary positions of type {kind!r} are not supported (known are {known})")
    if kind == "default":
        return None
    values = {name: value for name, value in rope.items() if value is not None and name not in _ROPE_COMMON}
    if odd := values.keys() - set(_ROPE_FIELDS[kind]):
        raise XinyeError(f"{where}: the field {min(odd)!r} of {kind!r} rotary positions is not supported")
    original = None
    if _ORIGINAL in _ROPE_FIELDS[kind]:
        within = values.pop(_ORIGINAL, data["max_position_embeddings"])
        original = int(data.get(_ORIGINAL) or within)
    factor = float(values.pop("factor"))
    return RopeScaling(kind, factor, original, **{name: float(value) for name, value in values.items()})


def to_tensors(model: LanguageModel) -> dict[str, Tensor]:
    """The weights under Hugging Face's names and in its layout, a tied head left out."""
    state = {name: tensor if tensor.is_meta else tensor.cpu() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    if model.config.architecture != "gpt2":
        return {name: tensor.contiguous() for name, tensor in state.items()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            tensor = torch.cat([state[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"])
        theirs = _gpt2_name(name)
        tensors[theirs] = (tensor.T if theirs.endswith(_GPT2_MATRICES) else tensor).contiguous()
    return tensors


def _gpt2_name(name: str) -> str:
    for part in "qkv":
        name = name.replace(f"self_attn.{part}_proj", "attn.c_attn")
    for ours, theirs in _GPT2_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def save_model(folder: Path, model: LanguageModel, tokenizer: Tokenizer) -> None:
    """Write a model's folder. Each file is written beside and renamed, the weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    generation = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    write_json(folder / "config.json", to_config_json(model.config, tokenizer))
    write_json(folder / "generation_config.json", generation)
    write_tensors(folder / "model.safetensors", to_tensors(model))


def write_json(path: Path, data: Any) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", "utf-8")
    beside.replace(path)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    beside = path.with_name(f".{path.name}.new")
    save_file(tensors, beside, metadata={"format": "pt"})
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; a missing or damaged file is one clear line."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise XinyeError(f"{path}: damaged ({error})") from None
    if not isinstance(data, dict):
        raise XinyeError(f"{path}: damaged (not an object)")
    return data


def load_model(folder: str | Path) -> tuple[LanguageModel, Tokenizer]:
    """The model and tokenizer of a folder.

    Raises `XinyeError` where the folder is no model's, of an architecture that is not known, or damaged: names and
    shapes of all tensors are checked before any is read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise XinyeError(f"{folder}: there is no such folder; give the folder of a run or of a Hugging Face model")
    if not (folder / "config.json").is_file():
        raise XinyeError(f"{folder}: not a model's folder (no config.json)")
    model = load_weights(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise XinyeError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only {model.config.vocab_size}"
        )
    return model, tokenizer


def load_weights(folder: Path) -> LanguageModel:
    """The model of a folder, in fp32, on the CPU."""
    config_path, path = folder / "config.json", folder / "model.safetensors"
    config = from_config_json(read_json(config_path), str(config_path))
    with torch.device("meta"):
        model = build(config)
    shapes = {name: tensor.shape for name, tensor in to_tensors(model).items()}
    if not path.is_file():
        pickled = sorted(item.name for item in folder.glob("*.bin"))
        hint = f"; {pickled[0]} is pickled and not read: save it as safetensors first" if pickled else ""
        raise XinyeError(f"{path}: there is no such file{hint}")
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            prefix = "transformer." if config.architecture == "gpt2" and "wte.weight" in names else ""
            found = {prefix + name: name for name in names}
            for buffer in [name for name in found if name.endswith((".attn.bias", ".attn.masked_bias"))]:
                del found[buffer]  # GPT-2's causal mask, in old files
            if config.tie_word_embeddings:
                found.pop("lm_head.weight", None)
            for kind, odd in (
                ("lacks", shapes.keys() - found.keys()),
                ("has an unknown", found.keys() - shapes.keys()),
            ):
                if odd:
                    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
                    raise XinyeError(f"{path}: {kind} tensor {min(odd)}{more}; it does not fit its config.json")
            for name, stored in found.items():
                shape = torch.Size(file.get_slice(stored).get_shape())
                if shape != shapes[name]:
                    raise XinyeError(f"{path}: tensor {name} has shape {list(shape)}, not {list(shapes[name])}")
            tensors = {name: file.get_tensor(stored).float() for name, stored in found.items()}
    except (SafetensorError, OSError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise XinyeError(f"{path}: tensor {name} holds NaN or infinity")
    model.load_state_dict(_from_tensors(tensors, model), strict=False, assign=True)
    model.tie()
    return model.requires_grad_()


def _from_tensors(tensors: dict[str, Tensor], model: LanguageModel) -> dict[str, Tensor]:
    """Hugging Face's tensors under our names."""
    if model.config.architecture != "gpt2":
        return tensors
    state = {}
    for name in model.state_dict():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        theirs = _gpt2_name(name)
        tensor = tensors[theirs]
        if theirs.endswith(_GPT2_MATRICES):
            tensor = tensor.T
        for i, part in enumerate("qkv"):
            if f".{part}_proj." in name:
                tensor = tensor.chunk(3)[i]
        state[name] = tensor.contiguous().clone()
    return state
