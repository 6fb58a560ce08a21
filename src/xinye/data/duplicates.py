"""Finds exact and near duplicates of earlier documents.

Two texts are near duplicates if they share most sequences of five characters. Their similarity
(Jaccard) is estimated with MinHash from sketches of at least 0.5 kB per document (Broder 1997).
"""

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np

from xinye.data.mixing import mix

SHINGLE = 5  # characters: a word of English, a phrase of Chinese
PERMUTATIONS = 128
MOST_DIGESTS = 4_000_000  # of 20 bytes each
MOST_SAMPLED = 2_000_000  # characters that are searched for near duplicates,
MOST_DOCUMENTS = 20_000  # and documents: this takes some seconds


def digest(text: str, size: int) -> bytes:
    """A hash of the text with `size` bytes (BLAKE2b)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


class Seen:
    """Finds exact duplicates; stores 16 bytes per text."""

    def __init__(self) -> None:
        self.digests: set[bytes] = set()

    def before(self, text: str) -> bool:
        """True if an earlier call had the same text. Remembers the text."""
        count = len(self.digests)
        self.digests.add(digest(text, 16))
        return len(self.digests) == count


class NearlySeen:
    """Finds texts whose similarity to an earlier one is at least `threshold`, with datasketch's
    MinHash index. Only the first of several similar texts is remembered.
    """

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self.threshold = threshold
        self.empty = MinHash(PERMUTATIONS, hashfunc=int)
        # These weights make the index return too many candidates rather than too few; each
        # candidate is measured afterwards.
        self.index = MinHashLSH(min(threshold, 0.95), PERMUTATIONS, weights=(0.1, 0.9))
        self.kept: list[np.ndarray] = []

    def before(self, text: str) -> bool:
        """True if an earlier text is similar enough. Remembers the text if not."""
        shingles = np.unique(shingle_hashes(code_points(text)) >> np.uint64(32)).tolist()
        if not shingles:
            return False
        sketch = self.empty.copy()
        for start in range(0, len(shingles), 4096):  # each shingle takes 1 kB during this call
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
    """The code points of a text, (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def shingle_hashes(codes: np.ndarray) -> np.ndarray:
    """The 64-bit hashes of all runs of five code points: (N,) becomes (N - 4,)."""
    codes = codes.astype(np.uint64)
    hashes = np.zeros(max(0, len(codes) - SHINGLE + 1), dtype=np.uint64)
    for offset in range(SHINGLE if len(hashes) else 0):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(hashes)]
    return hashes


class Copies:
    """Counts exact copies of earlier documents.

    Beyond `MOST_DIGESTS` documents it counts only every second text, then every fourth, and so on,
    chosen by a hash of the text. Copies of one text are therefore counted, or left out, together.
    """

    def __init__(self) -> None:
        self.mask = 0
        self.digests, self.places, self.lengths = array("Q"), array("Q"), array("I")

    def add(self, text: str, place: int) -> None:
        """Add a document; `place` is a number by which the caller finds it again."""
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
        """How many documents and characters are copies of earlier documents, and the `most`
        frequent texts as pairs of (place, number of occurrences).
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
    """A sample of different documents, in which near duplicates can be looked for. It holds all
    documents as long as they are below `MOST_DOCUMENTS` and `MOST_SAMPLED`.

    Whether a document is kept depends on its smallest shingle hash. The probability that two
    documents have the same one equals their similarity, so near duplicates are mostly kept or
    dropped together.
    """

    def __init__(self) -> None:
        self.mask, self.characters = 0, 0
        self.kept: dict[str, tuple[int, int]] = {}  # key and place of each text

    def add(
        self, codes: np.ndarray, starts: np.ndarray, texts: Sequence[str], places: Sequence[int]
    ) -> None:
        """Add documents. `starts` (N,) says where each begins in `codes`, the code points of all of
        them.
        """
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


def members(groups: Sequence[int]) -> list[list[int]]:
    """The numbers of the texts of each group."""
    found: list[list[int]] = [[] for _ in range(max(groups, default=-1) + 1)]
    for number, group in enumerate(groups):
        found[group].append(number)
    return found
