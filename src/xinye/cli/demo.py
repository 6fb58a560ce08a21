"""`xinye demo`"""

import os
from dataclasses import asdict
from pathlib import Path
from time import monotonic as clock
from typing import TYPE_CHECKING

from xinye.cli.arguments import JSON_AT_END, Given, Parser, flag
from xinye.cli.output import Display, console, print_result, verbatim
from xinye.demo.words import DEMO, PROMPT
from xinye.errors import XinyeError, quoted
from xinye.language import screen_language
from xinye.runs.folder import Figures
from xinye.runs.saved import read_run
from xinye.runs.words import in_language
from xinye.tasks.registry import TASKS

if TYPE_CHECKING:  # it brings torch
    from xinye.training.job import Run

CHECKED = 100  # stories that are checked at the end
APPLICATIONS = ("support", "monitor", "recommend")
FEW = 60  # below this many good stories, the demo explains why


def main(arguments: list[str]) -> int:
    given = read(arguments)
    language = given.language or screen_language()
    if language not in ("zh", "en"):
        raise XinyeError(f"--language {language!r}: choose zh or en")
    if given.application is not None:
        return demo_of_application(given, language)
    if given.task:
        return demo_of_task(given, language)
    if given.set:
        raise XinyeError("--set has an effect only with --task classify")
    words, files = in_language(DEMO, language), given.files
    folder = given.output or Path("runs") / f"demo-{Path(files[0]).stem if files else language}"

    from xinye.demo.demo import Demo, story_count

    began = clock()  # loading PyTorch is set-up, too, and on a new machine it takes long
    demo = Demo(tuple(files), language)
    with Display(show_plan=False) as display:
        wanted = given.time or demo.suitable_time(display)
        console.print(words["own" if files else "begin"].format(time=wanted), style="bold")
        run = demo.train(
            wanted, folder, display, given.output is None, began if given.time else None
        )
    if run.interrupted:
        console.print(
            f"stopped after step {run.steps:,}; the checkpoint is saved in {run.run}; "
            f"resume with: xinye pretrain -o {quoted(run.run)} --resume",
            soft_wrap=True,
        )
        return 130
    result = asdict(run)
    if files:
        result |= show_text(run, words)
    else:
        result |= show_stories(run, words, language, story_count(wanted))
    del result["interrupted"]
    show_next_steps(result, words, language, bool(files))
    return print_result(result, given.json)


def read(arguments: list[str]) -> Given:
    """What was typed."""
    known = [name for name, entry in TASKS.items() if entry.exercise]
    return Parser(
        "demo",
        "Train a small GPT from scratch for about a minute and print what it writes. By "
        "default it learns from generated short stories; name a FILE to train on your own "
        "text. With --task, it is trained for a task, which takes one to nine minutes. With "
        "--application, a customer-service desk or the board of an opinion monitor opens, or a "
        "bookshop recommends books.",
        "xinye demo --language zh\n  xinye demo --task classify --language zh\n  xinye demo "
        "--application monitor\n  xinye demo 我的小说.txt --time 2min",
        flag(
            "--language",
            "zh|en",
            ("language of the stories and messages (default: from the locale)"),
        ),
        flag("--task", "|".join(known), "train for a task instead"),
        flag("--set", "NAME", "other records for the task classify: emotions instead of reviews"),
        flag(
            "--application",
            "|".join(APPLICATIONS),
            "open the customer-service desk of an invented shop, or the opinion monitor of an "
            "invented market, or recommend the books of an invented bookshop, instead",
        ),
        flag("--time", "DURATION", "how long to train (45s to 2min, depending on the machine)"),
        flag("-o --output", "DIR", "the run's folder (runs/demo-…)", type=Path),
        flag("files", "FILES", "your own text instead of the stories", nargs="*"),
        JSON_AT_END,
    ).read(arguments)


