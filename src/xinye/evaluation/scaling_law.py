"""How bits per byte fall with the size of a model and the text it reads, fitted to a few runs, with
its uncertainty.

L(N, D) = E + A / N^α + B / D^β for N parameters and D bytes read (Hoffmann et al. 2022,
arXiv:2203.15556). Text that is read again counts for less and less (Muennighoff et al. 2023,
arXiv:2305.16264). Each size may learn somewhat slower or faster than the law says, by a factor of B
of its own: in short runs small models are ahead for that alone. A handful of short runs does not
fix so many numbers: what the literature knows of α, β and E goes into the fit as a prior, and the
uncertainty is that of many fits, each to figures and priors shaken by as much as they are
uncertain. Far beyond the longest run the law itself is not to be trusted, which is allowed for by
what it was found to be off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xinye.libraries import need

FITS = 100

# Mean and standard deviation before anything is measured. A and B stand for their terms, in bits
# per byte, at the middle of the sizes and lengths that were run. Hoffmann et al. and, anew from
# their data, Besiroglu et al. (2024, arXiv:2404.10102) found α 0.34–0.35, β 0.28–0.37 and E about
# 0.6 bits per byte; far from E the slope is that of Kaplan et al. (2020, arXiv:2001.08361), who
# fitted without it: 0.1.
PRIOR = {
    "log_e": (math.log(0.65), 0.4),
    "log_a": (math.log(0.6), 1.0),
    "alpha": (0.34, 0.07),
    "log_b": (math.log(0.6), 1.0),
    "beta": (0.23, 0.1),
}
OWN = 0.2  # standard deviation of the logarithm of a size's own factor of B
# log of the readings after which the same text has given most of what it can
REPEATS = (
    math.log(15.4),
    0.4,
)
# How far the slope may be off beyond the longest run, in bits per byte for each doubling of the
# data, as a standard deviation: for all sizes alike, and for each. Checked on runs sixteen times as
# long as what the law was fitted to, it was off by 0.01 at most on Chinese novels, and by up to
# 0.05 on English speeches.
DRIFT, OWN_DRIFT = 0.04, 0.015
NOISE = 0.015  # bits per byte: another seed moves a figure by so much
# Tokens read for each of the vocabulary: before, a model learns little but how frequent each is.
PLATEAU = 64


@dataclass(frozen=True)
class Point:
    """A run, done or planned."""

    parameters: int
    data: float  # bytes read
    unique: float  # bytes of the text that is trained on
    readings: float = math.inf  # tokens read for each of the vocabulary


def effective(data: np.ndarray, unique: np.ndarray, repeats: float) -> np.ndarray:
    """What data is worth in new data: up to `unique` itself, then less and less."""
    again = np.maximum(0.0, data / unique - 1)
    return np.minimum(data, unique) + unique * repeats * (1 - np.exp(-again / repeats))


@dataclass(frozen=True)
class Law:
    """Fits of the law, (F, 5 + S): numbers in the order of `PRIOR`, then the logarithm of each
    size's own factor of B.

    The first fit is to the figures as they are, the others to shaken ones.
    """

    fits: np.ndarray
    repeats: np.ndarray  # (F,)
    drift: np.ndarray  # (F, S) for each doubling beyond the longest run
    sizes: list[int]  # (S,) parameters of the sizes that were run
    longest: np.ndarray  # (S,) logarithm of the data of the longest run of each
    middle: np.ndarray  # logarithms of the parameters and the data that A and B are told at

    def predict(self, points: Sequence[Point]) -> np.ndarray:
        """Bits per byte of points of these sizes by each fit, (F, P)."""
        column = [self.sizes.index(point.parameters) for point in points]
        rows = []
        for fit, worth, drift in zip(self.fits, self.repeats, self.drift, strict=True):
            beyond = np.maximum(
                0.0, logarithms(points, worth)[1] - self.longest[column]
            ) / math.log(2)
            rows.append(self.of(fit, points, worth) + drift[column] * beyond)
        return np.stack(rows)

    def of(self, fit: np.ndarray, points: Sequence[Point], repeats: float) -> np.ndarray:
        log_e, log_a, alpha, log_b, beta = fit[:5]
        n, d = logarithms(points, repeats) - self.middle[:, None]
        own = fit[5:][[self.sizes.index(point.parameters) for point in points]]
        return np.exp(log_e) + np.exp(log_a - alpha * n) + np.exp(log_b + own - beta * d)

    @property
    def values(self) -> dict[str, float]:
        """E, A, α, B and β of the first fit, for bits per byte, parameters and bytes."""
        log_e, log_a, alpha, log_b, beta = (float(value) for value in self.fits[0][:5])
        a, b = math.exp(log_a + alpha * self.middle[0]), math.exp(log_b + beta * self.middle[1])
        return {"E": math.exp(log_e), "A": a, "alpha": alpha, "B": b, "beta": beta}


def logarithms(points: Sequence[Point], repeats: float) -> np.ndarray:
    """Parameters and effective data of points, (2, P)."""
    size, data, unique = np.array(
        [(point.parameters, point.data, point.unique) for point in points]
    ).T
    return np.log([size, effective(data, unique, repeats)])


def fit_law(points: Sequence[Point], bits_per_byte: Sequence[float]) -> Law:
    """Fit the law to what runs reached; the same runs give the same fits."""
    least_squares = import_least_squares()
    measured, random = np.array(bits_per_byte), np.random.default_rng(0)
    sizes = sorted({point.parameters for point in points})
    mean, deviation = np.array([*PRIOR.values(), *[(0.0, OWN)] * len(sizes)]).T
    noise = NOISE * np.maximum(1.0, [(PLATEAU / point.readings) ** 2 for point in points])
    repeats = np.exp([REPEATS[0], *random.normal(*REPEATS, FITS)])
    drift = random.normal(0, DRIFT, (FITS + 1, 1)) + random.normal(
        0, OWN_DRIFT, (FITS + 1, len(sizes))
    )
    drift[0] = 0.0
    logs = logarithms(points, repeats[0])
    longest = np.array([max(logs[1][np.exp(logs[0]).round() == size]) for size in sizes])
    law = Law(np.empty(0), repeats, drift, sizes, longest, logs.mean(axis=1))

    def solve(
        measured: np.ndarray, prior: np.ndarray, worth: float, begin: np.ndarray
    ) -> np.ndarray:
        def misfit(fit: np.ndarray) -> np.ndarray:
            return np.concatenate(
                ((law.of(fit, points, worth) - measured) / noise, (fit - prior) / deviation)
            )

        return least_squares(misfit, begin, loss="huber", f_scale=2.0).x

    fits = [solve(measured, mean, repeats[0], mean)]
    off = (law.of(fits[0], points, repeats[0]) - measured) / noise
    # where the law fits worse than it should
    noise = noise * max(1.0, float(np.sqrt(np.mean(off**2))))
    for worth in repeats[1:]:
        fits.append(
            solve(random.normal(measured, noise), random.normal(mean, deviation), worth, fits[0])
        )
    return replace(law, fits=np.stack(fits))


def import_least_squares() -> Any:
    need("a scaling law", "scipy")
    from scipy.optimize import least_squares

    return least_squares
