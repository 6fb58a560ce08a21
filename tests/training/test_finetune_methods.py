"""Adapters in fine-tuning: small folders that load here, in peft and merged alike; runs that stop
and go on bitwise."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import xinye as package
from conftest import contents
from training.test_finetune import LABELS, SPANS, TEXTS, Stop, records, settings  # noqa: F401
from two import two
from xinye import machine
from xinye.checkpoints.gguf import save_gguf
from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError
from xinye.generation.decoder import decoder_for
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.gpt import GPT
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.finetuning import adapter_rate
from xinye.training.train import finetune

SIZES: dict[str, dict[str, Any]] = {
    "lora": {"r": 4},
    "adalora": {"init_r": 4, "target_r": 2},
    "prefix": {"num_virtual_tokens": 4},
    "adapter": {"bottleneck_size": 8},
}


def result(run: str) -> dict[str, Any]:
    return json.loads(Path(run, "training", "result.json").read_text("utf-8"))


def losses(run: str) -> list[float]:
    lines = Path(run, "training", "metrics.jsonl").read_text("utf-8").splitlines()
    return [record["loss"] for record in map(json.loads, lines) if record["kind"] == "step"]


@pytest.mark.parametrize("method", SIZES)
def test_eight_labels_are_learned_by_heart_beside_a_frozen_base(trained, records, method):  # noqa: F811
    before = contents(trained)
    finetune(
        settings(
            trained, "run", method=method, adapter=SIZES[method], learning_rate=None, epochs=80
        )
    )
    assert contents(trained) == before
    model = package.load("run")
    assert [found["label"] for found in model.classify(TEXTS)] == LABELS
    assert model.evaluate_task("labels.jsonl")["measured"]["accuracy"] == 1.0
    *kinds, all_of_them = result("run")["trainable"]
    assert {row["name"] for row in kinds if row["trainable"]} == {method, "head"}
    assert 0 < all_of_them["share"] < 0.5
    base = (trained / "model.safetensors").stat().st_size
    checkpoints = list(Path("run/training/checkpoints").iterdir())
    assert not list(Path("run").rglob("model.safetensors"))
    sizes = [sum(p.stat().st_size for p in folder.glob("adapter*")) for folder in checkpoints]
    assert sizes and max(sizes) < base


def test_spans_are_learned_by_heart_with_lora(trained, records):  # noqa: F811
    finetune(settings(trained, "run", "tag", method="lora", learning_rate=0.02, epochs=250))
    found = [
        [(span["start"], span["end"]) for span in spans] for spans in package.load("run").tag(TEXTS)
    ]
    assert found == [[span] for span in SPANS]


@pytest.mark.parametrize("attention", ["causal", "both"])
@pytest.mark.parametrize("method", ["lora", "adalora", "prefix"])
def test_peft_computes_the_same_over_the_stock_network(trained, records, method, attention):  # noqa: F811
    finetune(
        settings(
            trained, "run", method=method, adapter=SIZES[method], attention=attention, epochs=4
        )
    )
    stock, config = (
        transformers.AutoModelForSequenceClassification,
        transformers.AutoConfig.from_pretrained("run"),
    )
    theirs = peft.PeftModel.from_pretrained(
        stock.from_pretrained(trained, config=config), "run"
    ).eval()
    assert config.architectures == ["Qwen3ForSequenceClassification"] and set(config.label2id) == {
        "好",
        "坏",
    }
    model, tokenize = package.load("run"), transformers.AutoTokenizer.from_pretrained("run")
    for text in TEXTS[:3]:
        scores = theirs(
            **tokenize(text, return_tensors="pt", return_token_type_ids=False)
        ).logits.softmax(-1)[0]
        alone = model.task.logits(model.network, model.tokenizer, [(text, "")], 64)
        assert np.exp(alone[0]) == pytest.approx(scores.tolist(), abs=1e-5)
        assert [*model.classify(text)["probabilities"]] == [*config.label2id]


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_merged_it_is_a_plain_classifier(xinye, trained, records, method):  # noqa: F811
    finetune(settings(trained, "run", method=method, adapter=SIZES[method], epochs=4))
    assert xinye("merge", "run", "-o", "merged").code == 0
    run, merged = package.load("run"), package.load("merged")
    for one, other in zip(run.classify(TEXTS), merged.classify(TEXTS), strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    assert not Path("merged/adapter_config.json").exists()


def test_adalora_ends_at_its_budget(trained, records):  # noqa: F811
    finetune(
        settings(trained, "run", method="adalora", adapter={"init_r": 6, "target_r": 2}, epochs=20)
    )
    ranks = result("run")["ranks"]
    assert sum(ranks.values()) == 2 * len(ranks) and max(ranks.values()) > 2 > min(ranks.values())
    page = Path("run/report.html").read_text("utf-8")
    assert "AdaLoRA kept" in page and "What was trained" in page


@pytest.mark.parametrize("method", SIZES)
def test_resumed_bitwise(trained, records, method):  # noqa: F811
    changes: dict[str, Any] = {
        "method": method, "adapter": SIZES[method], "epochs": 6, "batch_size": 3, "micro_batch_size": 2,
        "dropout": 0.1, "evaluations": 4,
    }  # fmt: skip
    whole = finetune(settings(trained, "whole", **changes))
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(trained, "part", **changes), Stop(after=7))
    part = finetune(FinetuneSettings(output=Path("part")), resume=True)
    assert part.validation == whole.validation and part.steps == 16
    for name in (
        "adapter_model.safetensors",
        "training/checkpoints/step-00000016/optimizer.safetensors",
    ):
        one, other = load_file(Path("whole", name)), load_file(Path("part", name))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    trained_ones = sum(value.numel() for key, value in other.items() if key.endswith("exp_avg"))
    assert trained_ones == result("part")["trainable"][-1]["trainable"]  # no state for the base's


@pytest.mark.parametrize("method", SIZES)
def test_layers_computed_again_teach_the_same(trained, records, method):  # noqa: F811
    for again in (False, True):
        finetune(
            settings(
                trained, f"run-{again}", method=method, adapter=SIZES[method], epochs=2, dropout=0.1,
                activation_checkpointing=again,
            )
        )  # fmt: skip
    weights = [
        load_file(Path(name, "adapter_model.safetensors")) for name in ("run-False", "run-True")
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_what_differs_at_resume_is_named(xinye, trained, records):  # noqa: F811
    changes = {"method": "lora", "adapter": {"r": 4}, "epochs": 4, "evaluations": 4}
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(trained, "run", **changes), Stop(after=3))
    going_on = ("finetune", "-o", "run", "--resume", "--method", "lora", "--data", "labels.jsonl")
    says = xinye(*going_on, "--r", "8", "--seed", "3", "--micro-batch-size", "2").complaint
    assert (
        "r was 4, now 8" in says
        and "seed was 0, now 3" in says
        and "--micro-batch-size, --activation-checkpointing, --parallel, --track" in says
    )
    assert xinye(*going_on, "--r", "4", "--micro-batch-size", "2").code == 0


def test_another_base_is_refused(xinye, trained, records):  # noqa: F811
    shutil.copytree(trained, "base")
    finetune(settings(Path("base"), "run", method="lora", epochs=1))
    weights = Path("base/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    Path("base/training/manifest.json").unlink()  # as whoever changes a model on purpose does
    assert "this adapter was made for ../base" in xinye("classify", "run", "小兔").complaint
    resumed = xinye("finetune", "-o", "run", "--resume", "--epochs", 2)
    assert "its base, base, has changed" in resumed.complaint


def test_the_best_checkpoint_comes_back(trained, records):  # noqa: F811
    changes = {"epochs": 12, "evaluations": 12, "patience": 2, "learning_rate": 0.02}  # soon worse
    run = finetune(settings(trained, "run", method="lora", **changes))
    assert run.stopped_early and run.model_step < run.steps
    kept = f"run/training/checkpoints/step-{run.model_step:08d}/adapter_model.safetensors"
    assert Path(kept).read_bytes() == Path("run/adapter_model.safetensors").read_bytes()


def test_two_processes_learn_what_one_learns(xinye, trained, records):  # noqa: F811
    arguments = [
        "finetune", str(trained), "--data", "labels.jsonl", "--validation", "labels.jsonl", "--task", "classify",
        "--method", "adalora", "--epochs", "5", "--batch-size", "4", "--dropout", "0", "--dtype", "float32",
    ]  # fmt: skip
    for done in (xinye(*arguments, "-o", "one"), two(*arguments, "-o", "two")):
        assert done.code == 0, done.err
    assert losses("one") == pytest.approx(losses("two"), abs=1e-5)


@pytest.mark.parametrize(("kind", "small"), [("f16", True), ("q8_0", True), ("q8_0", False)])
def test_beside_a_quantized_base(trained, records, kind, small, monkeypatch):  # noqa: F811
    monkeypatch.setattr(machine, "memory_limit", lambda: 10**10 if small else 10**5)
    model, tokenizer = load_model(trained)
    save_gguf(Path("base.gguf"), model, tokenizer, kind)
    before = Path("base.gguf").read_bytes()
    finetune(settings(Path("base.gguf"), "run", method="lora", learning_rate=0.02, epochs=60))
    judge = package.load("run")
    assert [found["label"] for found in judge.classify(TEXTS)] == LABELS
    assert any(hasattr(module, "blocks") for module in judge.network.modules()) == (not small)
    assert Path("base.gguf").read_bytes() == before and not list(
        Path("run").rglob("model.safetensors")
    )
    finetune(settings(Path("base.gguf"), "full", epochs=1))
    assert Path("full/model.safetensors").is_file()


def test_the_compiled_step_is_not_used_beside_a_prefix(trained):
    model, _ = load_model(trained)
    assert isinstance(model, GPT)
    attach(model, AdapterSettings(method="prefix", num_virtual_tokens=2))
    assert decoder_for(model) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"method": "lora", "adapter": {"bottleneck_size": 3}},
            "bottleneck_size has no effect on lora; it uses",
        ),
        ({"adapter": {"r": 3}}, "r has no effect on full; it trains no adapter"),
        ({"method": "adalora", "adapter": {"target_r": 20}}, "ranks only shrink"),
        ({"method": "lora", "optimizer": "muon"}, "choose adamw or sgd"),
        (
            {"method": "prefix", "matrix_learning_rate": 0.1},
            "matrix_learning_rate is for Muon only",
        ),
    ],
)
def test_what_has_no_effect_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        FinetuneSettings(**changes)


def test_an_adapter_needs_a_whole_model(trained, records):  # noqa: F811
    finetune(settings(trained, "run", method="lora", epochs=1))
    with pytest.raises(XinyeError, match="classifies text and cannot generate it"):
        finetune(settings(Path("run"), "again", epochs=1))


def test_wider_layers_get_a_lower_rate():
    assert adapter_rate("lora", 64) == pytest.approx(0.0094, rel=0.01) and adapter_rate(
        "lora", 576
    ) == pytest.approx(0.001, rel=0.05)
    assert adapter_rate("lora", 8192) == 2e-4 and adapter_rate("adalora", 576) == 2 * adapter_rate(
        "lora", 576
    )
