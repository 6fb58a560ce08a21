"""The language of the screen: English, or Chinese in a Chinese locale. JSON and the answers of a
server never pass through here.

Messages are English in the code and are translated when they are printed. The Chinese texts are in
`locale/zh/LC_MESSAGES/xinye.po`, a GNU gettext catalogue. A message of it may have gaps: `{path},
line {number}: the label is empty`. A text is looked up by the words around the gaps, and what fills
the gaps is translated in the same way. So the code needs no marks, and what a run has saved in
English can be shown in both languages.
"""

import locale
import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import east_asian_width

CATALOGUE = Path(__file__).parent / "locale" / "zh" / "LC_MESSAGES" / "xinye.po"
DEEPEST = 6  # how many levels of gaps within gaps are translated
LONGEST = 2000  # characters; a longer text is not looked up
REMEMBERED = 4096  # texts that were looked up
PLACES = {"line": "行", "record": "条", "row": "行"}
PARTS = {"message": "条消息", "turn": "轮对话", "question": "个问题"}  # of a record
UNITS = {"ms": "毫秒", "s": "秒", "min": "分", "h": "小时"}
HEADS = {"note: ": "注意：", "skipped: ": "已跳过："}
INPUT = "standard input"  # what stands for a file in the places of its lines
WHOLE = {"error", "message", "problem", "reason", "both"}  # gaps that are filled with a message
VERBATIM = {"path", "file", "folder", "label", "output", "model"}  # and those that hold none
_SPAN = r"\d[\d,.]* (?:ms|s|min|h)(?: \d+ (?:s|min))?"  # of time
# What may fill the gaps of some names, which are those of the functions that give it.
KINDS = {
    "count": r"[\d,]+",
    "number": r"\S+",
    "plural": r"[\d,]+ .+",
    "duration": _SPAN,
    "gigabytes": r"[\d,.]+ GB",
}
_GAP = re.compile(r"\{(\w*)\}")
# What is not broken across lines: a word or a Han character, with the marks and space after it.
_BREAKABLE = re.compile(r"(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)[，。：；！？、）》”…]*\s?")
# A place in a file: "a.csv, line 3, line 9", "b.xlsx, row 6, field 'label'", "column AB".
_BEFORE = r"(?P<before>^|, |(?<= and )|(?<= = ))"
_NUMBER = r"\d+(?:,\d{3})*"
_LINE = re.compile(
    rf"{_BEFORE}(?P<kind>line|record|row) "
    rf"(?P<numbers>{_NUMBER}(?:(?:, | and )(?P=kind) {_NUMBER})*)(?=$|, | and | = )"
)
_COLUMN = re.compile(rf"{_BEFORE}column (?P<name>[A-Z]+)(?=$|, | and | = )")
_FIELD = re.compile(rf"{_BEFORE}field (?P<name>'[^']*'|\"[^\"]*\")(?=$|, | and | = )")
_PART = re.compile(rf", (?P<kind>message|turn|question) (?P<number>{_NUMBER})(?=$|[,，]| and | = )")
_COUNTS = re.compile(rf"{_NUMBER} [a-z ]+(?:, {_NUMBER} [a-z ]+)+")  # "28 duplicate, 1 empty"
# Names of records in that line: "a.json, line 1, 'first', 'second'".
_KEY = re.compile(r"'[^']*'|\"[^\"]*\"")
_KEYS = re.compile(rf"(?<!['\"])(?:, (?:{_KEY.pattern}))++$")
_AND = re.compile(r"(?<=[行条列]) and (?P<latin>[!-~])?")
# such as "'modern', 'llama' or 'lstm'" and "--steps and --time"
_LISTED = re.compile(
    r"(?P<before>{0}(?:, {0})*) (?P<word>and|or) (?P<last>{0})".format(
        "(?:'[^']*'|--[a-z-]+(?: [a-z0-9-]+)?)"
    )
)
_HAN_END, _HAN_START = re.compile("[\u3400-\u9fff]\\Z"), re.compile("[\u3400-\u9fff]")
_LATIN_START, _LATIN_END = re.compile("[A-Za-z0-9]"), re.compile(r"[A-Za-z0-9]\Z")
_FRAME = re.compile(
    r"(xinye(?: [a-z]+)*: |note: |skipped: )?(.*?)(?: \(try (xinye(?: [a-z]+)* --help)\))?",
    re.DOTALL,
)
_TIME = re.compile(_SPAN)
_FILE = re.compile(r"[^\s;:]+\.[A-Za-z0-9]+")
log = logging.getLogger(__name__)


