"""The Python face: the same words as on the command line."""

import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import xinye as package
from xinye import XinyeError, machine
from xinye.console import Console
from xinye.model.heads import Head, HeadConfig
from xinye.observer import Observer
from xinye.training import display

TINY = {
    "size": "1M",
    "layers": 1,
    "width": 64,
    "context": 32,
    "batch_size": 4,
    "tokenizer": "char",
    "compile": "no",
}


@pytest.fixture(scope="module")
def model(trained: Path) -> package.Model:
    return package.load(trained)


def test_pretrain_then_load(workplace):
    run = package.pretrain("zh.txt", "run", steps=2, **TINY)
    assert (run.run, run.steps, run.interrupted) == ("run", 2, False)
    assert set(run.validation) == {"loss", "bits_per_byte"}
    assert package.load(run.run).gpt.config.parameters == run.parameters


def test_pretrain_takes_several_files_and_keeps_what_is_there(workplace):
    files = [workplace / "zh.txt", "en.txt"]
    assert package.pretrain(files, "run", steps=1, **TINY).steps == 1
    with pytest.raises(XinyeError, match="this run already exists"):
        package.pretrain(files, "run", steps=1, **TINY)
    assert package.pretrain(files, "run", overwrite=True, steps=2, **TINY).steps == 2


def test_pretrain_names_the_nearest_setting(workplace):
    with pytest.raises(XinyeError, match="unknown key 'sise'; did you mean 'size'"):
        package.pretrain("zh.txt", sise="1M")
    with pytest.raises(XinyeError, match="steps"):
        package.pretrain("zh.txt", steps=0)
    with pytest.raises(XinyeError, match=r"missing\.txt: no such file"):
        package.pretrain("missing.txt", "run", steps=1)


def test_generate(model):
    texts = model.generate("小兔", max_tokens=8, n=3, seed=1)
    assert len(set(texts)) == 3 and texts == model.generate("小兔", max_tokens=8, n=3, seed=1)
    assert texts != model.generate("小兔", max_tokens=8, n=3, seed=2)
    assert len(set(model.generate("小兔", max_tokens=8, n=3, temperature=0))) == 1
    assert len(model.generate(max_tokens=4)) == 1


def test_weights_are_kept_in_the_dtype_that_is_asked_for(trained, monkeypatch):
    monkeypatch.setattr(
        machine, "fast_dtype", lambda where: (torch.bfloat16, "this CPU has AVX-512 bf16")
    )
    bits = {}
    for dtype, kept in (
        ("auto", torch.bfloat16),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ):
        model = package.load(trained, dtype)
        assert {weight.dtype for weight in model.gpt.parameters()} == {kept}
        bits[dtype] = model.evaluate(text="从前有一片新叶。" * 50).bits_per_byte
    assert bits["auto"] == bits["bfloat16"] == pytest.approx(bits["float32"], rel=1e-3)
    with pytest.raises(
        XinyeError, match="dtype is 'int8'; it must be one of auto, float32, bfloat16"
    ):
        package.load(trained, "int8")


def test_the_stream_is_the_text(model):
    pieces = list(model.stream("小兔豆豆", max_tokens=20, seed=3))
    assert (
        len(pieces) > 1 and "".join(pieces) == model.generate("小兔豆豆", max_tokens=20, seed=3)[0]
    )


def test_complete_tells_why_it_ended(model):
    one, two = model.complete(["小兔", "小兔豆豆"], max_tokens=3, seed=1)
    assert one.finish_reason in ("stop", "length") and 1 <= one.completion_tokens <= 3
    assert two.prompt_tokens == one.prompt_tokens + 2
    assert model.complete([]) == []


