"""The vectors of passages, beside the index that knows their words. The search is exact."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from xinye.errors import XinyeError
from xinye.retrieval.embedders import TOGETHER, Embedder, Vectors
from xinye.retrieval.format import damaged, within
from xinye.retrieval.index import DAMAGED, Scores
from xinye.retrieval.manifest import AGAIN

PROBE = "芳林新叶催陈叶"  # its vector tells whether an embedder is still the same


def embed(
    texts: Sequence[str], embedder: Embedder, progress: Callable[[str], None] = lambda text: None
) -> Vectors:
    """The vectors of passages, (passages, C)."""
    parts = [np.zeros((0, embedder.passages([PROBE]).shape[1]), np.float32)]
    for first in range(0, len(texts), TOGETHER):
        progress(f"computing vectors: {first:,} of {len(texts):,} passages")
        parts.append(embedder.passages(texts[first : first + TOGETHER]))
    return np.concatenate(parts)


def save_vectors(path: Path, vectors: Vectors, embedder: Embedder) -> None:
    """Write vectors to a file of safetensors, in half precision."""
    probe = embedder.passages([PROBE])
    path.write_bytes(
        save({"vectors": vectors.astype(np.float16), "probe": probe.astype(np.float32)})
    )


def load_vectors(path: Path, size: int, embedder: Embedder) -> Vectors:
    """The vectors of so many passages. Raises `XinyeError` if the file is damaged, or its vectors
    are those of another model than the embedder's."""
    try:
        found = load_file(path)
        vectors, probe = found["vectors"].astype(np.float32), found["probe"]
        if vectors.ndim != 2 or len(vectors) != size or not np.all(np.isfinite(vectors)):
            raise ValueError("inconsistent")
        now = embedder.passages([PROBE])
        same = now.shape == probe.shape == (1, vectors.shape[1]) and float((now @ probe.T)[0, 0])
    except DAMAGED as error:
        raise damaged(path, error, AGAIN) from None
    if not same > 0.99:
        raise XinyeError(
            f"{path}: {embedder.name} has changed since these vectors were computed; "
            f"{within(path, AGAIN)}"
        )
    return vectors


def similarities(question: str, parts: Sequence[Vectors], embedder: Embedder) -> Scores:
    """The cosine of each passage's vector and the question's, (passages,)."""
    vector = embedder.questions([question])[0]
    return np.concatenate([np.zeros(0, np.float32), *(part @ vector for part in parts)])
