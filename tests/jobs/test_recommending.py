"""Recommending by a small folder: scores, reasons, diversity and new items."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from xinye.checkpoints import folders, item_folders
from xinye.errors import XinyeError
from xinye.jobs.recommending import Recommender
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.ranking.catalogue import UnknownItem, Unlearned, rarity
from xinye.ranking.diversity import best
from xinye.ranking.fitted import PARTS, Fitted
from xinye.ranking.histories import Histories
from xinye.ranking.history_file import write_histories
from xinye.ranking.item_texts import ItemTexts
from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked

WEIGHTS = {
    "GPT": 0.1,
    "EASE": 0.5,
    "item-Markov": 0.25,
    "item-kNN": 0.05,
    "most popular": 0.05,
    "popular of late": 0.05,
}
MIXES = {name: {part: WEIGHTS[part] for part in parts} for name, parts in PARTS.items()}
TEAS = [Item(f"tea{n}", f"green tea {n}", "", ("茶", "Drink")) for n in range(6)]
CUPS = [Item(f"cup{n}", f"white cup {n}", "", ("杯",)) for n in range(6)]
LATER = [Item("pot", "white cup and pot", "", ("杯",)), Item("box")]
ITEMS = [*TEAS, *CUPS, *LATER]


def histories() -> Histories:
    """Half of the users drink, the others collect cups. All had tea0 first."""
    random = np.random.default_rng(0)
    kinds = (np.arange(6), np.arange(6, 12))
    rows = [[0, *random.permutation(kinds[user % 2][user % 2 == 0 :])[:4]] for user in range(40)]
    return Histories.of([*rows, [0, 13]], len(ITEMS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recommender")
    texts = ItemTexts.fit(ITEMS[:12])
    features = torch.from_numpy(texts.features(ITEMS[:12]))
    network = ItemGPT(GPT(GPTConfig("modern", 12, 32, 1, 1, 1, 32, 64, 20)), features)
    network.initialize(0)
    item_folders.write(folder, network, ITEMS)
    inside = folder / folders.ITEMS
    texts.save(inside)
    whole = histories()
    Fitted.fit(Histories.of([whole[user] for user in range(40)], 12)).save(inside, MIXES)
    users = [f"user{number}" for number in range(len(whole))]
    write_histories(inside, users, whole, [item.id for item in ITEMS])
    return folder


@pytest.fixture
def recommender(folder) -> Recommender:
    return Recommender.load(folder)


def ids(recommender: Recommender, **asked) -> list[str]:
    return [each.id for each in recommender.recommend(Asked(**asked)).items]


def test_what_similar_users_used_comes_first(recommender):
    found = recommender.recommend(Asked(history=("tea1", "tea2"), k=4))
    assert {each.id for each in found.items} == {"tea0", "tea3", "tea4", "tea5"} and not found.cold
    later = found.items[-1]
    assert later.reason.kind == "similar" and later.reason.to in ("tea1", "tea2")
    assert later.title == recommender.item(later.id).title
    scores = [each.score for each in found.items]
    assert scores == sorted(scores, reverse=True)


def test_a_known_user_gets_nothing_twice(recommender):
    history = recommender.history_of("user1")
    found = ids(recommender, user="user1", k=99)
    assert history[0] == "tea0" and len(history) == 5
    assert not {*history} & {*found} and {*found, *history} == {item.id for item in ITEMS} - {"box"}
    assert ids(recommender, history=tuple(history), k=99) == found
    assert recommender.history_of("user40") == ["tea0", "box"]  # rare items are kept, too


def test_nobody_knows_a_new_user(recommender):
    found = recommender.recommend(Asked(user="nobody", k=3))
    assert found.cold and found.items[0].id == "tea0"
    assert {each.reason.kind for each in found.items} == {"popular"}
    assert recommender.recommend(Asked(history=())).cold


def test_wishes(recommender):
    assert {*ids(recommender, history=("tea0",), k=99, filters=(("tag", "drink"),))} == {
        item.id for item in TEAS[1:]
    }
    assert len(ids(recommender, history=("tea0",), k=99, filters=(("标签", "杯"),))) == 7
    left = ids(recommender, history=("tea0",), k=99, exclude=frozenset({"tea1", "nothing"}))
    assert "tea1" not in left and len(left) == 11
    assert ids(recommender, history=tuple(item.id for item in ITEMS)) == []


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Asked(), "say for whom"),
        (Asked(history=("tea0",), k=0), "at least one item"),
        (Asked(history=("tea0",), diversity=2), "diversity 2: use 0 to 1"),
        (Asked(history=("tea0",), filters=(("tag", "drinks"),)), "the tag 'drinks'; did you mean 'Drink'"),
        (Asked(history=("tea0",), filters=(("year", "7"),)), "by tag only: tag=NAME, not year"),
        (Asked(history=("tee0",)), "the item 'tee0' is unknown; the nearest is 'tea0'"),
        (Asked(history=("Green Tea 3",)), "the item 'Green Tea 3' is unknown; the nearest is 'tea3'"),
        (Asked(history=("xyz",)), "the item 'xyz' is unknown"),
    ],
)  # fmt: skip
def test_wrong_wishes(recommender, asked, wanted):
    with pytest.raises(XinyeError, match=wanted):
        recommender.recommend(asked)


def test_a_new_item_can_be_recommended_at_once(recommender):
    before = ids(recommender, history=("cup1", "cup2"), k=99)
    assert "pot" in before and "box" not in before  # of the box nothing is known
    old = recommender.catalogue
    assert recommender.put_item(Item("new", "white cup 9", "", ("杯",)))
    found = recommender.recommend(Asked(history=("cup1", "cup2"), k=99)).items
    reason = {each.id: each.reason for each in found}["new"]
    assert reason.kind == "text" and reason.to in ("cup1", "cup2")
    assert len(old.items) == len(ITEMS)  # who is being answered keeps the old catalogue
    assert not recommender.put_item(Item("box", "tea box"))
    assert "box" in ids(recommender, history=("new",), k=99)
    with pytest.raises(UnknownItem) as caught:
        recommender.recommend(Asked(history=("neu",)))
    assert caught.value.nearest == "new"


def test_a_learned_item_keeps_what_was_learned(recommender):
    before = recommender.catalogue.rows
    assert not recommender.put_item(Item("tea1", "红茶", "", ("新",)))
    assert torch.equal(before, recommender.catalogue.rows)
    assert ids(recommender, history=("tea0",), filters=(("tag", "新"),)) == ["tea1"]
    assert (
        recommender.recommend(Asked(history=("tea0",), k=1, filters=(("tag", "新"),)))
        .items[0]
        .title
        == "红茶"
    )


def test_threads_do_not_disturb_each_other(recommender):
    """Also where a history holds an item that the network has no row for."""
    recommender.put_item(Item("new", "white cup 9"))
    asked = [Asked(history=history, k=5) for history in (("new", "cup1"), ("tea1", "tea2"))] * 40
    alone = [recommender.recommend(each) for each in asked]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(recommender.recommend, asked)] == alone
    finally:
        sys.setswitchinterval(interval)


def test_diverse_items_are_not_alike():
    rows = torch.tensor([[1.0, 0], [1, 0.01], [0, 1], [1, 0.02]])
    scores = np.array([4.0, 3.9, 2.0, -np.inf])
    assert best(scores, Asked(k=2), rows) == [0, 1]
    assert best(scores, Asked(k=2, diversity=0.6), rows) == [0, 2]
    assert best(scores, Asked(k=9, diversity=0.6), rows) == [0, 2, 1]
    assert best(np.full(3, -np.inf), Asked(k=9), rows) == []


def test_rare_items_had_their_chance(folder, tmp_path):
    assert rarity(np.array([1, 0, 99]), 20.0).tolist() == pytest.approx([np.log(2 / 20), 0, 0])
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    features = Recommender.load(folder).texts.features(LATER)
    Unlearned(features, np.array([1, 0])).save(tmp_path / "items")
    with_users = Recommender.load(tmp_path)
    assert [*(with_users.catalogue.prior < 0)] == [*[False] * 12, True, False]
    (tmp_path / "items" / "histories.jsonl").unlink()
    without_users = Recommender.load(tmp_path)
    assert [*without_users.catalogue.prior] == [*with_users.catalogue.prior]


def test_held_out_items_are_counted(folder, tmp_path):
    """With --new-items the rankers that count know more items than the network."""
    recommender = Recommender.load(folder)
    fitted = Fitted.fit(histories())
    more = Recommender(
        recommender.network, ITEMS, (fitted, MIXES), recommender.texts, recommender.users
    )
    assert {*ids(more, history=("tea0",), k=99)} == {item.id for item in ITEMS} - {"tea0"}


def test_saved_features_are_used(folder, recommender, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    features = recommender.texts.features(LATER)
    Unlearned(features, np.zeros(2, np.int64)).save(tmp_path / "items")
    assert torch.equal(Recommender.load(tmp_path).catalogue.rows, recommender.catalogue.rows)
    Unlearned(features[:1], np.zeros(1, np.int64)).save(tmp_path / "items")
    with pytest.raises(XinyeError, match="it does not fit the catalogue"):
        Recommender.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "wanted"),
    [
        ("histories.jsonl", lambda text: text.replace('"items"', '"item"', 1), "line 1: this is not a user's history"),
        ("histories.jsonl", lambda text: text.replace("user1\"", "user0\"", 1), "line 2: the user 'user0' appears again"),
        ("catalogue.jsonl", lambda text: text.partition("\n")[2], "its first 12 items are not those of tokenizer.json"),
        ("ranking.json", lambda text: text.replace("0.5", "NaN"), "the weights of the mix are damaged"),
    ],
)  # fmt: skip
def test_damaged_folders(folder, tmp_path, name, change, wanted):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "items" / name
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    with pytest.raises(XinyeError, match=wanted):
        Recommender.load(tmp_path)


def test_only_the_owner_reads_histories(folder):
    path = folder / "items" / "histories.jsonl"
    assert os.stat(path).st_mode & 0o777 == 0o600
    first = json.loads(path.read_text("utf-8").partition("\n")[0])
    assert [*first] == ["user", "items", "times"] and first["items"][0] == "tea0"
    with pytest.raises(XinyeError, match="not the folder of a recommender"):
        Recommender.load(path.parent)
