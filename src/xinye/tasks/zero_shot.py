"""Classifies without training, by how probable a language model finds each label's words after a
text, with or without examples.

That alone would favour words that are frequent anyway. So each probability is divided by the
probability after an empty text: what counts is how much more probable the text makes a label
(calibration, Zhao et al. 2021, arXiv:2102.09690; pointwise mutual information, Holtzman et al.
2021, arXiv:2104.08315). Examples come before the text, in the same form. Their effect on each label
is also measured on their own texts and taken out."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xinye.data.files import check_file
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, plural, quoted
from xinye.evaluation.tokenizers import language
from xinye.generation.continuations import Question, packs, score
from xinye.model.cache import KeyValueCache
from xinye.model.gpt import GPT
from xinye.planning.job_settings import ZeroShotSettings
from xinye.tasks.classify import Classify
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.classify_texts import as_pairs, pairs_of
from xinye.tasks.records import leaks
from xinye.tasks.task import Figures, Judged

PROMPTS = {  # keyed by language, and by whether texts are pairs
    ("chinese", False): "文本：{text}\n类别：{label}",
    ("chinese", True): "第一句：{text}\n第二句：{pair}\n类别：{label}",
    ("english", False): "Text: {text}\nLabel: {label}",
    ("english", True): "First: {text}\nSecond: {pair}\nLabel: {label}",
}
BETWEEN = "\n\n"  # examples
EXAMPLE_TOKENS = 2048  # at most, because every text attends to all of them
CALIBRATING = 32  # examples at most

Pairs = Sequence[tuple[str, str]]  # pairs of texts; the second is "" for a single text


@dataclass(frozen=True)
class Asked:
    """How a model is asked: the settings, and the examples that it may be shown."""

    settings: ZeroShotSettings
    known: list[LabelledText]

    @classmethod
    def of(cls, **given: Any) -> "Asked":
        """The same from plain values. `examples` can be files of records, or texts (or pairs of
        texts) with their labels."""
        examples = given.get("examples", ())
        if isinstance(examples, str | Path):
            examples = [examples]
        files = tuple(str(each) for each in examples if isinstance(each, str | Path))
        settings = checked(ZeroShotSettings, given | {"examples": files}, "classify")
        shown = [each for each in examples if not isinstance(each, str | Path)]
        pairs = as_pairs([text for text, _ in shown])
        own = [
            LabelledText(*pair, (str(label),), f"example {number}")
            for number, (pair, (_, label)) in enumerate(zip(pairs, shown, strict=True), start=1)
        ]
        return cls(settings, [*read(files, settings), *own])


def use(judged: Judged, inputs: Sequence[Any], **given: Any) -> list[Row]:
    """For each text or pair, a dictionary with `label`, `probability` and `probabilities`."""
    asked = Asked.of(**given)
    labels = words_of(asked.settings, asked.known)
    rows, _ = judge(judged, as_pairs(inputs), labels, asked)
    return [Classify(list(labels)).result(row) for row in rows]


def evaluate(judged: Judged, files: Sequence[str], **given: Any) -> Figures:
    """The metrics of the model on files of records, next to those of the most frequent label and,
    with examples, of a baseline trained on all examples.

    Raises `XinyeError` if the records cannot be read or have several labels."""
    observer, folder = judged.observer, judged.folder
    observer.stage("reading the records")
    asked = Asked.of(**given)
    known, data_notes = asked.known, Notes()
    for file in files:
        check_file(Path(file))
    try:
        records = read(files, asked.settings, data_notes)
    except XinyeError as error:
        raise XinyeError(
            f"{error} ({folder} was not trained for a task, so Xinye asks it for labels. "
            "To evaluate its answers: --task chat. To train it for another task: xinye "
            f"finetune {quoted(folder)} --task tag --data FILE -o RUN)"
        ) from None
    labels = words_of(asked.settings, known or records)
    task = Classify(list(labels))
    task.check(records)
    rows, notes = judge(judged, pairs_of(records), labels, asked)
    notes += data_notes.sentences()
    frequent = Counter(record.labels for record in known or records).most_common(1)[0][0]
    majority = task.compared(records, [frequent] * len(records))
    baseline = None
    if known and judged.with_baseline:
        observer.stage("learning the baseline")
        try:
            figures = task.baseline(known, records)
            name = f"{task.baseline_name}, trained on {plural(len(known), 'record')}"
            baseline = {"name": name, **figures}
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
    """The probability of each label for each text, and sentences on how the model was asked. Raises
    `XinyeError` for a model or prompt that cannot be used."""
    if not isinstance(judged.model, GPT):
        raise XinyeError("an lstm cannot be asked for labels; use a modern, llama or gpt2 model")
    settings, known = asked.settings, asked.known
    Classify(list(labels)).check(known)
    prompt = settings.prompt.replace("\\n", "\n") if settings.prompt else prompt_for(texts)
    if "{pair}" not in prompt and any(pair for _, pair in texts):
        raise XinyeError(f"prompt {prompt!r}: no place for the second text of a pair; add {{pair}}")
    likelihood = Likelihood(judged.model, judged.tokenizer, labels, prompt)
    examples = likelihood.choose(known, texts, settings.seed) if known else []
    notes = [f"the model was not fine-tuned for this task; the prompt was {prompt!r}"]
    if known:
        notes.append(
            f"examples before each text: {len(examples):,} of {plural(len(known), 'example')}"
        )
    if all(words.isdecimal() for words in labels.values()):
        notes.append(
            "the labels are numbers, which mean nothing to the model; give words for "
            "them, such as --labels 1=positive,0=negative"
        )
    judged.observer.stage("; ".join(notes[1:]) or "labelling the texts")
    progress = judged.observer.counting("labelling the texts", len(texts))
    return likelihood.probabilities(texts, examples, progress), notes


def read(
    files: Sequence[str], settings: ZeroShotSettings, notes: Notes | None = None
) -> list[LabelledText]:
    """The records of files. Raises `XinyeError` for a record with several labels."""
    text, label = settings.text_field, settings.label_field
    records = Classify.read(files, notes=notes, text_field=text, label_field=label)
    odd = next((record for record in records if len(record.labels) != 1), None)
    if odd:
        raise XinyeError(
            f"{odd.place}: {len(odd.labels)} labels; without training a text can have only one"
        )
    return records


def words_of(settings: ZeroShotSettings, records: Sequence[LabelledText]) -> dict[str, str]:
    """The words that stand for each label: as given ("1=好评"), or the label itself. Raises
    `XinyeError` for fewer than two different labels."""
    if not settings.labels and not records:
        raise XinyeError("name the labels with --labels a,b, or give examples with --examples FILE")
    given = settings.labels or [f"{label}=" for label in Classify.of(records).labels]
    parts = [label.partition("=") for label in given]
    labels = {
        label.strip(): words.strip() or label.strip().replace("_", " ") for label, _, words in parts
    }
    if len(labels) < 2 or len(labels) < len(parts) or len(set(labels.values())) < len(labels):
        raise XinyeError(f"labels {', '.join(given)!r}: give two or more different ones")
    return labels


def prompt_for(texts: Pairs) -> str:
    """The default prompt for texts in this language."""
    spoken = language("".join(text for text, _ in texts[:100]))
    return PROMPTS["chinese" if spoken == "chinese" else "english", any(pair for _, pair in texts)]


# -- the likelihood of labels ---------------------------------------------------------------------


class Likelihood:
    """Judges texts with a language model. `labels` maps each label to the words that stand for
    it."""

    def __init__(
        self, model: GPT, tokenizer: Tokenizer, labels: Mapping[str, str], prompt: str
    ) -> None:
        """Raises `XinyeError` if the prompt does not have exactly one {text} and one {label}."""
        for place in ("{text}", "{label}"):
            if prompt.count(place) != 1:
                raise XinyeError(f"prompt {prompt!r}: must contain {place} once")
        self.model, self.tokenizer, self.labels, self.prompt = (
            model,
            tokenizer,
            dict(labels),
            prompt,
        )
        self.limit = model.config.max_position_embeddings - model.prefix_length
        self.empty = self._question("", "")

    def choose(
        self, examples: Sequence[LabelledText], texts: Pairs, seed: int
    ) -> list[LabelledText]:
        """As many examples as fit before the longest text, which may take half of the context.
        Labels take turns, and the seed decides which examples are used."""
        generator = random.Random(seed)
        by_label: defaultdict[str, list[LabelledText]] = defaultdict(list)
        for record in examples:
            by_label[record.labels[0]].append(record)
        sizes = {id(record): len(self._example(record)) for record in examples}
        for label in sorted(by_label):
            generator.shuffle(by_label[label])
        room = self.limit - self.empty.longest - len(self.tokenizer.prefix)
        lengths = (sum(map(len, self.tokenizer.encode_batch(pair))) for pair in texts)
        longest = max(lengths, default=0)
        room = min(room - min(longest, room // 2), EXAMPLE_TOKENS)
        chosen: list[LabelledText] = []
        while by_label:
            for label in generator.sample(sorted(by_label), len(by_label)):
                fitting = next((r for r in by_label[label] if sizes[id(r)] <= room), None)
                if fitting is None:
                    return chosen
                by_label[label].remove(fitting)
                chosen.append(fitting)
                room -= sizes[id(fitting)]
                if not by_label[label]:
                    del by_label[label]
        return chosen

    @torch.inference_mode()
    def probabilities(
        self,
        texts: Pairs,
        examples: Sequence[LabelledText] = (),
        on_progress: Callable[[int], None] = lambda texts: None,
    ) -> list[list[float]]:
        """For each text or pair, the probability of each label, with examples before it."""
        self.model.eval()
        shots = [token for record in examples for token in self._example(record)]
        *before, last = [*self.tokenizer.prefix, *shots] or [self.tokenizer.bos_id]
        room = self.limit - len(before) - 1
        neutral = [("", ""), *((record.text, record.pair) for record in examples[:CALIBRATING])]
        questions = [self._question(text, pair, room) for text, pair in [*neutral, *texts]]
        questions = [Question([last, *question.trunk], question.branches) for question in questions]
        packed = list(packs(questions))
        most = len(before) + max(sum(question.size for question in pack) for pack in packed)
        cache = KeyValueCache(
            self.model.config, 1, most, self.model.compute_dtype, self.model.device
        )
        if before:
            self.model.hidden(torch.tensor([before], device=self.model.device), cache=cache)
        scores: list[Tensor] = []
        for pack in packed:
            cache.length = len(before)
            scores += score(self.model, pack, cache)
            on_progress(max(0, len(scores) - len(neutral)))
        logs = torch.stack(scores).log_softmax(-1)
        return (logs[len(neutral) :] - logs[: len(neutral)].mean(0)).softmax(-1).tolist()

    def _question(self, text: str, pair: str, room: int | None = None) -> Question:
        """A text followed by each label, in at most `room` tokens. A longer text loses its
        middle."""
        room = self.limit - 1 if room is None else room
        sizes = [len(ids) for ids in self.tokenizer.encode_batch([text, pair])]
        while True:
            one, other = (
                _cut(self.tokenizer, each, size)
                for each, size in zip((text, pair), sizes, strict=True)
            )
            rows = self.tokenizer.encode_batch(
                [self._filled(one, other, words) for words in self.labels.values()]
            )
            shortest = min(map(len, rows))
            same = next(
                (i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest - 1
            )
            question = Question(rows[0][:same], [row[same:] for row in rows])
            over = question.longest - room
            if over <= 0:
                return question
            if not any(sizes):
                raise XinyeError(
                    "the labels and the prompt alone have more tokens than the model can read, "
                    f"{room:,}"
                )
            larger = sizes[1] > sizes[0]
            sizes[larger] = max(0, sizes[larger] - over)

    def _example(self, record: LabelledText) -> list[int]:
        words = self.labels[record.labels[0]]
        return self.tokenizer.encode(self._filled(record.text, record.pair, words) + BETWEEN)

    def _filled(self, text: str, pair: str, words: str) -> str:
        """The prompt with all its places filled at once, so that "{label}" in a text stays as it
        is."""
        values = {"{text}": text, "{pair}": pair, "{label}": words}
        return re.sub(r"\{(text|pair|label)\}", lambda match: values[match[0]], self.prompt)


def _cut(tokenizer: Tokenizer, text: str, size: int) -> str:
    """A text of about `size` tokens; a longer one loses its middle, as in `classify`."""
    offsets = tokenizer.encodings([text])[0].offsets
    if len(offsets) <= size:
        return text
    head = size // 4
    tail = offsets[len(offsets) - (size - head)][0] if size > head else len(text)
    return text[: offsets[head][0]] + text[tail:]
