"""Chooses the summary of a text among those that a model wrote, and among the text's clauses."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from xinye.evaluation import rouge
from xinye.evaluation.summaries import ClausePicker, Unit, cut, joined_clauses, shortened
from xinye.planning.writing_settings import SummarizeSettings
from xinye.retrieval.support import unsupported

INVENTED = (
    "every summary that the model wrote has numbers or names that the text lacks, so clauses of "
    "the text are quoted"
)
NOTHING = "the model wrote nothing, so clauses of the text are quoted"
LONG = "no summary that the model wrote is short enough, so a clause of the text is quoted"
CUT = "no whole clause is short enough, so the summary is cut"
LONGER = 2.0  # neighbouring clauses are joined up to this many lengths of a written summary
# The weight of likeness to the model's summaries beside the picker's ROUGE-L. On validation records
# (100 of CSL, 160 of FinNA, 5M models) 0 to 0.5 are equal within their errors, and 1 is worse.
CONSENSUS = 0.25
LOOKED_AT = 5000  # characters of a summary whose names and numbers are looked for in its text


@dataclass
class Choice:
    """The choice of a summary for one window of a text, among what a model wrote for it and its
    clauses. The log-probability per token of each piece of the window as a summary is computed by
    `likelihoods`, and only if it is needed."""

    window: str
    written: Sequence[str]
    settings: SummarizeSettings
    unit: Unit
    likelihoods: Callable[[Sequence[str]], Sequence[float]]
    picker: ClausePicker | None = None  # what the run learned about clauses
    notes: list[str] = field(default_factory=list)  # what a reader of the summary should know
    kept: int | None = None  # which of the written texts is the summary; None if it is quoted

    def __post_init__(self) -> None:
        self.tokens = [rouge.tokens(text) for text in self.written if text]

    def free(self) -> str:
        """The summary that the model wrote and that is most like its others, among those that obey
        the settings; a quotation if there is none."""
        allowed = [text for text in dict.fromkeys(self.written) if text]
        if self.settings.faithful:
            allowed = [text for text in allowed if not unsupported(text, [self.window])]
        if not allowed:
            self.notes.append(INVENTED if self.tokens else NOTHING)
            return self.quoted()
        most = self.settings.characters
        summaries = {text: text for text in allowed}  # each with the text that it was written as
        if most:
            short = {text: text for text in allowed if self.unit.size(text) <= most}
            cut_down = {shortened(text, most, self.unit): text for text in allowed}
            summaries = short or {text: whole for text, whole in cut_down.items() if text}
        if not summaries:
            self.notes.append(LONG)
            return self.quoted()
        best = max(summaries, key=self.alike)
        self.kept = self.written.index(summaries[best])
        return best

    def quoted(self) -> str:
        """The clause of the window, or neighbouring clauses, expected to be the best summary by the
        picker and by what the model wrote itself: the mean ROUGE-L with it estimates the expected
        one under the model. Without a picker, if nothing that was written is like a clause, it is
        the one that is most probable as the model's answer."""
        self.kept = None
        places = joined_clauses(self.window, self._joined(), self.unit)
        if not places:
            return self.window
        pieces = [self.window[begin:end] for begin, end in places]
        scores = np.array([self.alike(piece) for piece in pieces])
        if self.picker:
            scores = CONSENSUS * scores + self.picker.expected(self.window, places)
        elif not scores.any():
            scores = np.array(self.likelihoods(pieces), dtype=float)
        sizes = np.array([self.unit.size(piece) for piece in pieces])
        short = sizes <= (self.settings.characters or sizes.max())
        if short.any():
            scores[~short] = -np.inf
        return pieces[int(scores.argmax())]

    def _joined(self) -> int:
        """How long neighbouring clauses may be to be joined, in units."""
        most = self.settings.characters
        if self.picker:
            return min(most or self.picker.most, self.picker.most)
        usual = self.unit.size(next(filter(None, self.written), ""))
        return most or round(LONGER * usual)

    def alike(self, text: str) -> float:
        """The mean ROUGE-L of a text with the texts that the model wrote."""
        found = rouge.tokens(text)
        return sum(rouge.rouge_l(found, other) for other in self.tokens) / max(1, len(self.tokens))


def fitted(text: str, most: int, unit: Unit, notes: list[str]) -> str:
    """The clauses of a text that fit into `most` units; if none does, its beginning, with a
    note."""
    short = shortened(text, most, unit)
    if not short and text:
        notes.append(CUT)
    return short or cut(text, most, unit)


def faithful_share(pairs: Iterable[tuple[str, str]]) -> float:
    """The share of the numbers and names in summaries that their texts have, too; 1.0 if there are
    none. Each pair is a summary, of which it looks at the first `LOOKED_AT` characters, and its
    text."""
    said = missing = 0
    for summary, text in pairs:
        looked_at = summary[:LOOKED_AT]
        said += len(unsupported(looked_at, [""]))
        missing += len(unsupported(looked_at, [text]))
    return max(0.0, 1 - missing / said) if said else 1.0
