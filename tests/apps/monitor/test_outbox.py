"""Messages arrive: whatever happens to receivers, to the disk and to the processes that send."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from apps.monitor.office import Office
from apps.monitor.receivers import SECRET, Receiver
from xinye.apps.monitor.outbox import (
    CLAIM,
    FEWEST_TRIES,
    GIVE_UP,
    LONGEST_WAIT,
    REST,
    Sent,
)
from xinye.errors import NotFound, Unavailable

DELIVERED, FAILED, DIED, NOTHING = Sent(1, 0, 0), Sent(0, 1, 0), Sent(0, 0, 1), Sent(0, 0, 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        yield receiver


@pytest.fixture
def office(tmp_path: Path, receiver: Receiver) -> Iterator[Office]:
    office = Office(tmp_path / "monitor.db", receiver)
    yield office
    office.store.close()


def written(office: Office) -> bytes:
    """All bytes of the store."""
    return b"".join(path.read_bytes() for path in office.store.path.parent.glob("monitor.db*"))


# -- receivers -------------------------------------------------------------------------------------


def test_a_message_arrives_once_and_signed(office: Office, receiver: Receiver) -> None:
    alert = office.alert()
    assert office.sends() == DELIVERED
    assert office.sends(after=1e6) == NOTHING
    ((key, body),) = receiver.bodies.items()
    assert (body["alert"], body["observed"], body["begin"]) == (
        alert,
        23,
        "2023-11-14T22:00:00+00:00",
    )
    delivery = office.only("sent")
    assert (delivery.key, delivery.tries, delivery.error) == (key, 1, "")


def test_a_receiver_that_is_down_for_an_hour(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiver.listening():
        office = Office(tmp_path / "monitor.db", receiver)
    office.alert()
    tries = []
    while office.now < office.only("waiting").begun + 3600:
        if office.sends(after=1) == FAILED:
            tries.append(office.now)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits == [10, 20, 40, 80, 160, 320, *[LONGEST_WAIT] * (len(waits) - 6)]
    assert office.only("waiting").error == "the connection is refused; nothing listens there"
    with receiver.listening():
        assert office.sends(after=LONGEST_WAIT) == DELIVERED
        assert office.sends(after=LONGEST_WAIT) == NOTHING
    assert len(receiver.keys) == 1


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 429, 500, 503])
def test_what_can_be_put_right_is_tried_again(
    office: Office, receiver: Receiver, status: int
) -> None:
    receiver.answers = [status]
    receiver.headers = {"Location": receiver.url + "/elsewhere"}
    office.alert()
    assert office.sends() == FAILED
    assert f"answered with status {status}: " in office.only("waiting").error
    assert office.sends(after=10) == DELIVERED
    assert receiver.keys[0] == receiver.keys[1]
    assert receiver.paths == ["/hook", "/hook"]  # redirects are not followed


@pytest.mark.parametrize("status", [400, 410, 413, 422])
def test_what_stays_so_is_dead_at_once(office: Office, receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    office.alert()
    assert office.sends() == DIED
    assert office.sends(after=GIVE_UP) == NOTHING
    assert f"status {status}: " in office.only("dead").error


@pytest.mark.parametrize("wish", ["900", "Tue, 14 Nov 2023 22:28:20 GMT"])
def test_a_receiver_says_when(office: Office, receiver: Receiver, wish: str) -> None:
    receiver.answers, receiver.headers = [429], {"Retry-After": wish}
    office.alert()
    assert office.sends() == FAILED
    assert office.sends(after=899) == NOTHING
    assert office.sends(after=1) == DELIVERED


@pytest.mark.parametrize("drip", [False, True])
def test_a_receiver_that_never_answers(tmp_path: Path, receiver: Receiver, drip: bool) -> None:
    office = Office(tmp_path / "monitor.db", receiver, timeout=0.2)
    receiver.drip, receiver.silent = drip, 0 if drip else 600
    office.alert()
    assert office.sends() == FAILED
    assert office.only("waiting").error == "no answer within 0.2 seconds"


def test_a_dead_receiver_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    gone = Receiver()
    with gone.listening():
        office = Office(tmp_path / "monitor.db", gone, receiver)
    for _ in range(5):
        office.alert()
    assert office.sends() == Sent(5, 1, 0)  # the failed channel rests with its other messages
    with gone.listening():
        assert office.sends(after=REST) == Sent(5, 0, 0)
    assert len(gone.bodies) == 5


def test_a_message_that_fails_holds_up_no_other(office: Office, receiver: Receiver) -> None:
    office.alert()
    receiver.answers = [500]
    office.sends()
    office.alert()
    receiver.answers = [500]
    assert office.sends(after=10) == Sent(0, 1, 0)
    assert office.sends(after=REST) == Sent(2, 0, 0)


# -- dead messages ---------------------------------------------------------------------------------


def test_dead_messages_are_listed_and_sent_again(office: Office, receiver: Receiver) -> None:
    receiver.answers = [410, 410, 410]
    alerts = [office.alert(), office.alert(), office.alert()]
    assert office.sends() == Sent(0, 0, 3)
    dead = office.outbox.deliveries("dead")
    assert [each.alert for each in dead] == alerts
    assert office.outbox.counts() == {"waiting": 0, "sent": 0, "dead": 3}
    assert office.outbox.resend(dead[1].number) == 1
    assert office.sends() == DELIVERED
    assert office.outbox.resend() == 2
    assert office.sends() == Sent(2, 0, 0)
    assert sorted(receiver.bodies) == sorted(each.key for each in dead)  # the old keys
    with pytest.raises(NotFound, match="no message 99 was given up"):
        office.outbox.resend(99)


def test_a_message_is_given_up_in_the_end(tmp_path: Path) -> None:
    with (receiver := Receiver()).listening():
        office = Office(tmp_path / "monitor.db", receiver)
    office.alert()
    results = [office.sends()]
    results += [office.sends(after=GIVE_UP) for _ in range(FEWEST_TRIES - 1)]
    assert results == [FAILED] * (FEWEST_TRIES - 1) + [DIED]
    office.outbox.resend()
    assert office.sends() == FAILED  # it has as much time as at first


def test_a_channel_that_was_taken_out(office: Office) -> None:
    office.alert(channels=["old"])
    assert office.sends() == DIED
    assert "no channel of this name" in office.only("dead").error


# -- processes and disks ---------------------------------------------------------------------------

SENDER = """
import os, sys, time
from pathlib import Path
from apps.monitor.office import START, open_store
from xinye.apps.monitor.outbox import Outbox
from xinye.apps.monitor.webhook import Webhook
channel = Webhook(sys.argv[2], "s3cret-of-the-test", 5.0)
"""
KILLED = """
send = Webhook.send
def send_and_die(*arguments):
    send(*arguments)
    os.kill(os.getpid(), 9)
