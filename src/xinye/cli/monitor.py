"""`xinye monitor prepare`, `run` and `replay`"""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, tzinfo
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from xinye.apps.monitor.documents import MOODS
from xinye.apps.monitor.prepare_settings import PrepareSettings
from xinye.cli.arguments import BAD_BYTES, JSON, Fields, Parser, flag, switch
from xinye.cli.output import Display, answer, bad_bytes_told, console, print_json, verbatim
from xinye.errors import Unavailable, checked, plural, quoted
from xinye.language import screen_language, shown_word, with_colon

if TYPE_CHECKING:  # torch is imported where it is used
    from xinye.apps.monitor.prepare import Report
    from xinye.apps.monitor.replay import Replay
    from xinye.apps.monitor.runner import Done

SHOWN = 8  # topics and notes that are printed
FEW = 500  # texts to learn from; with fewer, more of them help most
SCORES = {"topics": "micro F1", "mood": "macro F1"}
STAND_INS = {  # for models that a monitor can do without
    "entities": "companies: those that monitor.toml lists (a tagger finds others: --role "
    "entities=RUN)",
    "summary": "summary of an alarm: the title or first line of its most typical document (a "
    "summarizer quotes a better one: --role summary=RUN)",
}
WAIT = 1.0  # seconds between two steps
PATIENCE = 10.0  # seconds until a step that failed is tried again
STORE = flag(
    "--store", "FILE", "the store of the monitor; made if there is none", required=True, type=Path
)
SOURCE = flag(
    "--source",
    "SOURCE",
    "a list of feeds (.opml), a feed (https://…), a file or folder of records, or - for standard "
    "input (may be given several times)",
    action="append",
    default=[],
)


def prepare(arguments: list[str]) -> int:
    given = Parser(
        "monitor prepare",
        "Make an opinion monitor of labelled texts: train models that find the topics of a text, "
        "several each, and its mood; test them on texts that are kept apart, and calibrate their "
        "probabilities. Reads tables and JSON with columns for the text, topics and mood; a file "
        "may have only one of the last two.",
        "xinye monitor prepare labelled.csv --from runs/base -o monitor",
        flag("labelled", "LABELLED", "files, folders or globs of labelled texts", nargs="+"),
        flag("-o --output", "MONITOR", "the folder to write", required=True, type=Path),
        Fields(PrepareSettings, ("labelled", "output")),
        BAD_BYTES,
        switch("--overwrite", "replace the monitor in -o"),
        JSON,
    ).read(arguments)

    from xinye.apps.monitor.prepare import prepare as make

    settings = checked(PrepareSettings, given.settings, "prepare")
    with Display(show_plan=False) as display, bad_bytes_told(given.bad_bytes):
        report = make(settings, display, given.overwrite)
    if given.json:
        print_json(report)
    else:
        show(report)
    return 0


def show(report: "Report") -> None:
    """Print what was read, trained and tested."""
    answer.print(f"read {plural(report.texts, 'labelled text')} in {plural(report.files, 'file')}")
    for note in report.notes[:SHOWN]:
        answer.print(f"note: {note}", soft_wrap=True)
    for name, counts in (("topics", report.topics), ("mood", report.moods)):
        if counts:
            named = {label_shown(name, label): count for label, count in counts.items()}
            answer.print(
                verbatim(f"  {with_colon(shown_word(name), counted(named))}"), soft_wrap=True
            )
    show_rare(report.rare)
    for role, trained in report.trained.items():
        show_trained(report, role, trained)
    for role, why in report.missing.items():
        for mood in MOODS:
            why = why.replace(repr(mood), repr(shown_word(mood)))
        answer.print(f"no model for the role {shown_word(role)}: {why}", soft_wrap=True)
    for role in report.optional:
        answer.print(STAND_INS[role], soft_wrap=True)
    console.print(
        f"saved to {report.monitor}; look through monitor.toml there, then: xinye monitor run "
        f"{quoted(report.monitor)} --source news.jsonl --store monitor.db",
        soft_wrap=True,
    )


