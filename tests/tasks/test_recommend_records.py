"""Events and items of recommendation, as files have them."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.planning.column_settings import ColumnSettings
from xinye.ranking.items import Item
from xinye.tasks.bad_records import bad_records
from xinye.tasks.recommend_items import read_items
from xinye.tasks.recommend_records import Events, learned, read_events

MOVIELENS = Path(__file__).parents[3] / "shared" / "data" / "movielens_small"
EVENTS = "user,item,time\nann,tea,3\nann,cup,1\nbob,cup,2\nbob,pot,4\n"


def read(name: str, content: str | bytes, items: tuple[Item, ...] = (), **settings) -> Events:
    raw = content if isinstance(content, bytes) else content.encode()
    Path(name).write_bytes(raw)
    return read_events([name], ColumnSettings(**settings), items)


def told(events: Events) -> dict[str, list[str]]:
    """The history of each user, with the items' own ids."""
    ids = [item.id for item in events.items]
    rows = zip(events.users, range(len(events.users)), strict=True)
    return {user: [ids[item] for item in events.histories[number]] for user, number in rows}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


WANTED = {"ann": ["cup", "tea"], "bob": ["cup", "pot"]}


def test_events_are_sorted_by_time():
    events = read("a.csv", EVENTS)
    assert told(events) == WANTED
    assert events.order == "plain numbers" and "only their order counts" in events.findings[0]
    assert [item.id for item in events.items] == ["tea", "cup", "pot"]


def test_all_formats_say_the_same():
    names, *rows = [line.split(",") for line in EVENTS.splitlines()]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    lines = "".join(json.dumps(row) + "\n" for row in records)
    quoted = EVENTS.replace("ann", '"ann"')
    for name, content in (
        ("a.tsv", EVENTS.replace(",", "\t")), ("a.jsonl", lines), ("a.json", json.dumps(records)),
        ("b.csv", "\ufeff" + EVENTS), ("c.csv", quoted), ("d.csv", EVENTS.replace(",", ";")),
        ("e.csv", EVENTS.encode("utf-16")), ("f.csv", EVENTS.replace("\n", "\r\n")),
    ):  # fmt: skip
        assert told(read(name, content)) == WANTED, name
    columns = {name: [row[name] for row in records] for name in names}
    columns["time"] = [int(time) for time in columns["time"]]
    pyarrow.parquet.write_table(pyarrow.table(columns), "a.parquet")
    assert told(read_events(["a.parquet"], ColumnSettings())) == WANTED


def test_chinese_columns_in_gb18030():
    rows = [
        "小李,红茶,2026年3月5日,购买,5",
        "小李,茶壶,2026年3月4日,浏览,4",
        "老王,茶壶,2026年3月1日,购买,5",
    ]
    content = "\n".join(["用户,商品,时间,事件,评分", *rows, "老王,红茶,2026年3月9日,购买,3"]) + "\n"
    for raw in (content.encode("gb18030"), content.encode("utf-8-sig")):
        events = read("事件.csv", raw)
        assert told(events) == {"小李": ["茶壶", "红茶"], "老王": ["茶壶", "红茶"]}
        assert "events of all kinds count: 购买 3, 浏览 1" in " ".join(events.findings)
    bought = read("事件.csv", content, events=("购买",))
    assert told(bought) == {"小李": ["红茶"], "老王": ["茶壶", "红茶"]}
    assert bought.left_out == {"kinds": 1}
    liked = read("事件.csv", content, min_rating=4)
    assert told(liked) == {"小李": ["茶壶", "红茶"], "老王": ["茶壶"]}
    assert "left out by --min-rating: 1 event with a lower rating" in " ".join(liked.findings)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1260759144", "1260759145"),
        ("1260759144000", "1260759145000"),
        ("2009-12-14", "2009-12-15"),
        ("2009-12-14T02:52:24Z", "2009-12-14T02:52:25Z"),
        ("2009-12-14 10:52:24", "2009/12/14 10:52:25"),
        ("2009年12月14日", "2009年12月15日"),
        ("20091214", "20091215"),
    ],
)
def test_times(first, second):
    late, early = f"u,b,{second}\nu,a,{first}\n", f"v,b,{first}\nv,a,{second}\n"
    events = read("a.csv", f"user,item,time\n{late}{early}")
    assert told(events) == {"u": ["a", "b"], "v": ["b", "a"]}
    assert events.histories.times is not None
    assert 1260748799 < events.histories.times.min() < 1260800000


