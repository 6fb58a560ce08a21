"""The numbers of a text in all forms, Chinese and English, with their units."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from math import prod

_DIGITS = {**dict(zip("零一二三四五六七八九", range(10), strict=True)), "〇": 0, "两": 2}
_DIGITS |= dict(zip("壹贰叁肆伍陆柒捌玖", range(1, 10), strict=True))
_TENS = {"十": 10, "百": 100, "千": 1000, "拾": 10, "佰": 100, "仟": 1000}
_MYRIADS = {"万": 10**4, "亿": 10**8}
_TEENS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TIES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_TEENS)}
_WORDS |= {word: 20 + 10 * place for place, word in enumerate(_TIES)}
_WORDS |= {"third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_SCALES |= {"trillion": 10**12}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
UNITS = {  # patterns of what follows a number; longer ones stand before those that they begin with
    "percent": "%|percent|per cent|个百分点",
    "dollar": r"美元|dollars?\b|USD\b",
    "euro": r"欧元|euros?\b|EUR\b",
    "yuan": r"元|块|人民币|yuan\b|RMB\b|CNY\b",
    "year": r"周?岁|年|years?\b",
    "month": r"个?月|months?\b",
    "week": r"个?星期|周|weeks?\b",
    "day": r"个?工作日|日|天|号|days?\b",
    "hour": r"个?小时|hours?\b",
    "minute": r"分钟|minutes?\b",
    "second": r"秒钟?|seconds?\b",
    "kilometre": r"公里|千米|km\b|kilomet(?:re|er)s?\b",
    "metre": r"米|m\b|met(?:re|er)s?\b",
    "mile": r"英里|miles?\b",
    "kilogram": r"公斤|千克|kg\b|kilograms?\b",
    "gram": r"克|g\b|grams?\b",
    "pound": r"磅|pounds?\b|lbs?\b",
    "degree": r"摄氏度|度|℃|°C?|degrees?\b",
}
_BEFORE = {"$": "dollar", "€": "euro", "¥": "yuan", "百分之": "percent"}
_ANY_UNIT = "|".join(f"(?P<{name}>{pattern})" for name, pattern in UNITS.items())
_HAN = "零一二三四五六七八九〇两壹贰叁肆伍陆柒捌玖十百千万亿拾佰仟"
_UNIT = re.compile(rf"[ -]?(?:{_ANY_UNIT})", re.IGNORECASE)
# English words in capital and small letters of ASCII only: the Turkish ı is no i.
_SCALE = f"(?a:{'|'.join(_SCALES)})"
_WORD = f"(?a:{'|'.join(sorted({*_WORDS, *_SCALES}, key=len, reverse=True))})"
_NUMBER = re.compile(
    r"(?<![A-Za-z\d])(?P<arabic>\d+(?:,\d{3})*(?:\.\d+)?)"
    rf"(?: ?(?P<scale>[十百千万亿]{{1,3}}|{_SCALE}\b))?"
    rf"|(?P<han>[{_HAN}]{{1,30}}(?:点[零一二三四五六七八九]{{1,30}})?)"
    rf"|\b(?P<words>{_WORD}(?:[ -](?:and )?{_WORD}){{0,12}})\b"
    rf"|\b(?P<month>(?-i:{'|'.join(MONTHS)}))\b",
    re.IGNORECASE,
)
_MEASURE = "个名位次条项种款章本家所倍人篇张台辆层"  # behind a numeral that is meant as a number
_BARE = {"one", *_SCALES}
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # numbers of any length, unrounded


@dataclass(frozen=True)
class Number:
    """A number as it is written, its value, and its unit: a name of `UNITS`, or "" if it has none
    that is known. `sure` is False for words that need not mean a number, such as "one" or 一. It
    stands at `begin` in the NFKC form of the text."""

    text: str
    value: Decimal
    unit: str
    sure: bool
    begin: int


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a text in their order.

    >>> [(each.text, str(each.value), each.unit) for each in numbers("一百二十天, $3 million")]
    [('一百二十天', '120', 'day'), ('3 million', '3000000', 'dollar')]
    """
    return _numbers(unicodedata.normalize("NFKC", text))


