"""Deleting: no byte of the texts remains, and what was not meant stays."""

from pathlib import Path

import pytest

from apps.support.conftest import Clock, Customer
from xinye.apps.keys import secret_of
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.reply import Reply, Source
from xinye.apps.support.retention import Erased, Tidied
from xinye.errors import NotFound, XinyeError

SECRET = "苏州河边的秘密"  # stands in everything that is written of a customer


def filled(desk: Conversations, account: str, secret: str) -> Customer:
    """A customer with messages, evidence, a suggestion and feedback, all of which hold the text."""
    customer = Customer(desk, account)
    reply = Reply(
        "written", f"答：{secret}", (Source("手册.md", 1, secret),), why=f"found {secret}"
    )
    for number in range(3):
        customer.asks(f"问 {number}：{secret}" * 20, f"{secret}{number}")
        customer.gets(reply)
    desk.operators.claim(customer.conversation, "amy")
    desk.operators.reply(customer.conversation, "amy", f"好的，{secret}", suggestion=reply)
    number = desk.feedback.by_customer(*customer.ids, 2, False, f"应为 {secret}")
    desk.feedback.approve(number, "amy")
    return customer


def written(desk: Conversations) -> bytes:
    """All bytes of the store's files, read without closing it."""
    files = sorted(desk.store.path.parent.iterdir())
    assert {"support.db", "support.db-shm", "support.db-wal"} < {file.name for file in files}
    return b"".join(file.read_bytes() for file in files)


def test_forget_leaves_no_byte_of_a_user(desk: Conversations) -> None:
    for number in range(5):
        filled(desk, "li.lei", SECRET)
        filled(desk, f"another {number}", "别人的话")
    assert SECRET.encode() in written(desk)
    assert len(desk.feedback.records()) == 10
    assert desk.retention.forget("li.lei") == Erased(conversations=5, messages=35)
    data = written(desk)
    assert SECRET.encode() not in data and SECRET[:3].encode() not in data
    assert "别人的话".encode() in data
    assert len(desk.feedback.records()) == 5
    assert len(desk.operators.queue().conversations) == 5
    assert desk.retention.forget("li.lei") == Erased(0, 0)


def test_a_forgotten_conversation_is_not_found(customer: Customer) -> None:
    customer.asks()
    assert customer.desk.retention.forget_conversation(customer.conversation) == Erased(1, 1)
    with pytest.raises(NotFound):
        customer.asks()
    with pytest.raises(NotFound):
        customer.desk.operators.messages(customer.conversation)
    with pytest.raises(NotFound):
        customer.desk.retention.forget_conversation(customer.conversation)


def test_old_conversations_are_closed_and_then_deleted(desk: Conversations, clock: Clock) -> None:
    old = filled(desk, "li.lei", SECRET)
    clock.move(days=2)
    new = Customer(desk)
    new.asks("还在吗？")
    clock.move(days=2)
    assert desk.retention.tidy() == Tidied(closed=1, expired=Erased(0, 0))
    assert (old.state, new.state) == ("closed", "bot")
    clock.move(days=177.5)
    assert desk.retention.tidy() == Tidied(closed=1, expired=Erased(1, 7))
    assert SECRET.encode() not in written(desk)
    assert new.texts == ["还在吗？"]


def test_the_key_stands_beside_the_store(tmp_path: Path) -> None:
    path, key = tmp_path / "support.db", tmp_path / "support.db.key"
    desk = Conversations(path)
    assert key.stat().st_mode & 0o777 == 0o600
    assert secret_of(desk.store) == key.read_bytes()
    customer = Customer(desk, "韩梅梅")
    customer.asks()
    desk.close()
    assert key.read_bytes() not in path.read_bytes()

    kept = key.read_bytes()
    key.write_bytes(bytes(32))
    with pytest.raises(XinyeError, match=r"support\.db\.key: this is the key of another store"):
        Conversations(path)
    key.unlink()
    with pytest.raises(XinyeError, match=r"the key of support\.db is missing; copy it here"):
        Conversations(path)
    assert not key.exists()
    key.write_bytes(kept)
    Conversations(tmp_path / "other.db").close()
    path.rename(tmp_path / "moved.db")
    Conversations(path).close()  # a new store in the place of the old one has its key
    (tmp_path / "moved.db").replace(path)
    desk = Conversations(path)
    assert desk.retention.forget("韩梅梅") == Erased(1, 1)
    desk.close()


def test_half_a_key_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    key = tmp_path / "support.db.key"
    key.write_bytes(b"half")
    Conversations(tmp_path / "support.db").close()
    assert len(key.read_bytes()) == 32 and key.stat().st_mode & 0o777 == 0o600


def test_a_store_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(XinyeError, match="no such file"):
        Conversations(tmp_path / "support.db", create=False)
    assert [*tmp_path.iterdir()] == []


def test_forgetting_needs_a_user(desk: Conversations) -> None:
    with pytest.raises(XinyeError, match="the account is empty"):
        desk.retention.forget("  ")
