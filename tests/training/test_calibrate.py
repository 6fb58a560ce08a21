"""What is measured before a run: how long work takes once all is warm, and long work only once."""

from types import SimpleNamespace

import pytest
from torch import nn

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training import calibrate

TINY = GPTConfig("modern", 9, 8, 1, 1, 1, 8, 8, 8)


@pytest.mark.parametrize(
    "times, found, runs", [([0.9, 0.1], 0.1, 2), ([0.1, 0.3], 0.1, 2), ([7.0], 7.0, 1)]
)
def test_the_first_time_of_short_work_is_a_warm_up(
    monkeypatch: pytest.MonkeyPatch, times: list[float], found: float, runs: int
) -> None:
    now, done = [0.0], []
    monkeypatch.setattr(calibrate, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def work() -> None:
        now[0] += times[len(done)]
        done.append(now[0])

    trial = calibrate.Trial(GPT(TINY), nn.Identity(), [])
    assert trial.warm_seconds_of(work) == pytest.approx(found) and len(done) == runs