def test_dates_of_parquet():
    moments = np.array(["2026-03-05", "2026-03-04", "2026-03-01", "2026-03-02"], "datetime64[s]")
    table = {"user": [1, 1, 2, 2], "item": ["a", "b", "a", "b"], "time": moments}
    pyarrow.parquet.write_table(pyarrow.table(table), "a.parquet")
    events = read_events(["a.parquet"], ColumnSettings())
    assert told(events) == {"1": ["b", "a"], "2": ["a", "b"]}
    assert events.histories.times is not None and events.histories.times[0] == 1772582400


def test_the_first_of_equal_events_counts():
    events = read("a.csv", EVENTS + "ann,cup,9\nann,cup,1\n")
    assert told(events) == WANTED and events.left_out == {"repeats": 2}
    assert "the first counts: 2 events left out" in " ".join(events.findings)


def test_without_times_the_order_of_the_file_counts():
    events = read("a.csv", "".join(line.rpartition(",")[0] + "\n" for line in EVENTS.splitlines()))
    assert told(events) == {"ann": ["tea", "cup"], "bob": ["cup", "pot"]}
    assert events.histories.times is None and "order in the file" in events.findings[0]


def test_items_of_the_catalogue_come_first():
    catalogue = (Item("pot", "Pot"), Item("jug", "Jug"), Item("cup", "Cup"))
    events = read("a.csv", EVENTS, catalogue)
    assert [item.id for item in events.items] == ["pot", "jug", "cup", "tea"]
    assert (
        "not in the file of items, so without title and text: 1 item, such as 'tea', with 1 event"
        in events.findings[1]
    )
    with pytest.raises(XinyeError, match="only 1 item with 2 events or more, too few"):
        learned(events, 2)


def test_learned_numbers_the_items_anew():
    rows = "".join(f"{user},{item}\n" for user in "abc" for item in ("x", user, "y"))
    often = learned(read("a.csv", f"user,item\n{rows}"), 2)
    assert [item.id for item in often.items] == ["x", "y"]
    assert [item.id for item in often.rare] == ["a", "b", "c"]
    assert told(often) == {user: ["x", "y"] for user in "abc"} and often.left_out == {"rare": 3}


