"""The rankers that count, as a recommender keeps them in its folder, and their weights in the
mix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import save_file
from scipy import sparse

from xinye.data.files import read_json, write_json, written_beside
from xinye.errors import XinyeError
from xinye.ranking.histories import Histories
from xinye.ranking.judging import Ranker, judge
from xinye.ranking.mix import CASES, Mix
from xinye.ranking.rankers import (
    EASE,
    EASE_PENALTY,
    PENALTIES,
    ItemKNN,
    ItemMarkov,
    Popular,
    Recent,
)
from xinye.ranking.split import Case, drawn
from xinye.ranking.tensor_files import read_arrays

TENSORS, VALUES = "ranking.safetensors", "ranking.json"
GPT = "GPT"
THE_MIX, WITHOUT_GPT, COUNTED = "the mix", "the mix without the GPT", "EASE + item-Markov"
COUNTING = (EASE.name, ItemMarkov.name, ItemKNN.name, Popular.name, Recent.name)
# What each mix consists of.
PARTS = {
    THE_MIX: (GPT, *COUNTING),
    WITHOUT_GPT: COUNTING,
    COUNTED: (EASE.name, ItemMarkov.name),
}
Mixes = Mapping[str, Mapping[str, float]]  # for each mix the weight of each part


@dataclass(frozen=True)
class Fitted:
    """The rankers that count, in the order in which a mix has them after the GPT."""

    ease: EASE
    markov: ItemMarkov
    knn: ItemKNN
    popular: Popular
    recent: Recent

    @classmethod
    def fit(cls, histories: Histories, penalty: float = EASE_PENALTY) -> Self:
        """Count anew. `penalty` is that of EASE."""
        return cls(
            EASE.fit(histories, penalty),
            ItemMarkov.fit(histories),
            ItemKNN.fit(histories),
            Popular.fit(histories),
            Recent.fit(histories),
        )

    @property
    def rankers(self) -> tuple[EASE, ItemMarkov, ItemKNN, Popular, Recent]:
        return self.ease, self.markov, self.knn, self.popular, self.recent

    @property
    def item_count(self) -> int:
        """The items that they know."""
        return len(self.popular.counts)

    def with_gpt(self, gpt: Ranker) -> dict[str, Ranker]:
        """These rankers and a GPT, by the names that mixes have for them."""
        return {GPT: gpt} | {each.name: each for each in self.rankers}

    def learn_mixes(self, gpt: Ranker, cases: Sequence[Case]) -> Mixes:
        """The weights of all mixes, learned on validation cases."""
        rankers = self.with_gpt(gpt)
        found = {
            name: Mix.learn([rankers[part] for part in parts], cases, name)
            for name, parts in PARTS.items()
        }
        return {
            name: dict(zip(PARTS[name], mix.weights.tolist(), strict=True))
            for name, mix in found.items()
        }

    def mixed(self, gpt: Ranker, mixes: Mixes) -> list[Mix]:
        """The mixes of these rankers and a GPT."""
        rankers = self.with_gpt(gpt)
        return [
            Mix([rankers[part] for part in parts], np.array([*parts.values()]), name)
            for name, parts in mixes.items()
        ]

    def save(self, folder: Path, mixes: Mixes) -> None:
        """Write the rankers and the weights of the mixes into a folder."""
        write_json(folder / VALUES, {"mixes": mixes})
        tensors: dict[str, np.ndarray] = {
            "ease.weights": self.ease.weights.astype(np.float16),
            "ease.items": self.ease.items.astype(np.int64),
            **_tensors("markov", self.markov.weights),
            **_tensors("knn", self.knn.weights),
            "popular": self.popular.counts,
            "recent": self.recent.counts,
        }
        with written_beside(folder / TENSORS) as beside:
            save_file(tensors, beside)

    @classmethod
    def load(cls, folder: Path) -> tuple[Self, Mixes]:
        """The rankers in a folder, and the weights of the mixes. Raises `XinyeError` if the files
        are damaged."""
        path = folder / TENSORS
        mixes = read_json(folder / VALUES).get("mixes")
        if not isinstance(mixes, dict) or not all(
            _are_weights(mixes.get(name), parts) for name, parts in PARTS.items()
        ):
            raise XinyeError(f"{folder / VALUES}: the weights of the mix are damaged")
        parts = read_arrays(path)
        try:
            return cls._of(parts), {name: mixes[name] for name in PARTS}
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise XinyeError(f"{path}: damaged ({error}); train the run again") from None

    @classmethod
    def _of(cls, parts: Mapping[str, Any]) -> Self:
        """The rankers of these tensors. Raises `ValueError` or `KeyError` if they do not fit."""
        popular, recent = parts["popular"], parts["recent"]
        count = len(popular)
        items, square = parts["ease.items"], parts["ease.weights"].astype(np.float32)
        numbers = (popular, recent, square)
        check(all(part.dtype == np.float32 for part in numbers), "kind of numbers")
        check(items.dtype.kind == "i", "kind of numbers")
        check(all(bool(np.isfinite(part).all()) for part in numbers), "numbers that are not finite")
        check(popular.shape == recent.shape == (count,), "popularity")
        check(bool((popular >= 0).all() and (recent >= 0).all()), "popularity")
        check(square.shape == (len(items), len(items)), "EASE")
        check(bool(((items >= 0) & (items < count)).all()), "EASE")
        check(len(np.unique(items)) == len(items), "EASE")
        return cls(
            EASE(square, items, count),
            ItemMarkov(_matrix("markov", parts, count)),
            ItemKNN(_matrix("knn", parts, count)),
            Popular(popular),
            Recent(recent),
        )


def best_penalty(histories: Histories, cases: Sequence[Case]) -> float:
    """The penalty with which EASE ranks the targets of validation cases best."""

    def figure(penalty: float) -> float:
        ease = EASE.fit(histories, penalty)
        return float(judge(ease, drawn(cases, CASES), histories.item_count).ndcg.mean())

    return max(PENALTIES, key=figure)


def _tensors(name: str, matrix: sparse.csr_matrix) -> dict[str, np.ndarray]:
    return {
        f"{name}.starts": matrix.indptr.astype(np.int64),
        f"{name}.items": matrix.indices.astype(np.int32),
        f"{name}.weights": matrix.data,
    }


def _matrix(name: str, parts: Mapping[str, Any], count: int) -> sparse.csr_matrix:
    """The matrix (count, count) that `_tensors` gave. Raises `ValueError` or `KeyError` if it is
    damaged."""
    starts, columns, weights = (parts[f"{name}.{each}"] for each in ("starts", "items", "weights"))
    check(weights.dtype == np.float32 and bool(np.isfinite(weights).all()), name)
    check(starts.dtype.kind == columns.dtype.kind == "i", name)
    check(starts.shape == (count + 1,) and columns.shape == weights.shape, name)
    check(starts[-1] == len(columns), name)
    found = sparse.csr_matrix((weights, columns, starts), (count, count))
    found.check_format(full_check=True)
    return found


def _are_weights(given: Any, parts: Sequence[str]) -> bool:
    return (
        isinstance(given, dict)
        and [*given] == [*parts]
        and all(type(each) in (int, float) and 0 <= each <= 1 for each in given.values())
    )


def check(right: bool, what: str) -> None:
    if not right:
        raise ValueError(f"wrong {what}")
