"""Models that are not there, or not whole, and names that no file can have: one line each, and
nothing is written."""

import json
import shutil
from pathlib import Path

import pytest

import xinye as package
from conftest import contents
from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.bases import CONFIG
from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

LONG = "n" * 300
USES = (
    *("generate MODEL a", "chat MODEL -p a", "serve MODEL --port 0", "merge MODEL -o new"),
    *("quantize MODEL -o new.gguf", "export MODEL --to gguf -o new.gguf", "bench MODEL"),
    *("export MODEL --to onnx -o new", "evaluate MODEL zh.txt", "classify MODEL x"),
)
FOLDER = "not a model's folder (no config.json)"
SAYS = {
    "missing": "missing: there is no such folder",
    "empty": f"empty: {FOLDER}",
    "file": "file: neither a model's folder nor a GGUF file",
    "alone": "alone: the adapter's base model ../gone does not exist",
    "cut": "cut/model.safetensors: damaged or cut short",
    "over_cut": "cut/model.safetensors: damaged or cut short",
}
MERGE_SAYS = {
    "empty": "empty: not an adapter's folder (no adapter_config.json)",
    "file": "file: not an adapter's folder (no adapter_config.json)",
    "cut": "cut: this folder has no adapter (no adapter_config.json)",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each of `SAYS` but what is missing, and a text."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = Tokenizer.train(["新叶 new leaf"], kind="bytes")
    model = GPT(GPTConfig("llama", tokenizer.vocab_size, 16, 1, 2, 2, 8, 16, 64))
    model.initialize(1)
    save_model(root / "base", model, tokenizer)
    attach(model, AdapterSettings(method="lora", r=2))
    for name, base in (("alone", "../gone"), ("over_cut", "../cut")):
        save_adapter(root / name, model, root / "base", tokenizer)
        config = json.loads((root / name / CONFIG).read_text())
        config["base_model_name_or_path"] = base
        (root / name / CONFIG).write_text(json.dumps(config))
    shutil.copytree(root / "base", root / "cut")
    weights = root / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (root / "empty").mkdir()
    (root / "file").write_text("x")
    (root / "zh.txt").write_text("新叶\n", "utf-8")
    return root


@pytest.fixture
def place(models, monkeypatch):
    monkeypatch.chdir(models)
    return models


@pytest.mark.parametrize("kind", SAYS)
@pytest.mark.parametrize("command", USES)
def test_a_model_that_is_not_whole(xinye, place, command, kind):
    before = contents(place)
    outcome = xinye(*[kind if word == "MODEL" else word for word in command.split()])
    says = {**SAYS, **(MERGE_SAYS if "merge" in command else {})}[kind]
    assert outcome.code == 2 and says in last_line(outcome)
    assert contents(place) == before and not (place / "new").exists()


def last_line(outcome):
    """The complaint, also where a stage was shown before."""
    assert "Traceback" not in outcome.err and outcome.out == ""
    return outcome.err.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        *(use.replace("MODEL", LONG) for use in USES),
        *(f"pretrain zh.txt -o {LONG}", f"pretrain {LONG}", f"pretrain {LONG}.jsonl"),
        *(f"pretrain zh.txt --tokenizer {LONG}", f"pretrain --config {LONG}.yaml"),
        f"finetune {LONG} --task chat --data zh.txt -o new",
        f"finetune base --task chat --data {LONG} -o new",
        f"finetune base --task chat --data zh.txt -o {LONG}",
        *(f"data check {LONG}", f"data check {LONG}.csv --task classify"),
        *(f"data show {LONG} --task chat", f"data show {LONG}.csv --task classify"),
        *(f"data collect {LONG} -o new.jsonl", f"data collect zh.txt -o {LONG}.jsonl"),
        *(f"tokenizer train {LONG} -o new", f"tokenizer train zh.txt -o {LONG}"),
        *(f"tokenizer eval {LONG} zh.txt", f"tokenizer eval base {LONG}"),
        *(f"evaluate base {LONG}", f"evaluate base --data {LONG} --task chat"),
        *(f"merge alone -o {LONG}", f"quantize base -o {LONG}.gguf"),
        *(f"export base --to gguf -o {LONG}.gguf", f"compare zh.txt -o {LONG} --time 1s"),
        *(f"distill {LONG} zh.txt -o new", f"tune zh.txt -o {LONG} --time 1s"),
        *(f"runs {LONG}", f"runs show {LONG}", f"runs verify {LONG}", f"runs clean {LONG}"),
        *(f"generate base --prompts {LONG} -o new.jsonl", f"generate base a --base {LONG}"),
        *(f"download owner/{LONG}", f"generate alone a --base {LONG}"),
    ],
    ids=lambda command: command.replace(LONG, "LONG"),
)
def test_a_name_that_no_file_can_have(xinye, place, no_measuring, command):
    before = contents(place)
    outcome = xinye(*command.split())
    said = last_line(outcome)
    words = command.split()
    verb = " ".join(words[: 2 if words[0] in ("data", "tokenizer") else 1])
    assert outcome.code == 2 and said.startswith(f"xinye {verb}") and len(said) < 700
    assert "long" in said.lower() or "not a name on the hub" in said
    assert contents(place) == before and not (place / "new").exists()


def test_load_says_it_too():
    with pytest.raises(XinyeError, match="there is no such model"):
        package.load(LONG)
