"""Finds the size with the lowest bits per byte in a given time, by fitting a scaling law to short
runs.

For each size it plans a run for the whole time and measures its speed. Then it trains three short
runs with the same settings but fewer steps, and the law predicts what the long run would reach. A
size is recommended only if nearly all fits of the law agree that it is the best.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from xinye.checkpoints.folders import discard_weights
from xinye.checkpoints.load import load_model
from xinye.data.files import write_json
from xinye.errors import XinyeError
from xinye.evaluation.plots import line_chart
from xinye.evaluation.scaling_law import (
    NOISE,
    Law,
    Point,
    check_law,
    fit_law,
    import_least_squares,
)
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count, parse_time
from xinye.runs.cleanup import remove_run
from xinye.runs.folder import Figures, Values
from xinye.studies.shared import (
    NO_BUDGET,
    QuietObserver,
    folder_for,
    is_new,
    judge,
    plan_once,
    save_charts,
    saved_tokenizer,
    train,
    write_config,
)
from xinye.tasks.text import TextData

SHARE = 0.1  # share of the time for all short runs
# If the time is short, a quarter of it, up to this many seconds.
SHARE_OF_LITTLE = 0.25
LITTLE = 180.0
HORIZONS = (1, 2, 4)  # relative lengths of the short runs of a size
SURE = 0.8  # a size is recommended if it is the best in this share of the fits
POSSIBLE = 0.1  # a size that is the best in this share is not ruled out
WINDOWS = 256  # windows of validation text, the same for all runs of a size
# Beyond this, there is little published evidence, and a model may memorize so small a text.
TRUSTED_EPOCHS = 16


# -- short runs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShortRun:
    """The results of a short run."""

    tokens: int
    seconds: float
    bits_per_byte: float
    bytes_per_token: float


@dataclass
class Candidate:
    """A size with the plan of its run in the given time, and its short runs."""

    size: str
    settings: PretrainSettings
    text: TextData
    values: Values  # the values of that run's plan
    short: list[ShortRun] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """The number of tokens that the planned run reads."""
        return self.values["steps"] * self.values["batch_size"] * self.values["context"]

    def point(self, tokens: float) -> Point:
        """A run of this size over `tokens` tokens, for the scaling law."""
        bytes_per_token = self.short[-1].bytes_per_token
        unique = self.values["training_tokens"] * bytes_per_token
        readings = tokens / self.values["vocabulary"]
        return Point(self.values["parameters"], tokens * bytes_per_token, unique, readings)


@dataclass(frozen=True)
class Planning:
    """The sizes to compare, all for the same time in seconds."""

    output: Path
    given: PretrainSettings
    seconds: float
    candidates: list[Candidate]

    @property
    def share(self) -> float:
        """The share of the time that all short runs may take."""
        return max(SHARE, min(SHARE_OF_LITTLE, LITTLE / self.seconds))

    def short_runs(self, candidate: Candidate) -> list[tuple[int, int]]:
        """Steps and batch size of each short run of a size. All short runs divide the time evenly.

        The batch is half of the plan's, which would be too large for a run of some dozens of steps.
        """
        batch = max(1, candidate.values["batch_size"] // 2)
        tokens = candidate.tokens * self.share / len(self.candidates)
        steps = tokens / candidate.values["context"] / batch / sum(HORIZONS)
        return [(max(8 * horizon, round(steps * horizon)), batch) for horizon in HORIZONS]


def begin(
    settings: PretrainSettings, sizes: Sequence[str], observer: Observer, overwrite: bool = False
) -> Planning:
    """Plan a run of each size in the time of the settings, and measure its speed. Raises
    `XinyeError` for bad sizes, or if the output folder is not free.
    """
    import_least_squares()
    try:
        counts = [parse_count(size) for size in sizes]
    except XinyeError as error:
        raise XinyeError(f"size: {error}") from None
    if len(set(counts)) < max(2, len(counts)):
        raise XinyeError("--size: name at least two sizes, each once, such as 1M,5M,15M")
    output = folder_for(settings, "plan")
    if not is_new(output, "plan.json", "plan", overwrite):
        raise XinyeError(
            f"{output}: there is a plan already; replace it with --overwrite, or choose another -o"
        )
    candidates = []
    for size in sizes:
        observer.stage(f"planning a run of {size}")
        planned = plan_once(settings.model_copy(update={"size": size}), observer)
        assert planned.text is not None
        own = {"size": size, **NO_BUDGET, **saved_tokenizer(output / size)}
        short = settings.model_copy(update=own)
        candidates.append(Candidate(size, short, planned.text, planned.values))
    remove_run(output, "*/run-*", "*/tokenizer", "plan.json", "plan.yaml", "plan.svg")
    for candidate in candidates:
        candidate.text.tokenizer.save(output / candidate.size / "tokenizer")
    write_json(output / "plan.json", {})  # marks the folder as a plan; `conclude` fills the file
    return Planning(output, settings, parse_time(settings.time or ""), candidates)


def run_short(planning: Planning, observer: Observer) -> Iterator[Figures]:
    """Train the short runs, and yield the results of each as it ends.

    They differ from the planned run only in steps and batch size. Each is a complete run, with
    warm-up and a learning rate that falls to zero.
    """
    for number in range(len(HORIZONS)):
        for candidate in planning.candidates:
            steps, batch = planning.short_runs(candidate)[number]
            folder = planning.output / candidate.size / f"run-{number + 1}"
            own = {"steps": steps, "batch_size": batch, "dropout": candidate.values["dropout"]}
            own |= {"compile": "no", "evaluations": 1, "output": folder}
            run = train(candidate.settings.model_copy(update=own), QuietObserver(observer))
            model, tokenizer = load_model(folder)
            judged = judge(model, tokenizer, candidate.text.validation.in_order(8, WINDOWS))
            discard_weights(folder)
            bits = judged["bits_per_byte"]
            bytes_per_token = round(judged["loss"] / math.log(2) / bits, 4)
            short = ShortRun(run.tokens, max(0.01, run.seconds), bits, bytes_per_token)
            candidate.short.append(short)
            yield {
                "size": candidate.size,
                "steps": steps,
                "batch_size": batch,
                "tokens": short.tokens,
                "seconds": short.seconds,
                "bits_per_byte": bits,
            }


# -- prediction ------------------------------------------------------------------------------------


def conclude(planning: Planning) -> Figures:
    """Fit the law and predict each size. Returns the results, and writes `plan.json`, `plan.yaml`
    and a chart.
    """
    candidates, output = planning.candidates, planning.output
    points = [candidate.point(run.tokens) for candidate in candidates for run in candidate.short]
    measured = [run.bits_per_byte for candidate in candidates for run in candidate.short]
    fitted, check = fit_law(points, measured), check_law(points, measured)
    reached = fitted.predict([candidate.point(candidate.tokens) for candidate in candidates])[1:]
    reached = reached.mean(axis=0) + check.stretch * (reached - reached.mean(axis=0))
    noise = np.random.default_rng(0).normal(0, NOISE, reached.shape)
    low, high = np.quantile(reached + noise, (0.05, 0.95), axis=0)
    chances = np.bincount(reached.argmin(axis=1), minlength=len(candidates)) / len(reached)
    sizes = [
        {
            "size": candidate.size,
            "parameters": candidate.values["parameters"],
            "steps": candidate.values["steps"],
            "tokens": candidate.tokens,
            "epochs": round(candidate.tokens / candidate.values["training_tokens"], 2),
            "bits_per_byte": round(float(reached[:, column].mean()), 4),
            "low": round(float(low[column]), 4),
            "high": round(float(high[column]), 4),
            "chance_of_best": round(float(chances[column]), 3),
            "short_runs": [asdict(run) for run in candidate.short],
        }
        for column, candidate in enumerate(candidates)
    ]
    best = max(sizes, key=lambda size: size["chance_of_best"])
    result = {
        "plan": str(output),
        "time_seconds": planning.seconds,
        "recommended": best["size"] if best["chance_of_best"] >= SURE else None,
        "likeliest": best["size"],
        "check": {"error": round(check.error, 4), "stretch": round(check.stretch, 2)},
        "sizes": sizes,
        "law": {name: round(value, 4) for name, value in fitted.values.items()},
        "config": str(output / "plan.yaml"),
        "charts": save_charts(output, lambda: charts(planning, fitted)),
    }
    names = ", ".join(candidate.size for candidate in candidates)
    note = f"Found by xinye plan: most likely the best of {names} in the given time."
    if not result["recommended"]:
        note = (
            f"Found by xinye plan, which could not tell which of {names} is the best in this time."
        )
    found = {"size": best["size"], "time": planning.given.time}
    write_config(output / "plan.yaml", planning.given, found, note)
    write_json(output / "plan.json", result)
    return result


def charts(planning: Planning, fitted: Law) -> dict[str, str]:
    """The chart of the law over time with the measurements, as SVG by file name."""
    lines, measured = {}, {}
    for candidate in planning.candidates:
        seconds = planning.seconds / candidate.tokens  # seconds per token
        runs = candidate.short
        tokens = np.geomspace(runs[0].tokens, candidate.tokens, 40)
        curve = fitted.predict([candidate.point(count) for count in tokens])[1:].mean(axis=0)
        lines[candidate.size] = ((tokens * seconds).tolist(), curve.tolist())
        seconds_of_runs = [run.tokens * seconds for run in runs]
        measured[candidate.size] = (seconds_of_runs, [run.bits_per_byte for run in runs])
    labels = ("seconds of training", "bits per byte")
    return {"plan.svg": line_chart(lines, *labels, log_x=True, points=measured)}


def explain(result: Figures) -> list[str]:
    """The results in sentences."""
    sizes, best = result["sizes"], result["recommended"]
    chance = {size["size"]: size["chance_of_best"] for size in sizes}
    possible = ", ".join(
        f"{size} ({chance[size]:.0%})"
        for size in chance
        if size != best and chance[size] >= POSSIBLE
    )
    verdict = (
        f"The short runs do not tell which size is the best in this time. In so many fits, each "
        f"of these is: {possible}. Train them all, or plan with a longer --time."
    )
    if best:
        not_ruled_out = f"; not ruled out: {possible}" if possible else ""
        verdict = (
            f"{best} most likely gives the lowest bits per byte in this time: it is best in "
            f"{chance[best]:.0%} of the fits{not_ruled_out}."
        )
    reach = max(size["tokens"] / size["short_runs"][-1]["tokens"] for size in sizes)
    error, stretch = result["check"]["error"], result["check"]["stretch"]
    wider = f"; all intervals are {stretch:.1f} times as wide for that" if stretch > 1 else ""
    sentences = [
        verdict,
        f"The prediction reaches {reach:.0f} times as far as the longest short run, so "
        "these figures are a forecast.",
        f"Fitted without the longest short runs, the law predicted them within {error:.3f} bits "
        f"per byte{wider}.",
    ]
    for size in sizes:
        short = size["short_runs"][-1]
        planned_speed = size["tokens"] / result["time_seconds"]
        faster = short["tokens"] / short["seconds"] / planned_speed
        if faster > 1.5:
            sentences.append(
                f"The short run of {size['size']} was {faster:.1f} times as fast as the "
                "measurement before it predicted: the machine was busy then. Plan again "
                "when it is idle."
            )
    often = [size for size in sizes if size["epochs"] > TRUSTED_EPOCHS]
    if often:
        times = ", ".join(f"{size['size']} {size['epochs']:.0f} ×" for size in often)
        sentences.append(
            f"In this time the model would read the text many times ({times}). Beyond "
            f"{TRUSTED_EPOCHS} times it may memorize the text, which the law does not "
            "predict; more text would help more than more time."
        )
    return sentences
