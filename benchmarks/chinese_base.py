"""One Chinese base for the rows that answer, write and recommend: 40 minutes of reading on two cores.

    python benchmarks/chinese_base.py -o runs/chinese            # the base
    python benchmarks/chinese_base.py -o runs/chinese --text-only   # its text alone

| read | left out, as it is judged on |
|---|---|
| national laws, recipes, a textbook of deep learning | regional laws |
| shop reviews, headlines and comments without labels | |
| instructions, chats, doctors' answers | 1,000 doctors' records (`FAQ`) |
| films, music and travel (KdConv dev), Beijing (CrossWOZ val) | their test parts |
| news of finance (FinNL train, FinNA but the last 1,000), abstracts (nine tenths of CSL dev) | the rest |
| passages with questions: DRCD, CMRC trial, XQuAD, twice | CMRC dev |

The tokens are characters. Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import gzip
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import machine, progress, report

import xinye
from xinye.cli.output import Display
from xinye.data.sources import read_records

REGIONAL = ("DLC", "案例", "其他")  # categories of laws
FAQ = 1000  # records of the doctors that are kept for the row FAQ


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--size", default="5M")
    parser.add_argument("--time", default="40min")
    parser.add_argument("--text-only", action="store_true")
    options = parser.parse_args()
    facts = machine("torch")
    text = options.output.with_suffix(".jsonl")
    text.parent.mkdir(parents=True, exist_ok=True)
    counts = write_text(text, options.data)
    progress(f"{text}: {json.dumps(counts)}")
    run = None if options.text_only else pretrained(text, options)
    report(
        benchmark="chinese_base",
        characters=counts,
        validation=run and run.validation,
        settings={"size": options.size, "time": options.time},
        machine=facts,
    )


def pretrained(text: Path, options: argparse.Namespace) -> Any:
    with Display() as display:
        return xinye.pretrain(
            text, options.output, size=options.size, time=options.time, field="text",
            tokenizer="char", context=512, overwrite=True, observer=display,
        )  # fmt: skip


def write_text(path: Path, data: Path) -> dict[str, int]:
    """Write the text of the base; returns the characters of each source."""
    counts = {}
    with path.open("w", encoding="utf-8") as file:
        for source in (laws, open_books, reviews, unlabelled, instructions, doctors, chats,
                       finance, abstracts, questions, questions):  # fmt: skip
            texts = [text for text in source(data) if text.strip()]
            for text in texts:
                print(json.dumps({"text": text}, ensure_ascii=False), file=file)
            counts[source.__name__] = counts.get(source.__name__, 0) + sum(map(len, texts))
    return counts


# -- sources ---------------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    return [row for _, row in read_records(path)]


def laws(data: Path) -> Iterator[str]:
    for row in rows_of(data / "laws_zh/laws.jsonl.gz"):
        if row["category"] not in REGIONAL:
            yield f"{row['title']}\n{row['text']}"


def open_books(data: Path) -> Iterator[str]:
    for name in ("recipes_zh/recipes", "d2l_zh/chapters"):
        yield from (row["text"] for row in rows_of(data / f"{name}.jsonl.gz"))


def reviews(data: Path) -> Iterator[str]:
    with zipfile.ZipFile(data / "sentiment_zh/online_shopping_10_cats.zip") as archive:
        lines = archive.read("online_shopping_10_cats.csv").decode("utf-8-sig").splitlines()
    yield from (line.split(",", 2)[2] for line in lines[1:] if line.count(",") > 1)


def unlabelled(data: Path) -> Iterator[str]:
    for task in ("tnews", "eprstmt", "bustm"):
        for line in (data / f"fewclue/{task}/unlabeled.json").read_text("utf-8").splitlines():
            row = json.loads(line)
            names = ("sentence", "sentence1", "sentence2")
            yield from (row[name] for name in names if row.get(name))


def instructions(data: Path) -> Iterator[str]:
    files = sorted((data / "alpaca_zh_en").glob("zh_*.json"))
    for path in (*files, data / "llamafactory_demo/alpaca_zh_demo.json"):
        for row in json.loads(path.read_text("utf-8")):
            yield "\n".join(filter(None, (row["instruction"], row["input"], row["output"])))
    for name in ("sharegpt_zh_1K_format", "medical_sft_1K_format"):
        for row in rows_of(data / f"medicalgpt_demo_zh/{name}.jsonl"):
            yield "\n".join(turn["value"] for turn in row["conversations"])


def doctors(data: Path) -> Iterator[str]:
    for row in doctors_records(data)[FAQ:]:
        yield "\n".join((row["title"], row["ask"], row["answer"]))


def doctors_records(data: Path) -> list[dict[str, Any]]:
    """The records with each title once, shuffled; the first `FAQ` are judged on."""
    rows = rows_of(data / "medical_dialogue_zh/neike_5000-6000.gb18030.csv")
    records = list({row["title"].strip(): row for row in rows}.values())
    random.Random(0).shuffle(records)
    return records


def chats(data: Path) -> Iterator[str]:
    """Conversations, and the sentences of an encyclopedia that they rest on."""
    for domain in ("film", "music", "travel"):
        with gzip.open(data / f"kdconv_zh/{domain}_dev.json.gz", "rt", encoding="utf-8") as file:
            conversations = json.load(file)
        facts: dict[str, None] = {}
        for conversation in conversations:
            yield "\n".join(turn["message"] for turn in conversation["messages"])
            for turn in conversation["messages"]:
                for fact in turn.get("attrs", ()):
                    facts[f"{fact['name']}，{fact['attrname']}：{fact['attrvalue']}"] = None
        yield from (fact.replace("，Information：", "\n") for fact in facts)
    for messages in crosswoz(data, "val"):
        yield "\n".join(turn["content"] for turn in messages)


def crosswoz(data: Path, part: str) -> Iterator[list[dict[str, Any]]]:
    with zipfile.ZipFile(data / f"crosswoz_zh/{part}.json.zip") as archive:
        (name,) = archive.namelist()
        conversations = json.loads(archive.read(name))
    yield from (conversation["messages"] for conversation in conversations.values())


def finance(data: Path) -> Iterator[str]:
    folder = data / "finance_opinion_zh"
    yield from (text for text, _ in json.loads((folder / "finnl_train.json").read_text("utf-8")))
    pairs = json.loads((folder / "finna_eval.json").read_text("utf-8"))
    yield from (f"{headline}\n{text}" for headline, text in pairs[:-1000])


def abstracts(data: Path) -> Iterator[str]:
    lines = (data / "csl_title_zh/ts_dev.tsv").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        _, text, title = line.split("\t")
        if number % 10 != 9:  # the tenth are the validation of `summaries.py`
            yield f"{title}\n{text}"


def questions(data: Path) -> Iterator[str]:
    """A passage, then each question about it with its answer."""
    for passage in passages(data):
        asked = "\n".join(f"问：{q['question']}\n答：{answer(q)}" for q in passage["qas"])
        yield f"{passage['context']}\n{asked}"


def passages(data: Path) -> Iterator[dict[str, Any]]:
    """The passages that a model that answers learns from, in simplified characters."""
    import opencc

    simplified = opencc.OpenCC("t2s").convert
    yield from squad(json.loads(simplified((data / "drcd_zh/DRCD_dev.json").read_text("utf-8"))))
    for name in ("cmrc2018_zh/cmrc2018_trial.json", "xquad_en_zh/xquad.zh.json"):
        yield from squad(json.loads((data / name).read_text("utf-8")))


def squad(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for article in told["data"]:
        yield from article["paragraphs"]


def answer(question: dict[str, Any]) -> str:
    return question["answers"][0]["text"]


if __name__ == "__main__":
    main()
