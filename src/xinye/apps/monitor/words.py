"""`Segmenter`: the words of Chinese texts, as far as other texts of their kind show them."""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer

from xinye.data.scripts import HAN

LONGEST = 4  # characters of a word
FOR_A_WORD = 25  # characters of the texts for each word that is learned; fewer make words too long
READ = 150_000  # characters of the texts that it learns from: this takes two seconds
UNKNOWN = "<unk>"
_RUN = re.compile(rf"[{HAN}]+")


class Segmenter:
    """Cuts Chinese at the borders of words. It learns them when it is first used, from the texts
    that `texts` gives: those pieces that make the texts likeliest (Kudo 2018). A word that these
    do not have is cut into shorter ones."""

    def __init__(self, texts: Callable[[], Sequence[str]]) -> None:
        self._texts = texts
        self._pieces: Tokenizer | None = None
        self._lock = threading.Lock()

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words of Han characters begin and end."""
        with self._lock:
            self._pieces = self._pieces or _learned(self._texts())
        return [
            (run.start() + start, run.start() + end)
            for run in _RUN.finditer(text)
            for begin, stop in self._pieces.encode(run.group()).offsets
            for start, end in _short(begin, stop)
        ]

    def joined(self, text: str, parts: Sequence[tuple[int, int]]) -> list[list[int]]:
        """The numbers of the parts of a text, each given as its begin and end, word by word. Parts
        without a letter or digit, such as punctuation, are left out."""
        spans = self.spans(text)
        starts = [start for start, _ in spans]
        words: list[list[int]] = []
        end = -1  # of the last word, if it is of Han characters
        for number, (start, stop) in enumerate(parts):
            if not any(map(str.isalnum, text[start:stop])):
                continue
            at = bisect_right(starts, start) - 1
            if start < end:
                words[-1].append(number)
            else:
                words.append([number])
            within = at >= 0 and start < spans[at][1]
            end = max(end, stop, spans[at][1] if within else stop)
        return words


def _short(start: int, end: int) -> list[tuple[int, int]]:
    """A piece, or each character of one that is too long for a word, since it is unknown."""
    if end - start <= LONGEST:
        return [(start, end)]
    return [(at, at + 1) for at in range(start, end)]


def _learned(texts: Sequence[str]) -> Tokenizer:
    runs = [*_runs(texts)]
    if not runs:
        return Tokenizer(Unigram([(UNKNOWN, 0.0)], 0, False))
    characters = {*chain.from_iterable(runs)}
    tokenizer = Tokenizer(Unigram())
    trainer = UnigramTrainer(
        vocab_size=len(characters) + sum(map(len, runs)) // FOR_A_WORD,
        max_piece_length=LONGEST,
        special_tokens=[UNKNOWN],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(runs, trainer)
    return tokenizer


def _runs(texts: Sequence[str]) -> Iterator[str]:
    read = 0
    for text in texts:
        for run in _RUN.findall(text):
            read += len(run)
            yield run
        if read > READ:
            return