class Message(NamedTuple):
    """A message with gaps: `around` are the texts around the gaps, `chinese` has the numbers of the
    gaps, and `names` are what the gaps are called. Only a number fills a `{count}`; an `{error}` or
    a `{message}` is a message of its own."""

    around: Sequence[str]
    chinese: str
    names: Sequence[str] = ()

    def gaps(self, text: str) -> list[str] | None:
        """What fills the gaps if the text is this message, else None. From the left, each gap takes
        as little text as possible."""
        first, *others, last = self.around
        if not (text.startswith(first) and text.endswith(last)):
            return None
        begin, end = len(first), len(text) - len(last)
        filled = []
        for part in others:
            stop = text.find(": ", begin, end) if part == ", field " else -1  # a place may have two
            found = text.rfind(part, begin, stop) if stop > 0 else text.find(part, begin, end)
            if found < 0:
                return None
            filled.append(text[begin:found])
            begin = found + len(part)
        filled.append(text[begin:end])
        return filled if begin <= end and self._may_fill(filled) else None

    def _may_fill(self, filled: Sequence[str]) -> bool:
        """Whether each gap holds what it may: no line end, what its name says, and one word or a
        quoted text in front of the next gap."""
        for place, (name, text) in enumerate(zip(self.names, filled, strict=True)):
            if "\n" in text or (name in KINDS and not re.fullmatch(KINDS[name], text)):
                return False
            if self.around[place].endswith("field ") and re.match(rf"(?:{_KEY.pattern}).", text):
                return False
            if name in KINDS or name in WHOLE or " " not in text:
                continue
            if self._short or (self.around[place + 1] == " " and text[0] not in "'\""):
                return False
        return True

    @property
    def _short(self) -> bool:
        """Whether it says so little, such as "{} of {}", that many texts look like it."""
        return not self.around[0] and sum(map(len, self.around)) < 10

    def holds_another(self, gaps: Sequence[str]) -> bool:
        """Whether a gap, where a word or a place belongs, is filled with more than that."""
        named = zip(self.names, gaps, strict=True)
        return any(name not in WHOLE and re.search("[;.] ", gap) for name, gap in named)

    def filled(self, gaps: Sequence[str]) -> str:
        """The Chinese message with these texts in its gaps, with a space between a Han character
        and a Latin letter or digit."""

        def gap(found: re.Match[str]) -> str:
            text = gaps[int(found[1])]
            before, behind = self.chinese[: found.start()], self.chinese[found.end() :]
            space_before = _HAN_END.search(before) and _LATIN_START.match(text)
            space_behind = _LATIN_END.search(text) and _HAN_START.match(behind)
            return f"{' ' * bool(space_before)}{text}{' ' * bool(space_behind)}"

        return _GAP.sub(gap, self.chinese)


def screen_language() -> str:
    """`zh` or `en`: the value of XINYE_LANGUAGE, or else the language of the locale."""
    chosen = os.environ.get("XINYE_LANGUAGE", "").strip().lower()
    if re.fullmatch("(zh|en)([-_.].*)?", chosen):
        return chosen[:2]
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    name = next((os.environ[name] for name in names if os.environ.get(name)), "")
    name = name or locale.getlocale()[0] or "C"
    if name.partition(".")[0] not in ("C", "POSIX"):
        name = os.environ.get("LANGUAGE") or name  # which gettext reads first, too
    return "zh" if name.lower().startswith(("zh", "chinese")) and _can_print_chinese() else "en"


def _can_print_chinese() -> bool:
    try:
        "中".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shown(text: str) -> str:
    """A message in the language of the screen."""
    return _in_lines(text) if screen_language() == "zh" else text


def shown_word(text: str) -> str:
    """A message that may be a single word of Xinye, such as the title of a column, in the language
    of the screen. `shown` leaves single words as they are, because they may be names."""
    word = text.strip()
    if screen_language() == "zh" and word in _messages()[0]:
        return text.replace(word, _messages()[0][word])
    return shown(text)


def with_colon(what: str, said: str) -> str:
    """Two texts that are in the language of the screen already, as "what: said"."""
    return f"{what}：{said}" if screen_language() == "zh" else f"{what}: {said}"


def listed(parts: Iterable[str]) -> str:
    """Several messages or words in one line, with commas between, in the language of the screen."""
    comma = "，" if screen_language() == "zh" else ", "
    return comma.join(map(shown_word, parts))


