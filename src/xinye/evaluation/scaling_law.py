"""Fits a scaling law to a few runs: how bits per byte fall with the size of a model and the text it
reads, with the uncertainty.

L(N, D) = E + A / N^α + B / D^β for N parameters and D bytes read (Hoffmann et al. 2022,
arXiv:2203.15556). Text that is read again counts less and less (Muennighoff et al. 2023,
arXiv:2305.16264). Each size has its own factor of B, because it may learn somewhat slower or faster
than the law says: in short runs, small models are ahead for this reason alone. A few short runs do
not determine so many numbers. So published values of α, β and E are the prior of the fit, and the
uncertainty comes from many fits with randomly changed measurements and priors. The law itself is
not reliable far beyond the longest run, so predictions there include the error seen in tests. And
the law is tested on the runs themselves: fitted without the longest of each size, it predicts them.
Where they fall farther off than its fits differ, all its uncertainty is larger by that factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xinye.libraries import need

FITS = 100

# Mean and standard deviation of the prior. A and B stand for their terms, in bits per byte, at the
# middle of the sizes and lengths of the runs. Hoffmann et al. and, from the same data, Besiroglu et
# al. (2024, arXiv:2404.10102) found α 0.34–0.35, β 0.28–0.37 and E about 0.6 bits per byte. Kaplan
# et al. (2020, arXiv:2001.08361) fitted without E and found a slope of 0.1, which holds far from E.
PRIOR = {
    "log_e": (math.log(0.65), 0.4),
    "log_a": (math.log(0.6), 1.0),
    "alpha": (0.34, 0.07),
    "log_b": (math.log(0.6), 1.0),
    "beta": (0.23, 0.1),
}
OWN = 0.2  # standard deviation of the logarithm of each size's factor of B
# Mean and standard deviation of the logarithm of how many readings of the same text still help.
REPEATS = (
    math.log(15.4),
    0.4,
)
# The error of the slope beyond the longest run, in bits per byte per doubling of the data, as
# standard deviations: one for all sizes together, and one for each size. On runs sixteen times as
# long as those in the fit, the error was at most 0.01 on Chinese novels, and up to 0.05 on English
# speeches, where the sizes differed in it by 0.025. As there are few such tests, the error of a
# size has Student's t distribution with `FREEDOM` degrees of freedom, in which large errors are
# more frequent than in the normal one.
DRIFT, OWN_DRIFT, FREEDOM = 0.04, 0.025, 4
NOISE = 0.015  # bits per byte: the effect of another seed
# Tokens read per entry of the vocabulary. Before that, a model learns little more than the
# frequency of each token.
PLATEAU = 64


@dataclass(frozen=True)
class Point:
    """A run, done or planned: parameters and bytes."""

    parameters: int
    data: float  # bytes read
    unique: float  # bytes of the training text
    readings: float = math.inf  # tokens read per entry of the vocabulary


def effective(data: np.ndarray, unique: np.ndarray, repeats: float) -> np.ndarray:
    """The amount of new data that is worth as much as `data` bytes of a text of `unique` bytes.
    Each further reading counts less.
    """
    again = np.maximum(0.0, data / unique - 1)
    return np.minimum(data, unique) + unique * repeats * (1 - np.exp(-again / repeats))


@dataclass(frozen=True)
class Law:
    """The fits of the law, (F, 5 + S): the numbers in the order of `PRIOR`, then the logarithm of
    each size's factor of B.

    The first fit uses the measurements as they are, the others use randomly changed ones.
    """

    fits: np.ndarray
    repeats: np.ndarray  # (F,)
    drift: np.ndarray  # (F, S) error per doubling beyond the longest run
    sizes: list[int]  # (S,) parameters of the sizes in the runs
    longest: np.ndarray  # (S,) logarithm of the data of each size's longest run
    middle: np.ndarray  # (2,) logarithms of parameters and data at which A and B are fitted

    def predict(self, points: Sequence[Point]) -> np.ndarray:
        """The bits per byte of points by each fit, (F, P). Their sizes must be among those of the
        runs.
        """
        column = [self.sizes.index(point.parameters) for point in points]
        rows = []
        for fit, worth, drift in zip(self.fits, self.repeats, self.drift, strict=True):
            beyond = np.maximum(
                0.0, logarithms(points, worth)[1] - self.longest[column]
            ) / math.log(2)
            rows.append(self.of(fit, points, worth) + drift[column] * beyond)
        return np.stack(rows)

    def of(self, fit: np.ndarray, points: Sequence[Point], repeats: float) -> np.ndarray:
        """The bits per byte of points by one fit, (P,), without drift."""
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
    """The logarithms of the points' parameters and effective data, (2, P)."""
    size, data, unique = np.array(
        [(point.parameters, point.data, point.unique) for point in points]
    ).T
    return np.log([size, effective(data, unique, repeats)])


def fit_law(points: Sequence[Point], bits_per_byte: Sequence[float]) -> Law:
    """The law fitted to the measured bits per byte of these runs. The same runs give the same fits.
    Raises `XinyeError` if scipy is not installed.
    """
    least_squares = import_least_squares()
    measured, random = np.array(bits_per_byte), np.random.default_rng(0)
    sizes = sorted({point.parameters for point in points})
    mean, deviation = np.array([*PRIOR.values(), *[(0.0, OWN)] * len(sizes)]).T
    noise = NOISE * np.maximum(1.0, [(PLATEAU / point.readings) ** 2 for point in points])
    repeats = np.exp([REPEATS[0], *random.normal(*REPEATS, FITS)])
    drift = random.normal(0, DRIFT, (FITS + 1, 1))
    drift = drift + OWN_DRIFT * random.standard_t(FREEDOM, (FITS + 1, len(sizes)))
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
    # increase the noise if the law fits worse than expected
    noise = noise * max(1.0, float(np.sqrt(np.mean(off**2))))
    for worth in repeats[1:]:
        fits.append(
            solve(random.normal(measured, noise), random.normal(mean, deviation), worth, fits[0])
        )
    return replace(law, fits=np.stack(fits))


@dataclass(frozen=True)
class Check:
    """How well the law, fitted without the longest run of each size, predicts those runs."""

    measured: np.ndarray  # (S,) the bits per byte of those runs
    predicted: np.ndarray  # (S,)
    stretch: float  # by this factor the law's uncertainty is too small, at least 1

    @property
    def error(self) -> float:
        """The largest error, in bits per byte."""
        return float(np.abs(self.predicted - self.measured).max())


def check_law(points: Sequence[Point], bits_per_byte: Sequence[float]) -> Check:
    """Test the law on the longest run of each size. There must be a shorter run of each."""
    longest = {
        size: max(
            (number for number, point in enumerate(points) if point.parameters == size),
            key=lambda number: points[number].data,
        )
        for size in sorted({point.parameters for point in points})
    }
    tested = list(longest.values())
    others = [number for number in range(len(points)) if number not in tested]
    law = fit_law([points[number] for number in others], [bits_per_byte[n] for n in others])
    found = law.predict([points[number] for number in tested])[1:]
    measured = np.array([bits_per_byte[number] for number in tested])
    predicted, deviation = found.mean(axis=0), np.hypot(found.std(axis=0), NOISE)
    off = float(np.sqrt(np.mean(((predicted - measured) / deviation) ** 2)))
    return Check(measured, predicted, max(1.0, off))


def import_least_squares() -> Any:
    """scipy's `least_squares`. Raises `XinyeError` if scipy is not installed."""
    need("a scaling law", "scipy")
    from scipy.optimize import least_squares

    return least_squares
