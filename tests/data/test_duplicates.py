"""Copies are counted, and in too much text near duplicates are kept or left together."""

import numpy as np
import pytest

from xinye.data import duplicates
from xinye.data.duplicates import Copies, NearSample


def test_duplicates() -> None:
    copies = Copies()
    for place, text in enumerate(["叶", "leaf", "叶", "花开", "叶", "花开"]):
        copies.add(text, place)
    assert copies.result(5) == (3, 4, [(0, 3), (3, 2)])
    assert Copies().result(5) == (0, 0, [])


def test_duplicates_of_too_many_documents_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_DIGESTS", 1000)
    copies = Copies()
    for number in range(20_000):
        copies.add(f"文{number % 10_000}", number)
    documents, characters, _ = copies.result(5)
    assert len(copies.digests) <= 1000 and copies.mask > 0
    assert 8_000 < documents < 12_000 and 35_000 < characters < 60_000


def test_near_duplicates_are_sampled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_DOCUMENTS", 100)
    sample = NearSample()
    for first in range(0, 1000, 50):
        bodies = [
            "".join(map(chr, np.random.default_rng(seed).integers(0x4E00, 0x9F00, 200)))
            for seed in range(first, first + 50)
        ]
        texts = [text for body in bodies for text in (body, body + "完")]
        joined = "\n".join(texts)
        starts = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
        sample.add(
            np.frombuffer(joined.encode("utf-32-le"), "<u4"), starts, texts, range(len(texts))
        )
    kept = sample.kept
    assert 0 < len(kept) <= 100
    assert sum(
        text.removesuffix("完") in kept and text.removesuffix("完") + "完" in kept for text in kept
    ) > 0.8 * len(kept)
