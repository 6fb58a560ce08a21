"""`xinye merge` makes a plain folder with the same logits, or says why there is none."""

import json
from pathlib import Path

import pytest
import torch

from conftest import Command, contents
from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.load import load_model
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.gpt import GPT

TOKENS = torch.arange(8)[None]


@pytest.fixture
def make_adapter(trained: Path, tmp_path: Path):
    """Writes the folder of a random adapter of a run, and returns the model that it makes."""

    def make(method: str) -> GPT:
        model, tokenizer = load_model(trained)
        assert isinstance(model, GPT)
        attach(model, AdapterSettings(method=method))  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_(0, 0.2)
        save_adapter(tmp_path / "adapter", model, trained, tokenizer)
        return model

    return make


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_merged_model_is_a_plain_folder_with_the_same_logits(
    method: str, make_adapter, xinye: Command, trained: Path, tmp_path: Path
) -> None:
    model, before = make_adapter(method), contents(trained)
    outcome = xinye("merge", tmp_path / "adapter", "-o", tmp_path / "合并", "--json")
    assert outcome.code == 0
    report = json.loads(outcome.out)
    assert (report["method"], report["matrices"]) == (method, 7)
    assert not (tmp_path / "合并" / "README.md").exists()  # nothing is known of who trained it
    merged, _ = load_model(tmp_path / "合并")
    assert torch.allclose(
        merged(TOKENS), model(TOKENS), rtol=0, atol=1e-5 * float(model(TOKENS).abs().max())
    )
    assert {path.name for path in (tmp_path / "合并").iterdir()} <= {
        path.name for path in trained.iterdir()
    }
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("prefix", "keys and values, which cannot be merged into weights"),
        ("adapter", "a nonlinear layer, which cannot be merged into weights"),
    ],
)
def test_what_cannot_be_merged_says_why(
    method, reason, make_adapter, xinye: Command, tmp_path: Path
) -> None:
    make_adapter(method)
    outcome = xinye("merge", tmp_path / "adapter", "-o", tmp_path / "merged")
    assert outcome.code == 2 and reason in outcome.complaint
    assert not (tmp_path / "merged").exists()


def test_a_run_without_an_adapter_and_a_folder_in_use_are_refused(
    make_adapter, xinye: Command, trained: Path, tmp_path: Path
) -> None:
    make_adapter("lora")
    assert (
        "this folder has no adapter" in xinye("merge", trained, "-o", tmp_path / "merged").complaint
    )
    before = contents(trained)
    assert "--overwrite" in xinye("merge", tmp_path / "adapter", "-o", trained).complaint
    assert (
        "which must not be overwritten; choose another"
        in xinye("merge", tmp_path / "adapter", "-o", trained, "--overwrite").complaint
    )
    assert contents(trained) == before


def test_a_merged_run_has_the_card_of_its_run_and_a_persons_stays(
    xinye: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{text}{number},{text}" for number in range(10) for text in ("好", "差")]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,label", *lines]), "utf-8")
    taught = ("--task", "classify", "--data", "reviews.csv", "--epochs", 1, "--method", "lora")
    assert xinye("finetune", trained, *taught, "-o", "run").code == 0
    assert xinye("merge", "run", "-o", "merged").code == 0
    card = (tmp_path / "merged" / "README.md").read_text("utf-8")
    assert "merged into the weights of the base" in card and "library_name: transformers" in card
    assert "accuracy" in card and "its base model must be where" not in card
    assert (tmp_path / "merged" / "calibration.json").is_file()
    (tmp_path / "merged" / "README.md").write_text("mine", "utf-8")
    (tmp_path / "merged" / "linear_tagger.safetensors").write_text("of another model")
    assert xinye("merge", "run", "-o", "merged", "--overwrite").code == 0
    assert (tmp_path / "merged" / "README.md").read_text("utf-8") == "mine"
    assert not (tmp_path / "merged" / "linear_tagger.safetensors").exists()
