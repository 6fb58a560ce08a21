"""`xinye runs`, and its verbs `show`, `compare`, `verify` and `clean`"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError, did_you_mean

VERBS = ("show", "compare", "verify", "clean")


def main(arguments: list[str]) -> int:
    verbs = {"show": show, "compare": compare, "verify": verify, "clean": clean}
    if arguments and arguments[0] in verbs:
        return verbs[arguments[0]](arguments[1:])
    return list_runs(arguments)


def list_runs(arguments: list[str]) -> int:
    parser = Parser(
        "runs",
        "List the runs in folders, newest first.",
        "xinye runs\n  xinye runs show runs/novel\n  xinye runs compare runs/novel runs/poems\n  xinye runs verify\n"
        "  xinye runs clean",
    )
    _add_folders(parser)
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.output import console, duration, print_json

    runs = _find(values["folders"])
    if values["json"]:
        print_json({"runs": [run.summary() for run in runs]})
        return 0
    if not runs:
        console.print(
            f"there are no runs in {', '.join(values['folders'])}; make one: xinye pretrain FILES…"
        )
        return 0
    rows = [
        (
            str(run.folder),
            run.what,
            _short(run.parameters),
            _files(run.files),
            "" if run.bits_per_byte is None else f"{run.bits_per_byte:.3f}",
            _state(run),
            duration(run.seconds),
            f"{run.started:%Y-%m-%d %H:%M}",
        )
        for run in runs
    ]
    _print_table(
        ("run", "what", "size", "text", "bits/byte", "state", "trained", "begun"),
        rows,
        right=(2, 4, 6),
    )
    return 0


def show(arguments: list[str]) -> int:
    parser = Parser(
        "runs show",
        "Tell what a run is and how it went, and write its report and model card anew from what lies in its folder.",
        "xinye runs show runs/novel",
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.demo import locale_language
    from xinye.cli.output import answer, console, print_json
    from xinye.runs.card import write_card
    from xinye.runs.diagnosis import diagnose
    from xinye.runs.folder import read_run
    from xinye.runs.report import texts, write_report

    run = read_run(Path(values["run"]))
    report = run.folder / "report.html"
    with _damage_told(values["run"]):
        findings, written = diagnose(run), texts(run)
        if missing := write_report(run):
            console.print(f"the report has no charts: {missing}")
        write_card(run)
    if values["json"]:
        told = [
            {"name": one.name, "says": one.says._asdict(), "advice": one.advice._asdict()}
            for one in findings
        ]
        print_json(
            {
                **run.summary(),
                "findings": told,
                "texts": written,
                "command": run.command(),
                "report": str(report),
            }
        )
        return 0
    language = locale_language()
    _print_table(None, _about(run))
    answer.print()
    for finding in findings:
        answer.print(getattr(finding.says, language), soft_wrap=True)
        if finding.advice.en:
            answer.print(f"  {getattr(finding.advice, language)}", soft_wrap=True)
    if written:
        answer.print(f"\n{written[0].strip()}", soft_wrap=True)
    answer.print(f"\nagain:  {run.command()}\nreport: {report}", soft_wrap=True)
    return 0


def compare(arguments: list[str]) -> int:
    parser = Parser(
        "runs compare",
        "Tell in what runs differ, and how they learned: bits per byte on validation text along the way.",
        "xinye runs compare runs/novel runs/poems --over seconds --plot curves.svg",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more runs' folders")
    parser.add_argument(
        "--over",
        default="tokens",
        choices=("steps", "tokens", "seconds"),
        help="what the curves go over (tokens)",
    )
    parser.add_argument(
        "--plot", type=Path, default=None, metavar="FILE", help="draw the curves into an SVG file"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)
    if len(values["runs"]) < 2:
        raise XinyeError("name two runs or more to compare")
    if len(set(values["runs"])) < len(values["runs"]):
        raise XinyeError("a run is named twice")
    if values["plot"] and values["plot"].suffix != ".svg":
        raise XinyeError(
            f"--plot {values['plot']}: the chart is an SVG file; give it a name that ends in .svg"
        )

    from xinye.cli.output import answer, console, print_json
    from xinye.evaluation.plots import line_chart, save_chart
    from xinye.runs.comparison import at, curves, differences, matching_points, remarks
    from xinye.runs.folder import read_run

    runs = [read_run(Path(name)) for name in values["runs"]]
    with _damage_told(*values["runs"]):
        differing, lines = differences(runs), curves(runs, values["over"])
    if values["plot"]:
        save_chart(line_chart(lines, values["over"], "bits per byte"), values["plot"])
        console.print(f"curves in {values['plot']}")
    for remark in [
        *(f"{run.folder} is damaged: {run.error}" for run in runs if run.state == "damaged"),
        *remarks(runs),
    ]:
        console.print(f"note: {remark}", soft_wrap=True)
    if values["json"]:
        print_json({
            "runs": [run.summary() for run in runs],
            "differences": differing,
            "over": values["over"],
            "curves": {name: [list(point) for point in zip(*line, strict=True)] for name, line in lines.items()},
        })  # fmt: skip
        return 0
    names = [str(run.folder) for run in runs]
    rows = [(name, *(_value(one) for one in ones)) for name, ones in differing.items()]
    _print_table(("", *names), rows, right=range(1, len(names) + 1))
    if not values["plot"]:
        rows = [
            (
                f"{point:,.0f}",
                *("" if (y := at(lines[name], point)) is None else f"{y:.3f}" for name in names),
            )
            for point in matching_points(lines.values())
        ]
        answer.print("\nbits per byte on validation text")
        _print_table((values["over"], *names), rows, right=range(len(names) + 1))
    return 0


def verify(arguments: list[str]) -> int:
    parser = Parser(
        "runs verify",
        "Check every saved file of runs and their checkpoints against the sizes and hashes that were noted when they "
        "were saved. Ends with 1 where one differs, and names it.",
        "xinye runs verify runs/novel",
    )
    _add_folders(parser)
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.checkpoints.folders import run_differences
    from xinye.cli.output import answer, console, print_json

    told = {}
    for run in _find(values["folders"]):
        problems = [run.error] if run.state == "damaged" else []
        told[str(run.folder)] = problems + run_differences(run.folder)
    if values["json"]:
        print_json({"runs": [{"run": run, "problems": problems} for run, problems in told.items()]})
    else:
        for run, problems in told.items():
            answer.print("\n".join(problems) or f"{run}: as it was saved", soft_wrap=True)
    if not told:
        console.print(f"there are no runs in {', '.join(values['folders'])}")
    return 1 if any(told.values()) else 0


def clean(arguments: list[str]) -> int:
    parser = Parser(
        "runs clean",
        "Make room: delete what only going on needs from finished runs, and runs that ended before anything was saved. "
        "Models and reports of other runs stay. Shows what would go, and asks.",
        "xinye runs clean runs",
    )
    _add_folders(parser)
    parser.add_argument(
        "--interrupted",
        action="store_true",
        default=False,
        help="interrupted runs, too, that could still be resumed",
    )
    parser.add_argument("--yes", action="store_true", default=False, help="do not ask")
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    values = parser.values(arguments)

    from xinye.cli.output import answer, console, print_json
    from xinye.runs.leftovers import proposals, remove

    proposed = proposals(_find(values["folders"]), values["interrupted"])
    size = sum(proposal.size for proposal in proposed)
    if proposed and not values["yes"]:
        if not sys.stdin.isatty():
            runs = f"{len(proposed)} run{'s' * (len(proposed) > 1)}"
            raise XinyeError(
                f"{_megabytes(size)} in {runs} could go; say --yes to delete without asking"
            )
        rows = [(str(one.run.folder), one.what, _megabytes(one.size)) for one in proposed]
        _print_table(("run", "to delete", "size"), rows, right=(2,))
        answer.print(f"Delete these {_megabytes(size)}? [y/N] ", end="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            proposed, size = [], 0
            console.print("nothing was deleted")
    elif not proposed:
        console.print("there is nothing to clean")
    removed = [proposal for proposal in proposed if remove(proposal)]
    for proposal in removed:
        console.print(
            f"deleted {proposal.what} of {proposal.run.folder}, {_megabytes(proposal.size)}",
            soft_wrap=True,
        )
    if values["json"]:
        print_json({
            "deleted": [{"run": str(one.run.folder), "what": one.what, "bytes": one.size} for one in removed]
        })  # fmt: skip
    return 0


# -- what they share -------------------------------------------------------------------------------------------------


def _add_folders(parser: Parser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        default=["runs"],
        metavar="DIR",
        help="folders of runs, or runs (runs)",
    )


def _find(folders: Sequence[str]) -> list[Any]:
    """The runs in folders, newest first, none twice. The usual folder may be missing, one that was typed may not."""
    from xinye.runs.folder import find_runs, read_run

    found: dict[Path, Path] = {}
    for name in folders:
        if not Path(name).is_dir():
            if folders == ["runs"]:
                continue
            raise XinyeError(f"{name}: no such folder{did_you_mean(name, VERBS)}")
        for run in find_runs(Path(name)):
            found.setdefault(run.resolve(), run)
    return sorted(
        (read_run(run) for run in found.values()), key=lambda run: run.started, reverse=True
    )


@contextmanager
def _damage_told(*folders: str) -> Iterator[None]:
    """Inside, a value of a run's files that is of another kind than what it should be is told in one line."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise XinyeError(
            f"{' or '.join(folders)}: damaged: a value in training/ is not what it should be ({what})",
            1,
        ) from error


