"""Trains several models on the same text with the same budget, and compares them.

`compare` trains architectures with the same tokenizer. Next to loss and speed, it measures the loss
by position: how well the same tokens are predicted from 8, 16, 32 … tokens before them. This shows
the difference between attention, which can look at each of these tokens, and a recurrent state of
fixed size.

`distill` trains a student on the predictions of a larger model, its teacher. Then it trains the
same network without the teacher for as many seconds, including the time that the teacher took. It
evaluates all three models on held-out text, and measures how fast they write.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from xinye.checkpoints.load import load_model
from xinye.data.files import write_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, did_you_mean, plural
from xinye.evaluation.perplexity import by_position
from xinye.evaluation.plots import line, line_chart
from xinye.generation.engine import finish, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.observer import Observer
from xinye.planning.models import load_models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import Figures, RunFolder
from xinye.runs.resume import extension, saved_settings
from xinye.runs.saved import Result, read_run
from xinye.runs.start import default_output
from xinye.studies.shared import (
    NO_BUDGET,
    finished_run,
    judge,
    save_charts,
    train,
)
from xinye.tasks.text import prepare_text

KNOWN = get_args(PretrainSettings.model_fields["architecture"].annotation)


# -- architectures ---------------------------------------------------------------------------------


def compare(
    settings: PretrainSettings,
    architectures: Sequence[str],
    observer: Observer,
    overwrite: bool = False,
) -> Figures:
    """Train and evaluate the architectures. Saves the runs, `comparison.json` and charts to
    `settings.output`, and returns what is in `comparison.json`.

    Raises `XinyeError` for bad settings, and `KeyboardInterrupt` if it is interrupted.
    """
    check_names(architectures)
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    for architecture in architectures:  # report errors in any of them before training starts
        own = given | {"vocab_size": None, "architecture": architecture}
        checked(PretrainSettings, own, "compare")
    output = settings.output or Path("runs/compare")
    if (output / "comparison.json").exists() and not overwrite:
        raise XinyeError(
            f"{output}: there is a comparison already; replace it with --overwrite, or choose "
            "another -o"
        )
    trained: list[Figures] = []
    for number, architecture in enumerate(architectures, start=1):
        observer.stage(f"training {architecture} ({number} of {len(architectures)})")
        changes = {"architecture": architecture, "output": output / architecture}
        run = train(settings.model_copy(update=changes), observer, overwrite)
        trained.append({"architecture": architecture, **asdict(run)})
        # All runs use the tokenizer of the first.
        same = {"tokenizer": trained[0]["run"], "vocab_size": None}
        settings = settings.model_copy(update=same)
    observer.stage("evaluating all on the same text")
    validation = prepare_text(settings, Draft(), Observer(), load_models(settings)).validation
    for row in trained:
        del row["interrupted"]
        model, tokenizer = load_model(row["run"])
        # Evaluate on the whole text; during training, runs only use a part.
        row["validation"] = judge(model, tokenizer, validation.in_order(8))
        row["by_position"] = by_position(
            model, tokenizer, validation.tokens[:], validation.spans, validation.context
        )
    result = {
        "text": list(settings.files),
        "runs": trained,
        "charts": save_charts(output, lambda: charts_of(trained)),
    }
    write_json(output / "comparison.json", result)
    return result


def check_names(architectures: Sequence[str]) -> None:
    """Raises `XinyeError` for architectures that are unknown or given twice."""
    for architecture in architectures:
        if architecture not in KNOWN:
            raise XinyeError(
                f"--architectures: unknown architecture {architecture!r}; choose from "
                f"{', '.join(KNOWN)}{did_you_mean(architecture, KNOWN)}"
            )
    if len(set(architectures)) < max(2, len(architectures)):
        raise XinyeError("--architectures: name at least two, each once, such as modern,lstm")


def charts_of(trained: list[Figures]) -> dict[str, str]:
    """Charts of bits per byte over training time and over context length, as SVG by file name."""
    over_time, over_context = {}, {}
    bits = "bits_per_byte"
    for run in trained:
        validations = read_run(Path(run["run"])).validations
        over_time[run["architecture"]] = line(validations, "seconds", bits)
        over_context[run["architecture"]] = line(run["by_position"], "context", bits)
    unit = "bits per byte"
    return {
        "loss.svg": line_chart(over_time, "seconds of training", unit),
        "by-position.svg": line_chart(over_context, "tokens of context", unit, log_x=True),
    }


def explain_comparison(trained: list[Figures]) -> list[str]:
    """The results in sentences."""
    bits = {run["architecture"]: run["validation"]["bits_per_byte"] for run in trained}
    speeds = {run["architecture"]: run["tokens_per_second"] for run in trained}
    best, last = min(bits, key=bits.__getitem__), max(bits, key=bits.__getitem__)
    slowest, fastest = min(speeds, key=speeds.__getitem__), max(speeds, key=speeds.__getitem__)
    sentences = [
        f"{best} predicts this text best: {bits[last] - bits[best]:.3f} bits per byte ahead of "
        f"{last} after the same budget.",
        f"{fastest} reads {speeds[fastest] / speeds[slowest]:.1f} times as many tokens per "
        f"second as {slowest}.",
    ]
    gains = []
    for run in trained:
        if not run["by_position"]:  # no document is long enough to measure this
            return sentences
        shortest, *_, longest = run["by_position"]
        gain = shortest["bits_per_byte"] - longest["bits_per_byte"]
        gains.append(f"{run['architecture']} {gain:.3f}")
    sentences.append(
        f"A context of {longest['context']} tokens instead of {shortest['context']} gains, in bits "
        f"per byte: {', '.join(gains)}."
    )
    if "lstm" in bits:
        sentences.append(
            "Attention can look at every earlier token; an LSTM must keep what it needs in a state "
            "of fixed size."
        )
    return sentences


# -- distillation ----------------------------------------------------------------------------------


def distill(
    settings: PretrainSettings, observer: Observer, overwrite: bool = False, resume: bool = False
) -> Figures:
    """Train the student and the network without a teacher, and compare them with the teacher.

    The student is the run in `settings.output`, and the other run is in its folder
    `without-teacher`. Returns the results, and saves them to `distillation.json`. Raises
    `KeyboardInterrupt` if it is interrupted; `resume` continues it.
    """
    output = settings.output or default_output(settings)
    observer.stage("training the student with its teacher")
    if resume:
        settings = begun(output, settings)
    else:
        settings = settings.model_copy(update={"output": output})
        train(settings, observer, overwrite)
    student = finished_run(settings, observer)
    observer.stage("training the same model without its teacher, for the same time")
    alone = finished_run(without_teacher(settings, output, student), observer)
    observer.stage("evaluating all three on the same text")
    result = {"text": list(settings.files), "models": models_of(settings, student, alone)}
    write_json(output / "distillation.json", result)
    return result


def begun(output: Path, asked: PretrainSettings) -> PretrainSettings:
    """The settings of the distillation in a folder. Raises `XinyeError` if there is none, or if
    `asked` differs from them.
    """
    run = RunFolder(output)
    given = run.about().get("settings", {}) if run.exists else {}
    if "teacher" not in given:
        raise XinyeError(f"{output}: there is no distillation to resume")
    if extension(output, asked):
        raise XinyeError(f"{output}: a distillation cannot be extended; leave the budget out")
    saved_settings(output, asked)
    asked_again = asked.model_dump(exclude_unset=True)
    again = {name: value for name, value in asked_again.items() if value} | {"output": output}
    return checked(PretrainSettings, given | again, str(output))


def without_teacher(settings: PretrainSettings, output: Path, student: Result) -> PretrainSettings:
    """The settings of the same student without its teacher, for as many seconds of training,
    validation and saving.
    """
    spent = student.time_seconds or {}
    # Compiling, which had another name in older runs, is not part of a budget, and training is
    # counted by its steps.
    outside = ("compiling the fast code", "compiling the decoder", "training")
    aside = sum(spent[name] for name in spent if name not in outside)
    without = {"teacher", "temperature", "alpha", *NO_BUDGET}
    values = settings.model_dump(exclude_unset=True, exclude=without)
    values |= {
        "output": output / "without-teacher",
        "time": f"{(student.seconds or 0.0) + aside:.2f}s",
    }
    if not settings.from_:
        values["tokenizer"] = str(output)
    return checked(PretrainSettings, values, "distill")


def models_of(settings: PretrainSettings, student: Result, alone: Result) -> list[Figures]:
    """The metrics of all three models, on the same windows of held-out text."""
    models = load_models(settings)
    teacher, tokenizer = models.teacher, models.tokenizer
    assert teacher is not None and tokenizer is not None
    validation = prepare_text(settings, Draft(), Observer(), models).validation
    rows: list[Figures] = []
    for role, result in {"teacher": None, "student": student, "student alone": alone}.items():
        trained = result.as_read() if result else {}
        model = load_model(trained["run"])[0] if trained else teacher
        judged = judge(model, tokenizer, validation.in_order(8))
        row = {
            "role": role,
            "run": settings.teacher,
            "parameters": model.config.parameters,
            "bits_per_byte": judged["bits_per_byte"],
            "loss": judged["loss"],
            "tokens_per_second": round(writing_speed(model, tokenizer), 1),
        }
        known = ("run", "steps", "tokens", "seconds")
        rows.append(row | {name: trained[name] for name in known if trained})
    return rows


def writing_speed(model: LanguageModel, tokenizer: Tokenizer) -> float:
    """The tokens per second when writing a single text."""
    best = 0.0
    for _ in range(2):  # the first warms up
        sampling = Sampling(max_tokens=64, seed=0)
        sequence = start(tokenizer, "", model.config.max_position_embeddings, sampling)
        begin = time.perf_counter()
        finish(model, tokenizer, [sequence])
        best = max(best, sequence.completion_tokens / (time.perf_counter() - begin))
    return best


def explain_distillation(models: list[Figures]) -> list[str]:
    """The results in sentences."""
    teacher, student, alone = models
    gain = alone["bits_per_byte"] - student["bits_per_byte"]
    lost = student["bits_per_byte"] - teacher["bits_per_byte"]
    sentences = [
        f"In the same time the teacher {'gains' if gain > 0 else 'costs'} {abs(gain):.3f} bits per "
        f"byte: {plural(student['steps'], 'step')} with it, {alone['steps']:,} without it."
    ]
    if gain <= 0:
        sentences.append(
            "A step with the teacher costs more than one without; when time is short, plain "
            "training is better."
        )
    faster = student["tokens_per_second"] / teacher["tokens_per_second"]
    sentences.append(
        f"The student has 1/{teacher['parameters'] / student['parameters']:.1f} of its teacher's "
        f"parameters, writes {faster:.1f} times as fast, and is {abs(lost):.3f} bits per byte "
        f"{'behind' if lost > 0 else 'ahead'}."
    )
    return sentences
