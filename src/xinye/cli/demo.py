"""`xinye demo`"""

import locale
import os
from dataclasses import asdict
from pathlib import Path
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError

if TYPE_CHECKING:  # it brings torch
    from xinye.training.training_run import Run

TOLD = 100  # stories that are checked at the end
FEW = 60  # good ones of them: fewer want an explanation

WORDS = {
    "en": {
        "begin": "A GPT that knows nothing will read stories of a small world for about {time}. Watch it learn.",
        "own": "A GPT that knows nothing will read your text for about {time}. Watch it learn.",
        "now": "What it writes now:",
        "known": "{good} of {count} of its stories are consistent and new: what was lost is what is found, who "
        "left is who returns, and none of them was in the {stories:,} it read.",
        "fault": "What goes wrong when it goes wrong: {fault}",
        "few": "That is few. {steps:,} steps of {each:.2f} s were taken in the time there was{busy}; {enough} suffice. "
        "Try: xinye demo --time {time}",
        "busy": ", and other programs were at work: end them, if you can",
        "lies": "{parameters:,} parameters, {seconds:.0f} s of training, {bits:.3f} bits per byte of text it had not "
        "seen. The run lies in {run}",
        "try": "What to try next:",
    },
    "zh": {
        "begin": "一个什么都不会的 GPT，马上要读一个小小世界里的短故事，大约 {time}。看它怎样学会写字。",
        "own": "一个什么都不会的 GPT，马上要读你的文字，大约 {time}。看它怎样学会写字。",
        "now": "它现在这样写：",
        "known": "它讲的 {count} 个故事里，{good} 个前后一致，而且是新的：丢了什么就找到什么，谁走了就是谁回来，"
        "读过的 {stories:,} 个故事里一个也没有它们。",
        "fault": "出错的时候是这样错的：{fault}",
        "few": "不算多。这段时间里只训练了 {steps:,} 步，每步 {each:.2f} 秒{busy}；{enough} 步就够了。"
        "试试：xinye demo --language zh --time {time}",
        "busy": "，而且别的程序也在占用处理器：能关就先关掉",
        "lies": "{parameters:,} 个参数，训练 {seconds:.0f} 秒；没读过的文字，每字节 {bits:.3f} 比特。运行结果在 {run}",
        "try": "接下来可以试：",
    },
}


def main(arguments: list[str]) -> int:
    began = clock()
    parser = Parser(
        "demo",
        "Train a small GPT from scratch for about a minute and read what it writes: on stories of a small world, "
        "whose rules\nare known, or on a text of your own. With --task: teach one to classify, tag or chat.",
        "xinye demo --language zh\n  xinye demo --task classify --language zh\n  xinye demo 我的小说.txt --time 2min",
    )
    parser.add_argument(
        "file", nargs="*", default=[], metavar="FILE", help="your own text instead of the stories"
    )
    parser.add_argument(
        "--language", default=None, metavar="zh|en", help="of stories and words (from the locale)"
    )
    parser.add_argument(
        "--task", default=None, metavar="classify|tag|chat", help="show how a task is learned"
    )
    parser.add_argument(
        "--time",
        default=None,
        metavar="TIME",
        help="how long to train (45s to 2min, as the machine needs)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=None,
        metavar="DIR",
        help="the run's folder (runs/demo-…)",
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    values = parser.values(arguments)
    language, files = values["language"] or locale_language(), values["file"]
    if language not in WORDS:
        raise XinyeError(f"--language {language!r} is neither zh nor en")
    if values["task"]:
        return of_task(values, language)
    words = WORDS[language]
    output = values["output"] or Path("runs") / (
        f"demo-{Path(files[0]).stem}" if files else f"demo-{language}"
    )

    from xinye.cli.output import Display, console, print_json
    from xinye.demo.demo import STORIES, demo, suitable_time, tell

    with Display(show_plan=False) as display:
        time = values["time"] or suitable_time(files, language, display)
        console.print(words["own" if files else "begin"].format(time=time), style="bold")
        run = demo(
            files,
            language,
            time,
            output,
            display,
            values["output"] is None,
            began if values["time"] else None,
        )
    if run.interrupted:
        console.print(
            f"stopped after step {run.steps:,}; what it learned so far lies in {run.run}; "
            f"go on with: xinye pretrain -o {run.run} --resume",
            soft_wrap=True,
        )
        return 130
    result = {name: value for name, value in asdict(run).items() if name != "interrupted"}
    console.print(f"\n{words['now']}", style="bold")
    if files:
        from xinye.api import load

        texts = load(output).generate("", n=2, max_tokens=150, seed=1)
        result |= {"texts": texts}
    else:
        told = tell(output, language, TOLD)
        texts = [
            text for text, fault in zip(told.texts, told.faults, strict=True) if fault is None
        ][:3] or told.texts[:3]
        result |= {"texts": texts, "stories": {"told": TOLD, "consistent_and_new": told.good}}
    for text in texts:
        console.print(f"\n  {text}")
    console.print()
    if not files:
        console.print(
            words["known"].format(good=told.good, count=TOLD, stories=STORIES), style="bold green"
        )
        faults = [fault for fault in told.faults if fault is not None]
        if faults:
            console.print(words["fault"].format(fault=min(faults, key=len)), style="dim")
        if told.good < FEW:
            console.print(few(words, run), style="yellow")
    console.print(
        words["lies"].format(
            parameters=run.parameters,
            seconds=run.seconds,
            bits=run.validation["bits_per_byte"],
            run=run.run,
        )
    )
    console.print(f"\n{words['try']}", style="bold")
    prompt = (
        {"zh": "小兔豆豆", "en": "Pip the mouse"}[language] if not files else texts[0].strip()[:4]
    )
    for command in (
        f'xinye generate {run.run} "{prompt}" -n 3',
        f"xinye demo --language {'en' if language == 'zh' else 'zh'}",
        "xinye pretrain YOUR.txt --size 5M --time 10min -o runs/mine",
    ):
        console.print(f"  {command}")
    if values["json"]:
        print_json(result)
    return 0


def few(words: dict[str, str], run: "Run") -> str:
    """Why so few stories are good, and what to do."""
    from xinye.demo.demo import ENOUGH
    from xinye.machine import usable_cores
    from xinye.planning.plan import short_time

    busy = words["busy"] if os.getloadavg()[0] > 1.5 * usable_cores() else ""
    each = run.seconds / max(1, run.steps)
    longer = short_time(1.3 * each * (ENOUGH if run.steps < ENOUGH else 2 * run.steps))
    return words["few"].format(steps=run.steps, each=each, busy=busy, enough=ENOUGH, time=longer)


def of_task(values: dict[str, Any], language: str) -> int:
    from xinye.cli.demo_tasks import YOURS, main

    if values["task"] not in YOURS:
        raise XinyeError(f"--task {values['task']!r}: choose one of {', '.join(YOURS)}")
    if odd := next((name for name in ("file", "time") if values[name]), None):
        what = (
            "your own records: xinye finetune"
            if odd == "file"
            else "its steps have their own times"
        )
        raise XinyeError(
            f"{'FILE' if odd == 'file' else '--time'} has no effect with --task; {what}"
        )
    return main(values["task"], language, values["output"], values["json"])


def locale_language() -> str:
    """`zh` where the environment's language is Chinese, else `en`."""
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    name = next((name for name in names if name), "") or (locale.getlocale()[0] or "")
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"