def show_trained(report: "Report", role: str, trained: dict) -> None:
    """Print how good a model is, beside its baseline, and how its probabilities were scaled."""
    name, texts = shown_word(role), plural(trained["texts"], "text")
    answer.print(f"trained a model for the role {name} on {texts}")
    if trained["score"] is not None:
        tested = plural(trained["test_texts"], "text")
        score = f"{trained['score']:.1%}"
        if trained["baseline"] is None:  # word counts can learn nothing
            answer.print(f"  {SCORES[role]} on {tested} kept apart: {score}")
        else:
            baseline = f"{trained['baseline']:.1%}"
            answer.print(
                f"  {SCORES[role]} on {tested} kept apart: {score}; word counts: {baseline}"
            )
        show_likely(trained["likely"])
        if trained["baseline"] is not None and trained["score"] < trained["baseline"]:
            show_advice(trained)
    scaling = report.calibrations[role]
    if not scaling["texts"]:
        show_uncalibrated()
    elif scaling["error"] == scaling["error_before"]:
        answer.print(
            f"  error of its probabilities: {scaling['error']:.1%}, so they are not scaled"
        )
    else:
        before, after = f"{scaling['error_before']:.1%}", f"{scaling['error']:.1%}"
        answer.print(f"  error of its probabilities: {before}, calibrated {after}")
    if role == "mood" and report.moods_without_neutral:
        threshold = f"{report.calibrations['mood_threshold']:.0%}"
        answer.print(
            f"  no text is labelled as neutral, so moods with a probability below {threshold} are "
            "called unsure",
            soft_wrap=True,
        )


def show_advice(trained: dict) -> None:
    """Print what helps a model that is worse than the baseline."""
    if trained["more_time"] and trained["texts"] >= FEW:
        answer.print(
            "  that is worse than the baseline; its loss was still falling, so give it more time "
            "(--time 1h)",
            soft_wrap=True,
        )
    else:
        answer.print(
            "  that is worse than the baseline; label more texts, or train from a model that has "
            "read much text (--from MODEL)",
            soft_wrap=True,
        )


def label_shown(role: str, label: str) -> str:
    """A label of a role: a mood in the language of the screen, a topic as it is written."""
    return shown_word(label) if role == "mood" else label


def show_rare(rare: Mapping[str, int]) -> None:
    """Print the topics and moods that are too rare to learn."""
    if not rare:
        return
    from xinye.apps.monitor.learning import FEWEST_EACH

    answer.print(f"too rare to learn (fewer than {FEWEST_EACH} texts to learn from):")
    named = {shown_word(label) if label in MOODS else label: rare[label] for label in rare}
    answer.print(verbatim(f"  {counted(named)}"), soft_wrap=True)


def counted(counts: Mapping[str, int]) -> str:
    """The first labels with their counts, in a line."""
    comma = "，" if screen_language() == "zh" else ", "
    some = comma.join(f"{label} {count:,}" for label, count in [*counts.items()][:SHOWN])
    return f"{some} …" if len(counts) > SHOWN else some


def show_likely(likely: Sequence[float]) -> None:
    """Print how sure a figure of few texts is."""
    low, high = (f"{each:.0%}" for each in likely)
    answer.print(f"  with so many texts, the true figure is likely between {low} and {high}")


def show_uncalibrated() -> None:
    """Print that probabilities are not calibrated."""
    answer.print(
        "  its probabilities are not calibrated, and not shown: too few labelled texts, or the "
        "model has learned too little",
        soft_wrap=True,
    )


def run(arguments: list[str]) -> int:
    given = Parser(
        "monitor run",
        "Read sources again and again: find topics, mood and companies of each new document, count "
        "them by the hour, raise an alarm where there are many more than usual, and send it to the "
        "channels in monitor.toml. Ends with its files, or with Ctrl-C if there are feeds or "
        "folders. A new start reads files from their beginnings again, and counts no document "
        "twice.",
        "xinye monitor run monitor --source feeds.opml --store monitor.db",
        flag("monitor", "MONITOR", "folder of a monitor", type=Path),
        SOURCE,
        STORE,
        switch("--once", "read what is there now, then stop"),
        switch("--json", "print one JSON object for each step that found something"),
    ).read(arguments)

    from xinye.apps.monitor.ingest import Added
    from xinye.apps.monitor.monitor_folder import MonitorFolder
    from xinye.apps.monitor.runner import Runner, open_monitor

    folder = MonitorFolder.read(given.monitor)
    with closing(open_monitor(folder, given.store)) as monitor:
        with console.status("loading …"):
            runner = Runner(
                folder,
                monitor,
                given.source,
                warn=lambda text: console.print(text),
                once=given.once,
            )
        total = Added()
        while True:
            try:
                done = runner.step()
                total += done.added
                show_done(done, given.json)
            except Unavailable as error:
                console.print(f"trying again: {error}", soft_wrap=True)
                time.sleep(PATIENCE)
                continue
            if runner.reading:
                continue
            if not runner.endless or (given.once and not runner.waiting):
                if not given.json and not (total.new or total.repeats):
                    answer.print(f"nothing new; {plural(total.known, 'document')} known")
                return 2 if runner.failed else 0
            time.sleep(WAIT)


