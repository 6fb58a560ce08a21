"""What turns the texts of items into features for an `ItemGPT`."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from xinye.data.files import read_json, write_json, written_beside
from xinye.data.scripts import HAN, is_han
from xinye.errors import XinyeError
from xinye.libraries import need
from xinye.ranking.items import Item
from xinye.ranking.tensor_files import read_arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from xinye.data.tokenizer import Tokenizer
    from xinye.model.build import Network

Vectors = NDArray[np.float32]
TextVectors = Callable[[Sequence[str]], Vectors]  # from texts to (texts, D)

WIDTHS = (64, 256)  # the fewest and the most features
# With more features the network learns by heart which item has which text. Then it recommends new
# items less well: on MovieLens their NDCG@10 is 0.019 with 64, 0.017 with 256, 0.009 with 1,024.
ITEMS_PER_FEATURE = 50
RAREST = 2  # a term is known if it occurs in the texts of this many items
MOST_TERMS = 50_000  # the most frequent ones are kept

_RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+")


def item_terms(item: Item) -> list[str]:
    """The terms of an item: its words, of Han text each character and each pair of neighbours, and
    each of its tags as a whole.

    >>> item_terms(Item("1", "红茶 No. 5", tags=("Sci-Fi",)))
    ['红', '茶', '红茶', 'no', '5', '#sci-fi']
    """
    found: list[str] = []
    for run in _RUN.findall(_folded(f"{item.title}\n{item.text}")):
        if is_han(run):
            found += run
            found += [run[at : at + 2] for at in range(len(run) - 1)]
        else:
            found.append(run)
    return found + ["#" + _folded(tag).strip() for tag in item.tags]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def item_text(item: Item) -> str:
    """The text of an item that a language model reads.

    >>> item_text(Item("1", "红茶", tags=("饮料", "茶")))
    '红茶\\n饮料, 茶'
    """
    return "\n".join(part for part in (item.title, ", ".join(item.tags), item.text) if part)


def usual_width(items: int) -> int:
    """The number of features for so many learned items."""
    fewest, most = WIDTHS
    return min(max(items // ITEMS_PER_FEATURE, fewest), most)


@dataclass(frozen=True)
class ItemTexts:
    """What turns the text of an item into features: a vector of the text, from which `mean` is
    taken, times `basis`.

    The vector holds the TF-IDF of the terms, and the basis their strongest directions (latent
    semantic analysis, Deerwester et al. 1990). Or it holds the mean hidden states of a language
    model, and the basis also makes all directions equally strong (whitening, as in UniSRec, Hou et
    al. 2022, arXiv:2206.05941), because a few would outweigh all others. On average over the
    learned items, the squares of the features of an item sum to 1.
    """

    terms: tuple[str, ...]
    weights: Vectors  # (terms,), how much each of them counts
    mean: Vectors  # (D,)
    basis: Vectors  # (D, F)
    model: str = ""  # the language model that reads the texts, if one does

    @classmethod
    def fit(cls, items: Sequence[Item], width: int | None = None) -> Self:
        """From the terms of the learned items. Without any known term there is one feature, which
        is always 0."""
        documents = Counter(term for item in items for term in dict.fromkeys(item_terms(item)))
        terms = [term for term, count in documents.most_common(MOST_TERMS) if count >= RAREST]
        counts = np.array([documents[term] for term in terms], np.float32)
        weights = np.log((1 + len(items)) / (1 + counts)) + 1
        mean = np.zeros(len(terms), np.float32)
        none = np.zeros((len(terms), 1), np.float32)
        begun = cls(tuple(terms), weights.astype(np.float32), mean, none)
        if not terms:
            return begun
        need("features of texts", "sklearn")
        from sklearn.utils.extmath import randomized_svd

        width = min(width or usual_width(len(items)), len(terms), len(items))
        tf_idf = begun.tf_idf(items)
        basis = randomized_svd(tf_idf, width, random_state=0)[2].T
        return begun._scaled(tf_idf @ basis, basis)

    @classmethod
    def of_vectors(cls, vectors: Vectors, model: str, width: int | None = None) -> Self:
        """From the vectors (n, D) that a language model, called `model`, gives the texts of the
        learned items."""
        mean = vectors.mean(axis=0)
        _, values, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        strong = values > 1e-4 * max(float(values[0]), 1e-12)
        width = max(1, min(width or usual_width(len(vectors)), int(strong.sum())))
        basis = (directions[:width] / np.maximum(values[:width, None], 1e-12)).T
        begun = cls((), np.zeros(0, np.float32), mean.astype(np.float32), basis, model)
        return begun._scaled((vectors - mean) @ basis, basis)

    def _scaled(self, features: Vectors, basis: Vectors) -> Self:
        size = float(np.sqrt((features**2).sum(axis=1).mean()))
        scaled = np.ascontiguousarray(basis / max(size, 1e-6), np.float32)
        return replace(self, basis=scaled)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.basis.shape[1]

    def features(self, items: Sequence[Item], vectors: TextVectors | None = None) -> Vectors:
        """The features of items, (items, F). `vectors` is the language model `model`, if there is
        one; without it this raises `XinyeError`."""
        if self.model and vectors is None:
            raise XinyeError(
                f"the texts of items are read by the language model {self.model}; restore its "
                "folder"
            )
        if vectors is not None:
            found = vectors([item_text(item) for item in items]) - self.mean
            return np.asarray(found @ self.basis, np.float32)
        return np.asarray(self.tf_idf(items) @ self.basis, np.float32)

    def tf_idf(self, items: Sequence[Item]) -> "csr_matrix":
        """The TF-IDF of the items' terms with logarithmic counts, each row of length 1."""
        from scipy.sparse import csr_matrix

        number = {term: place for place, term in enumerate(self.terms)}
        rows: list[int] = []
        columns: list[int] = []
        counts: list[int] = []
        for row, item in enumerate(items):
            for term, count in Counter(item_terms(item)).items():
                if term in number:
                    rows.append(row)
                    columns.append(number[term])
                    counts.append(count)
        weighted = (1 + np.log(np.array(counts, np.float32))) * self.weights[columns]
        squares = np.bincount(rows, weighted**2, minlength=len(items))
        weighted /= np.sqrt(squares[rows])
        return csr_matrix((weighted, (rows, columns)), (len(items), len(self.terms)))

    # -- files -------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `texts.safetensors` and `texts.json` to a folder."""
        write_json(folder / "texts.json", {"model": self.model, "terms": list(self.terms)})
        tensors = {"weights": self.weights, "mean": self.mean, "basis": self.basis}
        with written_beside(folder / "texts.safetensors") as beside:
            save_file(tensors, beside)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The one that was saved in a folder. Raises `XinyeError` for damaged files."""
        path = folder / "texts.safetensors"
        about = read_json(folder / "texts.json")
        terms, model = about.get("terms"), about.get("model")
        found = read_arrays(path)
        parts = [found[name] for name in ("weights", "mean", "basis") if name in found]
        fits = (
            len(parts) == 3
            and isinstance(model, str)
            and isinstance(terms, list)
            and all(isinstance(term, str) for term in terms)
            and all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts)
            and [part.shape for part in parts] == cls._shapes(terms, model, *parts[1:])
        )
        if not fits:
            raise XinyeError(f"{path}: damaged: it does not fit texts.json; restore both files")
        weights, mean, basis = parts
        return cls(tuple(terms or ()), weights, mean, basis, str(model))

    @staticmethod
    def _shapes(
        terms: list[str], model: str, mean: Vectors, basis: Vectors
    ) -> list[tuple[int, ...]]:
        """The shapes that the three tensors must have, as far as they are known."""
        size = mean.size if model else len(set(terms))
        return [(len(terms),), (size,), (size, max(1, basis.size // max(1, size)))]


@dataclass(frozen=True)
class TextLikeness:
    """Ranks items by how similar the TF-IDF of their texts is to the mean of the history's."""

    terms: "csr_matrix"  # (n, terms), of length 1
    name: str = "similar texts"

    @classmethod
    def fit(cls, items: Sequence[Item]) -> Self:
        return cls(ItemTexts.fit(items, width=1).tf_idf(items))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        from xinye.ranking.rankers import rows_of

        read = rows_of(histories, self.terms.shape[0]) @ self.terms
        return np.asarray((read @ self.terms.T).todense(), np.float32)


def language_vectors(network: "Network", tokenizer: "Tokenizer") -> TextVectors:
    """What gives each text the mean of a language model's hidden states, (texts, C). Of a text that
    is longer than its context the beginning is read."""
    from xinye.model.heads import Head
    from xinye.model.pooling import mean_states

    gpt = network.gpt if isinstance(network, Head) else network
    prefix = list(tokenizer.prefix)
    room = gpt.config.max_position_embeddings - len(prefix)

    def vectors(texts: Sequence[str]) -> Vectors:
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = tokenizer.encode_batch(plain)
        rows = [[*prefix, *(row[:room] or [tokenizer.bos_id])] for row in tokens]
        return np.asarray(mean_states(network, rows, len(prefix)).numpy(), np.float32)

    return vectors
