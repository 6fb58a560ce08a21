"""What is said of a document, with models that always say the same."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xinye.apps.monitor.analysis import Analyst, Models, language_of
from xinye.apps.monitor.calibration import Calibrations, Scaling

CALIBRATED = Calibrations(topics=Scaling(texts=50), mood=Scaling(texts=50))


class Classifier:
    """Says the same of each text, and remembers what it read."""

    def __init__(self, **probabilities: float) -> None:
        self.probabilities, self.read = probabilities, list[str]()
        self.network = SimpleNamespace(compute_dtype=torch.float32)

    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        self.read += texts
        return [{"probabilities": self.probabilities} for _ in texts]

    def explain(self, text: str, label: str = "") -> list[Any]:
        words = [
            SimpleNamespace(start=at, end=at + 1, score=1.0)
            for at in range(len(text))
            if text[at].strip()
        ]
        decision = label or max(self.probabilities, key=lambda each: self.probabilities[each])
        return [SimpleNamespace(decision=decision, words=words)]


class Tagger:
    def tag(self, text: str) -> list[dict[str, Any]]:
        return [{"text": "红枫实业", "type": "ORG"}, {"text": "上海", "type": "LOC"}]


def analyst(**models: Any) -> Analyst:
    companies = {"青禾茶器": ["青禾", "QingHe"]}
    chance = random.Random(0)
    known = ["股价", "业绩", "下跌", "下滑", "公司", "上涨", "门店", "银行", "投资", "宣布"]
    texts = ["".join(chance.choices(known, k=4)) for _ in range(400)]
    return Analyst(Models(**models), CALIBRATED, companies, lambda: texts)


def test_topics_mood_and_language() -> None:
    topics, mood = Classifier(价格=0.8, 物流=0.1), Classifier(negative=0.7, positive=0.3)
    [found] = analyst(topics=topics, mood=mood).analyse([("涨价了", "青禾涨价。")])
    assert found.topics == (("价格", pytest.approx(0.8)),)
    assert (found.mood, found.mood_probability) == ("negative", pytest.approx(0.7))
    assert found.language == "zh"
    assert topics.read == ["涨价了\n青禾涨价。"]


def test_reasons_are_words_for_what_is_said() -> None:
    topics, mood = Classifier(价格=0.8, 物流=0.1), Classifier(negative=0.7, positive=0.3)
    text, reasons = analyst(topics=topics, mood=mood).reasons("", "股价下跌，业绩下滑！")
    assert text == "股价下跌，业绩下滑！"
    assert [(each.of, each.label) for each in reasons] == [("topics", "价格"), ("mood", "negative")]
    assert [each.probability for each in reasons] == pytest.approx([0.8, 0.7])
    words = reasons[0].words
    assert "".join(word.text for word in words) == "股价下跌业绩下滑" and len(words) < 8
    assert all(word.score == len(word.text) for word in words)


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