def show_done(done: "Done", as_json: bool) -> None:
    """Print what a step did, if it did anything."""
    added, sent = done.added, done.sent
    if as_json:
        if any(vars(added).values()) or any(vars(sent).values()):
            print_json(vars(added) | {"sent": vars(sent)})
        return
    if added.new or added.repeats or added.empty or added.cut:
        answer.print(
            f"read: {plural(added.new, 'new document')}, {plural(added.repeats, 'repeat')}, "
            f"{added.known:,} known, {added.empty:,} without text, {added.cut:,} cut"
        )
    if added.unjudged:
        answer.print(
            f"without topic and mood, because a model failed: {plural(added.unjudged, 'document')}"
        )
    for number in added.alerts:
        answer.print(f"alarm {number} was raised")
    if sent.delivered or sent.failed or sent.dead:
        answer.print(
            f"messages: {sent.delivered:,} delivered, {sent.failed:,} to be sent again, "
            f"{sent.dead:,} given up"
        )


def replay(arguments: list[str]) -> int:
    given = Parser(
        "monitor replay",
        "Run past documents through a monitor by their own dates, and show the alarms that it "
        "would have raised, and when. Nothing is sent. Set false_alarms and least in monitor.toml "
        "by what you see, before you rely on them.",
        "xinye monitor replay monitor news-2024.jsonl",
        flag("monitor", "MONITOR", "folder of a monitor", type=Path),
        flag("files", "FILE", "files and folders of records with dates", nargs="+"),
        flag(
            "--store",
            "FILE",
            "keep the store here, to look at it with xinye monitor serve",
            type=Path,
        ),
        JSON,
    ).read(arguments)

    from xinye.apps.monitor.monitor_folder import MonitorFolder
    from xinye.apps.monitor.replay import replay as past

    folder = MonitorFolder.read(given.monitor)
    with TemporaryDirectory() as temporary, Display(show_plan=False) as display:
        store = given.store or Path(temporary) / "replay.db"
        found = past(folder, given.files, store, observer=display)
    if given.json:
        print_json(asdict(found) | {"weeks": found.weeks})
    else:
        show_replay(found, folder.settings.zone)
    return 0


def show_replay(found: "Replay", zone: tzinfo) -> None:
    """Print what was replayed, and each alarm in a line, with its summary below."""
    added = found.added
    begin, end = (f"{datetime.fromtimestamp(at, zone):%Y-%m-%d}" for at in (found.begin, found.end))
    answer.print(
        f"replayed {plural(added.new, 'document')} and {plural(added.repeats, 'repeat')} from "
        f"{begin} to {end}"
    )
    if added.known or added.empty or found.undated:
        known, undated = f"{added.known:,}", f"{found.undated:,}"
        answer.print(
            f"left out: {known} known (the same once more), {added.empty:,} without text, "
            f"{undated} without a date or with one of the future"
        )
    if added.cut:
        answer.print(f"cut, because they are very long: {plural(added.cut, 'document')}")
    for each in found.alerts:
        at = f"{datetime.fromtimestamp(each.opened, zone):%Y-%m-%d %H:%M}"
        expected = f"{each.expected:,.1f}"
        answer.print(
            verbatim(f"  {at}  {each.subject}  {each.observed:,} / {expected}  {each.summary}"),
            soft_wrap=True,
        )
    a_week = f"{len(found.alerts) / max(found.weeks, 1e-9):.2g}"
    answer.print(
        f"in all {plural(len(found.alerts), 'alarm')}, {a_week} a week (above: documents / "
        "expected, summary)"
    )