Webhook.send = send_and_die
Outbox(open_store(Path(sys.argv[1])), {"hook0": channel}, lambda: START).send_due()
"""
RACE = """
outbox = Outbox(open_store(Path(sys.argv[1])), {"hook0": channel}, lambda: START)
print("ready", flush=True)
sys.stdin.readline()
print(outbox.send_due().delivered)
"""


def start(code: str, office: Office, receiver: Receiver) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SENDER + code, str(office.store.path), receiver.url]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip


def test_killed_between_sending_and_marking(office: Office, receiver: Receiver) -> None:
    office.alert()
    assert start(KILLED, office, receiver).wait(60) == -signal.SIGKILL
    assert len(receiver.keys) == 1
    assert office.sends() == NOTHING  # the claim of the killed process still counts
    assert office.sends(after=CLAIM) == DELIVERED
    assert receiver.keys[0] == receiver.keys[1]
    assert len(receiver.bodies) == 1


def test_two_processes_send_each_message_once(office: Office, receiver: Receiver) -> None:
    for _ in range(20):
        office.alert()
    processes = [start(RACE, office, receiver) for _ in range(2)]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(counts) == 20
    assert len(receiver.keys) == len(set(receiver.keys)) == 20


def test_a_clock_that_goes_back(office: Office, receiver: Receiver) -> None:
    receiver.answers = [500, 500]
    office.alert()
    office.sends()
    assert office.sends(after=10 - 86_400) == FAILED  # its next attempt seemed to be a day ahead
    assert office.sends(after=20) == DELIVERED


@contextmanager
def full_disk() -> Iterator[None]:
    """Inside, this process can make no file longer."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_what_a_full_disk_keeps_from_being_claimed_is_not_sent(
    office: Office, receiver: Receiver
) -> None:
    office.alert()
    with full_disk(), pytest.raises(Unavailable, match="the disk is full"):
        office.sends()
    assert receiver.keys == []
    assert office.sends() == DELIVERED


def test_what_a_full_disk_keeps_from_being_marked_is_marked_later(
    office: Office, receiver: Receiver
) -> None:
    office.alert()
    with ExitStack() as stack:
        receiver.on_request = lambda: stack.enter_context(full_disk())
        with pytest.raises(Unavailable, match="the disk is full"):
            office.sends()
        with pytest.raises(Unavailable):
            office.sends(after=CLAIM)
    assert office.outbox.counts()["waiting"] == 1
    assert office.sends(after=CLAIM) == NOTHING
    assert [office.only("sent").key] == receiver.keys


# -- secrets ---------------------------------------------------------------------------------------


def test_no_secret_is_written_or_shown(office: Office, receiver: Receiver) -> None:
    """Neither the secret, which the receiver repeats in its answers, nor its address."""
    receiver.answers = [500, 410]
    office.alert()
    office.sends()
    office.sends(after=10)
    shown = f"{office.only('dead')} {office.channels}".encode()
    for secret in (SECRET, "/hook"):
        assert secret.encode() not in written(office) + shown


def test_an_unknown_error_shows_no_secret(office: Office) -> None:
    class Broken:
        def send(self, key: str, body: str, now: float) -> None:
            raise RuntimeError(f"the secret is {SECRET}")

    office.channels["hook0"] = Broken()
    office.alert()
    assert office.sends() == FAILED
    assert office.only("waiting").error == "an unexpected error: RuntimeError"


def test_the_log_says_what_happened(office: Office, receiver: Receiver) -> None:
    receiver.answers = [410]
    alert = office.alert()
    office.sends()
    office.outbox.resend(who="li.lei")
    office.sends()
    with office.store.reading() as transaction:
        rows = transaction.select("SELECT who, what, alert FROM log ORDER BY number")
    assert [tuple(row) for row in rows] == [
        ("system", "dead", alert), ("li.lei", "resent", alert), ("system", "delivered", alert),
    ]  # fmt: skip
