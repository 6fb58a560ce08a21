"""Compare architectures: train each on the same text with the same tokenizer for the same budget; judge all alike.

Beside loss and speed it tells the loss by position in the window: how well a token is predicted when so many others can
be seen before it. That is where attention, which can look at each of them, parts from a recurrent state of fixed size.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from xinye import machine
from xinye.checkpoints.huggingface import load_model, write_json
from xinye.errors import XinyeError, checked, did_you_mean
from xinye.evaluation.bits_per_byte import losses_by_position
from xinye.evaluation.plots import line_chart, save_chart
from xinye.recipes.plan import Plan
from xinye.recipes.pretrain import pretrain
from xinye.recipes.settings import PretrainSettings
from xinye.recipes.text import prepare_text
from xinye.recipes.watcher import Watcher

KNOWN = get_args(PretrainSettings.model_fields["architecture"].annotation)
WINDOWS = 512  # of validation text, at most, for the loss by position


def compare(
    settings: PretrainSettings, architectures: Sequence[str], watcher: Watcher, overwrite: bool = False
) -> dict[str, Any] | None:
    """Train and judge; the runs, `comparison.json` and the charts lie in `settings.output`. None when interrupted."""
    check(architectures)
    values = {**dict(settings), "vocab_size": None}
    for architecture in architectures:  # what is wrong for the last is told before the first is trained
        checked(PretrainSettings, values | {"architecture": architecture}, "compare")
    output = settings.output or Path("runs/compare")
    if (output / "comparison.json").exists() and not overwrite:
        raise XinyeError(f"{output}: there is a comparison already; replace it with --overwrite, or choose another -o")
    trained: list[dict[str, Any]] = []
    tokenizer = settings.tokenizer
    for number, architecture in enumerate(architectures, start=1):
        watcher.stage(f"{architecture} ({number} of {len(architectures)})")
        changes = {"architecture": architecture, "output": output / architecture, "tokenizer": tokenizer}
        changes |= {"vocab_size": settings.vocab_size if number == 1 else None}
        run = pretrain(settings.model_copy(update=changes), watcher, overwrite)
        assert run is not None
        if run.interrupted:
            return None
        trained.append({"architecture": architecture, **asdict(run)})
        del trained[-1]["interrupted"]
        tokenizer = run.run  # the first one's, for all
    watcher.stage("loss by position")
    text = prepare_text(settings.model_copy(update={"tokenizer": tokenizer, "vocab_size": None}), Plan(), Watcher())
    for run_ in trained:
        model, _ = load_model(run_["run"])
        windows = text.validation.in_order(8, WINDOWS)
        run_["loss_by_position"] = losses_by_position(model.to(machine.device()), windows)
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
        records = [record for record in map(json.loads, lines) if record["kind"] in ("validation", "result")]
        over_time[run["architecture"]] = (
            [record["seconds"] for record in records],
            [record["bits_per_byte"] for record in records],
        )
    by_position = {
        run["architecture"]: (
            [bucket["from"] + 1 for bucket in run["loss_by_position"]],
            [bucket["loss"] for bucket in run["loss_by_position"]],
        )
        for run in trained
    }
    try:
        charts = {
            "loss.svg": line_chart(over_time, "seconds of training", "bits per byte"),
            "by-position.svg": line_chart(by_position, "position in the window", "loss (nats per token)", log_x=True),
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
    gains = {}
    for run in trained:
        buckets = run["loss_by_position"]
        early = next((bucket for bucket in buckets if bucket["from"] >= 15), buckets[0])
        gains[run["architecture"]] = early["loss"] - buckets[-1]["loss"]
    told = ", ".join(f"{name} {gain:+.2f}" for name, gain in gains.items())
    sentences.append(
        f"What the context beyond 16 tokens is worth to each, in nats per token at the end of the window: {told}. "
        "Attention can look at every earlier token; an LSTM has to have kept it in its state."
        if "lstm" in gains
        else f"What the context beyond 16 tokens is worth to each, in nats per token at the end of the window: {told}."
    )
    return sentences