def test_evaluate(model):
    text = "芳林新叶催陈叶，流水前波让后波。"
    one = model.evaluate(text=text, stride=4)
    assert (one.bytes, one.text["characters"], one.stride) == (len(text.encode()), len(text), 4)
    two = model.evaluate(text=[text, text], stride=4)
    assert two.text["documents"] == 2 and two.loss == pytest.approx(one.loss)
    assert model.evaluate().text["source"] == "validation"
    with pytest.raises(XinyeError, match="unknown key 'strid'; did you mean 'stride'"):
        model.evaluate(text=text, strid=4)
    with pytest.raises(XinyeError, match="the text is empty"):
        model.evaluate(text="")
    with pytest.raises(XinyeError, match="give files or text, not both"):
        model.evaluate("zh.txt", text=text)


def test_wrong_use_is_said_at_once(model):
    long = "小兔豆豆" * 20
    with pytest.raises(XinyeError, match="the prompt has 81 tokens"):
        model.generate(long)
    with pytest.raises(XinyeError, match="the prompt has 81 tokens"):
        model.stream(long)  # before the first piece is asked for
    with pytest.raises(XinyeError, match="unknown key 'temprature'; did you mean 'temperature'"):
        model.generate("小兔", temprature=1)
    with pytest.raises(XinyeError, match="top_p"):
        model.stream("小兔", top_p=2)
    with pytest.raises(XinyeError, match="there is no such folder"):
        package.load("missing")


def test_training_shows_its_progress_unless_it_shall_not(workplace, capsys):
    package.pretrain("zh.txt", "run", steps=2, **TINY)
    shown = capsys.readouterr()
    assert shown.out == "" and "batch_size" in shown.err and "validation loss" in shown.err
    package.pretrain("zh.txt", "run", steps=2, overwrite=True, progress=False, **TINY)
    package.pretrain("zh.txt", "run", steps=2, overwrite=True, observer=Observer(), **TINY)
    assert capsys.readouterr().err == ""


class Cell:
    """What a notebook's cell shows, without a notebook: `outputs`, of which a handle replaces its
    own."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.lines: list[str] = []

    def display(self, content: dict[str, str], raw: bool, display_id: bool = False) -> "Cell":
        self.outputs.append(content)
        self.lines.append(content["text/plain"])
        return self

    def update(self, content: dict[str, str], raw: bool) -> None:
        self.lines.append(content["text/plain"])


def test_a_notebook_without_widgets_shows_a_line_and_the_rest(workplace, monkeypatch):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=cell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=cell.display))
    monkeypatch.setattr(display, "console", Console(force_jupyter=True))
    monkeypatch.setattr(
        "rich.jupyter.display", lambda segments, text: cell.outputs.append({"text/plain": text})
    )
    # each time, not twice a second
    monkeypatch.setattr(display.NotebookLine, "update", display.NotebookLine._show)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        package.pretrain("zh.txt", "run", steps=2, **TINY)
    text = "".join(output["text/plain"] for output in cell.outputs)
    assert "batch_size" in text and text.count("validation loss") >= 1
    assert any(" step 2/2 " in line for line in cell.lines) and cell.lines[-1] == ""


def test_a_model_says_what_it_is(model, trained, tmp_path):
    config = model.gpt.config
    about = (
        f"modern, {config.parameters:,} parameters, vocabulary {config.vocab_size:,}, context 32"
    )
    assert repr(model) == f"<Model {trained}: {about}>"
    head = HeadConfig(config, "sequence", ("好", "差\x1b"))
    judge = package.Model(Head.over(package.load(trained).gpt, head), model.tokenizer, tmp_path)
    assert repr(judge).endswith(", context 32; can classify: 好, 差␛>")


def test_names():
    assert {"Model", "Run", "Tokenizer", "XinyeError", "load", "pretrain"} <= set(package.__all__)
    told = "import xinye, sys; print(*dir(xinye)); sys.exit('torch' in sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {*package.__all__, "__version__"} <= set(names) and "import_module" not in names
    for name in package.__all__:
        assert getattr(package, name).__doc__
    with pytest.raises(AttributeError, match="train_everything"):
        package.train_everything  # noqa: B018
