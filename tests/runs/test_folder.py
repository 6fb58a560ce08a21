"""The files of a run: who may write them, and what odd lines in them do."""

import json

import pytest

from xinye.errors import XinyeError
from xinye.runs.folder import RunFolder


def test_two_do_not_train_in_one_folder(tmp_path):
    run = RunFolder(tmp_path)
    run.training.mkdir()
    with run.in_use():
        before = run.process_file.read_text("utf-8")
        assert run.is_running()
        with (
            pytest.raises(XinyeError, match="this run is still training"),
            RunFolder(tmp_path).in_use(),
        ):
            pass
        assert run.process_file.read_text("utf-8") == before
    assert not run.is_running()


def test_odd_lines_are_forgotten_with_those_after_the_checkpoint(tmp_path):
    run = RunFolder(tmp_path)
    run.training.mkdir()
    steps = [json.dumps({"kind": "step", "step": step}) for step in (1, 2, 3)]
    odd = [b"[]", b"3", b"null", b"{}", b'{"step": 1}', b'{"step": "x"}', b"\xff", b"[" * 100_000]
    run.metrics_file.write_bytes(b"\n".join([*odd, *(line.encode() for line in steps)]))
    run.forget_metrics(2)
    assert run.metrics_file.read_text("utf-8").splitlines() == steps[:2]
