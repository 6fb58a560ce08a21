"""The base class of tasks that train a new head on a model: for whole texts, or for each token."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, Self

import tokenizers
import torch
from tokenizers import Regex, pre_tokenizers
from torch import Tensor

from xinye.data.columns import FIELD_NAMES
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig, Labelled
from xinye.model.loss import IGNORED
from xinye.runs.words import Both, Figure
from xinye.tasks.decisions import Decision
from xinye.tasks.records import Example, Examples, beside, leaks, repeated, spelled_alike
from xinye.tasks.task import Figures, Mark, Task

# Each character that matches is a token of its own for tasks with spans.
BORDERS = r"\p{Han}|[\p{P}\p{S}]"
NAMED = 8  # how many labels an error names
ACCURACY = Figure("accuracy", "accuracy", Both("accuracy", "准确率"), 1, percent=True)
MACRO_F1 = Figure("macro_f1", "macro F1", Both("macro F1", "宏平均 F1"), 1, percent=True)
CALIBRATION_ERROR = Figure(
    "calibration_error",
    "calibration error",
    Both("calibration error", "校准误差"),
    1,
    percent=True,
    lower_replaced=True,
)
USE = Both(
    "To use it on a text or on a file with one text per line, and to evaluate it on other records:",
    "使用模型：可以输入一段文字，也可以输入每行一段的文件；在其他样本上评估：",
)
GPT_ALONE = "the GPT alone"  # of what is mixed
LIMIT = (
    "It always answers with one of its labels, even if none fits; its probabilities are "
    "not calibrated."
)


class HeadTask(Task):
    """A task with labels.

    Its records have `labels`, which may repeat, and an `answer`, what the model should return. A
    subclass turns them into targets.
    """

    kind = "label"  # what messages call one of them
    sources = (*FIELD_NAMES, "title", "question", "标题", "问题")
    mix: Any = None  # what was learned beside the network, at the end of training

    def __init__(self, labels: Sequence[str], several: bool = False) -> None:
        self.labels, self.several = tuple(labels), several

    @classmethod
    def of_network(cls, model: Head) -> Self:
        """The task that a trained network was saved with."""
        return cls(model.config.labels, model.config.several)

    @property
    def known(self) -> Sequence[str]:
        """All labels that a record may have."""
        return self.labels

    # -- records -----------------------------------------------------------------------------------

    def check(self, records: Sequence[Any]) -> None:
        for record in records:
            for label in record.labels:
                if label not in self.known:
                    problem = self.unknown(label)
                    raise XinyeError(f"{record.place}: {problem}")

    def unknown(self, label: str) -> XinyeError:
        """The error for a label that the model does not know."""
        more = " …" if len(self.known) > NAMED else ""
        return XinyeError(
            f"the model does not know the {'type' if self.kind == 'type' else 'label'} {label!r}, "
            f"only {', '.join(self.known[:NAMED])}{more}{did_you_mean(label, self.known)}"
        )

    @classmethod
    def counts(cls, records: Sequence[Any]) -> dict[str, int]:
        """The number of occurrences of each label, the most frequent first."""
        return dict(Counter(label for record in records for label in record.labels).most_common())

    @classmethod
    def findings(cls, training: Sequence[Any], validation: Sequence[Any]) -> Iterator[str]:
        counts = list(cls.counts(training).items())
        yield from spelled_alike(name for name, _ in counts)
        (most, many), (least, few) = counts[0], counts[-1]
        if many >= 5 * few:
            yield f"unbalanced: {most!r} occurs {many:,} times, but {least!r} only {few:,}"
        first = {record.whole: record for record in reversed(training)}
        clashes = [
            (first[record.whole], record)
            for record in training
            if first[record.whole].answer != record.answer
        ]
        if clashes:
            yield cls.clash(len(clashes), len(clashes) / len(training), *clashes[0])
        yield from repeated(training)
        yield from leaks(training, validation)
        judged = cls.counts(validation)
        if unknown := judged.keys() - dict(counts).keys():
            names = ", ".join(sorted(unknown))
            yield (
                f"no training record has these {'types' if cls.kind == 'type' else 'labels'} of "
                f"the validation records: {names}"
            )
        never = [repr(label) for label, _ in counts if label not in judged]
        if validation and never:
            these = plural(len(never), "type" if cls.kind == "type" else "label")
            more = " …" if len(never) > NAMED else ""
            yield (
                f"no validation record has {these} of the training records, so no figure is about "
                f"them: {', '.join(never[:NAMED])}{more}"
            )

    @classmethod
    def clash(cls, count: int, share: float, one: Any, other: Any) -> str:
        """The finding that equal texts have different labels; it names the first two records."""
        return (
            f"{plural(count, 'text')} with two different labels: first {one.place} and "
            f"{beside(one.place, other.place)}"
        )

    # -- training and evaluation -------------------------------------------------------------------

    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        targets = example.targets
        if isinstance(targets, list) and example.of_tokens:
            names = [None if target == IGNORED else self.labels[int(target)] for target in targets]
            return None, list(zip(example.tokens, names, strict=True))
        if isinstance(targets, int):
            label = self.labels[targets]
        else:
            label = ", ".join(name for name, yes in zip(self.labels, targets, strict=True) if yes)
        return label, [(token, None) for token in example.tokens]

    def network(self, backbone: GPTConfig, base: GPT) -> Head:
        assert self.head is not None
        return Head.over(base, HeadConfig(backbone, self.head, self.labels, self.several))

    def loss(self, model: Head, batch: Labelled) -> Tensor:
        return model.loss(batch)

    @torch.no_grad()
    def losses(self, model: Head, tokenizer: Tokenizer, examples: Examples) -> Figures:
        """The mean `loss` in nats per target."""
        device = next(model.parameters()).device
        nats, counted = 0.0, 0
        for _, batch in examples.in_order(32):
            nats += float(model.loss(batch.to(device)))
            counted += batch.counted
        return {"loss": nats / max(1, counted)}

    # -- use ---------------------------------------------------------------------------------------

    def decisions(
        self, model: Head, tokenizer: Tokenizer, text: Any, context: int, label: str | None
    ) -> list[Decision]:
        """What the model has decided about a text or a pair of texts, for `xinye explain`: its
        labels or spans, or only those that `label` names. Raises `XinyeError` if it names none."""
        raise XinyeError(f"xinye explain cannot explain the task {self.verb}")


def altered(tokenizer: Tokenizer) -> Tokenizer:
    """A copy of the tokenizer with a backend that a task may change. The copy is saved with the
    run.
    """
    changed = copy(tokenizer)
    for cached in ("fingerprint", "_chat_backend"):
        changed.__dict__.pop(cached, None)
    changed.backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    # Control tokens in text stay text; tokenizer.json does not save this setting.
    changed.backend.encode_special_tokens = True
    return changed


def with_borders(tokenizer: Tokenizer) -> Tokenizer:
    """A copy of the tokenizer in which every Han character and every punctuation mark is a token of
    its own, so that a span can begin and end there. One that is so is returned unchanged."""
    steps = json.loads(tokenizer.backend.to_str()).get("pre_tokenizer") or {}
    first: dict[str, Any] = next(iter(steps.get("pretokenizers", ())), {})
    if first.get("pattern") == {"Regex": BORDERS}:
        return tokenizer
    changed = altered(tokenizer)
    split = pre_tokenizers.Split(Regex(BORDERS), "isolated")
    changed.backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, tokenizer.backend.pre_tokenizer]
    )
    return changed
