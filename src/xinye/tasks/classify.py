"""The task `classify`: a text, or a pair of them, and its label, or several.

Records are rows or objects with a column of the text and one of the label, or lines of a text file with a tab between.
A table needs no header.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Encoding, processors

from xinye.data.files import check_file
from xinye.data.sources import as_text, choose_field, read_records
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, did_you_mean
from xinye.evaluation import classification
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig
from xinye.tasks.examples import Example, Examples, loss, losses, sentence_borders, split
from xinye.tasks.records import OnBad, places, refuse, refuse_line, spelled_alike
from xinye.tasks.tokens import altered

LABEL_NAMES = [
    "label",
    "labels",
    "category",
    "class",
    "target",
    "intent",
    "topic",
    "sentiment",
    "polarity",
    "tag",
]
LABEL_NAMES += ["标签", "类别", "分类", "正负面", "情感", "极性", "意图"]
PAIR_NAMES = [
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("premise", "hypothesis"),
]
PAIR_NAMES += [("question1", "question2"), ("text", "text_pair"), ("句子1", "句子2")]


@dataclass(frozen=True)
class Record:
    """A text, the second of a pair or "", what is right, where it stands ("reviews.csv, line 17"), and how it was found
    there."""

    text: str
    pair: str
    labels: tuple[str, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        return f"{self.text}\n{self.pair}" if self.pair else self.text


class Columns(NamedTuple):
    """Where things stand: one column of text or two, that of the label, and what parts several labels, if anything."""

    texts: tuple[str, ...]
    label: str
    separator: str | None

    @property
    def format(self) -> str:
        text = (
            f"pairs of texts in {self.texts[0]!r} and {self.texts[1]!r}"
            if self.texts[1:]
            else self.texts[0]
        )
        return f"{text if self.texts[1:] else f'text in {text!r}'}, label in {self.label!r}"


class Classify:
    """What the labels are, and what follows from that."""

    verb = "classify"
    writes = False
    figures = ("loss", "accuracy", "macro_f1")
    better = "accuracy"
    baseline_name = "TF-IDF + logistic regression"

    def __init__(self, labels: Sequence[str], several: bool) -> None:
        self.labels, self.several = tuple(labels), several

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Classify":
        """The task that records are of. Raises `XinyeError` where they have fewer than two labels."""
        found = Counter(label for record in records for label in record.labels)
        if len(found) < 2:
            raise XinyeError(
                f"classify: two or more labels are needed, and these records have {len(found)}"
            )
        several = any(len(record.labels) != 1 for record in records)
        numeric = all(label.isdecimal() for label in found)
        return cls(sorted(found, key=lambda label: (int(label) if numeric else 0, label)), several)

    # -- records ----------------------------------------------------------------------------------------------------

    @staticmethod
    def read(
        files: Sequence[str],
        text_field: str | None = None,
        label_field: str | None = None,
        separator: str | None = None,
        on_bad: OnBad = refuse,
    ) -> list[Record]:
        """The records of files. What cannot be one is given to `on_bad`, with file and line."""
        records: list[Record] = []
        for path in map(Path, files):
            check_file(path)
            rows = []
            for line, row in read_records(
                path, refuse_line(on_bad), named(text_field, label_field), tabbed=True
            ):
                if isinstance(row, dict):
                    rows.append((line, row))
                else:
                    what = "expected an object with a text and a label"
                    on_bad(XinyeError(f"{path}, line {line}: {what}, found {str(row)[:40]!r}"))
            if not rows:
                raise XinyeError(f"{path}: no records in it")
            columns = find_columns(
                path, [row for _, row in rows], text_field, label_field, separator
            )
            for line, row in rows:
                try:
                    records.append(_record(path, line, row, columns))
                except XinyeError as error:
                    on_bad(error)
        return records

    def check(self, records: Sequence[Record]) -> None:
        """Raises `XinyeError` for a label that was not learned."""
        for record in records:
            for label in record.labels:
                if label not in self.labels:
                    known = ", ".join(self.labels[:8]) + (" …" if len(self.labels) > 8 else "")
                    near = did_you_mean(label, self.labels)
                    raise XinyeError(
                        f"{record.place}: the label {label!r} is not one of the model's, {known}{near}"
                    )

    @staticmethod
    def split(
        records: Sequence[Record], share: float, seed: int, fold: tuple[int, int] | None = None
    ) -> tuple[list[Record], list[Record]]:
        """The records to learn from, and a share of each label's, or a fold, to judge on; equal texts stay together."""
        return split(records, share, seed, fold, label=lambda record: record.labels)

    @staticmethod
    def findings(training: Sequence[Record], validation: Sequence[Record]) -> list[str]:
        """What a person should know of the records, in sentences."""
        return list(_findings(training, validation))

    def counts(self, records: Sequence[Record]) -> dict[str, int]:
        """Records by label, the most frequent first."""
        return dict(Counter(label for record in records for label in record.labels).most_common())

    # -- tokens -----------------------------------------------------------------------------------------------------

    @staticmethod
    def tokenizer(tokenizer: Tokenizer) -> Tokenizer:
        """With a token that parts a pair of texts, and one at the end, where the head looks: it is no word of the text,
        and always the same. A tokenizer that has such ones stays as it is; where `<eos>` is also what texts are padded
        with none is put at the end, since transformers would not see it."""
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
        """Texts (and the second of each pair, or "") without targets, each cut to the context."""
        inputs: list[Any] = [pair if pair[1] else pair[0] for pair in texts]
        encodings = tokenizer.encodings(inputs, special_tokens=True)
        return [
            _cut(encoding, text, context, tokenizer.bos_id)
            for encoding, (text, _) in zip(encodings, texts, strict=True)
        ]

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> list[Example]:
        """What is learned from. Raises `XinyeError` for a record with nothing to learn from."""
        for record in records:
            if not record.text.strip():
                raise XinyeError(
                    f"{record.place}: the text is empty, so that there is nothing to learn from"
                )
            if not self.several and not record.labels:
                raise XinyeError(
                    f"{record.place}: no label, so that there is nothing to learn from"
                )
        number = {label: index for index, label in enumerate(self.labels)}
        encoded = self.encode(
            tokenizer, [(record.text, record.pair) for record in records], context
        )
        targets: list[Any] = [
            [float(label in record.labels) for label in self.labels]
            if self.several
            else number[record.labels[0]]
            for record in records
        ]
        return [
            replace(example, targets=target)
            for example, target in zip(encoded, targets, strict=True)
        ]

    # -- judging ----------------------------------------------------------------------------------------------------

    def network(self, backbone: GPTConfig, base: GPT) -> Head:
        """Its layers with a head that begins at zero."""
        return Head.over(base, HeadConfig(backbone, "sequence", self.labels, self.several))

    loss = staticmethod(loss)
    losses = staticmethod(losses)

    @torch.no_grad()
    def probabilities(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], context: int
    ) -> list[list[float]]:
        """The probability of each label, of each text (or pair)."""
        model.eval()
        device = next(model.parameters()).device
        found: list[list[float]] = [[] for _ in texts]
        examples = self.encode(tokenizer, texts, context)
        for numbers, batch in Examples(examples, tokenizer.pad_id).in_order(32):
            logits = model(batch.tokens.to(device), batch.lengths.to(device))
            rows = logits.sigmoid() if self.several else logits.softmax(-1)
            for number, row in zip(numbers, rows.tolist(), strict=True):
                found[number] = row
        return found

    def chosen(self, probabilities: Sequence[float]) -> tuple[str, ...]:
        """The likeliest label, or of several those above one half."""
        if self.several:
            return tuple(
                label for label, p in zip(self.labels, probabilities, strict=True) if p > 0.5
            )
        return (
            self.labels[max(range(len(self.labels)), key=lambda number: probabilities[number])],
        )

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> dict[str, Any]:
        """How right the model is."""
        rows = self.probabilities(
            model, tokenizer, [(record.text, record.pair) for record in records], context
        )
        predicted = [self.chosen(row) for row in rows]
        return classification.measure(
            [record.labels for record in records], predicted, self.labels, self.several
        )

    def baseline(self, training: Sequence[Record], records: Sequence[Record]) -> dict[str, Any]:
        """How right the classical means are that learn from the same records."""
        predicted = classification.tfidf_baseline(
            [record.whole for record in training],
            [record.labels for record in training],
            [record.whole for record in records],
            self.labels,
            self.several,
        )
        return classification.measure(
            [record.labels for record in records], predicted, self.labels, self.several
        )

    def sample(self, model: Head, tokenizer: Tokenizer, record: Record, context: int) -> str:
        """What the model says of a record."""
        row = self.probabilities(model, tokenizer, [(record.text, record.pair)], context)[0]
        said = ", ".join(self.chosen(row)) or "(none)"
        right = ", ".join(record.labels) or "(none)"
        text = record.whole if len(record.whole) <= 60 else record.whole[:59] + "…"
        return f"{text} → {said} ({max(row):.2f}){'' if said == right else f', right is {right}'}"