BAD = {
    "one user": ("user,item\na,x\na,y\n", "a.csv: all events are of one user, 'a'"),
    "one item": ("user,item\na,x\nb,x\n", "a.csv: all events are with one item, 'x'"),
    "all equal": ("user,item\na,x\na,x\n", "a.csv: all events are equal: user 'a' and item 'x'"),
    "only one each": ("user,item\na,x\nb,y\n", "no user has used two different items"),
    "no user": ("user,item\na,x\n,y\n", "a.csv, line 3, field 'user': the id is empty"),
    "no item": ("user,item\na,x\nb, \n", "a.csv, line 3, field 'item': the id is empty"),
    "rating": ("user,item,rating\na,x,4\na,y,good\n", "a.csv, line 3, field 'rating': the rating 'good' is not a"),
    "评分": ("用户,商品,评分\n甲,x,4\n甲,y,好\n", "a.csv, line 3, field '评分': the rating '好' is not a number"),
    "no time": ("user,item,time\na,x,1260759144\na,y,\n", "a.csv, line 3: the time in 'time' is empty"),
    "time": ("user,item,time\na,x,2026-03-05\na,y,05/03/26\n", "line 3: the time '05/03/26' in 'time' is not un"),
    "two formats": (
        "user,item,time\na,x,1260759144\na,y,1260759145\nb,x,2009-12-14\n",
        "a.csv, line 2 and line 4: the times have two formats: '1260759144' (seconds since 1970) and '2009-12-14' "
        "(dates). Write all in one format",
    ),
    "两种时间": ("用户,商品,时间\na,x,2026年3月5日\na,y,1260759144000\n", "line 2 and line 3: the times have two"),
    "columns": ("who,what\na,x\n", "a.csv: cannot tell which column is the user; name it with --user-field"),
    "no header": ("196,242,3\n186,302,3\n", "add a header, or give the columns as numbers: --user-field 1"),
    "nothing": ("user,item\n", "a.csv: no events in it"),
    "short row": ("user,item\na,x\nb\n", "a.csv, line 3: 1 column, but the header"),
    "open quote": ('user,item\na,x\n"b,y\n', "a.csv, line 3: not a valid row (a quotation mark is never closed)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case):
    content, wanted = BAD[case]
    with pytest.raises(XinyeError) as caught:
        read("a.csv", content)
    assert wanted in str(caught.value) and caught.value.exit_code == 2


def many(*ratings: str) -> str:
    usual = [f"u{n % 7},i{n % 5},{n % 5 + 1}\n" for n in range(300)]
    return "".join(["user,item,rating\n", *usual, *(f"u1,j,{rating}\n" for rating in ratings)])


@pytest.mark.parametrize("wrong", ["50", "-1", "6"])
def test_ratings_out_of_range(wrong):
    words = f"a.csv, line 302: the rating {wrong} is out of range: all but 1 of 301 ratings lie between 1 and 5"
    with pytest.raises(XinyeError, match=words):
        read("a.csv", many(wrong))
    assert read("a.csv", many("0", "5", "")).rows == 303


def test_ratings_may_be_counts():
    rows = "".join(f"u{n % 7},i{n % 50},{2 ** (n % 12)}\n" for n in range(400))
    assert read("a.csv", f"user,item,rating\n{rows}").rows == 400
    with pytest.raises(
        XinyeError, match="no event has a rating of 9 or more; the ratings lie between 1 and 5"
    ):
        read("a.csv", many(), min_rating=9)


def test_kinds_that_are_not_there():
    content = "user,item,event\na,x,view\na,y,purchase\nb,x,view\nb,y,View\n"
    with pytest.raises(
        XinyeError, match=r"of the kind 'purchases'; .*view 2, purchase 1.* did you mean 'purchase'"
    ):
        read("a.csv", content, events=("purchases",))
    assert told(read("a.csv", content, events=("view", "purchase"))) == {
        "a": ["x", "y"],
        "b": ["x", "y"],
    }
    with pytest.raises(XinyeError, match="--events: the events have no kinds"):
        read("a.csv", EVENTS, events=("view",))
    with pytest.raises(XinyeError, match="--min-rating: the events have no ratings"):
        read("a.csv", EVENTS, min_rating=3)


def test_usual_headings_of_shops():
    """Times and dates of one spreadsheet, in whose cells midnight is a date."""
    content = "买家,商品名称,成交时间,订单状态\n甲,茶,2026-03-05 10:00:00,已付款\n甲,杯,2026-03-05,已退款\n乙,茶,2026-03-06,已付款\n乙,杯,2026-03-07,x\n"
    notes = Notes()
    Path("a.csv").write_text(content, "utf-8")
    events = read_events(["a.csv"], ColumnSettings(), notes=notes)
    assert told(events) == {"甲": ["杯", "茶"], "乙": ["茶", "杯"]}
    assert "the field '订单状态' is not read" in " ".join(notes.sentences())


def test_named_columns():
    content = "who,what,when\nann,tea,3\nann,cup,1\nbob,cup,2\nbob,pot,4\n"
    named = {"user_field": "who", "item_field": "what", "time_field": "when"}
    assert told(read("a.csv", content, **named)) == WANTED
    with pytest.raises(XinyeError, match=r"no column 'wat' \(--item-field\).*did you mean 'what'"):
        read("a.csv", content, **named | {"item_field": "wat"})
    numbers = {"user_field": "1", "item_field": "2", "time_field": "3"}
    assert told(read("b.csv", content.replace(",3", ",30").partition("\n")[2], **numbers)) == WANTED


def test_bad_records_can_be_skipped():
    notes = Notes()
    Path("a.csv").write_text(EVENTS + ",pot,5\n")
    with bad_records("skip"):
        events = read_events(["a.csv"], ColumnSettings(), notes=notes)
    assert told(events) == WANTED and "1 bad record left out: line 6" in " ".join(notes.sentences())


@given(
    st.lists(
        st.tuples(st.sampled_from("ab甲"), st.text("xyz茶\"', ", min_size=1), st.integers(0, 9))
    )
)
def test_any_ids_come_back(tmp_path_factory, rows):
    """The quick reader and the one of JSON agree on every table."""
    import csv

    folder = tmp_path_factory.mktemp("any")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("user", "item", "time"), *rows])
    lines = [json.dumps(dict(zip(("user", "item", "time"), row, strict=True))) for row in rows]
    (folder / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))
    results = []
    for name in ("a.csv", "a.jsonl"):
        try:
            results.append(told(read_events([str(folder / name)], ColumnSettings())))
        except XinyeError as error:
            results.append(re.sub(rf"\S*{re.escape(name)}.*?: ", "", str(error)))
    assert results[0] == results[1]


