"""An adapter's folder loads in peft over the same base, and peft's here: same logits. Another base
is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from xinye.checkpoints.adapters import WEIGHTS, load_adapter, save_adapter
from xinye.checkpoints.bases import CONFIG
from xinye.checkpoints.huggingface import load_weights, save_model
from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import adapters, after_step, attach, extra_loss, ranks_of
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
V = TOKENIZER.vocab_size
SHAPES = {
    "modern": GPTConfig("modern", V, 24, 2, 4, 2, 10, 40, 48),
    "llama": GPTConfig("llama", V, 24, 3, 4, 4, 6, 40, 48, False, attention_bias=True),
    "gpt2": GPTConfig("gpt2", V, 24, 2, 4, 4, 6, 96, 48, norm_eps=1e-5),
}
METHODS = {
    "lora": AdapterSettings(method="lora", r=3, lora_alpha=5),
    "rslora": AdapterSettings(method="lora", r=4, use_rslora=True),
    "adalora": AdapterSettings(method="adalora", init_r=4, target_r=2, tinit=1, tfinal=1),
    "prefix": AdapterSettings(method="prefix", num_virtual_tokens=5),
    "adapter": AdapterSettings(method="adapter", bottleneck_size=6),
}
TOKENS = torch.randint(0, V, (2, 17), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def base(tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a random model."""

    def make(architecture: str) -> Path:
        torch.manual_seed(0)
        model = GPT(SHAPES[architecture])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.2)
        save_model(tmp_path / architecture, model, TOKENIZER)
        return tmp_path / architecture

    return make


