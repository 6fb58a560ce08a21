"""`xinye support serve`, `export`, `forget` and `log`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.support.desk_server import make_desk
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.matching import FAQMatcher
from xinye.apps.support.reply import Reply

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two approved answers, of which one replaces a worse one."""
    path = tmp_path / "support.db"
    desk = Conversations(path)
    begun = desk.customers.begin("li.lei")
    ids = (begun.conversation, begun.token)
    for question, answer in (("怎么退货？", "在订单页申请。"), ("运费多少？", "三元。")):
        desk.customers.message(*ids, question)
        desk.bot.reply(desk.bot.next(), Reply("faq", answer, why="the nearest question"))
    good = desk.feedback.by_customer(*ids, 2, True)
    bad = desk.feedback.by_customer(*ids, 4, False)
    desk.feedback.approve(good, "小王")
    desk.feedback.approve(bad, "小王", "五元。")
    desk.close()
    return path


def test_export_writes_what_finetune_reads(xinye, store, tmp_path) -> None:
    chat, pairs = tmp_path / "chat.jsonl", tmp_path / "pairs.jsonl"
    assert "2 records saved" in xinye("support", "export", "--store", store, "-o", chat).out
    shown = xinye("data", "show", chat, "--task", "chat")
    assert shown.code == 0 and "2 records, OpenAI messages" in shown.out, shown.out
    told = xinye("support", "export", "--store", store, "-o", pairs, "--format", "preferences")
    assert "1 record saved" in told.out and "1 approved answer left out" in told.out
    (pair,) = map(json.loads, pairs.read_text("utf-8").splitlines())
    assert pair["prompt"][-1]["content"] == "运费多少？"
    assert pair["chosen"][0]["content"] == "五元。" and pair["rejected"][0]["content"] == "三元。"
    again = xinye("support", "export", "--store", store, "-o", chat)
    assert again.code == 2 and "replace it with --overwrite" in again.complaint


def test_forget_and_log(xinye, store) -> None:
    before = xinye("support", "log", "--store", store, "--tail", 3)
    assert [line.split()[0] for line in before.out.splitlines()] == ["7", "8", "9"]
    assert "6 older entries not shown; for all: --tail 9" in before.err
    whole = xinye("support", "log", "--store", store)
    assert "the nearest question" in whole.out and not whole.err
    after = xinye("support", "log", "--store", store, "--after", 3, "--json")
    assert [each["number"] for each in json.loads(after.out)["entries"]] == [*range(4, 10)]
    nobody = xinye("support", "forget", "han.meimei", "--store", store, "--json")
    assert (nobody.code, nobody.out) == (2, "")
    assert "no conversation belongs to the account 'han.meimei'" in nobody.complaint
    erased = json.loads(xinye("support", "forget", "li.lei", "--store", store, "--json").out)
    assert erased == {"conversations": 1, "messages": 4}
    assert "怎么退货".encode() not in store.read_bytes()
    empty = xinye("support", "export", "--store", store, "-o", store.with_name("none.jsonl"))
    assert "no file was written" in empty.out and not store.with_name("none.jsonl").exists()


def test_what_is_refused(xinye, tmp_path, store) -> None:
    desk = make_desk(tmp_path / "desk")
    for arguments, said in (
        (("serve", desk, "--store", store, "--host", "0.0.0.0"), "choose all keys: --operator-key"),
        (
            ("serve", tmp_path, "--store", store, "--port", 0),
            "this folder was made by another command",
        ),
        (("forget", "--store", store), "xinye support forget: give either ACCOUNT or"),
        (("forget", "a", "--conversation", "b", "--store", store), "give either ACCOUNT"),
        (
            ("prepare", "a.csv", "-o", "b", "--precision", 5),
            "xinye support prepare: --precision: 5",
        ),
        (("serve", desk, "--store", store, "--port", 99999), "xinye support serve: --port: 99999"),
        (("forget", "--conversation", "b", "--store", store), "there is no such conversation"),
        (("log", "--store", tmp_path / "none.db"), "no such file"),
        (("log", "--store", store, "--tail", 0), "give --tail from 1"),
    ):
        outcome = xinye("support", *arguments)
        assert outcome.code == 2 and said in outcome.complaint


def test_a_server_prints_its_keys_and_ends_with_0(tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "desk")
    matcher = FAQMatcher()
    matcher.fit(["怎么退货？"], [0])
    matcher.save(desk)
    command = [sys.executable, "-m", "xinye", "support", "serve", str(desk), "--port", "0"]
    command += ["--store", str(tmp_path / "support.db"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    for name in ("XINYE_OPERATOR_KEY", "XINYE_ADMIN_KEY"):
        environment.pop(name, None)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout and running.stderr
        told = json.loads(running.stdout.readline())
        head = {"Authorization": f"Bearer {told['admin_key']}"}
        url = told["url"] + "/v1/support/log"
        assert httpx.get(url).status_code == 401
        with httpx.stream("GET", told["url"] + "/v1/support/queue",
                          headers=head | {"Accept": "text/event-stream"}) as stream:  # fmt: skip
            assert httpx.get(url, headers=head).status_code == 200
            running.send_signal(signal.SIGTERM)
            assert "event: queue" in stream.read().decode()  # it ends at once
        assert running.wait(20) == 0
        assert "Traceback" not in running.stderr.read()
