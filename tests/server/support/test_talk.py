"""Talking: streams, messages, the queue, and what operators do."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.in_thread import bearer
from server.support.desk_server import OPERATOR, Desk, Events

STREAM = {"Accept": "text/event-stream"}


def watching(desk: Desk, path: str, token: str, **headers: str):
    head = STREAM | bearer(token) | {name.replace("_", "-"): it for name, it in headers.items()}
    return desk.http.stream("GET", path, headers=head)


def test_a_stream_that_is_cut_and_resumed_loses_and_repeats_nothing(desk: Desk) -> None:
    customer = desk.begin()
    path = f"/v1/support/conversations/{customer.id}/messages"
    with watching(desk, path, customer.token) as response:
        events = iter(Events(response))
        assert next(events)[:1] == ("state",)
        customer.says("一")
        seen = [
            each
            for _, each in zip(range(2), (e for e in events if e[0] == "message"), strict=False)
        ]
    customer.says("二")
    customer.waits_for(4)
    with watching(desk, path, customer.token, last_event_id=seen[-1][2]) as response:
        events = iter(Events(response))
        customer.says("慢")
        for name, data, number in events:
            if name == "message":
                seen.append((name, data, number))
            if len(seen) == 6:
                break
        customer.ask("POST", "/close")
        *_, last = events
        assert last[0] == "state" and last[1]["state"] == "closed"  # and then the stream ends
    assert [int(number) for _, _, number in seen] == [1, 2, 3, 4, 5, 6]
    assert [data["text"] for _, data, _ in seen] == customer.texts
    assert not desk.parts.hub._streams  # nothing is left of a client that has gone


def test_the_bot_is_seen_typing(desk: Desk) -> None:
    customer = desk.begin()
    path = f"/v1/support/conversations/{customer.id}/messages"
    with watching(desk, path, customer.token) as response:
        customer.says("慢")
        names = []
        for name, data, _ in Events(response):
            names.append(name)
            if name == "message" and data["sender"] == "bot":
                break
    assert names[-2:] == ["typing", "message"] and names.count("message") == 2


def test_the_queue_is_pushed_to_operators(desk: Desk) -> None:
    customer = desk.begin()
    with watching(desk, "/v1/support/queue", OPERATOR) as response:
        events = iter(Events(response))
        _, before, _ = next(events)
        customer.says("人呢？")
        _, after, _ = next(events)
        assert after["total"] == before["total"] + 1
        (listed,) = [each for each in after["conversations"] if each["id"] == customer.id]
        assert listed["state"] == "waiting" and listed["asked"] == "人呢？"
        customer.ask("POST", "/close")
        assert next(events)[1]["total"] == before["total"]


def test_of_two_operators_at_once_one_gets_it(desk: Desk) -> None:
    customer = desk.begin()
    customer.ask("POST", "/handover")
    both = threading.Barrier(2)

    def claim(name: str) -> int:
        both.wait()
        return desk.does(customer.id, "claim", operator=name).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(claim, ("小王", "小李"))) == [200, 409]


def test_an_operator_replies_and_the_customer_gets_each_message_once(desk: Desk) -> None:
    customer = desk.begin()
    first = customer.says("怎么退货？", "m1")
    again = customer.says("怎么退货？", "m1")
    assert (first.status_code, again.status_code) == (202, 200) and first.json() == again.json()
    customer.waits_for(2)
    customer.says("人")
    by = {"operator": "小王"}
    assert desk.does(customer.id, "reply", text="您好", **by).status_code == 409  # not claimed
    assert desk.does(customer.id, "claim", **by).json()["operator"] == "小王"
    (suggested,) = desk.does(customer.id, "suggest", **by).json()["suggestions"]
    assert (suggested["score"], suggested["threshold"]) == (0.5, 0.8)
    assert suggested["sources"][0]["file"] == "退货.md"
    reply = {"text": "七天内都可以退。", "suggestion": suggested["text"], "client_id": "r1"}
    sent = [desk.does(customer.id, "reply", **by, **reply) for _ in range(2)]
    assert [each.status_code for each in sent] == [201, 201] and sent[0].json() == sent[1].json()
    assert sent[0].json()["score"] == 0.5  # that of the suggestion
    assert customer.texts == ["怎么退货？", "新叶 怎么退货？", "人", "七天内都可以退。"]
    made_up = {"text": "您好，七天内可以退。", "suggestion": "从来没有推荐过的话"}
    assert desk.does(customer.id, "reply", **by, **made_up).json()["suggestion"] == ""

    up = customer.ask("POST", "/feedback", {"message": 2, "good": False, "text": "七天内。"})
    waiting = desk.operator("GET", "/v1/support/feedback").json()["feedback"]
    asked = {each["number"]: each for each in waiting}[up.json()["feedback"]]
    assert (asked["question"], asked["chosen"]) == ("怎么退货？", "七天内。")
    path = f"/v1/support/feedback/{asked['number']}/approve"
    approved = desk.operator("POST", path, by | {"text": "七天内可以退。"}).json()["feedback"]
    assert (approved["chosen"], approved["rejected"]) == ("七天内可以退。", "新叶 怎么退货？")

    assert desk.does(customer.id, "close", **by).json()["state"] == "closed"
    for late in (customer.says("在吗"), desk.does(customer.id, "reply", text="在", **by)):
        assert late.status_code == 409 and late.json()["error"]["code"] == "conflict"


def test_script_in_a_text_stays_a_text(desk: Desk) -> None:
    customer = desk.begin()
    text = "<script>alert('叶')</script>\u2028\"</textarea>"
    answered = customer.says(text)
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert customer.waits_for(2)[0] == text


def test_bad_requests_are_refused_by_name(desk: Desk) -> None:
    customer = desk.begin()
    url = f"/v1/support/conversations/{customer.id}/messages"
    for body, status in (
        (b'{"text": "\\ud83d"}', 400),
        (b'{"text": ', 400),
        (b'{"text": "a", "text": "b"}', 400),
        (b'{"texts": "a"}', 400),
        (b'{"text": 3}', 400),
        (b'{"text": " "}', 400),
        (b'{"text": "' + b"a" * 2_001 + b'"}', 400),
        (b'{"text": "' + b"a" * 2_000_000 + b'"}', 413),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"null", 400),
    ):
        head = bearer(customer.token) | {"Content-Type": "application/json"}
        refused = desk.http.post(url, content=body, headers=head)
        assert refused.status_code == status, body[:40]
        assert refused.json()["error"]["message"]
    for path in ("?after=-1", "?after=x", f"?after={10**30}"):
        assert customer.ask("GET", f"/messages{path}").status_code == 400
    head = bearer(customer.token) | {"Last-Event-ID": "12x"}
    assert desk.http.get(url, headers=head).status_code == 200


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=60), name=st.text(max_size=70))
def test_any_text_is_kept_or_refused(desk: Desk, text: str, name: str) -> None:
    customer = desk.begin()
    try:
        said = customer.says(text)
        claimed = desk.does(customer.id, "claim", operator=name)
    except UnicodeEncodeError:  # half a character cannot be sent at all
        return
    assert said.status_code in (202, 400) and claimed.status_code in (200, 400)
    kept = [text.strip()] if said.status_code == 202 else []
    assert customer.ask("GET", "/messages").json()["messages"][: len(kept)] == [
        said.json() for _ in kept
    ]


def test_too_many_streams(desk: Desk, monkeypatch) -> None:
    customer = desk.begin()
    path = f"/v1/support/conversations/{customer.id}/messages"
    monkeypatch.setattr(desk.parts.hub, "_most", 1)
    with watching(desk, path, customer.token) as response:
        events = iter(Events(response))
        next(events)
        with watching(desk, path, customer.token) as refused:
            assert refused.status_code == 503 and refused.headers["retry-after"]
        assert customer.ask("GET", "/messages").status_code == 200
        customer.ask("POST", "/close")
        assert next(events)[1]["state"] == "closed"  # the open one goes on
