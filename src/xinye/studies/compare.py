"""Compare architectures: train each on the same text with the same tokenizer for the same budget; judge all alike.

Beside loss and speed it tells the loss by position: how well the same tokens are predicted when 8, 16, 32 … tokens can
be seen before them. There attention, which can look at each of them, parts from a recurrent state of fixed size.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from xinye import machine
from xinye.checkpoints.huggingface import write_json
from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.evaluation.bits_per_byte import evaluate
from xinye.evaluation.perplexity import by_position
from xinye.evaluation.plots import line_chart, save_chart
from xinye.planning.models import load_models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.tasks.text import prepare_text
from xinye.training.pretrain import pretrain
from xinye.watcher import Watcher

KNOWN = get_args(PretrainSettings.model_fields["architecture"].annotation)


def compare(
    settings: PretrainSettings,
    architectures: Sequence[str],
    watcher: Watcher,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """Train and judge; the runs, `comparison.json` and the charts lie in `settings.output`. None when interrupted."""
    check(architectures)
    values = {name: getattr(settings, name) for name in settings.model_fields_set} | {
        "vocab_size": None
    }
    for (
        architecture
    ) in architectures:  # what is wrong for the last is told before the first is trained
        checked(PretrainSettings, values | {"architecture": architecture}, "compare")
    output = settings.output or Path("runs/compare")
    if (output / "comparison.json").exists() and not overwrite:
        raise XinyeError(
            f"{output}: there is a comparison already; replace it with --overwrite, or choose another -o"
        )
    trained: list[dict[str, Any]] = []
    tokenizer = settings.tokenizer
    for number, architecture in enumerate(architectures, start=1):
        watcher.stage(f"{architecture} ({number} of {len(architectures)})")
        changes = {
            "architecture": architecture,
            "output": output / architecture,
            "tokenizer": tokenizer,
        }
        changes |= {"vocab_size": settings.vocab_size if number == 1 else None}
        run = pretrain(settings.model_copy(update=changes), watcher, overwrite)
        assert run is not None
        if run.interrupted:
            return None
        trained.append({"architecture": architecture, **asdict(run)})
        del trained[-1]["interrupted"]
        tokenizer = run.run  # the first one's, for all
    watcher.stage("judging all on the same text")
    same = settings.model_copy(update={"tokenizer": tokenizer, "vocab_size": None})
    text = prepare_text(same, Plan(), Watcher(), load_models(settings))
    for run_ in trained:
        model, its_tokenizer = load_model(run_["run"])
        model, validation = model.to(machine.device()), text.validation
        figures = evaluate(
            model, validation.in_order(8), its_tokenizer.token_lengths
        )  # whole: runs look at parts
        run_["validation"] = {name: round(figures[name], 5) for name in ("loss", "bits_per_byte")}
        run_["by_position"] = by_position(
            model, its_tokenizer, validation.tokens, validation.spans, validation.context
        )
    result = {"text": list(settings.files), "runs": trained, "charts": draw(output, trained)}
    write_json(output / "comparison.json", result)
    return result


def check(architectures: Sequence[str]) -> None:
    for architecture in architectures:
        if architecture not in KNOWN:
            raise XinyeError(
                f"--architectures: unknown architecture {architecture!r}{did_you_mean(architecture, KNOWN)}; "
                f"there are {', '.join(KNOWN)}"
            )
    if len(set(architectures)) < max(2, len(architectures)):
        raise XinyeError("--architectures: name at least two, each once, such as modern,lstm")


def draw(output: Path, trained: list[dict[str, Any]]) -> list[str]:
    """The charts as files, where matplotlib is installed."""
    over_time = {}
    for run in trained:
        lines = (Path(run["run"]) / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
        records = [
            record
            for record in map(json.loads, lines)
            if record["kind"] in ("validation", "result")
        ]
        over_time[run["architecture"]] = (
            [record["seconds"] for record in records],
            [record["bits_per_byte"] for record in records],
        )
    over_context = {
        run["architecture"]: (
            [row["context"] for row in run["by_position"]],
            [row["bits_per_byte"] for row in run["by_position"]],
        )
        for run in trained
    }
    try:
        charts = {
            "loss.svg": line_chart(over_time, "seconds of training", "bits per byte"),
            "by-position.svg": line_chart(
                over_context, "tokens of context", "bits per byte", log_x=True
            ),
        }
    except XinyeError:
        return []
    for name, svg in charts.items():
        save_chart(svg, output / name)
    return [str(output / name) for name in charts]


def explain(trained: list[dict[str, Any]]) -> list[str]:
    """What the figures say, in sentences."""
    ranked = sorted(trained, key=lambda run: run["validation"]["bits_per_byte"])
    best, last = ranked[0], ranked[-1]
    difference = last["validation"]["bits_per_byte"] - best["validation"]["bits_per_byte"]
    sentences = [
        f"{best['architecture']} predicts this text best: {difference:.3f} bits per byte ahead of "
        f"{last['architecture']} after the same budget."
    ]
    fastest = max(trained, key=lambda run: run["tokens_per_second"])
    slowest = min(trained, key=lambda run: run["tokens_per_second"])
    sentences.append(
        f"{fastest['architecture']} reads {fastest['tokens_per_second'] / slowest['tokens_per_second']:.1f} times as "
        f"many tokens a second as {slowest['architecture']}."
    )
    if all(run["by_position"] for run in trained):
        shortest, longest = (trained[0]["by_position"][i]["context"] for i in (0, -1))
        gains = {
            run["architecture"]: run["by_position"][0]["bits_per_byte"]
            - run["by_position"][-1]["bits_per_byte"]
            for run in trained
        }
        told = ", ".join(f"{name} {gain:.3f}" for name, gain in gains.items())
        sentences.append(
            f"A context of {longest} tokens instead of {shortest} gains, in bits per byte: {told}."
        )
        if "lstm" in gains:
            sentences.append(
                "Attention can look at every earlier token; an LSTM has to have kept it in a state of fixed size."
            )
    return sentences
