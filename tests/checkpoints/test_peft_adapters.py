"""Folders of adapters as peft writes them over models of transformers: the same logits, or one line
that says what is not supported."""

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers
from peft import LoraConfig
from safetensors.torch import load_file, save_file

import xinye as package
from xinye.checkpoints.load import load_any
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

TOKENIZER = Tokenizer.train(["很好吃 very good"], kind="char")
TOKENS = torch.randint(5, TOKENIZER.vocab_size, (2, 11), generator=torch.Generator().manual_seed(1))
IDS = {"vocab_size": TOKENIZER.vocab_size, "pad_token_id": TOKENIZER.pad_id,
       "bos_token_id": TOKENIZER.bos_id, "eos_token_id": TOKENIZER.eos_id}  # fmt: skip
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64}  # fmt: skip
CONFIGS = {
    "llama": lambda **more: transformers.LlamaConfig(**IDS, **SIZES, **more),
    "tied": lambda **more: transformers.Qwen2Config(
        **IDS, **SIZES, tie_word_embeddings=True, **more
    ),
    "gpt2": lambda **more: transformers.GPT2Config(
        **IDS, n_positions=64, n_embd=32, n_layer=2, n_head=4, **more
    ),
}
KINDS = {
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification,
}


def scatter(model: torch.nn.Module) -> None:
    """Random values, biases included, that make every part of a network count."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.normal_(1 if "norm" in name or "ln_" in name else 0, 0.2)


def make_base(
    folder: Path, family: str, kind: str = "CAUSAL_LM", **more: object
) -> torch.nn.Module:
    torch.manual_seed(0)
    model = KINDS[kind].from_config(CONFIGS[family](**more))
    scatter(model)
    model.tie_weights()
    model.save_pretrained(folder)
    TOKENIZER.save(folder)
    return KINDS[kind].from_pretrained(folder).eval()


def make_adapter(folder: Path, model: torch.nn.Module, config: LoraConfig) -> torch.nn.Module:
    model = peft.get_peft_model(model, config).eval()
    scatter(model)
    model.save_pretrained(folder)
    return model


def same_logits(folder: Path, theirs: torch.nn.Module) -> None:
    network, _ = load_any(folder)
    with torch.no_grad():
        expected = theirs(input_ids=TOKENS).logits
        lengths = torch.tensor([TOKENS.shape[1]] * 2)
        ours = network(TOKENS, lengths) if hasattr(network, "score") else network(TOKENS)
    assert float((ours - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


ALL = ["q_proj", "v_proj", "down_proj"]
LORA = {
    "alpha_pattern": LoraConfig(
        target_modules=ALL, alpha_pattern={"q_proj": 3, r"layers\.1\.mlp\..*": 5},
        rank_pattern={"v_proj": 2},
    ),
    "DoRA": LoraConfig(r=3, target_modules=[*ALL, "embed_tokens", "lm_head"], use_dora=True),
    "rsLoRA on embedding and head": LoraConfig(
        r=4, target_modules=["q_proj", "embed_tokens", "lm_head"], use_rslora=True
    ),
    "whole modules": LoraConfig(
        target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head", "norm"]
    ),
    "one of two that were tied": LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "biases": LoraConfig(target_modules=["q_proj"], bias="all"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["llama", "tied"])
@pytest.mark.parametrize("name", LORA)
def test_lora_of_every_kind(name, family, tmp_path, xinye):
    base = make_base(tmp_path / "base", family)
    theirs = make_adapter(tmp_path / "adapter", base, LORA[name])
    same_logits(tmp_path / "adapter", theirs)
    if family == "tied":
        merged = xinye("merge", tmp_path / "adapter", "-o", tmp_path / "merged")
        assert merged.code == 0, merged.err
        same_logits(tmp_path / "merged", theirs)
        same_logits(
            tmp_path / "merged", KINDS["CAUSAL_LM"].from_pretrained(tmp_path / "merged").eval()
        )


@pytest.mark.filterwarnings("ignore")
def test_gpt2_with_dora_embeddings_and_biases(tmp_path):
    base = make_base(tmp_path / "base", "gpt2")
    config = LoraConfig(
        r=3, use_dora=True, bias="lora_only", target_modules=["c_attn", "c_fc", "wte", "wpe"]
    )
    same_logits(tmp_path / "adapter", make_adapter(tmp_path / "adapter", base, config))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["llama", "tied"])
def test_new_tokens_make_the_vocabulary_larger(family, tmp_path):
    base = make_base(tmp_path / "base", family)
    base.resize_token_embeddings(TOKENIZER.vocab_size + 3)
    changed = ["q_proj", "embed_tokens"]
    if family == "llama":  # whose head peft does not save here, though it has new rows
        short = make_adapter(tmp_path / "short", base, LoraConfig(target_modules=changed))
        with pytest.raises(XinyeError, match="no output head with as many"):
            load_any(tmp_path / "short")
        base = short.unload()
        changed.append("lm_head")
    theirs = make_adapter(tmp_path / "adapter", base, LoraConfig(target_modules=changed))
    same_logits(tmp_path / "adapter", theirs)


# -- heads -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("kind", ["SEQ_CLS", "TOKEN_CLS"])
def test_a_classifier_over_a_model_that_writes(kind, family, tmp_path, xinye):
    make_base(tmp_path / "base", family)
    base = KINDS[kind].from_pretrained(tmp_path / "base", num_labels=3)
    theirs = make_adapter(tmp_path / "adapter", base, LoraConfig(task_type=kind))
    same_logits(tmp_path / "adapter", theirs)
    assert package.load(tmp_path / "adapter").network.config.labels == (
        "LABEL_0",
        "LABEL_1",
        "LABEL_2",
    )
    verb = {"SEQ_CLS": "classify", "TOKEN_CLS": "tag"}[kind]
    assert xinye(verb, tmp_path / "adapter", "很好吃").code == 0
    assert xinye("merge", tmp_path / "adapter", "-o", tmp_path / "merged").code == 0
    same_logits(tmp_path / "merged", theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]),
        LoraConfig(target_modules=["q_proj", "score"]),
        LoraConfig(target_modules=["q_proj"]),
    ],
    ids=["new head", "LoRA on the head", "its head"],
)
def test_a_classifier_over_a_classifier_keeps_its_labels(config, tmp_path):
    labels = {0: "差", 1: "中", 2: "好"}
    base = make_base(
        tmp_path / "base",
        "llama",
        "SEQ_CLS",
        id2label=labels,
        problem_type="multi_label_classification",
    )
    theirs = make_adapter(tmp_path / "adapter", base, config)
    same_logits(tmp_path / "adapter", theirs)
    loaded = package.load(tmp_path / "adapter").network.config
    assert loaded.labels == ("差", "中", "好") and loaded.several


@pytest.mark.filterwarnings("ignore")
def test_a_reward_model_and_shards_that_were_not_gathered_are_refused(tmp_path, xinye):
    make_base(tmp_path / "base", "llama")
    base = KINDS["SEQ_CLS"].from_pretrained(tmp_path / "base", num_labels=1)
    make_adapter(tmp_path / "adapter", base, LoraConfig(task_type="SEQ_CLS"))
    assert "predicts a number" in xinye("classify", tmp_path / "adapter", "好").complaint
    base = KINDS["CAUSAL_LM"].from_pretrained(tmp_path / "base")
    make_adapter(tmp_path / "empty", base, LoraConfig(target_modules=["q_proj"]))
    path = tmp_path / "empty" / "adapter_model.safetensors"
    save_file({name: torch.zeros(0, 2) for name in load_file(path)}, path)
    assert (
        "gather weights that are sharded" in xinye("generate", tmp_path / "empty", "好").complaint
    )


# -- a base that was moved -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_a_base_that_was_moved_is_named_and_can_be_given(tmp_path, xinye):
    base = make_base(tmp_path / "base", "llama")
    adapter = tmp_path / "adapter"
    make_adapter(adapter, base, LoraConfig(target_modules=["q_proj"]))
    asked = ("generate", adapter, "好", "--temperature", 0, "--max-tokens", 4)
    before = xinye(*asked).out
    (tmp_path / "base").rename(tmp_path / "moved")
    here = ("--base", tmp_path / "moved")
    assert xinye(*asked, *here).out == before != ""
    complaint = xinye(*asked).complaint  # it holds for one command
    assert (
        str(adapter) in complaint and str(tmp_path / "base") in complaint and "--base" in complaint
    )
    outcome = xinye("export", adapter, "--to", "gguf", "-o", tmp_path / "model.gguf", *here)
    assert outcome.code == 0, outcome.err
    assert package.load(adapter, base=tmp_path / "moved").generate("好", max_tokens=1)
    told = xinye("generate", tmp_path / "moved", "好", *here).complaint
    assert "moved: no model here is" in told


@pytest.mark.parametrize("verb", ["generate", "merge", "export", "quantize"])
@pytest.mark.parametrize(
    "base, downloads",
    [
        ("Qwen/Qwen3-0.6B", True),
        ("gpt2", True),
        ("runs/base", False),
        ("./base", False),
        ("../base", False),
        ("here/base", False),
        ("/gone/base", False),
    ],
)
def test_only_what_may_be_on_the_hub_is_offered_to_download(
    verb, base, downloads, tmp_path, monkeypatch, xinye
):
    monkeypatch.chdir(tmp_path)
    for folder in ("adapter", "here"):
        Path(folder).mkdir()
    written = {"peft_type": "LORA", "base_model_name_or_path": base}
    Path("adapter", "adapter_config.json").write_text(json.dumps(written), "utf-8")
    more = {"generate": ("好",), "merge": ("-o", "m"), "quantize": ("-o", "m.gguf")}
    more["export"] = ("--to", "gguf", "-o", "m.gguf")
    complaint = xinye(verb, "adapter", *more[verb]).complaint
    assert "adapter: " in complaint and base in complaint and "--base DIR" in complaint
    assert (f"xinye download {base}" in complaint) == downloads
    if verb == "generate":
        assert ("xinye download" in xinye(verb, base, "好").complaint) == downloads


def test_an_adapter_over_itself_is_one_line(tmp_path, xinye):
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(tmp_path)}), "utf-8"
    )
    assert "is an adapter, too" in xinye("generate", tmp_path, "好").complaint
