"""A model as a folder that every tool of the field loads: Hugging Face's, written and read without `transformers`.

`modern` is saved as Qwen3, `llama` as Llama or Qwen2, `gpt2` as GPT-2. The first two carry Hugging Face's tensor names
already; GPT-2's fuse q, k and v and lie transposed. `lstm` is the same kind of folder, of a model type that only this
package knows. A Mistral is a Llama, and is read within its sliding window only, where it is exactly that.

A folder may come from anywhere. Names, shapes and types of all tensors are compared with the config before anything of
their size is made or read, and what would change the arithmetic and is not computed here is refused by name.
"""

import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.machine import memory_bytes
from xinye.model.build import Config, LanguageModel, build
from xinye.model.config import Architecture, GPTConfig, LSTMConfig
from xinye.model.rope import RopeScaling

_CLASSES = {
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "modern": ("qwen3", "Qwen3ForCausalLM"),
    "llama": ("llama", "LlamaForCausalLM"),
    "gpt2": ("gpt2", "GPT2LMHeadModel"),
    "lstm": ("xinye_lstm", "XinyeLSTMForCausalLM"),
}
_ARCHITECTURES: dict[str, Architecture] = {
    "qwen3": "modern", "qwen2": "llama", "llama": "llama", "mistral": "llama", "gpt2": "gpt2"
}  # fmt: skip
_KEY_VALUE_HEADS = {"qwen3": 32, "qwen2": 32, "mistral": 8}  # where config.json does not tell
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
_BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
)  # in old files; derived, not learned
_DTYPES = ("F32", "F16", "BF16")
PICKLED = (".bin", ".pt", ".pth", ".ckpt")


def to_config_json(config: Config, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """The content of `config.json`."""
    model_type, architecture = _CLASSES["qwen2" if is_qwen2(config) else config.architecture]
    common = {
        "architectures": [architecture],
        "model_type": model_type,
        "dtype": "float32",
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": 0.02,
        "use_cache": True,
        **_token_ids(tokenizer),
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
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rope_theta,
        },  # transformers 5
        "attention_dropout": 0.0,
    }
    if config.rope_scaling is not None:
        scaling = _to_rope_json(config.rope_scaling)
        result["rope_parameters"] = {"rope_theta": config.rope_theta, **scaling}
        result["rope_scaling"] = scaling  # transformers 4, llama.cpp, vLLM
    if is_qwen2(config):
        return result | {"use_sliding_window": False, "sliding_window": None}
    result["attention_bias"] = config.attention_bias
    if config.architecture == "llama":
        return result | {"mlp_bias": config.mlp_bias}
    return result | {"use_sliding_window": False, "sliding_window": None}


def is_qwen2(config: Config) -> bool:
    """Whether a network is Qwen2's: Llama's with biases on queries, keys and values alone."""
    return (
        config.architecture == "llama"
        and config.attention_bias
        and not config.attention_output_bias
    )


def _token_ids(tokenizer: Tokenizer | None) -> dict[str, int | None]:
    names = {"bos_token": "bos_id", "eos_token": "eos_id", "pad_token": "pad_id"}
    known = tokenizer.names if tokenizer else {}
    return {
        f"{name}_id": getattr(tokenizer, of) if name in known else None
        for name, of in names.items()
    }


