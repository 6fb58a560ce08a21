"""`xinye plan`: a known law is found again, the uncertainty covers what it must, and the best size
is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import contents
from xinye.evaluation.scaling_law import Point, check_law, effective, fit_law
from xinye.planning.config_file import read_config
from xinye.studies.scaling import SURE, explain

E, A, ALPHA, B, BETA = 0.7, 40.0, 0.33, 150.0, 0.35
TINY_PLAN = (
    "zh.txt",
    "--context",
    "32",
    "--tokenizer",
    "char",
    "--dtype",
    "float32",
    "--compile",
    "no",
)


pytestmark = pytest.mark.usefixtures("no_measuring")


def true(point: Point) -> float:
    return E + A / point.parameters**ALPHA + B / point.data**BETA


def new_text(parameters: float, data: float) -> Point:
    return Point(int(parameters), data, 1e15)


def short_runs(noise: float = 0.0) -> tuple[list[Point], list[float]]:
    points = [
        new_text(n, d) for n in (1e6, 5e6, 15e6) for d in (2e6 / n**0.3, 4e6 / n**0.3, 8e6 / n**0.3)
    ]
    random = np.random.default_rng(3)
    return points, [true(point) + random.normal(0, noise) for point in points]


def test_a_known_law_is_found_again():
    law = fit_law(*short_runs())
    far = [new_text(n, d) for n in (1e6, 15e6) for d in (1e6, 1e7)]
    assert law.predict(far)[0] == pytest.approx([true(point) for point in far], rel=0.05)


def test_the_interval_covers_the_truth_and_grows_with_the_distance():
    points, figures = short_runs(noise=0.02)
    law = fit_law(points, figures)
    near, far = new_text(5e6, 1e6), new_text(5e6, 1e8)
    low, high = np.quantile(law.predict([near, far])[1:], (0.05, 0.95), axis=0)
    assert low[0] < true(near) < high[0] and low[1] < true(far) < high[1]
    assert high[1] - low[1] > 1.5 * (high[0] - low[0])


def test_the_larger_size_wins_when_there_is_more_time():
    law = fit_law(*short_runs())
    for tokens_of_the_small, best in ((3e6, 0), (1e10, 1)):  # the large one is ten times slower
        sizes = [new_text(1e6, tokens_of_the_small), new_text(15e6, tokens_of_the_small / 10)]
        assert law.predict(sizes)[0].argmin() == best == int(true(sizes[1]) < true(sizes[0]))


def test_the_law_is_tested_on_the_longest_run_of_each_size():
    points, figures = short_runs()
    check = check_law(points, figures)
    assert check.measured == pytest.approx(figures[2::3]) and check.error < 0.05
    assert check.stretch == 1.0
    figures[2] += 1.0  # the longest run of the smallest size does not follow the law
    broken = check_law(points, figures)
    assert broken.error > 0.9 and broken.stretch > 2


def test_text_that_is_read_again_counts_for_less_and_less():
    worth = effective(np.array([0.5, 1.0, 2.0, 4.0, 1000.0]), np.ones(5), 15.4)
    assert worth[:2] == pytest.approx([0.5, 1.0])
    assert 1.95 < worth[2] < 2.0 and 3.7 < worth[3] < 4.0 and worth[4] == pytest.approx(16.4)


def test_sizes_are_run_and_one_is_recommended(xinye, workplace):
    outcome = xinye(
        "plan", *TINY_PLAN, "--size", "100k,200k", "--time", "2s", "-o", "plan", "--json"
    )
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert [size["size"] for size in result["sizes"]] == ["100k", "200k"]
    for size in result["sizes"]:
        assert size["low"] < size["bits_per_byte"] < size["high"] and len(size["short_runs"]) == 3
    chance, likeliest = max((size["chance_of_best"], size["size"]) for size in result["sizes"])
    assert result["likeliest"] == likeliest
    assert result["recommended"] == (likeliest if chance >= SURE else None)
    assert (
        "training short runs, about 0 s in total" in outcome.err
        and "Fitted without the longest short runs, the law predicted them" in outcome.err
    )
    assert Path("plan/plan.svg").read_text("utf-8").startswith("<svg")
    assert json.loads(Path("plan/plan.json").read_text("utf-8")) == result
    assert not list(Path("plan").rglob("*.safetensors"))
    config = read_config(Path("plan/plan.yaml"))
    assert (config["size"], config["time"], config["context"]) == (likeliest, "2s", 32)
    before = contents(workplace)
    again = xinye("plan", *TINY_PLAN, "--size", "100k,200k", "--time", "2s", "-o", "plan")
    assert (
        again.code == 2
        and "there is a plan already" in again.complaint
        and contents(workplace) == before
    )


def told(*sizes: dict[str, object], recommended: str | None = "1M") -> list[str]:
    check = {"error": 0.1, "stretch": 1.5}
    found = {"recommended": recommended, "sizes": sizes, "time_seconds": 80.0, "check": check}
    return explain(found)


def test_text_read_too_often_is_told():
    short = [{"tokens": 20, "seconds": 2.0}]
    size = {"size": "1M", "tokens": 800, "epochs": 40.0, "chance_of_best": 0.8, "short_runs": short}
    other = {**size, "size": "2M", "epochs": 3.0, "chance_of_best": 0.2}
    sentences = told(size, other)
    assert (
        "in 80% of the fits; not ruled out: 2M (20%)" in sentences[0] and "40 times" in sentences[1]
    )
    assert "within 0.100" in sentences[2] and "1.5 times as wide" in sentences[2]
    assert "(1M 40 ×)" in sentences[3]
    slow = told(size, {**other, "tokens": 400})
    assert "The short run of 2M was 2.0 times as fast" in slow[3]
    unsure = told(size, other, recommended=None)[0]
    assert "do not tell which size is the best" in unsure and "1M (80%), 2M (20%)" in unsure


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--size", "1M", "--time", "1h"], "name at least two sizes"),
        (["--size", "1M,1000k", "--time", "1h"], "each once"),
        (["--size", "1M,huge", "--time", "1h"], "'huge' is not a number"),
        (["--size", "1M,2M"], "such as --time 1h"),
        (["--size", "1M,2M", "--time", "soon"], "'soon' is not a duration"),
        (["--size", "1M,2M", "--time", "1h", "-o", "."], "exists and is not a plan"),
    ],
)
def test_wrong_use_is_one_line_and_changes_nothing(xinye, workplace, arguments, says):
    before = contents(workplace)
    outcome = xinye("plan", *TINY_PLAN, *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before
