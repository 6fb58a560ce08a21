"""Recommends items by a trained recommender: scores, reasons, diversity, and items that are new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import torch
from torch import Tensor

from xinye.checkpoints import item_folders
from xinye.checkpoints.folders import ITEMS, check_item_folder
from xinye.checkpoints.load import load_any
from xinye.errors import XinyeError, refuse_first
from xinye.model.items import ItemGPT
from xinye.ranking.catalogue import Catalogue, Unlearned, rarity
from xinye.ranking.diversity import NEVER, best, cosines
from xinye.ranking.fitted import GPT, THE_MIX, Fitted, Mixes
from xinye.ranking.history_file import KnownUsers, read_histories
from xinye.ranking.item_texts import ItemTexts, TextVectors, language_vectors
from xinye.ranking.items import Item
from xinye.ranking.judging import finite
from xinye.ranking.mix import beside, standardised
from xinye.ranking.suggestions import Asked, Reason, Recommended, Suggestion

POPULAR = 0.1  # share of the items that are called popular
# What an item of the history must count for another at least, in deviations of the mix, to be the
# reason. Of those below, half were no more frequent after it than otherwise (the demo's bookshop).
PULL = 0.1
MOST_DIVERSE = 1_000
TAG_FIELDS = ("tag", "tags", "标签")


@dataclass(frozen=True)
class Scores:
    """The scores of all items after one history, and the parts of which they are made."""

    total: np.ndarray  # (items,)
    scales: Mapping[str, float]  # what a score of a ranker counts in the total


@dataclass(frozen=True)
class GPTAlone:
    """Ranks items by a network alone, with these rows (n, C) and changes (n,) of the logits."""

    network: ItemGPT
    rows: Tensor
    prior: np.ndarray
    name: str = ItemGPT.name

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        logits: np.ndarray = (self.network.states(histories, self.rows) @ self.rows.T).numpy()
        return logits + self.prior


class Recommender:
    """A trained recommender. Several threads can ask it at once.

    >>> recommender = Recommender.load("runs/shop")  # doctest: +SKIP
    >>> recommender.recommend(Asked(history=("tea",), k=3))  # doctest: +SKIP
    """

    def __init__(
        self,
        network: ItemGPT,
        catalogue: Sequence[Item],
        ranking: tuple[Fitted, Mixes],
        texts: ItemTexts,
        users: KnownUsers,
        unlearned: Unlearned | None = None,
    ) -> None:
        """`ranking` are the rankers that count, and the weights of the mixes. `unlearned`
        tells of the items that the network did not learn; without it, their texts are read."""
        self.network = network.eval()
        self.fitted, self.mixes = ranking
        self.weights = self.mixes[THE_MIX]
        self.texts, self.users = texts, users
        # The place of each learned item in EASE, or -1. The last one is for all others.
        self._covered = np.full(self.fitted.item_count + 1, -1)
        self._covered[self.fitted.ease.items] = np.arange(len(self.fitted.ease.items))
        self._changing = Lock()
        self._learned = network.config.vocab_size
        counted = self.fitted.item_count
        rows = network.complete_rows().detach().float()
        others = catalogue[self._learned :]
        features, uses = (unlearned.features, unlearned.uses) if unlearned else (None, None)
        more, with_text = self._rows(others, features) if others else (rows[:0], np.empty(0, bool))
        prior = np.zeros(len(catalogue), np.float32)
        if uses is not None:
            few = uses[counted - self._learned :]
            prior[counted:] = rarity(few, float(self.fitted.popular.counts.mean()))
        self.catalogue = Catalogue(
            tuple(catalogue),
            {item.id: number for number, item in enumerate(catalogue)},
            counted,
            torch.cat((rows, more)),
            np.concatenate((np.ones(counted, bool), with_text[counted - self._learned :])),
            prior,
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The recommender in a run's folder. Raises `XinyeError` if it is damaged, or holds another
        model."""
        folder = Path(folder)
        check_item_folder(folder)
        found = item_folders.read(folder)
        inside = folder / ITEMS
        fitted, mixes = Fitted.load(inside)
        if not found.network.config.vocab_size <= fitted.item_count <= len(found.catalogue):
            raise XinyeError(
                f"{inside}: ranking.safetensors counts {fitted.item_count:,} items, which does not "
                "fit the network and the catalogue; restore the files"
            )
        texts = ItemTexts.load(inside)
        if texts.width != found.network.embed_text.in_features:
            raise XinyeError(f"{inside}: texts.safetensors does not fit the network; restore it")
        others = len(found.catalogue) - found.network.config.vocab_size
        unlearned = Unlearned.load(inside, (others, texts.width))
        numbers = {item.id: number for number, item in enumerate(found.catalogue)}
        users = read_histories(inside, numbers)
        return cls(found.network, found.catalogue, (fitted, mixes), texts, users, unlearned)

    # -- what is known -----------------------------------------------------------------------------

    def history_of(self, user: str) -> list[str]:
        """The items that a user used before the training, oldest first; none for unknown users."""
        history = self.users.history(user)
        if history is None:
            return []
        return [self.catalogue.items[number].id for number in history.tolist()]

    def item(self, item: str) -> Item:
        """The item with an id. Raises `UnknownItem`."""
        return self.catalogue.items[self.catalogue.number(item)]

    def can_recommend(self, item: str) -> bool:
        """Whether an item was learned, or words of its text are known. Raises `UnknownItem`."""
        return bool(self.catalogue.with_text[self.catalogue.number(item)])

    def read_texts(self) -> None:
        """Load the language model that reads the texts of new items, if one does, so that the first
        of them does not wait for it. Raises `XinyeError` if it is not there any more."""
        _ = self._vectors

    def put_item(self, item: Item) -> bool:
        """Add an item, or change its title, text and tags; it can be recommended at once. An item
        that was learned keeps what was learned of it. Returns whether it is new."""
        return self.put_items([item]) > 0

    def put_items(self, items: Sequence[Item]) -> int:
        """Add or change several items, as `put_item` does; of those with the same id the last one
        counts. Returns how many are new."""
        with self._changing:
            old = self.catalogue
            known, numbers = [*old.items], dict(old.numbers)
            unlearned: dict[int, Item] = {}
            for item in items:
                number = numbers.setdefault(item.id, len(known))
                known[number : number + 1] = [item]
                if number >= self._learned:
                    unlearned[number] = item
            added = len(known) - len(old.items)
            rows = torch.cat((old.rows, old.rows.new_zeros(added, old.rows.shape[1])))
            with_text = np.append(old.with_text, np.zeros(added, bool))
            prior = np.append(old.prior, np.zeros(added, np.float32))
            if unlearned:
                places = np.array([*unlearned])
                new, seen = self._rows([*unlearned.values()])
                rows[torch.from_numpy(places)] = new
                with_text[places] = seen | (places < old.counted)
            # Whoever is being answered keeps the old catalogue.
            self.catalogue = Catalogue(tuple(known), numbers, old.counted, rows, with_text, prior)
            return added

    def _rows(
        self, items: Sequence[Item], features: np.ndarray | None = None
    ) -> tuple[Tensor, np.ndarray]:
        """The rows (m, C) of items that were not learned, and whether their texts say anything."""
        if features is None:
            features = self.texts.features(items, self._vectors)
        rows = self.network.vectors(torch.from_numpy(features)).float()
        described = [bool(item.title or item.text or item.tags) for item in items]
        return rows, np.array(described) & (np.abs(features).sum(axis=1) > 0)

    @cached_property
    def _vectors(self) -> TextVectors | None:
        """The language model that reads texts, if one does. It is loaded for the first new item."""
        return language_vectors(*load_any(self.texts.model)) if self.texts.model else None

    def gpt(self) -> "GPTAlone":
        """The GPT as a ranker of the items that were counted."""
        count = self.catalogue.counted
        return GPTAlone(self.network, self.catalogue.rows[:count], self.catalogue.prior[:count])

    # -- recommending ------------------------------------------------------------------------------

    def recommend(self, asked: Asked) -> Recommended:
        """The best items for a user or after a history, which they never repeat. For a user who is
        not known, and after an empty history, they are what is popular (`cold`).

        Raises `UnknownItem` for a history with an unknown item, and `XinyeError` for wrong numbers
        and unknown tags.
        """
        check(asked)
        catalogue = self.catalogue
        history = self._history(asked, catalogue)
        scores = self.scores(history, catalogue)
        total = scores.total.copy()
        total[history] = NEVER
        total[~catalogue.with_text] = NEVER
        total[[n for each in asked.exclude if (n := catalogue.numbers.get(each)) is not None]] = (
            NEVER
        )
        if tags := [value for _, value in asked.filters]:
            total[~catalogue.with_tags(tags)] = NEVER
        chosen = best(total, asked, catalogue.rows)
        reasons = self._reasons(chosen, history, scores, catalogue)
        suggestions = [
            Suggestion(
                catalogue.items[item].id, catalogue.items[item].title, float(total[item]), reason
            )
            for item, reason in zip(chosen, reasons, strict=True)
        ]
        return Recommended(suggestions, cold=not len(history))

    def _history(self, asked: Asked, catalogue: Catalogue) -> np.ndarray:
        if asked.history is None:
            known = self.users.history(asked.user or "")
            return np.empty(0, np.int64) if known is None else known.astype(np.int64)
        numbers = [catalogue.number(item) for item in asked.history]
        return np.array([*dict.fromkeys(numbers)], np.int64)

    def scores(self, history: np.ndarray, catalogue: Catalogue) -> Scores:
        """The scores of all items after a history of numbers.

        The scores of the items that were counted are those of the mix. The others stand where the
        GPT alone would put them among these.
        """
        count = catalogue.counted
        counted = history[history < count]
        gpt = GPTAlone(self.network, catalogue.rows, catalogue.prior).scores([history])[0]
        parts = {GPT: gpt[:count]}
        parts |= {each.name: each.scores([counted])[0] for each in self.fitted.rankers}
        weighted = {
            name: self.weights[name] * standardised(part[None])[0] for name, part in parts.items()
        }
        scales = {
            name: self.weights[name] / max(float(part.std()), 1e-6) for name, part in parts.items()
        }
        mixed = finite(np.sum([*weighted.values()], axis=0))
        total = np.full(len(catalogue.items), NEVER, np.float32)
        total[:count] = mixed
        if not len(history):
            # No ranker but these knows anything, whatever they count in the mix.
            total[:count] = standardised(self.fitted.popular.scores([counted]))[0]
            total[:count] += standardised(self.fitted.recent.scores([counted]))[0]
        elif len(total) > count:
            rest = np.ones(count, bool)
            rest[counted] = False
            total = beside(total[:count], gpt, rest)
        return Scores(total, scales)

    # -- reasons -----------------------------------------------------------------------------------

    def _reasons(
        self, chosen: Sequence[int], history: np.ndarray, scores: Scores, catalogue: Catalogue
    ) -> list[Reason]:
        """Why items are recommended: the item of the history that counted most for each, that it is
        popular, or the history as a whole."""
        if not len(history) or not chosen:
            return [Reason("popular")] * len(chosen)
        items = np.array(chosen)
        ids = [catalogue.items[number].id for number in history.tolist()]
        similar = cosines(catalogue.rows[history], catalogue.rows[items])
        pulls = self._pulls(items, history, scores.scales)
        reasons = []
        for column, item in enumerate(chosen):
            strongest = int(pulls[:, column].argmax())
            if item >= catalogue.counted:
                reasons.append(Reason("text", ids[int(similar[:, column].argmax())]))
            elif pulls[strongest, column] >= PULL:
                reasons.append(Reason("similar", ids[strongest]))
            elif self._is_popular[item]:
                reasons.append(Reason("popular"))
            else:
                reasons.append(Reason("history"))
        return reasons

    @cached_property
    def _is_popular(self) -> np.ndarray:
        """Which counted items are among the tenth that most users used, (counted,) of bool."""
        counts = self.fitted.popular.counts
        popular: np.ndarray = counts >= np.quantile(counts, 1 - POPULAR)
        return popular

    def _pulls(
        self, items: np.ndarray, history: np.ndarray, scales: Mapping[str, float]
    ) -> np.ndarray:
        """How much each item of a history counts for some items, (H, items), by EASE and
        item-Markov."""
        ease, markov, count = self.fitted.ease, self.fitted.markov, self.fitted.item_count
        pulls = np.zeros((len(history), len(items)), np.float32)
        rows, columns = (
            self._covered[np.where(each < count, each, count)] for each in (history, items)
        )
        pulls[np.ix_(rows >= 0, columns >= 0)] = (
            scales[ease.name] * ease.weights[np.ix_(rows[rows >= 0], columns[columns >= 0])]
        )
        late = np.flatnonzero(history < count)[::-1][: markov.window]
        followed = markov.weights[history[late]].toarray()
        known = items < count
        weights = scales[markov.name] * markov.decay ** np.arange(len(late), dtype=np.float32)
        pulls[np.ix_(late, known)] += weights[:, None] * followed[:, items[known]]
        return pulls


def check(asked: Asked) -> None:
    """Raises `XinyeError` if something is asked for that cannot be."""
    fields = {field for field, _ in asked.filters if field not in TAG_FIELDS}
    refuse_first(
        (
            (asked.user is None) == (asked.history is None),
            "say for whom: give either a user, or a history of items",
        ),
        (asked.k < 1, "ask for at least one item"),
        (not 0 <= asked.diversity <= 1, f"diversity {asked.diversity:g}: use 0 to 1"),
        (
            asked.diversity and asked.k > MOST_DIVERSE,
            f"with diversity, ask for at most {MOST_DIVERSE:,} items, which are all compared",
        ),
        (fields, f"items can be filtered by tag only: tag=NAME, not {next(iter(fields), '')}=…"),
    )
