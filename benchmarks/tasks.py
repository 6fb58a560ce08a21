"""Real tasks from a base of one's own: pretrained on unlabelled text of the kind, asked without
training, fine-tuned.

    python benchmarks/tasks.py chnsenticorp --time 20min
    python benchmarks/tasks.py fewclue --time 30min            # its six tasks
    python benchmarks/tasks.py curve --time 20min              # 100 to 3,000 labelled reviews
    python benchmarks/tasks.py abstracts departments wnut --own --time 4min --seeds 3
    python benchmarks/tasks.py waimai banking77 --model runs/base
    python benchmarks/tasks.py alpaca --model SmolLM2-135M-Instruct.Q4_1.gguf --method lora --epochs 1
    python benchmarks/tasks.py finfe --model runs/chinese --adapt 4 --epochs 2 --augment mask --seeds 3
    python benchmarks/tasks.py answers --model runs/chinese    # cmrc, refusal, crosswoz, faq, law
    python benchmarks/tasks.py xquad written --model SmolLM2-135M-Instruct.Q4_1.gguf

| row | learns from | is judged on |
|---|---|---|
| chnsenticorp | train | test |
| waimai | 80 % by label, seed 0 | the other 20 % |
| thucnews | dev (10,000 titles) | test (10,000) |
| banking77 | train | test |
| finance | four fifths of 2,400 news, titles with bodies | the fifth left out; mean of all five, |
| | | 95 % interval |
| finfe | train, three moods of comments | the 923 of eval that are not in train, by |
| | | macro F1 |
| finnl | train, news with several topics | eval, by micro F1 |
| cluener | train | dev, by the F1 of spans |
| reviews-N | N records of ChnSentiCorp's train | its test |
| abstracts | titles of papers, 13 disciplines | dev |
| departments | 80 % of patients' questions, by label, seed 0 | the other 20 % |
| wnut | English posts, WNUT17 train | its test, by the F1 of spans |
| alpaca | nine tenths of 999 instructions in English | the rest, by bits per byte of the answers |
| fewclue-TASK | train_0, judged along the way on dev_0 | test_public |

The defaults of a fine-tuning were never tried on `abstracts`, `departments` and `wnut` while they
were developed: `--own` pretrains a base on the training texts of a row alone, as a newcomer would.
Elsewhere a tenth of what is learned from is kept back to judge along the way; what a row is judged
on decides nothing. Without `--model` one base for all Chinese rows, and one for the English, is
pretrained for `--time` on their training texts and on open text of their kind (`UNLABELLED`), of
which texts that are judged on are left out; the tokens of the Chinese one are characters. Beside
the fine-tuned model, and the network of a classifier without its word counts (`alone`), stand always
saying the label that is right most often, TF-IDF with a linear SVM and naive Bayes (for
spans, the most frequent tag of the same words) learned from all of the training records, and the
base itself, asked without training (zero-shot), or with training records as
examples (few-shot), on the first `--asked` records that chance takes. Beside a chat model stands
the base. Accuracy in %, and time in seconds; a row takes the time of its base and, on two cores, 2
to 20 minutes more.

The rows that answer questions (`answer_rows.py`) are commands of other benchmarks, whose figures are
gathered here. Their Chinese base is that of `chinese_base.py`, 40 minutes unless `--time` says
otherwise; so is that of `finfe` and `finnl`.

Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import answer_rows
from common import machine, peak_gigabytes, progress, report
from task_data import (
    FEWCLUE,
    QUESTIONS,
    SOURCES,
    SPLITS,
    Item,
    Question,
    Split,
    first_line,
    texts_of,
    write,
)

import xinye
from xinye.cli.output import Display
from xinye.runs.folder import RunFolder
from xinye.studies.folds import spread
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag

OPINIONS = ("finfe", "finnl")
ROWS = ("chnsenticorp", "waimai", "thucnews", "banking77", "finance", "cluener", "alpaca")
ASIDE = ("abstracts", "departments", "wnut")  # no setting was chosen with these
CURVE = tuple(f"reviews-{count}" for count in (100, 300, 1000, 3000))
ROWS += (*(f"fewclue-{task}" for task in FEWCLUE), *OPINIONS, *ASIDE, *CURVE)
KIND_OF = {"cluener": Tag, "wnut": Tag, "alpaca": Chat}  # all others are to classify
SCORES = {  # what a row is judged by; all others by accuracy
    "cluener": lambda figures: figures["span_f1"],
    "wnut": lambda figures: figures["span_f1"],
    "finfe": lambda figures: figures["macro_f1"],
    "finnl": lambda figures: figures["table"]["micro avg"]["f1-score"],
}
COLUMNS = ("majority", "baseline", "zero_shot", "few_shot", "alone", "fine_tuned")
ENGLISH = ("banking77", "alpaca", "wnut")
UNLABELLED = {
    "zh": ("shopping", "tnews", "eprstmt", "bustm", "stocks"),
    "en": ("tinystories", "instructions"),
    "finfe": ("stocks",),  # to adapt a base
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows",
        nargs="+",
        metavar="ROW",
        help=f"of {', '.join((*ROWS, *answer_rows.ROWS))}; fewclue is its six tasks, curve the four "
        "rows of reviews, answers the rows of questions in Chinese",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--model", help="the base to begin with, instead of pretraining one")
    parser.add_argument("--size", default="5M", help="of the base")
    parser.add_argument(
        "--time", help="for which the base is pretrained: 10min; 40min where it answers questions"
    )
    parser.add_argument(
        "--own", action="store_true", help="pretrain a base on the training texts of each row alone"
    )
    parser.add_argument(
        "--adapt", type=float, metavar="EPOCHS", help="first pretrain the base on the row's texts"
    )
    parser.add_argument("--seeds", type=int, default=1, help="runs of fine-tuning, for their mean")
    parser.add_argument("--method", default="full", help="of fine-tuning")
    parser.add_argument(
        "--epochs", type=float, help="of fine-tuning, instead of what the plan says"
    )
    parser.add_argument(
        "--augment",
        metavar="KINDS",
        help="of fine-tuning: mask, crop, shuffle, with commas between",
    )
    parser.add_argument(
        "--asked",
        type=int,
        default=500,
        help="records for zero-shot and few-shot at most; 0 for none",
    )
    parser.add_argument("-o", "--output", type=Path, help="keep the models in this folder")
    options = parser.parse_args()
    names = names_of(options.rows, parser)
    check(names, options, parser)
    progress(
        f"{len(names)} rows; fine-tuning and judging take 2 to 20 minutes more each on two cores"
    )
    facts = machine("torch", "scikit-learn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {}
        for name in names:
            run = run_answers if name in answer_rows.ROWS else run_row
            figures[name] = run(name, options, folder)
            progress(f"{name}: {json.dumps(figures[name], ensure_ascii=False)}")
    answers = {name: found for name, found in figures.items() if name in answer_rows.ROWS}
    if others := {name: found for name, found in figures.items() if name not in answers}:
        show(others)
    if answers:
        answer_rows.show(answers)
    told = {
        name: value
        for name, value in vars(options).items()
        if name not in ("rows", "data", "output")
    }
    report(
        benchmark="tasks",
        rows=figures,
        settings=told,
        machine=facts,
        peak_gigabytes=peak_gigabytes(),
    )


def names_of(rows: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The rows, with all those of a group in its place."""
    chinese = [name for name, row in answer_rows.ROWS.items() if not row.chat]
    fewclue = [f"fewclue-{task}" for task in FEWCLUE]
    groups = {"fewclue": fewclue, "curve": [*CURVE], "answers": chinese}
    names = [name for row in rows for name in groups.get(row, [row])]
    known = (*ROWS, *answer_rows.ROWS)
    for name in names:
        if name not in known:
            parser.error(f"no row {name!r}; there are {', '.join((*known, *groups))}")
    return names


