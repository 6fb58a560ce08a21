"""Tasks that write, by a model that was not fine-tuned for them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import xinye as package
from server.tiny_server import SHAPE, TOKENIZER
from xinye.checkpoints.huggingface import save_model
from xinye.errors import XinyeError
from xinye.model.gpt import GPT
from xinye.observer import Observer
from xinye.tasks.translate import Translate

PAIRS = [("新叶。", "The leaf."), ("从前有一片新叶。", "The leaf said hello."), ("树。", "Leaf.")]


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A base model, in a folder with records whose columns have unusual names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Translate, "candidates", 1)
    model = GPT(replace(SHAPE, max_position_embeddings=1024))
    model.initialize(1)
    save_model(tmp_path / "base", model, TOKENIZER)
    lines = [json.dumps({"one": zh, "other": en}) for zh, en in PAIRS]
    (tmp_path / "shown.jsonl").write_text("\n".join(lines[:2]), "utf-8")
    (tmp_path / "test.jsonl").write_text(lines[2], "utf-8")
    (tmp_path / "usual.csv").write_text("source,target\n树。,Leaf.\n", "utf-8")
    return package.load("base", "float32")


def learned(folder, task):
    """The model of the folder, as if it had been fine-tuned for a task."""
    about = {"recipe": "finetune", "settings": {"task": task}}
    (folder / "training").mkdir()
    (folder / "training" / "settings.json").write_text(json.dumps(about), "utf-8")
    return package.load(str(folder), "float32")


@pytest.mark.parametrize("task", ["chat", "summarize"])
def test_a_language_model_is_judged_on_what_it_can_be_used_for(base, task):
    model = learned(Path("base"), task)
    Path("labels.csv").write_text("text,label\n树。,树\n叶。,叶\n", "utf-8")
    Path("wrong.csv").write_text("wrong,right\n树叶叶。,树叶。\n", "utf-8")
    labels = {"labels": ["树", "叶"]}
    assert model.classify("树。", **labels)["label"] in labels["labels"]
    assert model.evaluate_task("labels.csv", task="classify", **labels)["task"] == "classify"
    assert model.proofread("树。")["text"] == "树。"
    assert model.evaluate_task("wrong.csv", task="proofread")["task"] == "proofread"
    for refused in (model.tag, lambda text: model.evaluate_task("labels.csv", task="tag")):
        with pytest.raises(XinyeError):
            refused("树。")


def test_one_that_summarizes_is_neither_used_nor_judged_for_another_task_that_writes(base):
    model = learned(Path("base"), "summarize")
    with pytest.raises(XinyeError, match="examples would have no effect"):
        model.translate("新叶。", examples=("usual.csv",))
    with pytest.raises(XinyeError, match="cannot be evaluated on the task 'translate'"):
        model.evaluate_task("usual.csv", task="translate")


@pytest.mark.parametrize("verb", ["summarize", "translate", "proofread", "classify", "tag"])
@pytest.mark.parametrize("odd", [{"a": 1}, 3, None])
def test_what_is_no_text_is_refused_in_one_line(base, verb, odd):
    asked = {"labels": ["树", "叶"]} if verb == "classify" else {}
    asked = {"examples": ("usual.csv",)} if verb == "translate" else asked
    model = learned(Path("base"), "chat")
    with pytest.raises(XinyeError, match="expected a text, found"):
        model.use(verb, [odd], **asked)


COLUMNS = {"prompt_field": "one", "answer_field": "other"}


def test_examples_are_read_with_the_columns_of_the_records(base, monkeypatch):
    def fails(*given):
        raise XinyeError("it fails")

    monkeypatch.setattr("xinye.tasks.translate.phrases", fails)
    asked = {"task": "translate", "examples": ("shown.jsonl",), **COLUMNS}
    found = base.evaluate_task("test.jsonl", **asked)
    assert "examples before each text: 2 of 2 examples" in found["notes"]
    # one baseline that fails does not take the other one with it
    assert "no baseline: it fails" in found["notes"] and found["baseline"] is None
    assert found["other_baselines"][0]["name"] == "translation memory"
    assert any(note.startswith("BLEU zh→en: sacrebleu nrefs:1") for note in found["notes"])


def test_settings_without_effect_are_refused(base):
    with pytest.raises(XinyeError, match="candidates: this has no effect on the task translate"):
        base.evaluate_task("test.jsonl", task="translate", candidates=2, examples=("shown.jsonl",))


def test_the_observer_hears_how_the_model_is_asked(base):
    class Listening(Observer):
        def warn(self, text):
            heard.append(text)

    heard = []
    base.translate("新叶。", examples=("usual.csv",), max_tokens=2, observer=Listening())
    assert "the model was not fine-tuned for this task" in heard
