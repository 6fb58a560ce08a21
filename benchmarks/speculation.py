"""What speculative decoding gains: the same texts with guesses and without, in turn, in one process.

    python benchmarks/speculation.py [--rounds N] [--threads N] [--kinds bfloat16,q8_0]
                                     [--batches 1,4,16]

12 layers × 512, random weights: the cost of each step is real. What the model writes is given: each
step computes and samples as always, then takes the token of a text from this repository. So it is
real, too, how often a guess is right, and each text is the same with guesses and without. The texts:
code with one name changed, an answer that quotes a passage, a summary made of sentences of a Chinese
text, a tool call, and prose that copies nothing. `gain` is the median, over the rounds, of the speed
with guesses divided by that without, after the prompts are read; `accepted` is the share of the
guesses that came true, `steps` that of the steps that were left.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from common import in_turn, machine, progress, ratio, report

import generation as shapes
from xinye.data.tokenizer import Tokenizer
from xinye.data.tool_calls import HERMES
from xinye.generation import engine as engines
from xinye.generation.engine import BLOCK, Engine
from xinye.generation.sampling import Sampling, Tools, ToolSampling
from xinye.generation.sequence import Sequence
from xinye.generation.speculation import speculate
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.native.library import THIS

ROOT = Path(__file__).parents[1]
LAYERS, WIDTH, CONTEXT, VOCABULARY = 12, 512, 2048, 8192
PROMPT, ANSWER = 400, 128  # tokens at most
SAMPLING = Sampling(temperature=0, max_tokens=ANSWER)
TOOLS = Tools(
    HERMES,
    {
        "find_route": {
            "type": "object",
            "properties": {
                "method": {"type": "string", "enum": ["GET", "POST"]},
                "path": {"type": "string"},
                "description": {"type": "string"},
                "maximum_results": {"type": "integer"},
            },
            "required": ["method", "path", "description", "maximum_results"],
        }
    },
    required=True,
    parallel=False,
)


@dataclass(frozen=True)
class Given:
    """A prompt and the answer that the model is made to write."""

    prompt: str
    answer: str
    sampling: Sampling = SAMPLING


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def paragraphs(path: str) -> list[str]:
    """The paragraphs of prose in a document, of at least 200 bytes."""
    return [
        text
        for text in read(path).split("\n\n")
        if len(text.encode()) >= 200 and text[0] not in "|# `"
    ]


def code() -> list[Given]:
    """Functions of a module, with one name changed."""
    found = re.findall(
        r"(?:^|\n)( *def .+?)(?=\n\n)", read("src/xinye/generation/cache.py"), re.DOTALL
    )
    ask = "Call it text instead of sequence:\n\n"
    return [
        Given(ask + each, each.replace("sequence", "text")) for each in found if len(each) > 300
    ]


def quotes() -> list[Given]:
    """An answer with the passage that it is found in, of five."""
    texts = paragraphs("docs/serve.md")[:20]
    groups = [texts[begin : begin + 5] for begin in range(0, len(texts) - 4, 2)]
    return [
        Given("\n\n".join(group) + "\n\nWhat does it say?\n", f"The document says: “{group[2]}”")
        for group in groups
    ]


def summaries() -> list[Given]:
    """The first sentences of paragraphs."""
    texts = paragraphs("docs/serve_zh.md")[:20]
    groups = [texts[begin : begin + 4] for begin in range(0, len(texts) - 3, 2)]
    return [
        Given(
            "\n\n".join(group) + "\n\n摘要：", "".join(each.split("。")[0] + "。" for each in group)
        )
        for group in groups
    ]


def calls() -> list[Given]:
    """The call of a tool, whose names a grammar forces."""
    rows = re.findall(r"\| `(GET|POST) (/[\w/]+)`.* \| (.+?) \|", read("docs/serve.md"))
    sampling = ToolSampling(temperature=0, max_tokens=ANSWER, tools=TOOLS)
    return [
        Given(
            f"Find the route that {does}.\n",
            HERMES.text(
                "find_route",
                {"method": method, "path": path, "description": does, "maximum_results": 5},
            ),
            sampling,
        )
        for method, path, does in rows
    ]


def prose() -> list[Given]:
    """A paragraph behind another one."""
    texts = paragraphs("docs/training.md")
    return [Given(one, other) for one, other in zip(texts[::2], texts[1::2], strict=False)]


TEXTS: dict[str, Callable[[], list[Given]]] = {
    "code with a name changed": code,
    "an answer that quotes": quotes,
    "a summary (Chinese)": summaries,
    "a tool call": calls,
    "prose that copies nothing": prose,
}


def make_model(kind: str) -> GPT:
    """A model with random weights of a kind."""
    shapes.config = lambda _: GPTConfig(  # type: ignore[assignment]
        "modern", VOCABULARY, WIDTH, LAYERS, WIDTH // 64, WIDTH // 128, 64, 1408, CONTEXT
    )
    return shapes.make_model("modern", kind)[0]


def write(model: GPT, tokenizer: Tokenizer, texts: list[Given], guessing: bool) -> dict[str, float]:
    """Write all texts at once."""
    engine = Engine(model, tokenizer, 16 * (PROMPT + ANSWER + BLOCK), chunk=len(texts) * PROMPT)
    if guessing:
        speculate(engine)
    wanted: dict[Sequence, list[int]] = {}
    for text in texts:
        prompt = tokenizer.encode(text.prompt)[-PROMPT:]
        answer = tokenizer.encode(text.answer)[:ANSWER]
        limit = text.sampling.model_copy(update={"max_tokens": len(answer)})
        sequence = Sequence(prompt, len(prompt), limit)
        wanted[sequence] = answer
        engine.add(sequence)
    draw = engines.next_tokens

    def next_tokens(logits: torch.Tensor, sequences: list[Sequence]) -> torch.Tensor:
        draw(logits, sequences)
        return torch.tensor([wanted[each][each.completion_tokens] for each in sequences])

    engines.next_tokens = next_tokens
    try:
        while not all(each.completion_tokens for each in wanted):
            engine.step()
        begin, steps = time.perf_counter(), 0
        while engine.busy:
            engine.step()
            steps += 1
        seconds = time.perf_counter() - begin
    finally:
        engines.next_tokens = draw
    if errors := [each.error for each in wanted if each.error]:
        raise errors[0]
    return {
        "speed": sum(map(len, wanted.values())) / seconds,
        "steps": steps,
        "drafted": sum(each.drafted for each in wanted),
        "accepted": sum(each.accepted for each in wanted),
    }


def measure(model: GPT, tokenizer: Tokenizer, name: str, batch: int, rounds: int) -> dict[str, Any]:
    """One kind of texts, so many at once, with guesses and without in turn."""
    texts = [*islice(cycle(TEXTS[name]()), batch)]
    runs = {
        guessing: partial(write, model, tokenizer, texts, guessing) for guessing in (True, False)
    }
    runs[True]()  # warm-up
    found: dict[Any, list[dict[str, float]]] = in_turn(runs, rounds)  # type: ignore[arg-type]
    speeds = {guessing: [each["speed"] for each in found[guessing]] for guessing in runs}
    first = found[True][0]
    row = {
        "texts": name,
        "batch": batch,
        "tokens_per_second": round(statistics.median(speeds[True]), 1),
        "without": round(statistics.median(speeds[False]), 1),
        "gain": ratio(speeds[True], speeds[False]),
        "accepted": round(first["accepted"] / first["drafted"], 2) if first["drafted"] else None,
        "steps": round(first["steps"] / found[False][0]["steps"], 2),
    }
    progress(f"  {row}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--threads", type=int, help="threads (PyTorch's default)")
    parser.add_argument("--kinds", default="float32,bfloat16,q8_0", help="of weights")
    parser.add_argument("--batches", default="1,4,16", help="texts at once (1,4,16)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    THIS.get(wait=True)
    facts, cells = machine("torch"), []
    documents = [path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))]
    sources = [path.read_text("utf-8") for path in sorted(ROOT.glob("src/xinye/*/*.py"))]
    tokenizer = Tokenizer.train([*documents, *sources], vocab_size=VOCABULARY)
    for kind in options.kinds.split(","):
        model = make_model(kind)
        progress(f"{kind}, {model.config.parameters:,} parameters")
        for batch in map(int, options.batches.split(",")):
            for name in TEXTS:
                row = measure(model, tokenizer, name, batch, options.rounds)
                cells.append({"weights": kind, **row})
    report(benchmark="speculation", machine=facts, threads=torch.get_num_threads(), cells=cells)


if __name__ == "__main__":
    main()
