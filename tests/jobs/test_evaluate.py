"""Where a text is too large for a baseline, a stated share of it is taken."""

import numpy as np
import pytest

from xinye.checkpoints.huggingface import load_model
from xinye.jobs import evaluate as recipe
from xinye.jobs.evaluate import Part, evaluate
from xinye.observer import Observer
from xinye.tasks.task import Judged


def test_a_share_is_the_end_of_each_document():
    part = Part(np.arange(1000), np.array([[0, 100], [200, 600], [600, 600]]))
    assert len(part) == 500
    assert part.at_most(500) is part
    assert part.at_most(250).spans.tolist() == [[50, 100], [400, 600], [600, 600]]
    assert len(part.at_most(3)) <= 3


def test_a_share_of_many_short_documents_is_some_of_them():
    part = Part(np.arange(1000), np.array([[at, at + 5] for at in range(0, 1000, 5)]))
    assert part.at_most(100).spans.tolist() == [[at, at + 5] for at in range(0, 1000, 50)]


def test_what_was_cut_is_told(trained, monkeypatch):
    monkeypatch.setattr(recipe, "NGRAM_TOKENS", 1000)
    monkeypatch.setattr(recipe, "COMPRESSED_BYTES", 500)
    found = evaluate(Judged(*load_model(trained), trained, Observer()))
    compressed, before, counted = found.notes
    assert (
        "gzip and xz: measured on the ends of the documents" in compressed
        and "xz after the training text" in before
    )
    assert counted.startswith("5-gram: learned from ")
    assert found.baselines["five_gram"]["training_tokens"] == pytest.approx(1000, abs=1)
