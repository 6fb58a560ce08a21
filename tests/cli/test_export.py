"""`xinye export`: files that other tools read, and that hold the same model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from xinye.checkpoints.huggingface import save_model
from xinye.checkpoints.load import load_model
from xinye.checkpoints.onnx import save_onnx
from xinye.data.tokenizer import Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

BYTES = Tokenizer.train(["新叶"], kind="bytes")


def test_gguf_holds_the_same_model(xinye, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = xinye("export", trained, "--to", "gguf", "--json")
    result = json.loads(outcome.out.splitlines()[-1])
    assert (
        result["file"] == "run-f32.gguf"
        and result["bytes"] == (tmp_path / "run-f32.gguf").stat().st_size
    )
    for line in (
        "llama-completion -m run-f32.gguf",
        'FROM ./run-f32.gguf"',
        "llama-quantize run-f32.gguf",
    ):
        assert line in outcome.err
    (model, tokenizer), (again, read) = load_model(trained), load_model("run-f32.gguf")
    for text in ("小兔豆豆，今天 3 只！", "The hare's 12 leaves\n"):
        assert tokenizer.encode(text) == read.encode(text)
    assert read.stop_ids == tokenizer.stop_ids
    # a model that only goes on with texts is not offered as one to chat with
    assert tokenizer.chat_template is not None and read.chat_template is None
    tokens = torch.tensor([tokenizer.encode("小兔豆豆")])
    assert torch.allclose(model(tokens), again(tokens), atol=1e-5)
    assert xinye("generate", "run-f32.gguf", "小兔", "--temperature", 0, "--max-tokens", 8).out == (
        xinye("generate", trained, "小兔", "--temperature", 0, "--max-tokens", 8).out
    )


def test_a_model_that_may_chat_keeps_its_template(xinye, trained, tmp_path):
    """A folder that is no run, such as one of another tool: nobody knows that it cannot."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in filter(Path.is_file, trained.iterdir()):
        shutil.copy(path, folder)
    messages = [{"role": "user", "content": "你好"}]
    expected = load_model(folder)[1].encode_chat(messages)
    for verb in (("export", folder, "--to", "gguf"), ("quantize", folder)):
        assert xinye(*verb, "-o", tmp_path / "chat.gguf").code == 0
        assert load_model(tmp_path / "chat.gguf")[1].encode_chat(messages) == expected


def test_servers_that_refuse_the_size_of_the_heads_are_named(xinye, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(Path("odd"), GPT(GPTConfig("modern", 261, 40, 1, 2, 2, 20, 64, 16)), BYTES)
    export = ("--to", "gguf", "-o", "odd.gguf")
    assert "note: vLLM on a CPU and SGLang with FlashInfer refuse heads of 20 dimensions" in (
        xinye("export", "odd", *export).err
    )
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    assert "FlashInfer 时都不支持 20 维的注意力头" in xinye("export", "odd", *export).err
    assert "FlashInfer" not in xinye("export", trained, "--to", "gguf").err


def test_quantized_is_smaller_and_a_gguf_can_be_written_again(xinye, trained, tmp_path):
    whole, small = tmp_path / "模型.gguf", tmp_path / "small.gguf"
    assert xinye("export", trained, "--to", "gguf", "-o", whole).code == 0
    assert xinye("export", whole, "--to", "gguf", "--quantize", "q8_0", "-o", small).code == 0
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    # its own kind is replaced
    assert xinye("export", trained, "--to", "gguf", "-o", whole).code == 0


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["RUN"], "--to"),
        (["RUN", "--to", "gguff"], "gguff"),
        (["RUN", "--to", "gguf", "--quantize", "q5"], "q5"),
        (["RUN", "--to", "onnx", "--quantize", "q8_0"], "works for GGUF only"),
        (
            ["RUN", "--to", "gguf", "-o", "mine.gguf"],
            "mine.gguf: the file exists and is no GGUF file",
        ),
        (["RUN", "--to", "gguf", "-o", "."], "is a folder"),
        (["model.gguf", "--to", "gguf", "-o", "model.gguf"], "is the model itself"),
        (["nowhere", "--to", "gguf"], "nowhere"),
    ],
)
def test_wrong_use_is_one_line_and_loses_nothing(
    xinye, trained, tmp_path, monkeypatch, arguments, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.gguf").write_text("holiday photos")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    outcome = xinye(
        "export", *(trained if argument == "RUN" else argument for argument in arguments)
    )
    assert outcome.code == 2 and says in outcome.complaint
    assert (tmp_path / "mine.gguf").read_text() == "holiday photos"


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(GPTConfig("modern", 261, 48, 2, 4, 2, 12, 72, 64), marks=pytest.mark.slow),
        pytest.param(
            GPTConfig("llama", 261, 48, 2, 6, 3, 8, 56, 64, False, attention_bias=True),
            marks=pytest.mark.slow,
        ),
        GPTConfig("gpt2", 261, 36, 2, 3, 3, 12, 144, 64),
    ],
    ids=["modern", "llama", "gpt2"],
)
def test_onnx_gives_the_same_logits_at_once_in_pieces_and_padded(config, tmp_path):
    import onnxruntime

    torch.manual_seed(0)
    assert Tokenizer.train(["新叶"], kind="bytes").vocab_size == config.vocab_size
    model = GPT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    save_onnx(tmp_path / "model.onnx", model)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    tokens = torch.randint(0, config.vocab_size, (3, 11))
    with torch.no_grad():
        expected = model(tokens).numpy()

    def read(tokens, mask, past):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        names = [f"past_key_values.{i // 2}.{('key', 'value')[i % 2]}" for i in range(len(past))]
        given = {
            "input_ids": tokens.numpy(),
            "attention_mask": mask.numpy(),
            "position_ids": positions.numpy(),
        }
        logits, *present = session.run(None, given | dict(zip(names, past, strict=True)))
        return logits, present

    nothing = (
        [np.zeros((3, config.num_key_value_heads, 0, config.head_dim), np.float32)]
        * 2
        * config.num_hidden_layers
    )
    ones = torch.ones(3, 11, dtype=torch.long)
    assert abs(read(tokens, ones, nothing)[0] - expected).max() < 1e-4
    first, past = read(tokens[:, :4], ones[:, :4], nothing)
    second, past = read(tokens[:, 4:10], ones[:, :10], past)
    third, _ = read(tokens[:, 10:], ones, past)
    assert abs(np.concatenate((first, second, third), axis=1) - expected).max() < 1e-4
    padded = torch.cat((torch.zeros(3, 3, dtype=torch.long), tokens), dim=1)
    mask = torch.cat((torch.zeros(3, 3, dtype=torch.long), ones), dim=1)
    assert abs(read(padded, mask, nothing)[0][:, 3:] - expected).max() < 1e-4
