"""The model card: what the hub reads of it, what a person reads, and that nothing of theirs is
lost."""

import json
from dataclasses import asdict

import pytest
import yaml

from xinye.runs.card import MARK, names_only, write_card
from xinye.runs.saved import read_run
from xinye.tasks.registry import find_task

PLAN = {
    "layers": 4,
    "width": 128,
    "heads": 2,
    "key_value_heads": 2,
    "context": 64,
    "parameters": 1_066_624,
}


@pytest.fixture
def card(make_run):
    def write(**about):
        folder = make_run(losses=[3.0] * 60, validations=[(30, 2.5), (60, 2.0)], plan=PLAN, **about)
        (folder / "model.safetensors").write_bytes(b"0" * 4_000_000)
        assert write_card(read_run(folder))
        return (folder / "README.md").read_text("utf-8")

    return write


def front_matter(page):
    return yaml.safe_load(page.split("---\n")[1])


def test_what_the_hub_reads(card):
    head = front_matter(card())
    assert head["library_name"] == "transformers" and head["pipeline_tag"] == "text-generation"
    assert head["language"] == ["zh"] and "chinese" in head["tags"]
    assert front_matter(card(name="en", sample="Once there was a new leaf. "))["language"] == ["en"]


def test_what_a_person_reads(card):
    page = card(settings={"data_license": "CC-BY-4.0"})
    for part in (
        "1,066,624 parameters", "4 MB", "`novel.txt`", "`CC-BY-4.0`", "1.000 bits per byte", "从前有一片新叶。",
        "## Limits", "pipeline(", "vllm serve", "sglang", "xinye export", "xinye generate",
    ):  # fmt: skip
        assert part in page, part
    assert "书/" not in page  # where files lie is nobody's business


def test_an_lstm_promises_no_other_tool(card):
    page = card(settings={"architecture": "lstm"})
    assert front_matter(page)["library_name"] == "xinye"
    assert "transformers" not in page and "vllm" not in page and "xinye generate" in page


def test_what_comes_from_data_stays_a_text(card):
    page = card(
        sample="```\n---\nlicense: mine\n---\n# 标题 <script>x</script>\x1b[2J",
        settings={"files": ["a`b\n# c.txt", "<img src=x>.txt"]},
    )
    head, body = page.split("---\n")[1], page.split("\n````text\n")[1]
    assert "license" not in head and "\x1b" not in page
    assert (
        body.split("\n````\n")[0].startswith("```\n---\nlicense: mine")
        and body.count("<script>") == 1
    )
    assert "`` a`b # c.txt ``" in page and "`<img src=x>.txt`" in page and "\n# c.txt" not in page


def test_a_card_of_ones_own_is_kept(make_run):
    folder = make_run(losses=[3.0] * 3)
    (folder / "model.safetensors").write_bytes(b"0")
    (folder / "README.md").write_text("我的模型", "utf-8")
    assert (
        not write_card(read_run(folder)) and (folder / "README.md").read_text("utf-8") == "我的模型"
    )
    (folder / "README.md").write_text(f"---\n---\n{MARK}\n", "utf-8")
    assert write_card(read_run(folder))


def test_no_model_no_card(make_run):
    folder = make_run(losses=[3.0] * 3, finished=False)
    assert not write_card(read_run(folder)) and not (folder / "README.md").exists()


def test_an_old_run_without_its_facts_has_a_card(make_run):
    folder = make_run(losses=[])
    (folder / "training" / "plan.json").write_text(json.dumps({}))
    (folder / "model.safetensors").write_bytes(b"0")
    assert write_card(read_run(folder))


def test_a_run_writes_its_card(trained):
    page = (trained / "README.md").read_text("utf-8")
    assert "`zh.txt`" in page and front_matter(page)["language"] == ["zh"]


TASK = {
    "classify": ({"accuracy": 0.945, "macro_f1": 0.94}, "text-classification", "94.5%"),
    "tag": ({"span_f1": 0.7}, "token-classification", "70.0%"),
    "chat": ({"ended": 1.0, "exact": 0.94}, "text-generation", "94%"),
}


@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
@pytest.mark.parametrize("task", TASK)
def test_a_model_that_learned_a_task(make_run, task, method):
    measured, pipeline, figure = TASK[task]
    settings = {
        "task": task,
        "model": "/home/me/runs/base",
        "data": ["/home/me/reviews.csv"],
        "method": method,
    }
    about = {
        "recipe": "finetune",
        "settings": settings,
        "words": asdict(find_task(task).words),
        "data": {
            "counts": {"好评": 9, "差|评": 7},
            "findings": ["one text twice: /home/me/reviews.csv, line 3"],
        },
    }
    result = {
        "task": task,
        "measured": measured,
        "baseline": {"name": "TF-IDF", "accuracy": 0.92, "span_f1": 0.6},
    }
    folder = make_run(losses=[0.5] * 60, about=about, result=result)
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    (folder / name).write_bytes(b"0" * 1000)
    assert write_card(read_run(folder))
    page = (folder / "README.md").read_text("utf-8")
    head = front_matter(page)
    assert head["pipeline_tag"] == pipeline
    assert (
        head["library_name"] == {"full": "transformers", "lora": "peft", "adapter": "xinye"}[method]
    )
    for part in (
        figure,
        "TF-IDF",
        "`base`",
        "`reviews.csv`",
        "reviews.csv, line 3",
        f"xinye {task} FOLDER",
    ):
        assert part in page, part
    assert "/home/me" not in page and ("92.0%" in page) == (task == "classify")
    assert ("xinye merge" in page) == (method == "lora") and ("pipeline(" in page) == (
        method != "adapter"
    )
    assert "`差|评` 7" in page


def test_a_card_names_files_without_their_folders():
    said = names_only(
        "column 2 (/data/a/csl.tsv), first ../x/y.csv, line 3; 第 2 列（/data/z.csv）"
    )
    assert said == "column 2 (csl.tsv), first y.csv, line 3; 第 2 列（z.csv）"
