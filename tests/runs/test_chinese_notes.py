"""Every sentence that reading or a task notes of the data has its Chinese; found in the source, so
that a new one cannot be forgotten. To mend it, add a line to `xinye/runs/chinese_notes.py`."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import xinye
from xinye.runs.chinese import chinese

SOURCE = Path(xinye.__file__).parent
FILES = sorted(file for folder in ("data", "tasks") for file in (SOURCE / folder).glob("*.py"))
# Functions beside those that yield texts whose texts are findings.
FINDING = {"clash", "without_header", "headerless", "_headerless"}
WORDS = {  # what stands in a gap where it is a word of ours, by its expression
    "cls.kind": ["label", "type"],
    "what": ["text", "label"],
    "reason": ["its columns are named by number", "no word in it names a question or an answer"],
    "super().clash(count, share, one, other)": ["7 texts with two different labels: first 7 and 7"],
    "cls.words.support.en": ["records", "spans"],
    "task.cut": ["they are cut", "their oldest turns are dropped, and if that is not enough, some words"],
}  # fmt: skip
GAP = "7"


def texts_of(node: ast.expr, known: dict[str, list[ast.expr]]) -> list[str]:
    """What an expression may come to, with `GAP` for all that only a run can tell."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.FormattedValue):
        return texts_of(node.value, known)
    if isinstance(node, ast.JoinedStr):
        parts = [texts_of(part, known) for part in node.values]
        return ["".join(some) for some in product(*parts)]
    if isinstance(node, ast.IfExp):
        return texts_of(node.body, known) + texts_of(node.orelse, known)
    if isinstance(node, ast.Name) and node.id in known:
        others = {name: value for name, value in known.items() if name != node.id}
        found = [text for value in known[node.id] for text in texts_of(value, others)]
        return [text for text in found if text] or [""]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "plural":
        ones, *several = (texts_of(each, known) for each in node.args[1:])
        many = several[0] if several else [f"{one}s" for one in ones]
        return [f"1 {one}" for one in ones] + [f"{GAP} {some}" for some in many]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("'.join"):
        return [f"{GAP}{ast.literal_eval(node.func.value)}{GAP}"]
    return WORDS.get(ast.unparse(node), [GAP])


def assigned(body: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def noted(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions of the sentences that a function notes, yields or returns as findings."""
    yields = ast.unparse(function.returns or ast.Constant("")) == "Iterator[str]"
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            adds = node.func.attr == "add" and len(node.args) == 2
            if adds or ast.unparse(node.func) == "findings.append":
                yield node.args[-1]
        finds = isinstance(node, ast.Yield) and yields
        finds = finds or (isinstance(node, ast.Return) and function.name in FINDING)
        if finds and node.value:
            yield node.value


def sentences(file: Path) -> Iterator[tuple[str, str]]:
    """The place and the text of each sentence in a file."""
    tree = ast.parse(file.read_text("utf-8"))
    constants = {
        node.targets[0].id: [node.value]
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in noted(function):
                for text in texts_of(node, constants | assigned(function)):
                    yield f"{file.name}:{node.lineno}", text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_note_has_its_chinese(file):
    for place, text in sentences(file):
        left = re.sub(
            r"token|JSON( Lines)?|false|ASCII|assistant|system|<.*?>|--[\w-]+( char)?",
            "",
            chinese(text),
        )
        assert not re.search("[A-Za-z]{3,}", left), f"{place}: no Chinese for {text!r}: {left}"
