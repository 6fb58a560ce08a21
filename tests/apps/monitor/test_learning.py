"""What is learned, calibrated on and kept apart."""

from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.learning import FEWEST_EACH, learn, parts_of
from xinye.apps.training import Budget
from xinye.observer import Observer


def text(number: int, topic: str = "价格") -> Labelled:
    return Labelled(
        f"{topic}：第{number}号商品{'甲乙丙丁戊己庚辛'[number % 8]}的消息", (topic,), ""
    )


def test_near_equal_texts_stay_together() -> None:
    texts = [text(number) for number in range(200)]
    repeats = [Labelled(f"{each.text}。", each.topics, "") for each in texts]
    parts = parts_of([*texts, *repeats], 0.2)
    test = {each.text.rstrip("。") for each in parts.test}
    learned = {each.text.rstrip("。") for each in (*parts.learned, *parts.calibration)}
    assert not test & learned
    assert 70 <= len(parts.test) <= 90


def test_what_is_too_little_is_told_and_not_learned(tmp_path) -> None:
    texts = [text(number) for number in range(60)] + [text(number, "罕见") for number in range(3)]
    parts = parts_of(texts, 0)
    found = learn(parts, ("topics", "mood"), tmp_path, Budget(60), Observer())
    assert not found.learned and found.rare.keys() == {"罕见"}
    assert "1 label that" in found.missing["topics"]
    assert str(FEWEST_EACH) in found.missing["topics"]
    assert "no text has one" in found.missing["mood"]
