"""The task `proofread`: corrects a text where it is wrong, and leaves the rest as it is.

The language model is trained on correct texts. It does not write: it says how much more probable
each possible edit makes a text, and only edits with enough evidence are made.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from xinye.data.columns import FIELD_NAMES
from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.scripts import is_han
from xinye.data.sources import headerless
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.evaluation.edits import applied, units_of
from xinye.evaluation.proofreading import MOST_CHANGED, Candidate, best_threshold, chosen, measure
from xinye.evaluation.proofreading_trigrams import TrigramProofreader
from xinye.language import shown
from xinye.model.gpt import GPT
from xinye.model.loss import IGNORED
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.finetuning import Pace
from xinye.planning.writing_settings import ProofreadSettings
from xinye.runs.folder import RunFolder
from xinye.runs.saved import About, Result
from xinye.runs.words import LOSS, Both, Figure, TaskWords
from xinye.tasks.heads import USE
from xinye.tasks.language_task import LanguageTask
from xinye.tasks.proofread_candidates import Confusable
from xinye.tasks.proofread_confusions import Alike
from xinye.tasks.proofread_evidence import FEW, USUAL, Evidence, joined, learned
from xinye.tasks.proofread_exercise import EXERCISE
from xinye.tasks.proofread_known import Known
from xinye.tasks.proofread_records import WRONG, ProofText, confused, read_texts
from xinye.tasks.proofread_results import Corrected, marked
from xinye.tasks.proofread_search import Search, Weighing
from xinye.tasks.records import Example, OnBad, leaks, repeated
from xinye.tasks.task import Figures
from xinye.tasks.text_windows import windows
from xinye.tasks.writing_records import Named

TUNED = 1000  # training records on which the baseline's threshold is chosen


def _share(name: str, en: str, zh: str) -> Figure:
    return Figure(name, en, Both(en, zh), 1, percent=True)


class Proofread(LanguageTask):
    """Trains a proofreader. A record is learned by its correct text."""

    verb = "proofread"
    figures = ("loss", "bits_per_byte")
    better = "loss"
    judges_untaught = True
    works_untaught = True
    # a base that knows the language should not forget it
    pace = Pace(rates=0.1, batch_sizes=(32, 128), epochs=(4, 1), dropout=False)
    baseline_name = "trigram model with confusion sets"
    counted = ("kind of edit", "kinds of edits")
    own_labels = True
    counts_name = "edits"
    columns = ("text_field", "answer_field", "confusions")
    augmentations = ()
    words = TaskWords(
        figures=(
            _share("correction_f1", "correction F1", "纠正 F1"),
            _share("detection_f1", "detection F1", "检测 F1（检错）"),
            replace(
                _share("clean_changed", "clean sentences changed", "被误改的正确句子"),
                lower_replaced=True,
            ),
            LOSS,
        ),
        decides="correction_f1",
        unit="tokens",
        has_labels=False,
        does="Corrects wrong, missing and doubled characters and mistyped words in a text.",
        limit=(
            "It misses errors, and some of its changes are wrong: read each of them. It looks for "
            "characters and words that are confused, doubled or missing, not for grammar or facts."
        ),
        use=USE,
        command='xinye proofread {folder} "…" --diff',
        python='print(model.proofread("…")["corrected"])',
    )
    exercise = EXERCISE
    suffixes = SUFFIXES
    sources = (*FIELD_NAMES, *WRONG)
    exact = True
    highlights = {r"\[-.*?-\]": "red", r"\{\+.*?\+\}": "green"}  # noqa: RUF012

    # What is learned beside the weights of the network, and saved with the run.
    evidence: Evidence = USUAL
    known = Known()
    confusable: Confusable | None = None  # made when it is needed

    @classmethod
    def of_run(cls, model: GPT, folder: Path) -> Self:
        task, run = cls(), RunFolder(folder)
        damage: list[str] = []
        facts = About.read(run.settings_file, damage).data
        result = Result.read(run.result_file, damage)
        if damage:
            raise XinyeError(damage[0])
        task.known = Known.of_run(facts, str(run.settings_file))
        measured = result.measured or {}
        if "evidence" in measured:
            task.evidence = Evidence.from_json(measured["evidence"], str(run.result_file))
        return task

    def facts(self, records: Sequence[ProofText]) -> dict[str, Any]:
        self.known = Known.learned(records)
        return self.known.model_dump()

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: Any
    ) -> Iterator[ProofText]:
        return read_texts(path, on_bad, _named(columns), columns.get("confusions", ()), notes)

    @classmethod
    def is_record(cls, text: Path) -> bool:
        return True

    @classmethod
    def without_header(cls, path: Path, **columns: Any) -> str:
        # a table of two columns is read either way, and its first line is seldom a header
        named = _named(columns).columns
        return headerless(path, named) if named else ""

    @classmethod
    def counts(cls, records: Sequence[ProofText]) -> dict[str, int]:
        """The number of edits of each kind that the wrong texts need."""
        return dict(Counter(kind for record in records for kind in record.kinds).most_common())

    @classmethod
    def findings(
        cls, training: Sequence[ProofText], validation: Sequence[ProofText]
    ) -> Iterator[str]:
        pairs = [record for record in (*training, *validation) if not record.made]
        equal = sum(record.wrong == record.right for record in pairs)
        if equal:
            yield (
                f"{plural(equal, 'pair')} of equal texts among {len(pairs):,}: taken as texts "
                "without errors"
            )
        wrong = sum(record.wrong != record.right for record in validation)
        if validation and wrong == len(validation):
            yield (
                "no validation text is without errors, so it cannot be measured how many correct "
                "sentences are changed; add pairs of equal texts, or correct texts alone"
            )
        if validation and wrong < FEW:
            yield (
                f"only {plural(wrong, 'validation text')} with errors: too few to learn how edits "
                f"are weighed, so the usual weights are taken; give at least {FEW}"
            )
        yield from repeated(training)
        yield from leaks(training, validation)

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def token_findings(
        cls,
        tokenizer: Tokenizer,
        theirs: Tokenizer,
        training: Sequence[ProofText],
        validation: Sequence[ProofText],
    ) -> Iterator[str]:
        some = [record.right for record in training[:200]]
        units = [unit.text for text in some for unit in units_of(text)]
        han = [unit for unit in units if is_han(unit)]
        if sum(len(tokenizer.encode(unit)) for unit in han) > 1.5 * len(han):
            yield (
                "the texts are Chinese, but the base model's tokenizer knows few of their "
                "characters; choose a base that was trained on Chinese"
            )
        words = [unit for unit in units if unit.isalpha() and not is_han(unit)]
        if 2 * len(words) > len(units) and (
            sum(len(tokenizer.encode(word)) for word in words) > 4 * len(words)
        ):
            yield (
                "the texts are mostly words, but the base model's tokenizer reads them in letters; "
                "a base with --tokenizer bpe that was trained on such texts learns much better"
            )

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[ProofText], context: int
    ) -> list[Example]:
        """The correct texts, each ending with its own token. Those that are longer than the context
        are learned in parts."""
        before = [*tokenizer.prefix] or [tokenizer.eos_id]
        room = context - len(before)
        found = []
        for record in records:
            parts = windows(record.right, lambda some: len(tokenizer.encode(some)) <= room)
            for _, part in parts:
                tokens = [*before, *tokenizer.encode(part)]
                targets = [*[IGNORED] * (len(before) - 1), *tokens[len(before) :], tokenizer.eos_id]
                found.append(Example(tokens, targets))
        return found

    # -- evaluation --------------------------------------------------------------------------------

    def search(self, model: GPT, tokenizer: Tokenizer, context: int) -> Search:
        """What weighs the possible edits of texts with the model."""
        model.eval()
        if self.confusable is None or self.confusable.tokenizer is not tokenizer:
            self.confusable = Confusable(tokenizer, self.known)
        return Search(model, tokenizer, self.confusable, context)

    def changes(self, search: Search, text: str) -> list[Candidate]:
        """The edits to make in a text. Where there are some, it is weighed again with them made,
        because an error hides others."""
        return [each for part in search.weighed(text) for each in self._changes(search, part)]

    def _changes(self, search: Search, part: Weighing) -> list[Candidate]:
        first = self.evidence.chosen([part])
        if not first:
            return []
        edited = applied(part.text, (edit.moved(-part.start) for edit, _ in first))
        return joined(first, self.evidence.chosen([search.weighed_part(edited, part.start)]))

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[ProofText], context: int
    ) -> Figures:
        search = self.search(model, tokenizer, context)
        found = _measured(records, (self.changes(search, record.wrong) for record in records))
        return found | {"threshold": self.evidence.to_json()["threshold"]}

    def validate(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        records: Sequence[ProofText],
        context: int,
        settings: FinetuneSettings,
    ) -> Figures:
        """Learns how the evidence for an edit is weighed. The figures are those of records from
        which the weights were not learned, with the threshold that is best for them, and without a
        second look."""
        search = self.search(model, tokenizer, context)
        found = [search.weighed(record.wrong) for record in records]
        self.evidence, candidates = learned(records, found)
        threshold = self.evidence.threshold
        made = (chosen(each, threshold) for each in candidates)
        return _measured(records, made) | {"evidence": self.evidence.to_json()}

    @classmethod
    def notes_on_figures(cls, measured: Figures) -> Sequence[str]:
        if measured.get("evidence", measured).get("threshold", 0.0) is None:
            return [
                "no edit made the validation texts better, so the model changes nothing; give more "
                "records, or a base model that has read more text like these"
            ]
        return []

    def baseline(
        self,
        training: Sequence[ProofText],
        records: Sequence[ProofText],
        before: Figures | None = None,
    ) -> Figures:
        """The trigram model and what people confuse are learned from training records. The
        threshold is chosen by the same rule as the model's, on a tenth of the records, of which
        nothing was learned."""
        shuffled = random.Random(0).sample(list(training), len(training))
        held_out = shuffled[: min(TUNED, max(1, len(shuffled) // 10))]
        unseen = {record.right for record in held_out}
        rest = [record for record in shuffled if record.right not in unseen] or held_out
        model = TrigramProofreader([record.right for record in rest])
        alike = Alike(model.units)
        tables = {each.maker.confusions for each in training}
        learned = confused(rest)

        def like(unit: str) -> list[str]:
            others = [each for table in tables for each in table.of(unit)]
            return list(dict.fromkeys((*alike.of(unit), *others, *learned.get(unit, ()))))

        tuned = [model.candidates(record.wrong, like) for record in held_out]
        threshold = best_threshold(held_out, tuned, MOST_CHANGED)
        made = (chosen(model.candidates(record.wrong, like), threshold) for record in records)
        return _measured(records, made)

    def sample(self, model: GPT, tokenizer: Tokenizer, record: ProofText, context: int) -> str:
        [result] = self._corrected(model, tokenizer, [record.wrong], context)
        if result.edits:
            return marked(result.text, result.edits)
        return f"{result.text} {shown('(unchanged)')}"

    def _corrected(
        self, model: GPT, tokenizer: Tokenizer, texts: Sequence[str], context: int
    ) -> list[Corrected]:
        search = self.search(model, tokenizer, context)
        return [Corrected(text, self.changes(search, text)) for text in texts]

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        inputs: Sequence[str],
        context: int,
        settings: ProofreadSettings | None = None,
    ) -> list[Row]:
        """For each text a dictionary: `text`, `corrected`, and `edits` with `start`, `end` (in
        characters of the text), `replacement` and `probability`. With the setting `diff` also
        `marked`, the text with its edits marked."""
        diff = settings is not None and settings.diff
        found = self._corrected(model, tokenizer, inputs, context)
        return [each.row(diff) for each in found]

    @classmethod
    def lines(cls, text: str, result: Row, alone: bool) -> list[str]:
        shown: str = result["marked"] if "marked" in result else result["corrected"]
        return [shown.removesuffix("\n")]

    @classmethod
    def notes_on(cls, result: Row) -> list[str]:
        edits = result["edits"]
        return [plural(len(edits), "change")] if edits and "marked" in result else []


def _named(columns: Mapping[str, Any]) -> Named:
    """The columns of the wrong and of the correct text that a person named."""
    return Named(columns.get("text_field"), columns.get("answer_field"))


def _measured(records: Sequence[ProofText], made: Iterable[Sequence[Candidate]]) -> Figures:
    """The metrics of the changes that were made in the wrong texts."""
    corrected = [
        applied(record.wrong, (each.edit for each in changes))
        for record, changes in zip(records, made, strict=True)
    ]
    return measure(records, corrected)
