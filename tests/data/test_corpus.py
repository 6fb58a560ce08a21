"""A corpus holds exactly the tokens of its documents, is made once, and is split without losing
one."""

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock, patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data import locks, token_parts
from xinye.data.cleaning import Cleaning
from xinye.data.corpus import Documents, split
from xinye.data.preparation import Reading, Source, prepare
from xinye.data.sources import Piece
from xinye.data.token_parts import Unit
from xinye.data.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["芳林新叶催陈叶，the the  ''  \n\n\n  \n\t leaf's leaves\n"] * 8)
ALPHABET = "ae '，新\n\r\t \u3000\x1c\x851🙂"

# A line that begins with what is no white space and ends with a line end: where two meet, a
# document may be cut.
FIRST = st.sampled_from([character for character in ALPHABET if not character.isspace()])
LINES = st.builds(
    lambda first, rest: first + rest + "\n",
    FIRST,
    st.text(st.sampled_from(ALPHABET + "\n\n\n   "), max_size=4),
)
PIECES = st.lists(LINES, min_size=1, max_size=6).map("".join)


class Texts(Source):
    """A text that comes in pieces, and that counts how often it is read."""

    def __init__(self, read: Callable[[], Iterator[Piece]], text: str = "") -> None:
        super().__init__([Path(__file__)], text, Reading(cleaning=Cleaning(drop_duplicates=False)))
        self.__dict__.update(read=read, times=0)  # the class is frozen

    def pieces(self, unit: int, found: Unit) -> Iterator[Piece]:
        self.__dict__["times"] += 1
        return self.__dict__["read"]()


def made(documents: list[list[str]], part: int, batch: int) -> tuple[Documents, int]:
    """The corpus of documents that come in pieces, encoded `part` characters at a time, and its
    number of characters."""
    with (
        TemporaryDirectory() as folder,
        patch.dict(os.environ, XINYE_CACHE=folder),
        patch.multiple(token_parts, PART=part, BATCH=batch),
    ):
        corpus = prepare(Texts(lambda: pieces_of(documents)), TOKENIZER, lambda characters: None)
        text = corpus.whole()
        return Documents(np.array(text.tokens), text.documents), corpus.about.characters


def pieces_of(documents: list[list[str]]) -> Iterator[Piece]:
    return (
        Piece(text, "a.txt", i == 0) for document in documents for i, text in enumerate(document)
    )


def each_document(corpus: Documents) -> list[list[int]]:
    borders = corpus.documents.tolist()
    return [corpus.tokens[start:end].tolist() for start, end in pairwise(borders)]


@settings(deadline=None)
@given(
    documents=st.lists(st.lists(PIECES, min_size=1, max_size=3), min_size=1, max_size=3),
    part=st.integers(6, 14),
)
def test_cuts_at_line_ends_change_no_token(documents: list[list[str]], part: int) -> None:
    corpus, _ = made(documents, part, batch=20)
    wanted = [[*TOKENIZER.encode("".join(document)), TOKENIZER.eos_id] for document in documents]
    assert each_document(corpus) == wanted


@settings(deadline=None)
@given(
    documents=st.lists(st.text(ALPHABET, max_size=40), min_size=1, max_size=4),
    part=st.integers(2, 9),
)
def test_no_text_is_lost_where_lines_are_longer_than_a_part(
    documents: list[str], part: int
) -> None:
    corpus, characters = made([[text] for text in documents], part, batch=15)
    assert [TOKENIZER.decode(document) for document in each_document(corpus)] == documents
    assert characters == sum(map(len, documents))
    assert corpus.tokens.dtype == np.uint16


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path))
    return tmp_path


def texts(*texts: str, text: str = "") -> Texts:
    return Texts(lambda: (Piece(each, "a.txt") for each in texts), text)


def prepared(source: Texts, tokenizer: Tokenizer = TOKENIZER) -> Documents:
    return prepare(source, tokenizer, lambda characters: None).whole()


def test_a_corpus_is_made_once(cache) -> None:
    source = texts("新叶", "陈叶")
    first, again = (prepared(source) for _ in range(2))
    assert source.__dict__["times"] == 1
    assert np.array_equal(first.tokens, again.tokens)
    assert np.array_equal(first.documents, again.documents)


