"""`xinye runs`, and its commands `show`, `compare`, `verify` and `clean`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from xinye.checkpoints.folders import run_differences
from xinye.cli.arguments import JSON, JSON_AT_END, Parser, flag, switch
from xinye.cli.output import (
    answer,
    console,
    duration,
    print_json,
    print_result,
    print_table,
    verbatim,
)
from xinye.cli.verbs import verb_meant
from xinye.errors import XinyeError, plural, quoted
from xinye.evaluation.plots import line_chart, save_chart
from xinye.language import listed, screen_language, shown, shown_word
from xinye.runs.card import write_card
from xinye.runs.cleanup import Proposal, proposals, remove, whole_run
from xinye.runs.comparison import at, curves, differences, matching_points, remarks
from xinye.runs.diagnosis import diagnose
from xinye.runs.report import REPORT, texts, write_report
from xinye.runs.saved import SavedRun, find_runs, is_run, read_run

FOLDERS = flag("folders", "DIR", "folders of runs, or single runs (runs)", ["runs"], nargs="*")


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in VERBS:
        verb, _ = VERBS[arguments[0]]
        return verb(arguments[1:])
    return list_runs(arguments)


def list_runs(arguments: list[str]) -> int:
    lines = [f"  {name:<10}{shown(what)}" for name, (_, what) in VERBS.items()]
    verbs = "\n".join(("commands (xinye runs COMMAND --help shows its flags):", *lines))
    given = Parser(
        "runs",
        "\n\n".join(("List the runs in folders, newest first.", verbs)),
        "xinye runs\n  xinye runs show runs/novel\n  xinye runs compare runs/novel runs/poems\n"
        "  xinye runs verify\n  xinye runs clean",
        FOLDERS,
        JSON,
    ).read(arguments)

    runs = find(given.folders)
    if given.json:
        print_json({"runs": [run.summary() for run in runs]})
    elif not runs:
        console.print(
            f"there are no runs in {', '.join(given.folders)}; start one: xinye pretrain FILES…"
        )
    else:
        rows = [
            (
                verbatim(str(run.folder)),
                run.what,
                millions(run.parameters),
                verbatim(shorter(run.files)),
                bits(run.bits_per_byte),
                duration(run.seconds),
                f"{run.started:%Y-%m-%d %H:%M}",
                state_of(run),
            )
            for run in runs
        ]
        columns = ("run", "what", "size", "text", "bits/byte", "trained", "started", "state")
        print_table(columns, rows, left=(0, 1, 3, 6, 7), spare=(3, 2, 1, 5, 4))
    return 0


def show(arguments: list[str]) -> int:
    given = Parser(
        "runs show",
        "Show what a run is and how it went, and rewrite its report and model card from "
        "the files in its folder.",
        "xinye runs show runs/novel",
        flag("run", "DIR", "the run's folder", type=Path),
        JSON,
    ).read(arguments)

    from xinye.tasks.settings import with_words

    run = with_words(read_run(given.run))
    report = run.folder / REPORT
    with damage_reported(run.folder):
        findings, written = diagnose(run), texts(run)
        if missing := write_report(run):
            console.print(f"the report has no charts: {missing}")
        write_card(run)
    if given.json:
        said = [
            {"name": one.name, "says": one.says._asdict(), "advice": one.advice._asdict()}
            for one in findings
        ]
        more = {"texts": written, "command": run.command(), "report": str(report)}
        print_json({**run.summary(), "findings": said, **more})
        return 0
    language = screen_language()
    print_table(("", ""), [(shown_word(name), what) for name, what in about(run)], left=(0, 1))
    answer.print()
    for finding in findings:
        advice = f"\n  {getattr(finding.advice, language)}" if finding.advice.en else ""
        answer.print(f"{getattr(finding.says, language)}{advice}", soft_wrap=True)
    if written:
        answer.print(verbatim(f"\n{written[0].strip()}"))
    answer.print(f"\nTo train it again: {run.command()}", soft_wrap=True)
    answer.print(f"Report: {report}", soft_wrap=True)
    return 0


def compare(arguments: list[str]) -> int:
    given = Parser(
        "runs compare",
        "Compare runs: the settings that differ, and the validation bits per byte during training.",
        "xinye runs compare runs/novel runs/poems --over seconds --plot curves.svg",
        flag("runs", "DIR", "folders of two or more runs", nargs="+"),
        flag(
            "--over",
            None,
            "horizontal axis of the curves (tokens)",
            "tokens",
            choices=("steps", "tokens", "seconds"),
        ),
        flag("--plot", "FILE", "draw the curves as an SVG chart", type=Path),
        JSON,
    ).read(arguments)
    over, plot = given.over, given.plot
    if len(given.runs) < 2:
        raise XinyeError("give two or more runs to compare")
    if len(set(given.runs)) < len(given.runs):
        raise XinyeError("a run is given twice; give each once")
    if plot and plot.suffix != ".svg":
        raise XinyeError(
            f"--plot {plot}: the chart is an SVG file; give it a name that ends in .svg"
        )

    runs = [read_run(Path(name)) for name in given.runs]
    with damage_reported(*given.runs):
        differing, lines = differences(runs), curves(runs, over)
    if plot:
        save_chart(line_chart(lines, over, "bits per byte"), plot)
        console.print(f"saved the curves to {plot}")
    damaged = [f"{run.folder} is damaged: {run.error}" for run in runs if run.state == "damaged"]
    for remark in [*damaged, *remarks(runs)]:
        console.print(f"note: {remark}", soft_wrap=True)
    if given.json:
        points = {name: [list(point) for point in zip(*lines[name], strict=True)] for name in lines}
        summaries = [run.summary() for run in runs]
        print_json({"runs": summaries, "differences": differing, "over": over, "curves": points})
        return 0
    names = [str(run.folder) for run in runs]
    rows = [(name, *(value_of(one) for one in ones)) for name, ones in differing.items()]
    print_table(("", *map(verbatim, names)), rows)
    matching = matching_points(lines.values())
    if matching and not plot:
        rows = [
            (f"{point:,.0f}", *(bits(at(lines[name], point)) for name in names))
            for point in matching
        ]
        answer.print("\nbits per byte on validation text")
        print_table((over, *map(verbatim, names)), rows, left=())
    return 0


def verify(arguments: list[str]) -> int:
    given = Parser(
        "runs verify",
        "Check every saved file of runs and their checkpoints against its "
        "recorded size and hash. If a file differs, the command prints its name "
        "and ends with exit code 1.",
        "xinye runs verify runs/novel",
        FOLDERS,
        JSON,
    ).read(arguments)

    problems = {}
    for run in find(given.folders):
        damage = [run.error] if run.state == "damaged" else []
        problems[str(run.folder)] = damage + run_differences(run.folder)
    if given.json:
        print_json({"runs": [{"run": run, "problems": found} for run, found in problems.items()]})
    else:
        for name, found in problems.items():
            answer.print("\n".join(found) or f"{name}: all files are unchanged", soft_wrap=True)
    if not problems:
        console.print(f"there are no runs in {', '.join(given.folders)}")
    return 1 if any(problems.values()) else 0


def clean(arguments: list[str]) -> int:
    given = Parser(
        "runs clean",
        "Free disk space: delete the checkpoints of finished runs, which are needed only "
        "to extend them, and runs that ended before anything was saved. Models and "
        "reports of other runs stay, except with --all. The command lists what it will "
        "delete, and asks first.",
        "xinye runs clean runs\n  xinye runs clean runs/old --all",
        FOLDERS,
        JSON_AT_END,
        switch("--interrupted", "also delete interrupted runs that can still be resumed"),
        switch("--all", "delete the named runs, with their models and reports"),
        switch("--yes", "delete without asking"),
    ).read(arguments)

    if given.all:
        proposed = [whole_run(read_run(Path(name))) for name in named_runs(given.folders)]
    else:
        proposed = proposals(find(given.folders), given.interrupted)
    if not proposed:
        console.print(
            "there is nothing to clean: no run has files that it does not need; delete a whole run "
            "with xinye runs clean RUN --all",
            soft_wrap=True,
        )
    elif not given.yes and not agreed(proposed):
        proposed = []
        console.print("nothing was deleted")
    deleted = []
    for one in filter(remove, proposed):
        print_deleted(one)
        deleted.append({"run": str(one.run.folder), "what": one.what, "bytes": one.size})
    return print_result({"deleted": deleted}, given.json)


def named_runs(folders: Sequence[str]) -> list[str]:
    """The folders without repeats. Raises `XinyeError` if one is not a run: a folder of runs must
    not be deleted by its name.
    """
    for name in folders:
        if not is_run(Path(name)) and (Path(name).exists() or name == "runs"):
            raise XinyeError(f"{name} is not a run; with --all name each run to delete")
    return list({Path(name).resolve(): name for name in folders}.values())


def agreed(proposed: Sequence[Proposal]) -> bool:
    """Print what would be deleted, and ask. Raises `XinyeError` if nobody can answer."""
    size = megabytes(sum(one.size for one in proposed))
    rows = [(str(one.run.folder), one.what, megabytes(one.size)) for one in proposed]
    print_table(("run", "to delete", "size"), rows, left=(0, 1))
    if not sys.stdin.isatty():
        raise XinyeError(
            f"{size} in {plural(len(proposed), 'run')} can be deleted; give "
            "--yes to delete without asking"
        )
    answer.print(f"Delete these {size}? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_deleted(one: Proposal) -> None:
    """Print what was deleted, and what is left."""
    folder, size = one.run.folder, megabytes(one.size)
    if not one.whole:
        console.print(
            f"{folder}: deleted the checkpoints, {size}; the run stays, with its model and its "
            f"report; to delete all of it: xinye runs clean {quoted(folder)} --all",
            soft_wrap=True,
        )
    elif folder.exists():
        left = ", ".join(sorted(path.name for path in folder.iterdir())[:5])
        console.print(
            f"{folder}: deleted the run, {size}; files that it did not write were kept: {left}",
            soft_wrap=True,
        )
    else:
        console.print(f"{folder}: deleted the whole run, {size}", soft_wrap=True)


# -- shared ----------------------------------------------------------------------------------------


def find(folders: Sequence[str]) -> list[SavedRun]:
    """The runs in folders, newest first, without repeats. Raises `XinyeError` if a folder that was
    typed does not exist.
    """
    found: dict[Path, Path] = {}
    for name in folders:
        if Path(name).is_dir():
            found = {run.resolve(): run for run in find_runs(Path(name))} | found
        elif folders != ["runs"]:
            raise XinyeError(f"{name}: there is no such folder{verb_meant(name, VERBS, 'runs')}")
    return sorted(map(read_run, found.values()), key=lambda run: run.started, reverse=True)


@contextmanager
def damage_reported(*folders: str | Path) -> Iterator[None]:
    """Within this context, a wrong value in a run's files becomes a one-line `XinyeError`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = " ".join(f"{type(error).__name__} {error}".split())[:200]
        names = " or ".join(map(str, folders))
        raise XinyeError(f"{names}: damaged: a value in training/ is not valid ({what})") from error


