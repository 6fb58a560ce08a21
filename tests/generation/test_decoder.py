"""The compiled step computes what `GPT.forward` computes, for texts of any length, and PyTorch
stands in for it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import random_models
from xinye.data.tokenizer import Tokenizer
from xinye.generation.decoder import Decoder, decoder_for
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.gpt import GPT, Linear
from xinye.model.lstm import LSTM
from xinye.model.quantization import quantize, swap_in
from xinye.model.rope import RopeScaling
from xinye.native import library, matrix

TOKENIZER = Tokenizer.train([], kind="bytes")
V, CONTEXT = TOKENIZER.vocab_size, 48
MODERN = GPTConfig("modern", V, 96, 2, 6, 2, 64, 160, CONTEXT, False)
LLAMA = replace(MODERN, architecture="llama", head_dim=16, tie_word_embeddings=True)
SHAPES = {
    "modern, grouped queries": MODERN,
    "sizes that fill no vector": GPTConfig("modern", V, 21, 2, 3, 1, 6, 37, CONTEXT),
    "llama": LLAMA,
    "llama, all biases": replace(LLAMA, attention_bias=True, mlp_bias=True, num_key_value_heads=1),
    "linear": replace(LLAMA, rope_scaling=RopeScaling("linear", 4.0)),
    "dynamic": replace(LLAMA, rope_scaling=RopeScaling("dynamic", 2.0)),
    "yarn": replace(LLAMA, rope_scaling=RopeScaling("yarn", 4.0, 12)),
    "llama3": replace(LLAMA, rope_scaling=RopeScaling("llama3", 4.0, 12)),
    "gpt2": GPTConfig("gpt2", V, 96, 2, 6, 6, 16, 384, CONTEXT),
    "gpt2, untied": GPTConfig("gpt2", V, 20, 2, 2, 2, 10, 30, CONTEXT, False),
}
LENGTHS = [30, 1, 17, 46, 9]
BLOCK = 8


def random_model(config: GPTConfig) -> GPT:
    return random_models.random_model(config, 0.1, norms=1.0)


def compiled(model: GPT) -> Decoder:
    step = decoder_for(model)
    assert step is not None, library.describe()
    return step


@torch.inference_mode()
def logits_of(model: GPT, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Of the last of so many tokens: each text read anew, alone, by PyTorch; and all at once by the
    compiled step, which finds in scattered blocks of a cache what PyTorch has read of the tokens
    before."""
    rows = [torch.randint(V, (length,)).tolist() for length in lengths]
    count = CONTEXT // BLOCK
    places = torch.randperm(count * len(rows)).view(-1, count).tolist()
    cache, references = model.new_cache(count * len(rows), BLOCK).tensors, []
    for row, blocks in zip(rows, places, strict=True):
        own = model.new_cache(1)
        if row[1:]:
            model.hidden(torch.tensor([row[:-1]]), cache=own)
        cache[:, :, blocks] = own.tensors[:, :, 0].unflatten(3, (count, BLOCK)).transpose(2, 3)
        references.append(model(torch.tensor([row]))[0, -1].float())
    ends = [length - 1 for length in lengths]
    return torch.stack(references), compiled(model)([row[-1] for row in rows], ends, places, cache)


