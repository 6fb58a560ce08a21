"""Finds personal data in a text: phone, identity-card and bank-card numbers, mail addresses,
licence plates, IP addresses and passwords. Rules and check digits find them, without a model or a
network. Names and postal addresses have no form that a rule could check, so they need a tagger: a
function that is given in.

A false alarm damages a text, so a number counts only if its form, its check digit and the words
before it fit: order numbers, amounts, dates and versions stay as they are.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of personal data: its name in messages, and the words of its marks."""

    name: str
    english: str
    chinese: str


KINDS = {
    "mail": Kind("mail address", "mail", "邮箱"),
    "mobile": Kind("Chinese mobile number", "phone", "电话"),
    "landline": Kind("Chinese landline number", "phone", "电话"),
    "international": Kind("international phone number", "phone", "电话"),
    "american": Kind("North American phone number", "phone", "电话"),
    "identity_card": Kind("Chinese identity-card number", "identity card", "身份证号"),
    "bank_card": Kind("bank-card number", "bank card", "银行卡号"),
    "social_security": Kind("US social security number", "social security", "社会安全号"),
    "licence_plate": Kind("Chinese licence plate", "licence plate", "车牌号"),
    "ip_address": Kind("public IP address", "IP", "IP地址"),
    "login": Kind("user name and password in a web address", "login", "账号密码"),
    # No rule finds these two; a tagger may.
    "name": Kind("name of a person", "name", "姓名"),
    "address": Kind("postal address", "address", "地址"),
}


class Personal(NamedTuple):
    """Personal data of a kind (a key of `KINDS`) at `text[start:end]`."""

    start: int
    end: int
    kind: str


Tagger = Callable[[str], Iterable[Personal]]

PASSES = 12  # a value may stand so close to another that it counts only without it
FILL = "]"  # what a found value is replaced with before the next pass; marks end with it, too


def find_personal(text: str, tagger: Tagger | None = None) -> list[Personal]:
    """The personal data in a text, in order and without overlaps.

    A `tagger` gives further spans, such as addresses; where they overlap with what the rules find,
    only the rest of them counts. Time is linear in the length of the text.

    >>> find_personal("电话138-1234-5678，订单号13812345678")
    [Personal(start=2, end=15, kind='mobile')]
    """
    found: list[Personal] = []
    rest = text
    for _ in range(PASSES):
        new = _apart(_scan(rest))
        if not new:
            break
        found += new
        rest = replaced(rest, [(each, FILL * (each.end - each.start)) for each in new])
    found.sort()
    if tagger is not None:
        found += [part for span in _apart(tagger(text)) for part in _outside(span, found)]
        found.sort()
    return found


def replaced(text: str, values: Iterable[tuple[Personal, str]]) -> str:
    """The text with another text for each span. The spans are in order."""
    parts, end = [], 0
    for span, other in values:
        parts += [text[end : span.start], other]
        end = span.end
    return "".join([*parts, text[end:]])


def plain_value(value: str, kind: str) -> str:
    """What two ways to write the same value have in common: `+86 138-1234-5678` and `13812345678`
    both give the digits of the second.
    """
    value = _ascii(value)
    if kind in ("mail", "name", "address", "login"):
        return value.casefold()
    plain = re.sub(r"[^\w+]" if kind != "ip_address" else r"\s", "", value).upper()
    return re.sub(r"^(?:\+|00)?86(?=1[3-9]\d{9}$)", "", plain)


def _scan(text: str) -> Iterator[Personal]:
    """What the rules find in one pass, in any order."""
    yield from _logins(text)
    yield from _mails(text)
    yield from _numbers(text)
    yield from _plates(text)
    for found in _IPV6.finditer(text):
        if _is_public(found[0]):
            yield Personal(found.start(), found.end(), "ip_address")


def _apart(spans: Iterable[Personal]) -> list[Personal]:
    """The spans in order; of several that overlap, the one that begins first, and then the
    longest.
    """
    kept: list[Personal] = []
    for span in sorted(set(spans), key=lambda each: (each.start, -each.end)):
        if span.start >= (kept[-1].end if kept else 0) and span.end > span.start:
            kept.append(span)
    return kept


def _outside(span: Personal, found: list[Personal]) -> Iterator[Personal]:
    """The parts of a span that no found one covers. `found` is in order."""
    inside = [each for each in found if each.start < span.end and each.end > span.start]
    borders = [span.start, *(border for each in inside for border in each[:2]), span.end]
    for start, end in [*pairwise(borders)][::2]:
        if end > start:
            yield Personal(start, end, span.kind)


