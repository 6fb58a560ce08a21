"""An adapter's folder loads in peft over the same base, and peft's here: same logits. Another base is refused."""

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

from xinye.checkpoints.adapters import CONFIG, WEIGHTS, load_adapted, load_adapter, save_adapter
from xinye.checkpoints.huggingface import load_model, load_weights, save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import AdapterSettings, adapters, after_step, attach, extra_loss, ranks_of
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
def test_peft_computes_the_same_logits(architecture: str, method: str, base: Any, tmp_path: Path) -> None:
    folder = base(architecture)
    model = adapted(folder, method)
    save_adapter(tmp_path / "adapter", model, folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    plain = theirs(input_ids=TOKENS).logits
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    logits = theirs(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits
    assert close(model(TOKENS), logits)
    assert not close(plain, logits)
