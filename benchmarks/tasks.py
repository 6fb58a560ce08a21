"""Real tasks from a base of one's own: pretrained on unlabelled text of the kind, asked without
training, fine-tuned.

    python benchmarks/tasks.py chnsenticorp --time 20min
    python benchmarks/tasks.py fewclue --time 30min            # its six tasks
    python benchmarks/tasks.py waimai banking77 --model runs/base
    python benchmarks/tasks.py alpaca --model SmolLM2-135M-Instruct.Q4_1.gguf --method lora --epochs 1
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
| cluener | train | dev, by the F1 of spans |
| alpaca | nine tenths of 999 instructions in English | the rest, by bits per byte of the answers |
| fewclue-TASK | train_0, judged along the way on dev_0 | test_public |

Elsewhere a tenth of what is learned from is kept back to judge along the way; what a row is judged
on decides nothing. Without `--model` one base for all Chinese rows, and one for the English, is
pretrained for `--time` on their training texts and on open text of their kind (`UNLABELLED`), of
which texts that are judged on are left out; the tokens of the Chinese one are characters. Beside
the fine-tuned model stand always saying the label that is right most often, TF-IDF with logistic
regression (for spans, the most frequent tag of the same words) learned from all of the training
records, and the base itself, asked without training (zero-shot), or with training records as
examples (few-shot), on the first `--asked` records that chance takes. Beside a chat model stands
the base. Accuracy in %, and time in seconds; a row takes the time of its base and, on two cores, 2
to 20 minutes more.

The rows that answer questions (`answer_rows.py`) are commands of other benchmarks, whose figures are
gathered here. Their Chinese base is that of `chinese_base.py`, 40 minutes unless `--time` says
otherwise.

Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import answer_rows
from common import machine, peak_gigabytes, progress, report

import xinye
from xinye.cli.output import Display
from xinye.data.sources import read_records
from xinye.studies.folds import spread
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag

FEWCLUE = ("tnews", "eprstmt", "csl", "bustm", "ocnli", "cluewsc")
ROWS = ("chnsenticorp", "waimai", "thucnews", "banking77", "finance", "cluener", "alpaca")
ROWS += tuple(f"fewclue-{task}" for task in FEWCLUE)
KIND_OF = {"cluener": Tag, "alpaca": Chat}  # all others are to classify
COLUMNS = ("majority", "baseline", "zero_shot", "few_shot", "fine_tuned")
ENGLISH = ("banking77", "alpaca")
UNLABELLED = {
    "zh": ("shopping", "tnews", "eprstmt", "bustm", "stocks"),
    "en": ("tinystories", "instructions"),
}


class Item(NamedTuple):
    text: str
    label: str
    pair: str = ""


@dataclass
class Split:
    """What a row learns from and is judged on. For spans these are files; to a question the label
    is its answer."""

    training: Any
    test: Any
    validation: Sequence[Item] = ()


@dataclass
class Question:
    """How a row is asked without training: its labels, with the words for them, and the prompt."""

    labels: tuple[str, ...] = ()
    prompt: str | None = None


REVIEW = Question(("好评=很好", "差评=很差"), "{text}\n总的来说，{label}")
QUESTIONS = {
    "chnsenticorp": REVIEW,
    "waimai": REVIEW,
    "thucnews": Question(prompt="{text}\n这是一条{label}新闻"),
    "finance": Question(("利好=上涨", "利空=下跌"), "{text}\n股价将会{label}"),
    "fewclue-tnews": Question(prompt="{text}\n这是一条{label}新闻"),
    "fewclue-eprstmt": REVIEW,
    "fewclue-csl": Question(("合适=合适", "不合适=不对"), "{text}\n关键词：{pair}，{label}"),
    "fewclue-bustm": Question(("相同=一样", "不同=不同"), "{text}\n{pair}\n两句话的意思{label}"),
    "fewclue-ocnli": Question(("蕴含=是的", "中立=也许", "矛盾=不是"), "{text}？{label}，{pair}"),
    "fewclue-cluewsc": Question(("是=对", "否=错"), "{text}\n{pair}，{label}"),
}
THUCNEWS = ("财经", "房产", "股票", "教育", "科技", "社会", "时政", "体育", "游戏", "娱乐")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows",
        nargs="+",
        metavar="ROW",
        help=f"of {', '.join((*ROWS, *answer_rows.ROWS))}; fewclue is its six tasks, answers the "
        "rows of questions in Chinese",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--model", help="the base to begin with, instead of pretraining one")
    parser.add_argument("--size", default="5M", help="of the base")
    parser.add_argument(
        "--time", help="for which the base is pretrained: 10min; 40min where it answers questions"
    )
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
    groups = {"fewclue": [f"fewclue-{task}" for task in FEWCLUE], "answers": chinese}
    names = [name for row in rows for name in groups.get(row, [row])]
    known = (*ROWS, *answer_rows.ROWS)
    for name in names:
        if name not in known:
            parser.error(f"no row {name!r}; there are {', '.join((*known, *groups))}")
    return names


def check(
    names: Sequence[str], options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse at once what a row that answers questions lacks, or would ignore."""
    for name in names:
        row = answer_rows.ROWS.get(name)
        if row and (options.epochs or options.augment or options.method != "full"):
            parser.error(
                f"the row {name} has settings of its own; run {row.command[0]} with others"
            )
        if row and row.chat and not options.model:
            parser.error(f"{name}: name a chat model, --model SmolLM2-135M-Instruct.Q4_1.gguf")


