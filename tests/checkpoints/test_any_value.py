"""Values that are drawn, in drawn places of a model's or an adapter's config: each works, or one
line says what is wrong, before memory of that size is taken."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.bases import CONFIG
from xinye.checkpoints.huggingface import save_model
from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.rope import RopeScaling

TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
YARN = RopeScaling("yarn", 2.0, 8, 1.2)
SHAPE = GPTConfig("llama", TOKENIZER.vocab_size, 16, 1, 2, 2, 8, 16, 16, rope_scaling=YARN)
ADAPTERS = {
    "lora": AdapterSettings(method="lora", r=2),
    "adapter": AdapterSettings(method="adapter", bottleneck_size=2),
    "prefix": AdapterSettings(method="prefix", num_virtual_tokens=2),
}
VALUES = [
    *(None, True, 0, -1, 3, 0.5, 10**9, 10**12, 10**400, float("inf"), float("nan")),
    *("", "a", "a" * 5000, "\ud800", [], [[1]], {}, {"a": {"a": []}}),
]
INFINITE = " holds an infinite number or NaN; correct the file"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a model, and of its adapters by method."""
    folder = tmp_path_factory.mktemp("any")
    for name in ("model", *ADAPTERS):
        model = GPT(SHAPE)
        model.initialize(1)
        if name == "model":
            save_model(folder / name, model, TOKENIZER)
        else:
            attach(model, ADAPTERS[name])
            save_adapter(folder / name, model, folder / "model", TOKENIZER)
    return folder


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """To every value within one."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*path, key))


def put(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    whole = deepcopy(whole)
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return whole


def try_to_load(file: Path, path: tuple[Any, ...], value: Any) -> str:
    """Why the model of a file with another value is refused; "" where it computes with it."""
    before = file.read_text("utf-8")
    file.write_text(json.dumps(put(json.loads(before), path, value)), "utf-8")
    try:
        model, _ = load_model(file.parent)
        assert torch.isfinite(model(torch.zeros(1, 3, dtype=torch.long))).all()
    except XinyeError as error:
        assert "\n" not in str(error) and len(str(error)) < 900
        return str(error)
    finally:
        file.write_text(before, "utf-8")
    return ""


@pytest.mark.parametrize(
    "file",
    [
        "model/config.json",
        "model/tokenizer_config.json",
        *(f"{name}/{CONFIG}" for name in ADAPTERS),
    ],
)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_a_working_model_or_one_line(root, file, data):
    places = sorted(paths(json.loads((root / file).read_text("utf-8"))), key=str)
    try_to_load(root / file, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(VALUES)))


@pytest.mark.parametrize(
    "file, path, value, message",
    [
        ("lora", "lora_alpha", float("inf"), "lora_alpha" + INFINITE),
        ("lora", "lora_alpha", 10**400, "lora_alpha" + INFINITE),
        ("lora", "lora_dropout", float("nan"), "lora_dropout" + INFINITE),
        ("lora", "r", float("inf"), "r" + INFINITE),
        ("lora", "rank_pattern", {"q_proj": [float("nan")]}, "rank_pattern" + INFINITE),
        ("lora", "base_model_name_or_path", "n" * 300, "there is no such model (File name too long)"),
        ("adapter", "bottleneck_size", 10**12, "no tensor has 1000000000000 rows"),
        ("prefix", "num_virtual_tokens", 9, "no tensor has 9 rows"),
        ("model", "initializer_range", float("nan"), "initializer_range" + INFINITE),
        ("model", "head_dim", float("inf"), "head_dim" + INFINITE),
        ("model", "model_type", [], "model_type [] is not supported; Xinye reads qwen3"),
        ("model", "hidden_size", 10**9, "has shape [261, 16], not [261, 1000000000]"),
        ("model", "max_position_embeddings", 10**9, "it must be at most 33554432"),
        ("model", "rope_parameters.original_max_position_embeddings", -1, "the original context is -1"),
        ("model", "rope_parameters.beta_fast", 0, "beta_fast is 0.0; it must be more than 0"),
        ("model", "rope_parameters.beta_slow", -1, "beta_slow is -1.0"),
        ("model", "rope_parameters.attention_factor", 0, "attention_factor is 0.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(root, file, path, value, message):
    place = root / file / ("config.json" if file == "model" else CONFIG)
    assert message in try_to_load(place, tuple(path.split(".")), value)


def test_borders_of_llama3_that_are_one_are_refused(root):
    file = root / "model" / "config.json"
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 4.0,
        "high_freq_factor": 4.0,
    }
    said = try_to_load(file, ("rope_parameters",), scaling)
    assert "high_freq_factor is 4.0; it must be more than low_freq_factor" in said
