"""Makes a desk of a company's old logs and documents: reads the logs, makes a FAQ, keeps a test set
apart, indexes the documents, trains what there is enough data for, and calibrates each step."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xinye import api
from xinye.apps.models_file import Role, model_hash, named_role
from xinye.apps.support.calibrating import LOOKED_AT, Step, Trial, calibrated
from xinye.apps.support.classifier import learnable, train_intents
from xinye.apps.support.clusters import name_clusters
from xinye.apps.support.desk_folder import (
    GRAPH,
    KNOWLEDGE,
    RUNS,
    Calibrations,
    Contents,
    DeskFolder,
    Labelled,
    Template,
    Unsure,
    beside,
)
from xinye.apps.support.desk_settings import ROLES, DeskSettings
from xinye.apps.support.documents import calibrate_documents
from xinye.apps.support.faq import Entry, Faq, make_faq
from xinye.apps.support.held_out import Parts, kept_apart
from xinye.apps.support.intents import Intents
from xinye.apps.support.logs import Columns, Logs, read_logs
from xinye.apps.support.models import Models, tagger_of
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.apps.support.small_talk import TEMPLATES
from xinye.apps.training import Budget
from xinye.data.notes import Notes
from xinye.data.personal import Tagger
from xinye.data.scripts import has_han
from xinye.data.spreadsheets import sheet_named
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.retrieval.confidence import Threshold
from xinye.retrieval.documents import documents, find_files, no_text, without_text
from xinye.retrieval.knowledge import KnowledgeBase

LISTED = 20  # conflicts in the report


@dataclass(frozen=True)
class Counted:
    """Something that was left out, merged or read differently: what, how often, and where first."""

    what: str
    count: int
    places: list[str]


@dataclass
class Report:
    """What `prepare` did, as in report.json."""

    desk: str
    files: int = 0
    conversations: int = 0
    questions: int = 0  # with an answer or an intent
    dropped: list[Counted] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: int = 0
    wordings: int = 0
    merged: int = 0
    by_case: int = 0  # questions whose answers differ each time
    unanswered: int = 0  # entries that are only suggested to operators
    conflicts: int = 0
    conflicts_listed: list[dict[str, Any]] = field(default_factory=list)
    intents: dict[str, int] = field(default_factory=dict)  # wordings of each in the FAQ
    intents_from: str = ""  # "column", "clusters", or "" without intents
    documents: int = 0
    passages: int = 0
    skipped_documents: list[str] = field(default_factory=list)
    trained: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # roles without a model, with the reason
    precision: float = 0.0
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    tested: dict[str, Any] = field(default_factory=dict)
    tested_at: dict[str, dict[str, int]] = field(default_factory=dict)  # by precision
    seconds: float = 0.0


def prepare(
    settings: PrepareSettings, observer: Observer | None = None, overwrite: bool = False
) -> Report:
    """Make a desk; returns the report, which is in its folder, too. Raises `XinyeError` for input
    that cannot be used, and then writes nothing."""
    observer, began = observer or Observer(), time.monotonic()
    named = {role: named_role(role, run) for role, run in settings.models.items()}
    report = Report(str(settings.output), precision=settings.precision)
    with beside(settings.output, overwrite) as folder:
        observer.stage("reading the logs")
        with sheet_named(settings.sheet):
            columns = Columns(
                settings.prompt_field,
                settings.answer_field,
                settings.intent_field,
                settings.assistant_name,
            )
            published, tagger = _published(settings.knowledge, report), _tagger(settings)
            logs = read_logs(settings.logs, columns, published, tagger, observer)
        _report_logs(logs, report)
        observer.stage("making the FAQ")
        faq = make_faq(logs.exchanges)
        entries = _with_intents(faq.entries, report)
        parts = kept_apart(entries, _labelled_only(logs), settings.test_share)
        _report_faq(faq, parts, report)
        if report.intents_from == "clusters":  # nobody said that these are intents
            parts = replace(parts, labelled=[])
        base = _knowledge(settings.knowledge, folder, report, observer)
        models, intents = _train(parts, logs, settings, folder, (report, observer))
        observer.stage("calibrating")
        found = calibrated(parts.entries, settings.precision)
        report.steps["faq"] = asdict(found.step)
        _test(Trial(found.matcher, parts.entries, parts.test), report)
        if base:
            report.steps["passage"] = asdict(_calibrated(base, found.unsure, settings.precision))
        report.seconds = round(time.monotonic() - began, 1)
        Contents(
            DeskSettings(
                precision=settings.precision,
                precision_documents=settings.precision,
                languages=_languages(entries),
                graph=_copied(settings.graph, folder),
            ),
            named | models,
            entries,
            _templates(),
            parts.test,
            parts.labelled,
            found.unsure,
            Calibrations(intents=intents),
            found.matcher,
            asdict(report),
        ).write(folder)
        if named:  # whether each can do what its role needs is better known now than tomorrow
            observer.stage("loading the models")
            Models.load(DeskFolder.read(folder))
    return report


def _tagger(settings: PrepareSettings) -> Tagger | None:
    """What finds names and addresses in the logs, if a model was named for that."""
    run = settings.models.get("entities")
    return tagger_of(api.load(run)) if run else None


def _copied(graph: str, folder: Path) -> str:
    """The name of the copy of a graph in the desk's folder; "" without one."""
    if not graph:
        return ""
    name = f"{GRAPH}{Path(graph).suffix}"
    try:
        shutil.copyfile(graph, folder / name)
    except OSError as error:
        raise XinyeError(f"{graph}: cannot be read ({error.strerror})") from None
    return name


