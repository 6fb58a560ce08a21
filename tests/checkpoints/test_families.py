"""Folders that transformers wrote, of every family that is read here: the same logits, loss and
gradients, and what goes out again is the same model there."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from xinye.checkpoints.huggingface import load_model, load_weights, save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
V = TOKENIZER.vocab_size + 7  # padded, as Qwen's vocabularies are
SIZES = {"vocab_size": V, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 72, "max_position_embeddings": 40}  # fmt: skip
FAMILIES = {
    "gpt2": transformers.GPT2Config(vocab_size=V, n_embd=48, n_layer=2, n_head=4, n_positions=40),
    "gpt2, untied": transformers.GPT2Config(
        vocab_size=V, n_embd=48, n_layer=2, n_head=4, n_positions=40, n_inner=70, tie_word_embeddings=False
    ),
    "llama": transformers.LlamaConfig(**SIZES, rms_norm_eps=1e-5),
    "llama, tied, biases": transformers.LlamaConfig(
        **SIZES, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "llama 3.1": transformers.LlamaConfig(
        **SIZES,
        rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=24, head_dim=16),
    "mistral, no window": transformers.MistralConfig(**SIZES, sliding_window=None),
    "qwen2": transformers.Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters={
        "rope_type": "default", "rope_theta": 1e6}),
    "qwen2, a window in some layers": transformers.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=24, max_window_layers=1
    ),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=16),
}  # fmt: skip


def random_model(config):
    """One of transformers' whose every weight counts: biases and norms are random, too."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval()


def save(model, folder, **options):
    model.save_pretrained(folder, **options)
    TOKENIZER.save(folder)
    return folder


def relative_error(ours, theirs):
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_on_logits_loss_and_gradients_in_and_out(family, tmp_path):
    theirs = random_model(FAMILIES[family])
    model, tokenizer = load_model(save(theirs, tmp_path / "in"))
    context = model.config.max_position_embeddings
    assert context == (24 if getattr(FAMILIES[family], "sliding_window", None) else 40)
    tokens = torch.randint(0, V, (2, context))
    output = theirs(input_ids=tokens, labels=tokens)
    assert relative_error(model(tokens), output.logits) <= 1e-5
    loss = model.loss(tokens[:, :-1], tokens[:, 1:]) / tokens[:, 1:].numel()
    assert relative_error(loss, output.loss) <= 1e-6
    loss.backward()
    output.loss.backward()
    assert (
        relative_error(
            model.model.embed_tokens.weight.grad, theirs.get_input_embeddings().weight.grad
        )
        <= 2e-5
    )
    assert model.config.parameters == theirs.num_parameters()

    save_model(tmp_path / "out", model, tokenizer)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert relative_error(again(input_ids=tokens).logits, output.logits) <= 1e-5
    assert load_weights(tmp_path / "out").config == model.config
    if family.startswith("qwen2"):
        assert isinstance(again, transformers.Qwen2ForCausalLM)


def test_shards_are_the_same_model(tmp_path):
    theirs = random_model(FAMILIES["qwen2"])
    whole = load_weights(save(theirs, tmp_path / "whole"))
    parts = save(theirs, tmp_path / "parts", max_shard_size="60KB")
    assert len(list(parts.glob("*.safetensors"))) > 2
    again = load_weights(parts)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True)
    )


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16], ids=str)
def test_weights_are_kept_in_the_type_that_is_asked_for(stored, kept, tmp_path):
    theirs = random_model(FAMILIES["llama"]).to(stored)
    model = load_weights(save(theirs, tmp_path), kept)
    assert {parameter.dtype for parameter in model.parameters()} == {kept}
    assert torch.equal(model.lm_head.weight, theirs.lm_head.weight.to(kept))
    save_model(tmp_path / "out", model, TOKENIZER)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(
        kept
    ).removeprefix("torch.")


@pytest.mark.parametrize("rope", [{"rope_theta": 3e4}, {"rope_parameters": {"rope_type": "default", "rope_theta": 3e4}},
                                  {"rope_parameters": None, "rope_theta": 3e4, "rope_scaling": None}])  # fmt: skip
def test_rope_theta_as_older_and_newer_files_have_it(rope, tmp_path):
    save(random_model(FAMILIES["llama"]), tmp_path)
    change(tmp_path, rope)
    assert load_weights(tmp_path).config.rope_theta == 3e4


