"""What goes wrong: a killed server, a locked or full store, a bot that fails, a new desk."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from server.support.desk_server import Customer, Desk, make_desk, serving
from xinye.apps.support.desk_folder import beside
from xinye.errors import XinyeError

ROOT = Path(__file__).parents[3]
PROCESS = """
import sys, time
from pathlib import Path
from server.support.desk_server import ADMIN, OPERATOR, Echo
from xinye.server.support.serve import serve
from xinye.server.support.settings import SupportSettings

class Stuck(Echo):
    def answer(self, turns):
        time.sleep(float(sys.argv[3]))
        return super().answer(turns)

serve(
    Path(sys.argv[1]), Path(sys.argv[2]),
    SupportSettings(port=0), {"operator": OPERATOR, "admin": ADMIN},
    lambda _, address: print(address, flush=True), Stuck,
)
"""


def start(desk: Path, store: Path, seconds: float) -> tuple[subprocess.Popen[str], str]:
    """A server in a process of its own, whose bot takes so long to answer."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(desk), str(store), str(seconds)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_store_has_one_server(tmp_path: Path) -> None:
    folder, store = make_desk(tmp_path / "desk"), tmp_path / "support.db"
    with (
        serving(folder, store),
        pytest.raises(XinyeError, match="another server is using this store"),
        serving(folder, store),
    ):
        pass
    with serving(folder, store):  # the first one has ended
        pass


def test_a_store_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    folder = make_desk(tmp_path / "desk")
    (tmp_path / "linked.db.lock").symlink_to(tmp_path / "elsewhere")
    for name in ("missing/support.db", "linked.db"):
        problem = pytest.raises(XinyeError, match="; create its folder, or")
        with problem, serving(folder, tmp_path / name):
            raise AssertionError("it is served")
    assert not (tmp_path / "elsewhere").exists()


def test_killed_between_a_message_and_its_reply_it_is_answered_once(tmp_path: Path) -> None:
    folder, store = make_desk(tmp_path / "desk"), tmp_path / "support.db"
    process, address = start(folder, store, 60)
    with httpx.Client(base_url=address) as http:
        begun = http.post("/v1/support/conversations", json={}).json()
        customer = Customer(http, begun["id"], begun["token"])
        assert customer.says("怎么退货？", "m1").status_code == 202
        with sqlite3.connect(store) as reader:
            while not reader.execute("SELECT 1 FROM pending WHERE claim <> ''").fetchone():
                time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with serving(folder, store) as desk:
        customer = Customer(desk.http, begun["id"], begun["token"])
        assert customer.says("怎么退货？", "m1").status_code == 200  # the client tries again
        assert customer.waits_for(2) == ["怎么退货？", "新叶 怎么退货？"]
        customer.says("谢谢")
        assert customer.waits_for(4)[2:] == ["谢谢", "新叶 谢谢"]


def test_200_customers_at_once(desk: Desk) -> None:
    def talk(number: int) -> tuple[Customer, int]:
        customer = desk.begin()
        return customer, customer.says(f"问题 {number}").status_code

    with ThreadPoolExecutor(200) as pool:
        done = [*pool.map(talk, range(200))]
    assert {status for _, status in done} <= {202, 429, 503}
    assert sum(status == 202 for _, status in done) > 100
    store = desk.parts.store
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with store.store.reading() as transaction:
            if not transaction.select("SELECT 1 FROM pending"):
                break
        time.sleep(0.1)
    for number, (customer, status) in enumerate(done):
        if status == 202:
            said = store.customers.messages(customer.id, customer.token)
            assert [each.text for each in said] == [f"问题 {number}", f"新叶 问题 {number}"]


@pytest.fixture
def own(tmp_path: Path):
    """A server that a test may do anything to."""
    with serving(make_desk(tmp_path / "desk"), tmp_path / "support.db", timeout=0.1) as running:
        yield running


def test_a_locked_store_is_told_and_loses_nothing(own: Desk) -> None:
    customer = own.begin()
    customer.says("慢", "m1")
    time.sleep(0.2)  # the bot is answering
    store = own.parts.store.store
    store._writer.execute("PRAGMA busy_timeout = 100")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = customer.says("二", "m2")
    assert refused.status_code == 503 and int(refused.headers["retry-after"])
    assert str(store.path) not in refused.text
    assert customer.texts == ["慢"]  # reading goes on
    time.sleep(0.6)
    other.execute("ROLLBACK")
    other.close()
    assert customer.says("二", "m2").status_code == 202
    texts = customer.waits_for(4)
    assert sorted(texts) == sorted(["慢", "新叶 慢", "二", "新叶 二"])


def test_a_full_disk_is_told_and_loses_nothing(own: Desk) -> None:
    customer = own.begin()
    store = own.parts.store.store
    with store.writing() as transaction:
        pages = transaction.select("PRAGMA page_count")[0][0]
        transaction.select(f"PRAGMA max_page_count = {pages}")
    for number in range(200):
        refused = customer.says("满" * 2000, f"m{number}")
        if refused.status_code != 202:
            break
    assert refused.status_code == 503 and int(refused.headers["retry-after"])
    with store.writing() as transaction:
        transaction.select("PRAGMA max_page_count = 1000000")
    assert customer.says("满" * 2000, f"m{number}").status_code == 202
    assert len(customer.waits_for(2 * number + 2)) == 2 * number + 2


def test_a_bot_that_fails_hands_over_and_quotes_nobody(own: Desk, caplog, monkeypatch) -> None:
    monkeypatch.setattr("xinye.server.support.bots.PAUSE", 0.01)
    customer, other = own.begin(), own.begin()
    customer.says("崩溃")
    other.says("你好")
    assert other.waits_for(2) == ["你好", "新叶 你好"]
    end = time.monotonic() + 5
    while customer.ask("GET").json()["state"] == "bot" and time.monotonic() < end:
        time.sleep(0.01)
    assert customer.ask("GET").json()["state"] == "waiting"
    assert "the bot cannot answer a message: RuntimeError" in caplog.text
    assert "崩" not in caplog.text and "desk_server.py" in caplog.text


def test_a_desk_that_is_replaced_while_questions_arrive(own: Desk, tmp_path: Path) -> None:
    folder = own.parts.answers.folder
    customer = own.begin()
    said, names = 0, set[str]()

    def ask() -> str:
        nonlocal said
        said += 1
        assert customer.says("在").status_code == 202
        return customer.waits_for(2 * said)[-1].split()[0]

    assert ask() == "新叶"
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    made = make_desk(tmp_path / "new", company="春芽")
    with beside(folder, overwrite=True) as new:
        shutil.copytree(made, new, dirs_exist_ok=True)
    end = time.monotonic() + 8
    while (name := ask()) != "春芽" and time.monotonic() < end:
        names.add(name)
        time.sleep(0.02)
    assert name == "春芽" and names <= {"新叶"}

    (folder / "faq.jsonl").write_text("{", "utf-8")
    own.parts.answers.refresh()
    assert ask() == "春芽"  # what was read before goes on
    assert own.parts.answers.current.desk.settings.company == "春芽"
