"""Fine-tuning as a whole: eight records are learned by heart, an interrupted run ends as a whole
one does, and what a model cannot do it says."""

import json
import shutil
from pathlib import Path

import pytest

import xinye as package
from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.tasks.records import Augmentation
from xinye.tasks.settings import task_settings
from xinye.tasks.task_data import TaskData, prepare_data
from xinye.training.job import Run
from xinye.training.loop import Step
from xinye.training.train import finetune

TEXTS = [
    "小兔很高兴",
    "小猫真快乐",
    "大家都笑了",
    "今天太好了",
    "小兔哭了",
    "小猫不高兴",
    "真难过啊",
    "今天太坏了",
]
LABELS = ["好"] * 4 + ["坏"] * 4
SPANS = [(0, 2), (0, 2), (0, 2), (0, 2), (0, 2), (0, 2), (1, 3), (0, 2)]
FAST = {"epochs": 30, "evaluations": 1, "dropout": 0.0, "dtype": "float32", "learning_rate": 0.01}


@pytest.fixture
def records(tmp_path, monkeypatch) -> Path:
    """`labels.jsonl` and `spans.jsonl`: eight records each. The machine's speed, half a second a
    run, is not asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    kinds = ["动物"] * 4 + ["其他"] * 4
    tagged = [
        {"text": text, "spans": [[*span, kind]]}
        for text, span, kind in zip(TEXTS, SPANS, kinds, strict=True)
    ]
    (tmp_path / "spans.jsonl").write_text("\n".join(map(json.dumps, tagged)), "utf-8")
    return tmp_path


def settings(
    base: Path, output: str, task: str = "classify", **changes: object
) -> FinetuneSettings:
    data = ("spans.jsonl" if task == "tag" else "labels.jsonl",)
    return FinetuneSettings(**{
        "model": str(base), "task": task, "data": data, "validation": data, "output": Path(output), **FAST, **changes,
    })  # fmt: skip


@pytest.mark.parametrize("attention", ["causal", "both"])
def test_eight_labels_are_learned_by_heart(trained, records, attention):
    run = finetune(settings(trained, "run", attention=attention))
    model = package.load("run")
    assert [found["label"] for found in model.classify(TEXTS)] == LABELS and run.validation[
        "accuracy"
    ] == 1.0
    one = model.classify(TEXTS[0])
    assert one["probability"] == one["probabilities"]["好"] > 0.8
    result = json.loads(Path("run/training/result.json").read_text("utf-8"))
    assert result["measured"]["accuracy"] == 1.0 and result["baseline"]["name"].startswith("TF-IDF")
    assert any(
        "the training data contain 8 of 8 validation records" in finding
        for finding in result["findings"]
    )
    judged = model.evaluate_task("labels.jsonl")
    assert (
        judged["measured"]["macro_f1"] == 1.0 and judged["baseline"]["table"]["好"]["support"] == 4
    )


def test_eight_taggings_are_learned_by_heart(trained, records):
    finetune(settings(trained, "run", "tag"))
    model = package.load("run")
    found = [[(span["start"], span["end"]) for span in spans] for spans in model.tag(TEXTS)]
    assert found == [[span] for span in SPANS]
    assert (
        model.tag(TEXTS[0])[0]["text"] == "小兔"
        and model.evaluate_task("spans.jsonl")["measured"]["span_f1"] == 1.0
    )


def test_texts_are_learned_by_heart_and_end_by_themselves(trained, records):
    # two are held back
    texts = [f"{who}说：{text}。" for who in ("爷爷", "奶奶", "小鸟") for text in TEXTS]
    Path("texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), "utf-8")
    more = {
        "task": "text",
        "data": ("texts.jsonl",),
        "validation": (),
        "epochs": 30,
        "batch_size": 4,
    }
    finetune(settings(trained, "run", **more, matrix_learning_rate=0.02))
    written = package.load("run").complete(
        [text[:8] for text in texts], temperature=0, max_tokens=20
    )
    learned = [text[:8] + each.text == text for text, each in zip(texts, written, strict=True)]
    assert sum(learned) >= 22 and {each.finish_reason for each in written} == {"stop"}


def test_the_head_alone(trained, records):
    before, run = (
        package.load(trained, "float32"),
        finetune(settings(trained, "run", method="head", epochs=1)),
    )
    after = package.load(run.run).network
    assert (
        after.gpt.model.norm.weight == before.gpt.model.norm.weight
    ).all() and after.score.weight.any()
    plan = json.loads(Path("run/training/plan.json").read_text("utf-8"))["values"]
    assert plan["trained_parameters"] == after.config.head_parameters


def test_the_second_run_of_an_augmented_one_can_be_left_out(trained, records):
    run = Path(finetune(settings(trained, "run", augment="mask", control=False, epochs=1)).run)
    assert not (run / "control").exists()
    assert "control" not in json.loads((run / "training/result.json").read_text("utf-8"))


class Stop(Observer):
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
        "augment": ("mask", "crop", "shuffle"),
        "evaluations": 4,
    }
    whole = finetune(settings(trained, "whole", **changes))
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(trained, "part", **changes), Stop(after=7))
    part: Run = finetune(FinetuneSettings(output=Path("part")), resume=True)
    assert part.validation == whole.validation and part.steps == 16
    for run in ("whole", "part"):  # the control is trained without augmentation, and compared with
        told = json.loads(Path(run, "training/result.json").read_text("utf-8"))["control"]
        assert told["run"] == f"{run}/control" and told["augment"] == ["mask", "crop", "shuffle"]
        assert (
            "augment"
            not in json.loads(Path(run, "control/training/settings.json").read_text("utf-8"))[
                "settings"
            ]
        )
    assert (
        Path("whole/control/model.safetensors").read_bytes()
        == Path("part/control/model.safetensors").read_bytes()
    )
    assert (
        Path("whole/control/model.safetensors").read_bytes()
        != Path("whole/model.safetensors").read_bytes()
    )
    assert "Augmentation (mask, crop, shuffle) did not help" in Path("part/report.html").read_text(
        "utf-8"
    )
    for name in ("model.safetensors", "training/checkpoints/step-00000016/optimizer.safetensors"):
        assert Path("whole", name).read_bytes() == Path("part", name).read_bytes()
    shutil.copyfile("spans.jsonl", "labels.jsonl")
    with pytest.raises(XinyeError):
        finetune(FinetuneSettings(output=Path("part"), steps=20), resume=True)


@pytest.mark.parametrize(
    "name, content, says",
    [
        (
            "settings.json",
            {"recipe": "finetune", "settings": {"task": "sing"}},
            "task: '",
        ),
        ("settings.json", {"recipe": "finetune", "settings": {"method": "all"}}, "method: "),
        ("settings.json", {"recipe": "finetune"}, "damaged"),
        ("plan.json", {}, "damaged"),
        ("plan.json", {"values": 3}, "damaged"),
    ],
)
def test_a_damaged_run_is_not_resumed_and_the_file_is_named(trained, records, name, content, says):
    path = Path(finetune(settings(trained, "run", epochs=1)).run) / "training" / name
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(XinyeError, match=f"^{path}: .*{says}"):
        finetune(FinetuneSettings(output=Path("run")), resume=True)


def test_augmentation_touches_training_texts_only(trained, records):
    _, tokenizer = load_model(trained)
    plain, changed = (
        prepare_data(settings(trained, "run", augment=kinds), tokenizer, 32, Draft(), Observer())
        for kinds in ((), ("mask", "crop", "shuffle"))
    )

    def read(data: TaskData) -> tuple[list[list[int]], ...]:
        judged = [batch.tokens.tolist() for _, batch in data.validation_examples.in_order(4)]
        trained = [batch.tokens.tolist() for batch in data.examples.micro_batches(0, 8, 8)]
        return judged, trained

    assert read(plain)[0] == read(changed)[0] and read(plain)[1] != read(changed)[1]
    assert (
        changed.validation == plain.validation
        and changed.validation_examples.augmentation == Augmentation()
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"augment": "mask,corp"},
            "unknown augmentation 'corp'; choose from mask, crop, shuffle; did you mean 'crop'",
        ),
        ({"mask_tokens": 0.1}, "mask_tokens has no effect without --augment mask"),
        (
            {"augment": "mask", "crop_tokens": 0.1},
            "crop_tokens has no effect without --augment crop",
        ),
        ({"control": False}, "control has an effect only with augment"),
        ({"task": "chat", "augment": "mask,crop"}, "chat takes only mask"),
        ({"task": "text", "augment": "mask"}, "augment has no effect on the task text"),
    ],
)
def test_augmentation_without_effect_is_refused(changes, says):
    with pytest.raises(XinyeError, match=says):
        task_settings(changes, "finetune")


def test_in_python(trained, records):
    model = package.finetune(
        trained, "run", data="labels.jsonl", validation="labels.jsonl", epochs=1
    )
    assert set(model.classify("小兔")["probabilities"]) == {"好", "坏"}
    with pytest.raises(XinyeError, match="unknown key 'epoch'; did you mean 'epochs'"):
        package.finetune(trained, "other", data="labels.jsonl", epoch=1)
