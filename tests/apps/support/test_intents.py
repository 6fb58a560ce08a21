"""The two models that say what a question is about."""

from types import SimpleNamespace
from typing import Any

from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled
from xinye.apps.support.intents import Intents, mean

TEXTS = [f"{who}{what}" for what in ("要开发票", "想退货") for who in "我你他她"]
LABELS = ["发票"] * 4 + ["退货"] * 4


def test_the_mean_of_two_models() -> None:
    assert mean({"a": 1.0, "b": 0.0}, {"a": 0.5, "b": 0.5}) == {"a": 0.75, "b": 0.25}


def test_a_network_without_an_opinion_leaves_it_to_the_words() -> None:
    row = {"probabilities": {"发票": 0.5, "退货": 0.5}}
    network: Any = SimpleNamespace(classify=lambda texts: [row for _ in texts])
    intents = Intents(network, Classes.learn(TEXTS, LABELS))
    asked = [Labelled(text="怎么开发票", label="发票"), Labelled(text="怎么退货", label="退货")]
    assert intents.accuracy(asked) == 1
    assert intents.accuracy([]) is None
