"""Processes that are killed, and processes that want the same thing at the same time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.support.conftest import FAQ, Customer
from xinye.apps.support.conversations import Conversations
from xinye.errors import Unavailable

# In each program `desk` is the store in the file that the first argument names.
BEGIN = """
import os, sys, time
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.reply import Reply
desk = Conversations(sys.argv[1])
"""
KILLED = """
begun = desk.customers.begin("li.lei")
desk.customers.message(begun.conversation, begun.token, "怎么退货？", "m1")
print(begun.conversation, begun.token, flush=True)
pending = desk.bot.next()
with desk.store.writing() as transaction:  # half of a reply, which is never saved
    transaction.execute("DELETE FROM pending")
    os.kill(os.getpid(), 9)
"""
CLAIM = """
print("ready", flush=True)
sys.stdin.readline()
won = 0
for conversation in sys.argv[3:]:
    try:
        desk.operators.claim(conversation, sys.argv[2])
        won += 1
    except Exception as error:
        assert "another operator" in str(error), error
print(won)
"""
ANSWER = """
print("ready", flush=True)
sys.stdin.readline()
answered = 0
while pending := desk.bot.next():
    answered += desk.bot.reply(pending, Reply("faq", "答 " + pending.turns[-1].text)) is not None
print(answered)
"""


def start(code: str, desk: Conversations, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BEGIN + code, str(desk.store.path), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_at_once(*processes: subprocess.Popen[str]) -> list[int]:
    """Let the processes begin at the same time. Returns what each has printed."""
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [int(process.communicate(timeout=60)[0]) for process in processes]


def test_killed_between_a_message_and_its_reply(tmp_path: Path) -> None:
    path = tmp_path / "support.db"
    said = subprocess.run(
        [sys.executable, "-c", BEGIN + KILLED, path], stdout=subprocess.PIPE, text=True
    )
    assert said.returncode == -signal.SIGKILL
    ids = said.stdout.split()

    desk = Conversations(path)
    assert desk.bot.next() is None  # the claim of the killed process still counts
    assert desk.bot.free_claims() == 1
    pending = desk.bot.next()
    assert pending and desk.bot.reply(pending, FAQ)
    assert desk.bot.next() is None
    again = desk.customers.message(ids[0], ids[1], "怎么退货？", "m1")  # the client tries again
    assert again.number == 1 and desk.bot.next() is None
    assert [each.text for each in desk.customers.messages(ids[0], ids[1])] == [
        "怎么退货？",
        FAQ.text,
    ]
    desk.close()


def test_two_processes_claim_at_once(desk: Conversations) -> None:
    customers = [Customer(desk) for _ in range(20)]
    for customer in customers:
        desk.customers.handover(*customer.ids)
    ids = [customer.conversation for customer in customers]
    amy, bob = start(CLAIM, desk, "amy", *ids), start(CLAIM, desk, "bob", *reversed(ids))
    assert sum(run_at_once(amy, bob)) == 20


def test_two_processes_answer_at_once(desk: Conversations) -> None:
    customers = [Customer(desk) for _ in range(10)]
    for customer in customers:
        customer.asks("一")
        customer.asks("二")
    assert sum(run_at_once(start(ANSWER, desk), start(ANSWER, desk))) == 20
    for customer in customers:
        assert customer.texts == ["一", "二", "答 一", "答 二"]


def test_nothing_is_lost_while_the_store_is_locked(tmp_path: Path) -> None:
    desk = Conversations(tmp_path / "support.db", timeout=0.1)
    other = Conversations(tmp_path / "support.db")
    customer = Customer(desk)
    customer.asks("一", "m1")
    pending = desk.bot.next()
    assert pending
    with other.store.writing():
        for call in (lambda: customer.asks("二", "m2"), lambda: desk.bot.reply(pending, FAQ)):
            with pytest.raises(Unavailable, match="the database has been locked"):
                call()
        assert customer.texts == ["一"]
    customer.asks("二", "m2")
    assert desk.bot.reply(pending, FAQ)
    assert customer.texts == ["一", "二", FAQ.text]
    other.close()
    desk.close()
