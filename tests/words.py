"""Words and patterns that our documents and messages do not use, in both languages, and what to
write instead: `python tests/words.py`, a part of `make lint`.

Reads the READMEs, docs, the changelog, the templates of page and report, the texts that the code
has in both languages, and the catalogue of messages.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.pofile import read_po

from messages import CATALOGUE, ROOT, SOURCE

ENGLISH = {  # a pattern: what to write instead
    r"\b(?:is|are|was|were) told\b|\btold (?:of|by|beside)\b|\btells (?:of|how|the)\b": "report, print, show",
    r"\bthe run lies\b|\blies in `?runs": "is saved to",
    r"\b(?:go|goes|going|went) on (?:with|training|reading)\b": "continue, resume",
    r"\bstands? beside\b": "is printed next to",
    r"\bnothing is (?:told|said)\b": "is not reported",
    r"\blearned? by heart\b|\bby heart\b": "memorize, overfit",
    r"\bword counting\b": "TF-IDF, word counts",
    r"\bof one's own\b": "your own",
    r"\b(?:settled|leftovers|rehearsal)\b": "a word of the field",
    r"\bjudged (?:on|by|beside)\b": "evaluated on",
    r"\btaught\b": "fine-tuned, trained",
    r"\banew\b": "again",
    r"\bsome (?:seconds|minutes|hours)\b": "a few seconds",
    r"\bis no (?:number|date|time|file|folder)\b": "is not a number",
    r"\b(?:kept|held) back\b": "held out",
    r"\bas it is,": "unchanged (or cut it)",
    r"\bhow many is said\b|\bis said\b": "is reported",
    r"\bof its own\b": "(cut it)",
    r"\bwhere there is (?:one|none)\b": "if there is one (or cut it)",
    r"\bflatters?\b": "makes it look better than it is",
}
CHINESE = {
    "标记器|令牌": "分词器、token",
    "底座": "基座模型",
    "接着学|读下去": "继续预训练",
    "评判|成绩": "评估、指标",
    "数词": "词频统计",
    "停止串": "停止序列",
    "基础模型": "基座模型",
    "运行的文件夹|这次运行|每次运行": "训练目录、这次训练",
    "一无所有": "（删去）",
    "被当作什么": "识别成什么格式",
    "(?<!断点)(?<!恢复)续训(?!练)": "断点续训、延长训练",
    "读了?[^，。；]{0,8}遍|[0-9] ?遍": "轮次（epoch）",
    "留出来": "留出",
    "推测解码": "投机解码",
    "模型文件夹|训练文件夹": "模型目录、训练目录",
    r"[\u4e00-\u9fff，、：（] ?\d[\d.]* %|\d %[，。；、）\u4e00-\u9fff]": "百分号前没有空格",
}
MOST_WORDS = 25  # of a sentence in a README
MOST_LINES = 150  # of a README


def texts() -> Iterator[tuple[str, str]]:
    """Each line that a person reads, with its place. Commands and output in documents are left
    out: they are what the program prints, and its messages are in the catalogue."""
    templates = [*SOURCE.rglob("*.jinja"), *SOURCE.rglob("*.html")]
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *templates]):
        for number, paragraph in _paragraphs(path.read_text("utf-8")):
            yield f"{path.relative_to(ROOT)}:{number}", re.sub("`[^`]*`", "`…`", paragraph)
    for path in sorted(SOURCE.rglob("*.py")):
        for number, text in _in_both(ast.parse(path.read_text("utf-8"))):
            yield f"{path.relative_to(ROOT)}:{number}", text
    with CATALOGUE.open("rb") as file:
        for entry in read_po(file, locale="zh"):
            for text in (entry.id, entry.string):
                for form in (text,) if isinstance(text, str) else text or ():
                    yield f"{CATALOGUE.relative_to(ROOT)}: {form[:40]!r}", form


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """The paragraphs of a document without its code, each in one line, by their first lines."""
    begin, lines, fenced, listed = 1, list[str](), False, False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        fenced ^= line.startswith("```")
        listed = bool(re.match(r" *(?:[-*]|\d+\.) ", line)) or (listed and line[:1] in ("", " "))
        code = fenced or line.startswith("```") or (line.startswith("    ") and not listed)
        if line.strip() and not code:
            begin = begin if lines else number
            lines.append(line.strip())
        elif lines:
            yield begin, " ".join(lines)
            lines = []


def _in_both(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of `Both(en, zh)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Both":
            for part in (each for argument in node.args for each in ast.walk(argument)):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield node.lineno, part.value


def faults() -> Iterator[str]:
    for place, text in texts():
        for pattern, instead in (ENGLISH | CHINESE).items():
            if found := re.search(pattern, text, re.IGNORECASE):
                yield f"{place}: {found[0]!r}; write: {instead}"
    for path in ROOT.glob("README*.md"):
        yield from _long(path)


def _long(path: Path) -> Iterator[str]:
    """What is too long in a README: all of it, or one of its sentences."""
    text = path.read_text("utf-8")
    if (lines := text.count("\n")) > MOST_LINES:
        yield f"{path.name}: {lines} lines; at most {MOST_LINES}"
    prose = re.sub(r"(?ms)^```.*?^```|^(?:    |[>|#!]).*?$|`[^`]*`|\]\([^)]*\)", " ", text)
    for sentence in re.split(r"(?<=[.!?:。！？：])\s|\n\n|\n- ", prose):
        if len(re.findall(r"[A-Za-z][\w'’-]*", sentence)) > MOST_WORDS:
            yield f"{path.name}: more than {MOST_WORDS} words: {' '.join(sentence.split())}"


if __name__ == "__main__":
    found = [*faults()]
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
