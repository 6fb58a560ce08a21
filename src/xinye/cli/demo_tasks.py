"""`xinye demo --task …`: from a file of records to an evaluated model, each step with its command.
The demo imports this only if needed, because it imports torch.
"""

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from xinye.api import Model, load
from xinye.cli.answer import show
from xinye.cli.demo_steps import show_step
from xinye.cli.evaluate import show_measured
from xinye.cli.output import Display, answer, console, print_result, print_table, verbatim, write
from xinye.cli.refusal import show_refused
from xinye.demo import demo_tasks as recipe
from xinye.demo.demo_tasks import Lesson, exercise_of, with_exercises
from xinye.demo.words import TASKS
from xinye.errors import quoted
from xinye.planning.command_line import command_line
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.runs.folder import Figures
from xinye.runs.words import in_language
from xinye.tasks.registry import find_text_task

STEPS = 5


def main(task: str, records: str | None, language: str, output: Path | None, as_json: bool) -> int:
    begin, ours = time.monotonic(), output is None
    exercise, said = exercise_of(task, records), find_text_task(task).words
    words = in_language({**TASKS, **exercise.words}, language)
    folder = output or Path("runs") / "-".join(filter(None, ("demo", task, records, language)))

    console.print(getattr(exercise.begin, language), style="bold")
    lesson = recipe.prepare(task, language, folder, ours, records)
    counts = {
        "training": len(lesson.training),
        "held_out": len(lesson.held_out),
        "texts": lesson.texts,
        "times": exercise.base_epochs,
    }
    training, test = lesson.files["training"], lesson.files["test"]
    show_step(
        1,
        STEPS,
        (words["records"] + getattr(exercise.asked, language)).format(**counts),
        f"xinye data check {quoted(training)} --task {task} --validation {quoted(test)}",
    )
    for row in lesson.training[:3]:
        console.print(verbatim(f"  {exercise.line(row)}"))

    pretraining = command_line("pretrain", recipe.base_settings(lesson))
    show_step(2, STEPS, words["base"].format(**counts), shlex.join(pretraining))
    with Display(show_plan=False) as display:
        base = recipe.pretrain_base(lesson, display, ours)
    if base.interrupted:
        return 128 + base.interrupted
    teaching = command_line("finetune", recipe.task_settings_of(lesson))
    show_step(3, STEPS, words["teach"].format(**counts), shlex.join(teaching))
    with Display(show_plan=False, counted=said.unit) as display:
        run = recipe.teach(lesson, display, ours)
    if run.interrupted:
        return 128 + run.interrupted
    model = load(run.run)
    show_step(
        4,
        STEPS,
        words["judge"].format(**counts, baseline=getattr(exercise.baseline, language)),
        f"xinye evaluate {quoted(run.run)} --data {quoted(test)}",
    )
    with Display() as display:
        judged = model.evaluate_task(test, observer=display)
    show_measured(said.figures, judged)
    command, tried = try_new(model, lesson, words)
    seconds = time.monotonic() - begin
    console.print(f"\n{words['lies'].format(seconds=seconds, run=run.run)}\n")
    console.print(words["try"], style="bold")
    console.print("\n".join(f"  {line}" for line in (command, *further(lesson))), soft_wrap=True)
    return print_result(
        {"task": task, "run": run.run, "base": base.run, **judged, **tried}, as_json
    )


def further(lesson: Lesson) -> list[str]:
    """Commands to try after the demo."""
    training, base, lora = map(
        quoted, (lesson.files["training"], f"{lesson.folder}/base", f"{lesson.folder}/lora")
    )
    later = next(name for name in reversed(with_exercises()) if name != lesson.task)
    other = {"zh": "en", "en": "zh"}[lesson.language]
    same = f" --set {lesson.records}" if lesson.records else ""
    return [
        f"xinye finetune {base} --task {lesson.task} --data {training} --method lora -o {lora}",
        f"xinye demo --task {later} --language {lesson.language}",
        f"xinye demo --task {lesson.task}{same} --language {other}",
    ]


