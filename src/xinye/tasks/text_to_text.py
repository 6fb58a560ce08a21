"""The base class of tasks that turn a text into another: summaries, translations, letters.

A record has a `source` and a `target`; the model sees them as a conversation with one turn. Texts
that are longer than the context are read in windows. A model writes several candidates, and the one
that is most like all others is kept, because errors differ and what is right recurs (minimum Bayes
risk: Kumar and Byrne 2004; for neural models Eikema and Aziz 2020, arXiv:2005.10283).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.written import exact_share
from xinye.generation import sequence
from xinye.generation.chat import Message
from xinye.generation.engine import finish
from xinye.generation.sampling import ChatSampling
from xinye.model.gpt import GPT
from xinye.planning.writing_settings import WritingSettings
from xinye.tasks.task import Figures
from xinye.tasks.text_windows import windows
from xinye.tasks.writing import LONGEST_ANSWER, Writing
from xinye.tasks.writing_records import Record

AT_ONCE = 64  # texts that are written in one batch
SHOWN = 80  # characters of a source in a sample


@dataclass(frozen=True)
class TextRecord(Record):
    """A text and what should be written for it."""

    source: str = ""
    target: str = ""


@dataclass
class Window:
    """A part of a source that fits into the context, and what is written for it. A part without
    candidates is copied."""

    text: str
    candidates: list[sequence.Sequence]
    before: str = ""  # the space between this window and the one before
    chosen: sequence.Sequence | None = None  # the candidate that is kept

    @property
    def kept(self) -> list[sequence.Sequence]:
        """The candidate that is kept, the greedy one until one is chosen; none if the window is
        copied."""
        return [self.chosen] if self.chosen else self.candidates[:1]

    @property
    def texts(self) -> list[str]:
        """The candidates, the greedy one first."""
        return [each.text.strip() for each in self.candidates]


@dataclass
class Work:
    """What is being written for one source."""

    source: str
    settings: WritingSettings
    windows: list[Window]
    context: int  # tokens that the model reads
    notes: list[str] = field(default_factory=list)  # what the reader of the result should know
    text: str = ""  # the whole text, if `source` is made of the results for its parts

    @property
    def sequences(self) -> list[sequence.Sequence]:
        """All texts that the engine must write."""
        return [each for window in self.windows for each in window.candidates]

    @property
    def ended(self) -> bool:
        """Whether the text that is kept of each window ended by itself."""
        kept = [each for window in self.windows for each in window.kept]
        return all(each.finish_reason == "stop" for each in kept)


class TextToText(Writing):
    """A task that answers a text with a text. A subclass says how it asks (`prompt`) and how it
    judges (`compare`)."""

    judges_untaught = True
    cut = "the middle of their texts is left out"
    use_settings: ClassVar[type[WritingSettings]] = WritingSettings
    candidates: ClassVar[int] = 8  # that are written unless the settings say otherwise
    temperature: ClassVar[float] = 0.7  # of all candidates but the first
    parts_of_context: ClassVar[int] = 2  # one of these is kept for the answer
    most_parts: int | None = None  # of a text; None if it may have any number

    # Few-shot: records that are shown before each text, and whether as a chat or as plain text.
    shown: tuple[TextRecord, ...] = ()
    plain: bool = False

    # -- what a task says of itself ----------------------------------------------------------------

    @abstractmethod
    def prompt(self, source: str, settings: Any) -> str:
        """What the user says to get a text for this source, in training and in use."""

    @abstractmethod
    def compare(self, written: Sequence[str], records: Sequence[Any]) -> Figures:
        """The metrics of texts that were written for records."""

    def check_source(self, source: str, settings: Any) -> None:
        """Raises `XinyeError` for a source that the task cannot work on with these settings."""
        if not source.strip():
            raise XinyeError("the text is empty")

    def source_of(self, given: Any) -> str:
        """The source in what a user gives. Raises `XinyeError` if there is none."""
        if not isinstance(given, str):
            raise XinyeError(f"expected a text, found {str(given)[:40]}")
        return given

    def settings_for(self, record: Any, settings: Any) -> Any:
        """The settings with which a record is judged, such as its direction."""
        return settings

    def shows(self, record: Any, settings: Any) -> bool:
        """Whether a record is an example of what the settings ask for."""
        return True

    @classmethod
    def ways(cls, records: Sequence[Any], settings: Any) -> list[Any]:
        """The settings with which different examples are shown, such as those of each
        direction."""
        return [settings]

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def pair(cls, source: str, target: str, place: str, read_as: str) -> TextRecord:
        """The record of a source and its target."""
        task, source, target = cls(), source.strip(), target.strip()
        asked = task.asked_for(source, task.settings_of_pair(source, target))
        answer: Message = {"role": "assistant", "content": target}
        return TextRecord((*asked, answer), place, read_as, source, target)

    def settings_of_pair(self, source: str, target: str) -> Any:
        """The settings that make `target` the right answer to `source`."""
        return self.use_settings()

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes, **columns: str | None) -> Any:
        found = super().record(row, place, notes, **columns)
        source, target = found.messages[0]["content"], found.messages[-1]["content"]
        return cls.pair(source, target, found.place, found.format)

    # -- prompts -----------------------------------------------------------------------------------

    def asked_for(self, source: str, settings: Any) -> list[Message]:
        """The messages that ask for a text, after the examples of what is asked for."""
        shown = [each for each in self.shown if self.shows(each, settings)]
        asked: Message = {"role": "user", "content": self.prompt(source, settings)}
        return [*(message for each in shown for message in each.messages), asked]

    def encode(self, tokenizer: Tokenizer, source: str, settings: Any) -> list[int]:
        """The tokens after which the model writes: a chat, or for a base model plain text in which
        each prompt is followed by its answer and by what ends it."""
        messages = self.asked_for(source, settings)
        if not self.plain:
            return tokenizer.encode_chat(messages)
        blocks = [message["content"].strip() for message in messages]
        pairs = [
            f"{user}\n{answer}{self.stop}\n"
            for user, answer in zip(blocks[::2], blocks[1::2], strict=False)
        ]
        return [*tokenizer.prefix, *tokenizer.encode("".join(pairs) + blocks[-1] + "\n")]

    @property
    def stop(self) -> str:
        """What ends an answer in plain text: a line break, or if answers have several lines, a line
        of marks that is in no example."""
        if not any("\n" in each.target for each in self.shown):
            return "\n"
        shown = [message["content"] for each in self.shown for message in each.messages]
        marks = "###"
        while any(marks in text for text in shown):
            marks += "#"
        return f"\n{marks}"

    def end_of_answer(self, tokenizer: Tokenizer) -> list[int]:
        """The tokens that end an answer."""
        if self.plain:
            return tokenizer.encode(self.stop)
        chat: list[Message] = [
            {"role": "user", "content": "."},
            {"role": "assistant", "content": "."},
        ]
        return [token for token in tokenizer.encode_chat(chat) if token in tokenizer.stop_ids][-1:]

    # -- writing -----------------------------------------------------------------------------------

    def begin(self, tokenizer: Tokenizer, source: str, context: int, settings: Any = None) -> Work:
        """The texts to write for a source, before they are written. Raises `XinyeError` for a
        source that the task cannot work on."""
        settings = settings or self.use_settings()
        self.check_source(source, settings)
        room = self.room_for_answer(context, settings)
        fits = context - room
        if len(self.encode(tokenizer, "", settings)) >= fits:
            less = "show fewer examples" if self.shown else "use a model with a longer context"
            raise XinyeError(
                f"the prompt without a text already fills this model's context of {context:,} "
                f"tokens; {less}"
            )
        work = Work(source, settings, [], context)
        for before, text in self.parts(
            source, lambda some: len(self.encode(tokenizer, some, settings)) <= fits
        ):
            if len(work.windows) == self.most_parts:
                raise XinyeError(
                    "too many sentences to write for at once; split the text, or ask for fewer "
                    "candidates"
                )
            candidates = []
            if self.is_written(text, settings):
                tokens = self.encode(tokenizer, text, settings)
                candidates = self._candidates(tokens, room, settings)
            work.windows.append(Window(text, candidates, before))
        work.notes += self.notes_of_work(work)
        return work

    def most_tokens(self, settings: Any) -> int:
        """The most tokens that an answer may have."""
        return settings.max_tokens or LONGEST_ANSWER

    def room_for_answer(self, context: int, settings: Any) -> int:
        """How many tokens of a context are kept for the answer."""
        return min(self.most_tokens(settings), context // self.parts_of_context)

    def parts(self, source: str, fits: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """The parts of a source for which a text is written, each with the space before it."""
        return windows(source, fits)

    def is_written(self, part: str, settings: Any) -> bool:
        """Whether the model writes a text for a part of a source; otherwise the part is copied."""
        return True

    def notes_of_work(self, work: Work) -> Iterator[str]:
        """What the reader of a result should know before anything is written."""
        if len(work.windows) > 1:
            yield (
                f"the text is longer than the model's context and was read in {len(work.windows)} "
                "parts"
            )

    def _candidates(self, tokens: list[int], room: int, settings: Any) -> list[sequence.Sequence]:
        """The greedy text and others after a prompt, not yet written."""
        temperature = self.temperature if settings.temperature is None else settings.temperature
        count = settings.candidates or self.candidates
        stop = (self.stop,) if self.plain else ()
        greedy = ChatSampling(temperature=0, max_tokens=room, stop=stop, seed=settings.seed)
        drawn = greedy.model_copy(update={"temperature": temperature})
        return [
            sequence.Sequence([*tokens], len(tokens), drawn if number else greedy, number)
            for number in range(count if temperature else 1)
        ]

    @abstractmethod
    def end(self, model: Any, tokenizer: Tokenizer, work: Work) -> Row | Work:
        """The result for a source, once its texts are written: `text`, whether it `ended` by
        itself, and `notes`. Or the work that is left, if something must be written once more."""

    def use(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        inputs: Sequence[str],
        context: int,
        settings: Any = None,
    ) -> list[Row]:
        """The text for each input, as `text`; whether it `ended` by itself; and `notes`."""
        sources = [self.source_of(each) for each in inputs]
        return [
            result
            for batch in batches(sources)
            for result in self.results(
                model,
                tokenizer,
                [self.begin(tokenizer, text, context, settings) for text in batch],
            )
        ]

    def results(self, model: GPT, tokenizer: Tokenizer, works: list[Work]) -> list[Row]:
        """The results of works, whose texts are written together."""
        return self.finished(model, tokenizer, self.write(model, tokenizer, works))

    def finished(self, model: GPT, tokenizer: Tokenizer, works: Sequence[Work]) -> list[Row]:
        """The results of works whose texts are written. What is left of them is written, too."""
        found = [self.end(model, tokenizer, work) for work in works]
        left = [each for each in found if isinstance(each, Work)]
        rows = iter(self.results(model, tokenizer, left) if left else ())
        return [next(rows) if isinstance(each, Work) else each for each in found]

    @staticmethod
    def write(model: GPT, tokenizer: Tokenizer, works: list[Work]) -> list[Work]:
        """Write the texts of all works together."""
        finish(model, tokenizer, [each for work in works for each in work.sequences])
        return works

    # -- evaluation --------------------------------------------------------------------------------

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Figures:
        """The metrics of what the model writes for all records: those of `compare`, the share that
        ends by itself (`ended`) and equals the target (`exact`), and the mean number of tokens
        (`answer_tokens`)."""
        results: list[Row] = []
        tokens = 0
        for works in self.written(model, tokenizer, records, context):
            results += self.finished(model, tokenizer, works)
            tokens += kept_tokens(works)
        written = [result["text"] for result in results]
        return {
            "ended": sum(result["ended"] for result in results) / len(records),
            "exact": exact_share(written, [each.target for each in records]),
            "answer_tokens": tokens / len(records),
            "answers": len(records),
        } | self.compare(written, records)

    def written(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Iterator[list[Work]]:
        """Batches of works for records, with their texts."""
        for batch in batches(records):
            works = [self.begin_record(tokenizer, each, context) for each in batch]
            yield self.write(model, tokenizer, works)

    def begin_record(
        self, tokenizer: Tokenizer, record: Any, context: int, settings: Any = None
    ) -> Work:
        """The texts to write for a record. Raises `XinyeError` that names its place."""
        settings = self.settings_for(record, settings or self.use_settings())
        try:
            return self.begin(tokenizer, record.source, context, settings)
        except XinyeError as error:
            raise XinyeError(f"{record.place}: {error}") from None

    def sample(self, model: GPT, tokenizer: Tokenizer, record: Any, context: int) -> str:
        work = self.begin_record(tokenizer, record, context, self.use_settings(candidates=1))
        [result] = self.results(model, tokenizer, [work])
        ending = "" if result["ended"] else " (goes on)"
        source = record.source
        if len(source) > SHOWN:
            source = f"{source[: SHOWN - 2]} …"
        return f"{source} → {result['text']}{ending}"

    # -- few-shot ----------------------------------------------------------------------------------

    @classmethod
    def examples_for(cls, records: Sequence[Any], settings: Any) -> Sequence[Any]:
        """Those of the records that show what the settings ask for."""
        return [each for each in records if cls().shows(each, settings)]

    def showing(self, records: Sequence[Any], plain: bool) -> "TextToText":
        """The task with records to show before each text."""
        told = type(self)()
        told.shown, told.plain = tuple(records), plain
        return told

    # -- results -----------------------------------------------------------------------------------

    @classmethod
    def told(cls, result: Row) -> Row:
        return {cls.verb: result["text"]} | {
            name: value for name, value in result.items() if name != "text"
        }

    @classmethod
    def lines(cls, text: str, result: Row, alone: bool) -> list[str]:
        return [result["text"]]

    @classmethod
    def notes_on(cls, result: Row) -> Sequence[str]:
        going_on = [] if result["ended"] else ["the model did not end the text by itself"]
        return [*result["notes"], *going_on]


def kept_tokens(works: Sequence[Work]) -> int:
    """The number of tokens of the texts that are kept."""
    kept = (each for work in works for window in work.windows for each in window.kept)
    return sum(each.completion_tokens for each in kept)


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The items, `AT_ONCE` at a time."""
    for begin in range(0, len(items), AT_ONCE):
        yield items[begin : begin + AT_ONCE]