@pytest.mark.parametrize("changed", ["content", "tokenizer"])
def test_a_changed_key_makes_another_corpus(changed: str, cache) -> None:
    prepared(texts("新叶", text="abc"))
    tokenizer = Tokenizer.train([], kind="bytes") if changed == "tokenizer" else TOKENIZER
    other = prepared(texts("陈叶", text="abd" if changed == "content" else "abc"), tokenizer)
    assert tokenizer.decode(other.tokens) == "陈叶"


def test_reading_that_fails_leaves_nothing_behind(cache) -> None:
    def failing() -> Iterator[Piece]:
        yield Piece("新叶", "a.txt")
        raise ValueError("line 2 is damaged")

    with pytest.raises(ValueError, match="line 2 is damaged"):
        prepared(Texts(failing, "abc"))
    assert not list((cache / "corpora").iterdir())
    assert TOKENIZER.decode(prepared(texts("新叶", text="abc")).tokens) == "新叶"


def test_a_corpus_damaged_in_the_cache_is_made_anew(cache) -> None:
    source = texts("新叶" * 50)
    expected = prepared(source).tokens.tolist()
    file = next(cache.glob("corpora/*/*.tokens"))
    file.write_bytes(file.read_bytes()[:10])  # as a machine that lost power leaves it
    assert prepared(source).tokens.tolist() == expected


def test_two_processes_may_prepare_the_same_text_at_once(cache, monkeypatch) -> None:
    """The one that is done first has opened, or is about to open, a folder that the other must not
    take away. Where the file system has locks, the other one waits instead."""
    monkeypatch.setattr(locks.fcntl, "flock", Mock(side_effect=OSError))
    files = []

    def slowly() -> Iterator[Piece]:
        yield Piece("新叶", "a.txt")
        with patch("os.getpid", return_value=-1):
            prepared(texts("新叶"))
        files.extend(file.stat().st_ino for file in cache.glob("corpora/[!.]*/*.tokens"))

    assert TOKENIZER.decode(prepared(Texts(slowly)).tokens) == "新叶"
    assert len(files) == 1
    assert [file.stat().st_ino for file in cache.glob("corpora/*/*.tokens")] == files


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=60)


def corpus_of(lengths: list[int]) -> Documents:
    documents = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return Documents(np.arange(documents[-1]), documents)


@settings(deadline=None)
@given(lengths=LENGTHS, fraction=st.floats(0.01, 0.45), most=st.integers(0, 2000))
def test_every_token_is_in_exactly_one_part(lengths: list[int], fraction: float, most: int) -> None:
    corpus = corpus_of(lengths)
    times = np.zeros(len(corpus.tokens), int)
    for spans in split(corpus, fraction, most):
        assert spans.shape[1:] == (2,)
        for start, end in spans:
            assert start <= end
            times[start:end] += 1
    assert (times == 1).all()


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=20, max_size=60))
def test_many_documents_stay_whole(lengths: list[int]) -> None:
    corpus = corpus_of(lengths)
    documents = {(int(start), int(end)) for start, end in pairwise(corpus.documents)}
    training, validation = (
        {(int(start), int(end)) for start, end in spans} for spans in split(corpus, 0.2, 10**9)
    )
    assert training | validation == documents
    assert validation


def test_of_few_documents_the_end_of_each_is_held_back() -> None:
    training, validation = split(corpus_of([1000] * 19), 0.1, 10**9)
    assert (training[:, 1] == validation[:, 0]).all()
    assert (validation[:, 1] == np.arange(1, 20) * 1000).all()
    assert (validation[:, 1] - validation[:, 0] == 100).all()


def test_validation_stays_within_its_limit_wherever_a_giant_document_lies() -> None:
    for giant in range(30):
        corpus = corpus_of([100_000 if number == giant else 100 for number in range(30)])
        _, validation = split(corpus, 0.1, most=1000)
        assert 0 < (validation[:, 1] - validation[:, 0]).sum() <= 1000, giant
