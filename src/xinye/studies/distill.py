"""Distill: a small model learns from a larger one's predictions, and is compared with one that learns from text alone.

Train the student with its teacher; train the same network without, on the same text for as many seconds, those of the
teacher's reading included; judge all three on the text held back, and measure how fast they write.
"""

import time
from pathlib import Path
from typing import Any

from xinye import machine
from xinye.checkpoints.huggingface import write_json
from xinye.checkpoints.load import load_model
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.bits_per_byte import evaluate
from xinye.generation.generate import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.planning.models import Models, load_models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.run_folder import default_output, saved_settings
from xinye.studies.rehearsal import NO_BUDGET, finished_run
from xinye.tasks.text import prepare_text
from xinye.training.pretrain import pretrain
from xinye.watcher import Watcher

TEACHER, STUDENT, ALONE = "teacher", "student", "student alone"


def distill(
    settings: PretrainSettings, watcher: Watcher, overwrite: bool = False, resume: bool = False
) -> dict[str, Any] | None:
    """Train, compare and tell: the student is the run in `settings.output`, the other lies in `without-teacher` there,
    the figures in `distillation.json`. None when interrupted; then it goes on with `resume`.
    """
    output = settings.output or default_output(settings)
    settings = begun(output, settings) if resume else settings.model_copy(update={"output": output})
    watcher.stage("the student, with its teacher")
    if not resume:
        run = pretrain(settings, watcher, overwrite)
        if run is None or run.interrupted:
            return None
    student = finished_run(settings, watcher)
    if student is None:
        return None
    watcher.stage("the same without its teacher, for as long")
    alone = finished_run(without_teacher(settings, output, student), watcher)
    if alone is None:
        return None
    watcher.stage("judging all three on the same text")
    result = {
        "text": list(settings.files),
        "models": judge(settings, load_models(settings), student, alone),
    }
    write_json(output / "distillation.json", result)
    return result


def begun(output: Path, asked: PretrainSettings) -> PretrainSettings:
    """The settings that a distillation was begun with; what is asked for may only say the same again."""
    path = output / "training" / "settings.json"
    if not path.is_file() or "teacher" not in (given := read_json(path).get("settings", {})):
        raise XinyeError(f"{output}: there is no distillation to resume")
    saved_settings(output, asked)
    again = {name: value for name, value in asked.model_dump(exclude_unset=True).items() if value}
    return checked(PretrainSettings, given | again, str(path))


def without_teacher(
    settings: PretrainSettings, output: Path, student: dict[str, Any]
) -> PretrainSettings:
    """The same student alone, for as many seconds of training, validating and saving as it took with its teacher."""
    outside = ("compiling the decoder", "training")  # no part of a budget, and counted by steps
    aside = sum(spent for name, spent in student["time_seconds"].items() if name not in outside)
    values = settings.model_dump(
        exclude_unset=True, exclude={"teacher", "temperature", "alpha", *NO_BUDGET}
    )
    values |= {"output": output / "without-teacher", "time": f"{student['seconds'] + aside:.2f}s"}
    return checked(
        PretrainSettings,
        values if settings.from_ else values | {"tokenizer": str(output)},
        "distill",
    )


def judge(
    settings: PretrainSettings, models: Models, student: dict[str, Any], alone: dict[str, Any]
) -> list[dict[str, Any]]:
    """The figures of all three, on the same windows of the text held back."""
    assert models.teacher is not None and models.tokenizer is not None
    text = prepare_text(settings, Plan(), Watcher(), models)
    figures = []
    trained = {STUDENT: student, ALONE: alone}
    for role in (TEACHER, STUDENT, ALONE):
        model = models.teacher if role == TEACHER else load_model(trained[role]["run"])[0]
        model = model.to(machine.device())
        judged = evaluate(model, text.validation.in_order(8), models.tokenizer.token_lengths)
        own = (
            {name: trained[role][name] for name in ("run", "steps", "tokens", "seconds")}
            if role in trained
            else {}
        )
        figures.append(
            {
                "role": role,
                "run": settings.teacher,
                "parameters": model.config.parameters,
                "bits_per_byte": round(judged["bits_per_byte"], 5),
                "loss": round(judged["loss"], 5),
                "tokens_per_second": round(writing_speed(model, models.tokenizer), 1),
                **own,
            }
        )
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
        f"At equal time the teacher {'gains' if gain > 0 else 'costs'} {abs(gain):.3f} bits per byte; its reading "
        f"leaves {student['steps']:,} steps where {alone['steps']:,} fit without it."
    ]
    if gain <= 0:
        sentences.append(
            "A step with the teacher costs more than one without; where time is short, plain training is better."
        )
    sentences.append(
        f"The student has 1/{teacher['parameters'] / student['parameters']:.1f} of its teacher's parameters, writes "
        f"{student['tokens_per_second'] / teacher['tokens_per_second']:.1f} times as fast, and is "
        f"{abs(lost):.3f} bits per byte {'behind' if lost > 0 else 'ahead'}."
    )
    return sentences
