"""The task `summarize`: the model writes a summary in its own words, or quotes the clauses of the
text that it likes best.

Which of the two is the default is measured: whichever has the higher ROUGE-L on the validation
records of the run. `summarize_records.py` reads the records, `summarize_choice.py` chooses.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation import rouge
from xinye.evaluation.summaries import (
    ClausePicker,
    Unit,
    cut,
    first_sentence,
    is_chinese,
    mean_size,
)
from xinye.evaluation.written import exact_share
from xinye.generation.continuations import log_probabilities
from xinye.model.gpt import GPT
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.finetuning import Pace
from xinye.planning.writing_settings import SummarizeSettings
from xinye.runs.folder import RunFolder
from xinye.runs.saved import About, Result
from xinye.runs.words import Both, Figure, TaskWords
from xinye.tasks.exercise import Exercise
from xinye.tasks.news import news
from xinye.tasks.summarize_choice import Choice, faithful_share, fitted
from xinye.tasks.summarize_records import SOURCES, TARGETS, left_out, named_rows, oddities
from xinye.tasks.task import Figures
from xinye.tasks.text_to_text import TextRecord, TextToText, Work, kept_tokens
from xinye.tasks.writing import WRITTEN

FREE, EXTRACT = "free", "extract"
DAMAGED = (
    "what the run learned about clauses cannot be read from its training/settings.json, so only "
    "the texts that the model wrote decide which clauses are quoted"
)
UNDECIDED = (
    "the figures in the run's training/result.json cannot be read, so clauses are quoted; to "
    "choose the kind, give --extract or --free"
)
PROMPTS = Both("Summarize this text:\n{}", "写出下文的摘要：\n{}")


ROUGE = (
    Figure(
        "rouge1",
        "ROUGE-1",
        Both("ROUGE-1 (F1 of single tokens)", "ROUGE-1（单个 token 的 F1）"),
        1,
        percent=True,
    ),
    Figure(
        "rouge2",
        "ROUGE-2",
        Both("ROUGE-2 (F1 of pairs of tokens)", "ROUGE-2（相邻两个 token 的 F1）"),
        1,
        percent=True,
    ),
    Figure(
        "rougeL",
        "ROUGE-L",
        Both("ROUGE-L (F1 of the longest common subsequence)", "ROUGE-L（最长公共子序列的 F1）"),
        1,
        percent=True,
    ),
    Figure(
        "free_rougeL",
        "ROUGE-L, own words",
        Both("ROUGE-L of summaries in its own words", "自行撰写的摘要的 ROUGE-L"),
        1,
        percent=True,
    ),
    Figure(
        "extract_rougeL",
        "ROUGE-L, quoted",
        Both("ROUGE-L of quoted clauses", "摘录原文的摘要的 ROUGE-L"),
        1,
        percent=True,
    ),
    Figure(
        "copied",
        "copied",
        Both("pairs of tokens that are also in the text", "与原文相同的相邻 token 对"),
        1,
        percent=True,
    ),
    Figure(
        "faithful",
        "faithful",
        Both("numbers and names that the text has, too", "原文中也有的数字和名称"),
        1,
        percent=True,
    ),
)


class Summarize(TextToText):
    """Trains a model to write the summary or the title of a text."""

    verb = "summarize"
    sources: ClassVar[tuple[str, ...]] = SOURCES
    targets = TARGETS
    use_settings = SummarizeSettings
    baseline_is_base = False
    baseline_name = "clause picker"
    baseline_library = "sklearn"
    words = TaskWords(
        figures=(*WRITTEN, *ROUGE),
        unit="tokens",
        has_labels=False,
        does="Writes the summary or the title of a text.",
        limit=(
            "A summary can leave out or change what matters. Numbers and names may be wrong; "
            "--faithful leaves out candidates with a number or name that the text lacks."
        ),
        use=Both("To summarize a text or a file:", "为一段文字或一个文件生成摘要："),
        command='xinye summarize {folder} "…"',
        python='print(model.summarize("…")["text"])',
    )

    # short answers to long texts are soon memorized
    pace = Pace(rates=0.2, batch_sizes=(8, 16), epochs=(3, 3))
    candidates = 16
    parts_of_context = 4
    exercise = Exercise(
        make=news,
        begin=Both(
            "A GPT will learn to write the headlines of a tea shop's news.",
            "训练一个 GPT，让它为茶铺的消息写标题。",
        ),
        baseline=Both(
            "a baseline that picks the most suitable clause", "一个基线（挑出最合适的分句）"
        ),
        line=lambda row: f"{row['text']} → {row['title']}",
        answered=lambda row, result: ({**row, "title": result["text"]}, ""),
        asked=Both(
            " None of the {held_out:,} is among the training records.",
            "测试集的 {held_out:,} 条都不在训练集里。",
        ),
        training=600,
        context=192,
        epochs=10,
        # the headlines are made by rule, so the full rates teach the rule
        tuning={"batch_size": 32, "matrix_learning_rate": 0.02, "learning_rate": 0.014},
    )

    quotes = False  # whether clauses are quoted unless the settings say otherwise
    picker: ClausePicker | None = None  # what the run learned about clauses, beside its network
    damaged = False  # whether that could not be read
    undecided = False  # whether the figures that decide the kind could not be read

    @classmethod
    def of_run(cls, model: Any, folder: Path) -> Self:
        task = cls.of_network(model)
        files = RunFolder(folder)
        saved = About.read(files.settings_file, []).data.picker
        try:
            task.picker = None if saved is None else ClausePicker.model_validate(saved)
        except ValidationError:
            task.damaged = True
        damage: list[str] = []
        task.quotes = _extract_replaced(Result.read(files.result_file, damage).measured or {})
        task.undecided = bool(damage)
        return task

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def with_names(
        cls,
        path: Path,
        rows: Iterable[tuple[str, Any]],
        columns: dict[str, str | None],
        notes: Notes,
    ) -> tuple[Iterable[tuple[str, Any]], dict[str, str | None]]:
        return named_rows(path, [*rows], columns, notes)

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes, **columns: str | None) -> Any:
        record = super().record(row, place, notes, **columns)
        if why := left_out(record.source, record.target):
            notes.add(place, why)
            return None
        for odd in oddities(record.source, record.target):
            notes.add(place, odd)
        return record

    def facts(self, records: Sequence[TextRecord]) -> dict[str, Any]:
        with suppress(XinyeError):  # the baseline is the same picker, and says why there is none
            self.picker = _learned(records)
        return {"picker": self.picker.model_dump()} if self.picker else {}

    # -- prompts and figures -----------------------------------------------------------------------

    def prompt(self, source: str, settings: Any) -> str:
        return (PROMPTS.zh if is_chinese(source) else PROMPTS.en).format(source)

    def compare(self, written: Sequence[str], records: Sequence[TextRecord]) -> Figures:
        pairs = [(one, record.source) for one, record in zip(written, records, strict=True)]
        targets = [record.target for record in records]
        return rouge.measure(written, targets) | {
            "exact": exact_share(written, targets),
            "copied": sum(rouge.copied(*pair) for pair in pairs) / max(1, len(pairs)),
            "faithful": faithful_share(pairs),
        }

    # -- use ---------------------------------------------------------------------------------------

    def end(self, model: Any, tokenizer: Tokenizer, work: Work) -> Row | Work:
        """The result for a source: `text`, whether it `ended` by itself, whether it is a quotation
        (`extract`), and `notes`. Summaries of several parts that are too long together are
        summarized again."""
        settings = work.settings
        assert isinstance(settings, SummarizeSettings)
        notes = [*work.notes]
        whole = work.text or work.source
        unit = Unit(whole)
        quotes = settings.extract or (self.quotes and not settings.free)
        parts: list[str] = []
        quoted, ended = False, True
        for window in work.windows:
            likelihoods = partial(self.likelihoods, model, tokenizer, window.text, settings)
            choice = Choice(window.text, window.texts, settings, unit, likelihoods, self.picker)
            parts.append(choice.quoted() if quotes else choice.free())
            notes += choice.notes
            if choice.kept is None:
                quoted = True
                continue
            window.chosen = window.candidates[choice.kept]
            ended = ended and window.chosen.finish_reason == "stop"
        if quoted and self.damaged:
            notes.append(DAMAGED)
        if self.undecided and not settings.extract and not settings.free:
            notes.append(UNDECIDED)
        text = "\n".join(filter(None, parts))
        most = settings.characters or sys.maxsize
        too_long = unit.size(text) > most
        if too_long and len(work.windows) > 1 and len(text) < len(work.source):
            again = self.begin(tokenizer, text, work.context, settings)
            return replace(again, notes=notes, text=whole)
        if too_long:
            text = fitted(text, most, unit, notes)
        return {"text": text, "ended": ended, "extract": quoted, "notes": [*dict.fromkeys(notes)]}

    def likelihoods(
        self, model: GPT, tokenizer: Tokenizer, text: str, settings: Any, pieces: Sequence[str]
    ) -> list[float]:
        """The log-probability per token of each piece of a text as its summary, the end
        included."""
        prompt = self.encode(tokenizer, text, settings)
        end = self.end_of_answer(tokenizer)
        room = model.config.max_position_embeddings - len(prompt) - len(end)
        branches = [[*ids[:room], *end] for ids in tokenizer.encode_batch(list(pieces))]
        logs = log_probabilities(model, prompt, branches)
        return [log / len(branch) for log, branch in zip(logs, branches, strict=True)]

    # -- evaluation --------------------------------------------------------------------------------

    def validate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        records: Sequence[Any],
        context: int,
        settings: FinetuneSettings,
    ) -> Figures:
        """Measures both kinds of summaries, and makes the better one the default."""
        found = self._both(model, tokenizer, records, context)
        self.quotes = _extract_replaced(found[FREE] | found[EXTRACT])
        return self._of_default(found)

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Figures:
        """The metrics of the default summaries, and the ROUGE-L of both kinds."""
        return self._of_default(self._both(model, tokenizer, records, context))

    def _of_default(self, found: Mapping[str, Figures]) -> Figures:
        other, own = (FREE, EXTRACT) if self.quotes else (EXTRACT, FREE)
        return found[other] | found[own]

    def _both(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> dict[str, Figures]:
        """The metrics of summaries in the model's own words, and of those that it quotes. The texts
        are written only once."""
        results: dict[str, list[Row]] = {FREE: [], EXTRACT: []}
        tokens = 0
        for works in self.written(model, tokenizer, records, context):
            for kind, rows in results.items():
                asked = self.use_settings(**{kind: True})
                asking = [replace(work, settings=asked) for work in works]
                rows += self.finished(model, tokenizer, asking)
            tokens += kept_tokens(works)
        figures = {}
        for kind, rows in results.items():
            written = [row["text"] for row in rows]
            figures[kind] = self.compare(written, records) | {
                "ended": sum(row["ended"] for row in results[FREE]) / len(records),
                "answer_tokens": tokens / len(records),
                "answers": len(records),
            }
            figures[kind][f"{kind}_rougeL"] = figures[kind]["rougeL"]
        return figures

    # -- baselines ---------------------------------------------------------------------------------

    def baseline(
        self, training: Sequence[Any], records: Sequence[Any], before: Figures | None
    ) -> Figures:
        """The metrics of clauses that ridge regression chooses."""
        picker = self.picker or _learned(training)
        return self._of_baseline([picker.pick(record.source) for record in records], records)

    def other_baselines(
        self, training: Sequence[Any], records: Sequence[Any]
    ) -> Mapping[str, Callable[[], Figures]]:
        texts = [record.source for record in records]
        lead = mean_size(record.target for record in training)
        return {
            "first sentence": lambda: self._of_baseline([*map(first_sentence, texts)], records),
            f"the first {lead:,} characters or words": lambda: self._of_baseline(
                [cut(text, lead) for text in texts], records
            ),
        }

    def _of_baseline(self, written: Sequence[str], records: Sequence[Any]) -> Figures:
        found = self.compare(written, records)
        # A baseline has only one kind of summary; it stands beside both kinds of the model.
        both = dict.fromkeys(("free_rougeL", "extract_rougeL"), found["rougeL"])
        return found | both | {"ended": 1.0}


def _learned(records: Sequence[TextRecord]) -> ClausePicker:
    """What training records teach about clauses."""
    return ClausePicker.learn(
        [record.source for record in records], [record.target for record in records]
    )


def _extract_replaced(measured: Mapping[str, Any]) -> bool:
    """Whether quoted clauses were better than free summaries in measured figures, or nothing was
    measured, as in a run that did not end."""
    if not measured:
        return True
    return bool(measured.get("extract_rougeL", 0.0) > measured.get("free_rougeL", 0.0))
