"""`xinye tune`"""

from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.cli.output import Brief, console, duration, exit_when_stopped, print_findings, print_json
from xinye.errors import XinyeError
from xinye.libraries import need
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.tasks.registry import TASKS

if TYPE_CHECKING:  # it brings torch
    from xinye.runs.words import Figure
    from xinye.studies.search_space import Search


def main(arguments: list[str]) -> int:
    of_a_task = any(argument.partition("=")[0] == "--task" for argument in arguments)
    parser = Parser(
        "tune",
        "Search for better settings than the plan's: rates, depth, batch, weight decay, dropout. "
        "The same\n"
        "command goes on where it stopped. Takes the flags of pretrain, too: --time is for the "
        "whole study\n"
        "(30min), --steps, --tokens and --epochs are for each trial; what is given is not "
        "searched.\n"
        "With --task it is fine-tuning that is tuned: method, rates, rank, epochs, dropout, masked "
        "tokens,\n"
        "attention; then it takes a model and the flags of finetune (xinye tune --task classify "
        "--help).",
        "xinye tune novel.txt --size 1M --trials 20 --time 30min -o runs/tune\n"
        "  xinye tune runs/novel --task classify --data reviews.csv --time 30min -o "
        "runs/tune-reviews",
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="trainings in all (20)")
    parser.add_switches(
        overwrite="replace the study in -o", json="print one JSON object at the end"
    )
    if of_a_task:
        parser.add_model()
        parser.add_argument(
            "--time", default="30min", metavar="TEXT", help="start no trial after this long (30min)"
        )
        parser.add_argument("--task", metavar="|".join(TASKS), help="what to learn")
        positional = ("model", "task", "evaluations")
        parser.add_fields(FinetuneSettings, {"output": "-o"}, positional)
    else:
        parser.add_files()
        parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files", "evaluations"))
    values = parser.values(arguments)
    trials, overwrite, as_json = (values.pop(name) for name in ("trials", "overwrite", "json"))

    need("tuning", "optuna")
    from xinye.studies.tune import begin, conclude, explain, run_trials

    with Brief() as display:
        search = search_task(values) if of_a_task else search_text(values)
        tuning = begin(search, trials, display, overwrite)
        console.print(
            f"study in {search.output}: {trials} trials {search.words()}; trial 0 is the plan's "
            "own settings",
            soft_wrap=True,
        )
        with exit_when_stopped("stopped; the same command goes on"):
            for trial in run_trials(tuning, display):
                console.print(shown(trial, search.figure), soft_wrap=True)
            result = conclude(tuning, display)
    console.print("\nthe best of them", style="bold")
    for trial in result["top"]:
        value = search.figure.written(trial[search.figure.name])
        line = f"{trial['trial']:>4}  {value:>6}  {listed(trial['settings'])}"
        console.print(line, soft_wrap=True)
    print_findings(explain(result, search.figure), result["charts"])
    console.print(f"train with them: {result['command']}", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0


def search_text(values: dict[str, Any]) -> "Search":
    """What is searched in pretraining."""
    from xinye.cli.pretrain import make_settings
    from xinye.studies.search_space import PretrainSearch

    size = {} if "config" in values else {"size": "1M"}
    return PretrainSearch(make_settings(size | values))


def search_task(values: dict[str, Any]) -> "Search":
    """What is searched for a task; that of more text is pretraining's."""
    from xinye.cli.finetune import make_settings
    from xinye.studies.search_space import PretrainSearch, TaskSearch

    time = values.pop("time")
    values.setdefault("output", f"runs/tune-{values['task']}")
    settings = make_settings(values)
    if settings.task != "text":
        return TaskSearch(settings, time)
    if settings.epochs is not None:
        raise XinyeError("--task text: trials read as much as --time allows; leave --epochs out")
    return PretrainSearch(settings.as_pretraining().model_copy(update={"time": time}))


def shown(trial: dict[str, Any], figure: "Figure") -> str:
    """A trial in a line: its figure, how it ended, how long it took, and its settings."""
    value = figure.written(trial[figure.name]) if trial[figure.name] else "–"
    return (
        f"{trial['trial']:>4}  {value:>6}  {trial['state']:<11} "
        f"{duration(trial['seconds']):>10}  {listed(trial['settings'])}"
    )


def listed(settings: dict[str, Any]) -> str:
    """Settings with their values, numbers to three digits."""
    words = []
    for name, value in settings.items():
        if isinstance(value, float):
            words.append(f"{name} {value:.3g}")
        else:
            words.append(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return "  ".join(words)
