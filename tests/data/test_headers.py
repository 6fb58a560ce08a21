"""Whether the first line of a table is its header or a record."""

import pytest

from xinye.data.columns import find_column
from xinye.data.sources import find_files, headerless, read_pieces


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "label,review\n1,很快\n0,太慢\n", ""),
        ("a.csv", ",标题,正负面\n0,大涨,1\n", ""),
        ("a.csv", "1,很快\n0,太慢\n", "its cell '1' is a number"),
        ("a.tsv", "Very fast\t-1.5\nToo slow\t2\n", "its cell '-1.5' is a number"),
        (
            "a.csv",
            "差评,太慢\n好评,很快\n差评,难吃\n",
            "its cell '差评' appears again in the same column",
        ),
        ("a.csv", "送得快，汤热。\n太慢\n", "its cell '送得快，汤热。…' is a sentence"),
        ("a.csv", '"half a quote\n', ""),
        ("a.csv", "", ""),
        ("a.jsonl", "1\n", ""),
    ],
)
def test_the_rule(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content, "utf-8")
    assert headerless(tmp_path / name) == reason


def test_named_columns_decide(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,很快\n0,太慢\n", "utf-8")
    assert (
        headerless(path, ["1"]) == ""
        and headerless(path, ["2"]) == "its columns are named by number"
    )


def test_text_of_a_table_without_a_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,送得快，汤热\n0,太慢，难吃\n", "utf-8")
    assert [piece.text for piece in read_pieces(find_files([path]))] == [
        "送得快，汤热",
        "太慢，难吃",
    ]
    assert [piece.text for piece in read_pieces([path], field="送得快，汤热")] == ["太慢，难吃"]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["id", "Content", "text"], "text"),  # what is usual first counts first
        (["id", " Review "], " Review "),
        (["TEXT", "text"], "TEXT"),
        (["1", "2"], None),
        ([], None),
    ],
)
def test_the_column_of_a_usual_name(columns, found):
    assert find_column(columns, ["text", "content", "review"]) == found
