"""Events and items are kept: once, in order, and through a kill."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xinye.apps.recommend import behaviour as module
from xinye.apps.recommend.behaviour import Added, Behaviour, Event, store_of
from xinye.errors import XinyeError
from xinye.ranking.items import Item

NOW = 1_800_000_000.0
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.fixture
def behaviour(tmp_path: Path) -> Iterator[Behaviour]:
    with closing(Behaviour(tmp_path / "店.db", lambda: NOW)) as opened:
        yield opened


def test_an_event_counts_once_and_the_oldest_is_first(behaviour: Behaviour) -> None:
    events = [Event("韩梅梅", "b2", 200.0), Event("韩梅梅", "b1", 100.0), Event("韩梅梅", "b3")]
    assert behaviour.add(events) == Added(3, 0)
    assert behaviour.add([*events, Event("韩梅梅", "b2", 50.0)]) == Added(0, 4)
    assert behaviour.add([Event("韩梅梅", "b2", 300.0, "购买")]) == Added(1, 0)  # of another kind
    assert behaviour.newer("韩梅梅").items == ["b1", "b2", "b3"]
    assert behaviour.newer("li.lei").items == []
    last = behaviour.events_of("韩梅梅")[-1]
    assert (last.item, last.at) == ("b3", NOW)


def test_no_event_is_in_the_future(behaviour: Behaviour) -> None:
    behaviour.add([Event("li.lei", "b1", NOW + 9e9), Event("li.lei", "b2")])
    assert behaviour.newer("li.lei").items == ["b1", "b2"]
    assert {each.at for each in behaviour.events_of("li.lei")} == {NOW}


def test_too_many_events_of_one_user_save_nothing(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVENTS_OF_USER", 2)
    behaviour.add([Event("li.lei", "b1"), Event("li.lei", "b2")])
    assert behaviour.newer("li.lei").items == ["b1", "b2"]
    with pytest.raises(XinyeError, match=r"'li\.lei' has more"):
        behaviour.add([Event("韩梅梅", "b1"), Event("li.lei", "b3")])
    assert behaviour.newer("韩梅梅").items == []


def test_a_forgotten_user_leaves_no_byte(behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.add([Event("Wang Xiaoming", f"b{number}") for number in range(99)])
    assert not behaviour.newer("Wang Xiaoming").forgotten
    assert behaviour.forget("Wang Xiaoming") == 99
    assert behaviour.newer("Wang Xiaoming") == module.Newer([], True)
    assert behaviour.forget("Wang Xiaoming") == 0
    assert not any(b"Xiaoming" in path.read_bytes() for path in tmp_path.iterdir())
    behaviour.add([Event("Wang Xiaoming", "b1")])  # who comes back begins anew
    assert behaviour.newer("Wang Xiaoming") == module.Newer(["b1"], True)


def test_the_last_state_of_an_item_is_kept(behaviour: Behaviour) -> None:
    book = Item("a", "活着", "文", ("小说", "a,b|c"))
    assert behaviour.put(book) and behaviour.items() == [book]
    assert not behaviour.put(Item("a", "新")) and behaviour.items() == [Item("a", "新")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=TEXT, item=TEXT, kind=TEXT, tags=st.lists(TEXT, max_size=3))
def test_any_text_is_kept(
    behaviour: Behaviour, user: str, item: str, kind: str, tags: list[str]
) -> None:
    behaviour.add([Event(user, item, 5.0, kind)])
    assert Event(user, item, 5.0, kind) in behaviour.events_of(user)
    put = Item(item, kind, user, tuple(tags))
    behaviour.put(put)
    assert put in behaviour.items()


def test_the_store_is_beside_the_run(tmp_path: Path) -> None:
    assert store_of(tmp_path / "shop") == tmp_path / "shop.recommend.db"
    with closing(Behaviour(tmp_path / "shop.recommend.db")):
        mode = (tmp_path / "shop.recommend.db").stat().st_mode
    assert mode & 0o777 == 0o600
    with pytest.raises(XinyeError):
        Behaviour(tmp_path / "none.db", create=False)


PROGRAM = """
import os, sys
from xinye.apps.recommend.behaviour import Behaviour, Event
from xinye.ranking.items import Item
store = Behaviour(sys.argv[1])
store.add([Event("li.lei", "b1"), Event("li.lei", "b2")])
store.put(Item("新", "新书"))
with store.store.writing() as transaction:
    transaction.execute("DELETE FROM events")
    os.kill(os.getpid(), 9)
"""


def test_what_was_saved_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    killed = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], env=os.environ)
    assert killed.returncode == -9
    with closing(Behaviour(path, create=False)) as behaviour:
        assert behaviour.newer("li.lei").items == ["b1", "b2"]
        assert behaviour.items() == [Item("新", "新书")]
