"""Summaries of real texts: what the baselines reach, and which records a model learns from.

    python benchmarks/summaries.py                  # the baselines of all rows
    python benchmarks/summaries.py csl -o rows      # those of one row; writes its records to rows/csl

| row | learns from | is judged on |
|---|---|---|
| csl | titles of CSL, ts_dev without each tenth record, which is for validation | ts_test |
| finna | headlines of FinNA, the first 2,600; validation on the next 500 | the last 500 |
| lcsts | nothing | LCSTS test, 725 |

A baseline takes the first sentence, as many characters as the mean summary that it learns from has
(`--lead` for others), or the clause that a regression chooses. ROUGE is that of
`evaluation/rouge.py`, by characters. Data is read in place from `--data`. Prints one JSON object
last.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import machine, progress, report

from xinye.data.files import write_json_lines
from xinye.evaluation import rouge
from xinye.evaluation.summaries import ClausePicker, cut, first_sentence, mean_size
from xinye.tasks.summarize import Summarize

Pairs = list[tuple[str, str]]  # texts and their summaries


class Row(NamedTuple):
    """What a row learns from, is judged on along the way, and at the end."""

    training: Pairs
    validation: Pairs
    test: Pairs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--lead", type=int, default=0, help="characters of the lead")
    parser.add_argument("-o", "--output", type=Path, help="write the records to this folder")
    options = parser.parse_args()
    if odd := set(options.rows) - {*ROWS}:
        parser.error(f"no row {', '.join(sorted(odd))}; there are {', '.join(ROWS)}")
    figures = {}
    for name in options.rows or ROWS:
        row = ROWS[name](options.data)
        if options.output:
            write(options.output / name, row)
        figures[name] = baselines(row, options.lead)
        progress(f"{name}: {figures[name]}")
    report(benchmark="summaries", rows=figures, machine=machine("scikit-learn"))


def csl(data: Path) -> Row:
    known = read(data / "csl_title_zh" / "ts_dev.tsv")
    training = [pair for number, pair in enumerate(known) if number % 10 != 9]
    return Row(training, known[9::10], read(data / "csl_title_zh" / "ts_test.tsv"))


def finna(data: Path) -> Row:
    pairs = read(data / "finance_opinion_zh" / "finna_eval.json")
    return Row(pairs[:2600], pairs[2600:3100], pairs[-500:])


def lcsts(data: Path) -> Row:
    return Row([], [], read(data / "lcsts_test_zh" / "result.json"))


ROWS: dict[str, Callable[[Path], Row]] = {"csl": csl, "finna": finna, "lcsts": lcsts}


def read(path: Path) -> Pairs:
    return [(record.source, record.target) for record in Summarize.read([str(path)])]


def write(folder: Path, row: Row) -> dict[str, Path]:
    """The files of a row's records, by `training`, `validation` and `test`; none for an empty
    part."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, pairs in row._asdict().items():
        if pairs:
            files[part] = folder / f"{part}.jsonl"
            rows = [{"text": text, "summary": summary} for text, summary in pairs]
            write_json_lines(files[part], rows)
    return files


def baselines(row: Row, lead: int = 0) -> dict[str, Any]:
    """The figures in % of each baseline on the test records."""
    texts = [text for text, _ in row.test]
    found: dict[str, Any] = {"first sentence": judged(row, [*map(first_sentence, texts)])}
    most = lead or (mean_size(summary for _, summary in row.training) if row.training else 0)
    if most:
        found[f"lead {most}"] = judged(row, [cut(text, most) for text in texts])
    if row.training:
        begin = time.process_time()
        picker = ClausePicker.learn(*map(list, zip(*row.training, strict=True)))
        found["clause picker"] = judged(row, [picker.pick(text) for text in texts])
        found["clause picker"]["seconds"] = round(time.process_time() - begin, 1)
    return {"records": [*map(len, row)], **found}


def judged(row: Row, written: Sequence[str]) -> dict[str, float]:
    """ROUGE, and the share copied from the texts, in %."""
    figures = rouge.measure(written, [summary for _, summary in row.test])
    shares = [rouge.copied(one, text) for one, (text, _) in zip(written, row.test, strict=True)]
    figures["copied"] = sum(shares) / len(shares)
    return {name: round(100 * value, 1) for name, value in figures.items()}


if __name__ == "__main__":
    main()