# -- records ---------------------------------------------------------------------------------------------------------


def named(text_field: str | None, label_field: str | None) -> list[str]:
    """The columns that a person named."""
    return [name for given in (text_field, label_field) if given for name in given.split(",")]


def find_columns(
    path: Path,
    rows: Sequence[dict[str, Any]],
    text_field: str | None,
    label_field: str | None,
    separator: str | None,
) -> Columns:
    """The columns of texts and label: as given, by name, or by what stands in them."""
    columns = list(dict.fromkeys(column for row in rows[:1000] for column in row))
    if len(columns) == 1:
        found = columns[0] if columns != ["1"] else rows[0]["1"]
        raise XinyeError(
            f"{path}, line 1: expected columns of a text and a label, in .txt and .tsv with a tab between, found one: "
            f"{found[:40]!r}"
        )
    for given, flag in ((text_field, "--text-field"), (label_field, "--label-field")):
        for column in given.split(",") if given else ():
            if column not in columns:
                near = did_you_mean(column, columns)
                raise XinyeError(
                    f"{path}: no column {column!r} ({flag}); there are {', '.join(columns)}{near}"
                )
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    label = label_field or next((by_name[name] for name in LABEL_NAMES if name in by_name), None)
    if label is None:
        few = [column for column in columns if _like_labels([row.get(column) for row in rows])]
        if not few and columns == ["1", "2"]:  # a table of texts and labels without a header
            different = [len({row[column] for row in rows}) for column in columns]
            few = [columns[different[1] < different[0]]] if different[0] != different[1] else []
        if len(few) != 1:
            raise XinyeError(
                f"{path}: which column is the label? Name it with --label-field; there are: {', '.join(columns)}"
            )
        label = few[0]
    if text_field:
        texts = tuple(text_field.split(","))
        if len(texts) > 2:
            raise XinyeError(
                f"--text-field {text_field}: a text, or a pair of them, not {len(texts)}"
            )
    else:
        pair = next((pair for pair in PAIR_NAMES if set(pair) <= by_name.keys()), None)
        if pair:
            texts = (by_name[pair[0]], by_name[pair[1]])
        else:
            same = (
                {column for column in columns if len({str(row.get(column)) for row in rows}) == 1}
                if rows[1:]
                else ()
            )
            left_out = {label, *same}
            others = [
                {key: value for key, value in row.items() if key not in left_out}
                for row in rows[:100]
            ]
            try:
                texts = (choose_field(path, others),)
            except XinyeError as error:
                raise XinyeError(str(error).replace("--field", "--text-field")) from None
    return Columns(texts, label, separator)


