"""The task `write`: news, mails, adverts and stories from facts."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import Any, Self

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.evaluation.summaries import size
from xinye.evaluation.written import keeps_length, repetition
from xinye.generation import sequence
from xinye.model.gpt import GPT
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.kinds import KINDS
from xinye.planning.writing_settings import WriteSettings
from xinye.runs.folder import RunFolder
from xinye.runs.saved import About
from xinye.runs.words import Both, Figure, TaskWords
from xinye.tasks import write_exercise
from xinye.tasks.exercise import Exercise
from xinye.tasks.task import Figures
from xinye.tasks.text_to_text import TextToText, Window, Work
from xinye.tasks.write_brief import Brief
from xinye.tasks.write_facts import (
    Fact,
    invented,
    lines_of,
    missing,
    of_lines,
    only_facts,
    read_facts,
    share_used,
)
from xinye.tasks.write_records import WriteRecord, read_record
from xinye.tasks.writing import LONGEST_ANSWER, WRITTEN

FACTS = "facts"  # begins the errors about facts
TOKENS = 3  # of a text for each wanted character or word, at most
LEFT_OUT = ("exact", "answer_tokens")  # two texts of the same facts are seldom equal
FEW = 0.5  # a record whose text has a smaller share of its facts teaches to leave facts out
_FIGURES = (
    Figure("facts_used", "facts used", Both("facts that the text has", "文中出现的要点"), 1, True),
    Figure(
        "invented",
        "invented numbers",
        Both("texts with a number that no fact has", "含有要点之外数字的文本"),
        percent=True,
        digits=0,
        lower_replaced=True,
    ),
    Figure(
        "repetition",
        "repeated 4-grams",
        Both("repeated 4-grams", "重复的四字（词）片段"),
        1,
        percent=True,
        lower_replaced=True,
    ),
    Figure(
        "length_kept",
        "length kept",
        Both("texts within a fifth of the wanted length", "长度与要求相差不超过五分之一的文本"),
        0,
        percent=True,
    ),
    Figure(
        "cut",
        "cut inputs",
        Both("records whose mail or facts were cut", "来信或要点被截短的样本"),
        0,
        percent=True,
        lower_replaced=True,
    ),
)


class Write(TextToText):
    """Trains a model to write a text of a kind from facts."""

    verb = "write"
    use_settings = WriteSettings
    candidates = 4
    counted = ("kind", "kinds")
    counts_name = "kinds"
    kept_of = "the records of each kind"
    baseline_name = "a filled template"
    baseline_is_base = False
    words = TaskWords(
        figures=(*(each for each in WRITTEN if each.name not in LEFT_OUT), *_FIGURES),
        unit="tokens",
        has_labels=False,
        does="Writes texts from facts.",
        limit=(
            "It can leave facts out and invent others. Check numbers and names before you use a "
            "text."
        ),
        use=Both("To let it write:", "让模型写作："),
        command='xinye write {folder} --facts "…"',
        python='print(model.write("…")["text"])',
    )

    exercise = Exercise(
        make=write_exercise.orders,
        begin=Both(
            "A GPT will learn to write the mails, adverts and news of a tea shop from facts.",
            "训练一个 GPT，让它按要点为茶铺写邮件、广告和新闻。",
        ),
        baseline=Both("a filled template", "填空模板"),
        line=write_exercise.line,
        text=write_exercise.as_text,
        answered=lambda row, result: ({**row, "text": result["text"]}, ""),
        given=write_exercise.given,
        settings=write_exercise.settings,
        typed=write_exercise.typed,
        training=2000,
        context=256,
        base_epochs=4,
        epochs=4,
        words={
            "use": Both("It writes three new texts:", "让它写三段新文本："),
            "wrong": Both("", ""),
        },
    )

    # The kinds that the model learned; empty if that is not known.
    kinds: tuple[str, ...] = ()
    shown: tuple[WriteRecord, ...] = ()

    @classmethod
    def of(cls, records: Sequence[WriteRecord]) -> Self:
        return cls.of_kinds(cls.counts(records))

    @classmethod
    def of_run(cls, model: GPT, folder: Path) -> Self:
        return cls.of_kinds(About.read(RunFolder(folder).settings_file, []).data.counts)

    @classmethod
    def of_kinds(cls, kinds: Iterable[str]) -> Self:
        """The task of a model that learned these kinds."""
        task = cls()
        task.kinds = tuple(kinds)
        return task

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes, **columns: str | None) -> Any:
        record = read_record(row, place, notes, **columns)
        if only_facts(record.facts, record.target):
            notes.add(place, "the text only repeats the facts, so the record is left out")
            return None
        return record

    def check(self, records: Sequence[WriteRecord]) -> None:
        for record in records:
            self.check_kind(record.kind, f"{record.place}: ")

    @classmethod
    def stratum(cls, record: WriteRecord, folds: bool) -> str:
        return record.kind

    @classmethod
    def counts(cls, records: Sequence[WriteRecord]) -> dict[str, int]:
        """The number of records of each kind, the most frequent first."""
        return dict(Counter(record.kind for record in records).most_common())

    @classmethod
    def findings(cls, training: Sequence[Any], validation: Sequence[Any]) -> Iterator[str]:
        yield from super().findings(training, validation)
        poor = [each for each in training if share_used(each.facts, each.target) < FEW]
        if poor:
            yield (
                f"{plural(len(poor), 'text')} with less than half of the facts, so the model "
                f"learns to leave facts out: first {poor[0].place}"
            )

    @classmethod
    def enlarged(
        cls, records: Sequence[WriteRecord], settings: FinetuneSettings
    ) -> list[WriteRecord]:
        """The records; every second one does not say the wanted length, as in use without
        `characters`."""
        return [each.without_length if number % 2 else each for number, each in enumerate(records)]

    # -- prompts -----------------------------------------------------------------------------------

    def prompt(self, source: str, settings: WriteSettings) -> str:
        return self.brief(source, settings).prompt

    def brief(self, source: str, settings: WriteSettings) -> Brief:
        """What to write from: the facts in a source, one a line, and the settings."""
        kind = settings.kind or next(iter(self.known), "mail")
        wanted = settings.characters
        like = [size(each.target) for each in self.shown if each.kind == kind]
        if wanted is None and like:
            wanted = median_low(like)
        return Brief(kind, of_lines(source), wanted, settings.reply_to)

    @property
    def known(self) -> tuple[str, ...]:
        """The kinds that the model learned or sees examples of."""
        shown = [record.kind for record in self.shown]
        return tuple(dict.fromkeys((*shown, *self.kinds)))

    def source_of(self, given: Any) -> str:
        """The facts in an object, in a list, or in a text with one a line: one a line."""
        return lines_of(read_facts(given, FACTS))

    def shows(self, record: WriteRecord, settings: WriteSettings) -> bool:
        return settings.kind in (None, record.kind)

    @classmethod
    def ways(cls, records: Sequence[WriteRecord], settings: WriteSettings) -> list[WriteSettings]:
        kinds = cls.counts(records)
        return [settings.model_copy(update={"kind": kind, "reply_to": ""}) for kind in kinds]

    def settings_for(self, record: WriteRecord, settings: WriteSettings) -> WriteSettings:
        brief = record.brief
        update = {"kind": brief.kind, "characters": brief.size, "reply_to": brief.reply_to}
        return settings.model_copy(update=update)

    def check_source(self, source: str, settings: WriteSettings) -> None:
        if settings.kind is None and len(self.known) != 1:
            kinds = " or ".join(self.known or KINDS)
            raise XinyeError(f"say what to write with --kind: {kinds}")
        kind = settings.kind or self.known[0]
        self.check_kind(kind)
        if settings.reply_to and kind != "mail":
            raise XinyeError("only a mail answers another mail; choose the kind 'mail'")

    def check_kind(self, kind: str, where: str = "") -> None:
        """Raises `XinyeError`, which begins with `where`, for a kind that the model did not
        learn."""
        if not self.known or kind in self.known:
            return
        known = ", ".join(self.known)
        if self.shown:
            raise XinyeError(
                f"{where}the examples that fit into the context show how to write {known}, and not "
                f"{kind}; give short examples of this kind, too"
            )
        raise XinyeError(
            f"{where}this model learned to write {known}, and not {kind}. Use a base or chat model "
            "with --examples FILE, or fine-tune it on records of this kind"
        )

    # -- writing -----------------------------------------------------------------------------------

    def begin(self, tokenizer: Tokenizer, source: str, context: int, settings: Any = None) -> Work:
        settings = settings or self.use_settings()
        self.check_source(source, settings)
        if over := self.tokens_over(tokenizer, source, context, settings):
            what = "the mail and the facts are" if settings.reply_to else "the facts are"
            raise XinyeError(
                f"{what} {plural(over, 'token')} too long for this model, which reads "
                f"{context:,} with its answer; shorten them"
            )
        return super().begin(tokenizer, source, context, settings)

    def parts(self, source: str, fits: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """All facts as one part: they belong to one text."""
        yield "", source

    def tokens_over(
        self, tokenizer: Tokenizer, source: str, context: int, settings: WriteSettings
    ) -> int:
        """By how many tokens the prompt is too long to leave room for the text; 0 if it is not."""
        room = self.room_for_answer(context, settings)
        return max(0, len(self.encode(tokenizer, source, settings)) + room - context)

    def most_tokens(self, settings: WriteSettings) -> int:
        """The most tokens of a text, with room for its wanted length."""
        most = max(LONGEST_ANSWER, TOKENS * (settings.characters or 0))
        return settings.max_tokens or most

    def begin_record(
        self, tokenizer: Tokenizer, record: WriteRecord, context: int, settings: Any = None
    ) -> Work:
        """The texts to write for a record. If it is too long, half of its mail, or of its facts, is
        left out until it fits; at last, half of its only fact."""
        facts = record.facts
        mail = record.reply_to
        usual = settings or self.use_settings()
        settings = self.settings_for(record, usual)
        while self.tokens_over(tokenizer, lines_of(facts), context, settings):
            if mail:
                mail = mail[: len(mail) // 2]
                settings = settings.model_copy(update={"reply_to": mail})
            elif len(facts) > 1:
                facts = facts[: len(facts) // 2]
            elif len(facts[0].value) > 1:
                facts = (facts[0].halved,)
            else:
                break
        shorter = replace(record, source=lines_of(facts), reply_to=mail)
        return super().begin_record(tokenizer, shorter, context, usual)

    def best(self, facts: Sequence[Fact], given: str, window: Window) -> sequence.Sequence:
        """The candidate that ends and has the most facts, with the least repetition. A number that
        was not given weighs as much as a missing fact."""
        values = sum(len(fact.values) for fact in facts)

        def worth(written: sequence.Sequence) -> tuple[bool, float]:
            text = written.text
            ends = bool(text.strip()) and written.finish_reason == "stop"
            wrong = len(invented(text, given)) / values
            return ends, share_used(facts, text) - wrong - repetition(text)

        return max(window.candidates, key=worth)

    def end(self, model: GPT, tokenizer: Tokenizer, work: Work) -> Row:
        """The result for a source: `text`, whether it `ended` by itself, the share of the facts
        that it has (`facts_used`), the facts that it lacks (`missing`), the numbers that no fact
        has (`invented`), and `notes`."""
        [window] = work.windows
        settings = work.settings
        assert isinstance(settings, WriteSettings)
        facts = of_lines(work.source)
        given = f"{work.source}\n{settings.reply_to}"
        chosen = self.best(facts, given, window)
        text = chosen.text.strip()
        return {
            "text": text,
            "ended": chosen.finish_reason == "stop",
            "facts_used": share_used(facts, text),
            "missing": [str(fact) for fact in missing(facts, text)],
            "invented": invented(text, given),
            "notes": work.notes,
        }

    @classmethod
    def examples_for(
        cls, records: Sequence[WriteRecord], settings: WriteSettings
    ) -> Sequence[WriteRecord]:
        """The examples of the wanted kind. Raises `XinyeError` if there are none."""
        found = super().examples_for(records, settings)
        if records and not found:
            raise XinyeError(
                f"{', '.join(settings.examples)}: there is no example of the kind "
                f"{settings.kind!r}, only of {', '.join(cls.counts(records))}"
            )
        return found

    @classmethod
    def notes_on(cls, result: Row) -> Sequence[str]:
        lacks = [f"not in the text: {fact}" for fact in result["missing"]]
        more = [f"in the text, but in no fact: {number}" for number in result["invented"]]
        return [*super().notes_on(result), *lacks, *more]

    # -- evaluation --------------------------------------------------------------------------------

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Figures:
        """The metrics of the texts, of which all facts count, and the share of the records that are
        too long, so that the model sees only a part of their mail or facts (`cut`)."""
        found = super().measure(model, tokenizer, records, context)
        cut = 0
        for record in records:
            settings = self.settings_for(record, self.use_settings())
            cut += self.tokens_over(tokenizer, record.source, context, settings) > 0
        return found | {"cut": cut / len(records)}

    def compare(self, written: Sequence[str], records: Sequence[WriteRecord]) -> Figures:
        """The mean share of the facts that texts have (`facts_used`) and of what they say twice
        (`repetition`), and the shares of texts with a number that no fact has (`invented`) and of
        those that are about as long as the records' own (`length_kept`)."""
        pairs = [*zip(written, records, strict=True)]
        return {
            "facts_used": sum(share_used(each.facts, text) for text, each in pairs) / len(pairs),
            "invented": sum(bool(invented(text, each.given)) for text, each in pairs) / len(pairs),
            "repetition": sum(map(repetition, written)) / len(pairs),
            "length_kept": sum(keeps_length(text, size(each.target)) for text, each in pairs)
            / len(pairs),
        }

    def baseline(
        self,
        training: Sequence[Any],
        records: Sequence[Any],
        before: Figures | None,
    ) -> Figures:
        """The figures of a template, filled with the facts of each record."""
        return self.compare([each.brief.template for each in records], records) | {"ended": 1.0}

    def other_baselines(
        self, training: Sequence[Any], records: Sequence[Any]
    ) -> Mapping[str, Callable[[], Figures]]:
        """The figures of the records' own texts, which leave facts out, too."""
        texts = [each.target for each in records]
        return {"the texts of the records": lambda: self.compare(texts, records) | {"ended": 1.0}}