# -- reading ---------------------------------------------------------------------------------------


def _published(knowledge: Sequence[str], report: Report) -> list[str]:
    """The texts of the documents, whose phone numbers are the company's own. Files without text and
    those that cannot be read are added to the report. Raises `XinyeError` if all are of this
    kind."""
    texts = []
    for path in find_files(knowledge) if knowledge else ():
        try:
            read = [document.text for document in documents(path)]
        except XinyeError as error:
            report.skipped_documents.append(str(error))
            continue
        if not any(map(str.strip, read)):
            report.skipped_documents.append(without_text(path))
        texts += read
    if knowledge and not any(map(str.strip, texts)):
        raise no_text(knowledge, report.skipped_documents[0])
    return texts


def _report_logs(logs: Logs, report: Report) -> None:
    report.files, report.conversations = logs.files, logs.conversations
    report.questions = len(logs.exchanges)
    report.dropped = _counted(logs.dropped)
    report.notes = logs.notes.sentences()
    if not logs.exchanges:
        most = report.dropped[0] if report.dropped else Counted("empty files", logs.files, [])
        raise XinyeError(
            "the logs have no question with an answer or an intent; most of what was left out: "
            f"{most.what} ({most.count:,})"
        )


def _counted(notes: Notes) -> list[Counted]:
    return [Counted(what, count, notes.places[what]) for what, count in notes.counts.most_common()]


def _labelled_only(logs: Logs) -> list[Labelled]:
    """The questions with an intent, but without an answer."""
    return [
        Labelled(text=each.question, label=each.intent)
        for each in logs.exchanges
        if each.intent and not each.answer
    ]


def _with_intents(entries: Sequence[Entry], report: Report) -> list[Entry]:
    """The entries with their intents; if none has one, that is the name of its cluster."""
    if any(entry.intent for entry in entries):
        report.intents_from = "column"
        return [*entries]
    names = name_clusters([entry.question for entry in entries])
    if any(names):
        report.intents_from = "clusters"
    return [replace(entry, intent=name) for entry, name in zip(entries, names, strict=True)]


def _report_faq(faq: Faq, parts: Parts, report: Report) -> None:
    report.entries = len(faq.entries)
    report.wordings = sum(len(entry.wordings) for entry in faq.entries)
    report.merged, report.conflicts = faq.merged, len(faq.conflicts)
    report.by_case, report.unanswered = len(faq.by_case), faq.unanswered
    report.conflicts_listed = [asdict(each) for each in faq.conflicts[:LISTED]]
    counts = Counter(each.label for each in parts.labelled)
    report.intents = dict(counts.most_common())


