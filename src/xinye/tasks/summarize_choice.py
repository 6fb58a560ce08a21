"""Chooses the summary of a text among those that a model wrote, and among the text's clauses."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation import rouge
from xinye.evaluation.summaries import cut, joined_clauses, shortened, size
from xinye.generation.continuations import log_probabilities
from xinye.model.gpt import GPT
from xinye.planning.writing_settings import SummarizeSettings
from xinye.retrieval.support import unsupported

if TYPE_CHECKING:
    from xinye.tasks.text_to_text import TextToText, Window, Work

INVENTED = (
    "every summary that the model wrote has numbers or names that the text lacks, so clauses of "
    "the text are quoted"
)
NOTHING = "the model wrote nothing, so clauses of the text are quoted"
LONG = "no summary that the model wrote is short enough, so a clause of the text is quoted"
CUT = "no whole clause is short enough, so the summary is cut"
LONGER = 2.0  # neighbouring clauses are joined up to this many lengths of a written summary


class Choice:
    """The choice for one window of a text. `notes` say what a reader should know about it."""

    def __init__(
        self,
        task: "TextToText",
        model: GPT,
        tokenizer: Tokenizer,
        work: "Work",
        window: "Window",
    ) -> None:
        self.task, self.model, self.tokenizer = task, model, tokenizer
        self.work, self.window = work, window
        assert isinstance(work.settings, SummarizeSettings)
        self.settings = work.settings
        self.written = [text for text in window.texts if text]
        self.tokens = [rouge.tokens(text) for text in self.written]
        self.notes: list[str] = []
        self.quotes = False  # whether the summary is a quotation

    def free(self) -> str:
        """The summary that the model wrote and that is most like its others, among those that obey
        the settings; a quotation if there is none."""
        allowed = list(dict.fromkeys(self.written))
        if self.settings.faithful:
            allowed = [text for text in allowed if not unsupported(text, [self.window.text])]
        if not allowed:
            self.notes.append(INVENTED if self.written else NOTHING)
            return self.quoted()
        most, source = self.settings.characters, self.window.text
        if most:
            short = [text for text in allowed if size(text, source) <= most]
            allowed = short or [*filter(None, (shortened(text, most, source) for text in allowed))]
        if not allowed:
            self.notes.append(LONG)
            return self.quoted()
        return max(allowed, key=self.alike)

    def quoted(self) -> str:
        """The clause of the window, or neighbouring clauses, that the model finds the best summary:
        the one that is most like what it wrote itself, which estimates the expected ROUGE-L under
        the model. If none is like it, the one that is most probable as its answer."""
        self.quotes = True
        pieces = self._pieces()
        if not pieces:
            return self.window.text
        scores = [self.alike(piece) for piece in pieces]
        if not any(scores):
            scores = self.likelihoods(pieces)
        return pieces[max(range(len(pieces)), key=scores.__getitem__)]

    def likelihoods(self, pieces: Sequence[str]) -> list[float]:
        """The log-probability per token of each piece of the window as the answer to the prompt,
        the end included."""
        prompt = self.task.encode(self.tokenizer, self.window.text, self.settings)
        end = self.task.end_of_answer(self.tokenizer)
        room = self.model.config.max_position_embeddings - len(prompt)
        branches = [
            [*ids[: room - len(end)], *end] for ids in self.tokenizer.encode_batch(list(pieces))
        ]
        logs = log_probabilities(self.model, prompt, branches)
        return [log / len(branch) for log, branch in zip(logs, branches, strict=True)]

    def _pieces(self) -> list[str]:
        """The clauses of the window that could be its summary, each once."""
        text, most = self.window.text, self.settings.characters
        usual = size(self.written[0], text) if self.written else 0
        places = joined_clauses(text, most or round(LONGER * usual))
        pieces = list(dict.fromkeys(text[begin:end] for begin, end in places))
        if most:
            pieces = [piece for piece in pieces if size(piece, text) <= most] or pieces
        return pieces

    def alike(self, text: str) -> float:
        """The mean ROUGE-L of a text with the texts that the model wrote."""
        found = rouge.tokens(text)
        return sum(rouge.rouge_l(found, other) for other in self.tokens) / max(1, len(self.tokens))


def fitted(text: str, most: int, source: str, notes: list[str]) -> str:
    """The clauses of a text that fit into `most` characters or words of its source; if none does,
    its beginning, with a note."""
    short = shortened(text, most, source)
    if not short and text:
        notes.append(CUT)
    return short or cut(text, most, source)


def faithful_share(pairs: Iterable[tuple[str, str]]) -> float:
    """The share of the numbers and names in summaries that their texts have, too; 1.0 if there are
    none. Each pair is a summary and its text."""
    said = missing = 0
    for summary, text in pairs:
        said += len(unsupported(summary, [""]))
        missing += len(unsupported(summary, [text]))
    return max(0.0, 1 - missing / said) if said else 1.0
