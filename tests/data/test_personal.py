"""Personal data is found whole, other numbers are not, and masking loses nothing else."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xinye import XinyeError
from xinye.data.masking import Masker, starred
from xinye.data.personal import KINDS, Personal, find_personal

CARD, UNION_PAY = "4111111111111111", "6222020200112230"


def identity_card(first: str) -> str:
    """Seventeen digits with the check digit of GB 11643."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first + "10X98765432"[sum(int(d) * w for d, w in zip(first, weights, strict=True)) % 11]


IDENTITY = identity_card("11010519491231002")  # it ends in X

FOUND = {
    "mail": ["li.lei@example.com", "han+mei@mail.pku.edu.cn", "ＬＩ＠ｑｑ．ｃｏｍ"],
    "mobile": [
        "13812345678", "138-1234-5678", "138 1234 5678", "+86 13812345678", "0086-138 1234 5678",
        "（+86）13812345678", "１３８１２３４５６７８",
    ],
    "landline": [
        "010-82345678", "(0571)8234567", "（021）62345678", "010-8234 5678转801", "0571 - 82345678",
    ],
    "international": ["+44 20 7946 0958", "+1 (415) 555-2671", "+49 30 901820", "＋８５２ ９１２３ ４５６７"],
    "american": ["(415) 555-2671", "415-555-2671"],
    "identity_card": [
        IDENTITY, IDENTITY.lower(), "１１０１０５１９４９１２３１００２Ｘ", "110105 19491231 002X",
        "110105491231002",
    ],
    "bank_card": [
        CARD, "4111 1111 1111 1111", "4111-1111-1111-1111", UNION_PAY, "378282246310005",
        "3782 822463 10005",
    ],
    "social_security": ["078-05-1120"],
    "licence_plate": ["京A12345", "京A·12345", "粤B12345D", "粤BD12345", "沪ADF1234", "京a12345", "川A8Q92学"],
    "ip_address": ["115.28.3.100", "2400:3200::1", "2001:4860:4860:0:0:0:0:8888"],
}  # fmt: skip

NOT_FOUND = [
    # other numbers
    "12812345678", "138123456789", "913812345678", "2.13812345678", "0.4111111111111111",
    "3.14159265358979323846", "6.02214076e23", "1,380,013,800", "1 2 3 4 5 6 7 8 9 10 11 12",
    "¥13812345678", "13812345678元", "13812345678.50", "1+100000 = 100001", "a13812345678f",
    "2021-08-15 12:30", "1732000000123", "20210815123045123", "GB/T 11643-1999", "12:30:45",
    "订单号：13812345678", "运单号 4111111111111111", "order no. 13812345678", "ISBN 978-7-302-51276-1",
    "https://example.com/news/13812345678.html", "?id=13812345678&x", "400-818-1177", "1415-555-2671",
    "+999 1234 5678", "UTC+08:00", "000-05-1120", "078-05-11200",
    # wrong check digits, days and places
    "110105194912310021", identity_card("11010519490231002"), identity_card("99010519491231002"),
    f"1{IDENTITY}", "990105491231002", "110105490231002", "4111 1111 1111 1112",
    # what looks like an address
    "1.2.3.4", "v10.12.100.3", "版本 10.12.100.3", "192.168.1.100", "127.0.0.1", "115.28.3.300",
    "std::vector", "2024:10:20", "2001:db8::1", "icon@2x.png", "git@github.com:a/b", "@someone",
    "北京A12345", "京A123456", "京ABCDEF", "最新V10086",
]  # fmt: skip


@pytest.mark.parametrize("around", ["{}", "找她：{}，谢谢", "see {} now", "（{}）\n", "a,{},b"])
def test_the_whole_value_is_found(around: str) -> None:
    start = around.index("{")
    for kind, values in FOUND.items():
        for value in values:
            text = around.format(value)
            assert find_personal(text) == [Personal(start, start + len(value), kind)], text


@pytest.mark.parametrize("around", ["{}", "说：{}，谢谢", "see {} now", "（{}）\n", "a,{},b"])
def test_other_numbers_are_not(around: str) -> None:
    assert [value for value in NOT_FOUND if find_personal(around.format(value))] == []


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("电话：01082345678", "01082345678", "landline"),
        ("call 0571 82345678", "0571 82345678", "landline"),
        ("tel=13812345678", "13812345678", "mobile"),
        ("卡号 4222222222222", "4222222222222", "bank_card"),
        ("客户 IP: 8.8.8.8", "8.8.8.8", "ip_address"),
        ("https://li:geheim@example.com/a", "li:geheim", "login"),
    ],
)
def test_words_before_a_number_decide(text: str, value: str, kind: str) -> None:
    start = text.index(value)
    assert find_personal(text) == [Personal(start, start + len(value), kind)]
    assert kind in ("mobile", "login") or find_personal(value) == []