def shown_reason(reason: str) -> str:
    """The reason for a number of the plan, in the language of the screen. Its clauses may be single
    words."""
    return chinese(reason) if screen_language() == "zh" else reason


def chinese(text: str) -> str:
    """A text that a run's folder keeps in English, translated into Chinese. It consists of clauses,
    each of which may be a single word. Names and unknown texts stay as they are."""
    words = _messages()[0]
    clauses = text.split("; ")
    known = [clause if " " in clause else words.get(clause, clause) for clause in clauses]
    said = _in_lines("; ".join(known))
    return said if known == clauses else said.replace("; ", "；")


def _in_lines(text: str) -> str:
    """A message may have several lines, of which each may also be a message."""
    bare = text.strip()
    said = _matched(bare, DEEPEST) if "\n" in bare and len(bare) <= LONGEST else None
    if said is not None:
        return text.replace(bare, said, 1)
    return "\n".join(_framed(line) for line in text.split("\n"))


def _framed(line: str) -> str:
    """A line without what stands around a message: "xinye tune: … (try xinye tune --help)"."""
    frame = _FRAME.fullmatch(line)
    assert frame is not None  # each part may be empty
    head, message, usage = frame.groups()
    if not head and not usage:
        return _translated(line, DEEPEST)
    said = _messages()[0].get(message) or _translated(message, DEEPEST)
    named = head and HEADS.get(head, f"{head[:-2]}：")
    return f"{named or ''}{said}" + (f"（用法见 {usage}）" if usage else "")


def _translated(text: str, depth: int) -> str:
    """The text in Chinese, as far as it consists of messages."""
    bare = text.strip()
    if " " not in bare or not depth or len(bare) > LONGEST:
        return text
    said = _from_parts(bare, depth)
    return text if said is None else text.replace(bare, said, 1)


@lru_cache(REMEMBERED)
def _from_parts(text: str, depth: int) -> str | None:
    """The Chinese of a message, of a place, or of several with marks between; None if there is
    none."""
    before, within = _with_bracket(text)
    if _FILE.fullmatch(within) and (said := _matched(before, depth)) is not None:
        return f"{said}（{within}）"
    place = "" if re.search("[:;] ", text) else _place(text)
    if place and _PART.search(text) and ", field " not in place:
        return place
    if (said := _matched(text, depth)) is not None:
        return said
    if _TIME.fullmatch(text):
        return re.sub("[a-z]+", lambda unit: UNITS[unit[0]], text)
    if place:
        return place
    if _COUNTS.fullmatch(text):
        return "、".join(_translated(each, depth - 1) for each in text.split(", "))
    if listed := _LISTED.fullmatch(text):
        word = {"and": "和", "or": "或"}[listed["word"]]
        return f"{listed['before'].replace(', ', '、')} {word} {listed['last']}"
    if text.endswith(" …"):
        return f"{_translated(text[:-2], depth - 1)} …"
    where, _, what = text.partition(": ")
    if (said := _matched(what, depth)) is not None:
        return f"{_translated(where, depth - 1)}：{said}"
    if within:
        said_before, said_within = _translated(before, depth - 1), _translated(within, depth - 1)
        if (said_before, said_within) != (before, within):
            return f"{said_before}（{said_within}）"
    mark, wide = ("; ", "；") if "; " in text else (": ", "：")
    parts = text.split(mark)
    if len(parts) == 1:
        return None
    translated = []
    for number, part in enumerate(parts):
        # A message may contain the mark itself, so the rest is looked up as a whole first.
        rest = _matched(mark.join(parts[number:]), depth) if number else None
        translated.append(_translated(part, depth - 1) if rest is None else rest)
        if rest is not None:
            break
    return wide.join(translated) if translated != parts else None


@lru_cache(REMEMBERED)
def _matched(text: str, depth: int) -> str | None:
    """The Chinese of a text that is one whole message of the catalogue, or else None."""
    whole, gapped = _messages()
    if text in whole:
        return whole[text]
    found = [(message, gaps) for message in gapped if (gaps := message.gaps(text)) is not None]
    if not found:
        return None
    # A message whose gaps contain no further message is the better match.
    message, gaps = min(found, key=lambda each: each[0].holds_another(each[1]))
    behind_place = not message.around[0] and ": " in gaps[0] and message.names[0] not in WHOLE
    if behind_place:
        where, _, what = text.partition(": ")
        if " " not in where and (said := _matched(what, depth)) is not None:
            return f"{where}：{said}"
    if message.holds_another(gaps) and "; " in text:
        clauses = text.split("; ")
        translated = [_translated(clause, depth - 1) for clause in clauses]
        if all(map(str.__ne__, clauses, translated)):
            return "；".join(translated)

    def said_in(name: str, gap: str) -> str:
        if name in ("path", "file") and " " in gap:  # what is said in front of a problem
            return whole.get(gap, gap)
        return gap if name in VERBATIM else _translated(gap, depth - 1)

    return message.filled([*map(said_in, message.names, gaps)])


