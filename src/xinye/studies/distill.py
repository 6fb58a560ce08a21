"""Distill: a small model learns from a larger one's predictions, and is compared with one without.

Train the student with its teacher; train the same network without, on the same text for as many
seconds, those of the teacher's reading included; evaluate all three on the text held back, and
measure how fast they write.
"""

import time
from pathlib import Path
from typing import Any

from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.data.files import write_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.bits_per_byte import evaluate
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.observer import Observer
from xinye.planning.models import load_models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.runs.resume import saved_settings
from xinye.runs.start import default_output
from xinye.studies.shared import NO_BUDGET, finished_run, train
from xinye.tasks.text import prepare_text


def distill(
    settings: PretrainSettings, observer: Observer, overwrite: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Train and compare: the student is the run in `settings.output`, the other one is in its
    folder `without-teacher`, the figures are in `distillation.json`.

    Raises `KeyboardInterrupt` when it was stopped; then it goes on with `resume`.
    """
    output = settings.output or default_output(settings)
    observer.stage("the student, with its teacher")
    if resume:
        settings = begun(output, settings)
    else:
        settings = settings.model_copy(update={"output": output})
        train(settings, observer, overwrite)
    student = finished_run(settings, observer)
    observer.stage("the same without its teacher, for as long")
    alone = finished_run(without_teacher(settings, output, student), observer)
    observer.stage("judging all three on the same text")
    result = {"text": list(settings.files), "models": judge(settings, student, alone)}
    write_json(output / "distillation.json", result)
    return result


def begun(output: Path, asked: PretrainSettings) -> PretrainSettings:
    """The settings that a distillation was begun with; what is asked for may only say the same."""
    run = RunFolder(output)
    given = run.about().get("settings", {}) if run.exists else {}
    if "teacher" not in given:
        raise XinyeError(f"{output}: there is no distillation to resume")
    saved_settings(output, asked)
    asked_again = asked.model_dump(exclude_unset=True)
    again = {name: value for name, value in asked_again.items() if value} | {"output": output}
    return checked(PretrainSettings, given | again, str(output))


def without_teacher(
    settings: PretrainSettings, output: Path, student: dict[str, Any]
) -> PretrainSettings:
    """The same student alone, for as many seconds of training, validating and saving as it took
    with its teacher."""
    spent = student["time_seconds"]
    outside = ("compiling the decoder", "training")  # no part of a budget, and counted by steps
    aside = sum(spent[name] for name in spent if name not in outside)
    without = {"teacher", "temperature", "alpha", *NO_BUDGET}
    values = settings.model_dump(exclude_unset=True, exclude=without)
    values |= {"output": output / "without-teacher", "time": f"{student['seconds'] + aside:.2f}s"}
    if not settings.from_:
        values["tokenizer"] = str(output)
    return checked(PretrainSettings, values, "distill")


def judge(
    settings: PretrainSettings, student: dict[str, Any], alone: dict[str, Any]
) -> list[dict[str, Any]]:
    """The figures of all three, on the same windows of the text held back."""
    models = load_models(settings)
    assert models.teacher is not None and models.tokenizer is not None
    validation = prepare_text(settings, Draft(), Observer(), models).validation
    figures: list[dict[str, Any]] = []
    for role, trained in {"teacher": None, "student": student, "student alone": alone}.items():
        model = load_model(trained["run"])[0] if trained else models.teacher
        model = model.to(machine.device())
        judged = evaluate(model, validation.in_order(8), models.tokenizer.token_lengths)
        row = {
            "role": role,
            "run": settings.teacher,
            "parameters": model.config.parameters,
            "bits_per_byte": round(judged["bits_per_byte"], 5),
            "loss": round(judged["loss"], 5),
            "tokens_per_second": round(writing_speed(model, models.tokenizer), 1),
        }
        if trained:
            row |= {name: trained[name] for name in ("run", "steps", "tokens", "seconds")}
        figures.append(row)
    return figures


def writing_speed(model: LanguageModel, tokenizer: Tokenizer) -> float:
    """Tokens per second when one text is written."""
    best = 0.0
    for _ in range(2):  # the first warms up
        sampling = Sampling(max_tokens=64, seed=0)
        sequence = start(tokenizer, "", model.config.max_position_embeddings, sampling)
        begin = time.perf_counter()
        for _ in generate(model, tokenizer, [sequence]):
            pass
        best = max(best, sequence.completion_tokens / (time.perf_counter() - begin))
    return best


def explain(models: list[dict[str, Any]]) -> list[str]:
    """What the figures say, in sentences."""
    teacher, student, alone = models
    gain = alone["bits_per_byte"] - student["bits_per_byte"]
    lost = student["bits_per_byte"] - teacher["bits_per_byte"]
    sentences = [
        f"At equal time the teacher {'gains' if gain > 0 else 'costs'} {abs(gain):.3f} bits per "
        f"byte; its reading leaves {student['steps']:,} steps where {alone['steps']:,} fit without "
        "it."
    ]
    if gain <= 0:
        sentences.append(
            "A step with the teacher costs more than one without; where time is short, plain "
            "training is better."
        )
    faster = student["tokens_per_second"] / teacher["tokens_per_second"]
    sentences.append(
        f"The student has 1/{teacher['parameters'] / student['parameters']:.1f} of its teacher's "
        f"parameters, writes {faster:.1f} times as fast, and is {abs(lost):.3f} bits per byte "
        f"{'behind' if lost > 0 else 'ahead'}."
    )
    return sentences
