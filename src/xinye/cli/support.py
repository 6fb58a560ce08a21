"""`xinye support prepare`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.cli.arguments import BAD_BYTES, JSON, Fields, Parser, flag, switch
from xinye.cli.output import (
    Display,
    answer,
    bad_bytes_told,
    console,
    print_json,
    verbatim,
)
from xinye.errors import checked, plural, quoted
from xinye.language import shown

if TYPE_CHECKING:
    from xinye.apps.support.prepare import Report

FEW = 0.5  # share of the questions that can be answered below which help is printed
KEYS = {"passage": "precision_documents"}  # settings of desk.toml, if it is not `precision`
SHOWN = 5  # notes, conflicts and intents that are printed


def prepare(arguments: list[str]) -> int:
    given = Parser(
        "support prepare",
        "Make a customer-service desk of a company's old logs and documents. Reads conversations "
        "(CSV, XLSX, JSON Lines, one message a row, lines of 客户：… and 客服：…, exports of QQ "
        "and WeChat) and tables of questions and answers or intents; makes a FAQ, keeps a test set "
        "apart, trains a classifier if there are enough intents, and calibrates when to answer. "
        "Phone numbers, mail addresses and the like are masked before anything is written; names "
        "and postal addresses only with a model that finds them (--role entities=RUN).",
        "xinye support prepare logs.csv --knowledge handbook/ -o desk",
        flag("logs", "LOGS", "files, folders or globs of logs", nargs="+"),
        flag("-o --output", "DESK", "the folder to write", required=True, type=Path),
        flag(
            "--knowledge",
            "DIR",
            "folder or file of documents to answer from; can be given several times",
            action="append",
        ),
        Fields(PrepareSettings, ("logs", "output", "knowledge")),
        BAD_BYTES,
        switch("--overwrite", "replace the desk in -o"),
        JSON,
    ).read(arguments)

    from xinye.apps.support.prepare import prepare as make

    settings = checked(PrepareSettings, given.settings, "prepare")
    with Display(show_plan=False) as display, bad_bytes_told(given.bad_bytes):
        report = make(settings, display, given.overwrite)
    if given.json:
        print_json(report)
    else:
        show(report)
    return 0


def show(report: "Report") -> None:
    """Print what was read, left out, merged, trained and tested."""
    show_read(report)
    show_faq(report)
    if report.documents:
        documents, passages = (
            plural(report.documents, "document"),
            plural(report.passages, "passage"),
        )
        answer.print(f"knowledge base: {documents}, {passages}")
    for reason in report.skipped_documents[:SHOWN]:
        answer.print(f"skipped: {reason}", soft_wrap=True)
    show_models(report)
    show_steps(report)
    console.print(
        f"saved to {report.desk}; look through faq.jsonl and desk.toml there, then: "
        f"xinye support serve {quoted(report.desk)} --store support.db",
        soft_wrap=True,
    )


def show_read(report: "Report") -> None:
    """Print what was read and left out."""
    answer.print(
        f"read {plural(report.conversations, 'conversation or row', 'conversations and rows')} in "
        f"{plural(report.files, 'file')}: {plural(report.questions, 'question')} with an answer or "
        "an intent"
    )
    if report.dropped:
        answer.print("left out:")
    for each in report.dropped:
        answer.print(verbatim(f"  {each.count:>7,}  {shown(each.what)}"), soft_wrap=True)
    for note in report.notes[:SHOWN]:
        answer.print(f"note: {note}", soft_wrap=True)
    if len(report.notes) > SHOWN:
        answer.print(f"{plural(len(report.notes) - SHOWN, 'more note')} in report.json")


def show_faq(report: "Report") -> None:
    """Print what became of the questions."""
    answer.print(
        f"FAQ: {plural(report.entries, 'entry', 'entries')} with "
        f"{plural(report.wordings, 'wording')}; {plural(report.merged, 'question')} merged with an "
        "equal or nearly equal one, or with one of the same answer"
    )
    if report.conflicts:
        chosen = report.conflicts - report.by_case
        answer.print(
            f"{plural(report.conflicts, 'question')} with different answers: {chosen:,} got the "
            f"most common or latest one, {report.by_case:,} have no common answer; see report.json"
        )
    if report.unanswered:
        answer.print(
            f"{plural(report.unanswered, 'entry is', 'entries are')} only suggested to operators, "
            'since the answer is about the case of a customer: `"answered": false` in faq.jsonl',
            soft_wrap=True,
        )
    if report.intents:
        names = [*report.intents.items()]
        intents = plural(len(names), "intent")
        if report.intents_from == "clusters":
            answer.print(
                f"the logs name no intents; {intents} found as clusters of questions, each named "
                "by a typical one"
            )
        else:
            answer.print(f"the logs name {intents}")
        for name, count in names[:SHOWN]:
            answer.print(verbatim(f"  {count:>7,}  {name}"), soft_wrap=True)
        if len(names) > SHOWN:
            answer.print(f"{plural(len(names) - SHOWN, 'more intent')} in report.json")


def show_models(report: "Report") -> None:
    """Print which models were trained, and which are missing."""
    for role, trained in report.trained.items():
        answer.print(
            f"trained a model for the role {role} on {plural(trained['questions'], 'question')} "
            f"with {plural(trained['intents'], 'intent')}"
        )
        if trained["accuracy"] is not None:
            asked = plural(trained["test_questions"], "question")
            answer.print(f"its accuracy on {asked} kept apart: {trained['accuracy']:.1%}")
        if trained["baseline"] is not None:
            answer.print(f"word counts on the same questions: {trained['baseline']:.1%}")
    without: dict[str, list[str]] = {}
    for role, reason in report.missing.items():
        without.setdefault(reason, []).append(role)
    for reason, roles in without.items():
        names = ", ".join(roles)
        answer.print(f"roles without a model: {names}; {reason}", soft_wrap=True)


def show_steps(report: "Report") -> None:
    """Print from which confidence on each step answers, and how the FAQ did in the test."""
    for name, step in report.steps.items():
        if step["threshold"] is None:
            show_unreached(name, step, f"{report.precision:.0%}")
        else:
            show_reached(name, step)
    show_test(report)


def show_reached(name: str, step: dict[str, Any]) -> None:
    """Print from which confidence on a step answers."""
    asked = plural(step["questions"], "question")
    threshold, answered = f"{step['threshold']:.0%}", f"{step['answered']:.0%}"
    if name == "intents":
        answer.print(
            f"step {name}: answers with a template from a confidence of {threshold} on, "
            f"which {answered} of {asked} reach"
        )
    elif name == "passage":
        answer.print(
            f"step {name}: answers from a confidence of {threshold} on; calibrated on "
            f"{asked} that the FAQ is not sure of, and on ones made of the passages"
        )
    else:
        answer.print(
            f"step {name}: answers from a confidence of {threshold} on; in its calibration "
            f"on {asked}, each also asked without its answer, {answered} reach it"
        )
    if step["made"] and name == "faq":
        answer.print(
            f"step {name}: too few questions have several wordings, so some were made of known ones"
        )


def show_unreached(name: str, step: dict[str, Any], precision: str) -> None:
    """Print that a step does not reach the wanted precision, and which one it reaches."""
    if name == "faq":
        answer.print(
            f"step {name}: nothing reaches a precision of {precision}, so it answers only "
            "questions that equal a known one; other wordings of each question help (a column "
            "variants)"
        )
    else:
        answer.print(
            f"step {name}: nothing reaches a precision of {precision}, so it answers nothing"
        )
    if step["highest"]:
        highest, key = f"{step['highest']:.0%}", KEYS.get(name, "precision")
        answer.print(
            f"step {name}: it reaches {highest}; to accept that, set {key} = "
            f"{step['highest']:g} in desk.toml"
        )


def show_test(report: "Report") -> None:
    """Print what the FAQ did with the questions that were kept apart."""
    tested = report.tested
    if not tested["questions"]:
        return
    asked = plural(tested["questions"], "question")
    if not tested["answerable"]:
        show_unanswerable(asked)
    else:
        answer.print(
            f"test: {asked} kept apart and asked of the FAQ without them; it then still has the "
            f"answer of {tested['answerable']:,}, in other words"
        )
    answered, right = f"{tested['answered']:,}", f"{tested['right']:,}"
    if tested["answered"]:
        answer.print(f"the FAQ answered {answered}; {right} of these answers are right")
    else:
        answer.print("the FAQ answered none of them")
    for wanted, found in report.tested_at.items():
        if float(wanted) != report.precision and (tested["answered"] or found["answered"]):
            answered, right = f"{found['answered']:,}", f"{found['right']:,}"
            answer.print(f"  with precision = {wanted} in desk.toml: {answered}, {right} right")
    if tested["answered"] < FEW * tested["answerable"]:
        answer.print(
            "to answer more, add other wordings of each question (a column variants); a lower "
            "precision also answers more, but more of it wrongly",
            soft_wrap=True,
        )


def show_unanswerable(asked: str) -> None:
    """Print that a test of these questions says little."""
    answer.print(
        f"test: {asked} kept apart, of which none can be answered without the question itself, as "
        "each is in the logs once; it only shows what is answered wrongly. Other wordings help (a "
        "column variants)",
        soft_wrap=True,
    )
