"""The supported families of models, and the conversion between a config and Hugging Face's
`config.json`.

`modern` is saved as Qwen3, `llama` as Llama or Qwen2, `gpt2` as GPT-2. A Mistral is read as a Llama
with the context of its sliding window, within which both are the same. `lstm` has a model type of
Xinye's own. A setting that is not supported raises an error that names it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from xinye.checkpoints.bases import CONFIG, base_of, is_adapter, place_of
from xinye.checkpoints.thresholds import threshold_from_json, threshold_to_json
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import Config
from xinye.model.config import Architecture, GPTConfig, LSTMConfig
from xinye.model.heads import POINTERS, HeadConfig, Kind
from xinye.model.rope import RopeScaling

Json = dict[str, Any]  # the content of a JSON file

_SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "max_position_embeddings",
    "tie_word_embeddings",
)
_LSTM = {name: name for name in _SHARED}
_LLAMA = _LSTM | {
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "norm_eps": "rms_norm_eps",
}
_QWEN3 = _LLAMA | {"attention_bias": "attention_bias"}
_GPT2 = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "norm_eps": "layer_norm_epsilon",
    "tie_word_embeddings": "tie_word_embeddings",
}
# The values of fields whose key is missing; None is derived from the others.
_LSTM_DEFAULTS = {"tie_word_embeddings": False}
_DEFAULTS = _LSTM_DEFAULTS | {
    "attention_bias": False,
    "mlp_bias": False,
    "norm_eps": 1e-6,
    "num_key_value_heads": None,
    "head_dim": None,
}
_GPT2_DEFAULTS = _DEFAULTS | {
    "intermediate_size": None,
    "tie_word_embeddings": True,
    "norm_eps": 1e-5,
}
_ROTARY_KNOWN = {"hidden_act": ("silu",), "partial_rotary_factor": (1.0, None)}
_NO_WINDOW = {"use_sliding_window": False, "sliding_window": None}


@dataclass(frozen=True)
class Family:
    """How `config.json` describes the models of one `model_type`."""

    architecture: Architecture | Literal["lstm"]
    stem: str  # the beginning of its class names
    keys: Mapping[str, str]  # the key of each field
    writer: str = "ForCausalLM"  # the end of a language model's class name
    # the value of each field whose key is missing
    defaults: Mapping[str, Any] = field(default_factory=lambda: _DEFAULTS)
    fixed: Mapping[str, bool] = field(default_factory=dict)  # fields with a fixed value
    # the values of other keys that are supported
    known: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: _ROTARY_KNOWN)
    written: Mapping[str, Any] = field(default_factory=dict)  # further keys, for other tools


_ROTARY = {"hidden_act": "silu", "attention_dropout": 0.0}
FAMILIES: dict[str, Family] = {  # by model_type; `family_of` says which one is written
    "qwen3": Family(
        "modern",
        "Qwen3",
        _QWEN3,
        defaults=_DEFAULTS | {"num_key_value_heads": 32, "head_dim": 128},
        written=_ROTARY | _NO_WINDOW,
    ),
    "qwen2": Family(
        "llama",
        "Qwen2",
        _LLAMA,
        defaults=_DEFAULTS | {"num_key_value_heads": 32},
        fixed={"attention_bias": True, "attention_output_bias": False},
        written=_ROTARY | _NO_WINDOW,
    ),
    "llama": Family("llama", "Llama", _QWEN3 | {"mlp_bias": "mlp_bias"}, written=_ROTARY),
    "mistral": Family("llama", "Mistral", _LLAMA, defaults=_DEFAULTS | {"num_key_value_heads": 8}),
    "gpt2": Family(
        "gpt2",
        "GPT2",
        _GPT2,
        "LMHeadModel",
        defaults=_GPT2_DEFAULTS,
        known={
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False, None),
            "add_cross_attention": (False, None),
        },
        written={"activation_function": "gelu_new"},
    ),
    "xinye_lstm": Family("lstm", "XinyeLSTM", _LSTM, defaults=_LSTM_DEFAULTS, known={}),
}


def family_of(config: Config) -> str:
    """The model type that a config is saved as. Qwen2 is a Llama with biases only on queries, keys
    and values."""
    if config.architecture == "llama":
        return "qwen2" if config.attention_bias and not config.attention_output_bias else "llama"
    return next(
        name for name, family in FAMILIES.items() if family.architecture == config.architecture
    )


# -- config.json --------------------------------------------------------------------------------

_KINDS = {field.name: field.type for field in fields(GPTConfig)}
_ORIGINAL = "original_max_position_embeddings"
# The fields of each type of RoPE scaling. `linear` and `dynamic` use max_position_embeddings.
_ROPE_FIELDS = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", _ORIGINAL, "attention_factor", "beta_fast", "beta_slow"),
    "llama3": ("factor", _ORIGINAL, "low_freq_factor", "high_freq_factor"),
}
_ROPE_COMMON = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
# The ends of the class names of networks with a head, which `transformers.pipeline` looks for.
_HEADS: dict[Kind, str] = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
ADAPTER_TASKS: dict[Kind, str] = {
    "sequence": "SEQ_CLS",
    "token": "TOKEN_CLS",
    "span": "QUESTION_ANS",
}
_SEVERAL = "multi_label_classification"
_TRANSITIONS = "learned_transitions"  # a key of Xinye's own, which other tools ignore


def to_config_json(config: Config | HeadConfig, tokenizer: Tokenizer | None = None) -> Json:
    """The content of `config.json` for a config."""
    if isinstance(config, HeadConfig):
        data = to_config_json(config.backbone, tokenizer) | {
            "architectures": [FAMILIES[family_of(config.backbone)].stem + _HEADS[config.kind]]
        }
        if config.kind == "span":
            return data | threshold_to_json(config.threshold)
        data |= {
            "id2label": {str(number): label for number, label in enumerate(config.labels)},
            "label2id": {label: number for number, label in enumerate(config.labels)},
        }
        if config.transitions:
            data[_TRANSITIONS] = True
        if config.kind == "sequence":
            data["problem_type"] = _SEVERAL if config.several else "single_label_classification"
        return data
    model_type = family_of(config)
    family = FAMILIES[model_type]
    result = {
        "architectures": [family.stem + family.writer],
        "model_type": model_type,
        "dtype": "float32",
        "initializer_range": 0.02,
        "use_cache": True,
        **token_ids(tokenizer),
        **{key: getattr(config, name) for name, key in family.keys.items()},
        **family.written,
    }
    if isinstance(config, LSTMConfig):
        return result
    if not config.is_causal:
        result["is_causal"] = False
    if not config.rotary:
        return result | dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), config.dropout)
    scaling = {"rope_type": "default"}
    if config.rope_scaling is not None:
        values = vars(config.rope_scaling)
        named = ("rope_type", *_ROPE_FIELDS[config.rope_scaling.rope_type])
        scaling = {name: values[name] for name in named if values[name] is not None}
        result["rope_scaling"] = scaling  # transformers 4, llama.cpp, vLLM
    result["rope_theta"] = config.rope_theta  # transformers 4, llama.cpp, vLLM
    # transformers 5
    return result | {"rope_parameters": {"rope_theta": config.rope_theta, **scaling}}


def token_ids(tokenizer: Tokenizer | None) -> dict[str, int | None]:
    """The ids of the tokens with a role, by their names in `config.json`; None for a role without a
    token."""
    known = tokenizer.names if tokenizer else {}
    return {
        f"{role}_token_id": getattr(tokenizer, f"{role}_id") if f"{role}_token" in known else None
        for role in ("bos", "eos", "pad")
    }


def is_head(folder: Path) -> bool:
    """Whether a folder holds a network with a head, or an adapter for one. An adapter has its own
    `config.json`, or names its task, or its base has a head."""
    path = folder / "config.json"
    if path.is_file() and _kind_of_head(read_json(path)) is not None:
        return True
    if not is_adapter(folder):
        return False
    base = place_of(base_of(folder))
    return adapter_kind(folder) is not None or (not is_adapter(base) and is_head(base))


def adapter_kind(folder: Path) -> Kind | None:
    """The kind of head that an adapter is for, by the name of its task in `peft`; None if it names
    none."""
    task = read_json(folder / CONFIG).get("task_type")
    return next((kind for kind, name in ADAPTER_TASKS.items() if name == task), None)


def _kind_of_head(data: Json) -> Kind | None:
    named = data.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else ""
    return next((kind for kind, ending in _HEADS.items() if name.endswith(ending)), None)


def read_config(folder: Path) -> Config | HeadConfig:
    """The config of a model's folder; a `HeadConfig` if it has a head. Raises `XinyeError` for an
    unsupported or invalid one."""
    where = f"{folder}/config.json"
    data = read_json(folder / "config.json")
    kind, config = _kind_of_head(data), from_config_json(data, where)
    if kind is None:
        return config
    if not isinstance(config, GPTConfig):
        raise XinyeError(f"{folder}: an LSTM cannot have a classification head")
    backbone = replace(config, is_causal=data.get("is_causal", True) is not False)
    if kind == "span":
        return HeadConfig(backbone, kind, POINTERS, threshold=threshold_from_json(data, where))
    # transformers does not save its own default names if there are two labels
    names = data.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        labels = [str(names[str(number)]) for number in range(len(names))]
    except (KeyError, TypeError):
        raise XinyeError(f"{where}: id2label must name the labels 0, 1, 2 …") from None
    problem = data.get("problem_type")
    check_judges(folder, kind, len(labels), problem)
    chain = kind == "token" and data.get(_TRANSITIONS) is True
    return HeadConfig(backbone, kind, tuple(labels), problem == _SEVERAL, transitions=chain)


def check_judges(folder: Path, kind: Kind, labels: int, problem: str | None = None) -> None:
    """Raise `XinyeError` if the head predicts a number instead of a label."""
    alone = labels == 1 and problem != _SEVERAL
    if kind == "sequence" and (problem == "regression" or alone):
        raise XinyeError(
            f"{folder}: its head predicts a number (regression, as in a reward model), not a "
            "label; use a model with two or more labels"
        )


def from_config_json(data: Json, where: str = "config.json") -> Config:
    """The config that the content of a `config.json` describes, without a head. Raises `XinyeError`
    for an unsupported or invalid one."""
    check_numbers(data, where)
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise XinyeError(
            f"{where}: model_type {model_type!r} is not supported; Xinye reads "
            f"{', '.join(name for name in FAMILIES if name != 'xinye_lstm')}"
        )
    for key, allowed in {"quantization_config": (None,), **FAMILIES[model_type].known}.items():
        if data.get(key, allowed[0]) not in allowed:
            raise XinyeError(
                f"{where}: {key} = {data[key]!r} is not supported (only {allowed[0]!r})"
            )
    try:
        values = _values(data, FAMILIES[model_type])
        if model_type == "xinye_lstm":
            return LSTMConfig(**values)
        config = GPTConfig(**values)
        return _with_positions(config, data, where) if config.rotary else config
    except KeyError as error:
        raise XinyeError(f"{where}: the key {error} is missing") from None
    except (TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError) as error:
        raise XinyeError(f"{where}: a value is invalid ({error})") from None


def check_numbers(data: Json, where: str) -> None:
    """Raise `XinyeError` for a number that is not finite. With it all results would be NaN, or the
    work would never end."""
    for name, value in data.items():
        try:  # whole numbers, too, may be larger than any float
            json.dumps(json.loads(json.dumps(value), parse_int=float), allow_nan=False)
        except (ValueError, RecursionError):
            raise XinyeError(
                f"{where}: {name} holds an infinite number or NaN; correct the file"
            ) from None


def _values(data: Json, family: Family) -> Json:
    """The fields of a config by name. Raises `KeyError` or `ValueError` for missing or invalid
    ones."""
    values: Json = {"architecture": family.architecture, **family.fixed}
    for name, key in family.keys.items():
        value = data[key] if key in data or name not in family.defaults else family.defaults[name]
        if value is not None or name not in family.defaults:
            values[name] = _checked(key, value, _KINDS[name])
    if family.architecture != "lstm":
        width, heads = values["hidden_size"], values["num_attention_heads"]
        values.setdefault("num_key_value_heads", heads)
        values.setdefault("head_dim", family.defaults["head_dim"] or width // heads)
        values.setdefault("intermediate_size", 4 * width)
    return values


def _checked(key: str, value: Any, kind: Any) -> Any:
    if kind is float:
        value = float(value)
        good = 0 < value < math.inf
    elif kind is int:
        good = type(value) is int and 0 <= value < 2**40
    else:
        good = type(value) is kind
    if not good:
        raise ValueError(f"{key} = {value!r}")
    return value


def _with_positions(config: GPTConfig, data: Json, where: str) -> GPTConfig:
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    theta = float(data.get("rope_theta") or rope.get("rope_theta") or 10_000.0)
    if not 1 < theta < math.inf:
        raise ValueError(f"rope_theta = {theta!r}")
    context = config.max_position_embeddings
    slides = data.get("use_sliding_window") or "sliding_attention" in (
        data.get("layer_types") or ()
    )
    # In some layers a token attends only to this many tokens, itself included.
    if slides or data["model_type"] == "mistral":
        window = data.get("sliding_window", 4096)
        if window is not None and (type(window) is not int or window < 1):
            raise ValueError(f"sliding_window = {window!r}")
        # Within the window, attention is the usual one.
        context = min(context, window or context)
    return replace(
        config,
        max_position_embeddings=context,
        rope_theta=theta,
        rope_scaling=_from_rope_json(rope, data, where),
    )


def _from_rope_json(rope: Json, data: Json, where: str) -> RopeScaling | None:
    """The RoPE scaling in a config; None without scaling. Raises `XinyeError` for an unknown type
    or field."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", *_ROPE_FIELDS):
        raise XinyeError(
            f"{where}: RoPE of type {kind!r} is not supported; Xinye reads default, "
            f"{', '.join(_ROPE_FIELDS)}"
        )
    if (part := rope.get("partial_rotary_factor", 1.0)) != 1.0:
        raise XinyeError(f"{where}: partial_rotary_factor = {part!r} is not supported (only 1.0)")
    values = {
        name: value
        for name, value in rope.items()
        if value is not None and name not in _ROPE_COMMON
    }
    if odd := values.keys() - set(_ROPE_FIELDS.get(kind, ())):
        raise XinyeError(
            f"{where}: the field {min(odd)!r} of RoPE of type {kind!r} is not supported"
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
