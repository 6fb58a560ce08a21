"""The task `translate`: English texts into Chinese and Chinese texts into English, by one model.

A prompt is short and in the language of its text, which also names the direction. A text is
translated sentence by sentence, because that is what most pairs of texts show; what stands between
its sentences stays.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sentences import sentences
from xinye.data.sources import headerless, read_lines, read_records
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.evaluation import translation
from xinye.evaluation.translation import OTHER, Pair
from xinye.evaluation.translation_by_phrases import phrases
from xinye.evaluation.translation_memory import memory
from xinye.evaluation.translation_words import ADDRESS, shares
from xinye.planning.writing_settings import TranslateSettings
from xinye.runs.words import Both, Figure, TaskWords
from xinye.tasks.records import OnBad, each_record, leaks, refuse_line, repeated, split
from xinye.tasks.task import Figures
from xinye.tasks.text_to_text import TextRecord, TextToText, Window, Work
from xinye.tasks.text_windows import windows
from xinye.tasks.translate_exercise import EXERCISE
from xinye.tasks.translate_records import (
    CHINESE,
    ENGLISH,
    SOURCES,
    asked_for,
    components,
    direction,
    read_pairs,
)
from xinye.tasks.writing import WRITTEN
from xinye.tasks.writing_records import Named

FIGURES = (
    Figure("bleu", "BLEU", Both("BLEU, mean of both directions", "BLEU（两个方向的平均）"), 1),
    Figure("bleu_en_zh", "en→zh", Both("BLEU, English into Chinese", "BLEU，英译中"), 1),
    Figure("bleu_zh_en", "zh→en", Both("BLEU, Chinese into English", "BLEU，中译英"), 1),
    Figure("chrf_en_zh", "chrF en→zh", Both("chrF, English into Chinese", "chrF，英译中"), 1),
    Figure("chrf_zh_en", "chrF zh→en", Both("chrF, Chinese into English", "chrF，中译英"), 1),
)

# by the language that was asked for
ALREADY = {
    "zh": "the text looks like Chinese already; use --to en",
    "en": "the text looks like English already; use --to zh",
}
MIXED = {
    "zh": "the text is English and Chinese, more English; translated into Chinese. To choose: --to",
    "en": "the text is English and Chinese, more Chinese; translated into English. To choose: --to",
}


@dataclass(frozen=True)
class Translation(TextRecord):
    """A text and its translation."""

    @property
    def whole(self) -> str:
        """The text without its translation: a text may have several."""
        return self.source

    @property
    def answer(self) -> str:
        """The translation."""
        return self.target

    @property
    def to(self) -> str:
        """The language of the translation."""
        return direction(self.source, self.target) or "zh"

    @property
    def judged(self) -> Pair:
        """The same for the metrics and the baselines."""
        return Pair(self.source, self.target, self.to)


class RecordSettings(TranslateSettings):
    """The settings of a record. Its direction is known, whatever its source looks like, so it is
    never refused, and none of its sentences is copied for its language."""


class Translate(TextToText):
    """Trains a model to translate between English and Chinese."""

    verb = "translate"
    use_settings = TranslateSettings
    suffixes = SUFFIXES  # .txt with tabs
    sources = (*SOURCES, *ENGLISH, *CHINESE, "1")  # "1" in a table without a header
    baseline_name = "phrase table with a trigram model"
    baseline_library = "sacrebleu"
    baseline_is_base = False
    counted = ("direction", "directions")
    counts_name = "directions"
    own_labels = True
    words = TaskWords(
        figures=(*FIGURES, *WRITTEN),
        unit="tokens",
        has_labels=False,
        does="Translates English texts into Chinese and Chinese texts into English.",
        limit=(
            "It leaves things out and invents others, above all in texts unlike those it learned "
            "from. Have a person check what matters."
        ),
        use=Both(
            "To translate a text or a file; the language is found by itself, or chosen with --to:",
            "翻译一段文字或一个文件；语言自动识别，也可以用 --to 指定：",
        ),
        command='xinye translate {folder} "…"',
        python='print(model.translate("…"))',
        transformers=(
            'print(pipeline("text-generation", "{folder}")([{"role": "user", '
            '"content": "Translate into Chinese: …"}])[0]["generated_text"][-1])'
        ),
    )
    exercise = EXERCISE

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Translation]:
        named = Named(**columns)
        rows = read_records(path, refuse_line(on_bad), named.columns, tabbed=True, notes=notes)
        placed = ((place_of(path, line), row) for line, row in rows)
        read: Callable[..., Any] = partial(cls.records_in, named=named, notes=notes)
        for records in each_record(placed, read, on_bad):
            yield from records

    @classmethod
    def records_in(cls, row: Any, place: str, named: Named, notes: Notes) -> list[Translation]:
        """The records in a row: one for each direction that it shows."""
        found = read_pairs(row, place, named, notes)
        return [cls.pair(each.source, each.target, place, each.read_as) for each in found]

    @classmethod
    def is_record(cls, text: Path) -> bool:
        """True for a text file with a tab in its first line."""
        return any("\t" in line for _, line in islice(read_lines(text), 1))

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        return headerless(path, Named(**columns).columns, tabbed=True)

    @classmethod
    def pair(cls, source: str, target: str, place: str, read_as: str) -> Translation:
        found = super().pair(source, target, place, read_as)
        return Translation(found.messages, place, read_as, found.source, found.target)

    def settings_of_pair(self, source: str, target: str) -> TranslateSettings:
        return TranslateSettings(to=direction(source, target))

    def settings_for(self, record: Translation, settings: TranslateSettings) -> TranslateSettings:
        return RecordSettings(**settings.model_dump() | {"to": record.to})

    @classmethod
    def split(
        cls, records: Sequence[Any], share: float, seed: int, fold: tuple[int, int] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """The training records, and those for validation. Records that share a sentence, such as
        both directions of a pair, stay together."""
        groups = components([(record.source, record.target) for record in records])
        group_of = {
            record.source: str(group) for record, group in zip(records, groups, strict=True)
        }
        return split(records, share, seed, fold, text=lambda record: group_of[record.source])

    @classmethod
    def findings(cls, training: Sequence[Any], validation: Sequence[Any]) -> Iterator[str]:
        if len(cls.counts(training)) == 1:
            yield "all records translate in one direction; the model does not learn the other one"
        yield from repeated(training)
        yield from leaks(training, validation)

    @classmethod
    def counts(cls, records: Sequence[Translation]) -> dict[str, int]:
        """The number of records of each direction, the most frequent first."""
        counts = Counter(f"{OTHER[record.to]}→{record.to}" for record in records)
        return dict(counts.most_common())

    # -- writing -----------------------------------------------------------------------------------

    def prompt(self, source: str, settings: TranslateSettings) -> str:
        return asked_for(source, settings.to or target_of(source))

    def shows(self, record: Translation, settings: TranslateSettings) -> bool:
        return settings.to in (None, record.to)

    @classmethod
    def ways(
        cls, records: Sequence[Translation], settings: TranslateSettings
    ) -> list[TranslateSettings]:
        directions = sorted({record.to for record in records})
        return [settings.model_copy(update={"to": to}) for to in directions]

    def check_source(self, source: str, settings: TranslateSettings) -> None:
        super().check_source(source, settings)
        if isinstance(settings, RecordSettings):
            return
        parts = (source[begin:end] for begin, end in whole_sentences(source))
        if (
            settings.to
            and shares(source).language == settings.to
            and not any(self.is_written(part, settings) for part in parts)
        ):
            raise XinyeError(ALREADY[settings.to])

    def begin(
        self,
        tokenizer: Tokenizer,
        source: str,
        context: int,
        settings: TranslateSettings | None = None,
    ) -> Work:
        """The translations to write, before they are written. Without a language in the settings,
        that is the other language."""
        settings = settings or TranslateSettings()
        found = shares(source)
        to = settings.to or target_of(source)
        work = super().begin(tokenizer, source, context, settings.model_copy(update={"to": to}))
        if found.unclear and not settings.to:
            work.notes.append(MIXED[to])
        return work

    def parts(self, source: str, fits: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """The sentences of a text, each with the space before it. One that is longer than the
        context is cut."""
        last = 0
        for begin, end in whole_sentences(source):
            space = source[last:begin]
            for before, part in windows(source[begin:end], fits):
                yield space + before, part
                space = ""
            last = end

    def is_written(self, part: str, settings: TranslateSettings) -> bool:
        """Whether a sentence is translated: not if it is in the language of the translation, or in
        neither of both, or without words."""
        found = shares(part)
        if isinstance(settings, RecordSettings):
            return any(found)
        return found.language is not None and (found.language != settings.to or found.unclear)

    def notes_of_work(self, work: Work) -> Iterator[str]:
        copied = [shares(each.text) for each in work.windows if not each.candidates]
        already = sum(each.language is not None for each in copied)
        if already:
            yield f"{plural(already, 'sentence')} in the language to translate into: copied"
        foreign = sum(each.foreign for each in copied)
        if foreign:
            yield f"{plural(foreign, 'sentence')} in neither English nor Chinese: copied"
        if len(copied) == len(work.windows) and not already and not foreign:
            yield "there is nothing to translate in the text; it is copied"
        if len(work.windows) > len([*whole_sentences(work.source)]):
            yield "a sentence is longer than the model's context, and was translated in parts"

    def end(self, model: Any, tokenizer: Tokenizer, work: Work) -> Row:
        """The translations as one text, with its line breaks. Between the sentences of a line there
        is a space in English, and none in Chinese."""
        text = ""
        for window in work.windows:
            before, part = window.before, chosen(window)
            if "\n" not in before and text:
                latin = text[-1:].isascii() and part[:1].isascii()
                before = " " if work.settings.to == "en" or latin else ""  # type: ignore[attr-defined]
            text += before + part
        return {"text": text.strip(), "ended": work.ended, "notes": work.notes}

    # -- evaluation --------------------------------------------------------------------------------

    def compare(self, written: Sequence[str], records: Sequence[Translation]) -> Figures:
        pairs = [record.judged for record in records]
        return {
            **translation.measure(written, pairs),
            "signatures": translation.signatures(pairs),
        }

    @classmethod
    def notes_on_figures(cls, measured: Figures) -> Sequence[str]:
        """How sacrebleu computed each BLEU."""
        found = measured.get("signatures", {})
        return [
            f"BLEU {figure.short}: sacrebleu {found[figure.name]}"
            for figure in FIGURES
            if figure.name.startswith("bleu") and figure.name in found
        ]

    def baseline(
        self, training: Sequence[Any], records: Sequence[Any], before: Figures | None
    ) -> Figures:
        return self._by(phrases, training, records)

    def other_baselines(
        self, training: Sequence[Translation], records: Sequence[Translation]
    ) -> Mapping[str, Callable[[], Figures]]:
        return {"translation memory": partial(self._by, memory, training, records)}

    @staticmethod
    def _by(
        make: translation.Maker, training: Sequence[Translation], records: Sequence[Translation]
    ) -> Figures:
        """The figures of a translator that learns from the training records."""
        learned = [record.judged for record in training]
        pairs = [record.judged for record in records]
        return translation.measure(translation.translated(make, learned, pairs), pairs)


def chosen(window: Window) -> str:
    """The text of a window: that of the candidate that is most like the others, which it keeps; or
    the window itself if it has none."""
    if not window.candidates:
        return window.text
    written = [each for each in window.candidates if each.text.strip()] or window.candidates
    texts = [each.text.strip() for each in written]
    place = translation.most_alike(texts)
    window.chosen = written[place]
    return texts[place]


def target_of(source: str) -> str:
    """The language into which a text is translated: the one that it is not written in."""
    return OTHER[shares(source).language or "en"]


def whole_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence of a text begins and ends. No sentence ends within the address of a page,
    which may have question marks."""
    inside = {
        at for found in ADDRESS.finditer(text) for at in range(found.start() + 1, found.end())
    }
    first: int | None = None
    for begin, end in sentences(text):
        first = begin if first is None else first
        if end not in inside:
            yield first, end
            first = None
