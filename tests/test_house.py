"""The house: no file, function or list of parameters is longer than a person can hold in the head,
and no test changes the clock of others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "xinye"
FILE, FUNCTION, PARAMETERS = 400, 60, 6  # lines, lines, without self
EXCEPTIONS = {  # with the reason
    "api/__init__.py finetune": "its parameters are the flags of the verb",
}


def too_long() -> Iterator[str]:
    for path in sorted(SOURCE.rglob("*.py")):
        name, text = str(path.relative_to(SOURCE)), path.read_text("utf-8")
        if text.count("\n") > FILE:
            yield name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                own = [each for each in names if each.arg not in ("self", "cls")]
                long = (node.end_lineno or 0) - node.lineno >= FUNCTION
                if long or len(own) > PARAMETERS:
                    yield f"{name} {node.name}"


def test_nothing_is_longer_than_it_should_be() -> None:
    assert len(EXCEPTIONS) <= 10
    assert set(too_long()) == EXCEPTIONS.keys()


def test_no_test_changes_the_clock_of_all_threads() -> None:
    """A server in a thread that reads such a clock may wait for a day, and all its tests with it.
    A test gives the module that it tests a `time` of its own."""
    clock = re.compile(r"""setattr\(\s*(?:[\w.]*\btime,|["'](?:[\w.]+\.)?time\.)""")
    texts = {path.name: path.read_text("utf-8") for path in TESTS.rglob("*.py")}
    assert [name for name, text in texts.items() if clock.search(text)] == []
