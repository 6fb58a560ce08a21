"""Rows that read a text and write another: fine-tuned from a base, judged beside their baselines.

    python benchmarks/text_rows.py csl finna lcsts rules rules-new sighan --model runs/chinese
    python benchmarks/text_rows.py tatoeba --model runs/bilingual

| row | learns from | is judged on |
|---|---|---|
| csl | titles of CSL, nine tenths of ts_dev | ts_test, 1,000 |
| finna | headlines of FinNA, the first 2,600 | the last 500 |
| lcsts | nothing: the model of finna | LCSTS test, 725 |
| tatoeba | 20,538 pairs of sentences | 1,000 other pairs, no sentence of which is in training |
| rules | sentences that the base has read, in which errors are made | 1,000 of documents that it has not |
| rules-new | the same | 1,000 of other kinds of texts |
| sighan | the same, and pairs of SIGHAN 2015's training part | SIGHAN15 test, 1,100 |

`chinese_base.py` and `bilingual_base.py` pretrain the bases. Data is read in place from `--data`.
Prints one JSON object last.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import proofreading
import summaries
import tatoeba
from common import machine, progress, report

import xinye
from xinye.cli.output import Display


@dataclass
class Row:
    """What a row learns from and is judged on; `model` is that of another row."""

    task: str
    files: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", choices=ROWS)
    parser.add_argument("--model", required=True, help="the base to begin with")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--epochs", type=float, help="of fine-tuning, instead of the row's own")
    parser.add_argument("-o", "--output", type=Path, help="keep files and models in this folder")
    options = parser.parse_args()
    facts = machine("torch", "sacrebleu", "scikit-learn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary)
        figures = {}
        for name in options.rows:
            figures[name] = judged(name, options, folder)
            progress(f"{name}: {json.dumps(figures[name], ensure_ascii=False)}")
    report(benchmark="text_rows", rows=figures, model=options.model, machine=facts)


def judged(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of a row: of the fine-tuned model and of the baselines, and the seconds."""
    at = folder / name
    at.mkdir(parents=True, exist_ok=True)
    row = ROWS[name](options, at)
    begin = time.perf_counter()
    if row.model:
        run = folder / row.model / "run"
        if not (run / "config.json").is_file():
            raise SystemExit(f"{name}: run the row {row.model} first, with -o {folder}")
        model = xinye.load(run)
    else:
        settings = row.settings | ({"epochs": options.epochs} if options.epochs else {})
        with Display() as display:
            model = xinye.finetune(
                options.model, at / "run", task=row.task, data=row.files["training"],
                validation=row.files["validation"], overwrite=True, observer=display, **settings,
            )  # fmt: skip
    tuned = time.perf_counter()
    found = model.evaluate_task(row.files["test"])
    return {
        "seconds": round(tuned - begin),
        "judging_seconds": round(time.perf_counter() - tuned),
        **{key: found[key] for key in ("measured", "baseline", "other_baselines") if key in found},
        "notes": found["notes"],
    }


def summary_row(name: str, **settings: Any) -> Callable[[argparse.Namespace, Path], Row]:
    def row(options: argparse.Namespace, at: Path) -> Row:
        files = summaries.write(at, summaries.ROWS[name](options.data))
        return Row("summarize", files, settings, "" if "training" in files else "finna")

    return row


def tatoeba_row(options: argparse.Namespace, at: Path) -> Row:
    parts = dict(
        zip(
            ("training", "validation", "test"),
            tatoeba.split(options.data / tatoeba.FILE),
            strict=True,
        )
    )
    parts["validation"] = parts["validation"][:100]
    tatoeba.write(at, **parts)
    return Row("translate", {name: at / f"{name}.tsv" for name in parts}, {"epochs": 2.25})


def proofreading_row(**judged: bool) -> Callable[[argparse.Namespace, Path], Row]:
    def row(options: argparse.Namespace, at: Path) -> Row:
        files, settings = proofreading.row(Path(options.model), options.data, at, **judged)
        return Row("proofread", files, settings)

    return row


ROWS: dict[str, Callable[[argparse.Namespace, Path], Row]] = {
    "csl": summary_row("csl", epochs=5),
    "finna": summary_row("finna", epochs=4),
    "lcsts": summary_row("lcsts"),
    "tatoeba": tatoeba_row,
    "rules": proofreading_row(),
    "rules-new": proofreading_row(new=True),
    "sighan": proofreading_row(pairs=True),
}


if __name__ == "__main__":
    main()
