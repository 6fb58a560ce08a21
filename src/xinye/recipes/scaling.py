"""Which size gives the lowest bits per byte in a time given: short runs of each size, and a law fitted to them.

The law is L(N, D) = E + A / N^α + B / D^β for N parameters and D bytes read (Hoffmann et al. 2022, arXiv:2203.15556).
Text that is read again counts for less and less (Muennighoff et al. 2023, arXiv:2305.16264). A handful of short runs
does not fix five numbers: what is known of α, β and E from the literature goes into the fit as a prior, and the
uncertainty is told from many fits, each to figures and priors that were shaken by as much as they are uncertain.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xinye.checkpoints.huggingface import write_json
from xinye.checkpoints.store import discard_weights
from xinye.errors import XinyeError
from xinye.evaluation.plots import line_chart, save_chart
from xinye.recipes.pretrain import pretrain
from xinye.recipes.rehearsal import NO_BUDGET, Passing, folder_for, rehearse, write_config
from xinye.recipes.settings import PretrainSettings, parse_count, parse_time
from xinye.recipes.watcher import Watcher

SHARE = 0.1  # of the time, for all the short runs
HORIZONS = (1, 2, 4)  # how long the short runs of a size are to each other
STEPS = 50  # that a short run should take; with so small a batch as that needs, but not less than an eighth
FITS = 200

# Prior of the law's parameters: mean and standard deviation. The logarithms are of terms in bits per byte, A's and B's
# at the middle of the sizes and lengths that were run; exponents and E as Hoffmann et al. and, anew from their data,
# Besiroglu et al. 2024 (arXiv:2404.10102) found them: 0.34–0.35, 0.28–0.37, about 0.6 bits per byte.
PRIOR = {
    "log E": (math.log(0.65), 0.4),
    "log A": (math.log(0.6), 1.0),
    "alpha": (0.34, 0.07),
    "log B": (math.log(0.6), 1.0),
    "beta": (0.33, 0.08),
}
REPEATS = (math.log(15.4), 0.4)  # epochs after which text that is read again has given most of what it can; logarithm
NOISE = 0.015  # of a figure, in bits per byte, at least: another seed moves it by so much
TRUSTED_EPOCHS = 16  # beyond, the literature has little, and so small a text may be learned by heart


@dataclass(frozen=True)
class Point:
    """A run, short or planned: `data` is bytes read, `unique` the bytes of the text that is trained on."""

    parameters: int
    data: float
    unique: float


def effective(data: np.ndarray, unique: np.ndarray, repeats: float) -> np.ndarray:
    """What data read several times is worth in new data: the first time all, then less and less."""
    again = np.maximum(0.0, data / unique - 1)
    return np.minimum(data, unique) + unique * repeats * (1 - np.exp(-again / repeats))


@dataclass(frozen=True)
class Law:
    """Fits of the law to short runs: `fits` (F, 5), the first the best and the others shaken, in the order of PRIOR."""

    fits: np.ndarray
    repeats: np.ndarray  # (F,)
    noise: float
    middle: tuple[float, float]  # of the logarithms of parameters and data

    def predict(self, points: Sequence[Point]) -> np.ndarray:
        """Bits per byte of each point by each fit, (F, P)."""
        n, data, unique = columns(points)
        rows = [
            law(fit, n - self.middle[0], np.log(effective(data, unique, repeats)) - self.middle[1])
            for fit, repeats in zip(self.fits, self.repeats, strict=True)
        ]
        return np.stack(rows)


def import_scipy() -> Any:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise XinyeError('planning needs scipy: pip install "xinye[tune]"') from None
    return least_squares


def columns(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.log([float(point.parameters) for point in points]),
        np.array([point.data for point in points]),
        np.array([point.unique for point in points]),
    )


def law(fit: np.ndarray, n: np.ndarray, d: np.ndarray) -> np.ndarray:
    log_e, log_a, alpha, log_b, beta = fit
    return np.exp(log_e) + np.exp(log_a - alpha * n) + np.exp(log_b - beta * d)


def fit_law(points: Sequence[Point], bits_per_byte: Sequence[float], seed: int = 0) -> Law:
    """Fit the law to at least three figures."""
    least_squares = import_scipy()
    n, data, unique = columns(points)
    measured = np.array(bits_per_byte)
    mean, deviation = np.array(list(PRIOR.values())).T
    middle = float(n.mean()), float(np.log(data).mean())

    def solve(measured: np.ndarray, prior: np.ndarray, repeats: float, noise: float) -> np.ndarray:
        d = np.log(effective(data, unique, repeats)) - middle[1]

        def misfit(fit: np.ndarray) -> np.ndarray:
            return np.concatenate(((law(fit, n - middle[0], d) - measured) / noise, (fit - prior) / deviation))

        return least_squares(misfit, mean, loss="huber", f_scale=2.0).x

    best = solve(measured, mean, math.exp(REPEATS[0]), NOISE)
    d = np.log(effective(data, unique, math.exp(REPEATS[0]))) - middle[1]
    noise = max(NOISE, float(np.sqrt(np.mean((law(best, n - middle[0], d) - measured) ** 2))))
    random = np.random.default_rng(seed)
    repeats = np.exp([REPEATS[0], *random.normal(*REPEATS, FITS)])
    fits = [best]
    for worth in repeats[1:]:
        shaken = measured + random.normal(0, noise, len(measured)), mean + random.normal(0, 1, len(mean)) * deviation
        fits.append(solve(*shaken, worth, noise))
    return Law(np.stack(fits), repeats, noise, middle)


# -- short runs ------------------------------------------------------------------------------------------------------


@dataclass
class Candidate:
    """A size: what a run of it in the time given would be, and the short runs that it was judged by."""

    size: str
    settings: PretrainSettings
    values: dict[str, Any]  # of the plan of that run
    short: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return self.values["steps"] * self.values["batch_size"] * self.values["context"]

    @property
    def bytes_per_token(self) -> float:
        return self.short[-1]["bytes_per_token"]

    def point(self, tokens: float) -> Point:
        """A run over so many tokens."""
        unique = self.values["training_tokens"] * self.bytes_per_token
        return Point(self.values["parameters"], tokens * self.bytes_per_token, unique)


@dataclass(frozen=True)
class Planning:
    """Sizes that are compared, all for the same time in seconds."""

    output: Path
    given: PretrainSettings
    seconds: float
    candidates: list[Candidate]

    @property
    def cost(self) -> float:
        """Seconds that the short runs will take, about."""
        return sum(
            self.seconds * steps * batch * candidate.values["context"] / candidate.tokens
            for candidate in self.candidates
            for steps, batch in short_runs(candidate, len(self.candidates))
        )


def short_runs(candidate: Candidate, sizes: int) -> list[tuple[int, int]]:
    """Steps and batch size of the short runs of a size, which share the time evenly with the other sizes."""
    context, batch = candidate.values["context"], candidate.values["batch_size"]
    runs = []
    for horizon in HORIZONS:
        windows = candidate.tokens * SHARE / sizes * horizon / sum(HORIZONS) / context
        size = next((batch // part for part in (1, 2, 4) if windows * part / batch >= STEPS), max(1, batch // 8))
        runs.append((max(8 * horizon, round(windows / size)), size))
    return runs


def begin(settings: PretrainSettings, sizes: Sequence[str], watcher: Watcher, overwrite: bool = False) -> Planning:
    """Plan a run of each size in the time of the settings, and measure its speed."""
    import_scipy()
    counts = [parse_count(size, "size") for size in sizes]
    if len(set(counts)) < max(2, len(counts)):
        raise XinyeError("--size: name at least two sizes, each once, such as 1M,5M,15M")
    output = folder_for(settings, "plan")
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        if not (output / "plan.json").is_file():
            raise XinyeError(f"{output}: exists and is not a plan; choose another folder with -o")
        if not overwrite:
            raise XinyeError(f"{output}: there is a plan already; replace it with --overwrite, or choose another -o")
    planned = []
    for size in sizes:
        watcher.stage(f"a run of {size}")
        own = settings.model_copy(update={"size": size})
        planned.append((size, own, rehearse(own, watcher)))
    shutil.rmtree(output, ignore_errors=True)
    candidates = []
    for size, own, rehearsal in planned:
        folder = output / size / "tokenizer"
        rehearsal.tokenizer.save(folder)
        own = own.model_copy(update={**NO_BUDGET, "tokenizer": str(folder), "vocab_size": None})
        candidates.append(Candidate(size, own, rehearsal.values))
    write_json(output / "plan.json", {})  # to be filled; the folder is a plan's from now on
    return Planning(output, settings, parse_time(settings.time or ""), candidates)


def run_short(planning: Planning, watcher: Watcher) -> Iterator[dict[str, Any]]:
    """Take the short runs, the figures of each as it ends. They differ from the run that they stand for in nothing but
    steps and batch, so each is a whole run, with a warm-up and a rate that goes down to zero."""
    for number in range(len(HORIZONS)):
        for candidate in planning.candidates:
            steps, batch = short_runs(candidate, len(planning.candidates))[number]
            folder = planning.output / candidate.size / f"run-{number + 1}"
            own = {"steps": steps, "batch_size": batch, "dropout": candidate.values["dropout"], "compile": "no"}
            changes = {**own, "evaluations": 1, "output": folder}
            run = pretrain(candidate.settings.model_copy(update=changes), Passing(watcher))
            assert run is not None
            if run.interrupted:
                raise KeyboardInterrupt
            discard_weights(folder)
            loss, bits = run.validation["loss"], run.validation["bits_per_byte"]
            figures = {"tokens": run.tokens, "seconds": run.seconds, "bits_per_byte": bits}
            candidate.short.append({**figures, "bytes_per_token": round(loss / math.log(2) / bits, 4)})
            yield {"size": candidate.size, "steps": steps, "batch_size": batch, **figures}


# -- what is to be expected ------------------------------------------------------------------------------------------


def conclude(planning: Planning) -> dict[str, Any]:
    """Fit the law, say what each size would reach, and write `plan.json`, `plan.yaml` and the chart."""
    candidates, output = planning.candidates, planning.output
    points = [candidate.point(run["tokens"]) for candidate in candidates for run in candidate.short]
    fitted = fit_law(points, [run["bits_per_byte"] for candidate in candidates for run in candidate.short])
    reached = fitted.predict([candidate.point(candidate.tokens) for candidate in candidates])[1:]
    noise = np.random.default_rng(0).normal(0, fitted.noise, reached.shape)
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
            "short_runs": candidate.short,
        }
        for column, candidate in enumerate(candidates)
    ]
    best = min(sizes, key=lambda size: size["bits_per_byte"])
    values = fitted.fits[0]
    at_one = [values[1] + values[2] * fitted.middle[0], values[3] + values[4] * fitted.middle[1]]
    law_values = {"E": math.exp(values[0]), "A": math.exp(at_one[0]), "alpha": values[2], "B": math.exp(at_one[1])}
    result = {
        "plan": str(output),
        "time_seconds": planning.seconds,
        "recommended": best["size"],
        "sizes": sizes,
        "law": {name: round(float(value), 4) for name, value in {**law_values, "beta": values[4]}.items()},
        "config": str(output / "plan.yaml"),
        "charts": draw(planning, fitted),
    }
    note = f"Found by xinye plan: the lowest bits per byte of {', '.join(size['size'] for size in sizes)} in the time."
    write_config(output / "plan.yaml", planning.given, {"size": best["size"], "time": planning.given.time}, note)
    write_json(output / "plan.json", result)
    return result


def draw(planning: Planning, fitted: Law) -> list[str]:
    """The law of each size over the time, and what was measured, where matplotlib is installed."""
    lines, measured = {}, {}
    for candidate in planning.candidates:
        seconds = planning.seconds / candidate.tokens  # for a token
        tokens = np.geomspace(candidate.short[0]["tokens"], candidate.tokens, 40)
        curve = fitted.predict([candidate.point(count) for count in tokens])[1:].mean(axis=0)
        lines[candidate.size] = ((tokens * seconds).tolist(), curve.tolist())
        runs = candidate.short
        measured[candidate.size] = (
            [run["tokens"] * seconds for run in runs],
            [run["bits_per_byte"] for run in runs],
        )
    try:
        svg = line_chart(lines, "seconds of training", "bits per byte", log_x=True, points=measured)
    except XinyeError:
        return []
    save_chart(svg, planning.output / "plan.svg")
    return [str(planning.output / "plan.svg")]


def explain(result: dict[str, Any]) -> list[str]:
    """What the figures say, in sentences."""
    sizes, best = result["sizes"], result["recommended"]
    chance = {size["size"]: size["chance_of_best"] for size in sizes}
    others = [f"{size} ({chance[size]:.0%})" for size in chance if size != best and chance[size] >= 0.1]
    sentences = [
        f"{best} gives the lowest bits per byte in this time: it is the best size in {chance[best]:.0%} of the fits"
        + (f"; not ruled out: {', '.join(others)}." if others else ".")
    ]
    reach = max(size["tokens"] / size["short_runs"][-1]["tokens"] for size in sizes)
    sentences.append(
        f"The law is stretched to {reach:.0f} times the longest short run: take the figures as a forecast."
    )
    read = [f"{size['size']} {size['epochs']:.0f} times" for size in sizes if size["epochs"] > TRUSTED_EPOCHS]
    if read:
        sentences.append(
            f"In this time the text would be read often ({', '.join(read)}). Beyond {TRUSTED_EPOCHS} times a model "
            "may learn it by heart, which the law does not foresee; more text would help more than more time."
        )
    return sentences
