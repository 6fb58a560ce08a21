"""Classify without training: a language model says which label's words it finds likeliest, with
examples or without."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.errors import XinyeError, checked
from xinye.model.gpt import GPT
from xinye.planning.job_settings import ZeroShotSettings
from xinye.tasks.classify import Classify, as_pairs, pairs_of
from xinye.tasks.classify_records import Record
from xinye.tasks.likelihood import Likelihood, Pairs, prompt_for
from xinye.tasks.records import leaks
from xinye.tasks.task import Figures, Judged


@dataclass(frozen=True)
class Asked:
    """How a model is asked: the settings, and the records that it is shown."""

    settings: ZeroShotSettings
    known: list[Record]

    @classmethod
    def of(cls, **given: Any) -> "Asked":
        """From plain values; `examples` are files of records, or texts (or pairs of them) with
        their labels."""
        examples = given.get("examples", ())
        if isinstance(examples, str | Path):
            examples = [examples]
        files = tuple(str(each) for each in examples if isinstance(each, str | Path))
        settings = checked(ZeroShotSettings, given | {"examples": files}, "classify")
        shown = [each for each in examples if not isinstance(each, str | Path)]
        pairs = as_pairs([text for text, _ in shown])
        own = [
            Record(*pair, (str(label),), f"example {number}")
            for number, (pair, (_, label)) in enumerate(zip(pairs, shown, strict=True), start=1)
        ]
        return cls(settings, [*read(files, settings), *own])


def use(judged: Judged, inputs: Sequence[Any], **given: Any) -> list[Row]:
    """`label`, `probability` and `probabilities` of each text or pair."""
    asked = Asked.of(**given)
    labels = words_of(asked.settings, asked.known)
    rows, _ = judge(judged, as_pairs(inputs), labels, asked)
    return [Classify(list(labels)).result(row) for row in rows]


def evaluate(judged: Judged, files: Sequence[str], **given: Any) -> Figures:
    """How right the model is on records, beside the most frequent label and, where there are
    examples, beside what the classical means learn from all of them."""
    observer, folder = judged.observer, judged.folder
    observer.stage("reading the records")
    asked = Asked.of(**given)
    known = asked.known
    try:
        records = read(files, asked.settings)
    except XinyeError as error:
        raise XinyeError(
            f"{error} ({folder} has learned no task, so it is asked for labels; to let it answer: "
            f"--task chat; to teach it another: xinye finetune {folder} --task tag --data FILE -o "
            "RUN)"
        ) from None
    labels = words_of(asked.settings, known or records)
    task = Classify(list(labels))
    task.check(records)
    rows, notes = judge(judged, pairs_of(records), labels, asked)
    frequent = Counter(record.labels for record in known or records).most_common(1)[0][0]
    majority = task.compared(records, [frequent] * len(records))
    baseline = None
    if known and judged.with_baseline:
        observer.stage("learning the baseline")
        try:
            figures = task.baseline(known, records)
            baseline = {"name": f"{task.baseline_name}, of {len(known):,} records", **figures}
        except XinyeError as error:
            notes.append(f"no baseline: {error}")
        notes += leaks(known, records)
    return {
        "model": str(folder),
        "task": task.verb,
        "files": list(files),
        "records": len(records),
        "measured": task.compared(records, [task.chosen(row) for row in rows]),
        "baseline": baseline,
        "majority": {"name": f"always {frequent[0]!r}", **majority},
        "notes": notes,
    }


def judge(
    judged: Judged, texts: Pairs, labels: dict[str, str], asked: Asked
) -> tuple[list[list[float]], list[str]]:
    """The probability of each label of each text; and how it was asked, in sentences."""
    if not isinstance(judged.model, GPT):
        raise XinyeError("an lstm cannot be asked for labels; take a modern, llama or gpt2 model")
    settings, known = asked.settings, asked.known
    Classify(list(labels)).check(known)
    prompt = settings.prompt.replace("\\n", "\n") if settings.prompt else prompt_for(texts)
    if "{pair}" not in prompt and any(pair for _, pair in texts):
        raise XinyeError(f"prompt {prompt!r}: no place for the second text of a pair, {{pair}}")
    likelihood = Likelihood(judged.model, judged.tokenizer, labels, prompt)
    examples = likelihood.choose(known, texts, settings.seed) if known else []
    notes = [f"not trained for this; asked with {prompt!r}"]
    if known:
        notes.append(f"{len(examples):,} of {len(known):,} examples stand before each text")
    if all(words.isdecimal() for words in labels.values()):
        notes.append(
            "the labels are numbers, which say nothing: give them words, such as --labels "
            "1=positive,0=negative"
        )
    judged.observer.stage("; ".join(notes[1:]) or "judging")
    progress = judged.observer.counting("judging", len(texts), "texts")
    return likelihood.probabilities(texts, examples, progress), notes


def read(files: Sequence[str], settings: ZeroShotSettings) -> list[Record]:
    """The records of files, each with one label."""
    records = Classify.read(files, text_field=settings.text_field, label_field=settings.label_field)
    odd = next((record for record in records if len(record.labels) != 1), None)
    if odd:
        raise XinyeError(f"{odd.place}: {len(odd.labels)} labels; without training a text has one")
    return records


def words_of(settings: ZeroShotSettings, records: Sequence[Record]) -> dict[str, str]:
    """The words that stand for each label: as given ("1=好评"), or the label's own."""
    if not settings.labels and not records:
        raise XinyeError(
            "name the labels to choose from, --labels a,b, or show examples, --examples FILE"
        )
    given = settings.labels or [f"{label}=" for label in Classify.of(records).labels]
    parts = [label.partition("=") for label in given]
    labels = {
        label.strip(): words.strip() or label.strip().replace("_", " ") for label, _, words in parts
    }
    if len(labels) < 2 or len(labels) < len(parts) or len(set(labels.values())) < len(labels):
        raise XinyeError(f"labels {', '.join(given)!r}: give two or more different ones")
    return labels
