"""The Chinese view of each kind of run has no English sentence, and the English one no Chinese:
in its report and in its model card."""

import json
import re

import pytest
from tests.runs.test_report import LOSSES, MEASURED, VALIDATIONS, YARDSTICK, page_of, taught

from xinye.runs.card import write_card
from xinye.runs.saved import read_run

SENTENCE = r"[A-Za-z]+(?:[ ,;:]+[A-Za-z]+){2}"
CHINESE = r"[\u3400-\u9fff]+"
REASONS = {"steps": "given", "validation_records": "10% of them, drawn at random with the seed"}
FINDINGS = [
    "the header appears again, and is left out (reviews (1).csv, line 3)",
    "the label is 'nan', which looks like a missing value (2 times, first a.csv, line 3, line 9)",
    "3 duplicate records: the first is a.csv, line 4 = line 2",
    "1 training record with more than 64 tokens: cut",
]
SAMPLES = {
    "classify": "很快 → 好评 (0.98), right is 差评",
    "tag": "[王伟 人名]去了北京。",
    "chat": "几点关门？ → 九点 (goes on)",
}
FIGURES = {
    "classify": MEASURED,
    "tag": {"span_f1": 0.7, "macro_f1": 0.6, "table": MEASURED["table"]},
    "chat": {"loss": 5.0, "bits_per_byte": 4.0, "ended": 1.0, "exact": 0.9, "answer_tokens": 9.0},
}


def pretrained(make_run, **more):
    about = {
        "data": {
            "files": 1,
            "bytes": 4000,
            "characters": 1,
            "documents": 1,
            "yardstick": YARDSTICK,
        },
        "machine": {"device": "CPU", "cores": 1, "memory_bytes": 8e9, "system": "Linux"}
        | dict.fromkeys(("xinye", "torch", "python"), "2"),
    }
    return make_run(losses=LOSSES, validations=VALIDATIONS, about=about, **more)


def finetuned(make_run, task):
    baseline = {"name": "TF-IDF + linear SVM + naive Bayes"} | FIGURES[task]
    if task != "classify":
        baseline["name"] = {"tag": "most frequent tag of the surface form"}.get(
            task, "the base model"
        )
    folder = taught(
        make_run, task, measured=FIGURES[task], baseline=baseline, findings=FINDINGS,
        texts=[SAMPLES[task]],
    )  # fmt: skip
    settings = folder / "training" / "settings.json"
    about = json.loads(settings.read_text("utf-8"))
    about["data"] = {"findings": FINDINGS, "counts": {"好评": 9}}
    settings.write_text(json.dumps(about), "utf-8")
    return folder


def failed(make_run, error):
    folder = pretrained(make_run, finished=False)
    process = folder / "training" / "process.json"
    process.write_text(json.dumps({"error": error}), "utf-8")
    return folder


KINDS = {
    "pretrained": pretrained,
    **{task: lambda make_run, task=task: finetuned(make_run, task) for task in FIGURES},
    "interrupted": lambda make_run: pretrained(make_run, finished=False),
    "diverged": lambda make_run: failed(make_run, "run: at step 60 the weights are no longer finite"),
    "of another error": lambda make_run: failed(make_run, "a library said what nobody translated"),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def run(request, make_run):
    folder = KINDS[request.param](make_run)
    plan = folder / "training" / "plan.json"
    kept = json.loads(plan.read_text("utf-8")) | {"reasons": REASONS}
    kept["values"] |= {"validation_records": 10, "training_records": 90, "layers": 1, "heads": 1}
    plan.write_text(json.dumps(kept), "utf-8")
    (folder / "model.safetensors").write_bytes(b"0")
    return folder


def test_each_view_of_the_report_is_in_its_language(run):
    _, page = page_of(run)
    assert not re.findall(SENTENCE, re.sub("TF-IDF|epoch", "", page.text["zh"]))
    assert not re.findall(
        CHINESE, re.sub("很快|[好差]评|王伟|人名|去了北京|几点关门|九点|新叶", "", page.text["en"])
    )
    both = re.sub(r"xinye .*|<[^>]*>", "", page.text[""])
    assert not re.findall(SENTENCE, both) or "a library said what nobody translated" in both


def test_each_half_of_the_card_is_in_its_language(run):
    assert write_card(read_run(run))
    page = (run / "README.md").read_text("utf-8")
    text = re.sub(r"(?s)(`{3,}).*?\1|`[^`\n]*`|<!--.*?-->", "", page.split("\n---\n", 1)[1])
    chinese, english = re.split(r"\n---\n", text)
    assert not re.findall(SENTENCE, chinese)
    assert not re.findall(CHINESE, english.replace("新叶", ""))


def test_an_error_of_another_program_is_quoted(make_run):
    _, page = page_of(failed(make_run, "a library said what nobody translated"))
    assert "程序报告的原文：" in page.text["zh"]
