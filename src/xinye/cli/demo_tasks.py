"""`xinye demo --task …`: the way from a file of records to a model that was measured, each step with its command."""

import time
from pathlib import Path
from typing import Any

WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "begin": {
            "classify": "A GPT will learn to tell good reviews of a tea shop from bad ones.",
            "tag": "A GPT will learn to find people, places and companies in the notes of a tea shop.",
            "chat": "A GPT will learn to answer the customers of a tea shop.",
        },
        "records": "{training:,} records to learn from and {held_out:,} to judge on, made by a generator: a world so "
        "small that a small model can learn it in a minute. None is in both files.",
        "asked": "Each of the {held_out:,} asks something in words that no other record has.",
        "base": "A base first reads {texts:,} texts of the shop, {times} times and without labels; the {held_out:,} "
        "are not among them.",
        "teach": "It learns the task from the {training:,} records, of which a tenth is kept to judge it on the way.",
        "judge": "It is judged on the {held_out:,} records that were kept away, beside {baseline}.",
        "baseline": {
            "classify": "what counting words can do (TF-IDF + logistic regression on the same records)",
            "tag": "the most frequent tag of the same words",
            "chat": "the base as it was",
        },
        "use": "What it says of three new texts:",
        "talk": "Three questions in one conversation; the last two go on from the one before:",
        "wrong": "   (generated as {right})",
        "lies": "{seconds:.0f} s in all. The model lies in {run}, its report in {run}/report.html",
        "try": "What to try next:",
    },
    "zh": {
        "begin": {
            "classify": "一个 GPT 要学会分辨茶铺的好评和差评。",
            "tag": "一个 GPT 要学会在茶铺的便条里找出人名、地名和店名。",
            "chat": "一个 GPT 要学会回答茶铺顾客的问题。",
        },
        "records": "{training:,} 条记录用来学，{held_out:,} 条用来评判，都由程序生成：世界很小，小模型一分钟就能学会。"
        "两个文件里没有相同的记录。",
        "asked": "这 {held_out:,} 条里，每一条都有别处没有过的问法。",
        "base": "先让一个底座读茶铺的 {texts:,} 段文字，没有标签，读 {times} 遍；那 {held_out:,} 条不在其中。",
        "teach": "它从 {training:,} 条记录学这个任务，留出十分之一，一路上评判自己。",
        "judge": "用没见过的 {held_out:,} 条来评判，旁边是{baseline}。",
        "baseline": {
            "classify": "数词的办法（同样的记录，TF-IDF 加逻辑回归）",
            "tag": "字面相同的词最常见的标签",
            "chat": "没学过这个任务的底座",
        },
        "use": "三段新文字，它这样看：",
        "talk": "一次对话里的三个问题，后两个要接着前面的话：",
        "wrong": "   （生成时是{right}）",
        "lies": "一共 {seconds:.0f} 秒。模型在 {run}，报告在 {run}/report.html",
        "try": "接下来可以试：",
    },
}
QUESTIONS = {
    "en": ["What does the oolong cost?", "And white tea?", "Can I send it back?"],
    "zh": ["你好，乌龙茶一斤多少钱？", "那白茶呢？", "拆开了还能退吗？"],
}
YOURS = {
    "classify": 'xinye classify {run} "{text}"',
    "tag": 'xinye tag {run} "{text}"',
    "chat": "xinye chat {run}",
}