@given(st.lists(st.text('ab0x9",\n', min_size=3, max_size=8)))
@example(["b,y,2", 'b,"z,3', "b,x,4"])  # never closed
@example(['b,"y"x,2'])
@example(["b,y,0x5"])
@example(["b,y,0X5"])
def test_both_readers_agree_on_any_text(tmp_path_factory, lines):
    """A compressed table is read row by row."""
    folder = tmp_path_factory.mktemp("text")
    content = "\n".join(["user,item,time", "a,x,1", "a,y,2", "b,x,1", *lines, ""]).encode()
    (folder / "a.csv").write_bytes(content)
    with gzip.open(folder / "a.csv.gz", "wb") as file:
        file.write(content)
    results: list[Any] = []
    for name in ("a.csv", "a.csv.gz"):
        try:
            results.append(told(read_events([str(folder / name)], ColumnSettings())))
        except XinyeError as error:
            results.append(str(error).replace(f"{name}", "a.csv"))
    assert results[0] == results[1]


# -- items -----------------------------------------------------------------------------------------


def items(name: str, content: str, **settings) -> tuple[list[Item], str]:
    Path(name).write_text(content, "utf-8")
    notes = Notes()
    return read_items([name], ColumnSettings(**settings), notes), " ".join(notes.sentences())


def test_items_in_both_languages():
    found, _ = items("a.csv", 'id,title,description,tags\n1,Green  Tea,Fresh.,"tea, green|drink"\n')
    assert found == [Item("1", "Green Tea", "Fresh.", ("tea", "green", "drink"))]
    found, notes = items("b.csv", "商品编号,名称,简介,标签,价格\n7,红茶,很香。,茶、饮料；红,九元\n")
    assert found == [Item("7", "红茶", "很香。", ("茶", "饮料", "红"))]
    assert "the field '价格' is not read" in notes
    found, _ = items("c.jsonl", '{"item": 1984, "name": 1984, "genres": ["a", "b|c"]}\n')
    assert found == [Item("1984", "1984", "", ("a", "b", "c"))]
    found, _ = items("d.csv", "movieId,title,genres\n3,X,(no genres listed)\n")
    assert found == [Item("3", "X")]


def test_bad_items():
    with pytest.raises(
        XinyeError, match=r"a.csv, line 4: the item '1' is also in line 2, with another title"
    ):
        items("a.csv", "id,title\n1,a\n2,b\n1,c\n")
    assert items("a.csv", "id,title\n1,a\n1,a\n")[0] == [Item("1", "a")]
    with pytest.raises(
        XinyeError, match="no column of titles, texts or tags; name one with --title-field"
    ):
        items("a.csv", "id,colour\n1,red\n")
    with pytest.raises(XinyeError, match="line 2, field 'id': the id is empty"):
        items("a.csv", "id,title\n,a\n")
    with pytest.raises(
        XinyeError, match="none of its items is in the file of items: there is 'tea' here, and '1'"
    ):
        read("b.csv", EVENTS, (Item("1", "a"),))


@pytest.mark.skipif(not MOVIELENS.exists(), reason="MovieLens is not here")
def test_movielens_as_it_is():
    catalogue = read_items([str(MOVIELENS / "movies.csv")], ColumnSettings())
    events = learned(read_events([str(MOVIELENS / "ratings.csv")], ColumnSettings(), catalogue), 5)
    assert (len(events.users), len(events.items), len(catalogue)) == (671, 3496, 9125)
