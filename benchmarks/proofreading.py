"""Files for the rows of proofreading: correct sentences, in which errors are made by rule, and pairs
of SIGHAN 2015.

What is learned from are sentences of a base's text, each once and in random order, with 8 to 100
characters of which most are Chinese. What is judged are sentences of the documents that the base's
pretraining held out, or of kinds of texts that the base of `chinese_base.py` has not read: news of
FinNA, passages of CMRC dev, and doctors' records.
"""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chinese_base import FAQ, doctors_records, squad

from xinye.data.corpus import Division
from xinye.data.files import write_json_lines
from xinye.data.scripts import is_han
from xinye.data.sources import find_files
from xinye.data.tokenizer import Tokenizer
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.runs.resume import saved_values
from xinye.tasks.proofread_records import in_parts
from xinye.tasks.text import VALIDATION_TOKENS, tokenize

SENTENCES, JUDGED = 40_000, 1000  # to learn from; for validation and for the test, each
LENGTHS = range(8, 101)  # characters
VALIDATION_PAIRS = 400


def row(
    model: Path, data: Path, at: Path, *, new: bool = False, pairs: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The files of a row, and the settings with which it is trained. With `new`, it is judged on
    kinds of texts that the base has not read; with `pairs`, on those of SIGHAN 2015."""
    folder = data / "sighan15_zh"
    test = folder / "sighan15_test.tsv"
    lines = test.read_text("utf-8").splitlines()
    judged = {part.strip() for line in lines for part in line.split("\t")}
    learned, held_out = documents(model)
    unread = sentences(unread_texts(data) if new else held_out, judged, 2 * JUDGED)
    learned_from = sentences(learned, judged | {*unread}, SENTENCES)
    parts = {"test": unread[:JUDGED], "validation": unread[JUDGED:], "training": learned_from}
    files: dict[str, Any] = {name: [at / f"{name}.txt"] for name in parts}
    for name, some in parts.items():
        files[name][0].write_text("".join(f"{each}\n" for each in some), "utf-8")
    if pairs:
        known = [each for each in people(folder) if not judged & {*each.values()}]
        random.Random(0).shuffle(known)
        kept = {"validation": known[:VALIDATION_PAIRS], "training": known[VALIDATION_PAIRS:]}
        files |= {"test": [test], "validation": []}
        for name, some in kept.items():
            files[name].append(at / f"{name}_pairs.jsonl")
            write_json_lines(files[name][-1], some)
    files = {name: tuple(map(str, each)) for name, each in files.items()}
    return files, {"epochs": 1, "confusions": (str(folder / "same_stroke.txt"),)}


def documents(model: Path) -> tuple[list[str], list[str]]:
    """The texts that a base has learned, and those that its pretraining held out."""
    settings = saved_values(RunFolder(model), PretrainSettings)
    tokenizer = Tokenizer.load(model)
    read = PretrainSettings(**settings)
    corpus = tokenize(find_files(read.files), read, tokenizer, Observer())
    if corpus.about.text != RunFolder(model).about()["text"]:
        raise SystemExit(f"{read.files[0]} has changed since {model} read it")
    training, validation = (
        [
            tokenizer.decode(part.tokens(block)[begin:end])
            for block in range(len(part))
            for begin, end in part.spans(block)
        ]
        for part in Division(corpus, read.validation, VALIDATION_TOKENS).parts()
    )
    return training, validation


def unread_texts(data: Path) -> Iterator[str]:
    """Texts that the Chinese base leaves out."""
    news = json.loads((data / "finance_opinion_zh/finna_eval.json").read_text("utf-8"))
    yield from (text for _, text in news[-1000:])
    passages = json.loads((data / "cmrc2018_zh/cmrc2018_dev.json").read_text("utf-8"))
    yield from (passage["context"] for passage in squad(passages))
    yield from (record["ask"] for record in doctors_records(data)[:FAQ])


def people(folder: Path) -> list[dict[str, str]]:
    """What people wrote, and what they should have written."""
    rows = json.loads((folder / "sighan15_train.json").read_text("utf-8"))
    return [{"wrong": each["original_text"], "right": each["correct_text"]} for each in rows]


def sentences(texts: Iterable[str], judged: set[str], count: int) -> list[str]:
    """So many different sentences of the texts, in random order."""
    chance = random.Random(0)
    known = list(texts)
    chance.shuffle(known)
    found: dict[str, None] = {}
    for text in known:
        found |= dict.fromkeys(part for part in usable(text) if part not in judged)
        if len(found) >= count:
            break
    chosen = list(found)
    chance.shuffle(chosen)
    return chosen[:count]


def usable(text: str) -> Iterator[str]:
    """The sentences of a text that are of the right length and in Chinese."""
    for part in in_parts(text):
        if len(part) in LENGTHS and "\n" not in part and sum(map(is_han, part)) > 0.7 * len(part):
            yield part
