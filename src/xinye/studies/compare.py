"""Compare architectures: train each on the same text with the same tokenizer for the same budget.

Beside loss and speed it measures the loss by position: how well the same tokens are predicted when
8, 16, 32 … tokens can be seen before them. There attention, which can look at each of them, parts
from a recurrent state of fixed size.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.data.files import write_json
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.evaluation.perplexity import by_position, evaluate
from xinye.evaluation.plots import line_chart
from xinye.observer import Observer
from xinye.planning.models import load_models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.saved import read_run
from xinye.studies.shared import save_charts, train
from xinye.tasks.text import prepare_text

KNOWN = get_args(PretrainSettings.model_fields["architecture"].annotation)


def compare(
    settings: PretrainSettings,
    architectures: Sequence[str],
    observer: Observer,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train and evaluate; the runs, `comparison.json` and the charts are in `settings.output`.

    Raises `KeyboardInterrupt` when it was stopped.
    """
    check(architectures)
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    for architecture in architectures:  # mistakes in the last are reported before the first trains
        own = given | {"vocab_size": None, "architecture": architecture}
        checked(PretrainSettings, own, "compare")
    output = settings.output or Path("runs/compare")
    if (output / "comparison.json").exists() and not overwrite:
        raise XinyeError(
            f"{output}: there is a comparison already; replace it with --overwrite, or choose "
            "another -o"
        )
    trained: list[dict[str, Any]] = []
    for number, architecture in enumerate(architectures, start=1):
        observer.stage(f"{architecture} ({number} of {len(architectures)})")
        changes = {"architecture": architecture, "output": output / architecture}
        run = asdict(train(settings.model_copy(update=changes), observer, overwrite))
        del run["interrupted"]
        trained.append({"architecture": architecture, **run})
        if number == 1:  # the first one's tokenizer, for all
            same = {"tokenizer": run["run"], "vocab_size": None}
            settings = settings.model_copy(update=same)
    observer.stage("judging all on the same text")
    text = prepare_text(settings, Draft(), Observer(), load_models(settings))
    validation = text.validation
    for row in trained:
        model, tokenizer = load_model(row["run"])
        model = model.to(machine.device())
        figures = evaluate(  # on all of it: runs look at parts
            model, validation.in_order(8), tokenizer.token_lengths
        )
        row["validation"] = {name: round(figures[name], 5) for name in ("loss", "bits_per_byte")}
        row["by_position"] = by_position(
            model, tokenizer, validation.tokens, validation.spans, validation.context
        )
    result = {
        "text": list(settings.files),
        "runs": trained,
        "charts": save_charts(output, lambda: charts(trained)),
    }
    write_json(output / "comparison.json", result)
    return result


def check(architectures: Sequence[str]) -> None:
    """Raises `XinyeError` for names that are not known, or given twice."""
    for architecture in architectures:
        if architecture not in KNOWN:
            raise XinyeError(
                f"--architectures: unknown architecture {architecture!r}"
                f"{did_you_mean(architecture, KNOWN)}; there are {', '.join(KNOWN)}"
            )
    if len(set(architectures)) < max(2, len(architectures)):
        raise XinyeError("--architectures: name at least two, each once, such as modern,lstm")


def charts(trained: list[dict[str, Any]]) -> dict[str, str]:
    """Bits per byte over the time of training, and over the context."""
    over_time, over_context = {}, {}
    for run in trained:
        validations = read_run(Path(run["run"])).validations
        over_time[run["architecture"]] = columns(validations, "seconds")
        over_context[run["architecture"]] = columns(run["by_position"], "context")
    unit = "bits per byte"
    return {
        "loss.svg": line_chart(over_time, "seconds of training", unit),
        "by-position.svg": line_chart(over_context, "tokens of context", unit, log_x=True),
    }


def columns(rows: list[dict[str, Any]], x: str) -> tuple[list[float], list[float]]:
    """The values of `x` and the bits per byte in rows."""
    return [row[x] for row in rows], [row["bits_per_byte"] for row in rows]


def explain(trained: list[dict[str, Any]]) -> list[str]:
    """What the figures say, in sentences."""
    ranked = sorted(trained, key=lambda run: run["validation"]["bits_per_byte"])
    best, last = ranked[0], ranked[-1]
    difference = last["validation"]["bits_per_byte"] - best["validation"]["bits_per_byte"]
    by_speed = sorted(trained, key=lambda run: run["tokens_per_second"])
    slowest, fastest = by_speed[0], by_speed[-1]
    ratio = fastest["tokens_per_second"] / slowest["tokens_per_second"]
    sentences = [
        f"{best['architecture']} predicts this text best: {difference:.3f} bits per byte ahead of "
        f"{last['architecture']} after the same budget.",
        f"{fastest['architecture']} reads {ratio:.1f} times as many tokens a second as "
        f"{slowest['architecture']}.",
    ]
    if not all(run["by_position"] for run in trained):
        return sentences
    gains = {}
    for run in trained:
        shortest, *_, longest = run["by_position"]
        gains[run["architecture"]] = shortest["bits_per_byte"] - longest["bits_per_byte"]
    listed = ", ".join(f"{name} {gain:.3f}" for name, gain in gains.items())
    sentences.append(
        f"A context of {longest['context']} tokens instead of {shortest['context']} gains, in bits "
        f"per byte: {listed}."
    )
    if "lstm" in gains:
        sentences.append(
            "Attention can look at every earlier token; an LSTM has to have kept it in a state of "
            "fixed size."
        )
    return sentences
