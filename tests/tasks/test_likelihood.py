"""Labels by likelihood: the same as when each is scored alone, within the context, and fair to
every label."""

from collections import Counter

import pytest
import torch

import xinye
from xinye.errors import XinyeError
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.zero_shot import BETWEEN, PROMPTS, Likelihood, prompt_for

LABELS = {"好": "很高兴", "坏": "哭", "中": "很难说"}
PROMPT = "{text}。{label}"


@pytest.fixture(scope="module")
def model(trained):
    """A small random-like model in float32, with room for 32 tokens."""
    return xinye.load(trained, "float32")


def likelihood(model, labels=LABELS, prompt=PROMPT) -> Likelihood:
    return Likelihood(model.gpt, model.tokenizer, labels, prompt)


def alone(model, examples: list[LabelledText], text: str) -> torch.Tensor:
    """The log-probability of all that follows the examples, with each label, up to what all labels
    share."""
    encode, scores = model.tokenizer.encode, []
    shots = [t for r in examples for t in encode(f"{r.text}。{LABELS[r.labels[0]]}{BETWEEN}")]
    for words in LABELS.values():
        ids = [*model.tokenizer.prefix, *shots, *encode(f"{text}。{words}")]
        logs = model.gpt(torch.tensor([ids]))[0].log_softmax(-1)
        scores.append(
            sum(
                logs[i - 1, ids[i]]
                for i in range(len(model.tokenizer.prefix) + len(shots), len(ids))
            )
        )
    return torch.stack(scores).log_softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("shots", [0, 2])
def test_as_if_each_label_were_scored_alone(model, shots):
    examples = [LabelledText("小兔", "", ("好",), ""), LabelledText("小猫", "", ("坏",), "")][
        :shots
    ]
    texts = ["小兔笑了", "tea", "小猫走了"]
    found = likelihood(model).probabilities([(text, "") for text in texts], examples)
    neutral = torch.stack(
        [alone(model, examples, text) for text in ["", *(r.text for r in examples)]]
    ).mean(0)
    expected = [(alone(model, examples, text) - neutral).softmax(-1).tolist() for text in texts]
    for row, right in zip(found, expected, strict=True):
        assert row == pytest.approx(right, abs=1e-4)


def test_examples_are_even_by_label_and_fit(model):
    task = likelihood(model)
    records = [
        LabelledText("兔" * (i % 3 + 1), "", (("好", "坏", "坏", "坏", "中")[i % 5],), str(i))
        for i in range(50)
    ]
    chosen = task.choose(records, [("小猫", "")], seed=0)
    counts = Counter(record.labels[0] for record in chosen)
    assert chosen and max(counts.values()) - min(counts.values()) <= 1
    assert sum(len(task._example(record)) for record in chosen) <= 32 - task.empty.longest
    assert (
        chosen
        == task.choose(records, [("小猫", "")], seed=0)
        != task.choose(records, [("小猫", "")], seed=1)
    )


def test_a_long_text_is_cut_in_its_middle(model):
    text = "开头" + "小兔和小猫在森林里" * 20 + "结尾"
    question = likelihood(model)._question(text, "")
    read = model.tokenizer.decode(question.trunk)
    assert (
        read.startswith("开头") and read.rstrip("很").endswith("结尾。") and question.longest <= 31
    )
    assert len(likelihood(model).probabilities([(text, "")])[0]) == 3
    with pytest.raises(XinyeError, match="the labels and the prompt alone"):
        likelihood(model, prompt="森林里" * 30 + PROMPT)


def test_the_prompt(model):
    with pytest.raises(XinyeError, match=r"must contain \{label\} once"):
        likelihood(model, prompt="{text}")
    assert likelihood(model)._filled("{label}", "", "好") == "{label}。好"
    assert prompt_for([("味道不错", "")]) == PROMPTS["chinese", False]
    assert prompt_for([("tasty food", "fast")]) == PROMPTS["english", True]


def test_a_label_that_begins_another(model):
    rows = likelihood(model, {"a": "好", "b": "好吃"}).probabilities([("小兔", "")])
    assert sum(rows[0]) == pytest.approx(1) and min(rows[0]) > 0
