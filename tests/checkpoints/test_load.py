"""A model by what a person calls it."""

import pytest

from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("missing/model", None, "download it first: xinye download missing/model"),
        ("runs/a/b", None, "there is no such folder; give the folder of a run"),
        ("model.pt", b"", r"model\.pt: Xinye does not read pickled"),
        ("model.safetensors", b"", "neither a model's folder nor a GGUF file; give the folder of the file"),
        ("novel.txt", b"", "neither a model's folder nor a GGUF file$"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_told_in_one_line(name, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(XinyeError, match=message) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path):
    with pytest.raises(XinyeError, match="not a model's folder"):
        load_model(tmp_path)
