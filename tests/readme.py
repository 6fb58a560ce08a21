"""The README's commands and code, and a small world to run them in. The package must be
importable."""

import re
from pathlib import Path

from xinye.data.files import write_json_lines
from xinye.demo.bookshop import Bookshop
from xinye.demo.stories import stories
from xinye.demo.support import Shop

ROOT = Path(__file__).parents[1]
NAMES = ("README.md", "README_zh.md")
SMALL = [
    "--size",
    "1M",
    "--layers",
    "1",
    "--width",
    "64",
    "--vocab-size",
    "400",
    "--context",
    "128",
    "--compile",
    "no",
]

_SHOWN = re.compile(
    r"^    (?P<command>(?:xinye|pip|cp) [^\n]*)$"
    r"|(?<!`)`(?P<inline>(?:xinye|pip) [^`]+)`"
    r"|^```python\n(?P<python>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


def shown(name: str, inline: bool = True) -> list[tuple[str, str]]:
    """What a README shows a reader to run, in its order: ("command", a line) and ("python", lines).

    A command inside a sentence counts where `inline` is true.
    """
    found = []
    for match in _SHOWN.finditer((ROOT / name).read_text("utf-8")):
        kind = match.lastgroup or ""
        if kind != "inline" or inline:
            text = match[kind] if kind == "python" else " ".join(match[kind].split())
            found.append(("python" if kind == "python" else "command", text))
    return found


def make_world(folder: Path) -> None:
    """The files that the READMEs name, with stories in them."""
    for name in ("novels/one.txt", "novels/two.txt", "novel.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(stories(60, "zh", seed=len(name))), "utf-8")
    rows = [f'{number % 2},"{story}"' for number, story in enumerate(stories(60, "zh", seed=1))]
    (folder / "reviews.csv").write_text("\n".join(["label,review", *rows]), "utf-8")
    questions = [
        {"prompt": f"{story[:6]}？", "response": story} for story in stories(60, "zh", seed=2)
    ]
    named = [
        {"text": f"{name}第{number}次来了", "label": {"name": {name: [[0, 2]]}}}
        for number in range(30)
        for name in ("沈知秋", "林小满")
    ]
    laws = [
        {"title": f"法{seed}", "text": "\n\n".join(f"第{n}条 {story}" for n, story in articles)}
        for seed in range(3)
        for articles in [zip("一二三四五六七八", stories(8, "zh", seed=seed), strict=True)]
    ]
    asked = [
        {"question": f"{story[:6]}？", "context": story, "answer": story[6:10]}
        for story in stories(60, "zh", seed=6)
    ]
    summarized = [{"text": story, "summary": story[:8]} for story in stories(60, "zh", seed=7)]
    (folder / "article.txt").write_text(stories(1, "zh", seed=8)[0], "utf-8")
    write_json_lines(folder / "articles.jsonl", summarized)
    write_json_lines(folder / "laws.jsonl", laws)
    write_json_lines(folder / "questions.jsonl", asked)
    write_json_lines(folder / "chats.jsonl", questions)
    (folder / "handbook").mkdir(exist_ok=True)
    Shop("zh").write_log(folder / "logs.csv")
    rows = (folder / "logs.csv").read_text("utf-8").splitlines(keepends=True)
    (folder / "logs.csv").write_text("".join(rows[:200]), "utf-8")
    Shop("zh").write_handbook(folder / "handbook")
    write_json_lines(folder / "train.json", named)
    Bookshop("zh").write_events(folder / "events.csv")
    Bookshop("zh").write_items(folder / "items.csv")


def shortened(words: list[str]) -> list[str]:
    """A command's words, with a budget of seconds and a tiny network."""
    verb, *rest = words
    rest = [
        str(path)
        for word in rest
        for path in (sorted(Path().glob(word)) if "*" in word else [word])
    ]
    for flag in ("--time", "--size"):
        if flag in rest:
            del rest[rest.index(flag) : rest.index(flag) + 2]
    if "--max-tokens" in rest:
        rest[rest.index("--max-tokens") + 1] = "8"
    if "--context" in rest:
        rest[rest.index("--context") + 1] = "16"
    if verb in ("pretrain", "compare", "tune"):
        rest += (
            ["--steps", "2", "--compile", "no"] if "--from" in rest else [*SMALL, "--steps", "2"]
        )
    if verb == "support" and rest[0] == "prepare":
        rest += ["--time", "0s"]
    return [verb, *rest]
