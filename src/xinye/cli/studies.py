"""`xinye compare`, `plan`, `distill` and `tune`: several runs, one answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import set_cell_size

from xinye.cli.arguments import (
    BASE,
    FILES,
    JSON_AT_END,
    Fields,
    Given,
    Parser,
    flag,
    switch,
    task_flag,
)
from xinye.cli.output import (
    Brief,
    Display,
    console,
    duration,
    exit_when_stopped,
    print_findings,
    print_result,
    print_table,
)
from xinye.cli.paper import MACHINES, plan_on_paper
from xinye.cli.training import (
    BUDGETS,
    check_resume,
    finetune_settings,
    of_records,
    pretrain_settings,
)
from xinye.errors import XinyeError, plural
from xinye.language import shown, shown_word
from xinye.libraries import need
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import Figures
from xinye.runs.words import Figure

if TYPE_CHECKING:  # it brings torch
    from xinye.studies.search_space import Search

# Flags of pretrain that `plan` sets itself.
DERIVED = ("from_", "tokens", "epochs", "steps", "layers", "width", "batch_size", "evaluations")


def compare(arguments: list[str]) -> int:
    given = Parser(
        "compare",
        "Train several architectures on the same text with the same budget and "
        "compare them. Also takes the flags of pretrain.",
        "xinye compare novel.txt --architectures modern,gpt2,lstm --size 1M --time 3min -o "
        "runs/compare",
        FILES,
        flag(
            "--architectures",
            "A,B",
            "architectures to compare (modern,gpt2,lstm)",
            "modern,gpt2,lstm",
        ),
        switch("--overwrite", "replace the comparison in -o"),
        JSON_AT_END,
        Fields(PretrainSettings, without=("files", "from_", "architecture")),
    ).read(arguments)
    if not any(name in given.settings for name in BUDGETS):
        given.settings["time"] = "3min"
    given.settings.setdefault("size", "1M")
    settings = pretrain_settings(given)

    from xinye.studies.compare import compare, explain_comparison

    stopped = "interrupted; nothing was compared"
    with Display(show_plan=False) as display, exit_when_stopped(stopped):
        result = compare(settings, given.architectures.split(","), display, given.overwrite)
    runs = result["runs"]
    rows = [
        (
            run["architecture"],
            f"{run['parameters']:,}",
            f"{run['steps']:,}",
            f"{run['tokens_per_second']:,.0f}",
            duration(run["seconds"]),
            f"{run['validation']['loss']:.3f}",
            f"{run['validation']['bits_per_byte']:.3f}",
        )
        for run in runs
    ]
    columns = ("architecture", "parameters", "steps", "tokens/s", "time", "loss", "bits per byte")
    print_table(columns, rows, on=console)
    by_context = [
        (f"{each[0]['context']:,}", *(f"{row['bits_per_byte']:.3f}" for row in each))
        for each in zip(*(run["by_position"] for run in runs), strict=True)
    ]
    if by_context:
        console.print(
            "\nbits per byte of the same tokens, by the length of context before them", style="bold"
        )
        names = [run["architecture"] for run in runs]
        print_table(("tokens of context", *names), by_context, left=(), on=console)
    print_findings(explain_comparison(runs), result["charts"])
    return print_result(result, given.json)


def plan(arguments: list[str]) -> int:
    if any(argument.partition("=")[0] in MACHINES for argument in arguments):
        return plan_on_paper(arguments)
    given = Parser(
        "plan",
        "Find the model size that reaches the lowest bits per byte in a given time: train "
        "three short runs of each size and fit a scaling law to them. The short runs take a "
        "tenth of the time (a quarter if the time is short). Also takes the flags of "
        "pretrain. With --gpu, nothing is trained: it estimates memory and time on GPUs "
        "that you do not have here (xinye plan --gpu list).",
        "xinye plan novel.txt --size 1M,5M,15M --time 1h -o runs/plan\n"
        "  xinye plan --size 1.3B --tokens 26B --hosts 8 --gpu h100",
        FILES,
        flag("--size", "A,B", "the sizes to compare (1M,5M,15M)", "1M,5M,15M"),
        flag("--gpu", "GPU", "plan on paper for GPUs; see xinye plan --gpu list --help"),
        switch("--overwrite", "replace the plan in -o"),
        JSON_AT_END,
        Fields(PretrainSettings, without=("files", "size", *DERIVED)),
    ).read(arguments)
    sizes = given.settings["size"].split(",")
    given.settings["size"] = sizes[0]
    settings = pretrain_settings(given)
    if settings.time is None:
        raise XinyeError("give the time for training, such as --time 1h")

    from xinye.studies.scaling import begin, conclude, explain, run_short
    from xinye.studies.shared import config_command

    with Brief() as display:
        planning = begin(settings, sizes, display, given.overwrite)
        cost = duration(planning.share * planning.seconds)
        console.print(
            f"training short runs, about {cost} in total, to predict a run of {settings.time}"
        )
        with exit_when_stopped("interrupted; nothing was planned"):
            for run in run_short(planning, display):
                console.print(
                    f"{run['size']:>6}  {run['tokens']:>11,} tokens in "
                    f"{plural(run['steps'], 'step')} with a batch of {run['batch_size']}: "
                    f"{run['bits_per_byte']:.3f} bits per byte, {duration(run['seconds'])}"
                )
    result = conclude(planning)
    show_sizes(result["sizes"], settings.time)
    print_findings(explain(result), result["charts"])
    console.print(
        f"train the likeliest size, {result['likeliest']}: "
        f"{config_command(result['config'], settings)}",
        soft_wrap=True,
    )
    return print_result(result, given.json)


def show_sizes(sizes: Sequence[Figures], time: str) -> None:
    """Print what is predicted for each size in that time."""
    rows = [
        (
            size["size"],
            *(f"{size[name]:,}" for name in ("parameters", "steps", "tokens")),
            f"{size['epochs']:.1f}",
            f"{size['bits_per_byte']:.3f}",
            f"{size['low']:.3f}–{size['high']:.3f}",
            f"{size['chance_of_best']:.0%}",
        )
        for size in sizes
    ]
    columns = ("size", "parameters", "steps", "tokens", "epochs", "bits per byte")
    console.print(f"\npredicted for a run of {time}", style="bold")
    print_table((*columns, "90 % interval", "best"), rows, left=(), on=console)


def distill(arguments: list[str]) -> int:
    given = Parser(
        "distill",
        "Train a small model on text and on the predictions of a larger model, its "
        "teacher. The small model uses the tokenizer of its teacher. For comparison, the "
        "same model is also trained without a teacher for the same time. Also takes the "
        "flags of pretrain. To distill without the comparison: xinye pretrain FILES "
        "--teacher MODEL.",
        "xinye distill runs/novel novel.txt --size 1M --time 10min -o runs/small",
        flag("teacher", "MODEL", "a run, or any model's folder", nargs="?"),
        FILES,
        switch("--resume", "resume the distillation in -o"),
        switch("--overwrite", "replace the run in -o"),
        JSON_AT_END,
        Fields(PretrainSettings, without=("teacher", "files")),
    ).read(arguments)
    check_resume(given)
    if "teacher" not in given.settings and not given.resume:
        raise XinyeError("give the teacher, then the text: xinye distill runs/novel novel.txt")
    if not given.resume and "from" not in given.settings:
        given.settings.setdefault("size", "1M")
    settings = pretrain_settings(given)

    from xinye.studies.compare import distill, explain_distillation

    stopped = "stopped; resume with: xinye distill --resume and the same -o"
    with Display() as display, exit_when_stopped(stopped):
        result = distill(settings, display, given.overwrite, given.resume)
    rows = [
        (
            model["role"],
            f"{model['parameters']:,}",
            f"{model['bits_per_byte']:.3f}",
            f"{model['tokens_per_second']:,.0f}",
            f"{model['steps']:,}" if "steps" in model else "",
            duration(model["seconds"]) if "steps" in model else "before",
        )
        for model in result["models"]
    ]
    columns = ("model", "parameters", "bits per byte", "tokens/s", "steps", "trained")
    console.print()
    print_table(columns, rows, on=console)
    print_findings(explain_distillation(result["models"]))
    return print_result(result, given.json)


def tune(arguments: list[str]) -> int:
    of_a_task = any(argument.partition("=")[0] == "--task" for argument in arguments)
    of_task = (
        BASE,
        flag("--time", "DURATION", "stop starting trials after this time (30min)", "30min"),
        task_flag("the task to learn"),
        Fields(FinetuneSettings, without=("model", "task", "evaluations", "steps", "total_steps")),
    )
    of_text = (FILES, Fields(PretrainSettings, without=("files", "evaluations")))
    given = Parser(
        "tune",
        "Search for better settings than the default plan's: learning rates, "
        "depth, batch size, weight decay, dropout. The same command resumes a "
        "stopped study. Also takes the flags of pretrain: --time limits the whole "
        "study (30min), --steps, --tokens and --epochs limit each trial; settings "
        "that you give are not searched. With --task, it tunes fine-tuning: "
        "method, learning rates, rank, epochs, dropout, masked tokens, attention; "
        "then it takes a model and the flags of finetune (xinye tune --task "
        "classify --help).",
        "xinye tune novel.txt --size 1M --trials 20 --time 30min -o runs/tune\n"
        "  xinye tune runs/novel --task classify --data reviews.csv --time 30min -o "
        "runs/tune-reviews",
        flag("--trials", "N", "total number of trials (20)", 20, type=int),
        switch("--overwrite", "replace the study in -o"),
        JSON_AT_END,
        *(of_task if of_a_task else of_text),
    ).read(arguments)

    need("tuning", "optuna")
    from xinye.studies.tune import begin, conclude, explain, run_trials

    with Brief() as display:
        search = search_of(given, of_a_task)
        tuning = begin(search, given.trials, display, given.overwrite)
        console.print(
            f"study in {search.output}: {plural(given.trials, 'trial')}, "
            f"{search.words()}; trial 0 uses the default settings",
            soft_wrap=True,
        )
        with exit_when_stopped("stopped; the same command resumes it"):
            for trial in run_trials(tuning, display):
                state, spent = shown_word(trial["state"]), shown(duration(trial["seconds"]))
                spent = f"{set_cell_size(state, 11)} {spent:>10}  "
                show_trial(trial, search.figure, spent)
            result = conclude(tuning, display)
    console.print("\nthe best trials", style="bold")
    for trial in result["top"]:
        show_trial(trial, search.figure)
    print_findings(explain(result, search.figure), result["charts"])
    console.print(f"train with the settings of the best trial: {result['command']}", soft_wrap=True)
    return print_result(result, given.json)


def show_trial(trial: Figures, figure: Figure, spent: str = "") -> None:
    """Print one line: the trial, its result, how long it took, and its settings."""
    value = figure.written(trial[figure.name]) if trial[figure.name] else "–"
    line = f"{trial['trial']:>4}  {value:>6}  {spent}{settings_line(trial['settings'])}"
    console.print(line, soft_wrap=True)


def search_of(given: Given, of_a_task: bool) -> "Search":
    """The search for settings of pretraining or of a task. The task `text` is pretraining."""
    from xinye.studies.search_space import PretrainSearch, TaskSearch

    if not of_a_task:
        given.settings.setdefault("size", "1M")
        return PretrainSearch(pretrain_settings(given))
    given.settings.setdefault("output", f"runs/tune-{given.settings['task']}")
    settings = finetune_settings(given)
    if of_records(settings):
        return TaskSearch(settings, given.time)
    if settings.epochs is not None:
        raise XinyeError(
            f"--task {settings.task}: --time limits how much each trial reads; leave --epochs out"
        )
    return PretrainSearch(settings.as_pretraining().model_copy(update={"time": given.time}))


def settings_line(settings: Figures) -> str:
    """Settings with their values, rounded to three digits."""
    words = []
    for name, value in settings.items():
        if isinstance(value, float):
            words.append(f"{name} {value:.3g}")
        else:
            words.append(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return "  ".join(words)
