"""Labels without training: how likely a language model finds the words of each label behind a text.

That alone would favour words that are frequent anyway. So it is compared with the same behind an empty text, and what
counts is how much likelier the text makes a label (calibration, Zhao et al. 2021, arXiv:2102.09690; pointwise
mutual information, Holtzman et al. 2021, arXiv:2104.08315). Examples stand before the text, in the same form; what
they do to a label whatever the text is measured on their own texts, too, of each label as many.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.tokenizers import language
from xinye.model.gpt import GPT, KeyValueCache
from xinye.tasks.classify import Record

PROMPTS = {  # by language, and whether texts are pairs
    ("chinese", False): "文本：{text}\n类别：{label}",
    ("chinese", True): "第一句：{text}\n第二句：{pair}\n类别：{label}",
    ("english", False): "Text: {text}\nLabel: {label}",
    ("english", True): "First: {text}\nSecond: {pair}\nLabel: {label}",
}
BETWEEN = "\n\n"  # examples
AT_ONCE = 512  # tokens read at once
EXAMPLE_TOKENS = 2048  # at most: every text has to look at all of them
CALIBRATING = 32  # examples at most
LOGITS = 2**23  # computed at a time: 32 MiB in fp32

Texts = Sequence[tuple[str, str]]  # each with the second of its pair, or ""


def prompt_for(texts: Texts) -> str:
    """The prompt where none is given."""
    spoken = language("".join(text for text, _ in texts[:100]))
    return PROMPTS["chinese" if spoken == "chinese" else "english", any(pair for _, pair in texts)]


@dataclass(frozen=True)
class Question:
    """A text as tokens: up to where the labels differ, and what follows with each label."""

    trunk: list[int]
    branches: list[list[int]]

    @property
    def longest(self) -> int:
        return len(self.trunk) + max(map(len, self.branches))

    @property
    def size(self) -> int:
        return len(self.trunk) + sum(map(len, self.branches))


class Likelihood:
    """A language model as a judge of texts: `labels` are what it may answer, each with the words that stand for it."""

    def __init__(
        self, model: GPT, tokenizer: Tokenizer, labels: Mapping[str, str], prompt: str
    ) -> None:
        """Raises `XinyeError` for a prompt without a place for text and label."""
        for place in ("{text}", "{label}"):
            if prompt.count(place) != 1:
                raise XinyeError(f"prompt {prompt!r}: {place} must stand in it once")
        self.model, self.tokenizer, self.labels, self.prompt = (
            model,
            tokenizer,
            dict(labels),
            prompt,
        )
        self.limit = model.config.max_position_embeddings - model.prefix_length
        self.empty = self._question("", "")

    def choose(self, examples: Sequence[Record], texts: Texts, seed: int) -> list[Record]:
        """As many examples as have room before the longest text (which may take half of it), from each label in turn,
        drawn by the seed."""
        generator = random.Random(seed)
        by_label: defaultdict[str, list[Record]] = defaultdict(list)
        for record in examples:
            by_label[record.labels[0]].append(record)
        sizes = {id(record): len(self._example(record)) for record in examples}
        for label in sorted(by_label):
            generator.shuffle(by_label[label])
        room = self.limit - self.empty.longest - len(self.tokenizer.prefix)
        longest = max(
            (sum(map(len, self.tokenizer.encode_batch(pair))) for pair in texts), default=0
        )
        room = min(room - min(longest, room // 2), EXAMPLE_TOKENS)
        chosen: list[Record] = []
        while by_label:
            for label in generator.sample(sorted(by_label), len(by_label)):
                fitting = (
                    number for number, r in enumerate(by_label[label]) if sizes[id(r)] <= room
                )
                number = next(fitting, None)
                if number is None:
                    return chosen
                record = by_label[label].pop(number)
                chosen.append(record)
                room -= sizes[id(record)]
                if not by_label[label]:
                    del by_label[label]
        return chosen

    @torch.inference_mode()
    def probabilities(
        self,
        texts: Texts,
        examples: Sequence[Record] = (),
        on_progress: Callable[[int], None] = lambda texts: None,
    ) -> list[list[float]]:
        """The probability of each label, of each text (or pair), given examples that leave room for the text."""
        self.model.eval()
        shots = [token for record in examples for token in self._example(record)]
        *before, last = [*self.tokenizer.prefix, *shots] or [self.tokenizer.bos_id]
        room = self.limit - len(before) - 1
        neutral = [("", ""), *((record.text, record.pair) for record in examples[:CALIBRATING])]
        questions = [self._question(text, pair, room) for text, pair in [*neutral, *texts]]
        questions = [Question([last, *question.trunk], question.branches) for question in questions]
        packs = list(_packs(questions))
        most = len(before) + max(sum(question.size for question in pack) for pack in packs)
        cache = KeyValueCache(
            self.model.config, 1, most, self.model.compute_dtype, self.model.device
        )
        if before:
            self.model.hidden(torch.tensor([before], device=self.model.device), cache=cache)
        scores: list[Tensor] = []
        for pack in packs:
            cache.length = len(before)
            scores += self._read(pack, cache)
            on_progress(max(0, len(scores) - len(neutral)))
        logs = torch.stack(scores).log_softmax(-1)
        return (logs[len(neutral) :] - logs[: len(neutral)].mean(0)).softmax(-1).tolist()

    def _read(self, pack: Sequence[Question], cache: KeyValueCache) -> list[Tensor]:
        """The log-probability of each label's words, (labels,), of each question. All are read as one row of tokens, in
        which a label's words see the cache, their own text and themselves: so each text is read once."""
        device, start = self.model.device, cache.length
        tokens: list[int] = []
        positions: list[int] = []
        parts: list[tuple[int, int]] = []  # the question of each token, and its label or -1
        sources: list[int] = []  # the token before each token of a label
        targets: list[int] = []
        for number, question in enumerate(pack):
            begin = len(tokens)
            stem = begin + len(question.trunk) - 1
            for label, words in [(-1, question.trunk), *enumerate(question.branches)]:
                at = 0 if label < 0 else len(question.trunk)
                if label >= 0:
                    sources += [stem, *range(len(tokens), len(tokens) + len(words) - 1)]
                    targets += words
                tokens += words
                positions += range(start + at, start + at + len(words))
                parts += [(number, label)] * len(words)
        of, label_of = torch.tensor(parts, device=device).T
        seen = (of[:, None] == of) & ((label_of == -1) | (label_of[:, None] == label_of))
        mask = torch.nn.functional.pad(seen.tril(), (start, 0), value=True)
        row, places = (torch.tensor([numbers], device=device) for numbers in (tokens, positions))
        states = self.model.hidden(row, places, mask, cache)[
            0, torch.tensor(sources, device=device)
        ]
        found = []
        rows = max(1, LOGITS // self.model.config.vocab_size)
        for some, right in zip(
            states.split(rows), torch.tensor(targets, device=device).split(rows), strict=True
        ):
            logits = self.model.lm_head(some).float()
            found.append(logits.gather(1, right[:, None])[:, 0] - logits.logsumexp(-1))
        words_of = iter(
            torch.cat(found).cpu().split([len(b) for question in pack for b in question.branches])
        )
        return [torch.stack([next(words_of).sum() for _ in question.branches]) for question in pack]

    def _question(self, text: str, pair: str, room: int | None = None) -> Question:
        """A text with every label behind it, in at most `room` tokens: of a longer one the middle is left out."""
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
                    f"the labels and the prompt alone have more tokens than the {room:,} the model can read"
                )
            larger = sizes[1] > sizes[0]
            sizes[larger] = max(0, sizes[larger] - over)

    def _example(self, record: Record) -> list[int]:
        words = self.labels[record.labels[0]]
        return self.tokenizer.encode(self._filled(record.text, record.pair, words) + BETWEEN)

    def _filled(self, text: str, pair: str, words: str) -> str:
        """The prompt with its places filled, all at once: what stands in a text is no place."""
        values = {"{text}": text, "{pair}": pair, "{label}": words}
        return re.sub(r"\{(text|pair|label)\}", lambda match: values[match[0]], self.prompt)


def _packs(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions that are read together."""
    pack: list[Question] = []
    for question in questions:
        if pack and sum(other.size for other in pack) + question.size > AT_ONCE:
            yield pack
            pack = []
        pack.append(question)
    yield pack


def _cut(tokenizer: Tokenizer, text: str, size: int) -> str:
    """A text of about `size` tokens; of a longer one the middle goes, as in `classify`."""
    offsets = tokenizer.encodings([text])[0].offsets
    if len(offsets) <= size:
        return text
    head = size // 4
    tail = offsets[len(offsets) - (size - head)][0] if size > head else len(text)
    return text[: offsets[head][0]] + text[tail:]
