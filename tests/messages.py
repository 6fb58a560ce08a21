"""The messages of the code, and their Chinese: `python tests/messages.py` brings the catalogue up
to date, and lists what it does not translate yet.

A message is a text of two words and more that is no docstring, pattern or log line. The gaps of an
f-string keep the names of what fills them: `{path}, line {number}: the label is empty`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "xinye"
CATALOGUE = SOURCE / "locale" / "zh" / "LC_MESSAGES" / "xinye.po"
# What programs read stays English; the demo tells its stories in both languages itself.
ENGLISH = (
    "demo/words.py",
    "demo/stories.py",
    "locale/",
    "guesses.py",
    "runs/chinese.py",
    "runs/diagnosis.py",
)
ENGLISH += (
    "runs/beside.py",
    "runs/card.py",
    "tasks/exercises.py",
    "tasks/answer_cloze.py",
    "tasks/news.py",
)
ENGLISH += ("jobs/composing_prompts.py", "retrieval/numbers.py", "retrieval/support.py")
ENGLISH += ("tasks/write_brief.py", "tasks/write_exercise.py", "tasks/write_news.py")
ENGLISH += ("server/app", "server/bodies", "server/completions", "server/errors", "server/guard")
ENGLISH += ("server/answering", "server/knowledge", "server/schemas", "server/tasks")
ENGLISH += ("server/chat", "server/messages", "data/chat_templates", "data/tool_calls")
ENGLISH += ("generation/tool_calls",)
ENGLISH += ("server/metrics", "server/pages", "apps/support/schema", "apps/monitor/schema")
_OF_SUPPORT = "answers app bots customer documents events knowledge operators roles schemas state"
ENGLISH += tuple(f"server/support/{name}" for name in _OF_SUPPORT.split())
_OF_MONITOR = "alerts app documents events figures loop schemas state"
ENGLISH += tuple(f"server/monitor/{name}" for name in _OF_MONITOR.split())
ENGLISH += ("apps/recommend/reasons", "apps/recommend/schema")
ENGLISH += tuple(f"server/recommend/{name}" for name in ("app", "routes", "schemas", "state"))
ENGLISH += tuple(f"server/{name}" for name in ("application", "hub", "keys", "streams", "threads"))
# What argparse and pydantic say, and words that stand in no call of `WORDS`.
OTHERS: tuple[str | tuple[str, str], ...] = (
    "usage",
    "options",
    "positional arguments",
    "example",
    "show this help message and exit",
    "the following arguments are required: {names}",
    "argument {names}: {message}",
    "expected one argument",
    "expected at least one argument",
    "cleaning",
    "adapter",
    *("finished", "diverged", "files"),
    *("template", "faq", "passage", "graph", "written", "unsure", "handover"),  # kinds of replies
    *("customer", "bot", "operator", "system"),  # who and what stands in the log of a desk
    *("begun", "message", "reply", "feedback", "up", "down", "approved", "declined", "claimed"),
    *("released", "claim_ended", "idle", "closed", "forgotten", "expired"),
    *(
        "greeting",
        "thanks",
        "goodbye",
        "acknowledgement",
        "bot",
        "upset",
    ),  # intents that a desk knows
    "the desk was read again",  # in the log of a server
    "{count} messages had no reply yet; they are answered now",
    "closed {closed} idle conversations, and deleted {deleted} old ones",
    "the desk has changed and cannot be read; the old one goes on: {error}",
    "old conversations cannot be deleted: {reason}",
    "a reply cannot be saved yet: {error}",
    "a reply cannot be saved: {error}",
    "a stream cannot read its conversation: {error}",
    "a stream cannot read the store: {error}",
    "a step of the monitor failed: {reason}",
    "old texts cannot be deleted: {reason}",
    "the store cannot be read: {reason}",
    "a stream cannot read the queue: {error}",
    "the documents are calibrated without it: {error}",
    *("en→zh", "zh→en", "(unchanged)"),
    "interrupted",
    "damaged",
    "next: {command}",
    "{what}, part {fold}",
    "0.1 · √(128 / width)",
    "0.014 · √(128 / width)",
    *("Chinese", "kana", "Latin", "Cyrillic", "Greek", "Hangul", "Arabic", "Hebrew", "Devanagari"),
    *("Thai", "Tibetan", "Mongolian", "digits", "punctuation", "symbols"),
    *("empty", "short", "duplicate"),
    *("{count} empty", "{count} short", "{count} duplicate"),
    "{count} control characters",
    "a text",
    "a label",
    "found {what}",
    "{place}, field {name}",
    "{place}, message {number}",
    ("for {count} record", "for {count} records"),
    "{budget} tokens",
    "method {name}",
    "a chart",
    *("processor", "cores", "memory", "disk", "training", "terminal", "compiled code", "others"),
    "validation",  # a part of the data
    *("C++ compiler", "support"),
    *("span F1", "macro F1", "micro F1"),
    *("topics", "mood", "positive", "neutral", "negative"),  # of a monitor
    *("device", "compile", "installed", "read"),
    ("{count} day", "{count} days"),
    "→ {advice}",
    "{total}, {left} free",
    "{count} ({count} physical)",
    *("given", "usual"),
    *("embeddings", "norms", "attention", "feed-forward", "head", "all"),
    *("accuracy", "macro f1", "span f1"),
    *("ROUGE-L, quoted", "copied", "faithful", "correction F1", "detection F1"),
    "ended",
    # what systems say of files and ports
    *("Address already in use", "Cannot assign requested address", "Connection refused"),
    *("No such file or directory", "Permission denied", "No space left on device"),
    *("Is a directory", "Not a directory", "Read-only file system", "File name too long"),
    # what Python's readers say of damaged files
    *("Expecting value", "Expecting ',' delimiter", "Expecting ':' delimiter", "Extra data"),
    *("Expecting property name enclosed in double quotes", "Unterminated string starting"),
    *(
        "Unterminated string starting at",
        "Invalid control character",
        "Invalid control character at",
    ),
    *("Invalid \\escape", "Invalid \\uXXXX escape"),
    "maximum recursion depth exceeded while decoding a JSON {kind} from a unicode string",
    "{problem}: line {number} column {column} (char {character})",
    *("File is not a zip file", "Bad CRC-32 for file {name}", "Bad magic number for {part}"),
    *("Bad offset for central directory", "Truncated central directory", "Truncated file header"),
    "That compression method is not supported",
    *("Not a gzipped file ({magic})", "CRC check failed {found} != {expected}"),
    *("Incorrect length of data produced", "Unknown compression method"),
    "Compressed file ended before the end-of-stream marker was reached",
    *("Error {number} while decompressing data", "Error {number} while decompressing data: {what}"),
    *("invalid start byte", "invalid continuation byte", "unexpected end of data"),
    "'{encoding}' codec can't decode byte {byte} in position {position}: {problem}",
    "'{encoding}' codec can't decode bytes in position {positions}: {problem}",
    "field larger than field limit ({limit})",
    # what a server answers to a page that is read in Chinese
    *("there is no such field", "the fields are {names}", "Field required"),
    *("Input should be a valid string", "Input should be a valid number"),
    *("Input should be a valid integer", "Input should be a valid list"),
    "Input should be a valid integer, unable to parse string as an integer",
    *("Input should be {choices}", "Input should be greater than {limit}"),
    "Input should be greater than or equal to {limit}",
    "Input should be less than {limit}",
    "Input should be less than or equal to {limit}",
    (
        "String should have at least {count} character",
        "String should have at least {count} characters",
    ),
    (
        "String should have at most {count} character",
        "String should have at most {count} characters",
    ),
    "at most {limit} {what} are allowed",
    "this date cannot be read; write 2024-05-01T08:00:00Z, or seconds since 1970",
    "send a document, or a list of them",
    "the body must be a JSON object, sent with Content-Type: application/json",
    "the body is not valid JSON: {problem}",
    "the {role} key is missing or wrong: send it as Authorization: Bearer …",
    "the key is missing or wrong: send it as Authorization: Bearer …",
    "this needs the {role} key",
    "the client key is missing or wrong: send it as Authorization: Bearer …",
    "the editor key is missing or wrong: send it as Authorization: Bearer …",
    "this needs the editor key",
    "give either user or history; an empty history gets what is popular",
    "give a title or a text, by which it is recommended",
    "the id in the address is not UTF-8; escape it with %",
    "the id in the address must have 1 to {longest} characters",
    "{text} is not understood; write seconds since 1970, or a date such as 2026-03-05T09:13:20",
    "too many requests wait for this; try again later",
)
# Calls whose first argument is a word, or holds words, that are shown alone.
WORDS = {"print_table", "shown_word", "section", "stage"}
# Variables that hold the titles of a table.
TITLES = {"columns", "heads", "verb"}
# Tables whose values are names; what they are named by is shown alone.
TABLES = {"groups", "MEANT"}
# Where a call has the words of a command, by the places of its arguments.
COMMANDS = {"Parser": (0, 2)}
# Calls whose texts nobody reads as sentences.
SILENT = {"compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer", "Both"}
SILENT |= {"filterwarnings", "xpath", "APIError", "too_long", "check_count", "RemoteProtocolError"}
SILENT |= {
    "debug",
    "info",
    "warning",
    "exception",
    "getLogger",
    "TypeVar",
    "environ",
    "Record",
}
SILENT |= {"grammar_from_lark", "LabelledText"}
SILENT |= {"execute", "execute_many", "select", "select_one"}  # SQL
# A command to type, the style of a printed text, names of settings, HTML.
_NO_WORDS = re.compile(
    r"(?:\n? *xinye [a-z0][\w-]*(?: .*)?)+|(?:\b(?:not|bold|dim|red|green|yellow|magenta)\b ?)+"
    r"|(?=.*_)[a-z0-9_]+(?: [a-z0-9_]+)*|<meta .*|print\(.*|\w+ = xinye\..*|.*<\|.*"
    # a place, which `_place` of language.py translates; a part of a sentence; settings of a shell
    r"|(?:0, )?(?:line|record|row|column|field|message) 0|(?:of|for|with) 0| with 0|0 and 0"
    r"|.* IS NULL|EXISTS .*|.* CROSS JOIN .*"  # parts of SQL
    r"|(?s:(?:SELECT|FROM|WITH RECURSIVE|INSERT INTO|CREATE TABLE|PRAGMA) .*)"  # SQL
    r"|(?:export|unset) .*|0 -m pip|(?s:.*\nLabel: 0)|0 is 0|clock: 0, .*"
)
_WORDS = re.compile(
    r"[A-Za-z]{2,}[^\w\n]* [^\w\n]*(?:[a-z]|[A-Z]+\b)|[a-z]{2} .*[a-z]{2}"
    r"|(?=.*0)(?=.* )(?:^|.*[ (])[A-Za-z]?[a-z]{2,}[:,;]?(?: |$)"  # a word beside a gap
)


def messages() -> Iterator[tuple[str, str | tuple[str, str]]]:
    """Each message with where it stands; what `plural` counts in one and in several."""
    yield from (("argparse", message) for message in OTHERS)
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(ENGLISH):
            for line, message in _of(ast.parse(path.read_text("utf-8"))):
                yield f"{name}:{line}", message


def _of(node: ast.AST) -> Iterator[tuple[int, str | tuple[str, str]]]:
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name == "plural":
            yield from _counted(node)
        if name in SILENT or name == "plural":
            return
        if name in WORDS and node.args:
            yield from ((node.lineno, word) for word in _texts(node.args[0]))
    if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
        return
    if isinstance(node, ast.arg):  # whose type may be in quotes
        return
    assigned = _name(_target(node)) if isinstance(node, (ast.Assign, ast.AnnAssign)) else ""
    if assigned == "counted" and isinstance(node.value, ast.Tuple):
        one, several = _texts(node.value)
        yield node.lineno, ("{count} " + one, "{count} " + several)
        return
    if assigned in TITLES and not isinstance(node.value, ast.Call):
        titles = [*_texts(node.value)]
        if not any("_" in title for title in titles):  # which are names of settings
            yield from ((node.lineno, title) for title in titles)
        return
    if assigned in TABLES:
        titles = [key for key in getattr(node.value, "keys", []) if isinstance(key, ast.Constant)]
        yield from ((title.lineno, title.value) for title in titles)
        return
    if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)) and (parts := _parts(node)):
        for variant in product(*parts):
            text = _merged(variant)
            read = re.sub(r"\{\w*\}", "0", text)
            markup = text.startswith(("<", "><", "(?")) or "{%" in text
            if _WORDS.search(read) and not _NO_WORDS.fullmatch(read) and not markup:
                yield node.lineno, text
        inner = (each for each in ast.walk(node) if isinstance(each, ast.FormattedValue))
        for value in inner:
            if len(_parts(value)[0]) == 1:  # else its arms stand in the text above
                yield from _of(value.value)
        return
    if isinstance(node, ast.Compare):
        return
    if isinstance(node, ast.Subscript):  # its key is no message
        yield from _of(node.value)
        return
    silent: list[ast.AST] = []
    if isinstance(node, ast.Call):
        silent = [
            each
            for place in COMMANDS.get(_name(node.func), ())
            for each in node.args[place : place + 1]
        ]
    for child in ast.iter_child_nodes(node):
        if child not in silent and not _documents(node, child) and not isinstance(node, ast.Assert):
            yield from _of(child)


def _target(node: ast.Assign | ast.AnnAssign) -> ast.AST:
    return node.target if isinstance(node, ast.AnnAssign) else node.targets[0]


def _documents(node: ast.AST, child: ast.AST) -> bool:
    """Whether a child is a text that stands alone: a docstring."""
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def _texts(node: ast.AST) -> Iterator[str]:
    """The words in a tuple or list of titles."""
    for each in getattr(node, "elts", [node]):
        if isinstance(each, ast.Constant) and each.value:
            yield each.value


def _parts(node: ast.AST) -> list[list[str]]:
    """What each part of a text may be; nothing where it is none."""
    if isinstance(node, ast.Constant):
        return [[node.value]] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return [each for value in node.values for each in _parts(value)]
    if isinstance(node, ast.FormattedValue):
        arms = node.value
        if isinstance(arms, ast.IfExp) and all(map(_is_text, (arms.body, arms.orelse))):
            return [[arms.body.value, arms.orelse.value]]
        return _gap(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _parts(node.left), _parts(node.right)
        if left or right:
            return [*(left or _gap(node.left)), *(right or _gap(node.right))]
    return []


def _gap(node: ast.AST) -> list[list[str]]:
    return [["{" + _name(node) + "}"]]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _merged(parts: tuple[str, ...]) -> str:
    """The parts in one, where gaps side by side are one gap."""
    return re.sub(r"(\{\w*\})(?:\{\w*\})+", r"\1", "".join(parts))


def _name(node: ast.AST) -> str:
    """What fills a gap, in a word."""
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    if isinstance(node, (ast.Call, ast.Subscript)):
        return _name(node.func if isinstance(node, ast.Call) else node.value)
    return ""


def _counted(call: ast.Call) -> Iterator[tuple[int, tuple[str, str]]]:
    words = [each.value for each in call.args[1:] if isinstance(each, ast.Constant)]
    if words:
        one = words[0]
        several = words[1] if len(words) > 1 else one + ("es" if one.endswith("s") else "s")
        yield call.lineno, ("{count} " + one, "{count} " + several)


def _nameless(message: str) -> str:
    return re.sub(r"\{\w*\}", "{}", message)


def _with_names(entry: Message, message: str) -> str:
    """The Chinese of a message whose gaps were called otherwise before."""
    names = dict(zip(*(re.findall(r"\{\w*\}", each) for each in (entry.id, message)), strict=True))
    return re.sub(r"\{\w*\}", lambda gap: names[gap[0]], entry.string)


def update() -> Catalog:
    """The catalogue with the messages that there are now, written anew."""
    old = Catalog(locale="zh")
    if CATALOGUE.is_file():
        with CATALOGUE.open("rb") as file:
            old = read_po(file, locale="zh")
    renamed = {_nameless(entry.id): entry for entry in old if isinstance(entry.id, str)}
    new = Catalog(
        locale="zh",
        project="xinye",
        charset="utf-8",
        fuzzy=False,
        creation_date=old.creation_date,
    )
    for place, message in messages():
        path = place.rpartition(":")[0]
        known = old.get(message if isinstance(message, str) else message[0])
        said = known.string if known else ""
        if not known and isinstance(message, str) and _nameless(message) in renamed:
            said = _with_names(renamed[_nameless(message)], message)
        new.add(message, said, locations=[(path, 0)])
    beside = CATALOGUE.with_suffix(".new")
    with beside.open("wb") as file:
        write_po(file, new, width=100, sort_by_file=True, include_lineno=False)
    beside.replace(CATALOGUE)
    return new


if __name__ == "__main__":
    missing = [each for each in update() if each.id and not any(each.string)]
    for each in missing:
        print(f"{each.locations[0][0]}\t{each.id}")
    print(f"{len(missing)} messages are not translated yet: {CATALOGUE.relative_to(ROOT)}")
    sys.exit(bool(missing))