def check(
    names: Sequence[str], options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse at once what a row that answers questions lacks, or what would be ignored."""
    if options.own and options.model:
        parser.error("--own pretrains a base for each row: leave --model out")
    for name in names:
        row = answer_rows.ROWS.get(name)
        changed = options.epochs or options.augment or options.adapt or options.seeds > 1
        if row and (changed or options.method != "full"):
            parser.error(
                f"the row {name} has settings of its own; run {row.command[0]} with others"
            )
        if row and row.chat and not options.model:
            parser.error(f"{name}: name a chat model, --model SmolLM2-135M-Instruct.Q4_1.gguf")


# -- a row -----------------------------------------------------------------------------------------


def run_row(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of a row; those of several splits are their mean."""
    splits = splits_of(name, options)
    shared = "" if options.own else options.model or base_of(name, options, folder)
    found = []
    for number, split in enumerate(splits):
        at = folder / f"{name}-{number}"
        at.mkdir(exist_ok=True)
        chat = KIND_OF.get(name) is Chat
        files = {
            part: write(at / f"{part}.jsonl", items, chat)
            for part, items in vars(split).items()
            if items
        }
        base = shared or own_base(name, split, options, at)
        seconds = RunFolder(Path(base)).result().get("seconds", 0)  # 0 of a model of others
        base = adapted(name, base, split, options, at) if options.adapt else base
        figures = run_split(name, base, files, options, at)
        found.append({"pretraining_seconds": seconds, **figures})
    result: dict[str, Any] = {"base": "own" if options.own else shared}
    for key in found[0]:
        values = [one[key] for one in found]
        result[key] = round(statistics.mean(values), 3)
        if len(values) > 1 and key in COLUMNS:
            result[f"{key}_interval"] = round(spread(values)["interval"], 2)
    return result


def run_answers(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What the command of a row that answers questions prints."""
    model = options.model or ""
    if answer_rows.ROWS[name].needs_model and not model:
        budget = ("--size", options.size, "--time", options.time or "40min")
        model = answer_rows.chinese_base(folder, *budget, "--data", str(options.data))
    return answer_rows.run_row(name, model, options.data, folder)


def run_split(
    name: str, base: str, files: dict[str, str], options: argparse.Namespace, at: Path
) -> dict[str, float]:
    """The figures of one split, in % but for chat; parameters, megabytes and seconds."""
    kind = KIND_OF.get(name, Classify)
    figures = (
        before_training(kind, name, base, files, options.asked, at) if kind is not Chat else {}
    )
    settings = {"validation": files["validation"]} if "validation" in files else {}
    settings |= {"epochs": options.epochs} if options.epochs else {}
    settings |= {"augment": options.augment, "control": False} if options.augment else {}
    runs = []
    for seed in range(options.seeds):
        begin = time.perf_counter()
        with Display() as display:
            model = xinye.finetune(
                base, at / (f"run-{seed}" if seed else "run"), task=kind.verb, seed=seed,
                data=files["training"], method=options.method, overwrite=True, observer=display,
                **settings,
            )  # fmt: skip
        seconds = time.perf_counter() - begin
        result = RunFolder(model.folder).result()
        if result["interrupted"]:
            sys.exit(f"{name}: interrupted after {result['steps']} steps; there is no figure")
        memory = result["peak_memory_bytes"] / 1e9
        runs.append({
            "finetuning_seconds": seconds,
            "finetuning_gigabytes": memory,
            **judged_figures(name, model, files["test"]),
        })  # fmt: skip
        progress(f"{name}, seed {seed}: {json.dumps(runs[-1])}")
    figures |= {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
    if len(runs) > 1:
        figures["fine_tuned_spread"] = statistics.stdev(run["fine_tuned"] for run in runs)
    figures["parameters"] = sum(weight.numel() for weight in model.network.parameters())
    figures["megabytes"] = (
        sum(path.stat().st_size for path in model.folder.glob("*.safetensors")) / 1e6
    )
    return figures


def judged_figures(name: str, model: Any, test: str) -> dict[str, float]:
    """What a fine-tuned model reaches: its score in %, or for chat the figures of its answers."""
    chat = KIND_OF.get(name) is Chat
    judged = model.evaluate_task(test, baseline=chat)
    if not chat:
        parts = {"fine_tuned": judged["measured"]}
        if KIND_OF.get(name, Classify) is Classify:  # without word counts it is the same
            parts["alone"] = (judged["mixes"] or [judged["measured"]])[0]
        return {key: score(name, part) for key, part in parts.items()}
    parts = (("baseline", judged["baseline"]), ("fine_tuned", judged["measured"]))
    figures = {key: part["bits_per_byte"] for key, part in parts}
    return figures | {
        f"{key}_{figure}": part[figure]
        for key, part in parts
        for figure in ("ended", "answer_tokens")
    }


def score(name: str, figures: dict[str, Any]) -> float:
    """What the row is judged by, in %."""
    return 100 * SCORES.get(name, lambda found: found["accuracy"])(figures)


def before_training(
    kind: Any, name: str, base: str, files: dict[str, str], asked: int, at: Path
) -> dict[str, float]:
    """What is right in % by the baselines and, of what is to classify, by the base itself."""
    figures: dict[str, float] = {}
    training, test = kind.read([files["training"]]), kind.read([files["test"]])
    learned = kind.of(training)
    if kind is Classify:
        most = Counter(record.labels for record in test).most_common(1)[0][0]
        figures["majority"] = score(name, learned.compared(test, [most] * len(test)))
    figures["baseline"] = score(name, learned.baseline(training, test))
    if kind is Classify and asked and not learned.several:
        some = at / "asked.jsonl"
        rows = Path(files["test"]).read_text("utf-8").splitlines()
        random.Random(0).shuffle(rows)
        some.write_text("\n".join(rows[:asked]) + "\n", "utf-8")
        question = QUESTIONS.get(name, Question())
        words = {"labels": question.labels or learned.labels, "prompt": question.prompt}
        model = xinye.load(base)
        for key, examples in (("zero_shot", ()), ("few_shot", files["training"])):
            begin = time.perf_counter()
            judged = model.evaluate_task(some, baseline=False, examples=examples, **words)
            figures[key] = score(name, judged["measured"])
            figures[f"{key}_seconds"] = time.perf_counter() - begin
    return figures


def base_of(name: str, options: argparse.Namespace, folder: Path) -> str:
    """The base that the row begins with, pretrained unless it is there."""
    if name in OPINIONS:
        budget = ("--size", options.size, "--time", options.time or "40min")
        return answer_rows.chinese_base(folder, *budget, "--data", str(options.data))
    return pretrained("en" if name in ENGLISH else "zh", options, folder)


def own_base(name: str, split: Split, options: argparse.Namespace, at: Path) -> str:
    """A base that is pretrained on the training texts of a split alone."""
    texts = dict.fromkeys(texts_of(split.training))
    return pretrained_on([*texts], "en" if name in ENGLISH else "zh", options, at / "base")


def adapted(name: str, base: str, split: Split, options: argparse.Namespace, at: Path) -> str:
    """The base, pretrained further on the row's training texts and open ones of their kind."""
    output = at / "adapted"
    if (output / "training" / "result.json").is_file():
        return str(output)
    texts = dict.fromkeys(texts_of(split.training))
    for source in UNLABELLED.get(name, ()):
        texts |= dict.fromkeys(SOURCES[source](options.data))
    kept = texts.keys() - set(texts_of(split.test))
    file = write(at / "adapted.jsonl", [Item(text, "") for text in texts if text in kept])
    with Display() as display:
        xinye.pretrain(
            file, output, from_=base, epochs=options.adapt, field="text", validation=0.05,
            overwrite=True, observer=display,
        )  # fmt: skip
    return str(output)


def pretrained(language: str, options: argparse.Namespace, folder: Path) -> str:
    """The folder of the base that all rows of a language share."""
    output = folder / f"base-{language}"
    if (output / "training" / "result.json").is_file():
        return str(output)
    apart = (*OPINIONS, *ASIDE, *CURVE)
    rows = [row for row in ROWS if row not in apart and (row in ENGLISH) == (language == "en")]
    splits = [split for row in rows for split in splits_of(row, options)]
    judged = {first_line(text) for split in splits for text in texts_of(split.test)}
    texts = {text: None for split in splits for text in texts_of(split.training)}
    for source in UNLABELLED[language]:
        texts |= dict.fromkeys(SOURCES[source](options.data))
    kept = [text for text in texts if first_line(text) not in judged]
    progress(f"base of {', '.join((*rows, *UNLABELLED[language]))}")
    return pretrained_on(kept, language, options, output)


def pretrained_on(
    texts: Sequence[str], language: str, options: argparse.Namespace, output: Path
) -> str:
    """The folder of a base that is pretrained on texts."""
    progress(f"base of {len(texts):,} texts, {sum(map(len, texts)):,} characters")
    file = write(output.with_name(f"{output.name}.jsonl"), [Item(text, "") for text in texts])
    with Display() as display:
        xinye.pretrain(
            file, output, size=options.size, time=options.time or "10min", field="text", overwrite=True, observer=display,
            tokenizer="char" if language == "zh" else "bpe", context=512,
        )  # fmt: skip
    return str(output)


def splits_of(name: str, options: argparse.Namespace) -> list[Split]:
    row, _, part = name.partition("-")
    return list(SPLITS[row](options.data, part))


def show(figures: dict[str, dict[str, Any]]) -> None:
    """The table, as Markdown, on standard error."""
    print(
        f"\n| row | {' | '.join(COLUMNS)} | parameters | MB | s | GB |\n"
        f"|{'---|' * (len(COLUMNS) + 5)}",
        file=sys.stderr,
    )
    for name, row in figures.items():
        cells = []
        for key in COLUMNS:
            interval = f" ± {row[f'{key}_interval']:.1f}" if f"{key}_interval" in row else ""
            digits = 3 if KIND_OF.get(name) is Chat else 1
            cells.append(f"{row[key]:.{digits}f}{interval}" if key in row else "")
        seconds = row["pretraining_seconds"] + row["finetuning_seconds"]
        cells += [f"{row['parameters']:,.0f}", f"{row['megabytes']:.1f}", f"{seconds:,.0f}"]
        cells.append(f"{row['finetuning_gigabytes']:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", file=sys.stderr)


if __name__ == "__main__":
    main()
