"""Continuations that share a prompt have the same probabilities as each read alone."""

import pytest
import torch

import xinye
from xinye.generation import continuations


@pytest.mark.parametrize("at_once", [1, 512])
def test_each_is_as_probable_as_alone(trained, monkeypatch, at_once):
    monkeypatch.setattr(continuations, "AT_ONCE", at_once)
    model = xinye.load(trained, "float32")
    prompt = [model.tokenizer.bos_id, *model.tokenizer.encode("小兔和小猫")]
    branches = [model.tokenizer.encode(text) for text in ("去了河边", "笑", "很高兴。")]
    found = continuations.log_probabilities(model.gpt, prompt, branches)
    for branch, score in zip(branches, found, strict=True):
        logs = model.gpt(torch.tensor([[*prompt, *branch]]))[0].log_softmax(-1)
        alone = sum(logs[len(prompt) + at - 1, token] for at, token in enumerate(branch))
        assert score == pytest.approx(alone.item(), abs=1e-4)