def with_measures(text: str) -> str:
    """A text with each number that is sure and its unit as one word, however they are written.

    >>> with_measures("五公斤，5.0 kg，1.2万元")
    ' 5kilogram , 5kilogram , 12000yuan '
    """
    text = unicodedata.normalize("NFKC", text)
    parts, end = list[str](), 0
    for each in _numbers(text):
        if each.sure:
            parts += [text[end : each.begin], f" {_digits(each.value)}{each.unit} "]
            end = each.begin + len(each.text)
    return "".join([*parts, text[end:]])


def _digits(value: Decimal) -> str:
    """A value in one form that no term is cut at: 2.50 is "2point5"."""
    whole, _, fraction = f"{value:f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}point{fraction}" if fraction else whole


def _numbers(text: str) -> Iterator[Number]:
    for match in _NUMBER.finditer(text):
        before = text[max(match.start() - 4, 0) : match.start()]
        unit = next((name for mark, name in _BEFORE.items() if before.endswith(mark)), "")
        end = match.end()
        follows = None if unit or match["month"] else _UNIT.match(text, end)
        if follows:
            unit, end = follows.lastgroup or "", follows.end()
        if match["arabic"]:
            digits = Decimal(match["arabic"].replace(",", ""))
            value = _EXACT.multiply(digits, _scale(match["scale"] or ""))
            sure = True
        elif match["han"]:
            value = _han_value(match["han"])
            sure = bool(unit) or _is_meant(match["han"], text[end : end + 1])
        elif match["words"]:
            value = _words_value(match["words"].lower())
            sure = bool(unit) or match["words"].lower() not in _BARE
        else:
            value, unit = Decimal(1 + MONTHS.index(match["month"])), "month"
            sure = bool(re.search(r"\d,? $", before) or re.match(r",? \d", text[end : end + 3]))
        yield Number(text[match.start() : end], value, unit, sure, match.start())


def _is_meant(numeral: str, after: str) -> bool:
    """Whether a Chinese numeral without a unit is a number, and no part of a word: 万一, 统一."""
    if len(numeral) == 1:
        return numeral not in "一十百千万亿" and after in _MEASURE and after != ""
    return numeral[0] in _DIGITS or numeral[0] in "十拾"


def _scale(word: str) -> int:
    if word.lower() in _SCALES:
        return _SCALES[word.lower()]
    return prod({**_TENS, **_MYRIADS}[character] for character in word)


def _han_value(numeral: str) -> Decimal:
    """The value of a Chinese numeral: 一百二十, 二〇二四, 三点五."""
    whole, _, fraction = numeral.partition("点")
    if all(character in _DIGITS for character in whole):
        value = int("".join(str(_DIGITS[character]) for character in whole))
    else:
        value = 0  # of 亿 and 万 that are complete
        below = digit = 0  # of the part below 10,000, and the digit that waits for its place
        for character in whole:
            if character in _DIGITS:
                digit = _DIGITS[character]
                continue
            if character in _TENS:
                below += (digit or 1) * _TENS[character]
            else:
                if character == "亿":
                    value = (value + below + digit or 1) * 10**8
                else:
                    value += (below + digit or 1) * 10**4
                below = 0
            digit = 0
        value += below + digit
    digits = "".join(str(_DIGITS[character]) for character in fraction)
    return Decimal(f"{value}.{digits}") if digits else Decimal(value)


def _words_value(words: str) -> Decimal:
    """The value of English words: "twenty-five", "three hundred and one thousand"."""
    value = below = 0
    for word in re.split("[ -](?:and )?", words):
        if word in _WORDS:
            below += _WORDS[word]
        elif word == "hundred":
            below = (below or 1) * 100
        else:
            value += (below or 1) * _SCALES[word]
            below = 0
    return Decimal(value + below)
