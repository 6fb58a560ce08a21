"""`xinye bench`: figures of a small run that fit together, and mistakes told in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from xinye.jobs import bench
from xinye.jobs.doctor import Speed


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Speed({"float32": 1e12, "bfloat16": 1e12}, 1e12, 1e12, 0.5, 1, 0.0, "2026-11-22")
    monkeypatch.setattr(bench, "measured", lambda *_: speed)


def test_figures_of_several_texts_fit_together(xinye: Callable, trained: Path) -> None:
    done = xinye(
        "bench",
        trained,
        "--concurrency",
        "1,3",
        "--prompt-tokens",
        9,
        "--output-tokens",
        5,
        "--json",
    )
    result = json.loads(done.out)
    assert (done.code, [row["concurrency"] for row in result["rows"]]) == (0, [1, 3])
    for row in result["rows"]:
        assert 0 < row["first_token_p50"] <= row["first_token_p99"] < row["seconds"]
        assert 0 < row["between_tokens_p50"] <= row["between_tokens_p99"]
        assert (
            row["tokens_per_second"] > 0
            and 0 < row["memory_share"] < 1
            and 0 < row["matrix_share"] < 1
        )
        assert row["concurrency"] * 13 <= row["cache_tokens"] <= row["cache_total"]


def test_the_table_names_its_units(xinye: Callable, trained: Path) -> None:
    done = xinye("bench", trained, "--concurrency", "2", "--prompt-tokens", 3, "--output-tokens", 1)
    assert (
        done.code == 0
        and "tokens/s" in done.out
        and " ms / " in done.out
        and "1,000.0 GB/s" in done.out
    )


@pytest.mark.parametrize(("flags", "complaint"), [
    (["--concurrency", "0"], "--concurrency 0: give numbers from 1 to 1024"),
    (["--concurrency", "1,多"], "--concurrency 1,多: give numbers"),
    (["--output-tokens", "0"], "--output-tokens: give at least 1"),
    (["--prompt-tokens", "30"], "30 prompt tokens and 64 output tokens are more than the context of 32"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(
    xinye: Callable, trained: Path, flags: list[str], complaint: str
) -> None:
    done = xinye("bench", trained, *flags)
    assert done.code == 2 and complaint in done.complaint