def difference(ours: Tensor, reference: Tensor) -> float:
    """The largest of any text, as a share of its logits' size."""
    return float(((ours - reference).norm(dim=-1) / reference.norm(dim=-1)).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_those_of_pytorch(shape: str) -> None:
    reference, ours = logits_of(random_model(SHAPES[shape]), LENGTHS)
    assert difference(ours, reference) < 1e-5


@pytest.mark.parametrize(
    "shape", ["modern, grouped queries", "sizes that fill no vector", "llama, all biases", "gpt2"]
)
def test_bf16_weights_give_almost_the_logits_of_pytorch(shape: str) -> None:
    model = random_model(SHAPES[shape]).to(torch.bfloat16)
    model.compute_dtype = torch.bfloat16
    reference, ours = logits_of(model, LENGTHS)
    assert difference(ours, reference) < 0.03


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1"])
@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
def test_quantized_weights_give_almost_the_logits_of_pytorch(architecture: str, kind: str) -> None:
    config = replace(SHAPES["gpt2"], vocab_size=V + 1) if architecture == "gpt2" else MODERN
    model = random_model(config)
    matrices = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Linear | nn.Embedding) and "positions" not in name:
            # 20 random bytes a block, with a scale of 0.01 and a minimum of -0.07
            if kind == "q4_1":
                halves = torch.tensor([0.01, -0.07], dtype=torch.half).view(torch.uint8)
                rows, width = layer.weight.shape
                blocks = torch.randint(256, (rows, width // 32, 20), dtype=torch.uint8)
                blocks[..., :4] = halves
                matrices[name] = (blocks.flatten(1), kind)
            else:
                matrices[name] = (quantize(layer.weight, kind), kind)
    swap_in(model, matrices)
    reference, ours = logits_of(model, LENGTHS)
    assert difference(ours, reference) < 0.03


def test_a_text_among_others_is_computed_as_alone_to_the_last_bit() -> None:
    model = random_model(MODERN)
    step, cache = compiled(model), model.new_cache(9, 32).tensors.normal_()
    # the next call overwrites the logits
    together = step([7] * 9, [19] * 9, [[number] for number in range(9)], cache).clone()
    for number in range(9):
        assert torch.equal(step([7], [19], [[number]], cache)[0], together[number])


@torch.inference_mode()
def test_several_tokens_of_a_text_are_read_at_once() -> None:
    model = random_model(MODERN)
    step, cache = compiled(model), model.new_cache(6, BLOCK).tensors
    tokens = torch.randint(V, (20,)).tolist()
    step(tokens[:5], range(5), [[5, 2, 0]] * 5, cache)
    logits = step(tokens[5:], range(5, 20), [[5, 2, 0]] * 15, cache)
    assert difference(logits, model(torch.tensor([tokens]))[0, 5:]) < 1e-5


def test_any_number_of_threads_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(MODERN)
    step, cache = compiled(model), model.new_cache(1).tensors
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(step([7], [0], [[0]], cache).clone())
    monkeypatch.setattr(matrix, "openmp", lambda: (None, None))  # threads of its own
    results.append(step([7], [0], [[0]], cache))
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("shape", ["modern, grouped queries", "gpt2"])
@pytest.mark.parametrize(
    "prompts", [["新叶"], ["芳林新叶催陈叶", "", "The leaf falls. ", "b" * (CONTEXT - 2)]], ids=len
)
def test_texts_are_the_same_without_a_compiler(
    shape: str, prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(SHAPES[shape])

    def texts() -> list[list[int]]:
        sampling = Sampling(temperature=0, max_tokens=2 * CONTEXT)
        sequences = [start(TOKENIZER, prompt, CONTEXT, sampling) for prompt in prompts]
        list(generate(model, TOKENIZER, sequences))
        return [sequence.tokens for sequence in sequences]

    assert decoder_for(model) is not None
    fast = texts()
    monkeypatch.setattr(library.THIS, "functions", None)
    monkeypatch.setattr(library.THIS, "words", "no C++ compiler")
    assert decoder_for(model) is None and "slower: no C++ compiler" in library.describe()
    assert texts() == fast


def test_what_it_does_not_know_is_left_to_pytorch() -> None:
    class Adapted(Linear):
        pass

    changed = random_model(MODERN)
    changed.model.layers[0].mlp.up_proj = Adapted(96, 160, bias=False)
    assert decoder_for(changed) is None
    assert decoder_for(random_model(MODERN).double()) is None
    strided = random_model(MODERN)
    strided.lm_head.weight = nn.Parameter(torch.zeros(96, V).T)
    assert decoder_for(strided) is None
    assert decoder_for(LSTM(LSTMConfig(V, 8, 1, CONTEXT))) is None