def change(folder, values):
    config = json.loads((folder / "config.json").read_text())
    if "rope_theta" in values:
        config.pop("rope_parameters", None)
    config |= values
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v != "absent"})
    )


def test_a_tie_that_is_not_told_is_the_familys_own(tmp_path):
    save(random_model(FAMILIES["gpt2"]), tmp_path / "gpt2")
    change(tmp_path / "gpt2", {"tie_word_embeddings": "absent"})
    assert load_weights(tmp_path / "gpt2").config.tie_word_embeddings
    save(random_model(FAMILIES["qwen2"]), tmp_path / "qwen2")
    change(tmp_path / "qwen2", {"tie_word_embeddings": "absent"})
    with pytest.raises(XinyeError, match=r"lacks tensor lm_head\.weight"):
        load_weights(tmp_path / "qwen2")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
        ({"quantization_config": {"bits": 4}}, "quantization_config = .* is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
        (
            {
                "rope_scaling": {"rope_type": "default", "mrope_section": [1]},
                "rope_parameters": None,
            },
            "mrope_section",
        ),
        ({"is_causal": False}, "is_causal"),
        ({"sliding_window": "wide", "model_type": "mistral"}, "sliding_window = 'wide'"),
        ({"num_hidden_layers": 10**12}, "tensors are too few for 1000000000000 layers"),
        ({"num_hidden_layers": 10**400}, "num_hidden_layers holds an infinite number"),
        ({"hidden_size": 10**11}, "has shape|out of range"),
        ({"vocab_size": 200}, "has shape"),
        ({"head_dim": -2}, "a value is invalid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_computed_here_and_sizes_that_lie_are_refused_by_name(
    values, message, tmp_path
):
    save(random_model(FAMILIES["llama"]), tmp_path)
    change(tmp_path, values)
    with pytest.raises(XinyeError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_bad_tensors_are_named(tmp_path):
    save(random_model(FAMILIES["llama"]), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    for changed, message in [
        (
            {name: tensors[name].int()},
            "has type I32, which is not supported; Xinye reads F32, F16, BF16",
        ),
        ({name: tensors[name] * float("inf")}, "holds NaN or infinity"),
        ({"model.odd": torch.ones(2)}, r"has an unknown tensor model\.odd"),
    ]:
        save_file(tensors | changed, tmp_path / "model.safetensors")
        with pytest.raises(XinyeError, match=message):
            load_weights(tmp_path)
    change(tmp_path, {"tie_word_embeddings": True})
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(
        XinyeError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight"
    ):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    "files, message",
    [
        ({"a": "../model.safetensors"}, "not the name of a safetensors file in this folder"),
        ({"a": "/etc/passwd"}, "not the name of a safetensors file in this folder"),
        ({"a": "absent.safetensors"}, r"absent\.safetensors: there is no such file"),
        ({"a": 3}, "no weight_map"),
        ([], "no weight_map"),
    ],
    ids=str,
)
def test_an_index_that_points_elsewhere_is_refused(files, message, tmp_path):
    save(random_model(FAMILIES["llama"]), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    with pytest.raises(XinyeError, match=message):
        load_weights(tmp_path)


def test_a_pickled_model_is_refused_with_a_way_that_works(tmp_path):
    theirs = random_model(FAMILIES["qwen3"])
    save(theirs, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        XinyeError, match=r"pytorch_model\.bin: Xinye does not read pickled"
    ) as caught:
        load_weights(tmp_path)
    program = str(caught.value).partition('python -c "')[2].removesuffix('"')
    exec(compile(program, "advice", "exec"), {})
    tokens = torch.randint(0, V, (1, 9))
    assert relative_error(load_weights(tmp_path)(tokens), theirs(input_ids=tokens).logits) <= 1e-5


def test_more_memory_than_there_is_is_said_before_anything_is_read(tmp_path, monkeypatch):
    save(random_model(FAMILIES["llama"]), tmp_path)
    monkeypatch.setattr("xinye.checkpoints.layout.memory_bytes", lambda where: 1000)
    with pytest.raises(XinyeError, match=r"GB in float32, but only 0\.0 GB of memory are free"):
        load_weights(tmp_path)


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path):
    small = transformers.LlamaConfig(**SIZES | {"vocab_size": 100})
    save(random_model(small), tmp_path)
    with pytest.raises(XinyeError, match="the tokenizer has 261 tokens, the model only 100"):
        load_model(tmp_path)