def adapted(base: Path, method: str) -> GPT:
    """A base with an adapter whose weights are random; AdaLoRA's have lost half of their ranks."""
    model = load_weights(base)
    assert isinstance(model, GPT)
    attach(model, METHODS[method])
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
    if method == "adalora":
        for step in range(1, 5):
            (model.loss(TOKENS[:, :-1], TOKENS[:, 1:]) + extra_loss(model)).backward()
            after_step(model, step, 5)
            model.zero_grad()
    return model


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return float((ours - theirs).detach().abs().max()) <= 1e-5 * float(theirs.detach().abs().max())


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "adapter"])
def test_peft_computes_the_same_logits(
    architecture: str, method: str, base: Any, tmp_path: Path
) -> None:
    folder = base(architecture)
    model = adapted(folder, method)
    save_adapter(tmp_path / "adapter", model, folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    plain = theirs(input_ids=TOKENS).logits
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    logits = theirs(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits
    assert close(model(TOKENS), logits)
    assert not close(plain, logits)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_computes_the_same(
    architecture: str, method: str, base: Any, tmp_path: Path
) -> None:
    folder = base(architecture)
    model = adapted(folder, method)
    save_adapter(tmp_path / "adapter", model, folder)
    again = load_weights(folder)
    load_adapter(tmp_path / "adapter", again, folder)
    assert close(again(TOKENS), model(TOKENS))
    assert ranks_of(again) == ranks_of(model)
    save_adapter(tmp_path / "again", again, folder)
    assert (tmp_path / "again" / CONFIG).read_text() == (tmp_path / "adapter" / CONFIG).read_text()
    saved, tensors = (
        load_file(tmp_path / "adapter" / WEIGHTS),
        load_file(tmp_path / "again" / WEIGHTS),
    )
    assert tensors.keys() == saved.keys() and all(
        torch.equal(tensors[name], saved[name]) for name in saved
    )


PEFT = {
    "lora": peft.LoraConfig(
        r=3, lora_alpha=7, target_modules=["q_proj", "down_proj"], rank_pattern={"down_proj": 2}
    ),
    "lora, one layer": peft.LoraConfig(
        r=3, target_modules=["v_proj"], layers_to_transform=[1], layers_pattern="layers"
    ),
    "lora, by rank root": peft.LoraConfig(r=4, use_rslora=True, target_modules="all-linear"),
    "adalora": peft.AdaLoraConfig(
        init_r=3, target_r=1, total_step=5, target_modules=["k_proj", "up_proj"]
    ),
    "prefix": peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "prefix by a small network": peft.PrefixTuningConfig(
        num_virtual_tokens=4, task_type="CAUSAL_LM", prefix_projection=True, encoder_hidden_size=8
    ),
}


@pytest.mark.parametrize("name", PEFT)
def test_an_adapter_that_peft_made_computes_the_same(name: str, base: Any, tmp_path: Path) -> None:
    folder = base("modern")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = peft.get_peft_model(theirs, PEFT[name]).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
    if name == "adalora":
        for step in range(1, 6):
            theirs(input_ids=TOKENS, labels=TOKENS).loss.backward()
            theirs.base_model.update_and_allocate(step)
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_weights(folder)
    load_adapter(tmp_path / "adapter", ours, folder)
    logits = theirs(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits
    assert close(ours(TOKENS), logits)
    if name == "adalora":
        assert sum(ranks_of(ours).values()) == 4


def test_gpt2s_adapter_of_peft_computes_the_same(base: Any, tmp_path: Path) -> None:
    folder = base("gpt2")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = peft.LoraConfig(
        r=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, init_lora_weights=False
    )
    theirs = peft.get_peft_model(theirs, config).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_weights(folder)
    load_adapter(tmp_path / "adapter", ours, folder)
    assert close(ours(TOKENS), theirs(input_ids=TOKENS).logits)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("use_dora", True, "lacks tensor base_model.model.model.layers.0.mlp.down_proj.lora_mag"),
        ("lora_bias", True, "lora_bias = true is not supported"),
        ("alpha_pattern", ["q_proj"], "must be an object"),
        ("modules_to_save", "lm_head", "must be a list"),
        ("alpha_pattern", {"(.+)+x": 3}, "is too complex to match safely"),
        ("alpha_pattern", {"q_proj(": 3}, "is not a valid regular expression"),
        ("alpha_pattern", {"q_proj": "3"}, "'3' for 'q_proj' must be a positive number"),
        ("init_lora_weights", "pissa", "is not supported; it also changes the base model"),
        ("modules_to_save", ["lm_head"], "the weights of lm_head are missing"),
        ("ensure_weight_tying", True, "ensure_weight_tying = true is not supported"),
        ("trainable_token_indices", [3], "trainable_token_indices = [3] is not supported"),
        ("peft_type", "IA3", "peft_type 'IA3' is not supported"),
        ("a_new_field", 1, "a_new_field = 1 is not supported"),
    ],
)
def test_what_changes_the_arithmetic_and_is_not_computed_is_refused(
    field: str, value: Any, complaint: str, base: Any, tmp_path: Path
) -> None:
    folder = base("modern")
    save_adapter(tmp_path / "adapter", adapted(folder, "lora"), folder)
    path = tmp_path / "adapter" / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(XinyeError, match="adapter_") as error:
        load_adapter(tmp_path / "adapter", load_weights(folder))
    assert complaint in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_on_another_base_it_is_refused(method: str, base: Any, tmp_path: Path) -> None:
    folder = base("modern")
    save_adapter(tmp_path / "adapter", adapted(folder, method), folder)
    other = tmp_path / "other"
    model = load_weights(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    save_model(other, model, TOKENIZER)
    with pytest.raises(XinyeError) as error:
        load_adapter(tmp_path / "adapter", model, other)
    assert "made for ../modern (weights" in str(error.value) and f"not for {other} (weights" in str(
        error.value
    )
    assert not adapters(model)


@pytest.mark.parametrize(
    "damage",
    ["cut short", "without a tensor", "of another shape", "not a number", "no matrix", "integers"],
)
def test_damaged_weights_are_one_clear_line(damage: str, base: Any, tmp_path: Path) -> None:
    folder = base("modern")
    save_adapter(tmp_path / "adapter", adapted(folder, "lora"), folder)
    path = tmp_path / "adapter" / WEIGHTS
    tensors = load_file(path)
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    if damage == "without a tensor":
        del tensors[name]
    else:
        tensors[name] = {
            "of another shape": tensors[name][1:].clone(),
            "no matrix": torch.tensor(1.0),
            "integers": tensors[name].int(),
        }.get(damage, tensors[name] * float("nan"))
    save_file(tensors, path)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(XinyeError, match=WEIGHTS):
        load_adapter(tmp_path / "adapter", load_weights(folder))


@pytest.mark.parametrize("method", METHODS)
def test_a_folder_knows_its_base_also_when_both_are_moved(
    method: str, base: Any, tmp_path: Path
) -> None:
    folder = base("llama")
    model = adapted(folder, method)
    save_adapter(tmp_path / "adapter", model, folder, TOKENIZER)
    (tmp_path / "moved").mkdir()
    for name in ("llama", "adapter"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    again, tokenizer = load_model(tmp_path / "moved" / "adapter")
    assert close(again(TOKENS), model(TOKENS))
    assert tokenizer.encode("新叶") == TOKENIZER.encode("新叶")
    # the others are in the weights
    assert bool(adapters(again)) == (method in ("prefix", "adapter"))
