"""The task `proofread`: corrects a text where it is wrong, and leaves the rest as it is."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
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
from xinye.evaluation.proofreading import (
    MOST_CHANGED,
    Candidate,
    best_threshold,
    chosen,
    measure,
)
from xinye.evaluation.proofreading_trigrams import TrigramProofreader
from xinye.model.gpt import GPT
from xinye.model.heads import IGNORED, Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.writing_settings import ProofreadSettings
from xinye.runs.words import LOSS, Both, Figure, TaskWords
from xinye.tasks.heads import USE, HeadTask, with_borders
from xinye.tasks.proofread_confusions import LONGEST, Alike
from xinye.tasks.proofread_exercise import EXERCISE
from xinye.tasks.proofread_head import begin_head
from xinye.tasks.proofread_records import WRONG, Named, ProofText, confused, read_texts
from xinye.tasks.proofread_results import Corrected, marked
from xinye.tasks.proofread_search import Search
from xinye.tasks.proofread_tokens import KEEP, SPECIAL, Drawing, FreshErrors, unit_label
from xinye.tasks.records import Example, Examples, OnBad, leaks, repeated
from xinye.tasks.task import Figures, Mark

UNITS = 8000  # characters and words that can be written, the most frequent of the correct texts
SEEN = 3  # times that such a unit occurs at least, in at least `MANY` records
MANY = 1000
PAIRS_SHARE = 0.25  # of the training records that have errors of people, if they are repeated
MOST_TIMES = 5  # that such a record is repeated
TUNED = 1000  # training records on which the baseline's threshold is chosen


def _share(name: str, en: str, zh: str) -> Figure:
    return Figure(name, en, Both(en, zh), 1, percent=True)


class Proofread(HeadTask):
    """Trains a proofreader. `labels` say for each unit of a text what becomes of it."""

    verb = "proofread"
    head = "token"
    learns_threshold = True
    relearns = True  # the layers read both directions, and the errors are new in every epoch
    figures = ("loss", "correction_f1", "clean_changed")
    better = "correction_f1"
    baseline_name = "trigram model with confusion sets"
    counted = ("kind of edit", "kinds of edits")
    own_labels = True
    counts_name = "edits"
    kept_of = "the records"
    columns = ("text_field", "answer_field", "confusions")
    augmentations = ()
    words = TaskWords(
        figures=(
            _share("correction_f1", "correction F1", "纠正 F1"),
            _share("detection_f1", "detection F1", "检测 F1（检错）"),
            replace(
                _share("clean_changed", "clean sentences changed", "被误改的正确句子"),
                lower_is_better=True,
            ),
            LOSS,
        ),
        decides="correction_f1",
        unit="labels",
        has_labels=False,
        does="Corrects wrong, missing and doubled characters and mistyped words in a text.",
        limit=(
            "It misses errors, and some of its changes are wrong: read each of them. It knows the "
            "kinds of errors that it was trained on."
        ),
        pipeline="token-classification",
        use=USE,
        command='xinye proofread {folder} "…" --diff',
        python='print(model.proofread("…")["corrected"])',
        transformers='AutoModelForTokenClassification.from_pretrained("{folder}")',
    )
    exercise = EXERCISE
    suffixes = SUFFIXES
    sources = (*FIELD_NAMES, *WRONG)
    exact = True
    highlights = {r"\[-.*?-\]": "red", r"\{\+.*?\+\}": "green"}  # noqa: RUF012

    @classmethod
    def of(cls, records: Sequence[ProofText]) -> Self:
        """The task with the units of these records. Raises `XinyeError` if no text has an error."""
        if not any(record.made or record.wrong != record.right for record in records):
            raise XinyeError(
                "the wrong and the correct text are equal in all records, so there is nothing to "
                "learn from; give texts with errors, or only correct texts, in which errors are "
                "made"
            )
        counts = Counter(unit.text for record in records for unit in units_of(record.right))
        # Rare units and numbers are no labels, so the model learns to keep what it does not know.
        least = SEEN if len(records) >= MANY else 1
        units = [
            unit
            for unit, count in counts.most_common(UNITS)
            if count >= least and not unit[0].isdigit()
        ]
        return cls((*SPECIAL, *map(unit_label, units)))

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: Any
    ) -> Iterator[ProofText]:
        return read_texts(path, on_bad, Named(**columns), notes)

    @classmethod
    def is_record(cls, text: Path) -> bool:
        return True

    @classmethod
    def without_header(cls, path: Path, **columns: Any) -> str:
        # a table of two columns is read either way, and its first line is seldom a header
        return "" if not Named(**columns).columns else headerless(path, Named(**columns).columns)

    def check(self, records: Sequence[ProofText]) -> None:
        """Any pair can be judged."""

    @classmethod
    def findings(
        cls, training: Sequence[ProofText], validation: Sequence[ProofText]
    ) -> Iterator[str]:
        pairs = [record for record in (*training, *validation) if not record.made]
        equal = sum(record.wrong == record.right for record in pairs)
        if equal:
            yield (
                f"{plural(equal, 'pair')} of equal texts among {len(pairs):,}: learned as texts "
                "without errors"
            )
        if validation and all(record.wrong != record.right for record in validation):
            yield (
                "no validation text is without errors, so it cannot be measured how many correct "
                "sentences are changed; add pairs of equal texts, or correct texts alone"
            )
        yield from repeated(training)
        yield from leaks(training, validation)

    @classmethod
    def enlarged(cls, records: Sequence[ProofText], settings: FinetuneSettings) -> list[ProofText]:
        """The records; pairs with errors of people are repeated among many texts with made ones,
        and what people have confused is confused in the other texts, too."""
        learned = confused(records)
        records = [
            replace(record, maker=replace(record.maker, learned=learned)) for record in records
        ]
        pairs = [record for record in records if not record.made]
        others = len(records) - len(pairs)
        times = 1
        if pairs and others:
            times = round(PAIRS_SHARE * others / (1 - PAIRS_SHARE) / len(pairs))
        return [*records, *(pairs * (max(1, min(times, MOST_TIMES)) - 1))]

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """A copy of the tokenizer in which every Han character and every sign is a token of its
        own, because each is decided alone."""
        return with_borders(tokenizer)

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

    def drawing(self, tokenizer: Tokenizer, context: int) -> Drawing:
        """How records become examples of this task."""
        number = {label: number for number, label in enumerate(self.labels)}
        return Drawing(tokenizer, number, context)

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[ProofText], context: int
    ) -> list[Example]:
        drawing = self.drawing(tokenizer, context)
        return [example for record in records for example in drawing.as_it_is(record)]

    def mixed(
        self, tokenizer: Tokenizer, records: Sequence[ProofText], context: int
    ) -> list[Example]:
        """The correct texts alone: a language model must not learn the errors."""
        correct = [replace(record, wrong=record.right) for record in records]
        return self.examples(tokenizer, correct, context)

    def training_examples(
        self,
        tokenizer: Tokenizer,
        records: Sequence[ProofText],
        context: int,
        settings: FinetuneSettings,
    ) -> Examples:
        return FreshErrors(self.drawing(tokenizer, context), records, settings.seed)

    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        """Each change stands at the token that it changes, not at the one before, which decides."""
        assert isinstance(example.targets, list)
        marks: list[Mark] = []
        for at, target in enumerate(example.targets, 1):
            label = KEEP if target == IGNORED else self.labels[int(target)]
            text = tokenizer.decode(example.tokens[at : at + LONGEST])
            own = units_of(text)[:1] if label not in SPECIAL else []
            is_kept = label == KEEP or [unit_label(unit.text) for unit in own] == [label]
            marks.append(None if is_kept else f"B-{label}")
        at_end = marks.pop()
        behind = [None, *marks[:-1], marks[-1] or at_end] if marks else [at_end]
        return None, list(zip(example.tokens, behind, strict=True))

    def begin_head(self, model: Head, base: GPT, tokenizer: Tokenizer, examples: Examples) -> None:
        begin_head(model, base, tokenizer, examples)

    # -- evaluation --------------------------------------------------------------------------------

    def _candidates(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[str], context: int
    ) -> list[list[Candidate]]:
        return Search(model, tokenizer, context).candidates(texts)

    def _corrected(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[str], context: int
    ) -> list[Corrected]:
        found = self._candidates(model, tokenizer, texts, context)
        return [
            Corrected(text, chosen(each, _threshold(model)))
            for text, each in zip(texts, found, strict=True)
        ]

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[ProofText], context: int
    ) -> Figures:
        texts = [record.wrong for record in records]
        found = self._candidates(model, tokenizer, texts, context)
        return _measured(records, found, _threshold(model))

    def validate(
        self,
        model: Head,
        tokenizer: Tokenizer,
        records: Sequence[ProofText],
        context: int,
        settings: FinetuneSettings,
    ) -> Figures:
        """Sets the threshold with the best correction F1 that changes at most `MOST_CHANGED` of the
        texts without errors."""
        found = self._candidates(model, tokenizer, [record.wrong for record in records], context)
        threshold = best_threshold(records, found, MOST_CHANGED)
        model.config = replace(model.config, threshold=threshold)
        return _measured(records, found, threshold)

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
        learned = confused(rest, corrections=True)

        def like(unit: str) -> list[str]:
            others = [each for table in tables for each in table.of(unit)]
            return list(dict.fromkeys((*alike.of(unit), *others, *learned.get(unit, ()))))

        tuned = [model.candidates(record.wrong, like) for record in held_out]
        threshold = best_threshold(held_out, tuned, MOST_CHANGED)
        return _measured(
            records, [model.candidates(record.wrong, like) for record in records], threshold
        )

    def sample(self, model: Head, tokenizer: Tokenizer, record: ProofText, context: int) -> str:
        [result] = self._corrected(model, tokenizer, [record.wrong], context)
        return marked(result.text, result.edits)

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: Head,
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
        return [plural(len(result["edits"]), "change")] if "marked" in result else []


def _threshold(model: Head) -> float:
    """The threshold that the model learned; 0 for a model without one."""
    return 0.0 if model.config.threshold is None else model.config.threshold


def _measured(
    records: Sequence[ProofText], found: Sequence[Sequence[Candidate]], threshold: float
) -> Figures:
    """The metrics of the candidates that reach the threshold."""
    corrected = [
        applied(record.wrong, (each.edit for each in chosen(candidates, threshold)))
        for record, candidates in zip(records, found, strict=True)
    ]
    return measure(records, corrected)
