"""Exact and near duplicates of earlier documents.

Two texts are near duplicates if they share most runs of five characters. Their similarity (Jaccard)
is estimated from sketches of those runs (MinHash), which take 0.5 kB or more a document.
"""

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np

from xinye.data.mixing import mix

SHINGLE = 5  # characters: a word of English, a phrase of Chinese
PERMUTATIONS = 128
MOST_DIGESTS = 4_000_000  # of 20 bytes each
MOST_SAMPLED = 2_000_000  # characters in which near duplicates are looked for,
MOST_DOCUMENTS = 20_000  # and documents: some seconds' work


def digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


class Seen:
    """Remembers 16 bytes of each text."""

    def __init__(self) -> None:
        self.digests: set[bytes] = set()

    def before(self, text: str) -> bool:
        """Whether this text was given before; from now on it was."""
        count = len(self.digests)
        self.digests.add(digest(text, 16))
        return len(self.digests) == count


class NearlySeen:
    """The same for texts at least so similar; of those only the first is remembered
    (datasketch).
    """

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self.threshold = threshold
        self.empty = MinHash(PERMUTATIONS, hashfunc=int)
        # Its index leans to too many candidates, for each of them is then measured.
        self.index = MinHashLSH(min(threshold, 0.95), PERMUTATIONS, weights=(0.1, 0.9))
        self.kept: list[np.ndarray] = []

    def before(self, text: str) -> bool:
        shingles = np.unique(shingle_hashes(code_points(text)) >> np.uint64(32)).tolist()
        if not shingles:
            return False
        sketch = self.empty.copy()
        for start in range(0, len(shingles), 4096):  # each takes 1 kB while it is sketched
            sketch.update_batch(shingles[start : start + 4096])
        values = sketch.hashvalues.astype(np.uint32)
        if any(
            np.mean(values == self.kept[each]) >= self.threshold
            for each in self.index.query(sketch)
        ):
            return True
        self.index.insert(len(self.kept), sketch, check_duplication=False)
        self.kept.append(values)
        return False


def code_points(text: str) -> np.ndarray:
    """The characters of a text as numbers, (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def shingle_hashes(codes: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each run of five code points, (N,) to (N - 4,), without a loop over them."""
    codes = codes.astype(np.uint64)
    hashes = np.zeros(max(0, len(codes) - SHINGLE + 1), dtype=np.uint64)
    for offset in range(SHINGLE if len(hashes) else 0):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(hashes)]
    return hashes


class Copies:
    """Counts exact copies of earlier documents. Beyond `MOST_DIGESTS` documents it counts only
    every second one, every fourth …, chosen by a hash of the text, so that copies are counted or
    left out together.
    """

    def __init__(self) -> None:
        self.mask = 0
        self.digests, self.places, self.lengths = array("Q"), array("Q"), array("I")

    def add(self, text: str, place: int) -> None:
        value = int.from_bytes(digest(text, 8), "little")
        if value & self.mask:
            return
        self.digests.append(value)
        self.places.append(place)
        self.lengths.append(len(text))
        if len(self.digests) > MOST_DIGESTS:
            self.mask = 2 * self.mask + 1
            keep = (np.frombuffer(self.digests, np.uint64) & np.uint64(self.mask)) == 0
            self.digests, self.places, self.lengths = (
                array(kept.typecode, np.frombuffer(kept, kept.typecode)[keep].tobytes())
                for kept in (self.digests, self.places, self.lengths)
            )

    def result(self, most: int) -> tuple[int, int, list[tuple[int, int]]]:
        """The documents and characters that are copies of earlier ones, and the most frequent:
        (place, times).
        """
        digests = np.frombuffer(self.digests, np.uint64)
        _, first, times = np.unique(digests, return_index=True, return_counts=True)
        places = np.frombuffer(self.places, np.uint64)[first]
        lengths = np.frombuffer(self.lengths, np.uint32)
        copied = int(lengths.sum()) - int(lengths[first].sum())
        examples = [
            (int(places[index]), int(times[index]))
            for index in np.lexsort((places, -times))[:most]
            if times[index] > 1
        ]
        scale = self.mask + 1
        return (len(digests) - len(first)) * scale, copied * scale, examples


class NearSample:
    """Different documents in which near duplicates can be looked for: all, or as many as the limits
    above allow.

    The smallest of a document's shingle hashes chooses it: two documents have the same one with a
    probability of their similarity, so that near duplicates are mostly kept or left together.
    """

    def __init__(self) -> None:
        self.mask, self.characters = 0, 0
        self.kept: dict[str, tuple[int, int]] = {}  # text: key, place

    def add(
        self, codes: np.ndarray, starts: np.ndarray, texts: Sequence[str], places: Sequence[int]
    ) -> None:
        """Documents that begin at `starts` in `codes`, the code points of all."""
        lengths = np.array([len(text) for text in texts], np.int64)
        long = np.flatnonzero(lengths >= SHINGLE)
        if not len(long):
            return
        hashes = np.append(shingle_hashes(codes), np.uint64(2**64 - 1))
        ends = starts[long] + lengths[long] - SHINGLE + 1
        borders = np.stack((starts[long], ends), axis=1).ravel()
        keys = mix(np.minimum.reduceat(hashes, borders)[::2])
        for index in np.flatnonzero((keys & np.uint64(self.mask)) == 0).tolist():
            text = texts[long[index]]
            self.characters += len(text) * (text not in self.kept)
            self.kept.setdefault(text, (int(keys[index]), places[long[index]]))
        while len(self.kept) > MOST_DOCUMENTS or (
            self.characters > MOST_SAMPLED and len(self.kept) > 1
        ):
            self.mask = 2 * self.mask + 1
            self.kept = {
                text: about for text, about in self.kept.items() if not about[0] & self.mask
            }
            self.characters = sum(map(len, self.kept))