def test_values_that_touch_each_other() -> None:
    text = "a@b.cn13812345678、13987654321/010-82345678"
    found = [(text[start:end], kind) for start, end, kind in find_personal(text)]
    assert found == [
        ("a@b.cn", "mail"), ("13812345678", "mobile"), ("13987654321", "mobile"),
        ("010-82345678", "landline"),
    ]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 17), st.integers(1, 9))
def test_a_wrong_digit_is_refused(place: int, more: int) -> None:
    for number in (IDENTITY[:17] + "X", CARD, UNION_PAY):
        digit = number[place % len(number)]
        wrong = str((int(digit.replace("X", "0")) + more) % 10)
        other = number[: place % len(number)] + wrong + number[place % len(number) + 1 :]
        assert find_personal(other) == []


VALUES = [value for values in FOUND.values() for value in values]
BETWEEN = [
    *"0123456789 @.-+():/aXx\n，（）卡京A元[]",
    "电话", "订单号", "https://", "::", "2001:", "13", "tel=", "[phone 1]", "转", "新叶",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(VALUES) | st.sampled_from(BETWEEN), max_size=12).map("".join)


@settings(deadline=None, max_examples=100)
@given(TEXTS)
@example("li.lei@example.com138 1234 5678li.lei@example.com16222020200112230卡")
@example("li.lei@example.comhan+mei@mail.pku.edu.cn" + 3 * "+44 20 7946 0958")
def test_masking(text: str) -> None:
    found = find_personal(text)
    assert all(one.end <= other.start for one, other in pairwise(found))
    masked = Masker(b"key").mask(text)
    assert (masked == text) == (not found)
    assert Masker(b"key").mask(masked) == masked
    assert not found or starred(text) != text


def test_the_same_value_has_the_same_mark() -> None:
    masker = Masker(b"key")
    assert masker.mask("打13812345678或+86 139-8765-4321") == "打[电话1]或[电话2]"
    assert masker.mask("Mail a@b.cn, call 415-555-2671") == "Mail [mail 1], call [phone 3]"
    saved = json.dumps(masker.state)
    assert not any(value in saved for value in ("13812345678", "13987654321", "a@b.cn"))
    again = Masker(b"key", json.loads(saved))
    assert again.mask("138 1234 5678、A@b.cn、010-82345678") == "[电话1]、[mail 1]、[电话4]"
    other = Masker(b"another key", json.loads(saved))
    assert other.mask("13812345678") == "[电话4]"
    with pytest.raises(XinyeError, match="damaged"):
        Masker(b"key", {"phone": ["x"]})  # type: ignore[dict-item]


def test_a_tagger_adds_addresses() -> None:
    def tagger(text: str) -> list[Personal]:
        start = text.find("北京")
        return [Personal(start, len(text), "address")] if start >= 0 else []

    masker = Masker(tagger=tagger)
    assert masker.mask("住在北京路5号，电话13812345678") == "住在[地址1][电话1]"
    assert {"address", "name"} < KINDS.keys()


@pytest.mark.parametrize("comma", [",", ", ", "，", "、", "/", "\n"])
def test_every_number_of_a_list_is_found(comma: str) -> None:
    numbers = ["13812345678", "138-1234-5679", "010-62345678", "13712345670"] * 5
    assert len(find_personal(comma.join(numbers))) == 20


@pytest.mark.parametrize(
    "piece",
    ["1", "13812345678,", "1 ", "13812345678", "1.", "+1", "@", "a@", "a.a@", "://a:", "2000:", "京A", "京A1", "0-", "((", "订单"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    begin = time.process_time()
    find_personal(piece * (100_000 // len(piece)))
    assert time.process_time() - begin < 2


def test_only_values_that_were_masked_before() -> None:
    masker = Masker(b"key")
    masker.mask("我的电话是13812345678")
    text = "已给 138-1234-5678 发短信，热线 13900001111"
    assert masker.mask(text, only_known=True) == "已给 [电话1] 发短信，热线 13900001111"
    assert masker.mask("13900001111") == "[电话2]"