def _languages(entries: Sequence[Entry]) -> tuple[Any, ...]:
    """The languages of the pages, that of most questions first."""
    chinese = sum(has_han(entry.question) for entry in entries)
    return ("zh", "en") if 2 * chinese >= len(entries) else ("en", "zh")


def _templates() -> list[Template]:
    return [
        Template(intent=intent, text=getattr(texts, language), language=language)
        for intent, texts in TEMPLATES.items()
        for language in ("zh", "en")
    ]


# -- learning --------------------------------------------------------------------------------------


def _knowledge(
    names: Sequence[str], folder: Path, report: Report, observer: Observer
) -> KnowledgeBase | None:
    """The knowledge base of the documents, if there are any."""
    if not names:
        return None
    observer.stage("indexing the documents")
    base, _ = KnowledgeBase.build(
        folder / KNOWLEDGE,
        names,
        progress=observer.progress,
        calibrate=lambda base: None,  # it is, when the FAQ has been
    )
    report.documents, report.passages = len(base.documents), base.passages
    return base


def _train(
    parts: Parts,
    logs: Logs,
    settings: PrepareSettings,
    folder: Path,
    watching: tuple[Report, Observer],
) -> tuple[dict[str, Role], list[Threshold]]:
    """The models that were trained, by role, and from when on intents are sure. The report
    says which models are missing, and why."""
    report, observer = watching
    missing = [role for role in ROLES if role not in settings.models]
    report.missing = dict.fromkeys(missing, "name a run: --role ROLE=RUN, or in models.toml")
    test = [Labelled(text=each.question, label=each.intent) for each in parts.test if each.intent]
    if run := settings.models.get("intents"):
        found = Intents.of(api.load(run)).thresholds(test)
        _report_intents(report, found, len(test))
        return {}, found
    learned, why = learnable(parts.labelled)
    if learned and not settings.seconds:
        why = "no time to train (--time)"
    if why:
        report.missing["intents"] = why
        return {}, []
    run = folder / RUNS / "intents"
    run.parent.mkdir()
    asked = {text for each in parts.test for text in (each.question, *each.near)}
    texts = [each.text for each in parts.labelled]
    texts += [
        f"{each.question}\n{each.answer}" for each in logs.exchanges if each.question not in asked
    ]
    budget = Budget(settings.seconds, settings.from_ or "")
    trained, found = train_intents(learned, test, texts, run, budget, observer)
    report.trained["intents"] = asdict(trained)
    if not trained.kept:
        run.parent.rmdir()
        report.missing["intents"] = (
            "the trained model is less accurate than word counts; give it more "
            "time (--time 1h), or a model to train from (--from MODEL)"
        )
        return {}, []
    del report.missing["intents"]
    _report_intents(report, found, trained.calibrated_on)
    return {"intents": Role(path=f"{RUNS}/intents", sha256=model_hash(run))}, found


def _report_intents(report: Report, found: Sequence[Threshold], questions: int) -> None:
    report.steps["intents"] = asdict(Step.at(found, report.precision, questions))


def _calibrated(base: KnowledgeBase, unsure: Sequence[Unsure], precision: float) -> Step:
    """From which confidence on the documents answer what the FAQ is not sure of."""
    learned = calibrate_documents(base, unsure, precision)
    if learned is None:
        return Step.at([], precision, 0)
    return Step.at(learned.thresholds, precision, learned.questions, learned.made)


def _test(trial: Trial, report: Report) -> None:
    """Report what the FAQ does with the questions that were kept apart, at several precisions."""
    tested = trial.tested(report.precision)
    report.tested = asdict(tested) | {"share": tested.share, "precision": tested.precision}
    for each in sorted({*LOOKED_AT, report.precision}, reverse=True):
        found = trial.tested(each)
        report.tested_at[f"{each:g}"] = {"answered": found.answered, "right": found.right}
