"""What a model has not learned it says in one line, with the command that makes it so."""

import json
from pathlib import Path

import pytest

from training.test_finetune import LABELS, SPANS, TEXTS
from xinye import machine
from xinye.cli.main import main

FAST = ("--epochs", "1", "--dtype", "float32", "--evaluations", "1")
DATA = {
    "classify": [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
    "tag": [
        {"text": text, "spans": [[*span, "动物"]]} for text, span in zip(TEXTS, SPANS, strict=True)
    ],
    "chat": [
        {"prompt": text, "response": label} for text, label in zip(TEXTS, LABELS, strict=True)
    ],
}
METHODS = {"classify": "full", "tag": "lora", "chat": "full"}


@pytest.fixture(scope="module")
def models(tmp_path_factory, trained) -> Path:
    """A folder with `base`, and what it became in one epoch of each task, a tagger as an
    adapter."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        (folder / "base").symlink_to(trained)
        for task, rows in DATA.items():
            Path(f"{task}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
            data = ("--data", f"{task}.jsonl", "--validation", f"{task}.jsonl")
            assert (
                main(
                    [
                        "finetune",
                        "base",
                        "--task",
                        task,
                        *data,
                        "-o",
                        task,
                        "--method",
                        METHODS[task],
                        *FAST,
                    ]
                )
                == 0
            )
    return folder


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            "classify base 好",
            "base: xinye finetune base --task classify --data FILE -o RUN; or use base without",
        ),
        (
            "classify chat 好",
            "chat: xinye finetune chat --task classify --data FILE -o RUN; or use chat without",
        ),
        ("classify tag 好", "fine-tune base: xinye finetune base --task classify"),
        (
            "classify tag 好 --labels a,b",
            "was trained to tag, so labels would have no effect; use the model it was trained from",
        ),
        (
            "tag base 好",
            "not trained to tag; fine-tune base: xinye finetune base --task tag --data FILE -o RUN",
        ),
        ("tag classify 好", "fine-tune base: xinye finetune base --task tag"),
        (
            "generate classify 好",
            "fine-tuned to classify and cannot generate text. Use xinye classify classify …; "
            "to generate text, use its base model: base",
        ),
        (
            "generate tag 好",
            "fine-tuned to tag and cannot generate text. Use xinye tag tag …; to generate text, use "
            "its base model: base",
        ),
        (
            "chat classify -p 好",
            "fine-tuned to classify and cannot generate text. Use xinye classify classify …",
        ),
        (
            "evaluate classify",
            "give records to evaluate it on: xinye evaluate classify --data FILE",
        ),
        (
            "evaluate chat",
            "name the data to evaluate it on: xinye evaluate chat --data FILE; or a text",
        ),
        (
            "evaluate base --data tag.jsonl",
            "To train it for another task: xinye finetune base --task tag --data FILE -o RUN",
        ),
        (
            "evaluate base --data chat.jsonl --task tag",
            "be evaluated on the task 'tag', only on classify or",
        ),
        (
            "evaluate base --data chat.jsonl --task chat --labels a,b",
            "labels: this has no effect on the task chat",
        ),
        (
            "evaluate classify --data chat.jsonl --task chat",
            "be evaluated on the task 'chat', only on classify",
        ),
        (
            "evaluate tag --data classify.jsonl",
            "classify.jsonl, line 1, field 'label': expected spans such as",
        ),
        ("merge base -o new", "nothing to merge; xinye finetune --method lora trains one"),
        ("merge classify -o new", "nothing to merge; xinye finetune --method lora trains one"),
        (
            "export classify --to gguf -o new",
            "cannot generate it; use the model that it was fine-tuned from, base",
        ),
        (
            "quantize tag -o new",
            "cannot generate it; use the model that it was fine-tuned from, base",
        ),
        (
            "finetune classify --task tag --data tag.jsonl -o new",
            "use the model that it was fine-tuned from, base",
        ),
        ("pretrain text.txt --from tag -o new", "use the model that it was fine-tuned from, base"),
        (
            "tune base",
            "is a model, not text. Tune its fine-tuning with xinye tune base --task classify "
            "--data FILE",
        ),
        (
            "tune tag --task classify --data classify.jsonl -o new",
            "use the model that it was fine-tuned from, base",
        ),
    ],
)
def test_the_command_that_makes_it_so(xinye, models, monkeypatch, command, says):
    monkeypatch.chdir(models)
    Path("text.txt").write_text("小兔很高兴。\n\n小猫真快乐。", "utf-8")
    outcome = xinye(*command.split())
    assert outcome.code == 2 and says in outcome.complaint and not Path("new").exists()


def test_a_base_answers_as_it_did_before_it_was_taught(xinye, models, monkeypatch):
    monkeypatch.chdir(models)
    judged = json.loads(
        xinye("evaluate", "base", "--data", "chat.jsonl", "--task", "chat", "--json").out
    )
    before = json.loads(Path("chat/training/result.json").read_text("utf-8"))["baseline"]
    assert judged["baseline"] is None and judged["measured"]["loss"] == pytest.approx(
        before["loss"], rel=1e-6
    )


def test_a_base_that_is_asked_to_chat_says_what_it_lacks(xinye, models, monkeypatch):
    monkeypatch.chdir(models)
    assert (
        "xinye finetune base --task chat --data FILE -o RUN"
        in xinye("chat", "base", "-p", "好", "--max-tokens", 2).err
    )
    assert "finetune" not in xinye("chat", "chat", "-p", "好", "--max-tokens", 2).err