def state_of(run: SavedRun) -> str:
    """The state of a run in a few words."""
    if run.state == "finished":
        return shown_word(run.state)
    if run.state == "damaged":
        return f"damaged: {run.error}"
    return f"{shown_word(run.state)}, step {run.done:,} of {run.plan.steps or 0:,}"


def about(run: SavedRun) -> list[tuple[str, str | Text]]:
    """Facts about a run and its progress, as rows of name and value."""
    state = shown_word(run.state)
    if run.error:
        state += f": {run.error}"
    if run.state == "interrupted" and run.checkpoints:
        state += f"; resume with: xinye {run.about.recipe} -o {quoted(run.folder)} --resume"
    steps = run.plan.steps
    done = f"{run.done:,}"
    if steps and steps != run.done:
        done = f"step {run.done:,} of {steps:,}"
    read = [f"{run.tokens:,} tokens"]
    if run.epochs is not None:
        read.append(f"{run.epochs:.1f} epochs")
    rows: list[tuple[str, str | Text]] = [
        ("run", verbatim(str(run.folder))),
        ("state", state),
        ("what", f"{run.what}, {millions(run.parameters)} parameters"),
        ("text", verbatim(", ".join(run.files))),
        ("steps", listed((done, *read))),
        ("trained", f"{duration(run.seconds)}, started on {run.started:%Y-%m-%d %H:%M}"),
    ]
    for each in run.extended:
        rows.append(("extended", f"from step {each.step:,}: {each.command}"))
    if run.bits_per_byte is not None:
        yardstick = run.about.data.yardstick
        beside = f"; {yardstick}" if yardstick else ""
        rows.append(("bits per byte", f"{run.bits_per_byte:.3f} on validation text{beside}"))
    return rows


