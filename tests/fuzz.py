"""Mutate the files of models until something else than the package's own error comes out: `make
fuzz`.

Every case is made from a seed, which is printed when it fails: `python tests/fuzz.py --seed 123`
runs that one again. Memory is limited, so that a size that lies cannot be allocated. Another kind
of model is one more line in `KINDS`.
"""

import argparse
import json
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from xinye.checkpoints.huggingface import save_model
from xinye.checkpoints.load import load_model
from xinye.data import chat
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

MEMORY = 3 * 2**30  # bytes beyond what torch has mapped
SLOW = 20.0  # seconds that no case may take; a template has 1
TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    7,
    2**31,
    2**32 + 1,
    2**63,
    2**64,
    10**12,
    10**30,
    -(2**63),
    0.5,
    1e308,
    float("nan"),
]
# nine of them would fill any memory
TEN = {
    "type": "Replace",
    "pattern": {"String": "e"},
    "content": "e" * 10,
}
GREEDY = [{"type": "Sequence", "normalizers": [TEN] * 9}, TEN, {"pattern": {"Regex": "(e+)+x"}}]
VALUES = [
    *GREEDY,
    *NUMBERS,
    None,
    True,
    False,
    "",
    "x",
    "新叶",
    [],
    {},
    [1],
    ["a"],
    {"a": 1},
    [[]] * 9,
]
SNIPPETS = [
    "{{", "}}", "{%", "%}", "for i in range(99999)", "endfor", "**9**9", "|join", ".__class__", "[0]", "~ messages",
    "{% for m in messages %}", "{% endfor %}", "|tojson", "*99999", "namespace(x=1)", "|list", "loop", "set x =",
]  # fmt: skip


def network(architecture: str) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(architecture, TOKENIZER.vocab_size, 16, 2, 2, 2, 8, 24, 32))  # type: ignore[arg-type]
    model.initialize(0)
    return model


def folder(architecture: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        save_model(root, network(architecture), TOKENIZER)
        return root

    return make


def sharded(root: Path) -> Path:
    save_model(root, network("llama"), TOKENIZER)
    (root / "model.safetensors").rename(root / "a.safetensors")
    names = {
        name: "a.safetensors" for name in network("llama").state_dict() if name != "lm_head.weight"
    }
    (root / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return root


def gguf(root: Path) -> Path:
    from xinye.checkpoints.gguf import save_gguf

    root.mkdir()
    save_gguf(root / "model.gguf", network("llama"), TOKENIZER)
    return root / "model.gguf"


KINDS: dict[str, Callable[[Path], Path]] = {
    "modern": folder("modern"),
    "llama": folder("llama"),
    "gpt2": folder("gpt2"),
    "sharded": sharded,
}
if find_spec("xinye.checkpoints.gguf"):
    KINDS["gguf"] = gguf


# -- mutations -------------------------------------------------------------------------------------


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or overwrite; most often near the start, where headers are."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = int(len(result) * rng.random() ** rng.choice([1, 3, 8]))
        what = rng.randrange(5)
        if what == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del result[at:]
        elif what == 2:
            result[at : at + 8] = struct.pack(
                "<q", rng.choice([0, -1, 2**31, 2**40, 2**62, 2**63 - 1, 100])
            )
        elif what == 3:
            result[at:at] = result[at : at + rng.randrange(64)]
        else:
            result[at : at + 4] = rng.randbytes(4)
    return bytes(result)


def mutate_json(data: object, rng: random.Random) -> object:
    """Put another value, or none, at one place of an object."""
    if isinstance(data, dict) and data and rng.random() < 0.9:
        key = rng.choice(list(data))
        what = rng.random()
        if what < 0.1:
            return {name: value for name, value in data.items() if name != key}
        if what < 0.2:
            return data | {
                rng.choice(["", "x", "model.x", "quantization_config", "factor"]): rng.choice(
                    VALUES
                )
            }
        return data | {key: mutate_json(data[key], rng)}
    if isinstance(data, list) and data and rng.random() < 0.8:
        at = rng.randrange(len(data))
        return [*data[:at], mutate_json(data[at], rng), *data[at + 1 :]]
    return rng.choice(VALUES)


def mutate_header(data: bytes, rng: random.Random) -> bytes:
    """The JSON at the start of a safetensors file, with its length made right again."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(mutate_json(json.loads(data[8 : 8 + size]), rng)).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def mutate_template(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at]
            + rng.choice([*SNIPPETS, text[rng.randrange(at + 1) : at]])
            + text[at + rng.choice([0, 0, 5]) :]
        )
    return text


def mutate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    if path.suffix == ".jinja":
        path.write_text(mutate_template(data.decode(), rng), "utf-8")
    elif path.suffix == ".json" and rng.random() < 0.8:
        path.write_text(json.dumps(mutate_json(json.loads(data), rng)), "utf-8")
    elif path.suffix == ".safetensors" and rng.random() < 0.6:
        path.write_bytes(mutate_header(data, rng))
    else:
        path.write_bytes(mutate_bytes(data, rng))


# -- cases -----------------------------------------------------------------------------------------


def use(model_path: Path) -> None:
    """What a person would do with it: read it, go on with a text, chat."""
    model, tokenizer = load_model(model_path)
    text = "新叶 <eos> <s> 🙂\n 12"
    assert all(token < tokenizer.vocab_size for token in tokenizer.encode(text))
    context = min(model.config.max_position_embeddings, 64)
    sequences = [start(tokenizer, text, context, Sampling(max_tokens=3, seed=0))]
    if model.config.max_position_embeddings < 10_000:  # a cache is made for the whole context
        for _ in generate(model, tokenizer, sequences):
            pass
    tokenizer.encode_chat([{"role": "user", "content": text}])


def run(seed: int, originals: dict[str, Path], work: Path) -> str:
    """One case; returns how it ended. Whatever is not the package's own error comes out of here."""
    rng = random.Random(seed)
    kind = rng.choice(list(originals))
    shutil.rmtree(work, ignore_errors=True)
    original = originals[kind]
    shutil.copytree(original.parent if original.is_file() else original, work)
    for path in rng.sample(
        sorted(work.iterdir()), k=rng.choice([1, 1, 1, 2]) if kind != "gguf" else 1
    ):
        mutate(path, rng)
    begin = time.monotonic()
    try:
        use(work / original.name if original.is_file() else work)
    except XinyeError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, (
            f"not one line: {str(error)[:3000]!r}"
        )
        ending = "refused"
    else:
        ending = "loaded"
    assert time.monotonic() - begin < SLOW, f"took {time.monotonic() - begin:.1f} s"
    return ending


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="run this case alone")
    options = parser.parse_args()
    chat.SECONDS = 1
    torch.set_num_threads(1)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    first = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    counts = {"loaded": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as temporary:
        originals = {kind: make(Path(temporary) / kind) for kind, make in KINDS.items()}
        seed, end = first, time.monotonic() + options.seconds
        while True:
            try:
                counts[run(seed, originals, Path(temporary) / "work")] += 1
            except KeyboardInterrupt:
                raise
            except BaseException:
                traceback.print_exc()
                print(
                    f"fuzz: seed {seed} failed; again: python tests/fuzz.py --seed {seed}",
                    file=sys.stderr,
                )
                return 1
            seed += 1
            if options.seed is not None or time.monotonic() > end:
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"fuzz: seeds {first} to {seed - 1}: {counts['refused']:,} refused, {counts['loaded']:,} "
        "loaded; "
        f"at most {peak:,.0f} MB of memory"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
