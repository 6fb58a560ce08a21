"""Cleaning takes what no model should learn, counts it, and leaves the rest as it was written."""

import sys
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xinye.data.cleaning import Cleaning, clean
from xinye.data.sources import Piece
from xinye.errors import XinyeError


def cleaned(*texts: str, **settings: object) -> tuple[list[str], Counter[str]]:
    dropped: Counter[str] = Counter()
    pieces = (Piece(text, f"a.jsonl:{number}") for number, text in enumerate(texts, 1))
    return [piece.text for piece in clean(pieces, Cleaning(**settings), dropped)], dropped  # type: ignore[arg-type]


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("\r\n\t\x00\x7f\x85\ufeff\ufffe\ud800 叶")))
)
def test_only_line_ends_and_control_characters_change(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    bad = {character for character in lines if unicodedata.category(character) in ("Cc", "Cs")} - {
        "\n",
        "\t",
    }
    expected = "".join(each for each in lines if each not in bad | {"\ufeff", "\ufffe"})
    kept, dropped = cleaned(text)
    assert kept == ([expected] if expected.strip() else [])
    assert dropped["control characters"] == len(lines) - len(expected)


def test_white_space_stays() -> None:
    code = "def f():\n\treturn 1  \n\n\n    # 注释\u3000\n"
    assert cleaned(code)[0] == [code]
    piece = Piece(code, "a.txt")
    assert next(clean([piece], Cleaning())) is piece


def test_reasons_are_counted() -> None:
    kept, dropped = cleaned(
        "春眠不觉晓",
        "",
        " \n\t",
        "\x00\ufeff",
        "春眠不觉晓\x07",
        "leaf",
        "A leaf",
        minimum_characters=5,
    )
    assert kept == ["春眠不觉晓", "A leaf"]
    assert dropped == {"empty": 3, "duplicate": 1, "short": 1, "control characters": 3}
    assert cleaned("叶", "叶", duplicates=False)[0] == ["叶", "叶"]


@pytest.mark.parametrize(
    ("form", "expected"), [("keep", "ｅ\u0301，①"), ("NFC", "ｅ\u0301，①"), ("NFKC", "é,1")]
)  # fmt: skip
def test_unicode_forms(form: str, expected: str) -> None:
    assert cleaned("ｅ\u0301，①", unicode=form)[0] == [expected]
    assert cleaned("e\u0301", unicode="NFC")[0] == ["é"]


def test_documents_in_several_pieces_are_cleaned_but_never_dropped() -> None:
    long = [
        Piece("春\x00天\n", "a.txt"),
        Piece("\n", "a.txt", False),
        Piece("\x01", "a.txt", False),
    ]
    pieces = [
        *long,
        *long,
        Piece("\x00", "b.txt"),
        Piece("秋天", "b.txt", False),
        Piece("b", "c.txt"),
    ]
    assert list(clean(pieces, Cleaning(minimum_characters=2))) == [
        *[Piece("春天\n", "a.txt"), Piece("\n", "a.txt", False)] * 2,
        Piece("秋天", "b.txt", True),  # what opened the document is gone
    ]
    assert list(clean([], Cleaning())) == []


ENGLISH = "".join(
    f"The {n}th leaf of the old tree fell slowly down to the ground in autumn. " for n in range(20)
)
CHINESE = "".join(f"老树的第{n}片叶子在秋天慢慢地落到了地上，风把它吹进了河里。" for n in range(20))


def test_near_duplicates() -> None:
    pytest.importorskip("datasketch")
    others = [
        "Quite another text about the sea, its ships and the people who sail them.",
        "大海与船，以及乘船远行的人。",
    ]
    kept, dropped = cleaned(
        ENGLISH, CHINESE, ENGLISH + "End.", "序。" + CHINESE, *others, "叶", near_duplicates=0.8
    )
    assert kept == [ENGLISH, CHINESE, *others, "叶"]
    assert dropped == {"near duplicate": 2}
    for threshold in (0.05, 1.0):
        assert cleaned(CHINESE, CHINESE, duplicates=False, near_duplicates=threshold)[0] == [
            CHINESE
        ]
    assert len(cleaned(CHINESE, CHINESE[: len(CHINESE) // 2], near_duplicates=0.8)[0]) == 2


def test_scripts() -> None:
    pytest.importorskip("opencc")
    simplified, traditional = "书里的头发和发展，leaf", "書裡的頭髮和發展，leaf"
    assert cleaned(traditional, chinese="simplified")[0] == [simplified]
    assert cleaned(simplified, chinese="traditional")[0] in (
        [traditional],
        [traditional.replace("裡", "裏")],
    )
    assert cleaned(simplified, traditional, chinese="simplified")[1] == {"duplicate": 1}
    assert cleaned("书\x00\ud800书", chinese="traditional")[0] == ["書書"]


@pytest.mark.parametrize(
    ("module", "settings"),
    [("datasketch", {"near_duplicates": 0.8}), ("opencc", {"chinese": "simplified"})],
)
def test_a_missing_package_is_named(
    module: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(XinyeError, match=f"needs {module}; to install it: "):
        cleaned("叶", **settings)


def test_settings_are_strict_frozen_and_described() -> None:
    for wrong in (
        {"near_duplicates": 1.5},
        {"unicode": "NFD"},
        {"minimum_characters": -1},
        {"unknown": 1},
    ):
        with pytest.raises(ValidationError):
            Cleaning(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Cleaning().duplicates = False  # type: ignore[misc]
    assert all(field.description for field in Cleaning.model_fields.values())


def test_pieces_go_through_one_by_one() -> None:
    """However many documents there are, only the next one is read ahead."""
    taken: list[int] = []
    pieces = (taken.append(number) or Piece(f"{number}", "a") for number in range(100))
    counts = [len(taken) for _ in clean(pieces, Cleaning())]
    assert all(right - left <= 1 for left, right in pairwise(counts))
    assert counts[0] == 2
