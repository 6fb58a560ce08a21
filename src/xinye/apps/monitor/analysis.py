"""`Analyst`: what the models of a monitor say of documents."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xinye import api, machine
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.documents import Analysis
from xinye.apps.monitor.labelled import joined
from xinye.apps.monitor.words import Segmenter
from xinye.data.scripts import has_han
from xinye.model.heads import Head
from xinye.retrieval.entities import Names

COMPANIES = ("company", "org", "organization", "公司", "企业", "机构", "组织")
BATCH = 256  # documents; models sort them by their lengths


@dataclass(frozen=True)
class Models:
    """The loaded models by their roles; a role that is missing is None."""

    topics: api.Model | None = None
    mood: api.Model | None = None
    entities: api.Model | None = None


@dataclass(frozen=True)
class Word:
    """A word of a text, where it stands, and how much it speaks for a decision, or against it
    (below 0)."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Reason:
    """Why a model has decided for a label: a topic, or a mood (`of` is "topics" or "mood").
    `probability` is None if it is not calibrated."""

    of: str
    label: str
    probability: float | None
    words: tuple[Word, ...]


class Analyst:
    """Analyses documents. `companies` has the aliases of each company that is watched, and `texts`
    gives texts that show what words are. Threads wait for each other."""

    def __init__(
        self,
        models: Models,
        calibrations: Calibrations,
        companies: Mapping[str, Sequence[str]],
        texts: Callable[[], Sequence[str]] = list,
    ) -> None:
        self.models, self.calibrations = models, calibrations
        self._segmenter = Segmenter(texts)
        self._lock = threading.Lock()  # to explain, a network is changed for a moment
        for model in (models.topics, models.mood):
            if model:
                model.network.compute_dtype = machine.fast_dtype(machine.device())[0]
        self._company_of = {
            alias: company
            for company, aliases in companies.items()
            for alias in (company, *aliases)
        }
        self._names = Names(self._company_of)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the model has learned."""
        model = self.models.topics
        return model.network.config.labels if model and isinstance(model.network, Head) else ()

    def analyse(self, documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        """What the models say of documents, each a title and a text."""
        found: list[Analysis] = []
        for begin in range(0, len(documents), BATCH):
            found += self._analysed(documents[begin : begin + BATCH])
        return found

    def _analysed(self, documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        texts = [joined(*each) for each in documents]
        topics, moods = self.models.topics, self.models.mood
        with self._lock:
            of_topics = topics.classify([*texts]) if topics else []
            of_moods = moods.classify([*texts]) if moods else []
        found = []
        for at, (title, text) in enumerate(documents):
            probabilities = of_topics[at]["probabilities"] if of_topics else {}
            mood, share = "", None
            if of_moods:
                mood, share = self.calibrations.mood_of(of_moods[at]["probabilities"])
            found.append(
                Analysis(
                    self.calibrations.topics_of(probabilities) if probabilities else (),
                    mood,
                    share,
                    self.companies(f"{title}\n{text}"),
                    language_of(f"{title} {text}"),
                )
            )
        return found

    def reasons(self, title: str, text: str) -> tuple[str, list[Reason]]:
        """The part of a document that the models read, and for each topic that they see in it, and
        for its mood, the words that decided."""
        read = joined(title, text)
        if not read.strip():
            return read, []
        [said] = self._analysed([(title, text)])
        found = []
        with self._lock:
            if topics := self.models.topics:
                for topic, probability in said.topics:
                    for each in topics.explain(read, label=topic):
                        found.append(("topics", probability, each))
            if mood := self.models.mood:
                for each in mood.explain(read):
                    found.append(("mood", said.mood_probability, each))
        return read, [
            Reason(of, each.decision, probability, self._words(read, each.words))
            for of, probability, each in found
        ]

    def _words(self, read: str, parts: Sequence[Any]) -> tuple[Word, ...]:
        """The words of a text, of the parts that a model tells apart. Punctuation is none."""
        words = self._segmenter.joined(read, [(each.start, each.end) for each in parts])
        found = []
        for numbers in words:
            start, end = parts[numbers[0]].start, parts[numbers[-1]].end
            score = sum(parts[number].score for number in numbers)
            found.append(Word(read[start:end], start, end, score))
        return tuple(found)

    def listed(self, text: str) -> tuple[str, ...]:
        """The watched companies in a text, each once, by their aliases."""
        return tuple(dict.fromkeys(self._company_of[name] for name in self._names.within(text)))

    def companies(self, text: str) -> tuple[str, ...]:
        """The companies in a text, each once: watched ones by their aliases, and others that the
        model finds in its beginning."""
        found = [*self.listed(text)]
        if self.models.entities:
            spans = self.models.entities.tag(joined("", text))
            named = (each["text"] for each in spans if each["type"].casefold() in COMPANIES)
            found += [self._company_of.get(name, name) for name in named]
        return tuple(dict.fromkeys(found))


def language_of(text: str) -> str:
    """The language of a text: "zh", "en", or "" if it has no letters of either."""
    if has_han(text):
        return "zh"
    return "en" if any(letter.isascii() and letter.isalpha() for letter in text) else ""
