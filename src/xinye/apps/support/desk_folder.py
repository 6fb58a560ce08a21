"""The folder of a desk: what a company's customers are answered from. Every file can be read and
edited with a text editor."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from xinye.apps.folders import Kind, read_rows
from xinye.apps.models_file import MODELS, Role, read_models, write_models
from xinye.apps.support.desk_settings import (
    AGAIN,
    ROLES,
    SETTINGS,
    DeskSettings,
    read_settings,
    write_settings,
)
from xinye.apps.support.faq import Entry
from xinye.apps.support.matching import FILE as MATCHING
from xinye.apps.support.matching import WORDINGS, FAQMatcher
from xinye.apps.support.small_talk import BOT
from xinye.apps.support.small_talk import TEMPLATES as OURS_SAID
from xinye.data.files import read_json, write_json, write_json_lines
from xinye.retrieval.confidence import Threshold
from xinye.retrieval.file_names import name_below, shared_folder
from xinye.retrieval.format import Format, Strict
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.manifest import CALIBRATION

FAQ, TEMPLATES, TEST, INTENTS = "faq.jsonl", "templates.jsonl", "test.jsonl", "intents.jsonl"
UNSURE = "unsure.jsonl"  # questions that the documents are calibrated on
REPORT, KNOWLEDGE, RUNS = "report.json", "knowledge", "models"
DOCUMENTS = "documents"  # that an admin has written, and which are in the knowledge base, too
OURS = (
    SETTINGS, MODELS, FAQ, TEMPLATES, TEST, INTENTS, UNSURE, CALIBRATION, MATCHING, WORDINGS,
    REPORT, KNOWLEDGE, RUNS, DOCUMENTS,
)  # fmt: skip
GRAPH = "graph"  # before its suffix
KIND, VERSION = "xinye desk calibration", 1
FORMAT = Format(KIND, VERSION, "this is not the calibration of a desk", AGAIN)


class Source(Strict):
    """Where an answer was read. `line` is None for a file without lines."""

    file: str
    line: int | None = None


class SavedEntry(Strict):
    """An entry in faq.jsonl."""

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    variants: list[str] = Field(default_factory=list)
    intent: str = ""
    source: Source
    offered: bool = True  # whether the bot may ask other customers if they mean this question
    answered: bool = True  # false: only suggested to operators


class Template(Strict):
    """A text in templates.jsonl, with which an intent is answered. `language` is zh or en, or "" if
    it answers in both."""

    intent: str = Field(min_length=1)
    text: str = Field(min_length=1)
    language: str = ""


class TestQuestion(Strict):
    """A question in test.jsonl, from which nothing was learned. It is tested without it and the
    wordings in `near`, which nearly equal it, in the FAQ; `answerable` says whether the FAQ then
    still has its answer."""

    __test__ = False  # pytest must not take it for a test

    question: str
    answer: str = ""
    intent: str = ""
    answerable: bool
    near: list[str] = Field(default_factory=list)


class Labelled(Strict):
    """A question in intents.jsonl with its intent, to train on."""

    text: str
    label: str


class Unsure(Strict):
    """A question in unsure.jsonl of which the FAQ, without this wording, is not sure; with the
    answer that it had in the logs. The documents are calibrated on these."""

    question: str
    answer: str


class Calibrations(Strict):
    """From which probability on the likeliest intent has which precision. The FAQ and the knowledge
    base have calibrations of their own, in matching.json and in knowledge/."""

    kind: str = KIND
    version: int = VERSION
    intents: list[Threshold] = Field(default_factory=list)


@dataclass(frozen=True)
class DeskFolder:
    """A desk as it was read."""

    folder: Path
    settings: DeskSettings
    models: Mapping[str, Role]
    entries: Sequence[Entry]
    templates: Sequence[Template]
    calibrations: Calibrations

    @classmethod
    def read(cls, folder: str | Path) -> "DeskFolder":
        """The desk in a folder. Raises `XinyeError` if there is none, or for the first file that is
        damaged."""
        folder = Path(folder)
        DESKS.check_there(folder)
        saved = [*read_rows(folder / FAQ, SavedEntry, AGAIN)]
        return cls(
            folder,
            read_settings(folder / SETTINGS),
            read_models(folder / MODELS, ROLES, AGAIN),
            [_entry(each) for each in saved],
            [*read_rows(folder / TEMPLATES, Template, AGAIN)],
            FORMAT.read(folder / CALIBRATION, Calibrations),
        )

    @cached_property
    def knowledge(self) -> KnowledgeBase | None:
        """The knowledge base of the documents; None if the desk has none."""
        path = self.folder / KNOWLEDGE
        return KnowledgeBase(path) if path.is_dir() else None

    @cached_property
    def matcher(self) -> FAQMatcher:
        """What finds an entry of the FAQ."""
        wordings = [
            (text, number) for number, entry in enumerate(self.entries) for text in entry.wordings
        ]
        questions, entries = [text for text, _ in wordings], [number for _, number in wordings]
        answers = {number: entry.answer for number, entry in enumerate(self.entries)}
        return FAQMatcher.load(self.folder, questions, entries, answers)

    def said(self, intent: str, language: str) -> tuple[int | None, str]:
        """The line of an intent's template and its text, in this language if there is one. Without
        a template that is None and our own text, or "" if we have none. `{bot}` in a text stands
        for who the bot is."""
        saved = {
            (each.intent, each.language): (number, each.text)
            for number, each in reversed([*enumerate(self.templates, 1)])
        }
        ours = getattr(OURS_SAID[intent], language) if intent in OURS_SAID else ""
        keys = ((intent, wanted) for wanted in (language, "", *self.settings.languages))
        number, text = next((saved[key] for key in keys if key in saved), (None, ours))
        return number, text.replace(BOT, self.settings.bot_is(language))

    @cached_property
    def matcher_hash(self) -> str:
        """The SHA-256 of what decides about the FAQ: its entries, and what was learned of them."""
        digest = hashlib.sha256()
        for name in (FAQ, MATCHING, WORDINGS):
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()

    @cached_property
    def knowledge_hash(self) -> str:
        """The SHA-256 of what decides whether the documents answer; "" without documents."""
        path = self.folder / KNOWLEDGE / CALIBRATION
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""

    def name_of(self, file: str) -> str:
        """How a document of the knowledge base is called in answers: by its path below the desk if
        it was written there, else below the folder that all others share."""
        shared = str(self.folder.absolute()) if self._is_own(file) else self._shared
        return name_below(shared, file)

    def _is_own(self, file: str) -> bool:
        return Path(file).parent == self.folder.absolute() / DOCUMENTS

    @cached_property
    def _shared(self) -> str:
        documents = self.knowledge.documents if self.knowledge else []
        return shared_folder(each.file for each in documents if not self._is_own(each.file))

    @property
    def test(self) -> list[TestQuestion]:
        """The questions that were kept apart."""
        return [*read_rows(self.folder / TEST, TestQuestion, AGAIN)]

    @property
    def labelled(self) -> list[Labelled]:
        """The questions with intents to train on."""
        return [*read_rows(self.folder / INTENTS, Labelled, AGAIN)]

    @property
    def unsure(self) -> list[Unsure]:
        """The questions that the documents are calibrated on; none in a desk made by hand."""
        path = self.folder / UNSURE
        return [*read_rows(path, Unsure, AGAIN)] if path.exists() else []

    @property
    def report(self) -> dict[str, Any]:
        """What `prepare` read, dropped, merged and trained."""
        return read_json(self.folder / REPORT)


@dataclass(frozen=True)
class Contents:
    """What is written in the folder of a desk, besides models and knowledge."""

    settings: DeskSettings
    models: Mapping[str, Role]
    entries: Sequence[Entry]
    templates: Sequence[Template]
    test: Sequence[TestQuestion]
    labelled: Sequence[Labelled]
    unsure: Sequence[Unsure]
    calibrations: Calibrations
    matcher: FAQMatcher
    report: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the files in a folder that exists. The settings, without which it is no desk, are
        the last: a process that is killed leaves none."""
        write_models(folder / MODELS, self.models, ROLES)
        write_json_lines(folder / FAQ, (_saved(entry).model_dump() for entry in self.entries))
        for name, rows in (
            (TEMPLATES, self.templates), (TEST, self.test), (INTENTS, self.labelled),
            (UNSURE, self.unsure),
        ):  # fmt: skip
            write_json_lines(folder / name, (row.model_dump() for row in rows))
        write_json(folder / CALIBRATION, self.calibrations.model_dump())
        self.matcher.save(folder)
        write_json(folder / REPORT, self.report)
        write_settings(folder / SETTINGS, self.settings)


def is_ours(path: Path) -> bool:
    """Whether a file or folder is one of a desk."""
    return path.name in OURS or path.stem == GRAPH


DESKS = Kind("xinye support prepare", SETTINGS, is_ours, stays=(DOCUMENTS,))
beside, check_free = DESKS.beside, DESKS.check_free


def _entry(saved: SavedEntry) -> Entry:
    return Entry(
        saved.question, saved.answer, tuple(saved.variants), saved.intent, saved.source.file,
        saved.source.line, saved.offered, saved.answered,
    )  # fmt: skip


def _saved(entry: Entry) -> SavedEntry:
    return SavedEntry(
        question=entry.question, answer=entry.answer, variants=[*entry.variants],
        intent=entry.intent, source=Source(file=entry.file, line=entry.line),
        offered=entry.offered, answered=entry.answered,
    )  # fmt: skip