def try_new(model: Model, lesson: Lesson, words: dict[str, str]) -> tuple[str, Figures]:
    """Print what a model makes of new records. Returns the command for that, and the results for
    JSON.
    """
    exercise, folder = lesson.exercise, quoted(model.folder)
    command = find_text_task(lesson.task).words.command.replace("{folder}", folder)
    if exercise.questions:
        show_step(5, STEPS, words["talk"], command)
        questions = [getattr(question, lesson.language) for question in exercise.questions]
        return command, {"messages": talk(model, lesson, questions)}
    build: list[str] = []
    if lesson.documents:
        documents, knowledge = map(quoted, lesson.knowledge)
        training = quoted(lesson.files["training"])
        build = [
            f"xinye knowledge build {documents} -o {knowledge}",
            f"xinye knowledge calibrate {knowledge} {training} --precision {recipe.PRECISION}",
        ]
        command = f'xinye {lesson.task} {folder} "…" --knowledge {knowledge}'
    typed = (exercise.typed or exercise.input)(lesson.new[0])
    show_step(5, STEPS, words["use"], *build, command.replace("…", typed))
    if lesson.documents:
        return command, {"results": look_up(model, lesson)}
    return command, {"results": try_out(model, lesson, words["wrong"])}


def talk(model: Model, lesson: Lesson, questions: Sequence[str]) -> list[dict[str, str]]:
    """Ask a model several questions in one conversation and print its answers. Returns the
    messages.
    """
    messages = lesson.new[0]["messages"][:1]
    for question in questions:
        answer.print(verbatim(f">>> {question}"), soft_wrap=True)
        messages = [*messages, {"role": "user", "content": question}]
        reply = write(model.stream_chat(messages, temperature=0))
        messages = [*messages, {"role": "assistant", "content": reply}]
    return messages


def look_up(model: Model, lesson: Lesson) -> list[Figures]:
    """Print the answers to new questions from a knowledge base of the documents, each with its
    sentence and source, or why there is none. Returns them for JSON.
    """
    knowledge = recipe.build_knowledge(lesson)
    show_looked_up(model, knowledge, lesson)
    answers = []
    for row in lesson.new:
        found = model.answer(row["question"], knowledge=knowledge)
        answer.print(verbatim(f">>> {found.question}"), soft_wrap=True)
        if found.refused:
            show_refused(found.refused)
        else:
            show(found)
        answers.append(asdict(found))
    return answers


def show_looked_up(model: Model, knowledge: KnowledgeBase, lesson: Lesson) -> None:
    """Print how well the test questions are answered from the documents, next to the sentence of
    the first passage that shares most with the question.
    """
    figures = model.evaluate_task(str(lesson.files["test"]), knowledge=knowledge)
    answers = {
        "this model": figures["measured"],
        "best sentence of the first passage": figures["baseline"],
    }
    heads = {"f1": "F1", "answered": "answered", "refused_rightly": "rightly refused"}
    shares = [each for each in heads if all(each in row for row in answers.values())]
    cells = [(name, *(f"{row[each]:.1%}" for each in shares)) for name, row in answers.items()]
    print_table(("test questions, from all documents", *(heads[each] for each in shares)), cells)
    answer.print()


def try_out(model: Model, lesson: Lesson, wrong: str) -> list[Figures]:
    """Print a model's results for new texts, next to the right ones. Returns them for JSON."""
    exercise = lesson.exercise
    assert exercise.answered is not None
    texts = [exercise.input(row) for row in lesson.new]
    results = [
        model.use(lesson.task, text, **exercise.settings(row))
        for row, text in zip(lesson.new, texts, strict=True)
    ]
    for row, found in zip(lesson.new, results, strict=True):
        answered, sure = exercise.answered(row, found)
        said, right = exercise.line(answered), exercise.line(row)
        line = f"  {said} {sure}".rstrip()
        if said != right:
            line += wrong.format(right=row.get("label", right))
        console.print(verbatim(line))
    return [{"text": text, "found": found} for text, found in zip(texts, results, strict=True)]
