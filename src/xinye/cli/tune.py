"""`xinye tune`"""

from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.cli.pretrain import make_settings
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings

if TYPE_CHECKING:  # it brings torch
    from xinye.cli.output import Display
    from xinye.studies.tune import Tuning


def main(arguments: list[str]) -> int:
    of_task = any(argument.partition("=")[0] == "--task" for argument in arguments)
    parser = Parser(
        "tune",
        "Search for better settings than the plan's: rates, depth, batch, weight decay, dropout. The same\n"
        "command goes on where it stopped. Takes the flags of pretrain, too: --time is for the whole study\n"
        "(30min), --steps, --tokens and --epochs are for each trial; what is given is not searched.\n"
        "With --task it is fine-tuning that is tuned: method, rates, rank, epochs, dropout, masked tokens,\n"
        "attention; then it takes a model and the flags of finetune (xinye tune --task classify --help).",
        "xinye tune novel.txt --size 1M --trials 20 --time 30min -o runs/tune\n"
        "  xinye tune runs/novel --task classify --data reviews.csv --time 30min -o runs/tune-reviews",
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="trainings in all (20)")
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the study in -o"
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    if of_task:
        parser.add_argument(
            "model", nargs="?", metavar="MODEL", help="a run's folder, or any Hugging Face folder"
        )
        parser.add_argument(
            "--time", default="30min", metavar="TEXT", help="start no trial after this long (30min)"
        )
        parser.add_fields(FinetuneSettings, {"output": "-o"}, positional=("model", "evaluations"))
    else:
        parser.add_argument(
            "files", nargs="*", metavar="FILES", help="files, folders or globs of text"
        )
        parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files", "evaluations"))
    values = parser.values(arguments)
    trials, overwrite, as_json = values.pop("trials"), values.pop("overwrite"), values.pop("json")

    from xinye.cli.output import Brief

    with Brief() as display:
        if of_task:
            return study(begin_task(values, trials, overwrite, display), display, as_json)
        from xinye.studies.tune import begin

        settings = make_settings(
            {"size": "1M", **values} if "config" not in values else values, resume=False
        )
        return study(begin(settings, trials, display, overwrite), display, as_json)


def begin_task(
    values: dict[str, Any], trials: int, overwrite: bool, display: "Display"
) -> "Tuning":
    """The study of a task; that of more text is pretraining's."""
    from xinye.cli.finetune import make_settings
    from xinye.studies.tune import begin as begin_pretraining
    from xinye.studies.tune_task import begin

    time = values.pop("time")
    values.setdefault("output", f"runs/tune-{values['task']}")
    settings = make_settings(values, resume=False, overwrite=overwrite, json=False)
    if settings.task == "text":
        if settings.epochs is not None:
            raise XinyeError(
                "--task text: trials read as much as --time allows; leave --epochs out"
            )
        theirs = settings.as_pretraining().model_copy(update={"time": time})
        return begin_pretraining(theirs, trials, display, overwrite)
    return begin(settings, trials, time, display, overwrite)


def study(tuning: "Tuning", display: "Display", as_json: bool) -> int:
    """Take the trials, tell of each, and what came of them."""
    from xinye.cli.output import console, duration, print_findings, print_json
    from xinye.studies.tune import conclude, explain, run_trials

    if tokens := tuning.study.user_attrs.get("tokens"):
        batch = tuning.plan["batch_size"]
        steps = (
            f"{tokens // (batch * tuning.plan['context']):,} steps with the plan's batch of {batch}"
        )
        each = f"of {tokens:,} tokens, {steps}"
    else:
        each = f"judged by {tuning.figure.replace('_', ' ')} on validation"
    console.print(
        f"study in {tuning.output}: {tuning.trials} trials {each}; trial 0 is the plan's own settings",
        soft_wrap=True,
    )
    try:
        for trial in run_trials(tuning, display):
            value = trial[tuning.figure]
            console.print(
                f"{trial['trial']:>4}  {f'{value:.3f}' if value else '–':>6}  {trial['state']:<11} "
                f"{duration(trial['seconds']):>10}  {_settings(trial['settings'])}",
                soft_wrap=True,
            )
        result = conclude(tuning, display)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
        return 130
    console.print("\nthe best of them", style="bold")
    for trial in result["top"]:
        line = f"{trial['trial']:>4}  {trial[tuning.figure]:>6.3f}  {_settings(trial['settings'])}"
        console.print(line, soft_wrap=True)
    console.print()
    print_findings(explain(result), result["charts"])
    console.print(f"train with them: {result['command']}", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0


def _settings(values: dict[str, Any]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: Any) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
