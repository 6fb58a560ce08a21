"""The hard cases of a classifier: validation records of which it is wrong, the surest first, and
training records that look mislabelled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xinye.errors import plural
from xinye.evaluation.logits import Numbers
from xinye.evaluation.word_counts import WordCounts
from xinye.tasks.classify_records import LabelledText

SURE = 0.8  # probability from which on a label that contradicts a training record is reported
SHOWN = 20  # cases of each kind, the surest first
CHARACTERS = 200  # of a text


@dataclass(frozen=True)
class Case:
    """A record with its labels, and those that the model chooses. `probability` is how sure the
    model is of the one label of which it is surest against the record: that it is `wanted`, or
    that it is `unwanted`."""

    place: str
    text: str
    right: str
    said: str
    probability: float
    wanted: str
    unwanted: str


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
            wanted, unwanted = (label, "") if label in said else ("", label)
            if len(right) == len(said) == 1:  # one against the other
                [wanted], [unwanted] = said, right
                label = wanted
            both = [", ".join(sorted(each)) or "–" for each in (right, said)]
            case = Case(record.place, record.whole, both[0], both[1], sure[label], wanted, unwanted)
            found.append(case)
        return sorted(found, key=lambda case: -case.probability)

    def shown(self, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        """The first cases, with the words that speak most for the model's choice, if there is a
        model of word counts, as `result.json` has them."""
        for case in cases[:SHOWN]:
            words = (
                self.counts.deciding(case.text, case.wanted, case.unwanted) if self.counts else []
            )
            text = case.text
            if len(text) > CHARACTERS:
                text = f"{text[: CHARACTERS - 1]}…"
            yield {
                "place": case.place,
                "text": text,
                "right": case.right,
                "said": case.said,
                "probability": round(case.probability, 4),
                "words": words,
            }


def doubt_sentences(mislabelled: int, looked_at: int, of: int) -> list[str]:
    """Sentences about training records that look mislabelled, among `looked_at` of all; none if
    there are none."""
    if not mislabelled:
        return []
    found = [
        f"{mislabelled:,} of {plural(looked_at, 'training record')} look mislabelled: the model is "
        f"at least {SURE:.0%} sure of another label; the report lists the first "
        f"{min(mislabelled, SHOWN)}"
    ]
    if looked_at < of:
        found.append(
            f"only {looked_at:,} of {of:,} training records, drawn at random, were looked at"
        )
    return found
