"""Walk the README with nothing but the package, as others install it: `python
tests/walk_readme.py`.

Builds the wheel with the compiled code, installs it in a new virtual environment, with the pinned releases and no extra,
and runs there all that README.md and README_zh.md show, in their order: commands, those inside
sentences, too, and Python. The home is empty, the files are small ones of the story world, the
budgets are seconds. Ends with 1 at the first thing that fails.
"""

import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What a sentence leaves to its reader: for a verb that it names alone, and for a word in capitals.
# Verbs of the documents that the READMEs do not show are walked last.
NAMED = {
    "xinye finetune --method lora": "xinye finetune runs/base --task classify --data reviews.csv --method lora -o "
    "runs/lora",
    "xinye merge": "xinye merge runs/lora -o runs/merged",
    "xinye data collect": "xinye data collect pages -o pages.jsonl",
    "xinye tokenizer eval": "xinye tokenizer eval runs/novel novel.txt",
    "xinye tune": "xinye tune novel.txt --trials 2 -o runs/tune",
    "xinye plan": "xinye plan novel.txt --size 1M,2M --time 20s --compile no -o runs/plan",
    "xinye quantize": "xinye quantize runs/novel",
}
WORDS = {
    "FILES…": "novel.txt poems.parquet",
    "FILE --task …": "reviews.csv --task classify",
    "FILE": "novel.txt",
    "MODEL": "runs/novel",
    "RUN": "runs/novel",
}
MORE = {  # flags that make it short
    "demo": ["--time", "5s"],
    "finetune": ["--epochs", "1"],
    "chat": ["--max-tokens", "8"],
    "bench": ["--concurrency", "1,2", "--prompt-tokens", "8", "--output-tokens", "8"],
}
PAGE = "<html><head><title>{0}</title></head><body><nav><a>首页</a></nav><h1>{0}</h1><p>{1}</p></body></html>"
FEED = (
    "<rss version='2.0'><channel><item><title>春</title><description>绿了。"
    "</description></item></channel></rss>"
)
DUMP = (
    "<mediawiki><page><title>叶</title><ns>0</ns><id>7</id>"
    "<revision><text>'''叶'''是树上的[[叶子]]。</text></revision></page></mediawiki>"
)


def main() -> int:
    """Set all up, and walk there."""
    if sys.argv[1:] == ["--installed"]:
        return walk()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, world, venv = (folder / each for each in ("home", "world", "venv"))
        home.mkdir()
        world.mkdir()
        pins = str(ROOT / "constraints.txt")
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("XINYE", "PYTHON"))
        }
        environment |= {
            "HOME": str(home),
            "PIP_CONSTRAINT": pins,
            "PIP_BUILD_CONSTRAINT": pins,
            "PYTHONUTF8": "1",
        }
        environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"
        environment.pop("XDG_CACHE_HOME", None)
        run([sys.executable, "-m", "venv", str(venv)], environment)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        compiled = (
            {"XINYE_WHEEL": "compiled"} if platform.machine() == "x86_64" else {}
        )  # as `make wheel` does
        run(
            [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
            environment | compiled,
        )
        (wheel,) = folder.glob("xinye-*.whl")
        run([*pip, "install", str(wheel)], environment)
        ended = subprocess.run(
            [str(venv / "bin" / "python"), __file__, "--installed"], cwd=world, env=environment
        )
        return ended.returncode


def run(
    words: list[str], environment: dict[str, str] | None = None, typed: str = "", most: float = 600
) -> str:
    """What a command prints on standard output; ends the walk where it fails. After `most` seconds
    it gets a Ctrl-C, upon which training saves and ends."""
    begin, line = time.monotonic(), words[-1] if words[0] == "bash" else shlex.join(words)
    process = subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8",
    )  # fmt: skip
    fine = [0]
    try:
        out, errors = process.communicate(typed, timeout=most)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate()
        fine = [0, 128 + signal.SIGINT] if most < 600 else []
    print(f"{time.monotonic() - begin:6.1f} s  {line}", flush=True)
    if process.returncode not in fine:
        print(f"{out[-2000:]}\n{errors[-4000:]}\nthat ended with {process.returncode}", flush=True)
        raise SystemExit(1)
    return out


