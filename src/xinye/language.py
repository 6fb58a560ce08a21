"""The language of the screen. Messages are English in the code, and Chinese where they are printed
if the locale is Chinese. JSON, logs and a server's answers do not pass through here.

The Chinese stands in `locale/zh/LC_MESSAGES/xinye.po`, a catalogue of GNU gettext. A message of it
may have gaps: `{path}, line {number}: the label is empty`. A text is looked up by the words around
the gaps; what fills them is translated in the same way. So the code needs no marks, and what a run
has saved in English can be shown in both languages.
"""

import locale
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import east_asian_width

CATALOGUE = Path(__file__).parent / "locale" / "zh" / "LC_MESSAGES" / "xinye.po"
DEEPEST = 6  # gaps within gaps
LONGEST = 3000  # characters of a message
PLACES = {"line": "行", "record": "条", "row": "行"}
UNITS = {"s": "秒", "min": "分", "h": "小时"}
WHOLE = {"error", "message"}  # gaps that are filled with a message
_GAP = re.compile(r"\{(\w*)\}")
# what stays together in a line: a word, or a Han character, with the marks and the space behind it
_BREAKABLE = re.compile(r"(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)[，。：；！？、）》”…]*\s?")
# Where something stands: "a.csv, line 3, line 9", "b.xlsx, row 6, field 'label'", "column AB".
_BEFORE = r"(?P<before>^|, |(?<= and )|(?<= = ))"
_NUMBER = r"\d+(?:,\d{3})*"
_LINE = re.compile(
    rf"{_BEFORE}(?P<kind>line|record|row) "
    rf"(?P<numbers>{_NUMBER}(?:(?:, | and )(?P=kind) {_NUMBER})*)(?=$|, | and | = )"
)
_COLUMN = re.compile(rf"{_BEFORE}column (?P<name>[A-Z]+)(?=$|, | and | = )")
_FIELD = re.compile(rf"{_BEFORE}field (?P<name>'[^']*'|\"[^\"]*\")(?=$|, | and | = )")
_AND = re.compile(r"(?<=[行条列]) and (?P<latin>[!-~])?")
# such as "'modern', 'llama' or 'lstm'" and "--steps and --time"
_LISTED = re.compile(
    r"(?P<before>{0}(?:, {0})*) (?P<word>and|or) (?P<last>{0})".format("(?:'[^']*'|--[a-z-]+)")
)
_TIME = re.compile(r"\d[\d,.]* (?:s|min|h)(?: \d+ (?:s|min))?")


class Message(NamedTuple):
    """A message that has gaps: the texts around them, and its Chinese with their numbers. Only a
    number fills a gap named `{count}`; `{error}` and `{message}` are messages of their own."""

    around: Sequence[str]
    chinese: str
    names: Sequence[str] = ()

    def gaps(self, text: str) -> list[str] | None:
        """What fills the gaps if a text is this message: the shortest possible, from the left."""
        first, *others, last = self.around
        if not (text.startswith(first) and text.endswith(last)):
            return None
        begin, end = len(first), len(text) - len(last)
        filled = []
        for part in others:
            found = text.find(part, begin, end)
            if found < 0:
                return None
            filled.append(text[begin:found])
            begin = found + len(part)
        filled.append(text[begin:end])
        numbers = all(
            filled[place].replace(",", "").isdecimal()
            for place, name in enumerate(self.names)
            if name == "count"
        )
        return filled if begin <= end and numbers else None

    def holds_another(self, gaps: Sequence[str]) -> bool:
        """Whether a gap, where a word or a place belongs, is filled with more than that."""
        named = zip(self.names, gaps, strict=True)
        return any(name not in WHOLE and re.search("[;.] ", gap) for name, gap in named)

    def filled(self, gaps: Sequence[str]) -> str:
        return _GAP.sub(lambda found: gaps[int(found[1])], self.chinese)