def _state(run: Any) -> str:
    if run.state == "finished":
        return "finished"
    if run.state == "damaged":
        return f"damaged: {run.error}"
    return f"{run.state}, step {run.done:,} of {run.planned or 0:,}"


def _about(run: Any) -> list[tuple[str, str]]:
    from xinye.cli.output import duration

    state = run.state + (f": {run.error}" if run.error else "")
    if run.state == "interrupted" and run.checkpoints:
        state += f"; go on with: xinye {run.recipe} -o {run.folder} --resume"
    planned = f" of {run.planned:,}" if run.planned and run.planned != run.done else ""
    rows = [
        ("run", str(run.folder)),
        ("state", state),
        ("what", f"{run.what}, {_short(run.parameters)} parameters"),
        ("text", ", ".join(run.files)),
        ("steps", f"{run.done:,}{planned}, {run.tokens:,} tokens"),
        ("trained", f"{duration(run.seconds)}, begun {run.started:%Y-%m-%d %H:%M}"),
    ]
    if run.epochs is not None:
        rows[4] = ("steps", f"{rows[4][1]}, the text {run.epochs:.1f} times")
    if run.bits_per_byte is not None:
        rows.append(("bits per byte", f"{run.bits_per_byte:.3f} on validation text"))
    return rows


def _short(number: int | None) -> str:
    if not number:
        return ""
    return f"{number / 1e6:.1f}M" if number < 1e8 else f"{number / 1e6:,.0f}M"


def _files(files: Sequence[str]) -> str:
    if not files:
        return ""
    return (Path(files[0]).name or files[0]) + (f" + {len(files) - 1}" if len(files) > 1 else "")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return _files([str(one) for one in value])
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value >= 1000):
        return f"{value:,.0f}"
    return f"{value:#.4g}" if isinstance(value, float) else str(value)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _print_table(
    head: Sequence[str] | None, rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """A table on standard output: as wide as the terminal, or as it needs where there is none."""
    from rich.table import Table

    from xinye.cli.output import Console

    out = Console(width=None if sys.stdout.isatty() else 1000)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=head is not None, header_style="bold")
    for number in range(len(rows[0]) if rows else len(head or ())):
        name = head[number] if head else ""
        table.add_column(name, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    with out.capture() as captured:
        out.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))  # noqa: T201  (it is safe by now)