def bits(value: float | None) -> str:
    """Bits per byte, or "" if unknown."""
    return "" if value is None else f"{value:.3f}"


def millions(number: int | None) -> str:
    if not number:
        return ""
    return f"{number / 1e6:.1f}M" if number < 1e8 else f"{number / 1e6:,.0f}M"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def shorter(files: Sequence[str]) -> str:
    """The name of the first file, and the number of the others."""
    if not files:
        return ""
    others = f" + {len(files) - 1}" if len(files) > 1 else ""
    return (Path(files[0]).name or files[0]) + others


def value_of(value: Any) -> str:
    """A setting or metric as a cell of a table."""
    if isinstance(value, list) and value and isinstance(value[0], list | tuple):
        return f"{value[-1][-1]:,}"  # of planned lengths, the last
    if isinstance(value, list):
        return shorter([str(one) for one in value])
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value >= 1000):
        return f"{value:,.0f}"
    return f"{value:#.4g}" if isinstance(value, float) else str(value)


VERBS = {
    "list": (list_runs, "list runs, the newest first, as xinye runs does alone"),
    "show": (show, "show what a run is and how it went; rewrite its report"),
    "compare": (compare, "compare the settings of runs and how they learned"),
    "verify": (verify, "check that the saved files are unchanged"),
    "clean": (clean, "delete files that are no longer needed; asks first"),
}
