"""Findings on curves whose story is known; healthy ones are said to be healthy."""

import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xinye.runs.diagnosis import Finding, diagnose
from xinye.runs.saved import read_run
from xinye.runs.words import Figure, TaskWords

STEPS = 400
AT = range(20, STEPS + 1, 20)


def falling(steps: int = STEPS, noise: float = 0.05, seed: int = 0) -> list[float]:
    """A loss as it usually falls: quickly, then ever more slowly, with the noise of batches."""
    step = np.arange(1, steps + 1)
    return list(3 + 4 * step**-0.4 + noise * np.random.default_rng(seed).standard_normal(steps))


def at(losses: list[float], gap: float = 0.1) -> list[tuple[int, float]]:
    """Validations that follow the training loss at a distance."""
    return [(step, float(np.mean(losses[max(0, step - 20) : step])) + gap) for step in AT]


def findings(run: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose(read_run(run))}


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_is_healthy(make_run, noise, seed):
    losses = falling(noise=noise, seed=seed)
    assert set(findings(make_run(losses=losses, validations=at(losses)))) <= {
        "healthy",
        "still improving",
    }


def test_heavy_noise_of_small_batches_is_no_jump(make_run):
    losses = list(np.array(falling()) + np.random.default_rng(1).standard_t(3, STEPS) / 3)
    assert "rate too high" not in findings(make_run(losses=losses))


def test_every_finding_speaks_both_languages(make_run):
    losses = falling()
    runs = [
        make_run("healthy", losses, at(losses)),
        make_run("short", losses[:9]),
        make_run("small", losses, plan={"validation_tokens": 500}),
        make_run("high", [*losses, *np.linspace(4, 9, 100)]),
    ]
    for run in runs:
        for finding in findings(run).values():
            assert re.search(r"[\u4e00-\u9fff]", finding.says.zh) and not re.search(
                r"[\u4e00-\u9fff]", finding.says.en
            )
            assert bool(finding.advice.en) == bool(finding.advice.zh)


def test_overfits_from_the_best_step_on(make_run):
    losses = list(np.linspace(6, 2, STEPS))
    validations = [(step, 4.0 + 0.002 * abs(step - 160)) for step in AT]
    found = findings(make_run(losses=losses, validations=validations))
    assert list(found) == ["overfits"]
    assert "from step 160" in found["overfits"].says.en and "第 160 步" in found["overfits"].says.zh
    assert "--steps 160" in found["overfits"].advice.en


def test_a_run_that_kept_its_best_model_does_not_overfit(make_run):
    losses = list(np.linspace(6, 2, STEPS))
    validations = [(step, 4.0 + 0.002 * abs(step - 160)) for step in AT]
    kept = {"stopped_early": True, "model_step": 160}
    assert "overfits" not in findings(make_run(losses=losses, validations=validations, result=kept))


def test_one_bad_validation_is_no_overfitting(make_run):
    losses = falling()
    validations = at(losses)
    validations[-1] = (STEPS, validations[-1][1] + 0.5)
    assert "overfits" not in findings(make_run(losses=losses, validations=validations))


def test_a_rise_of_both_losses_is_no_overfitting(make_run):
    losses = [*np.linspace(6, 3, 200), *np.linspace(3, 5, 200)]
    found = findings(make_run(losses=losses, validations=at(losses)))
    assert (
        list(found) == ["rate too high"]
        and "rose again from step 2" in found["rate too high"].says.en
    )


def test_a_return_to_the_best_model_is_no_rise(make_run):
    losses = [*np.linspace(3, 0.1, 300), *([1.0] * 100)]
    returned = {"plan": {"total_steps": [[0, 600], [300, 400]]}, "result": {"cooled_from": 200}}
    assert "rate too high" not in findings(make_run("one", losses, **returned))
    assert "rate too high" in findings(make_run("other", losses, result={"cooled_from": None}))


@pytest.mark.parametrize("seed", range(5))
def test_batches_of_a_few_labels_are_no_rise_and_no_jump(make_run, seed):
    numbers = np.random.default_rng(seed)
    hard = numbers.random(STEPS) < 0.1
    losses = 0.02 + 0.2 * numbers.exponential(size=STEPS) + hard * numbers.uniform(0, 2, STEPS)
    about = {"recipe": "finetune", "settings": {"task": "classify"}}
    run = make_run(losses=[0.7, *losses[1:]], about=about)
    assert "rate too high" not in findings(run)


def test_still_improving_says_what_the_second_half_brought(make_run):
    losses = list(np.linspace(6, 4, STEPS))
    found = findings(make_run(losses=losses, validations=[(step, 6.1 - step / 200) for step in AT]))
    assert list(found) == ["healthy", "still improving"]
    # a loss of 1, two nats to the bit here
    assert "0.500 bits per byte" in found["still improving"].says.en
    assert "--steps 800" in found["still improving"].advice.en


def test_a_flat_end_is_not_still_improving(make_run):
    losses = [*np.linspace(6, 3, 100), *([3.0] * 300)]
    assert list(findings(make_run(losses=losses, validations=at(losses)))) == ["healthy"]


def test_data_exhausted_after_many_times_through_the_text(make_run):
    losses = list(np.linspace(6, 2.5, STEPS))
    validations = [(step, max(4.0, 6.1 - step / 80)) for step in AT]
    exhausted = findings(make_run("much", losses, validations, plan={"training_tokens": 64 * 50}))
    assert (
        list(exhausted) == ["data exhausted"]
        and "8.0 epochs" in exhausted["data exhausted"].says.en
    )
    assert "data exhausted" not in findings(make_run("once", losses, validations))


