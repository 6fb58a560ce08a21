"""A model that only learned to go on with texts is not offered as one to talk with."""

import shutil

import pytest

from server.tiny_server import serving


@pytest.fixture(scope="module")
def base(trained, tmp_path_factory):
    """A server of a run that began from scratch."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("models") / "base")
    with serving([str(folder)]) as running:
        yield running


def test_a_base_model_is_not_offered_to_chat(base):
    (model,) = base.openai.models.list().data
    assert model.tasks == ["generate", "embed"]
    asked = {"model": "base", "messages": [{"role": "user", "content": "你好"}]}
    refused = base.http.post("/v1/chat/completions", json=asked)
    assert refused.status_code == 400 and "--task chat" in refused.json()["error"]["message"]
    asked = {"model": "base", "prompt": "从前", "max_tokens": 2}
    assert base.http.post("/v1/completions", json=asked).status_code == 200
