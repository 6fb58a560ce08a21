"""Classify by a model that was not trained for it: on the command line, and in Python."""

import json

import pytest

import xinye as package
from xinye.errors import XinyeError

RECORDS = [
    ("小兔很高兴", "好"),
    ("小猫哭了", "坏"),
    ("大家都笑了", "好"),
    ("真难过", "坏"),
    ("今天真好", "好"),
]


@pytest.fixture
def records(tmp_path, monkeypatch):
    """`test.jsonl`, `train.jsonl` and `lines.txt` in an own folder."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (
        ("test", RECORDS),
        ("train", [(f"{text}吧", label) for text, label in RECORDS]),
    ):
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "lines.txt").write_text("好吃\n难吃\n", "utf-8")


def test_a_text_and_many(xinye, trained, records):
    shown = xinye("classify", trained, "好吃", "--labels", "正面,负面")
    assert shown.code == 0 and "正面" in shown.out and "负面" in shown.out
    ran = xinye(
        "classify",
        trained,
        "lines.txt",
        "--labels",
        "1=好评，0=差评",
        "--prompt",
        "{label}：{text}",
        "--json",
    )
    results = json.loads(ran.out)["results"]
    assert [result["text"] for result in results] == ["好吃", "难吃"] and set(
        results[0]["probabilities"]
    ) == {"1", "0"}
    ran = xinye("classify", trained, "好吃", "--examples", "train.jsonl")
    assert ran.code == 0 and "of 5 examples" in ran.err


def test_judged_beside_its_baselines(xinye, trained, records):
    judged = json.loads(xinye("evaluate", trained, "--data", "test.jsonl", "--json").out)
    assert (
        judged["records"] == 5
        and judged["majority"]["accuracy"] == 0.6
        and judged["baseline"] is None
    )
    shown = xinye(
        "evaluate",
        trained,
        "--data",
        "test.jsonl",
        "--labels",
        "好,坏",
        "--examples",
        "train.jsonl",
    )
    assert (
        shown.code == 0
        and "always '好'" in shown.out
        and "TF-IDF" in shown.out
        and "the model was not fine-tuned for this task; the prompt was" in shown.out
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--labels", "好"], "give two or more different ones"),
        (["--labels", "好,好"], "give two or more different ones"),
        (["--labels", "好,坏", "--prompt", "{text}"], "must contain {label} once"),
        (
            ["--labels", "好,怀", "--examples", "train.jsonl"],
            "train.jsonl, line 2: the model does not know the label '坏', only",
        ),
        (["--prompt", "{text}{label}"], "name the labels with --labels"),
    ],
)
def test_wrong_use_is_one_line(xinye, trained, records, arguments, says):
    assert says in (xinye("classify", trained, "好吃", *arguments).complaint)


def test_in_python(trained, records):
    model = package.load(trained)
    one = model.classify("小兔", labels=["好", "坏"])
    assert one["probability"] == max(one["probabilities"].values()) and one["label"] in ("好", "坏")
    examples = [(("小兔", "兔子"), "同"), (("小猫", "大树"), "异")]
    shown = model.classify([("甲", "乙")], examples=examples, prompt="{text}{pair}{label}")
    assert set(shown[0]["probabilities"]) == {"同", "异"}
    with pytest.raises(XinyeError, match="unknown key 'lables'; did you mean 'labels'"):
        model.classify("小兔", lables=["好", "坏"])


def test_a_model_that_learned_its_labels_has_no_use_for_others(xinye, trained, records):
    package.finetune(trained, "run", data="train.jsonl", validation="test.jsonl", epochs=1)
    assert (
        "labels would have no effect"
        in xinye("classify", "run", "好吃", "--labels", "a,b").complaint
    )