def walk() -> int:
    """In the new environment, in the folder of the small world."""
    import xinye
    from readme import NAMES, make_world, shown

    package = Path(xinye.__file__).parent
    assert not package.is_relative_to(ROOT), package
    tracked = subprocess.run(
        ["git", "ls-files", "src/xinye"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    missing = [
        name
        for name in tracked.stdout.split()
        if not (package / Path(name).relative_to("src/xinye")).exists()
    ]
    if platform.machine() == "x86_64" and not [*package.glob("native/decoder-*.so")]:
        missing.append("the compiled code")
    if missing:
        print("not in the wheel:", *missing)
        return 1
    make_world(Path.cwd())
    make_more()
    begin, served, done = time.monotonic(), None, set()
    try:
        for kind, text in (each for name in NAMES for each in shown(name)):
            # mirrors and extras are not for this walk
            if text in done or "URL" in text or "xinye[" in text:
                continue
            done.add(text)
            if kind == "python":
                run([sys.executable, "-c", in_small(text, served)])
            elif text.startswith("xinye serve"):
                served = served or Server(shlex.split(text)[1:])
            elif text.startswith("xinye "):
                run_xinye(NAMED.get(text, text))
            else:
                run(["bash", "-c", text])
        for name, line in NAMED.items():
            if name not in done:
                run_xinye(line)
    finally:
        if served:
            served.end()
    doctor = json.loads(run(["xinye", "doctor", "--json"]))
    compiled = doctor["software"]["compiled_code"]
    if platform.machine() == "x86_64" and not compiled.endswith(", from the package"):
        print(compiled)
        return 1
    assert len(done) > 20, "the READMEs are not read rightly"
    print(f"walked: {len(done)} commands in {time.monotonic() - begin:.0f} s")
    return 0


def make_more() -> None:
    """What sentences speak of: a Parquet file, and a folder of pages of all kinds."""
    import pyarrow
    import pyarrow.parquet
    from matplotlib.figure import Figure

    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["一片新叶。", "两片新叶。"] * 20}), "poems.parquet"
    )
    pages = Path("pages")
    pages.mkdir()
    (pages / "a.html").write_text(PAGE.format("春天", "叶子绿了。"), "utf-8")
    (pages / "b.md").write_text("# 秋天\n\n叶子**黄**了。", "utf-8")
    (pages / "c.rss").write_text(FEED, "utf-8")
    (pages / "d.xml").write_text(DUMP, "utf-8")
    figure = Figure()
    figure.text(0.1, 0.5, "In winter there are no leaves at all.")
    figure.savefig(pages / "e.pdf")


def run_xinye(line: str) -> None:
    from readme import shortened

    for word, instead in WORDS.items():
        line = line.replace(f" {word}", f" {instead}")
    words = shlex.split(line)[1:]
    more, most = MORE.get(words[0], []), 600
    if "--epochs" in words:
        more = []
    if words[:2] == ["demo", "--task"]:  # which takes minutes: what it needs is the same as below
        more, most = [], 30
    if words[:2] in (["demo", "--application"], ["support", "serve"]):  # until Ctrl-C
        more, most = [], 40
    if words[0] != "plan":  # its budget is a time
        words = shortened(words)
    out = run(["xinye", *words, *more], typed="你好\n", most=most)
    if words[:2] == ["data", "collect"]:
        documents = [
            json.loads(each) for each in Path("pages.jsonl").read_text("utf-8").splitlines()
        ]
        if len(documents) != 5:
            print(out, *documents, sep="\n")
            raise SystemExit(1)


def in_small(lines: str, served: "Server | None") -> str:
    """Python lines with small budgets, and the address of the server that runs."""
    lines = lines.replace(
        'size="5M", time="10min"', 'size="1M", layers=1, width=64, context=32, steps=2, output="py"'
    )
    for long in ("max_tokens=200", "max_tokens=100", "max_new_tokens=100"):
        lines = lines.replace(long, f"{long.partition('=')[0]}=8")
    return lines.replace("http://127.0.0.1:8000", served.url) if served else lines


class Server:
    """`xinye serve`, until the end of the walk; what the README's sentences say of it is asked for
    at once."""

    def __init__(self, words: list[str]) -> None:
        words[words.index("--port") + 1] = "0"
        begin = time.monotonic()
        self.process = subprocess.Popen(
            ["xinye", *words, "--json"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(1)
        self.url = json.loads(answer)["url"]
        self.ask("/")
        self.ask("/v1/completions", {"prompt": "话说", "max_tokens": 8, "logprobs": 2})
        self.ask("/v1/completions", {"prompt": "话", "max_tokens": 8, "choices": ["新", "旧"]})
        self.ask("/v1/embeddings", {"input": "话说"})
        self.ask("/metrics")
        print(f"{time.monotonic() - begin:6.1f} s  xinye {shlex.join(words)}", flush=True)

    def ask(self, path: str, body: dict[str, object] | None = None) -> None:
        data = json.dumps({"model": "novel", **body}).encode() if body else None
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                reply.read()
        except urllib.error.HTTPError as error:
            print(f"{path}: {error}: {error.read().decode()[:2000]}", flush=True)
            raise SystemExit(1) from None

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