def from_config_json(data: dict[str, Any], where: str = "config.json") -> Config:
    """The shape that a `config.json` describes; what this package cannot compute exactly is refused by name."""
    model_type = data.get("model_type")
    if model_type not in (*_ARCHITECTURES, "xinye_lstm"):
        raise XinyeError(
            f"{where}: model_type {model_type!r} is not known here; known are {', '.join(_ARCHITECTURES)}"
        )

    def refuse(key: str, *allowed: Any) -> None:
        if data.get(key, allowed[0]) not in allowed:
            raise XinyeError(
                f"{where}: {key} = {data[key]!r} is not supported (only {allowed[0]!r})"
            )

    def size(key: str, default: int | None = None) -> int:
        value = data[key] if default is None else data.get(key, default)
        if type(value) is not int or not 0 <= value < 2**40:
            raise ValueError(f"{key} = {value!r}")
        return value

    def flag(key: str, default: bool = False) -> bool:
        value = data.get(key, default)
        if type(value) is not bool:
            raise ValueError(f"{key} = {value!r}")
        return value

    def number(key: str, default: float) -> float:
        value = float(data.get(key, default))
        if not 0 < value < math.inf:
            raise ValueError(f"{key} = {value!r}")
        return value

    refuse("quantization_config", None)
    try:
        if model_type == "xinye_lstm":
            return LSTMConfig(
                vocab_size=size("vocab_size"),
                hidden_size=size("hidden_size"),
                num_hidden_layers=size("num_hidden_layers"),
                max_position_embeddings=size("max_position_embeddings"),
                tie_word_embeddings=flag("tie_word_embeddings"),
            )
        if model_type == "gpt2":
            refuse("activation_function", "gelu_new", "gelu_pytorch_tanh")
            refuse("scale_attn_weights", True)
            refuse("scale_attn_by_inverse_layer_idx", False, None)
            refuse("add_cross_attention", False, None)
            width, heads = size("n_embd"), size("n_head")
            return GPTConfig(
                architecture="gpt2",
                vocab_size=size("vocab_size"),
                hidden_size=width,
                num_hidden_layers=size("n_layer"),
                num_attention_heads=heads,
                num_key_value_heads=heads,
                head_dim=width // heads,
                intermediate_size=size("n_inner") if data.get("n_inner") else 4 * width,
                max_position_embeddings=size("n_positions"),
                tie_word_embeddings=flag("tie_word_embeddings", True),
                norm_eps=number("layer_norm_epsilon", 1e-5),
            )
        refuse("hidden_act", "silu")
        refuse("partial_rotary_factor", 1.0, None)
        rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
        theta = float(data.get("rope_theta") or rope.get("rope_theta") or 10_000.0)
        if not 1 < theta < math.inf:
            raise ValueError(f"rope_theta = {theta!r}")
        context, window = size("max_position_embeddings"), _sliding_window(data)
        if window is not None:  # within it, attention is that of every other model
            context = min(context, window)
        width, heads = size("hidden_size"), size("num_attention_heads")
        shared = data.get("num_key_value_heads", _KEY_VALUE_HEADS.get(model_type))
        narrow = 128 if model_type == "qwen3" else width // heads
        return GPTConfig(
            architecture=_ARCHITECTURES[model_type],
            vocab_size=size("vocab_size"),
            hidden_size=width,
            num_hidden_layers=size("num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=heads if shared is None else size("num_key_value_heads", shared),
            head_dim=size("head_dim") if data.get("head_dim") else narrow,
            intermediate_size=size("intermediate_size"),
            max_position_embeddings=context,
            tie_word_embeddings=flag("tie_word_embeddings"),
            attention_bias=model_type == "qwen2"
            or (model_type != "mistral" and flag("attention_bias")),
            attention_output_bias=model_type != "qwen2",
            mlp_bias=model_type == "llama" and flag("mlp_bias"),
            norm_eps=number("rms_norm_eps", 1e-6),
            rope_theta=theta,
            rope_scaling=_from_rope_json(rope, data, where),
        )
    except KeyError as error:
        raise XinyeError(f"{where}: the key {error} is missing") from None
    except (TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError) as error:
        raise XinyeError(f"{where}: a value is not what it should be ({error})") from None


def _sliding_window(data: dict[str, Any]) -> int | None:
    """How many tokens a token sees, itself included, in the layers of a config where it does not see all."""
    slides = data.get("use_sliding_window") or "sliding_attention" in (
        data.get("layer_types") or ()
    )
    window = data.get("sliding_window", 4096) if slides or data["model_type"] == "mistral" else None
    if window is not None and (type(window) is not int or window < 1):
        raise ValueError(f"sliding_window = {window!r}")
    return window


def _to_rope_json(scaling: RopeScaling) -> dict[str, Any]:
    values = {
        name: getattr(scaling, name) for name in ("rope_type", *_ROPE_FIELDS[scaling.rope_type])
    }
    return {name: value for name, value in values.items() if value is not None}


def _from_rope_json(rope: dict[str, Any], data: dict[str, Any], where: str) -> RopeScaling | None:
    """The RoPE scaling that a config names, if any; a type or field that is not known here is refused."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", *_ROPE_FIELDS) or rope.get("partial_rotary_factor", 1.0) != 1.0:
        known = ", ".join(("default", *_ROPE_FIELDS))
        raise XinyeError(
            f"{where}: rotary positions of type {kind!r} are not supported (known are {known})"
        )
    values = {
        name: value
        for name, value in rope.items()
        if value is not None and name not in _ROPE_COMMON
    }
    if odd := values.keys() - set(_ROPE_FIELDS.get(kind, ())):
        raise XinyeError(
            f"{where}: the field {min(odd)!r} of {kind!r} rotary positions is not supported"
        )
    if kind == "default":
        return None
    original = None
    if _ORIGINAL in _ROPE_FIELDS[kind]:
        within = values.pop(_ORIGINAL, data["max_position_embeddings"])
        original = int(data.get(_ORIGINAL) or within)
    factor = float(values.pop("factor"))
    return RopeScaling(
        kind, factor, original, **{name: float(value) for name, value in values.items()}
    )


def to_tensors(model: LanguageModel) -> dict[str, Tensor]:
    """The weights under Hugging Face's names and in its layout, a tied head left out."""
    state = {
        name: tensor if tensor.is_meta else tensor.cpu()
        for name, tensor in model.state_dict().items()
    }
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    if model.config.architecture != "gpt2":
        return {name: tensor.contiguous() for name, tensor in state.items()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            tensor = torch.cat(
                [state[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            )
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
    generation: dict[str, Any] = {
        name: value for name, value in _token_ids(tokenizer).items() if value is not None
    }
    if others := sorted(tokenizer.stop_ids - {tokenizer.eos_id}):
        generation["eos_token_id"] = [tokenizer.eos_id, *others]
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    write_json(folder / "config.json", to_config_json(model.config, tokenizer) | {"dtype": dtype})
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


def load_model(
    folder: str | Path, dtype: torch.dtype = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """The model, its weights kept in `dtype`, and the tokenizer of a folder.

    Raises `XinyeError` where the folder is no model's, of an architecture that is not known, or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise XinyeError(
            f"{folder}: there is no such folder; give the folder of a run or of a Hugging Face model"
        )
    if not (folder / "config.json").is_file():
        raise XinyeError(f"{folder}: not a model's folder (no config.json)")
    tokenizer = Tokenizer.load(folder)
    model = load_weights(folder, dtype)
    check_vocabulary(tokenizer, model.config, folder)
    return model, tokenizer


def check_vocabulary(tokenizer: Tokenizer, config: Config, where: Path) -> None:
    """A model may have room for more tokens than there are (Qwen's do), not for fewer."""
    if tokenizer.vocab_size > config.vocab_size:
        raise XinyeError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} tokens, the model only {config.vocab_size}"
        )


def load_weights(folder: Path, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """The model of a folder, on the CPU."""
    config_path = folder / "config.json"
    data = read_json(config_path)
    config = from_config_json(data, str(config_path))
    if data.get("is_causal") is False:
        raise XinyeError(
            f"{config_path}: is_causal = False: this model sees what it would have to predict"
        )
    path, shards = _shards(folder)
    tensors: dict[str, Tensor] = {}
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(shard, framework="pt")) for shard in shards]
            holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118
            if len(holders) < sum(len(file.keys()) for file in files):
                raise XinyeError(f"{path}: a tensor stands in several of its files")
            slices = {
                _full_name(name, holders): file.get_slice(name) for name, file in holders.items()
            }
            slices = {name: part for name, part in slices.items() if not name.endswith(_BUFFERS)}
            _check_shapes(
                path, config, {name: tuple(part.get_shape()) for name, part in slices.items()}
            )
            _check_memory(path, config, dtype)
            for name, part in slices.items():
                if part.get_dtype() not in _DTYPES:
                    known = ", ".join(_DTYPES)
                    raise XinyeError(
                        f"{path}: tensor {name} is of type {part.get_dtype()}; known are {known}"
                    )
                tensors[name] = part[:].to(dtype)
                if not bool(torch.isfinite(tensors[name]).all()):
                    raise XinyeError(f"{path}: tensor {name} holds NaN or infinity")
    except (SafetensorError, OSError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
    if config.tie_word_embeddings and (head := tensors.pop("lm_head.weight", None)) is not None:
        embedding = (
            "transformer.wte.weight"
            if config.architecture == "gpt2"
            else "model.embed_tokens.weight"
        )
        if not torch.equal(head, tensors[embedding]):
            raise XinyeError(
                f"{path}: tensor lm_head.weight is not {embedding}, which it is tied to by config.json"
            )
    with torch.device("meta"):
        model = build(config)
    model.load_state_dict(_from_tensors(tensors, model), strict=False, assign=True)
    model.tie()
    return model.requires_grad_()


def _shards(folder: Path) -> tuple[Path, list[Path]]:
    """What holds the weights, by the name to complain about, and its files: one, or several that an index names."""
    path, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if path.is_file():
        return path, [path]
    if index.is_file():
        shards = [folder / name for name in index_files(index)]
        if absent := [shard for shard in shards if not shard.is_file()]:
            raise XinyeError(f"{absent[0]}: there is no such file; {index.name} names it")
        return index, shards
    pickled = sorted(item.name for item in folder.iterdir() if item.suffix in PICKLED)
    if pickled:
        raise XinyeError(refusal_of_pickle(folder / pickled[0], folder))
    raise XinyeError(f"{path}: there is no such file")


def index_files(index: Path) -> list[str]:
    """The names of the files that an index spreads the weights over, which must lie beside it."""
    names = read_json(index).get("weight_map")
    if (
        not isinstance(names, dict)
        or not names
        or not all(isinstance(name, str) for name in names.values())
    ):
        raise XinyeError(f"{index}: damaged (no weight_map)")
    for name in names.values():
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise XinyeError(f"{index}: {name!r} is not the name of a safetensors file beside it")
    return sorted(set(names.values()))


def refusal_of_pickle(path: Path, folder: Path) -> str:
    """Why a pickled file is not read, and the command that makes safetensors of it."""
    return (
        f"{path}: pickled, and to read that is to run what it holds; if you trust it, transformers writes it anew: "
        'python -c "from transformers import AutoModelForCausalLM as Model; '
        f'Model.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"'
    )


def _full_name(name: str, names: Mapping[str, Any]) -> str:
    """A tensor's name in a whole model; files of a backbone alone leave its first part out."""
    first = (
        "transformer."
        if "wte.weight" in names
        else "model."
        if "embed_tokens.weight" in names
        else ""
    )
    return first + name


def _check_shapes(path: Path, config: Config, found: dict[str, tuple[int, ...]]) -> None:
    """Compare a file's tensors with its config. Only one layer is built, so that no number costs more than the file."""
    if config.num_hidden_layers > len(found):
        raise XinyeError(
            f"{path}: {len(found)} tensors cannot be {config.num_hidden_layers} layers; it does not fit its config.json"
        )
    try:
        with torch.device("meta"):
            one = {
                name: tuple(t.shape)
                for name, t in to_tensors(build(replace(config, num_hidden_layers=1))).items()
            }
    except (RuntimeError, OverflowError, TypeError) as error:
        raise XinyeError(
            f"{path}: its config.json has sizes that are out of range ({error})"
        ) from None
    shapes = {
        name.replace(".0.", f".{layer}.", 1): shape
        for name, shape in one.items()
        for layer in range(config.num_hidden_layers if ".0." in name else 1)
    }
    if config.tie_word_embeddings:
        found = {name: shape for name, shape in found.items() if name != "lm_head.weight"}
    for kind, odd in (
        ("lacks", shapes.keys() - found.keys()),
        ("has an unknown", found.keys() - shapes.keys()),
    ):
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise XinyeError(
                f"{path}: {kind} tensor {min(odd)}{more}; it does not fit its config.json"
            )
    for name, shape in found.items():
        if shape != shapes[name]:
            raise XinyeError(
                f"{path}: tensor {name} has shape {list(shape)}, not {list(shapes[name])}"
            )


def _check_memory(path: Path, config: Config, dtype: torch.dtype) -> None:
    needed, free = config.parameters * dtype.itemsize, memory_bytes(torch.device("cpu"))
    if needed > free:
        kind = str(dtype).removeprefix("torch.")
        raise XinyeError(
            f"{path}: takes {needed / 1e9:,.1f} GB in {kind}, and {free / 1e9:,.1f} GB of memory are free"
        )


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
