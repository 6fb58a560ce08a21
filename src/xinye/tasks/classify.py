"""The task `classify`: gives a text, or a pair of texts, one label or several."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, processors

from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.sentences import sentence_ends
from xinye.data.sources import headerless
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation import classification
from xinye.language import shown
from xinye.model.heads import Head
from xinye.runs.words import LOSS, TaskWords
from xinye.tasks.classify_columns import Named
from xinye.tasks.classify_exercises import REVIEWS
from xinye.tasks.classify_records import LabelledText, joined_labels, read_labelled
from xinye.tasks.decisions import Decision, log_odds, place_in
from xinye.tasks.heads import ACCURACY, LIMIT, MACRO_F1, USE, HeadTask, altered
from xinye.tasks.records import (
    Example,
    Examples,
    OnBad,
    nothing_to_learn,
    sentence_borders,
)
from xinye.tasks.task import Figures


class Classify(HeadTask):
    """Trains a classifier. `labels` are all its labels; with `several`, a text can have any number
    of them.
    """

    verb = "classify"
    head = "sequence"
    figures = ("loss", "accuracy", "macro_f1")
    better = "accuracy"
    baseline_name = "TF-IDF + logistic regression"
    baseline_library = "sklearn"
    frozen_attention = "causal"
    columns = ("text_field", "label_field", "label_separator")
    judges_untaught = True
    words = TaskWords(
        figures=(ACCURACY, MACRO_F1, LOSS),
        decides="accuracy",
        unit="labels",
        does="Predicts which of {labels} labels a text has.",
        limit=LIMIT,
        pipeline="text-classification",
        use=USE,
        command='xinye classify {folder} "…"',
        python='print(model.classify("…"))',
        transformers='print(pipeline("text-classification", "{folder}")("…"))',
    )
    exercise = REVIEWS

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
        return cls(sorted(found, key=lambda label: (int(label) if numeric else 0, label)), several)

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
            _cut(encoding, text, context, tokenizer.bos_id)
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
    def probabilities(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], context: int
    ) -> list[list[float]]:
        """For each text or pair, the probability of each label, in the order of `labels`."""
        model.eval()
        device = next(model.parameters()).device
        found: list[list[float]] = [[] for _ in texts]
        examples = self.encode(tokenizer, texts, context)
        # On a processor larger batches are slower: what a layer writes leaves the cache.
        size = 8 if device.type == "cpu" else 32
        for numbers, batch in Examples(examples, tokenizer.pad_id).in_order(size):
            logits = model(batch.tokens.to(device), batch.lengths.to(device))
            rows = logits.sigmoid() if self.several else logits.softmax(-1)
            for number, row in zip(numbers, rows.tolist(), strict=True):
                found[number] = row
        return found

    def chosen(self, probabilities: Sequence[float]) -> tuple[str, ...]:
        """The most probable label, or, with several labels, all above one half."""
        if self.several:
            pairs = zip(self.labels, probabilities, strict=True)
            return tuple(label for label, probability in pairs if probability > 0.5)
        return (self.labels[probabilities.index(max(probabilities))],)

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[LabelledText], context: int
    ) -> Figures:
        rows = self.probabilities(model, tokenizer, pairs_of(records), context)
        return self.compared(records, [self.chosen(row) for row in rows])

    def baseline(
        self,
        training: Sequence[LabelledText],
        records: Sequence[LabelledText],
        before: Figures | None = None,
    ) -> Figures:
        predicted = classification.tfidf_baseline(
            [record.whole for record in training],
            [record.labels for record in training],
            [record.whole for record in records],
            self.labels,
            self.several,
        )
        return self.compared(records, predicted)

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
        kept = _kept(parts, context)
        places = [place_in(pair, parts[at], offsets[at]) for at in kept]
        decisions = []
        for name in self.chosen(row) if label is None else (label,):
            at = self.labels.index(name)
            decisions.append(
                Decision(
                    name,
                    row[at],
                    [ids[place] for place in kept],
                    places,
                    itemgetter(at) if self.several else partial(log_odds, chosen=[at]),
                    cut=len(ids) - len(kept),
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


def pairs_of(records: Sequence[LabelledText]) -> list[tuple[str, str]]:
    """The texts of records as pairs; the second of a single text is ""."""
    return [(record.text, record.pair) for record in records]


def as_pairs(inputs: Sequence[Any]) -> list[tuple[str, str]]:
    """Texts and pairs of texts, all as pairs; the second of a single text is ""."""
    return [(text, "") if isinstance(text, str) else (text[0], text[1]) for text in inputs]


def _cut(encoding: Encoding, text: str, context: int, bos_id: int) -> Example:
    """An example of at most `context` tokens, without a target."""
    ids, parts = encoding.ids, encoding.sequence_ids
    places = _kept(parts, context)
    over = len(ids) - len(places)
    if 1 in parts:
        return Example([ids[at] for at in places], 0, over)
    own = [at for at in places if parts[at] is not None]
    if not own:
        return Example(ids or [bos_id], 0)
    offsets = encoding.offsets  # the library builds this list anew on each access
    own_offsets = [offsets[at] for at in own]
    borders = sentence_borders(sentence_ends(text), own_offsets, places.index(own[0]))
    return Example([ids[at] for at in places], 0, over, borders)


def _kept(parts: Sequence[int | None], context: int) -> list[int]:
    """The indices of at most `context` tokens of a text or a pair. A long text loses its middle,
    keeping a quarter at the beginning and three quarters at the end (Sun et al. 2019,
    arXiv:1905.05583). A pair loses the end of its longer text.
    """
    over = max(0, len(parts) - context)
    if 1 in parts:
        left_out = _ends(parts, over)
        return [at for at in range(len(parts)) if at not in left_out]
    head = context // 4 if over else len(parts)
    return [*range(head), *range(head + over, len(parts))]


def _ends(parts: Sequence[int | None], over: int) -> set[int]:
    """The indices of `over` tokens at the ends of both texts, taken from the longer one each
    time.
    """
    places = [[at for at, part in enumerate(parts) if part == number] for number in (0, 1)]
    left_out = set()
    for _ in range(over):
        longer = places[len(places[1]) > len(places[0])]
        left_out.add(longer.pop())
    return left_out
