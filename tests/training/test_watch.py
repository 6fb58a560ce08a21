"""Processes watch each other through a store."""

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from xinye.training import watch
from xinye.training.watch import FINISHED, Watch


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Who was taken for lost."""
    found: list[int] = []
    monkeypatch.setattr(watch, "SILENCE", timedelta(seconds=0.4))
    monkeypatch.setattr(Watch, "_end", lambda self, silent: found.append(silent))
    return found


class Shaky(dist.HashStore):
    """A store that does not answer once."""

    failed = False

    def clone(self) -> dist.Store:
        return self

    def multi_get(self, keys: list[str]) -> list[bytes]:
        if not self.failed:
            self.failed = True
            raise RuntimeError("broken")
        return [self.get(key) for key in keys]


def test_one_failure_of_the_store_is_no_silence(lost: list[int]) -> None:
    store = Shaky()
    with Watch(store, 0, 2).kept(), Watch(store, 1, 2).kept():
        time.sleep(1)
    assert not lost and store.get("alive/0") == store.get("alive/1") == FINISHED


def test_a_process_that_stood_still_accuses_nobody(lost: list[int], monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now[0]))
    guard = Watch(Shaky(), 0, 2, dict.fromkeys([1], 0.0))
    pauses = iter([1, 2, 3])

    def passed():  # type: ignore[no-untyped-def]
        for number, seconds in zip(pauses, (0.02, 99.0, 0.02), strict=True):
            now[0] += seconds
            yield number

    monkeypatch.setattr(guard, "_pauses", passed)
    guard._check()
    assert not lost


def test_what_failed_is_not_finished(lost: list[int]) -> None:
    store = Shaky()
    with suppress(ValueError), Watch(store, 0, 2).kept():
        raise ValueError
    assert store.get("alive/0") != FINISHED


def test_the_end_of_the_launcher_stops_the_training_as_a_signal_does(
    lost: list[int], monkeypatch, capsys
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "xinye")
    asked, sent = threading.Event(), []

    def send(process: int, number: int) -> None:
        sent.append((process, number))
        asked.set()

    monkeypatch.setattr(os, "kill", send)
    with Watch(Shaky(), 0, 1).kept():
        assert not asked.wait(0.1)
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert asked.wait(60)
    assert sent == [(os.getpid(), signal.SIGTERM)] and not lost
    assert capsys.readouterr().err.count("the launcher of this training has ended") == 1
