"""Signals that ask a run to stop."""

import os
import signal

import pytest

from xinye.training.guards import interruptible


def test_a_launcher_may_ask_twice() -> None:
    """Slurm and torchrun send SIGTERM both, and again when another process has ended."""
    named: list[str] = []
    with interruptible(named.append, launched=True) as interrupted:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted() == signal.SIGTERM
    assert named == [""]


def test_a_person_may_end_it_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have changed it
    named: list[str] = []
    with interruptible(named.append), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        assert named == ["Ctrl-C"]
        os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)
