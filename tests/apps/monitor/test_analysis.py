"""What is said of a document, with models that always say the same."""

from types import SimpleNamespace
from typing import Any

import torch

from xinye.apps.monitor.analysis import Analyst, Models, language_of
from xinye.apps.monitor.calibration import Calibrations


class Classifier:
    """Says the same of each text, and remembers what it read."""

    def __init__(self, **probabilities: float) -> None:
        self.probabilities, self.read = probabilities, list[str]()
        self.network = SimpleNamespace(compute_dtype=torch.float32)

    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        self.read += texts
        return [{"probabilities": self.probabilities} for _ in texts]


class Tagger:
    def tag(self, text: str) -> list[dict[str, Any]]:
        return [{"text": "红枫实业", "type": "ORG"}, {"text": "上海", "type": "LOC"}]


def analyst(**models: Any) -> Analyst:
    companies = {"青禾茶器": ["青禾", "QingHe"]}
    return Analyst(Models(**models), Calibrations(), companies)


def test_topics_mood_and_language() -> None:
    topics, mood = Classifier(价格=0.8, 物流=0.1), Classifier(negative=0.7, positive=0.3)
    [found] = analyst(topics=topics, mood=mood).analyse([("涨价了", "青禾涨价。")])
    assert found.topics == (("价格", 0.8),)
    assert (found.mood, found.mood_probability, found.language) == ("negative", 0.7, "zh")
    assert topics.read == ["涨价了\n青禾涨价。"]


def test_companies_are_found_by_their_aliases_and_by_the_tagger() -> None:
    assert analyst().companies("青禾和 qinghe 涨价，清河没有") == ("青禾茶器",)
    assert analyst(entities=Tagger()).companies("红枫实业在上海") == ("红枫实业",)


def test_companies_are_looked_for_in_the_whole_text() -> None:
    [found] = analyst().analyse([("", "字" * 1000 + "青禾")])
    assert found.companies == ("青禾茶器",)


def test_a_role_without_a_model_says_nothing() -> None:
    [found] = analyst().analyse([("", "Prices rise.")])
    assert (found.topics, found.mood, found.mood_probability) == ((), "", None)
    assert found.language == "en" and language_of("123") == ""
