"""Texts written from facts: news from FinNA, and mails, adverts and stories from alpaca.

    python benchmarks/writing.py news --records /tmp/news        # files to train and test with
    python benchmarks/writing.py news --model runs/news
    python benchmarks/writing.py mail advert story --model SmolLM2-135M-Instruct.Q4_1.gguf

| row | facts | text | training, validation, test |
|---|---|---|---|
| news | headline, and the dates, amounts, shares, numbers and names of the text | news in Chinese | the first 2,600, the next 500, the last 500 |
| mail, advert, story | what an instruction and its input say | its answer in English | a quarter, drawn with seed 0, as examples; the rest |

The instructions of alpaca's English part are taken that ask for a mail or letter, for an advert or
slogan, or for a story, by a pattern: a verb, up to five words, and the kind. What follows is the
fact, and so is the input, line by line; an instruction that only points to its input adds nothing.
Where it asks for a reply, the input is the mail to answer.
A model that was fine-tuned to write is asked as it is, any other with examples. Beside it stands a
template filled with the facts.

`facts_used` is the share of the facts' values that a text has: as they are written, or all of their
numbers and at least half of their other words (of fewer than four all). `invented` is the share of
texts with a number that no fact has, `repetition` the share of the runs of four words (Chinese:
characters) that a text has said before, `length_kept` the share of texts that are at most a fifth
longer or shorter than the right one, and `bits_per_byte` is measured on the right texts.

Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import json
import random
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, peak_gigabytes, progress, report

import xinye
from xinye.data.files import write_json_lines
from xinye.data.records import Row
from xinye.errors import XinyeError
from xinye.tasks.write_facts import read_facts

ROWS = ("news", "mail", "advert", "story")
SPLIT = (2600, 500, 500)  # of the news
VERBS = (
    "write|compose|create|draft|generate|come up with|craft|tell|construct|make|produce|design|"
    "develop|prepare|invent"
)
NAMES = {
    "mail": "e-?mail|letter",
    "advert": "advertisement|ad|advert|slogan|tagline|commercial",
    "story": "story|tale|fable",
}
# Words before the kind with which an instruction asks for something else.
OTHER = (
    "for|to|of|that|with|using|from|in|by|about|on|title|headline|ideas?|summary|ending|script|"
    "starter|valid|random|summarizing"
)
AFTER = "address|programs?|starter|ideas?|title|campaign|marketing|plot|prompt|scenarios?|arc|line"
POINTING = re.compile(r"\b(given|following|below|this|input|hints|provided|'X')\b", re.IGNORECASE)
LEADING = re.compile(r"(about|for|to|of|with)\s+(.*)", re.IGNORECASE | re.DOTALL)
REPLY = re.compile(
    rf"(?:(?:{VERBS})\b.{{0,40}}\b(?:response|reply)|reply)\b (?:to|for) "
    r"(.*(?:mail|complaint|customer).*)",
    re.IGNORECASE | re.DOTALL,
)
NO_INPUT = re.compile(r"\W*(no ?input.*|none|n/a)?\W*", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", choices=ROWS)
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--records", type=Path, help="write the files of the rows to this folder")
    parser.add_argument("--model", help="a model to evaluate")
    parser.add_argument("--count", type=int, help="evaluate at most this many records of a row")
    options = parser.parse_args()
    facts = machine("torch")
    with tempfile.TemporaryDirectory() as folder:
        kept = options.records or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        files = {row: save(records(row, options.data), row, kept) for row in options.rows}
        counts = {
            row: {part: len(lines(path)) for part, path in files[row].items()} for row in files
        }
        rows = {}
        if options.model:
            for row in options.rows:
                rows[row] = evaluated(options.model, files[row], options.count, kept)
                progress(f"{row}: {rows[row]}")
    report(records=counts, rows=rows, machine=facts, gigabytes=peak_gigabytes())


# -- records ---------------------------------------------------------------------------------------


def records(row: str, data: Path) -> dict[str, list[Any]]:
    """The records of a row by part: training, validation and test; or examples and test."""
    if row == "news":
        found = json.loads((data / "finance_opinion_zh" / "finna_eval.json").read_text("utf-8"))
        first, second, last = SPLIT
        texts = [{"kind": "news", "title": title, "text": text} for title, text in found]
        return {
            "training": texts[:first],
            "validation": texts[first : first + second],
            "test": texts[-last:],
        }
    found = instructions(row, data)
    random.Random(0).shuffle(found)
    examples = len(found) // 4
    return {"examples": found[:examples], "test": found[examples:]}


def instructions(kind: str, data: Path) -> list[Row]:
    """The instructions of alpaca's English part that ask for a text of this kind, as records."""
    pattern = re.compile(
        rf"(?:please )?(?:{VERBS})(?: me)?(?: (?!(?:{OTHER})\b)[\w'-]+){{0,5}}? "
        rf"(?:{NAMES[kind]})\b(?! (?:{AFTER}))[ ,:.]*(.*)",
        re.IGNORECASE | re.DOTALL,
    )
    found = []
    for path in sorted((data / "alpaca_zh_en").glob("en_*.json")):
        for row in json.loads(path.read_text("utf-8")):
            asked = row["instruction"].strip()
            if kind == "mail" and row["input"] and (reply := REPLY.match(asked)):
                facts = (f"about: {reply[1].strip(' .:')}",)
                mail = {"reply_to": row["input"].strip()}
                found.append({"kind": kind, "facts": facts, "text": row["output"].strip()} | mail)
                continue
            match = pattern.match(asked)
            if not match or not row["output"].strip():
                continue
            try:
                facts = read_facts(facts_in(match[1].strip(" .:"), row["input"]), "facts")
            except XinyeError:  # none, or they contradict each other
                continue
            texts = [str(fact) for fact in facts]
            found.append({"kind": kind, "facts": texts, "text": row["output"].strip()})
    return found


def facts_in(rest: str, given: str) -> list[str]:
    """What an instruction says behind the kind, and what its input says, as facts."""
    more = [] if NO_INPUT.fullmatch(given) else [line for line in given.split("\n") if line.strip()]
    said = []
    if rest and not (more and POINTING.search(rest)):
        leading = LEADING.fullmatch(rest)
        said = [f"{leading[1].lower()}: {leading[2]}" if leading else rest]
    return [*said, *(line.strip(" -") for line in more)]


def save(parts: dict[str, list[Any]], row: str, folder: Path) -> dict[str, Path]:
    """Write the parts of a row as JSON Lines; returns their paths by name."""
    paths = {part: folder / f"{row}_{part}.jsonl" for part in parts}
    for part, path in paths.items():
        write_json_lines(path, parts[part])
    return paths


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


# -- evaluation ------------------------------------------------------------------------------------


def evaluated(name: str, files: dict[str, Path], count: int | None, folder: Path) -> Row:
    """The figures of a model on the test records of a row, beside those of the template."""
    test = files["test"]
    if count:
        few = lines(test)[:count]
        test = folder / f"few_{test.name}"
        test.write_text("\n".join(few), "utf-8")
    model = xinye.load(name)
    settings: dict[str, Any] = {}
    if model.task is None or model.task.verb != "write":
        settings["examples"] = (str(files.get("examples", files.get("training"))),)
    begin = time.perf_counter()
    found = model.evaluate_task(test, task="write", **settings)
    return {
        "records": found["records"],
        "measured": rounded(found["measured"]),
        "template": rounded(found["baseline"] or {}),
        "notes": found["notes"],
        "seconds": round(time.perf_counter() - begin, 1),
    }


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }


if __name__ == "__main__":
    main()
