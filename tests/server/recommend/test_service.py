"""Recommendations, events and items over HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.recommend.shop_server import CLIENT, EDITOR, Client, serving

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def events_of(shop: Client, user: str) -> list[str]:
    answer = shop.ask("GET", f"/v1/users/{quote(user, safe='')}", key=EDITOR)
    return [each["item"] for each in answer.json()["events"]]


def test_the_form_of_an_answer_in_both_languages(quiet_shop: Client) -> None:
    english = quiet_shop.recommend(history=["b3"], k=2)
    assert english == {
        "object": "list",
        "data": [
            {
                "id": "b4",
                "title": "Emma",
                "score": 7.0,
                "reason": {
                    "kind": "similar",
                    "to": "b3",
                    "text": "Often chosen with “Dune”",
                },
            },
            {
                "id": "7",
                "title": "",
                "score": 4.0,
                "reason": {"kind": "similar", "to": "b3", "text": "Often chosen with “Dune”"},
            },
        ],
        "cold": False,
    }
    chinese = quiet_shop.recommend("zh-CN,en", history=["b1"], k=2)
    assert [each["reason"]["text"] for each in chinese["data"]] == [
        "选过“活着”的人也常选",
        "热门",
    ]
    of_number = quiet_shop.recommend("zh", history=[7], k=1)["data"][0]
    assert of_number["reason"]["text"] == "选过“7”的人也常选"  # it has no title


def test_what_is_asked_arrives_at_the_recommender(quiet_shop: Client) -> None:
    quiet_shop.recommend(
        user="韩梅梅", k=3, exclude=["b1"], filter={"tag": ["小说", "科幻"]}, diversity=1
    )
    asked = quiet_shop.books.asked[-1]
    assert (asked.user, asked.history, asked.k) == (None, ("b3", "b4"), 3)
    assert (asked.exclude, asked.diversity) == (frozenset({"b1"}), 1.0)
    assert asked.filters == (("tag", "小说"), ("tag", "科幻"))
    quiet_shop.recommend(history=["b1", "b2", "b1"])
    assert quiet_shop.books.asked[-1].history == ("b1", "b2")


def test_an_unknown_user_is_cold_until_the_first_event(shop: Client) -> None:
    cold = shop.recommend(user="新来的")
    assert cold["cold"] and {each["reason"]["kind"] for each in cold["data"]} == {"popular"}
    event = {"user": "新来的", "item": "b1", "time": 1_700_000_000, "event": "购买"}
    for new in (1, 0):  # the same event again counts once
        answer = shop.ask("POST", "/v1/events", event)
        assert answer.json() == {"object": "events", "new": new, "repeated": 1 - new}
    warm = shop.recommend(user="新来的")
    assert not warm["cold"] and warm["data"][0]["reason"]["to"] == "b1"
    listed = [event, event | {"item": "b/6", "time": "2026-03-05T09:13:20+08:00"}]
    assert shop.ask("POST", "/v1/events", listed).json()["new"] == 1
    assert shop.books.asked and events_of(shop, "新来的") == ["b1", "b/6"]


def test_events_and_items_survive_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as shop:
        assert shop.ask("PUT", "/v1/items/new", {"title": "新书"}, EDITOR).status_code == 201
        shop.ask("POST", "/v1/events", {"user": "u", "item": "new"})
        before = shop.recommend(user="u")
    with serving(tmp_path) as shop:
        assert shop.recommend(user="u") == before
        assert not before["cold"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(id=TEXT)
@example("/")
@example("书/第 1 卷?#%2F ")
@example("a//b/")
@example("\x00\r\n")
@example("\n0")
def test_ids_of_any_text(quiet_shop: Client, id: str) -> None:
    if id in (".", ".."):  # clients take these out of an address
        return
    path = f"/v1/items/{quote(id, safe='')}"
    put = quiet_shop.ask("PUT", path, {"title": "书", "tags": ["小说"]}, EDITOR)
    assert put.status_code in (200, 201) and put.json()["id"] == id
    assert quiet_shop.parts.shop.item(id).title == "书"
    user = quote(id, safe="")
    quiet_shop.ask("POST", "/v1/events", {"user": id, "item": id})
    if id.strip("/"):
        assert quiet_shop.ask("GET", path).json()["title"] == "书"
        assert id in events_of(quiet_shop, id)
        deleted = quiet_shop.ask("DELETE", f"/v1/users/{user}", key=EDITOR)
        assert deleted.json() == {"user": id, "deleted": 1}


def test_finding_items(quiet_shop: Client) -> None:
    found = quiet_shop.ask("GET", "/v1/items?query=三体").json()["data"]
    assert found == [
        {"id": "b2", "title": "三体", "text": "地球之外的文明。", "tags": ["小说", "科幻"]}
    ]
    assert len(quiet_shop.ask("GET", "/v1/items?count=3").json()["data"]) == 3


REFUSED = [
    ({}, 400, "give either user or history"),
    ({"user": "a", "history": []}, 400, "give either user or history"),
    ({"user": ""}, 400, "user: String should have at least 1 character"),
    ({"user": "u" * 257}, 400, "user: String should have at most 256 characters"),
    ({"user": None, "history": None}, 400, "give either user or history"),
    ({"history": ["b1"] * 1001}, 400, "history: "),
    ({"history": "b1"}, 400, "history: Input should be a valid list"),
    ({"history": ["b/66"]}, 404, "there is no item 'b/66'; did you mean 'b/6'?"),
    ({"user": "a", "k": 101}, 400, "k: Input should be less than or equal to 100"),
    ({"user": "a", "k": 0}, 400, "k: "),
    ({"user": "a", "k": "3"}, 400, "k: Input should be a valid integer"),
    ({"user": "a", "diversity": 1.5}, 400, "diversity: "),
    ({"user": "a", "exclude": ["x"] * 10_001}, 400, "exclude: "),
    ({"user": "a", "filter": {"tag": 3}}, 400, "filter.tag: "),
    ({"user": "a", "filters": {}}, 400, "there is no such field; did you mean 'filter'?"),
    ([], 400, "the body must be a JSON object"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_questions_that_are_refused(
    quiet_shop: Client, body: object, status: int, message: str
) -> None:
    found, told = quiet_shop.refused("POST", "/v1/recommend", body)
    assert found == status and message in told, told


REFUSED_EVENTS = [
    ({"user": "u"}, 400, "item: Field required"),
    ([{"user": "u", "item": "b1"}] * 1001, 400, "events: at most 1000 events"),
    ({"user": "u", "item": "b1", "time": 17}, 400, "time: '17' is not understood"),
    ({"user": "u", "item": "b1", "time": -1e300}, 400, "time: '-1000000"),
    ({"user": "u", "item": "b1", "time": "昨天"}, 400, "time: '昨天' is not understood"),
    ({"user": "u", "item": "b1", "event": "x" * 51}, 400, "event: "),
    ([{"user": "u", "item": "b1"}, {"user": "u", "item": "没有"}], 404, "no item '没有'"),
    ({"user": "u", "item": "b1", "rating": 5}, 400, "there is no such field"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED_EVENTS)
def test_events_that_are_refused(
    quiet_shop: Client, body: object, status: int, message: str
) -> None:
    found, told = quiet_shop.refused("POST", "/v1/events", body)
    assert found == status and message in told, told
    assert events_of(quiet_shop, "u") == []


def test_items_that_are_refused(quiet_shop: Client) -> None:
    for path, body, message in (
        ("new", {}, "give a title, a text or tags"),
        ("new", {"title": "t" * 501}, "title: "),
        ("new", {"title": "t", "text": "t" * 20_001}, "text: "),
        ("new", {"title": "t", "tags": ["x"] * 51}, "tags: "),
        ("%FF", {"title": "t"}, "not UTF-8"),
        ("x" * 257, {"title": "t"}, "must have 1 to 256 characters"),
        ("", {"title": "t"}, "must have 1 to 256 characters"),
    ):
        found, told = quiet_shop.refused("PUT", f"/v1/items/{path}", body, EDITOR)
        assert found == 400 and message in told, told
    assert quiet_shop.refused("GET", "/v1/items/b11", None)[0] == 404
    found, told = quiet_shop.refused("PUT", "/v1/items", {"title": "t"}, EDITOR)
    assert found == 400 and "put the id into the address: /v1/items/ID" in told
    assert quiet_shop.refused("GET", f"/v1/items?query={'x' * 201}", None)[0] == 400


def test_a_body_that_is_too_large(quiet_shop: Client) -> None:
    body = {"user": "u", "exclude": ["x" * 2_000_001]}
    assert quiet_shop.refused("POST", "/v1/recommend", body)[0] == 413


def test_a_refusal_in_chinese(quiet_shop: Client) -> None:
    answer = quiet_shop.ask("POST", "/v1/recommend", {"history": ["b/66"]}, language="zh")
    assert "b/66" in answer.json()["error"]["message"]


def test_slow_answers_do_not_block_the_server(shop: Client) -> None:
    shop.books.waits = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(shop.recommend, user="u") for _ in range(4)]
        assert shop.books.reached.wait(30)
        assert shop.http.get("/health").status_code == 200
        assert shop.ask("POST", "/v1/events", {"user": "u", "item": "b1"}).status_code == 200
        shop.books.waits.set()
        assert all(each.result() for each in waiting)


def test_an_error_of_the_recommender_is_not_shown(shop: Client) -> None:
    shop.books.fails = ValueError("/secret/place")
    status, told = shop.refused("POST", "/v1/recommend", {"user": "u"}, CLIENT)
    assert status == 500 and "secret" not in told
