"""The task `classify`: gives a text, or a pair of texts, one label or several."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import processors

from xinye.checkpoints.folders import check_beside
from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.sources import headerless
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation import classification
from xinye.evaluation.calibration import calibration_error
from xinye.evaluation.logits import Bools, Numbers, log_loss, probabilities
from xinye.evaluation.word_counts import LIBRARY, NAME, Tuning, WordCounts
from xinye.language import shown
from xinye.model.heads import Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.classify_columns import Named
from xinye.tasks.classify_end import complete
from xinye.tasks.classify_exercises import REVIEWS
from xinye.tasks.classify_mix import CALIBRATION, COUNTS, Gain, Mix
from xinye.tasks.classify_records import LabelledText, joined_labels, read_labelled
from xinye.tasks.classify_texts import as_pairs, cut, joined, kept, pairs_of
from xinye.tasks.classify_words import WORDS, WORDS_OF_PAIRS
from xinye.tasks.decisions import Decision, log_odds, place_in
from xinye.tasks.heads import GPT_ALONE, HeadTask, altered
from xinye.tasks.records import (
    Example,
    Examples,
    OnBad,
    nothing_to_learn,
)
from xinye.tasks.task import Figures, Trained


class Classify(HeadTask):
    """Trains a classifier. `labels` are all its labels; with `several`, a text can have any number
    of them.
    """

    verb = "classify"
    head = "sequence"
    figures = ("loss", "accuracy", "macro_f1")
    better = "accuracy"
    baseline_name = NAME
    baseline_library = LIBRARY
    frozen_attention = "causal"
    columns = ("text_field", "label_field", "label_separator")
    special_settings = ("mix_baseline",)
    beside = (CALIBRATION, COUNTS)
    judges_untaught = True
    words = WORDS
    exercise = REVIEWS
    # what is learned at the end of training: the word counts, the mix, and its gain over them
    learned_counts: WordCounts | None = None
    mix: Mix | None = None
    gain: Gain | None = None

    @classmethod
    def of(cls, records: Sequence[LabelledText]) -> "Classify":
        """The task with the labels of these records. Raises `XinyeError` if there are fewer than
        two labels.
        """
        found = {label for record in records for label in record.labels}
        if len(found) < 2:
            raise XinyeError(
                f"classify: two or more labels are needed, but these records have {len(found)}"
            )
        several = any(len(record.labels) != 1 for record in records)
        numeric = all(label.isdecimal() for label in found)
        task = cls(sorted(found, key=lambda label: (int(label) if numeric else 0, label)), several)
        if any(record.pair for record in records):
            task.words = WORDS_OF_PAIRS
        return task

    @classmethod
    def of_run(cls, model: Head, folder: Path) -> "Classify":
        task = cls.of_network(model)
        check_beside(folder, cls.beside)
        task.mix = Mix.load(folder, task.labels, task.several)
        return task

    # -- records -----------------------------------------------------------------------------------

    suffixes = SUFFIXES  # in .txt, each line is text, tab, label

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[LabelledText]:
        return read_labelled(path, on_bad, Named(**columns), notes)

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        return headerless(path, Named(**columns).columns, tabbed=True)

    def facts(self, records: Sequence[LabelledText]) -> dict[str, Any]:
        return {"pairs": any(record.pair for record in records)}

    @classmethod
    def findings(
        cls, training: Sequence[LabelledText], validation: Sequence[LabelledText]
    ) -> Iterator[str]:
        counts = cls.counts(training)
        yield from joined_labels(counts)
        if len(counts) == len(training) > 3:
            yield (
                "each record has a different label; if another column holds the labels, name "
                "it with --label-field"
            )
        yield from super().findings(training, validation)

    @classmethod
    def stratum(cls, record: LabelledText, folds: bool) -> tuple[str, ...]:
        return record.labels

    @classmethod
    def clash(cls, count: int, share: float, one: LabelledText, other: LabelledText) -> str:
        labels = " ≠ ".join(", ".join(record.labels) for record in (one, other))
        clash = f"{super().clash(count, share, one, other)} ({labels})"
        if share > 0.05:
            return (
                f"{clash}; if each text is a pair in two columns, name both: --text-field ONE,OTHER"
            )
        return clash

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """A copy of the tokenizer that puts a token between the texts of a pair and one at the end,
        where the head reads.

        The last token is then always the same and never part of the text. A tokenizer that has such
        tokens is returned unchanged. If `<eos>` is also the padding token, none is put at the end,
        because transformers would ignore it.
        """
        encoding = tokenizer.backend.encode("a", "a", add_special_tokens=True)
        tokens, parts = encoding.tokens, encoding.sequence_ids
        opening, end = tokens[: parts.index(0)], tokens[len(parts) - parts[::-1].index(1) :]
        between = [
            token
            for token, part in zip(tokens, parts[: parts.index(1)], strict=False)
            if part is None
        ]
        between = between[len(opening) :]
        may_end = tokenizer.eos_id != tokenizer.pad_id
        if between and (end or not may_end):
            return tokenizer
        eos = tokenizer.backend.id_to_token(tokenizer.eos_id) or ""
        between, end = between or [eos], end or [eos] * may_end
        changed = altered(tokenizer)
        special = [
            (token, tokenizer.backend.token_to_id(token))
            for token in dict.fromkeys([*opening, *between, *end])
        ]
        changed.backend.post_processor = processors.TemplateProcessing(
            single=[*opening, "$A", *end],
            pair=[*opening, "$A", *between, "$B:1", *end],
            special_tokens=special,
        )
        return changed

    def encode(
        self, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], context: int
    ) -> list[Example]:
        """The texts as examples without targets, each cut to `context` tokens. The second of a pair
        is "" for a single text.
        """
        inputs: list[Any] = [pair if pair[1] else pair[0] for pair in texts]
        encodings = tokenizer.encodings(inputs, special_tokens=True)
        return [
            cut(encoding, text, context, tokenizer.bos_id)
            for encoding, (text, _) in zip(encodings, texts, strict=True)
        ]

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[LabelledText], context: int
    ) -> list[Example]:
        for record in records:
            if not record.text.strip():
                raise nothing_to_learn(record.place, "the text is empty")
            if not self.several and not record.labels:
                raise nothing_to_learn(record.place, "the record has no label")
        encoded = self.encode(tokenizer, pairs_of(records), context)
        return [
            replace(example, targets=self.target(record))
            for example, record in zip(encoded, records, strict=True)
        ]

    def target(self, record: LabelledText) -> int | list[float]:
        """The index of the record's label, or, with several labels, 0.0 or 1.0 for each."""
        if self.several:
            return [float(label in record.labels) for label in self.labels]
        return self.labels.index(record.labels[0])

    # -- evaluation --------------------------------------------------------------------------------

    @torch.no_grad()
    def logits(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], context: int
    ) -> Numbers:
        """For each text or pair, what the network says of each label, in the order of `labels`: its
        log-probability, or with several labels its log-odds. (texts, labels)"""
        model.eval()
        device = next(model.parameters()).device
        found = np.empty((len(texts), len(self.labels)))
        examples = self.encode(tokenizer, texts, context)
        # On a processor larger batches are slower: what a layer writes leaves the cache.
        size = 8 if device.type == "cpu" else 32
        for numbers, batch in Examples(examples, tokenizer.pad_id).in_order(size):
            logits = model(batch.tokens.to(device), batch.lengths.to(device))
            found[numbers] = (logits if self.several else logits.log_softmax(-1)).cpu().numpy()
        return found

    def probabilities(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], context: int
    ) -> list[list[float]]:
        """For each text or pair, the probability of each label, in the order of `labels`."""
        logits = self.logits(model, tokenizer, texts, context)
        if self.mix:
            logits = self.mix(logits, [joined(*pair) for pair in texts], self.labels)
        rows: list[list[float]] = probabilities(logits, self.several).tolist()
        return rows

    def chosen(self, probabilities: Sequence[float]) -> tuple[str, ...]:
        """The most probable label, or, with several labels, all above one half."""
        if self.several:
            pairs = zip(self.labels, probabilities, strict=True)
            return tuple(label for label, probability in pairs if probability > 0.5)
        return (self.labels[probabilities.index(max(probabilities))],)

    def losses(self, model: Head, tokenizer: Tokenizer, examples: Examples) -> Figures:
        """None: `measure` has the logits, and computes the loss from them."""
        return {}

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[LabelledText], context: int
    ) -> Figures:
        logits = self.logits(model, tokenizer, pairs_of(records), context)
        alone = self.judged(records, logits)
        if not self.mix:
            return alone
        mixed = self.mix(logits, [record.whole for record in records], self.labels)
        parts = [{"name": GPT_ALONE, **alone}] if self.mix.counts else []
        return self.judged(records, mixed) | {"mixes": parts}

    def judged(self, records: Sequence[LabelledText], logits: Numbers) -> Figures:
        """The metrics of the logits (texts, labels) of records."""
        shares, right = probabilities(logits, self.several), self.has(records)
        figures = self.compared(records, [self.chosen(row) for row in shares.tolist()])
        error = calibration_error(shares, right, self.several)
        loss = log_loss(logits, right, self.several)
        return figures | {"calibration_error": error, "loss": loss}

    def has(self, records: Sequence[LabelledText]) -> Bools:
        """Which record has which label, (records, labels)."""
        return np.array([[label in each.labels for label in self.labels] for each in records])

    @classmethod
    def completing(cls, settings: FinetuneSettings) -> str:
        return "calibrating the model and looking for hard cases"

    def complete(self, trained: Trained) -> Figures:
        return complete(self, trained)

    def right(self, records: Sequence[LabelledText], logits: Numbers) -> Bools:
        """The records whose labels are those that the logits choose."""
        rows = probabilities(logits, self.several).tolist()
        pairs = zip(records, rows, strict=True)
        return np.array([{*record.labels} == {*self.chosen(row)} for record, row in pairs])

    def learned(
        self, training: Sequence[LabelledText], validation: Sequence[LabelledText]
    ) -> list[LabelledText]:
        """All records if there are word counts, which have learned from both parts."""
        return [*training, *(validation if self.mix and self.mix.counts else ())]

    def word_counts(
        self, training: Sequence[LabelledText], tuning: Tuning | None = None
    ) -> WordCounts:
        """The model of word counts that learns from these records. Raises `XinyeError` if there is
        nothing to learn."""
        texts, right = [record.whole for record in training], [record.labels for record in training]
        return WordCounts.learn(texts, right, self.labels, self.several, tuning)

    def baseline(
        self,
        training: Sequence[LabelledText],
        records: Sequence[LabelledText],
        before: Figures | None = None,
    ) -> Figures:
        counts = self.mix.counts if self.mix else None
        counts = counts or self.learned_counts or self.word_counts(training)
        logits = counts.logits([record.whole for record in records], self.labels)
        gain = {"gain": asdict(self.gain)} if self.gain else {}
        return self.judged(records, logits) | asdict(counts.tuning) | gain

    def compared(
        self, records: Sequence[LabelledText], predicted: classification.Labels
    ) -> Figures:
        """The metrics of predicted labels."""
        right = [record.labels for record in records]
        return classification.measure(right, predicted, self.labels, self.several)

    def sample(self, model: Head, tokenizer: Tokenizer, record: LabelledText, context: int) -> str:
        row = self.probabilities(model, tokenizer, pairs_of([record]), context)[0]
        said = ", ".join(self.chosen(row)) or "(none)"
        right = ", ".join(record.labels) or "(none)"
        text = record.whole if len(record.whole) <= 60 else record.whole[:59] + "…"
        wrong = "" if said == right else f", right is {right}"
        return f"{text} → {said} ({max(row):.2f}){wrong}"

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: Head,
        tokenizer: Tokenizer,
        inputs: Sequence[Any],
        context: int,
        settings: Any = None,
    ) -> list[Row]:
        """For each text or pair a dictionary with `label`, `probability` and `probabilities`; with
        several labels `labels` and `probabilities`.
        """
        rows = self.probabilities(model, tokenizer, as_pairs(inputs), context)
        return [self.result(row) for row in rows]

    def decisions(
        self, model: Head, tokenizer: Tokenizer, text: Any, context: int, label: str | None
    ) -> list[Decision]:
        [pair] = as_pairs([text])
        [row] = self.probabilities(model, tokenizer, [pair], context)
        if label is not None and label not in self.labels:
            raise self.unknown(label)
        [encoding] = tokenizer.encodings([pair if pair[1] else pair[0]], special_tokens=True)
        ids, parts, offsets = encoding.ids, encoding.sequence_ids, encoding.offsets
        inside = kept(parts, context)
        places = [place_in(pair, parts[at], offsets[at]) for at in inside]
        decisions = []
        for name in self.chosen(row) if label is None else (label,):
            at = self.labels.index(name)
            decisions.append(
                Decision(
                    name,
                    row[at],
                    [ids[place] for place in inside],
                    places,
                    itemgetter(at) if self.several else partial(log_odds, chosen=[at]),
                    cut=len(ids) - len(inside),
                )
            )
        return decisions

    def result(self, row: Sequence[float]) -> Row:
        """The dictionary for one text, from the probability of each label."""
        chosen = self.chosen(row)
        probabilities = dict(zip(self.labels, row, strict=True))
        found: Row = {"labels": list(chosen)}
        if not self.several:
            found = {"label": chosen[0], "probability": max(row)}
        return found | {"probabilities": probabilities}

    @classmethod
    def lines(cls, text: str, result: Row, alone: bool) -> list[str]:
        """The lines to print: the label with its probability and, for a single text, those of other
        labels.
        """
        labels, shares = result.get("labels", [result.get("label")]), result["probabilities"]
        said = ", ".join(f"{label} {shares[label]:.1%}" for label in labels) or shown("(no label)")
        if not alone:
            return [f"{said}\t{text}"]
        others = [(label, share) for label, share in shares.items() if label not in labels]
        others.sort(key=lambda other: -other[1])
        return [said, *(f"  {label} {share:.1%}" for label, share in others[:10])]