def _with_bracket(text: str) -> tuple[str, str]:
    """The text before the brackets at its end, and the text within them. The brackets may be
    nested: browsers save a second copy as "a (1).csv"."""
    depth = 0
    for at in range(len(text) - 1, 0, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if not depth:
            return (text[:at].rstrip(), text[at + 1 : -1]) if text[at] == "(" else (text, "")
    return text, ""


def _place(text: str) -> str:
    """A place in a file or in standard input in Chinese, with the file's name as it is; an empty
    string if the text does not end with a place."""
    if (keys := _KEYS.search(text)) and (place := _place(text[: keys.start()])):
        return f"{place} {'、'.join(_KEY.findall(keys[0]))}"
    if text.startswith(f"{INPUT}, "):
        text = _messages()[0].get(INPUT, INPUT) + text.removeprefix(INPUT)
    found = [match for each in (_LINE, _COLUMN, _FIELD, _PART) for match in each.finditer(text)]
    if len(text) not in [match.end() for match in found]:
        return ""

    def line(match: re.Match[str]) -> str:
        kind = match["kind"]
        numbers = re.sub(f"(?:, | and ){kind} ", "、", match["numbers"])
        return f"{' ' * bool(match['before'])}第 {numbers} {PLACES[kind]}"

    text = _LINE.sub(line, text)
    text = _COLUMN.sub(lambda match: f"{' ' * bool(match['before'])}{match['name']} 列", text)
    text = _FIELD.sub(lambda match: f"{'，' * bool(match['before'])}字段 {match['name']}", text)
    text = _PART.sub(lambda match: f"，第 {match['number']} {PARTS[match['kind']]}", text)
    text = re.sub(r"(?<=[行条列]), ", "、", text)
    return _AND.sub(lambda match: f"和 {match['latin']}" if match["latin"] else "和", text)


def wrapped(text: str, width: int) -> str:
    """The text broken into lines of at most `width` columns. A Han character takes two columns, and
    a line may end after it."""
    lines, room = [""], width
    for word in _BREAKABLE.findall(" ".join(text.split())):
        columns = sum(1 + (east_asian_width(letter) in "WF") for letter in word.rstrip())
        if columns > room:
            lines.append("")
            room = width
        lines[-1] += word
        room -= columns + len(word) - len(word.rstrip())
    return "\n".join(map(str.rstrip, lines))


@cache
def _messages() -> tuple[dict[str, str], list[Message]]:
    """The catalogue: a dictionary of the messages without gaps, and a list of those with gaps, in
    which the messages with the most text come first."""
    from babel.messages.pofile import read_po

    whole: dict[str, str] = {}
    gapped: list[Message] = []
    try:
        with CATALOGUE.open("rb") as file:
            entries = [(entry.id, entry.string) for entry in read_po(file, locale="zh")]
    except (OSError, UnicodeDecodeError) as error:
        log.warning("the Chinese messages cannot be read: %s", error)
        return whole, gapped
    for ids, strings in entries:
        # English has a singular and a plural form; in Chinese they are the same.
        said = strings if isinstance(strings, str) else (strings or [""])[0]
        for english in (ids,) if isinstance(ids, str) else ids:
            # a clause that is put behind others begins with its mark
            english, said = english.strip().removeprefix("; "), said.strip().removeprefix("；")
            if not english or not said:
                continue
            if names := _GAP.findall(english):
                around = _GAP.split(english)[::2]
                gapped.append(Message(around, _numbered(said, names), names))
            else:
                whole[english] = said
    gapped.sort(key=lambda message: sum(map(len, message.around)), reverse=True)
    return whole, gapped


def _numbered(said: str, names: Sequence[str]) -> str:
    """The Chinese text with numbers in its gaps instead of names. A name that occurs several times
    gets the numbers of its gaps in order."""
    left = [*enumerate(names)]

    def number(found: re.Match[str]) -> str:
        gap = next((each for each in left if each[1] == found[1]), None)
        if gap is None:
            raise LookupError(said)  # it has a gap more than its English
        left.remove(gap)
        return f"{{{gap[0]}}}"

    return _GAP.sub(number, said)