def screen_language() -> str:
    """`zh` or `en`: what XINYE_LANGUAGE says, else the locale."""
    names = ("XINYE_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    name = next((os.environ[name] for name in names if os.environ.get(name)), "")
    name = name or locale.getlocale()[0] or ""
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


def shown(text: str) -> str:
    """A message in the language of the screen."""
    return _in_lines(text) if screen_language() == "zh" else text


def shown_word(text: str) -> str:
    """A message that may be a single word, such as the title of a column or a stage of the work.
    Only where it is surely ours: `shown` leaves single words as they are, for they may be names."""
    if screen_language() == "zh" and text in _messages()[0]:
        return _messages()[0][text]
    return shown(text)


def shown_reason(reason: str) -> str:
    """The reason for a number of a plan: clauses, each of which may be a single word."""
    return chinese(reason) if screen_language() == "zh" else reason


def chinese(text: str) -> str:
    """What a run's folder keeps in English, in Chinese: clauses, each of which may be a single
    word. What is no message of ours, such as a name, stays as it is."""
    words = _messages()[0]
    clauses = text.split("; ")
    known = [clause if " " in clause else words.get(clause, clause) for clause in clauses]
    said = _in_lines("; ".join(known))
    return said if known == clauses else said.replace("; ", "；")


def _in_lines(text: str) -> str:
    whole = _translated(text, DEEPEST)
    if whole != text:
        return whole
    return "\n".join(_translated(line, DEEPEST) for line in text.split("\n"))


def _translated(text: str, depth: int) -> str:
    bare = text.strip()
    if " " not in bare or not depth or len(bare) > LONGEST:
        return text
    said = _looked_up(bare, depth)
    return text if said is None else text.replace(bare, said, 1)


def _looked_up(text: str, depth: int) -> str | None:
    if (said := _matched(text, depth)) is not None:
        return said
    if _TIME.fullmatch(text):
        return re.sub("[a-z]+", lambda unit: UNITS[unit[0]], text)
    if not re.search("[:;] ", text) and (place := _place(text)):
        return place
    if listed := _LISTED.fullmatch(text):
        word = {"and": "和", "or": "或"}[listed["word"]]
        return f"{listed['before'].replace(', ', '、')} {word} {listed['last']}"
    if text.endswith(" …"):
        return f"{_translated(text[:-2], depth - 1)} …"
    where, _, what = text.partition(": ")
    if (said := _matched(what, depth)) is not None:
        return f"{_translated(where, depth - 1)}：{said}"
    before, within = _with_bracket(text)
    said_before, said_within = _translated(before, depth - 1), _translated(within, depth - 1)
    if within and (said_before, said_within) != (before, within):
        return f"{said_before}（{said_within}）"
    mark, wide = ("; ", "；") if "; " in text else (": ", "：")
    parts = text.split(mark)
    translated = []
    for number, part in enumerate(parts):
        # a message may have the mark, too, so that what is left is looked up as a whole first
        rest = _matched(mark.join(parts[number:]), depth) if number else None
        translated.append(_translated(part, depth - 1) if rest is None else rest)
        if rest is not None:
            break
    return wide.join(translated) if len(parts) > 1 and translated != parts else None


def _matched(text: str, depth: int) -> str | None:
    """The Chinese of a text that is a message as a whole."""
    whole, gapped = _messages()
    if text in whole:
        return whole[text]
    found = [(message, gaps) for message in gapped if (gaps := message.gaps(text)) is not None]
    if not found:
        return None
    message, gaps = min(found, key=lambda each: each[0].holds_another(each[1]))
    if message.holds_another(gaps) and "; " in text:
        clauses = text.split("; ")
        said = [_translated(clause, depth - 1) for clause in clauses]
        if all(map(str.__ne__, clauses, said)):
            return "；".join(said)
    return message.filled([_translated(gap, depth - 1) for gap in gaps])


def _with_bracket(text: str) -> tuple[str, str]:
    """A text, and what stands in the brackets at its end, which may hold others: "a (1).csv" is how
    browsers save a second copy."""
    depth = 0
    for at in range(len(text) - 1, 0, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if not depth:
            return (text[:at].rstrip(), text[at + 1 : -1]) if text[at] == "(" else (text, "")
    return text, ""


def _place(text: str) -> str:
    """Places in Chinese, whose files keep their names; "" for a text that does not end with one."""
    found = [match for each in (_LINE, _COLUMN, _FIELD) for match in each.finditer(text)]
    if len(text) not in [match.end() for match in found]:
        return ""

    def line(match: re.Match[str]) -> str:
        kind = match["kind"]
        numbers = re.sub(f"(?:, | and ){kind} ", "、", match["numbers"])
        return f"{' ' * bool(match['before'])}第 {numbers} {PLACES[kind]}"

    text = _LINE.sub(line, text)
    text = _COLUMN.sub(lambda match: f"{' ' * bool(match['before'])}{match['name']} 列", text)
    text = _FIELD.sub(lambda match: f"{'，' * bool(match['before'])}字段 {match['name']}", text)
    text = re.sub(r"(?<=[行条列]), ", "、", text)
    return _AND.sub(lambda match: f"和 {match['latin']}" if match["latin"] else "和", text)


def wrapped(text: str, width: int) -> str:
    """A text in lines of so many columns, of which a Han character takes two and may end a
    line."""
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
    """Those without gaps, and those with gaps; the ones that say most come first."""
    from babel.messages.pofile import read_po

    whole: dict[str, str] = {}
    gapped: list[Message] = []
    with CATALOGUE.open("rb") as file:
        entries = [(entry.id, entry.string) for entry in read_po(file, locale="zh")]
    for ids, strings in entries:
        # what is counted has a form for one and a form for several, which are one in Chinese
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
    """Chinese whose gaps have numbers in place of names. A name that fills several gaps stands for
    them in their order."""
    left = [*enumerate(names)]

    def number(found: re.Match[str]) -> str:
        place, name = next(each for each in left if each[1] == found[1])
        left.remove((place, name))
        return f"{{{place}}}"

    return _GAP.sub(number, said)
