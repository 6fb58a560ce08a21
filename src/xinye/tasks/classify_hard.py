"""The hard cases of a classifier: validation records of which it is wrong although it is sure, and
training records that look mislabelled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from xinye.errors import plural
from xinye.evaluation.word_counts import Numbers, WordCounts
from xinye.tasks.classify_records import LabelledText

SURE = 0.9  # probability from which on a label that contradicts a training record is reported
SHOWN = 20  # cases of each kind, the surest first
CHARACTERS = 200  # of a text


@dataclass(frozen=True)
class Case:
    """A record with its label, and the label that the model is surer of. `words` are those that
    speak most for the model's label, if it counts words."""

    place: str
    text: str
    right: str
    said: str
    probability: float
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class HardCases:
    """Records with labels that a model contradicts, from the probabilities that it gives them."""

    labels: Sequence[str]
    chosen: Callable[[Sequence[float]], tuple[str, ...]]
    counts: WordCounts | None

    def contradicted(self, records: Sequence[LabelledText], shares: Numbers) -> list[Case]:
        """The records whose labels are not those that the probabilities (records, labels) choose,
        the surest first. Of several labels, the one of which the model is surest counts."""
        found = []
        for record, row in zip(records, shares.tolist(), strict=True):
            right, said = {*record.labels}, {*self.chosen(row)}
            if right == said:
                continue
            known = dict(zip(self.labels, row, strict=True))
            sure = {label: known[label] for label in said - right}
            sure |= {label: 1 - known[label] for label in right - said if label in known}
            label = max(sure, key=lambda each: sure[each])
            names = [", ".join(sorted(each)) or "–" for each in (right, said)]
            found.append(Case(record.place, record.whole, names[0], names[1], sure[label]))
        return sorted(found, key=lambda case: -case.probability)

    def shown(self, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        """The first cases, with words that decided, as `result.json` has them."""
        for case in cases[:SHOWN]:
            words = self.counts.deciding(case.text, case.said, case.right) if self.counts else []
            text = case.text
            if len(text) > CHARACTERS:
                text = f"{text[: CHARACTERS - 1]}…"
            probability = round(case.probability, 4)
            yield asdict(replace(case, text=text, probability=probability, words=words))


def told(mislabelled: int, looked_at: int) -> list[str]:
    """A sentence about training records that look mislabelled; none if there are none."""
    if not mislabelled:
        return []
    return [
        f"{mislabelled:,} of {plural(looked_at, 'training record')} look mislabelled: the GPT, "
        f"which learned from them, is at least {SURE:.0%} sure of another label; the report lists "
        "them"
    ]
