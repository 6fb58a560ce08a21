"""Folders written here load in transformers, and theirs here: same logits, loss and gradients."""

import json

import pytest
import torch
import transformers

from random_models import random_model
from xinye.checkpoints.huggingface import load_model, load_weights, save_model, to_tensors
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.rope import RopeScaling

TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
V = TOKENIZER.vocab_size
SHAPES = {
    "modern, grouped queries, odd head size, tied": GPTConfig("modern", V, 48, 3, 4, 2, 10, 72, 40),
    "modern, untied, biases": GPTConfig(
        "modern", V, 32, 2, 2, 2, 16, 40, 32, False, attention_bias=True
    ),
    "llama, grouped queries, untied": GPTConfig(
        "llama", V, 48, 2, 6, 3, 8, 56, 40, False, rope_theta=5e4
    ),
    "llama, one key-value head, biases, tied": GPTConfig(
        "llama", V, 36, 2, 3, 1, 12, 50, 40, True, attention_bias=True, mlp_bias=True, norm_eps=1e-5
    ),
    "gpt2, tied": GPTConfig("gpt2", V, 36, 3, 3, 3, 12, 144, 40, norm_eps=1e-5),
    "gpt2, untied, narrow feed-forward": GPTConfig("gpt2", V, 40, 2, 5, 5, 8, 70, 40, False),
}


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


@pytest.mark.parametrize("name", SHAPES)
def test_parity_with_transformers(name, tmp_path):
    config = SHAPES[name]
    model = random_model(config)
    save_model(tmp_path, model, TOKENIZER)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert (
        config.parameters == sum(p.numel() for p in model.parameters()) == theirs.num_parameters()
    )

    # transformers gives the embedding of the padding token no gradient
    tokens = torch.randint(TOKENIZER.pad_id + 1, V, (2, 23))
    output = theirs(input_ids=tokens, labels=tokens)
    assert relative_error(model(tokens), output.logits) <= 1e-5

    loss = model.loss(tokens[:, :-1], tokens[:, 1:]) / tokens[:, 1:].numel()
    assert relative_error(loss, output.loss) <= 1e-6
    loss.backward()
    output.loss.backward()
    for parameter in model.parameters():  # a gradient goes the way of its weight
        parameter.data = parameter.grad
    gradients = to_tensors(model)
    for name, parameter in theirs.named_parameters():
        assert relative_error(gradients[name], parameter.grad) <= 2e-5, name


@pytest.mark.parametrize("name", SHAPES)
def test_a_folder_of_transformers_loads_here(name, tmp_path):
    model = random_model(SHAPES[name])
    save_model(tmp_path / "ours", model, TOKENIZER)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", dtype=torch.float32
    )
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_weights(tmp_path / "theirs")
    assert again.config == model.config
    tokens = torch.randint(0, V, (2, 17))
    assert torch.equal(again(tokens), model(tokens))


SCALINGS = [
    RopeScaling("linear", 3.0),
    RopeScaling("dynamic", 2.0),
    RopeScaling("yarn", 4.0, 24),
    RopeScaling("yarn", 2.0, 24, 1.3, beta_fast=2.0, beta_slow=0.5),
    RopeScaling("llama3", 8.0, 24, low_freq_factor=1.0, high_freq_factor=4.0),
]


@pytest.mark.parametrize(
    "scaling", SCALINGS, ids=lambda scaling: f"{scaling.rope_type}:{scaling.factor:g}"
)
@pytest.mark.parametrize("architecture", ["modern", "llama"])
def test_rope_scaling_is_that_of_transformers_within_and_beyond_the_first_context(
    architecture, scaling, tmp_path
):
    context = 24 if scaling.rope_type == "dynamic" else 96
    model = random_model(
        GPTConfig(architecture, V, 32, 2, 2, 2, 32, 40, context, rope_scaling=scaling)
    )
    save_model(tmp_path / "ours", model, TOKENIZER)
    for length in (20, 24, 90):
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "ours", dtype=torch.float32
        )
        tokens = torch.randint(0, V, (2, length))
        assert relative_error(model(tokens), theirs(input_ids=tokens).logits) <= 1e-5
    theirs.save_pretrained(tmp_path / "theirs")
    assert (
        load_weights(tmp_path / "theirs").config
        == load_weights(tmp_path / "ours").config
        == model.config
    )


def test_rope_scaling_as_older_files_have_it(tmp_path):
    model = random_model(GPTConfig("llama", V, 32, 2, 2, 2, 16, 40, 96))
    save_model(tmp_path, model, TOKENIZER)
    scaling = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24}
    damage(tmp_path, {"rope_parameters": None, "rope_scaling": scaling})
    assert load_weights(tmp_path).config.rope_scaling == RopeScaling("yarn", 4.0, 24)


def test_tokenizer_loads_in_autotokenizer_with_the_same_ids(tmp_path):
    texts = [
        "芳林新叶催陈叶，流水前波让后波。", "The quick brown fox doesn't jump.", "def f(x):\n\treturn x ** 2  # 平方\n",
        "🙂👩‍👩‍👧 café naïve ﬁ Ａ１", " leading\r\n\r\n  and trailing  ", "1234567890 3.14", "",
    ]  # fmt: skip
    for kind in ("bpe", "char", "bytes"):
        tokenizer = Tokenizer.train(texts * 3, kind=kind)
        tokenizer.save(tmp_path / kind)
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / kind)
        for text in texts:
            assert theirs(text)["input_ids"] == [tokenizer.bos_id, *tokenizer.encode(text)], (
                kind,
                text,
            )
            assert (
                theirs.decode(tokenizer.encode(text))
                == tokenizer.decode(tokenizer.encode(text))
                == text
            )
        messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "hello"}]
        expected = theirs.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        assert tokenizer.encode_chat(messages) == expected
        assert (theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2)


def damage(folder, what):
    config = json.loads((folder / "config.json").read_text())
    weights = folder / "model.safetensors"
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "header":
        weights.write_bytes(b"\xff" * 7 + b"\x7f" + weights.read_bytes()[8:])
    elif what == "missing weights":
        weights.unlink()
    elif what == "json":
        (folder / "config.json").write_text("{")
        return
    else:
        config |= what
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "what, message",
    [
        ("cut", "damaged or cut short"),
        ("header", "damaged or cut short"),
        ("missing weights", "no such file"),
        ("json", "damaged"),
        (
            {"model_type": "mamba"},
            "'mamba' is not supported; Xinye reads qwen3, qwen2, llama, mistral, gpt2",
        ),
        ({"hidden_size": 96}, "has shape"),
        ({"num_hidden_layers": 4}, "lacks tensor model.layers.3"),
        ({"num_hidden_layers": 2}, "has an unknown tensor model.layers.2"),
        ({"num_attention_heads": "four"}, "a value is invalid"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "the key 'factor' is missing"),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 0.5}},
            "factor is 0.5; it must be at least 1",
        ),
        ({"rope_parameters": {"rope_type": "yarn", "factor": "four"}}, "a value is invalid"),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0}},
            "the field 'mscale' of RoPE of type 'yarn'",
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(what, message, tmp_path):
    save_model(
        tmp_path, random_model(SHAPES["modern, grouped queries, odd head size, tied"]), TOKENIZER
    )
    damage(tmp_path, what)
    with pytest.raises(XinyeError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    model = random_model(SHAPES["gpt2, tied"])
    model.model.norm.weight.data[3] = float("nan")
    save_model(tmp_path, model, TOKENIZER)
    with pytest.raises(XinyeError, match=r"ln_f\.weight holds NaN"):
        load_model(tmp_path)
