"""Newer events and items are used at once, and a user can be exported and forgotten."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from apps.recommend.bookshop import BOOKS, Bookshop
from xinye.apps.recommend import behaviour
from xinye.apps.recommend.behaviour import Behaviour, Event
from xinye.apps.recommend.reasons import sentence
from xinye.apps.recommend.service import Shop
from xinye.errors import NotFound, XinyeError
from xinye.ranking import history_file
from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked, Reason

HISTORIES = Path("items", history_file.HISTORIES)
LINES = (
    '{"user": "li.lei", "items": ["b1"], "times": [1.5]}',
    '{"user": "韩梅梅", "items": ["b3", "b4"], "times": null}',
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "items").mkdir(parents=True)
    (tmp_path / "run" / HISTORIES).write_text("\n".join(LINES) + "\n", "utf-8")
    return tmp_path / "run"


@pytest.fixture
def shop(run: Path, tmp_path: Path) -> Iterator[Shop]:
    with closing(Behaviour(tmp_path / "shop.db", lambda: 1e9)) as store:
        yield Shop(Bookshop(), store, run)


def ids(shop: Shop, **asked: object) -> list[str]:
    return [each.id for each in shop.recommend(Asked(**asked)).items]  # type: ignore[arg-type]


def test_a_new_event_counts_in_the_next_question(shop: Shop) -> None:
    assert shop.recommend(Asked("新来的")).cold
    assert shop.history_of("韩梅梅") == ["b3", "b4"]
    shop.add([Event("韩梅梅", "b1"), Event("韩梅梅", "b4")])
    assert shop.history_of("韩梅梅") == ["b3", "b4", "b1"]  # b4 was known from the training
    shop.add([Event("新来的", "b1")])
    assert ids(shop, user="新来的")[0] == "b2"
    assert not shop.recommend(Asked("新来的")).cold


def test_kinds_that_the_run_did_not_learn_from_do_not_count(shop: Shop) -> None:
    (shop.run / "training").mkdir()
    about = '{"settings": {"events": ["Purchase"]}}'
    (shop.run / "training" / "settings.json").write_text(about, "utf-8")
    again = Shop(Bookshop(), shop.behaviour, shop.run)
    again.add([Event("u", "b1", kind="view"), Event("u", "b2", kind="purchase"), Event("u", "b3")])
    assert again.history_of("u") == ["b2", "b3"] and shop.history_of("u") == ["b1", "b2", "b3"]


def test_an_unknown_item_names_the_nearest_and_saves_nothing(shop: Shop) -> None:
    with pytest.raises(NotFound, match="there is no item '猜猜儿童/绘本'"):
        shop.add([Event("li.lei", "b2"), Event("li.lei", "猜猜儿童/绘本")])
    with pytest.raises(NotFound, match=r"no item 'b/66'; did you mean 'b/6'\?"):
        shop.recommend(Asked(history=("b1", "b/66")))
    assert shop.history_of("li.lei") == ["b1"]


def test_a_new_item_is_recommended_at_once_and_after_a_restart(shop: Shop) -> None:
    assert shop.put(Item("新/书", "新书", "科幻", ("科幻",)))
    assert not shop.put(Item("b1", "活着（新版）", "", ("小说",)))
    assert "新/书" in ids(shop, history=("b2",))
    shop.add([Event("li.lei", "新/书")])
    again = Shop(Bookshop(), shop.behaviour, shop.run)
    assert ids(again, user="li.lei") == ids(shop, user="li.lei")
    assert [again.item(each).title for each in ("新/书", "b1")] == ["新书", "活着（新版）"]
    again.recommender.__init__()  # type: ignore[misc]  # a run that does not have the item
    assert again.history_of("li.lei") == ["b1"]


def test_items_that_the_run_was_trained_with_are_not_kept(shop: Shop) -> None:
    changed = Item("b1", "活着（新版）")
    for item in (*BOOKS[:2], changed, Item("new", "新书")):
        shop.behaviour.put(item)
    again = Shop(Bookshop(), shop.behaviour, shop.run)
    assert again.behaviour.items() == [changed, Item("new", "新书")]
    assert again.item("b1") == changed


def test_an_item_that_is_not_saved_is_not_recommended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviour, "ITEMS", 0)
    with pytest.raises(XinyeError, match="at most 0 items"):
        shop.put(Item("new", "新书"))
    with pytest.raises(NotFound):
        shop.item("new")


def test_two_deletions_at_once_are_both_done(run: Path) -> None:
    users = [f"u{number}" for number in range(300)]
    lines = [f'{{"user": "{user}", "items": ["b1"]}}\n' for user in users]
    (run / HISTORIES).write_text("".join(lines), "utf-8")
    with ThreadPoolExecutor(8) as threads:
        done = [*threads.map(lambda user: history_file.drop_user(run / "items", user), users[:40])]
    assert done == [1] * 40
    assert (run / HISTORIES).read_text("utf-8") == "".join(lines[40:])


def test_finding_items(shop: Shop) -> None:
    assert [each.id for each in shop.find("DUNE", 5)] == ["b3"]
    assert [each.id for each in shop.find("有多爱", 5)] == ["儿童/绘本 1"]
    assert [each.id for each in shop.find("B/6", 5)] == ["b/6"]
    assert [each.id for each in shop.find(" ", 2)] == ["b1", "b2"]
    assert [each.id for each in shop.find("trees leaves", 5)] == ["b/6"]
    shop.put(Item("t", "Trees"))
    assert [each.id for each in shop.find("trees", 5)] == ["t", "b/6"]
    assert shop.find("没有这本", 5) == []


def test_export_and_forget(shop: Shop, run: Path) -> None:
    shop.add([Event("li.lei", "b2", 7.0, "购买")])
    assert shop.export("li.lei") == {
        "user": "li.lei",
        "trained": json.loads(LINES[0]),
        "events": [{"item": "b2", "at": 7.0, "kind": "购买"}],
    }
    assert shop.forget("li.lei") == 2
    assert shop.export("li.lei") == {"user": "li.lei", "trained": None, "events": []}
    assert shop.history_of("li.lei") == []  # though the recommender still has it in memory
    assert (run / HISTORIES).read_text("utf-8") == LINES[1] + "\n"
    assert (run / HISTORIES).stat().st_mode & 0o777 == 0o600
    assert shop.forget("nobody") == 0


def test_a_damaged_file_of_histories_names_its_line(shop: Shop, run: Path) -> None:
    (run / HISTORIES).write_text(LINES[0] + "\n[]\n", "utf-8")
    with pytest.raises(XinyeError, match="line 2: the file is damaged"):
        shop.forget("韩梅梅")
    (run / HISTORIES).unlink()
    assert shop.forget("韩梅梅") == 0


def test_a_title_with_gaps() -> None:
    title = "{title} %s"
    assert sentence(Reason("text", "1"), title, chinese=False).count(title) == 1
