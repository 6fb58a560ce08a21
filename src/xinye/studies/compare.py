"""Compare architectures: train each on the same text with the same tokenizer for the same budget.

Beside loss and speed it measures the loss by position: how well the same tokens are predicted when
8, 16, 32 … tokens can be seen before them. There attention, which can look at each of them, parts
from a recurrent state of fixed size.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from xinye.checkpoints.load import load_model
from xinye.data.files import write_json
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.evaluation.perplexity import by_position
from xinye.evaluation.plots import line, line_chart
from xinye.observer import Observer
from xinye.planning.models import load_models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import Figures
from xinye.runs.saved import read_run
from xinye.studies.shared import judge, save_charts, train
from xinye.tasks.text import prepare_text

KNOWN = get_args(PretrainSettings.model_fields["architecture"].annotation)


def compare(
    settings: PretrainSettings,
    architectures: Sequence[str],
    observer: Observer,
    overwrite: bool = False,
) -> Figures:
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
    trained: list[Figures] = []
    for number, architecture in enumerate(architectures, start=1):
        observer.stage(f"{architecture} ({number} of {len(architectures)})")
        changes = {"architecture": architecture, "output": output / architecture}
        run = train(settings.model_copy(update=changes), observer, overwrite)
        trained.append({"architecture": architecture, **asdict(run)})
        # the first one's tokenizer, for all
        same = {"tokenizer": trained[0]["run"], "vocab_size": None}
        settings = settings.model_copy(update=same)
    observer.stage("judging all on the same text")
    validation = prepare_text(settings, Draft(), Observer(), load_models(settings)).validation
    for row in trained:
        del row["interrupted"]
        model, tokenizer = load_model(row["run"])
        # on all of it: runs look at parts
        row["validation"] = judge(model, tokenizer, validation.in_order(8))
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


def charts(trained: list[Figures]) -> dict[str, str]:
    """Bits per byte over the time of training, and over the context."""
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


def explain(trained: list[Figures]) -> list[str]:
    """What the figures say, in sentences."""
    bits = {run["architecture"]: run["validation"]["bits_per_byte"] for run in trained}
    speeds = {run["architecture"]: run["tokens_per_second"] for run in trained}
    best, last = min(bits, key=bits.__getitem__), max(bits, key=bits.__getitem__)
    slowest, fastest = min(speeds, key=speeds.__getitem__), max(speeds, key=speeds.__getitem__)
    sentences = [
        f"{best} predicts this text best: {bits[last] - bits[best]:.3f} bits per byte ahead of "
        f"{last} after the same budget.",
        f"{fastest} reads {speeds[fastest] / speeds[slowest]:.1f} times as many tokens a second as "
        f"{slowest}.",
    ]
    gains = []
    for run in trained:
        if not run["by_position"]:  # no document is long enough
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
            "Attention can look at every earlier token; an LSTM has to have kept it in a state of "
            "fixed size."
        )
    return sentences
