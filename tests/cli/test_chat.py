"""`xinye chat` as a person meets it: in a terminal, with one question, and behind a pipe.

The models are chains: each token has one that follows, so that what they answer is known.
"""

import codecs
import io
import json
import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import MESSAGE_END, Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

ANSWER = "你好，我是新叶。Hi, \x1b[3m!"  # with what would turn the terminal's letters to italics


def speaker(folder: Path, answer: str, ends: bool = True, context: int = 512) -> Path:
    """A model that answers everything with the same; without an end it says it again and again."""
    tokenizer = Tokenizer.train([answer, "今天天气很好"], kind="char")
    vocabulary = tokenizer.vocab_size
    model = GPT(
        GPTConfig(
            "modern", vocabulary, vocabulary, 1, 1, 1, 2, 4, context, tie_word_embeddings=False
        )
    )
    model.initialize(0)  # layers that change nothing
    tokens = tokenizer.encode(answer)
    assert len(set(tokens)) == len(tokens)
    chain = [
        *tokenizer.encode("\n"),
        *tokens,
        tokenizer.backend.token_to_id(MESSAGE_END) if ends else tokens[0],
    ]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(vocabulary))
        model.lm_head.weight.zero_()
        model.lm_head.weight[chain[1:], chain[:-1]] = 10.0
    save_model(folder, model, tokenizer)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaker(tmp_path_factory.mktemp("models") / "answers", ANSWER)


class Terminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self.text, self.decoder = "", codecs.getincrementaldecoder("utf-8")()
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            # a shell that runs tests behind its back has it ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", NO_COLOR="1", COLUMNS="200")
            os.execv(sys.executable, [sys.executable, "-m", "xinye", *map(str, arguments)])

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def until(self, expected: str, again: str = "") -> str:
        """What is shown up to some text, which must come; where nothing does, some keys are typed
        `again`."""
        end = time.monotonic() + 300
        while expected not in self.text:
            if not select.select([self.descriptor], [], [], 5 if again else 300)[0]:
                assert again and time.monotonic() < end, self.text
                self.type(again)
                continue
            try:
                self.text += self.decoder.decode(os.read(self.descriptor, 65536))
            except OSError:  # it has ended
                raise AssertionError(self.text) from None
        shown, _, self.text = self.text.partition(expected)
        return shown

    def code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_conversation_in_a_terminal(model, tmp_path):
    saved = tmp_path / "对话.json"
    terminal = Terminal("chat", model, "--system", "简短。")
    assert "context 512" in terminal.until(">>> ")
    terminal.type("你好\r")
    answer = terminal.until(">>> ")
    assert "你好，我是新叶。Hi, ␛[3m!" in answer and "\x1b[3m" not in answer
    terminal.type("one\\\rtwo\r")
    assert "... " in terminal.until("新叶")
    terminal.until(">>> ")
    terminal.type('"""第一行\r/quit\r"""\r')
    terminal.until("新叶")
    terminal.until(">>> ")
    terminal.type(f"/save {saved}\r")
    terminal.until("7 messages saved to")
    terminal.type("/temprature 0\r")
    terminal.until("did you mean '/temperature'?")
    terminal.type("/temperature -1\r")
    terminal.until("/temperature: temperature: -1 is too small; use at least 0")
    terminal.type("/reset\r/system\r")
    terminal.until("简短。")
    terminal.type(f"/load {tmp_path / 'nowhere.json'}\r")
    terminal.until("there is no such file")
    terminal.type(f"/load {saved}\r")
    terminal.until("loaded 7 messages")
    terminal.until(">>> ")
    terminal.type("\x04")
    assert terminal.code() == 0
    messages = json.loads(saved.read_text("utf-8"))["messages"]
    assert [message["role"] for message in messages] == ["system"] + ["user", "assistant"] * 3
    assert [message["content"] for message in messages[:3]] == ["简短。", "你好", ANSWER]
    assert [messages[3]["content"], messages[5]["content"]] == ["one\ntwo", "第一行\n/quit"]


@pytest.mark.parametrize("word", ["/exit", "/bye"])
def test_words_that_leave_a_conversation(model, word):
    terminal = Terminal("chat", model)
    terminal.until(">>> ")
    terminal.type(f"{word}\r")
    assert terminal.code() == 0


def test_ctrl_c_stops_the_answer_and_then_leaves(tmp_path):
    endless = speaker(tmp_path / "endless", "无穷", ends=False, context=65536)
    terminal = Terminal("chat", endless, "--max-tokens", 60000)
    terminal.until(">>> ")
    terminal.type("说\r")
    terminal.until("无穷无穷")
    terminal.type("\x03")
    terminal.until("press Ctrl-C again to leave")
    terminal.until(">>> ")
    terminal.type(f"/save {tmp_path / 'part.json'}\r")
    terminal.until("2 messages")
    terminal.until(">>> ")
    # Between the prompt and readline's wait for keys is an instant in which Python only sees an
    # interrupt with the next key, CPython's own gap: a person presses again.
    terminal.type("\x03")
    terminal.until(">>> ", again="\x03")
    terminal.type("\x03")
    terminal.until("\n", again="\x03")
    assert terminal.code() == 0
    assert json.loads((tmp_path / "part.json").read_text("utf-8"))["messages"][1][
        "content"
    ].startswith("无穷无穷")


def test_one_question(xinye, model):
    outcome = xinye("chat", model, "-p", "hello", "--temperature", 0)
    assert (outcome.code, outcome.out, outcome.err) == (0, ANSWER.replace("\x1b", "␛") + "\n", "")
    result = json.loads(xinye("chat", model, "-p", "hello", "--json", "--max-tokens", 3).out)
    assert result["message"] == {"role": "assistant", "content": "你好，"}
    assert result["finish_reason"] == "length" and result["usage"]["completion_tokens"] == 3


def test_a_question_through_a_pipe(xinye, model, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("今天天气\n很好\n".encode()), "ascii")
    )
    result = json.loads(xinye("chat", model, "--json").out)
    assert result["message"]["content"] == ANSWER and result["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["-p", " "], "the question is empty: give it with -p"),
        ([], "the question is empty: give it with -p"),
        (["-p", "x", "--temprature", "0"], "did you mean '--temperature'?"),
        (["-p", "x", "--top-p", "2"], "--top-p: 2"),
        (["-p", "今天" * 600], "this model reads at most 512"),
        (["-p", "\udcff"], "not valid Unicode text"),
    ],
)
def test_wrong_use_is_one_line(xinye, model, monkeypatch, arguments, says):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    outcome = xinye("chat", model, *arguments)
    assert outcome.code == 2 and says in outcome.complaint


def test_a_model_that_was_only_pretrained_is_told_of(xinye, trained):
    outcome = xinye("chat", trained, "-p", "你好", "--max-tokens", 2)
    assert outcome.code == 0 and "is not fine-tuned to answer" in outcome.err


def test_a_model_without_a_template_is_told_of(xinye, tmp_path):
    folder = speaker(tmp_path / "base", ANSWER)
    tokenizer = Tokenizer.load(folder)
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink()
    tokenizer.save(folder)
    names = json.loads((folder / "tokenizer_config.json").read_text())
    assert "chat_template" not in names
    assert "no chat template" in xinye("chat", folder, "-p", "你好").complaint
