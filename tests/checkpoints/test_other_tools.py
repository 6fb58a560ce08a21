"""A folder as transformers uses it, and what vLLM and SGLang read of it.

Neither of the two can be a requirement of these tests (they want other releases, or a GPU);
`test_vllm.py` installs and runs one of them. Both take config and tokenizer from transformers, find
their own class by `architectures`, and fill it by the names of the tensors; what they check on the
way is asserted here, each with who wants it. Read in August to November 2026: vLLM's
`config/model.py`, `transformers_utils/config.py`, `models/{qwen3,llama,gpt2}.py`; SGLang's
`configs/model_config.py` and `models/` alike.
"""

import json

import pytest
import torch
import transformers
from safetensors import safe_open

from xinye.api import Model
from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import MESSAGE_END, Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.planning import pretraining as planning
from xinye.planning.settings import PretrainSettings

TOKENIZER = Tokenizer.train(["芳林新叶催陈叶，流水前波让后波。 The new leaf."] * 2, kind="char")
MESSAGES = [
    {"role": "system", "content": "简短地回答。"},
    {"role": "user", "content": "叶子为什么是绿的？\n Why?"},
    {"role": "assistant", "content": "因为叶绿素。"},
    {"role": "user", "content": "🙂 <b>谢谢</b>"},
]
ARCHITECTURES = {
    "modern": "Qwen3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    """A folder of the shape that `pretrain` chooses."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = PretrainSettings(architecture=request.param, size="1M", layers=2, width=128)
    config = planning.shape(planning.Draft(), settings, TOKENIZER.vocab_size, 256)
    torch.manual_seed(0)
    model = GPT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    save_model(folder, model, TOKENIZER)
    return folder, model, ARCHITECTURES[request.param]


def test_pipeline_and_chat_template(folder):
    path, gpt, _ = folder
    model = Model(gpt, TOKENIZER, path)
    writer = transformers.pipeline("text-generation", str(path), dtype=torch.float32)
    for prompt in ("新叶", "The leaf", ""):
        theirs = writer(prompt, max_new_tokens=12, do_sample=False)[0]["generated_text"]
        assert theirs == prompt + model.generate(prompt, max_tokens=12, temperature=0)[0]
    ids = writer.tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_dict=False
    )
    assert ids == TOKENIZER.encode_chat(MESSAGES)
    answered = writer(MESSAGES, max_new_tokens=12, do_sample=False)[0]["generated_text"]
    assert answered[-1] == {
        "role": "assistant",
        "content": model.chat(MESSAGES, max_tokens=12, temperature=0),
    }


def test_an_answer_ends_by_itself_in_every_tool(folder):
    config = transformers.GenerationConfig.from_pretrained(folder[0])
    ends = {TOKENIZER.eos_id, TOKENIZER.backend.token_to_id(MESSAGE_END)}
    assert set(config.eos_token_id) == ends  # vLLM and SGLang add these to what stops
    assert config.pad_token_id not in ends
    assert config.max_length in (None, 20)  # vLLM would take it for its own limit


def test_config_for_vllm_and_sglang(folder):
    path, gpt, architecture = folder
    written = json.loads((path / "config.json").read_text())
    assert written["architectures"] == [architecture]  # both look their class up by it
    assert getattr(torch, written["dtype"]) == torch.float32  # "auto" makes 16 bits of it
    # no other loader, no remote code
    assert "quantization_config" not in written and "auto_map" not in written
    config = transformers.AutoConfig.from_pretrained(path)
    # the longest they serve
    assert config.max_position_embeddings == gpt.config.max_position_embeddings
    assert config.num_attention_heads % (getattr(config, "num_key_value_heads", None) or 1) == 0
    assert getattr(config, "is_causal", True)  # False would make it an encoder
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # what all their attention kernels know
    assert head_dim == gpt.config.head_dim and head_dim in (
        64,
        128,
        256,
    )
    if architecture == "GPT2LMHeadModel":
        assert not config.add_cross_attention  # these three are asserted by both
        assert not config.scale_attn_by_inverse_layer_idx
        assert not config.reorder_and_upcast_attn
        assert config.activation_function == "gelu_new"  # SGLang has no other for it
        assert config.tie_word_embeddings  # SGLang always takes the embedding for the head
        return
    assert config.hidden_act == "silu"  # anything else is an error
    assert config.rope_parameters["rope_theta"] == gpt.config.rope_theta  # SGLang reads it here …
    assert written["rope_theta"] == gpt.config.rope_theta  # … and older versions of both here
    assert config.rope_parameters["rope_type"] == "default"
    assert not getattr(config, "use_sliding_window", False) and not getattr(
        config, "sliding_window", None
    )
    assert set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    assert not config.attention_bias  # vLLM's Qwen3 has no place for a bias in o_proj


def test_weights_for_vllm_and_sglang(folder):
    path, _, architecture = folder
    files = [file.name for file in path.iterdir() if file.suffix in (".safetensors", ".bin", ".pt")]
    assert files == ["model.safetensors"]  # every such file in the folder would be read
    theirs = getattr(transformers, architecture)(
        transformers.AutoConfig.from_pretrained(path)
    ).state_dict()
    with safe_open(path / "model.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "pt"  # transformers wants it
        # A name that their module lacks is an error, one that is missing stays random. A tied head
        # is not stored.
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in sorted(file.keys())}
    assert stored == {
        name: tuple(theirs[name].shape) for name in sorted(theirs) if name != "lm_head.weight"
    }


def test_tokenizer_for_vllm_and_sglang(folder):
    path, gpt, _ = folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert tokenizer.is_fast  # both decode piece by piece with it
    assert tokenizer.chat_template  # /v1/chat/completions fails without one
    # ids beyond the embedding would be read out of bounds
    assert len(tokenizer) <= gpt.config.vocab_size
    written = json.loads((path / "tokenizer_config.json").read_text())
    assert "model_max_length" not in written  # the smaller one of it and the context would count
    assert "auto_map" not in written


@pytest.mark.parametrize("size", ["1M", "5M", "15M", "50M", "125M", "350M"])
def test_what_they_know_of_heads_holds_for_every_size(size):
    config = planning.shape(planning.Draft(), PretrainSettings(size=size), 8192, 512)
    assert isinstance(config, GPTConfig) and config.head_dim == 64
    config = planning.shape(
        planning.Draft(), PretrainSettings(size=size, architecture="gpt2"), 8192, 512
    )
    assert config.tie_word_embeddings