# -- characters ------------------------------------------------------------------------------------

_ASCII = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_ASCII |= dict.fromkeys([0xA0, 0x2007, 0x2009, 0x202F, 0x3000], ord(" "))
_ASCII |= dict.fromkeys([*range(0x2010, 0x2016), 0x2212], ord("-"))


def _ascii(text: str) -> str:
    """The text with ASCII instead of full-width characters, special spaces and dashes. The length
    stays the same.
    """
    return text if text.isascii() else text.translate(_ASCII)


# -- mail addresses and logins ---------------------------------------------------------------------

_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+([A-Za-z]{2,24})(?![A-Za-z])")
_AT = re.compile("[@＠]")
_LOGIN = re.compile(r"(?<=://)[^\s/@:]{1,64}:[^\s/@]{1,128}(?=@)")
# a name with "@" in it is often that of a file (logo@2x.png), and git@… is how a program logs in
_FILES = {
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "js", "css", "py", "md", "txt",
}  # fmt: skip


def _logins(text: str) -> Iterator[Personal]:
    for found in _LOGIN.finditer(text):
        yield Personal(found.start(), found.end(), "login")


def _mails(text: str) -> Iterator[Personal]:
    for sign in _AT.finditer(text):
        at = sign.start()
        before, behind = _ascii(text[max(0, at - 64) : at]), _ascii(text[at + 1 : at + 256])
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".-+%")
        domain = _DOMAIN.match(behind)
        if local and domain and local != "git" and domain[1].lower() not in _FILES:
            yield Personal(at - len(local), at + 1 + domain.end(), "mail")


# -- licence plates --------------------------------------------------------------------------------

# GA 36: a province, a letter, and five characters; six for cars with new energy. No I and no O.
_LETTERS = "A-HJ-NP-ZＡ-ＨＪ-ＮＰ-Ｚ"
_PLATE = re.compile(
    rf"""(?x)
    [京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]
    # not the end of a longer word, as in "the newest" (最新) or "Beijing" (北京)
    (?<!北京|南京|东京|天津|江苏|四川|西藏|辽宁|南宁|西宁|苏宁|最新|更新|全新|创新|刷新|里云|讯云)
    (?:[{_LETTERS}][ ·•・.-]?
        (?:[A-HJKＡ-ＨＪＫ][{_LETTERS}0-9０-９][0-9０-９]{{4}}|[0-9０-９]{{5}}[A-HJKＡ-ＨＪＫ]
        |[{_LETTERS}0-9０-９]{{4}}[{_LETTERS}0-9０-９学警港澳挂])
    |[a-hj-np-z][ ·•・.-]?[0-9]{{5}})
    (?![0-9A-Za-z０-９])
    """
)


def _plates(text: str) -> Iterator[Personal]:
    for found in _PLATE.finditer(text):
        if len(re.findall(r"\d", found[0])) > 1:
            yield Personal(found.start(), found.end(), "licence_plate")


# -- IP addresses ----------------------------------------------------------------------------------

_IPV6 = re.compile(  # those of the internet begin with 2 or 3
    r"[23](?<![0-9A-Za-z:.][23])[0-9A-Fa-f]{3}:"
    r"(?:[0-9A-Fa-f:]{2,34}(?<!:)|(?:[0-9A-Fa-f]{1,4}:){0,6}:)(?![0-9A-Za-z:])"
)