@pytest.mark.parametrize(
    "losses, says",
    [
        ([*falling(200), *np.linspace(4, 9, 200)], "rose above its first value"),
        (
            [loss + 3 * (at % 80 in (5, 6, 7)) for at, loss in enumerate(falling())],
            "jumps up 4 times, first at step 86",
        ),
    ],
)
def test_rate_too_high(make_run, losses, says):
    found = findings(
        make_run(losses=losses, plan={"learning_rate": 0.02, "matrix_learning_rate": 0.04})
    )
    assert list(found) == ["rate too high"] and says in found["rate too high"].says.en
    assert "--matrix-learning-rate 0.02 --learning-rate 0.01" in found["rate too high"].advice.zh


def test_a_run_that_left_the_numbers_diverged(make_run):
    found = findings(make_run(losses=[7.0, 6.5, math.nan], finished=False))
    assert (
        list(found) == ["rate too high"] and "Diverged at step 3" in found["rate too high"].says.en
    )


@pytest.mark.parametrize("about, than", [({"data": {"unigram_loss": 5.0}}, "5.00"), ({}, "6.91")])
def test_nothing_learned(make_run, about, than):
    losses = [float(than)] * STEPS
    found = findings(make_run(losses=losses, validations=at(losses, gap=0.0), about=about))
    assert list(found) == ["nothing learned"] and than in found["nothing learned"].says.en


def test_a_text_known_by_heart_is_not_nothing_learned(make_run):
    losses = list(np.linspace(6, 0.2, STEPS))
    run = make_run(losses=losses, validations=[(step, 4.5 + step / 100) for step in AT])
    assert list(findings(run)) == ["overfits"]


def test_too_short_to_judge(make_run):
    assert list(findings(make_run(losses=[7.0, 9.0, 6.0]))) == ["too short"]


def test_a_small_validation_text(make_run):
    losses = falling()
    found = findings(
        make_run(losses=losses, validations=at(losses), plan={"validation_tokens": 900})
    )
    assert "900 tokens" in found["validation too small"].says.en and "healthy" not in found


@pytest.mark.parametrize("missing", ["plan", "validations", "everything"])
def test_what_is_missing_gives_no_finding(make_run, missing):
    losses: Any = [] if missing == "everything" else falling()
    run = make_run(losses=losses, validations=at(falling()) if missing == "plan" else [])
    if missing != "validations":
        (run / "training" / "plan.json").unlink()
    assert set(findings(run)) <= {"healthy", "still improving", "too short"}


@pytest.mark.parametrize(
    ("figure", "ours", "theirs", "says"),
    [
        (Figure("hits", "hits", digits=1, percent=True), 0.9, 0.8, "Better than its baseline: hits 90.0%, counting 80.0%."),
        (Figure("errors", "errors", lower_replaced=True), 2.0, 3.0, "Better than its baseline: errors 2.000, counting 3.000."),
        (Figure("errors", "errors", lower_replaced=True), 3.0, 2.0, "Worse than its baseline: errors 3.000, counting 2.000."),
    ],
)  # fmt: skip
def test_a_figure_says_itself_what_replaced(make_run, figure, ours, theirs, says):
    name = figure.name
    words = asdict(TaskWords(figures=(figure,), decides=name))
    measured = {"measured": {name: ours}, "baseline": {"name": "counting", name: theirs}}
    run = make_run(about={"recipe": "finetune", "words": words}, result=measured)
    assert [finding.says.en for finding in diagnose(read_run(run))] == [says]


@pytest.mark.parametrize(
    ("ours", "theirs", "records", "says", "zh"),
    [
        (0.5, 0.5, 4, "Equal to its baseline within chance on 4 records: hits", "与基线持平（4 条样本"),
        (0.8, 0.7, 10, "Equal to its baseline within chance on 10 records: hits", "与基线持平（10 条"),
        (0.8, 0.7, 1000, "Better than its baseline: hits", "好过基线：hits"),
        (0.7, 0.8, 1000, "Worse than its baseline: hits", "不如基线：hits"),
        (0.5, 0.5, None, "Equal to its baseline in all printed digits: hits", "与基线持平"),
    ],
)  # fmt: skip
def test_a_difference_within_chance_is_none(make_run, ours, theirs, records, says, zh):
    words = asdict(TaskWords(figures=(Figure("hits", "hits", percent=True),), decides="hits"))
    result = {"measured": {"hits": ours}, "baseline": {"name": "counting", "hits": theirs}}
    plan = {"validation_records": records} if records else {}
    about = {"recipe": "finetune", "words": words}
    [found] = diagnose(read_run(make_run(about=about, result=result, plan=plan)))
    assert found.says.en.startswith(says) and found.says.zh.startswith(zh)


@pytest.mark.parametrize(
    ("interval", "says"), [(0.008, "Better than"), (0.02, "Equal to its baseline within chance:")]
)
def test_an_interval_that_is_paired_decides_alone(make_run, interval, says):
    """On so few records the difference would be within chance if they were others each time."""
    words = asdict(TaskWords(figures=(Figure("hits", "hits", percent=True),), decides="hits"))
    gain = {"mean": 0.015, "interval": interval}
    baseline = {"name": "counting", "hits": 0.895, "gain": gain}
    result = {"measured": {"hits": 0.91}, "baseline": baseline}
    about = {"recipe": "finetune", "words": words}
    run = make_run(about=about, result=result, plan={"validation_records": 959})
    assert diagnose(read_run(run))[0].says.en.startswith(says)