def _like_labels(values: Sequence[Any]) -> bool:
    """Whether a column's values are few different ones."""
    different = {str(value) for value in values}
    return 2 <= len(different) <= max(2, min(200, len(values) // 4))


def _record(path: Path, line: int, row: dict[str, Any], columns: Columns) -> Record:
    texts: list[str] = []
    for column in columns.texts:
        value = row.get(column)
        text = as_text(value)  # of a list, such as keywords, its lines
        if text is None or not (text.strip() or texts):
            found = "nothing" if text is not None else repr(str(value)[:40])
            raise XinyeError(
                f"{path}, line {line}, field {column!r}: expected a text, found {found}"
            )
        texts.append(text)
    value = row.get(columns.label)
    values = value if isinstance(value, list) else [value]
    if columns.separator and isinstance(value, str):
        values = [part for part in value.split(columns.separator) if part.strip()]
    labels = []
    for each in values:
        if (
            isinstance(each, bool)
            or not isinstance(each, str | int | float)
            or str(each).strip() == ""
        ):
            found = "nothing" if each in (None, "") else repr(str(each)[:40])
            raise XinyeError(
                f"{path}, line {line}, field {columns.label!r}: expected a label, found {found}"
            )
        labels.append(str(each).strip())
    pair = texts[1] if len(texts) > 1 else ""
    return Record(
        texts[0], pair, tuple(dict.fromkeys(labels)), f"{path}, line {line}", columns.format
    )


def _findings(training: Sequence[Record], validation: Sequence[Record]) -> Iterator[str]:
    counts = Counter(label for record in training for label in record.labels)
    yield from spelled_alike(counts)
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= 5 * few:
        yield f"unbalanced: {many:,} records of {most!r}, {few:,} of {least!r}"
    seen: dict[str, Record] = {}
    clashes = []
    for record in training:
        other = seen.setdefault(record.whole, record)
        if set(other.labels) != set(record.labels):
            clashes.append((other, record))
    if clashes:
        one, other = clashes[0]
        many_words = f"{len(clashes):,} texts have" if len(clashes) > 1 else "one text has"
        said = " and then ".join(", ".join(record.labels) for record in (one, other))
        columns = (
            "; does another column belong to it? --text-field ONE,OTHER"
            if len(clashes) > 0.05 * len(training)
            else ""
        )
        yield f"{many_words} two different labels: first {places(one.place, other.place)} ({said}){columns}"
    repeated = (
        len(training) - len({(record.whole, record.labels) for record in training}) - len(clashes)
    )
    if repeated > 0:
        yield f"{repeated:,} records stand there again"
    inside = [record for record in validation if record.whole in seen]
    if inside:
        yield (
            f"{len(inside):,} of {len(validation):,} validation records are in the training data, too, which flatters "
            f"the model: first {places(inside[0].place, seen[inside[0].whole].place, ' = ')}"
        )
    unknown = {label for record in validation for label in record.labels} - counts.keys()
    if unknown:
        yield f"labels of validation records that no training record has: {', '.join(sorted(unknown))}"


def _cut(encoding: Encoding, text: str, context: int, bos_id: int) -> Example:
    """At most `context` tokens. Of a text that is too long the middle goes, for a review says what it thinks at its
    beginning and end (Sun et al. 2019, arXiv:1905.05583: a quarter and three quarters); of a pair the end of the
    longer one."""
    ids, parts = encoding.ids, encoding.sequence_ids
    over = max(0, len(ids) - context)
    if 1 not in parts:
        head = context // 4 if over else len(ids)
        places = [*range(head), *range(head + over, len(ids))]
        own = [at for at in places if parts[at] is not None]
        if not own:
            return Example(ids or [bos_id], 0)
        offsets = encoding.offsets  # a new list of all, each time
        borders = sentence_borders(text, [offsets[at] for at in own], places.index(own[0]))
        return Example([ids[at] for at in places], 0, over, borders)
    if not over:
        return Example(ids or [bos_id], 0)
    sizes = [parts.count(0), parts.count(1)]
    for _ in range(over):
        sizes[sizes[1] > sizes[0]] -= 1
    seen = [0, 0]
    kept = []
    for token, part in zip(ids, parts, strict=True):
        if part is not None:
            seen[part] += 1
        if part is None or seen[part] <= sizes[part]:
            kept.append(token)
    return Example(kept, 0, over)