def _is_public(address: str) -> bool:
    """Whether this is an address of the internet. Those of local networks belong to no one."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


# -- numbers ---------------------------------------------------------------------------------------

_RUN = re.compile(
    "[0-9０-９][0-9０-９ ()（）.．\u00a0\u2007\u2009\u202f\u3000\u2010-\u2015\u2212－-]{6,}"
)
_SHORT = re.compile(r"[1-9][0-9]{,9}[ .(-]*")  # such as a time in seconds; it is no phone number
BEFORE, BEHIND = 32, 16  # characters around a run of digits that decide what it is

# What may stand right before a number: no digit, no decimal point, no currency, and no part of a
# code or a web address, unless that part says that a number to call follows.
_START = r"""(?:(?<=(?i:tel)[:=/_-])|(?<=(?i:phone)[:=/_-])|(?<=(?i:mobile)[:=/_-])
    |(?<![0-9¥￥$€£#])(?<![0-9=\s(,<>~^]\.)(?<![0-9A-Za-z_]-)(?<![A-Za-z_][/=_])
     (?<!(?<![0-9]{6})[0-9][/=_]))"""
# and right behind it: no digit, no decimals and no unit
_END = (
    "(?![0-9]|[.,][0-9]{1,9}(?![0-9])"
    "|[ ]?(?:[%‰]|[美港欧日]?元|万|亿|块|股|吨|字节|(?i:usd|rmb|cny|bytes)))"
)
_NUMBER = re.compile(
    rf"""(?x)
    (?P<identity_card>(?<![0-9A-Za-z.])[1-8][0-9]{{5}}(?P<a>[ -]?)(?:19|20)[0-9]{{2}}[01][0-9]
        [0-3][0-9](?P=a)[0-9]{{3}}[0-9Xx](?![0-9A-Za-z]))
  | (?P<mobile>{_START}(?:(?:\+|00)?86[ -]?|\((?:\+|00)?86\)[ -]?)?1[3-9][0-9](?P<b>[ -]?)[0-9]{{4}}
        (?P=b)[0-9]{{4}}{_END})
  | (?P<landline>{_START}(?:\(0[0-9]{{2,3}}\)|0[0-9]{{2,3}}[ ]?[)-])[ ]?[2-9](?:[0-9]{{6,7}}
        |[0-9]{{2,3}}[ -][0-9]{{4}})(?:[ ]?(?:-|转|ext\.?)[ ]?[0-9]{{1,5}})?{_END}(?!-[0-9]))
  | (?P<bare>{_START}0[0-9]{{2,3}}[ ]?[2-9][0-9]{{6,7}}{_END}(?!-[0-9]))
  | (?P<international>(?<![0-9A-Za-z+])\+[1-9][0-9]{{0,2}}[ .-]?(?:\([0-9]{{1,4}}\)[ .-]?)?
        [0-9]{{1,5}}(?:[ .-]?[0-9]{{2,5}}){{1,4}}(?![0-9]))
  | (?P<american>(?<![A-Za-z]){_START}
        (?:\((?![48]00)[2-9][0-9]{{2}}\)[ ]?|(?![48]00)[2-9][0-9]{{2}}[.-])
        [2-9][0-9]{{2}}[.-][0-9]{{4}}(?![0-9A-Za-z-]))
  | (?P<social_security>(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{{3}}-(?!00)[0-9]{{2}}-(?!0000)[0-9]{{4}}
        (?![0-9A-Za-z-]))
  | (?P<ip_address>(?<![0-9A-Za-z.])(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}(?![0-9A-Za-z]|\.[0-9]))
  | (?P<long>(?<![A-Za-z]){_START}(?:[0-9]{{13,19}}|[0-9]{{4}}(?P<c>[ -])[0-9]{{4}}(?P=c)[0-9]{{4}}
        (?P=c)[0-9]{{4}}(?:(?P=c)[0-9]{{3}})?|3[0-9]{{3}}(?P<d>[ -])[0-9]{{6}}(?P=d)[0-9]{{5}})
        {_END}(?![A-Za-z]|-[0-9]))
    """
)
_FORMS = _NUMBER.groupindex.keys() - set("abcd")


def _after(words: str) -> re.Pattern[str]:
    """Matches a text that ends with one of the words, or with a word and little behind it."""
    return re.compile(rf"(?:{words})[^0-9\n\{FILL}]{{0,12}}$", re.IGNORECASE)


_CALLED = _after("电话|手机|热线|座机|传真|致电|拨打|联系|tel|phone|fax|mobile|call|cell")
_CARD = _after("卡|账号|帐号|账户|帐户|card|account")
_IP = _after(r"(?<![A-Za-z])ip(?:v4)?(?![A-Za-z])")
_VERSION = _after(r"(?<![A-Za-z])v|ver|version|版本|固件|rev|release")
_LETTERS_AROUND = re.compile("[A-Za-z]{2}")  # as in a hash
_NO_PERSON = re.compile(
    "(?<![卡证户])(?:订单|单号|流水|编号|编码|代码|序列|批次|批号|条码|条形码|货号|型号|工号|学号|合同|发票|案号|时间戳"
    r"|isbn|issn|doi|order|invoice|tracking|serial|batch|sku|timestamp|transaction|ticket|reference)"
    r"(?:号码?|编号|[\s_-]*(?:id|no|number|code)\b)?[\s.:：#=是为（(_-]*$",
    re.IGNORECASE,
)
# The 31 provinces and the three regions of GB/T 2260
_PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55)}
_PROVINCES |= {*range(61, 66), 71, 81, 82, 83}
# First digits of cards with their lengths: UnionPay, old Chinese cards, Visa, Mastercard, American
# Express, JCB and Discover
_ISSUERS = re.compile(
    "62[0-9]{14,17}|9558[0-9]{15}|4[0-9]{15}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9]|[3-6]|7[01])[0-9]{12,14}"
    "|3[47][0-9]{13}|35[0-9]{14}|6(?:011|4[4-9]|5)[0-9]{12,14}"
)
# and forms that are so rare today, or so common in other numbers, that a word must say "card"
_RARE_ISSUERS = re.compile("4(?:[0-9]{12}|[0-9]{18})|3[068][0-9]{12}|(?:5[06-9]|6)[0-9]{12,18}")


def _numbers(text: str) -> Iterator[Personal]:
    for run in _RUN.finditer(text):
        if _SHORT.fullmatch(run[0]) and text[run.start() - 1 : run.start()] not in "+＋":
            continue
        # the text around a run, in which `at` is the begin of the run
        begin = max(0, run.start() - BEFORE)
        window = _ascii(text[begin : run.end() + BEHIND])
        position, end = max(0, run.start() - begin - 3), run.end() - begin
        while found := _NUMBER.search(window, position, end + BEHIND):
            if found.start() >= end:  # of another run, and perhaps not the whole number
                break
            kind = _kind(found, window)
            if kind:
                yield Personal(begin + found.start(), begin + found.end(), kind)
            position = found.end() if kind else found.start() + 1


def _kind(found: re.Match[str], window: str) -> str:
    """What a number is that has the form of personal data, or "" if it is something else."""
    form = next(name for name in _FORMS if found[name])
    digits = re.sub("[^0-9X]", "", found[0].upper())
    before = window[max(0, found.start() - BEFORE) : found.start()]
    if form == "identity_card":
        return form if _is_identity_card(digits) else ""
    if form == "ip_address":
        return form if _is_ipv4(found[0], before) else ""
    around = before[-1:] + window[found.end() : found.end() + 1]
    if _NO_PERSON.search(before) or _LETTERS_AROUND.fullmatch(around):
        return ""
    if form == "long":
        return _long_number(digits, before)
    called = bool(_CALLED.search(before))
    if form == "bare":
        return "landline" if called else ""
    if form in ("international", "american"):
        return form if _is_phone(found[0], form, called) else ""
    return form


def _is_phone(number: str, form: str, called: bool) -> bool:
    """Whether the country has such numbers; after a word such as "phone", the length is enough."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, "US" if form == "american" else None)
    except phonenumbers.NumberParseException:
        return False
    lenient = called and form == "international"
    test = phonenumbers.is_possible_number if lenient else phonenumbers.is_valid_number
    toll_free = phonenumbers.PhoneNumberType.TOLL_FREE
    return test(parsed) and phonenumbers.number_type(parsed) != toll_free


def _is_identity_card(number: str) -> bool:
    """GB 11643: a province, a date of birth, and the check digit of ISO 7064 MOD 11-2."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return (
        int(number[:2]) in _PROVINCES
        and _is_birth(number[6:14])
        and number[17] == "10X98765432"[total % 11]
    )


def _is_birth(digits: str) -> bool:
    """Whether eight digits are a day in the past."""
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) <= date.today()
    except ValueError:
        return False


def _long_number(digits: str, before: str) -> str:
    """What 13 to 19 digits are that have no date of birth in the usual place."""
    issued = _ISSUERS.fullmatch(digits) or (
        _RARE_ISSUERS.fullmatch(digits) and _CARD.search(before)
    )
    if issued and _luhn(digits):
        return "bank_card"
    # The form of before 1999 has no check digit, and no century.
    old = len(digits) == 15 and int(digits[:2]) in _PROVINCES and _is_birth(f"19{digits[6:12]}")
    return "identity_card" if old else ""


def _luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _is_ipv4(number: str, before: str) -> bool:
    """Whether this is a public address. Versions look the same, but their numbers are small."""
    parts = number.split(".")
    if any(len(part) > 1 and part[0] == "0" for part in parts) or not _is_public(number):
        return False
    if _IP.search(before):
        return True
    large = sum(len(part) > 1 for part in parts) > 1 and any(len(part) > 2 for part in parts)
    return large and not _VERSION.search(before)