def show_next_steps(result: Figures, words: dict[str, str], language: str, own: bool) -> None:
    """Print where the run is saved, and what to type next."""
    bits = result["validation"]["bits_per_byte"]
    yardstick = read_run(Path(result["run"])).about.data.yardstick
    console.print(words["lies"].format(**result, bits=bits, yardstick=yardstick))
    prompt = getattr(PROMPT, language)
    if own:
        prompt = result["texts"][0].strip()[:4]
    console.print(f"\n{words['try']}", style="bold")
    console.print(
        f'  xinye generate {quoted(result["run"])} "{prompt}" -n 3\n'
        f"  xinye demo --language {'en' if language == 'zh' else 'zh'}\n"
        "  xinye pretrain YOUR.txt --size 5M --time 10min -o runs/mine"
    )


def show_text(run: "Run", words: dict[str, str]) -> Figures:
    """Print what a model writes that was trained on the user's text. Returns it for JSON."""
    from xinye.api import load

    texts = load(run.run).generate("", n=2, max_tokens=150, seed=1)
    show_written(texts, words)
    return {"texts": texts}


def show_stories(run: "Run", words: dict[str, str], language: str, count: int) -> Figures:
    """Print some stories of a model that learned from `count`, and how many are good. Returns both
    for JSON."""
    from xinye.demo.demo import write_stories

    written = write_stories(Path(run.run), language, CHECKED, count)
    good = len(written.good)
    texts = (written.good or written.texts)[:3]
    show_written(texts, words)
    known = words["known"].format(good=good, count=CHECKED, stories=count)
    console.print(known, style="bold green")
    if bad := [text for text in written.texts if text not in written.good]:
        console.print(verbatim(words["fault"].format(story=min(bad, key=len)), style="dim"))
    if good < FEW:
        show_few(words, run)
    return {"texts": texts, "stories": {"told": CHECKED, "consistent_and_new": good}}


def show_written(texts: list[str], words: dict[str, str]) -> None:
    console.print(f"\n{words['now']}", style="bold")
    for text in texts:
        console.print(verbatim(f"\n  {text}"))
    console.print()


def show_few(words: dict[str, str], run: "Run") -> None:
    """Print why so few stories are good, and what to do."""
    from xinye.demo.demo import ENOUGH
    from xinye.machine import usable_cores
    from xinye.planning.pretraining import short_time

    busy = words["busy"] if os.getloadavg()[0] > 1.5 * usable_cores() else ""
    each = run.seconds / max(1, run.steps)
    wanted = ENOUGH if run.steps < ENOUGH else 2 * run.steps
    longer = short_time(1.3 * each * wanted)
    said = words["few"].format(steps=run.steps, each=each, busy=busy, enough=ENOUGH, time=longer)
    console.print(said, style="yellow")


def demo_of_task(given: Given, language: str) -> int:
    from xinye.cli.demo_tasks import main
    from xinye.demo.demo_tasks import exercise_of

    exercise_of(given.task, given.set)
    if given.files:
        raise XinyeError("FILE has no effect with --task; for your own records: xinye finetune")
    if given.time:
        raise XinyeError("--time has no effect with --task: its steps have fixed lengths")
    return main(given.task, given.set, language, given.output, given.json)


def demo_of_application(given: Given, language: str) -> int:
    if given.application not in APPLICATIONS:
        known = ", ".join(APPLICATIONS)
        raise XinyeError(f"--application {given.application!r}: choose one of {known}")
    for value, name in ((given.files, "FILE"), (given.task, "--task"), (given.set, "--set")):
        if value:
            raise XinyeError(f"{name} has no effect with --application")
    if given.application == "monitor":
        from xinye.cli import demo_monitor

        return demo_monitor.main(language, given.output, given.time, given.json)
    if given.time:
        raise XinyeError(f"--time has no effect with --application {given.application}")
    if given.application == "recommend":
        from xinye.cli import demo_recommend

        return demo_recommend.main(language, given.output, given.json)
    from xinye.cli import demo_support

    return demo_support.main(language, given.output, given.json)
