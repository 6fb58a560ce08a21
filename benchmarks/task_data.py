"""The data of the rows of `tasks.py`, each read in place, in its own format."""

import csv
import json
import random
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xinye.data.sources import read_records
from xinye.tasks.tag import Tag

FEWCLUE = ("tnews", "eprstmt", "csl", "bustm", "ocnli", "cluewsc")
TOPIC = 20  # records, below which a topic of FinNL is a slip of the pen
THUCNEWS = ("财经", "房产", "股票", "教育", "科技", "社会", "时政", "体育", "游戏", "娱乐")


class Item(NamedTuple):
    text: str
    label: str | list[str]  # a list where a text may have several
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


def reviews(data: Path, part: str) -> Iterator[Split]:
    """So many of ChnSentiCorp's training records, drawn by chance with equal shares of the labels,
    for a curve over the number of records."""
    [whole] = chnsenticorp(data, "")
    items = random.Random(0).sample(whole.training, len(whole.training))
    labels = sorted({item.label for item in items})
    some = [[item for item in items if item.label == label] for label in labels]
    count = int(part) // len(labels)
    yield Split([item for kind in some for item in kind[:count]], whole.test)


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


def finfe(data: Path, _: str) -> Iterator[Split]:
    """All records of train, of which many stand there twice, some with two moods; of eval those
    whose text is not in train."""
    moods = ("负面", "中性", "正面")
    training, test = (
        [Item(text, moods[int(number)]) for text, number in opinions(data, "finfe", part)]
        for part in ("train", "eval")
    )
    known = {item.text for item in training}
    yield Split(training, [item for item in test if item.text not in known])


def finnl(data: Path, _: str) -> Iterator[Split]:
    """Without slips of the pen: topics that train has fewer than `TOPIC` times, and records that
    have no other. Train is without the texts of eval."""
    training, test = (list(opinions(data, "finnl", part)) for part in ("train", "eval"))
    counts = Counter(topic for _, topics in training for topic in topics.split())
    judged = {text for text, _ in test}

    def items(rows: list[tuple[str, str]]) -> Iterator[Item]:
        for text, topics in rows:
            if known := [topic for topic in topics.split() if counts[topic] >= TOPIC]:
                yield Item(text, known)

    yield Split([item for item in items(training) if item.text not in judged], list(items(test)))


def opinions(data: Path, name: str, part: str) -> Iterator[tuple[str, Any]]:
    path = data / f"finance_opinion_zh/{name}_{part}.json"
    yield from (row for row in json.loads(path.read_text("utf-8")) if row[0].strip())


def abstracts(data: Path, _: str) -> Iterator[Split]:
    """Titles of Chinese scientific papers, of 13 disciplines."""
    parts = []
    for part in ("train", "dev"):
        lines = (data / f"csl_title_zh/cls_ctg_{part}.tsv").read_text("utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip()]
        parts.append([Item(text, label) for _, text, label in rows])
    yield Split(*parts)


def departments(data: Path, _: str) -> Iterator[Split]:
    """Questions of patients, and the department that they were put to; 80 % to learn from. Rare
    departments are left out, and so are questions that stand there twice."""
    from sklearn.model_selection import train_test_split

    path = data / "medical_dialogue_zh/neike_5000-6000.gb18030.csv"
    rows = csv.DictReader(path.read_text("gb18030", "replace").splitlines())
    found = {f"{row['title']}\n{row['ask']}": row["department"] for row in rows}
    counts = Counter(found.values())
    items = [Item(text, name) for text, name in found.items() if counts[name] >= TOPIC]
    labels = [item.label for item in items]
    yield Split(*train_test_split(items, test_size=0.2, random_state=0, stratify=labels))


def wnut(data: Path, _: str) -> Iterator[Split]:
    """Names of six kinds in English posts, most of them new in the test."""
    folder = data / "ner_en_open/WNUT17/CONLL-format/data"
    yield Split(folder / "train/wnut17train.conll", folder / "test/emerging.test.annotated")


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
    for f in (
        chnsenticorp,
        waimai,
        thucnews,
        banking77,
        finance,
        finfe,
        finnl,
        reviews,
        abstracts,
        departments,
        wnut,
        cluener,
        alpaca,
        fewclue,
    )
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
                "labels" if isinstance(item.label, list) else answer: item.label,
            }
            print(json.dumps(row, ensure_ascii=False), file=file)
    return str(path)
