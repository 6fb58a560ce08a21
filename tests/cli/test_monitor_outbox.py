"""`xinye monitor outbox`: dead messages are listed, and sent again."""

import json
from pathlib import Path

import pytest

from apps.monitor.office import Office
from apps.monitor.receivers import Receiver
from xinye.cli.monitor_outbox import outbox
from xinye.errors import XinyeError


def test_dead_messages_are_listed_and_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(tmp_path / "monitor.db")]
    with Receiver().listening() as receiver:
        office = Office(tmp_path / "monitor.db", receiver)
        receiver.answers = [410]
        office.alert()
        office.sends()

        assert outbox(store) == 0
        listed = capsys.readouterr().out
        assert "hook0" in listed and "status 410: the address is gone" in listed
        assert outbox([*store, "--resend", "all", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"resent": 1}
        assert outbox([*store, "--state", "waiting", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["counts"] == {"waiting": 1, "sent": 0, "dead": 0}
        assert [each["key"] for each in told["deliveries"]] == receiver.keys

        office.now = told["deliveries"][0]["due"]
        assert office.sends().delivered == 1
    office.store.close()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (["--resend", "7"], "no message 7 was given up"),
        (["--resend", "x"], "give the number of a message that was given up, or all"),
        (["--state", "lost"], "choose waiting, sent or dead"),
    ],
)
def test_what_it_refuses(tmp_path: Path, wrong: list[str], problem: str) -> None:
    Office(tmp_path / "monitor.db").store.close()
    with pytest.raises(XinyeError, match=problem):
        outbox(["--store", str(tmp_path / "monitor.db"), *wrong])
