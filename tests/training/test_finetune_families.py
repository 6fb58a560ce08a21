"""Adapters over every stock network: what is learned here beside a Hugging Face folder of random
weights gives the same logits in transformers with peft, loads again, and, where it is a change of
weights, merges."""

from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import xinye as package
from training.test_finetune import TEXTS, records, settings  # noqa: F401
from training.test_finetune_methods import SIZES
from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.tasks.answer import Answer
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag
from xinye.training.train import finetune

SHAPE = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {
    **SHAPE,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "gpt2": transformers.GPT2Config(n_positions=64, n_embd=32, n_layer=2, n_head=4),
    "llama": transformers.LlamaConfig(**GROUPED),
    "qwen2": transformers.Qwen2Config(**GROUPED),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=8),
}
STOCK = {
    "classify": transformers.AutoModelForSequenceClassification,
    "tag": transformers.AutoModelForTokenClassification,
    "answer": transformers.AutoModelForQuestionAnswering,
}
LEARNED = {
    "classify": Classify(["好", "坏"], several=False),
    "tag": Tag(["O", "B-a", "I-a"]),
    "answer": Answer(),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> Path:
    """A folder with a base of each family, as transformers writes it."""
    folder = tmp_path_factory.mktemp("bases")
    tokenizer = Tokenizer.train(["".join(TEXTS)], kind="char")
    for family, config in FAMILIES.items():
        torch.manual_seed(0)
        config.vocab_size, config.pad_token_id = tokenizer.vocab_size, tokenizer.pad_id
        config.bos_token_id = config.eos_token_id = tokenizer.eos_id
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / family)
        tokenizer.save(folder / family)
    return folder


def add_bottlenecks(model: torch.nn.Module, run: Path) -> torch.nn.Module:
    """Put those of a file behind the layers that they are named after, as hooks."""
    tensors = load_file(run / "adapter_model.safetensors")
    names = {name.rsplit(".", 2)[0] for name in tensors if ".down." in name}
    for name in names:
        down, d, up, u = (
            tensors[f"{name}.{part}"]
            for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        )

        def hook(module, inputs, y, down=down, d=d, up=up, u=u):
            return y + torch.nn.functional.gelu(y @ down.T + d) @ up.T + u

        model.get_submodule(name.removeprefix("base_model.model.")).register_forward_hook(hook)
    heads = {
        name.removeprefix("base_model.model."): t
        for name, t in tensors.items()
        if any(head in name for head in ("score.", "classifier.", "qa_outputs."))
        and not name.endswith(".transitions")  # of a tagger, which only Xinye reads
    }
    assert names and heads and not model.load_state_dict(heads, strict=False).unexpected_keys
    return model


def logits_of(output: transformers.utils.ModelOutput) -> torch.Tensor:
    """The logits of a head; those of a span's begin and end together."""
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], -1)
    return output.logits


def same_logits(xinye, base: Path, task: str, method: str) -> None:
    """Compare the folder `run`, loaded here, with the same over the stock network, and merged,
    where it can be."""
    config = transformers.AutoConfig.from_pretrained("run")
    # transformers calls the layers of a base `model`, but those of a reader `transformer`
    names = {r"^model\.": "transformer."} if task == "answer" else None
    stock = STOCK[task].from_pretrained(base, config=config, key_mapping=names).eval()
    theirs = (
        add_bottlenecks(stock, Path("run"))
        if method == "adapter"
        else peft.PeftModel.from_pretrained(stock, "run")
    )
    model, tokenize = package.load("run"), transformers.AutoTokenizer.from_pretrained("run")
    tokens = tokenize(TEXTS[0], return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        expected = logits_of(theirs.eval()(**tokens))
        found = model.network.cpu()(
            tokens["input_ids"], torch.tensor([tokens["input_ids"].shape[1]])
        )
    close = 1e-5 * float(expected.abs().max())
    assert torch.allclose(found, expected, rtol=0, atol=close) and expected.std() > 0
    if method != "lora":
        assert "merge: a " in xinye("merge", "run", "-o", "merged").complaint
        return
    assert xinye("merge", "run", "-o", "merged").code == 0
    plain = STOCK[task].from_pretrained("merged").eval()
    with torch.no_grad():
        assert torch.allclose(logits_of(plain(**tokens)), expected, rtol=0, atol=close)


@every_family
@pytest.mark.parametrize("task", STOCK)
@pytest.mark.parametrize("method", ["lora", "adapter", "prefix"])
def test_the_same_logits_over_the_stock_network(xinye, bases, records, family, task, method):  # noqa: F811
    base, learned = bases / family, LEARNED[task]
    gpt, tokenizer = load_model(base)
    model = learned.network(gpt.config, gpt)
    attach(model, AdapterSettings(method=method, **SIZES[method]))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
    save_adapter(Path("run"), model, base, learned.tokenizer(tokenizer))
    same_logits(xinye, base, task, method)


@pytest.mark.parametrize(
    ("family", "task", "method"),
    [
        ("gpt2", "tag", "lora"),
        ("llama", "classify", "prefix"),
        ("qwen2", "tag", "adapter"),
        ("qwen3", "classify", "lora"),
    ],
)
def test_each_family_is_fine_tuned(xinye, bases, records, family, task, method):  # noqa: F811
    run = settings(
        bases / family,
        "run",
        task,
        method=method,
        adapter=SIZES[method],
        epochs=2,
        attention="causal",
    )
    finetune(run)
    same_logits(xinye, bases / family, task, method)