# -- a row -----------------------------------------------------------------------------------------


def run_row(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of a row; those of several splits are their mean."""
    splits = splits_of(name, options)
    begin = time.perf_counter()
    base = options.model or pretrained("en" if name in ENGLISH else "zh", options, folder)
    pretraining = time.perf_counter() - begin
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
        found.append(run_split(name, base, files, options, at))
    result: dict[str, Any] = {"base": str(base), "pretraining_seconds": round(pretraining)}
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
    begin = time.perf_counter()
    settings = {"validation": files["validation"]} if "validation" in files else {}
    settings |= {"epochs": options.epochs} if options.epochs else {}
    settings |= {"augment": options.augment, "control": False} if options.augment else {}
    with Display() as display:
        model = xinye.finetune(
            base, at / "run", task=kind.verb, data=files["training"], method=options.method, overwrite=True,
            observer=display, **settings,
        )  # fmt: skip
    figures["finetuning_seconds"] = time.perf_counter() - begin
    judged = model.evaluate_task(files["test"], baseline=kind is Chat)
    if kind is Chat:
        parts = (("baseline", judged["baseline"]), ("fine_tuned", judged["measured"]))
        figures |= {key: part["bits_per_byte"] for key, part in parts}
        figures |= {
            f"{key}_{figure}": part[figure]
            for key, part in parts
            for figure in ("ended", "answer_tokens")
        }
    else:
        figures["fine_tuned"] = 100 * judged["measured"]["span_f1" if kind is Tag else "accuracy"]
    figures["parameters"] = sum(weight.numel() for weight in model.network.parameters())
    figures["megabytes"] = (
        sum(path.stat().st_size for path in model.folder.glob("*.safetensors")) / 1e6
    )
    return figures


def before_training(
    kind: Any, name: str, base: str, files: dict[str, str], asked: int, at: Path
) -> dict[str, float]:
    """What is right in % by the baselines and, of what is to classify, by the base itself."""
    figures: dict[str, float] = {}
    training, test = kind.read([files["training"]]), kind.read([files["test"]])
    learned = kind.of(training)
    if kind is Classify:
        figures["majority"] = (
            100 * Counter(record.labels for record in test).most_common(1)[0][1] / len(test)
        )
    figures["baseline"] = (
        100 * learned.baseline(training, test)["span_f1" if kind is Tag else "accuracy"]
    )
    if kind is Classify and asked:
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
            figures[key] = 100 * judged["measured"]["accuracy"]
            figures[f"{key}_seconds"] = time.perf_counter() - begin
    return figures


def pretrained(language: str, options: argparse.Namespace, folder: Path) -> str:
    """The folder of the base that all rows of a language share."""
    output = folder / f"base-{language}"
    if (output / "training" / "result.json").is_file():
        return str(output)
    rows = [row for row in ROWS if (row in ENGLISH) == (language == "en")]
    splits = [split for row in rows for split in splits_of(row, options)]
    judged = {first_line(text) for split in splits for text in texts_of(split.test)}
    texts = {text: None for split in splits for text in texts_of(split.training)}
    for source in UNLABELLED[language]:
        texts |= dict.fromkeys(SOURCES[source](options.data))
    kept = [text for text in texts if first_line(text) not in judged]
    characters = sum(map(len, kept))
    progress(
        f"base of {len(kept):,} texts, {characters:,} characters: "
        f"{', '.join((*rows, *UNLABELLED[language]))}"
    )
    file = write(folder / f"base-{language}.jsonl", [Item(text, "") for text in kept])
    with Display() as display:
        xinye.pretrain(
            file, output, size=options.size, time=options.time or "10min", field="text", overwrite=True, observer=display,
            tokenizer="char" if language == "zh" else "bpe", context=512,
        )  # fmt: skip
    return str(output)


def splits_of(name: str, options: argparse.Namespace) -> list[Split]:
    row, _, part = name.partition("-")
    return list(SPLITS[row](options.data, part))


def texts_of(items: Any) -> Iterator[str]:
    if isinstance(items, Path):
        items = [Item(record.text, "") for record in Tag.read([str(items)])]
    for item in items:
        yield from filter(None, (item.text, item.pair))


def first_line(text: str) -> str:
    """By which a text is known again where more stands behind it, such as an answer."""
    return text.partition("\n")[0]


def write(path: Path, items: Any, chat: bool = False) -> str:
    """Records as the task reads them; a file is as it is."""
    if isinstance(items, Path):
        return str(items)
    pairs = any(item.pair for item in items)
    question, answer = ("prompt", "response") if chat else ("text", "label")
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            row = {
                question: item.text,
                **({"text_pair": item.pair} if pairs else {}),
                answer: item.label,
            }
            print(json.dumps(row, ensure_ascii=False), file=file)
    return str(path)


def show(figures: dict[str, dict[str, Any]]) -> None:
    """The table, as Markdown, on standard error."""
    print(
        f"\n| row | {' | '.join(COLUMNS)} | parameters | MB | s |\n|{'---|' * (len(COLUMNS) + 4)}",
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
        print(f"| {name} | {' | '.join(cells)} |", file=sys.stderr)


# -- data, in its own formats ----------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_records(path)]


def chnsenticorp(data: Path, _: str) -> Iterator[Split]:
    names = {"1": "好评", "0": "差评"}
    parts = [
        [
            Item(row["text"], names[str(row["label"])])
            for row in rows_of(data / f"sentiment_zh/ChnSentiCorp_{part}.jsonl")
        ]
        for part in ("train", "test")
    ]
    yield Split(*parts)


def waimai(data: Path, _: str) -> Iterator[Split]:
    from sklearn.model_selection import train_test_split

    names = {"1": "好评", "0": "差评"}
    items = [
        Item(row["review"], names[str(row["label"])])
        for row in rows_of(data / "sentiment_zh/waimai_10k.csv")
    ]
    labels = [item.label for item in items]
    yield Split(*train_test_split(items, test_size=0.2, random_state=0, stratify=labels))


def thucnews(data: Path, _: str) -> Iterator[Split]:
    parts = []
    for part in ("dev", "test"):
        lines = (data / f"thucnews_zh/{part}.txt").read_text("utf-8").splitlines()
        rows = [line.rsplit("\t", 1) for line in lines if line.strip()]
        parts.append([Item(text, THUCNEWS[int(number)]) for text, number in rows])
    yield Split(*parts)


def banking77(data: Path, _: str) -> Iterator[Split]:
    parts = [
        [Item(row["text"], row["category"]) for row in rows_of(data / f"banking77_en/{part}.csv")]
        for part in ("train", "test")
    ]
    yield Split(*parts)


def finance(data: Path, _: str) -> Iterator[Split]:
    from sklearn.model_selection import StratifiedKFold

    names = {"1": "利好", "0": "利空"}
    items = [
        Item(f"{row['标题']}\n{row['正文']}", names[str(row["正负面"])])
        for row in rows_of(data / "finance_sentiment_zh/test_data.csv")
    ]
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(
        items, [item.label for item in items]
    )
    for training, test in folds:
        yield Split([items[number] for number in training], [items[number] for number in test])


def cluener(data: Path, _: str) -> Iterator[Split]:
    yield Split(data / "cluener_zh/train.json", data / "cluener_zh/dev.json")


def alpaca(data: Path, _: str) -> Iterator[Split]:
    rows = rows_of(data / "llamafactory_demo/alpaca_en_demo.json")
    items = [Item(instruction(row), row["output"]) for row in rows if row["output"].strip()]
    random.Random(0).shuffle(items)
    yield Split(items[len(items) // 10 :], items[: len(items) // 10])


def instruction(row: dict[str, str]) -> str:
    return "\n".join(filter(None, (row["instruction"], row["input"])))


def fewclue(data: Path, task: str) -> Iterator[Split]:
    folder = data / "fewclue" / task
    parts = {}
    for part in ("train_0", "test_public", "dev_0"):
        lines = (folder / f"{part}.json").read_text("utf-8").splitlines()
        items = [fewclue_item(folder, task, json.loads(line)) for line in lines if line.strip()]
        parts[part] = [item for item in items if item.label]
    yield Split(*parts.values())


def fewclue_item(folder: Path, task: str, row: dict[str, Any]) -> Item:
    """A record with its label by name; "" where the annotators found none."""
    label = str(row["label"])
    if task == "tnews":
        lines = (folder / "label_index2en2zh.json").read_text("utf-8").splitlines()
        return Item(
            row["sentence"],
            {each["label"]: each["label_zh"] for each in map(json.loads, lines)}[label],
        )
    if task == "eprstmt":
        return Item(row["sentence"], {"Positive": "好评", "Negative": "差评"}[label])
    if task == "csl":
        return Item(row["abst"], {"1": "合适", "0": "不合适"}[label], "、".join(row["keyword"]))
    if task == "bustm":
        return Item(row["sentence1"], {"1": "相同", "0": "不同"}[label], row["sentence2"])
    if task == "ocnli":
        names = {"entailment": "蕴含", "neutral": "中立", "contradiction": "矛盾"}
        return Item(row["sentence1"], names.get(label, ""), row["sentence2"])
    target = row["target"]
    return Item(
        row["text"],
        {"true": "是", "false": "否"}[label],
        f"{target['span2_text']}指{target['span1_text']}",
    )


def shopping(data: Path) -> Iterator[str]:
    with zipfile.ZipFile(data / "sentiment_zh/online_shopping_10_cats.zip") as archive:
        text = archive.read("online_shopping_10_cats.csv").decode("utf-8-sig")
    yield from (row["review"] for row in csv.DictReader(text.splitlines()) if row["review"])


def instructions(data: Path) -> Iterator[str]:
    for path in sorted((data / "alpaca_zh_en").glob("en_*.json")):
        yield from (f"{instruction(row)}\n{row['output']}" for row in rows_of(path))


def stocks(data: Path) -> Iterator[str]:
    for kind in ("positive", "negative"):
        lines = (
            (data / f"finance_sentiment_zh/stock_comments_{kind}.txt")
            .read_text("utf-8", "replace")
            .splitlines()
        )
        yield from ("".join(line.split()) for line in lines if line.strip())


def unlabelled(data: Path, task: str) -> Iterator[str]:
    for line in (data / f"fewclue/{task}/unlabeled.json").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield from (row[key] for key in ("sentence", "sentence1", "sentence2") if row.get(key))


SPLITS = {
    f.__name__: f
    for f in (chnsenticorp, waimai, thucnews, banking77, finance, cluener, alpaca, fewclue)
}
SOURCES = {
    "shopping": shopping,
    "stocks": stocks,
    "instructions": instructions,
    "tinystories": lambda data: (
        (data / "tinystories_sample/tiny_stories.txt").read_text("utf-8").split("\n\n")
    ),
    **{
        task: lambda data, task=task: unlabelled(data, task)
        for task in ("tnews", "eprstmt", "bustm")
    },
}


if __name__ == "__main__":
    main()
