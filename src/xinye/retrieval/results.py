"""What a search finds, and what an addition changes."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Found:
    """A passage for a question. `line` is that of the file in which the passage begins; None if
    the file has no lines of its own, such as a PDF. `offset` counts characters in the document.

    `score` is that of BM25, `similarity` the cosine of vectors, if the base has them, and
    `relevance` what a reranker said, if there was one."""

    text: str
    score: float
    file: str
    title: str
    section: str
    line: int | None
    offset: int
    similarity: float | None = None
    relevance: float | None = None


@dataclass
class Changes:
    """What an addition did, in numbers of documents."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0  # a second time in the same file
    empty: int = 0
    passages: int = 0
    skipped: list[str] = field(default_factory=list)  # files that could not be read, with reasons
