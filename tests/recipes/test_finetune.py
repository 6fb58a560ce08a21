"""Fine-tuning as a whole: eight records are learned by heart, an interrupted run ends as a whole one does, and what a
model cannot do it says."""

import json
import shutil
from pathlib import Path

import pytest

import xinye as package
from xinye.errors import XinyeError
from xinye.recipes.finetune import finetune
from xinye.recipes.finetune_settings import FinetuneSettings
from xinye.recipes.training_run import Run
from xinye.recipes.watcher import Watcher
from xinye.training.loop import Step

TEXTS = ["小兔很高兴", "小猫真快乐", "大家都笑了", "今天太好了", "小兔哭了", "小猫不高兴", "真难过啊", "今天太坏了"]
LABELS = ["好"] * 4 + ["坏"] * 4
SPANS = [(0, 2), (0, 2), (0, 2), (0, 2), (0, 2), (0, 2), (1, 3), (0, 2)]
FAST = {"epochs": 30, "evaluations": 1, "dropout": 0.0, "dtype": "float32", "learning_rate": 0.01}


@pytest.fixture
def records(tmp_path, monkeypatch) -> Path:
    """`labels.jsonl` and `spans.jsonl`: eight records each."""
    monkeypatch.chdir(tmp_path)
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    kinds = ["动物"] * 4 + ["其他"] * 4
    tagged = [{"text": text, "spans": [[*span, kind]]} for text, span, kind in zip(TEXTS, SPANS, kinds, strict=True)]
    (tmp_path / "spans.jsonl").write_text("\n".join(map(json.dumps, tagged)), "utf-8")
    return tmp_path


def settings(base: Path, output: str, task: str = "classify", **changes: object) -> FinetuneSettings:
    data = ("labels.jsonl" if task == "classify" else "spans.jsonl",)
    return FinetuneSettings(**{
        "model": str(base), "task": task, "data": data, "validation": data, "output": Path(output), **FAST, **changes,
    })  # fmt: skip


@pytest.mark.parametrize("attention", ["causal", "both"])
def test_eight_labels_are_learned_by_heart(trained, records, attention):
    run = finetune(settings(trained, "run", attention=attention))
    model = package.load("run")
    assert [found["label"] for found in model.classify(TEXTS)] == LABELS and run.validation["accuracy"] == 1.0
    one = model.classify(TEXTS[0])
    assert one["probability"] == one["probabilities"]["好"] > 0.8
    result = json.loads(Path("run/training/result.json").read_text("utf-8"))
    assert result["measured"]["accuracy"] == 1.0 and result["baseline"]["name"].startswith("TF-IDF")
    assert any("8 of 8 validation records are in the training data" in finding for finding in result["findings"])
    judged = model.evaluate_task("labels.jsonl")
    assert judged["measured"]["macro_f1"] == 1.0 and judged["baseline"]["table"]["好"]["support"] == 4


def test_eight_taggings_are_learned_by_heart(trained, records):
    finetune(settings(trained, "run", "tag"))
    model = package.load("run")
    found = [[(span["start"], span["end"]) for span in spans] for spans in model.tag(TEXTS)]
    assert found == [[span] for span in SPANS]
    assert model.tag(TEXTS[0])[0]["text"] == "小兔" and model.evaluate_task("spans.jsonl")["measured"]["span_f1"] == 1.0


def test_the_head_alone(trained, records):
    before, run = package.load(trained, "float32"), finetune(settings(trained, "run", method="head", epochs=1))
    after = package.load(run.run).network
    assert (after.gpt.model.norm.weight == before.gpt.model.norm.weight).all() and after.score.weight.any()
    plan = json.loads(Path("run/training/plan.json").read_text("utf-8"))["values"]
    assert plan["trained_parameters"] == after.config.head_parameters


class Stop(Watcher):
    def __init__(self, after: int) -> None:
        self.after = after

    def step(self, step: Step, steps: int) -> None:
        if step.step == self.after:
            raise KeyboardInterrupt


def test_resumed_bitwise(trained, records):
    changes = {
        "epochs": 6,
        "batch_size": 3,
        "micro_batch_size": 2,
        "dropout": 0.1,
        "mask_tokens": 0.2,
        "evaluations": 4,
    }
    whole = finetune(settings(trained, "whole", **changes))
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(trained, "part", **changes), Stop(after=7))
    part: Run = finetune(FinetuneSettings(output=Path("part")), resume=True)
    assert part.validation == whole.validation and part.steps == 16
    for name in ("model.safetensors", "training/checkpoints/step-00000016/optimizer.safetensors"):
        assert Path("whole", name).read_bytes() == Path("part", name).read_bytes()
    shutil.copyfile("spans.jsonl", "labels.jsonl")
    with pytest.raises(XinyeError):
        finetune(FinetuneSettings(output=Path("part")), resume=True)


def test_what_a_model_has_not_learned_it_says(trained, records):
    finetune(settings(trained, "run", epochs=1))
    base, classifier = package.load(trained), package.load("run")
    with pytest.raises(XinyeError, match=r"xinye finetune .* --task classify"):
        base.classify("你好")
    with pytest.raises(XinyeError, match="xinye finetune run --task tag"):
        classifier.tag("你好")
    with pytest.raises(XinyeError, match="learned to classify, not to write: xinye classify run"):
        classifier.generate("你好")


def test_in_python(trained, records):
    model = package.finetune(trained, "run", data="labels.jsonl", validation="labels.jsonl", epochs=1)
    assert set(model.classify("小兔")["probabilities"]) == {"好", "坏"}
    with pytest.raises(XinyeError, match="unknown key 'epoch'; did you mean 'epochs'"):
        package.finetune(trained, "other", data="labels.jsonl", epoch=1)
