"""Finds the possible edits of texts with a proofreading network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.edits import Unit, change, units_of
from xinye.evaluation.proofreading import Candidate
from xinye.model.heads import IGNORED, Head
from xinye.tasks.proofread_confusions import Alike
from xinye.tasks.proofread_tokens import DELETE, INSERT, KEEP, Part, parts_of, unit_label
from xinye.tasks.records import Example, Examples

LEAST = -4.0  # nats: edits with less evidence are never made
# Nats by which a unit that sounds or is typed like the one in the text is the more probable.
LIKENESS = 2.0
BATCH = 32


@dataclass
class Search:
    """Finds edits with a network. `labels` are those of its head."""

    model: Head
    tokenizer: Tokenizer
    context: int
    number: dict[str, int] = field(init=False)
    alike: Alike = field(init=False)

    def __post_init__(self) -> None:
        labels = self.model.config.labels
        self.number = {label: number for number, label in enumerate(labels)}
        self.alike = Alike(label[1:] for label in labels if label.startswith("="))
        self.special = [self.number[label] for label in (KEEP, DELETE, INSERT)]

    @torch.no_grad()
    def candidates(self, texts: Sequence[str]) -> list[list[Candidate]]:
        """The best edit of each unit of each text, if its evidence is more than `LEAST`."""
        self.model.eval()
        units = [units_of(text) for text in texts]
        parts = [
            (number, part)
            for number, text in enumerate(texts)
            for part in parts_of(self.tokenizer, text, units[number], self.context)
            if part.place
        ]
        found: list[list[Candidate]] = [[] for _ in texts]
        gaps: list[tuple[int, Part, int, float]] = []  # text, part, unit, evidence of the insert
        for at, scores in self._scores([part.tokens for _, part in parts]):
            number, part = parts[at]
            for unit, label, evidence in self._best(part, units[number], scores):
                if label == INSERT:
                    gaps.append((number, part, unit, evidence))
                    continue
                new = "" if label == DELETE else label[1:]
                edit = change(texts[number], units[number], unit, unit + 1, new)
                found[number].append(Candidate(edit, evidence))
        with_gap = [
            [*part.tokens[: part.place[unit] + 1], self.tokenizer.pad_id,
             *part.tokens[part.place[unit] + 1 :]]
            for _, part, unit, _ in gaps
        ]  # fmt: skip
        for at, scores in self._scores(with_gap):
            number, part, unit, evidence = gaps[at]
            row = scores[part.place[unit]].clone()
            row[self.special] = -torch.inf
            best = int(row.argmax())
            new = self.model.config.labels[best][1:]
            edit = change(texts[number], units[number], unit, unit, new)
            found[number].append(Candidate(edit, evidence + float(row[best])))
        return [sorted(each) for each in found]

    def _scores(self, texts: Sequence[list[int]]) -> Iterator[tuple[int, Tensor]]:
        """The log-probabilities (T, L) of the labels at each token, for each text by its index."""
        device = next(self.model.parameters()).device
        examples = [Example(tokens, [IGNORED] * len(tokens)) for tokens in texts]
        for numbers, batch in Examples(examples, self.tokenizer.pad_id).in_order(BATCH):
            scores = self.model(batch.tokens.to(device), batch.lengths.to(device)).log_softmax(-1)
            for row, number in enumerate(numbers):
                yield number, scores[row, : len(texts[number])]

    def _best(
        self, part: Part, units: Sequence[Unit], scores: Tensor
    ) -> Iterator[tuple[int, str, float]]:
        """The units that may be changed, each with the label of its best edit and the evidence."""
        labels = self.model.config.labels
        own = [self.number.get(unit_label(unit.text), self.number[KEEP]) for unit in units]
        own.append(self.number[KEEP])
        at = list(part.place.values())
        rows = scores[at]  # (units of this part, L)
        own_label = torch.tensor([own[number] for number in part.place], device=scores.device)
        itself = rows.gather(1, own_label[:, None])[:, 0]
        kept = rows[:, self.number[KEEP]]
        kept = torch.where(own_label == self.number[KEEP], kept, torch.logaddexp(kept, itself))
        # With nothing but `LIKENESS` to gain, an edit cannot reach `LEAST` where this is False.
        possible = ((1 - kept.exp()).clamp_min(1e-9).log() - kept + LIKENESS > LEAST).tolist()
        for row, number, keep, label, maybe in zip(
            rows, part.place, kept.tolist(), own_label.tolist(), possible, strict=True
        ):
            if not maybe:
                continue
            row = row.clone()
            row[[label, self.number[KEEP]]] = -torch.inf
            if number == len(units):  # at the end nothing stands that could be changed
                best = self.number[INSERT]
            else:
                like = [self.number[unit_label(each)] for each in self.alike.of(units[number].text)
                        if unit_label(each) in self.number]  # fmt: skip
                if like:
                    row[like] += LIKENESS
                best = int(row.argmax())
            evidence = float(row[best]) - keep
            if evidence > LEAST:
                yield number, labels[best], evidence
