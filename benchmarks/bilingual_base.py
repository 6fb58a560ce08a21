"""A base that has read English and Chinese side by side, for translations: 40 minutes on two cores.

    python benchmarks/bilingual_base.py -o runs/bilingual                  # with pairs mixed in
    python benchmarks/bilingual_base.py -o runs/bilingual --no-task-mix    # text alone

| read | |
|---|---|
| English | children's stories, Moby-Dick, State of the Union, alpaca's instructions, passages of XQuAD |
| Chinese | three million characters, by chance, of what `chinese_base.py` reads |
| pairs | Tatoeba's training pairs (`tatoeba.py`), and short lines that both parts of alpaca have |

Four fifths of what it reads are pairs, both directions, asked and answered as the task `translate` does.
Sentences of Tatoeba's test and validation are left out. alpaca's Chinese part lacks some records of
the English one; `aligned` finds which. Data is read in place from `--data`. Prints one JSON object
last.
"""

import argparse
import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tatoeba
from chinese_base import write_text
from common import machine, progress, report

import xinye
from xinye.cli.output import Display

CHINESE = 3_000_000  # characters
LONGEST = 3000  # characters of a text
SHARE = 0.8  # of the tokens, that pairs take
HAN = re.compile("[\u4e00-\u9fff]")
Row = dict[str, Any]
Pairs = list[tuple[str, str]]  # English and Chinese


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
    parser.add_argument("--task-mix", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    facts = machine("torch")
    text, pairs = (options.output.with_suffix(suffix) for suffix in (".jsonl", ".tsv"))
    text.parent.mkdir(parents=True, exist_ok=True)
    counts = write(text, pairs, options.data)
    progress(json.dumps(counts))
    mix = {"translate": f"{pairs}:{SHARE}"} if options.task_mix else {}
    with Display() as display:
        run = xinye.pretrain(
            text, options.output, size=options.size, time=options.time, field="text",
            tokenizer="bpe", vocab_size=8000, context=512, task_mix=mix, overwrite=True,
            observer=display,
        )  # fmt: skip
    report(
        benchmark="bilingual_base",
        read=counts,
        validation=run.validation,
        settings={"size": options.size, "time": options.time, "task_mix": options.task_mix},
        machine=facts,
    )


def write(text: Path, pairs: Path, data: Path) -> dict[str, int]:
    """Write the text of the base, and the pairs that are mixed into it; returns their sizes."""
    training, validation, test = tatoeba.split(data / tatoeba.FILE)
    judged = {sentence for pair in validation + test for sentence in pair}
    english = list(english_texts(data))
    chinese = chinese_texts(data, text.with_suffix(".chinese"))
    both = english + chinese
    random.Random(1).shuffle(both)
    with text.open("w", encoding="utf-8") as file:
        for each in both:
            print(json.dumps({"text": each}, ensure_ascii=False), file=file)
    more = [pair for pair in alpaca_pairs(data) if not judged & {*pair}]
    tatoeba.write_pairs(pairs, training + more)
    return {
        "english_characters": sum(map(len, english)),
        "chinese_characters": sum(map(len, chinese)),
        "pairs_of_tatoeba": len(training),
        "pairs_of_alpaca": len(more),
    }


def english_texts(data: Path) -> Iterator[str]:
    books = [*data.glob("tinystories_sample/*.txt"), *data.glob("en_stdlib/**/*.txt")]
    for path in sorted(books):
        text = path.read_text("utf-8", "replace")
        yield from (text[begin : begin + LONGEST] for begin in range(0, len(text), LONGEST))
    for row in alpaca(data, "en"):
        yield "\n".join(filter(None, map(str, row.values())))
    passages = json.loads((data / "xquad_en_zh/xquad.en.json").read_text("utf-8"))
    for article in passages["data"]:
        yield from (paragraph["context"] for paragraph in article["paragraphs"])


def chinese_texts(data: Path, beside: Path) -> list[str]:
    """Texts of the Chinese base, in random order, until there are `CHINESE` characters."""
    write_text(beside, data)
    texts = [json.loads(line)["text"] for line in beside.read_text("utf-8").splitlines()]
    beside.unlink()
    random.Random(0).shuffle(texts)
    kept, characters = [], 0
    for text in texts:
        if len(text) < LONGEST and characters < CHINESE:
            kept.append(text)
            characters += len(text)
    return kept


# -- alpaca's two languages ------------------------------------------------------------------------


def alpaca(data: Path, language: str) -> list[Row]:
    files = sorted((data / "alpaca_zh_en").glob(f"{language}_*.json"))
    return [row for path in files for row in json.loads(path.read_text("utf-8"))]


def alpaca_pairs(data: Path) -> Pairs:
    """The short lines that stand in the same place of a record in both languages, each pair once."""
    found: dict[tuple[str, str], None] = {}
    folder = data / "alpaca_zh_en"
    for path in sorted(folder.glob("en_*.json")):
        english = json.loads(path.read_text("utf-8"))
        chinese = json.loads((folder / path.name.replace("en_", "zh_")).read_text("utf-8"))
        for one, other in aligned(english, chinese):
            for key in ("instruction", "input", "output"):
                found |= dict.fromkeys(lines_of(str(one[key]), str(other[key])))
    return list(found)


def lines_of(english: str, chinese: str) -> Iterator[tuple[str, str]]:
    """The lines of two texts, if they have as many and each is short and in its language."""
    ours, theirs = (
        [line.strip() for line in text.split("\n") if line.strip()] for text in (english, chinese)
    )
    if len(ours) != len(theirs):
        return
    for one, other in zip(ours, theirs, strict=True):
        lengths = 3 < len(one) < 160 and 2 < len(other) < 80 and 0.15 < len(other) / len(one) < 0.7
        if lengths and HAN.search(other) and not HAN.search(one) and "\t" not in one + other:
            yield one, other


def aligned(english: list[Row], chinese: list[Row]) -> Iterator[tuple[Row, Row]]:
    """The records of both languages that belong together, by dynamic programming over how many
    English ones were skipped so far."""
    skipped = len(english) - len(chinese)
    best: list[tuple[float, Any]] = [(0.0, None)] + [(math.inf, None)] * skipped
    for place, row in enumerate(chinese):
        new: list[tuple[float, Any]] = []
        for skip in range(skipped + 1):
            before = min(best[: skip + 1], key=lambda each: each[0])
            cost = before[0] + difference(english[place + skip], row)
            new.append((cost, (skip, before[1])))
        best = new
    found, chain = [], min(best, key=lambda each: each[0])[1]
    while chain:
        skip, chain = chain
        found.append(skip)
    for place, (skip, row) in enumerate(zip(reversed(found), chinese, strict=True)):
        yield english[place + skip], row


def difference(english: Row, chinese: Row) -> float:
    """How unlikely it is that a record translates another: by length, lines and numbers."""
    one, other = ("\n".join(map(str, row.values())) for row in (english, chinese))
    length = abs(math.log(len(one) + 5) - math.log(2.9 * len(other) + 5))
    lines = abs(one.count("\n") - other.count("\n")) / 2
    numbers = len({*re.findall(r"\d+", one)} ^ {*re.findall(r"\d+", other)}) * 0.3
    return min(length + lines + numbers, 4.0)


if __name__ == "__main__":
    main()