def main(task: str, language: str, output: Path | None, as_json: bool) -> int:
    from rich.text import Text

    from xinye.api import load
    from xinye.cli.output import Display, answer, console, print_json, write
    from xinye.cli.tasks import show_measured
    from xinye.demo import demo_tasks as recipe

    begin, words, ours = time.monotonic(), WORDS[language], output is None
    folder = output or Path("runs") / f"demo-{task}-{language}"
    steps = iter(range(1, 6))

    def step(what: str, command: str) -> None:
        console.print(f"\n{next(steps)}/5  {what}", style="bold", soft_wrap=not console.is_terminal)
        console.print(f"     {command}\n", style="green", soft_wrap=True)

    console.print(words["begin"][task], style="bold")
    exercise = recipe.prepare(task, language, folder, ours)
    counts: dict[str, Any] = {
        "training": len(exercise.training),
        "held_out": len(exercise.held_out),
    }
    counts |= {"texts": exercise.texts, "times": recipe.TIMES_READ}
    space = " " * (language == "en")
    told = words["records"].format(**counts) + (
        space + words["asked"].format(**counts) if task == "chat" else ""
    )
    step(
        told,
        f"xinye data check {exercise.files['training']} --task {task} --validation {exercise.files['test']}",
    )
    for record in exercise.training[:3]:
        console.print(Text(f"  {shown(task, record)}"), soft_wrap=not console.is_terminal)

    step(
        words["base"].format(**counts),
        recipe.command("pretrain", recipe.base_settings(task, exercise)),
    )
    with Display(show_plan=False) as display:
        base = recipe.pretrain_base(task, exercise, display, ours)
    if base.interrupted:
        return 128 + base.interrupted
    step(
        words["teach"].format(**counts),
        recipe.command("finetune", recipe.task_settings(task, exercise)),
    )
    with Display(show_plan=False, counted="labels" if task != "chat" else "tokens") as display:
        run = recipe.teach(task, exercise, display, ours)
    if run.interrupted:
        return 128 + run.interrupted
    model = load(run.run)
    told = words["judge"].format(**counts, baseline=words["baseline"][task])
    step(told, f"xinye evaluate {run.run} --data {exercise.files['test']}")
    with Display() as display:
        judged = model.evaluate_task(exercise.files["test"], watcher=display)
    show_measured(judged["measured"], judged["baseline"])
    result: dict[str, Any] = {"task": task, "run": run.run, "base": base.run, **judged}

    new = [record["text"] for record in exercise.new if task != "chat"]
    command = YOURS[task].format(run=run.run, text=new[0] if new else "")
    step(words["talk" if task == "chat" else "use"], command)
    if task == "chat":
        messages = exercise.new[0]["messages"][:1]
        for question in QUESTIONS[language]:
            answer.print(f">>> {question}", soft_wrap=True)
            messages = [*messages, {"role": "user", "content": question}]
            reply = write(model.stream_chat(messages, temperature=0))
            messages = [*messages, {"role": "assistant", "content": reply}]
        result["messages"] = messages
    else:
        results = model.classify(new) if task == "classify" else model.tag(new)
        for record, found in zip(exercise.new, results, strict=True):
            said = shown(
                task,
                record | ({"label": found["label"]} if task == "classify" else {"spans": found}),
            )
            certain = f" {found['probability']:.1%}" if task == "classify" else ""
            right = shown(task, record)
            wrong = "" if said == right else words["wrong"].format(right=record.get("label", right))
            console.print(Text(f"  {said}{certain}{wrong}"))
        result["results"] = [
            {"text": text, "found": found} for text, found in zip(new, results, strict=True)
        ]
    seconds = time.monotonic() - begin
    console.print(f"\n{words['lies'].format(seconds=seconds, run=run.run)}")
    console.print(f"\n{words['try']}", style="bold")
    other = {"zh": "en", "en": "zh"}[language]
    later = next(name for name in ("chat", "tag", "classify") if name != task)
    for line in (
        YOURS[task].format(run=run.run, text="…"),
        f"xinye finetune {base.run} --task {task} --data {exercise.files['training']} --method lora -o {folder}/lora",
        f"xinye demo --task {later} --language {language}",
        f"xinye demo --task {task} --language {other}",
    ):
        console.print(f"  {line}", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0


def shown(task: str, record: dict[str, Any]) -> str:
    """A record in a line."""
    if task == "classify":
        return f"{record['text']} → {record['label']}"
    if task == "tag":
        from xinye.evaluation.spans import Span
        from xinye.tasks.tag import marked

        return marked(
            record["text"],
            [Span(span["start"], span["end"], span["type"]) for span in record["spans"]],
        )
    return "  ".join(message["content"] for message in record["messages"][1:])
