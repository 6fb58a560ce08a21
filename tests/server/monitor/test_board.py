"""The API of a monitor: documents in, counts, alerts and corrections out."""

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Callable

import httpx

from apps.monitor.recount import differences
from server.in_thread import bearer
from server.monitor.board_server import ADMIN, ANALYST, API, INGEST, Client, burst, serving
from server.support.desk_server import Events
from xinye.apps.monitor.documents import Incoming, Origin
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.sources.feed_states import FeedState, FeedStates
from xinye.server.monitor import loop


def waited(found: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not found() and time.monotonic() < end:
        time.sleep(0.02)
    return found()


def test_documents_come_alone_or_in_a_list(board: Client) -> None:
    one = {"source": "wire", "id": "1", "text": "火灾", "published": "2024-05-01T08:00:00+08:00"}
    for body, new, known in (
        (one, 1, 0),
        ([one | {"id": 1}, {"text": "退款"}], 1, 1),  # many databases have numbers
        ({"documents": []}, 0, 0),
    ):
        added = board.ask("POST", "documents", body, INGEST).json()
        assert (added["new"], added["known"], added["empty"]) == (new, known, 0)
    (found,) = board.get("documents?source=wire")["documents"]
    assert (found["at"], found["dated"]) == (1_714_521_600, "given")


def test_fields_may_have_the_names_of_columns(board: Client) -> None:
    board.add({"编号": 7, "标题": "火灾", "正文": "两点", "发布时间": "2024-05-01 08:00"})
    (found,) = board.get("documents?since=2024-05-01&until=2024-05-02")["documents"]
    assert (found["title"], found["text"], found["at"]) == ("火灾", "两点", 1_714_521_600)
    answer = board.ask("POST", "documents", {"text": "a", "正文": "b"}, INGEST)
    told = answer.json()["error"]["message"]
    assert told.endswith("the fields are source, id, title, text, url, published")


def test_times_are_seconds_or_dates(board: Client) -> None:
    board.add({"text": "火灾", "published": "2024-05-01T08:00:00+08:00"})
    for since, found in (
        ("1714521600", 1),
        ("1714521600.5", 0),
        ("0", 1),
        ("2024-05-01", 1),
        ("2024-05-01T08:00", 1),  # in the zone of the monitor
        ("2024-05-01T00:00:01Z", 0),
        ("2024-05-01T07:00:00+07:00", 1),  # curl sends the plus, which means a space
        ("2024年5月2日", 0),
    ):
        assert len(board.get(f"documents?since={since}")["documents"]) == found, since
        assert "points" in board.get(f"trend?until=2024-05-02&since={since}")
    answer = board.ask("GET", "topics?since=gestern")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "since")


def test_bodies_that_are_refused(board: Client) -> None:
    for body, param in (
        ({"txt": "a"}, "documents.0.txt"),
        ([{"text": "a"}, {"text": 1}], "documents.1.text"),
        ([{"text": "a", "id": True}], "documents.0.id"),
        ({"documents": [{"text": "a"}, {"published": "gestern"}]}, "documents.1.published"),
        ([{"text": "a"}] * 257, "documents"),
        ("a", "documents"),
    ):
        answer = board.ask("POST", "documents", body, INGEST)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert board.get("documents")["documents"] == []


def test_a_burst_becomes_an_alert(board: Client) -> None:
    number = board.add(*burst(40))["alerts"][0]
    (alert,) = board.get("alerts?state=open")["alerts"]
    assert (alert["number"], alert["subject"], alert["observed"]) == (number, "安全", 40)
    assert len(alert["documents"]) == 5 and alert["until"] - alert["since"] == 3600
    assert board.post(f"alerts/{number}/ack")["alert"]["who"] == "小王"
    assert board.post(f"alerts/{number}/mute", hours=2)["alert"]["state"] == "acknowledged"
    assert [each["subject"] for each in board.get("mutes")["mutes"]] == ["安全"]
    board.post("unmute", kind="topic", subject="安全")
    assert board.post(f"alerts/{number}/close")["alert"]["state"] == "closed"
    assert board.ask("POST", f"alerts/{number}/ack", {"who": "小王"}).status_code == 409


def test_counts_follow_a_correction(board: Client) -> None:
    board.add(*burst(3), {"text": "新叶 好"})
    assert board.get("topics")["topics"][0]["moods"] == {"negative": 3}
    given = board.post("documents/1/correct", topics=["好事"], mood="positive")
    assert given["document"]["mood"] == "positive"
    names = {each["name"]: each["documents"] for each in board.get("topics")["topics"]}
    assert names == {"安全": 2, "好事": 1}
    points = board.get("trend?topic=好事&mood=positive")["points"]
    assert len(points) in (168, 169) and sum(each["documents"] for each in points) == 1
    assert [each["name"] for each in board.get("companies")["companies"]] == ["新叶"]
    (found,) = board.get("documents?topic=好事")["documents"]
    assert found["corrected"] and found["topics"] == [{"name": "好事", "probability": 1.0}]
    topics, mood = board.get("corrections", ADMIN)["corrections"]
    assert (topics["before"], mood["before"]) == (["安全"], "negative")
    board.post(f"corrections/{topics['number']}/decline", ADMIN)
    board.post(f"corrections/{mood['number']}/approve", ADMIN)
    assert board.get("documents/1")["document"]["topics"][0]["name"] == "安全"
    assert differences(board.parts.monitor) == []


def test_topics_of_the_model_and_of_people_are_known(board: Client) -> None:
    board.add({"text": "火灾"})
    board.post("documents/1/correct", topics=["没人见过的事"], mood="负面")
    found = board.get("topics?since=0&until=0")
    assert found["topics"] == []
    assert {*found["known"]} == {"安全", "售后", "门店", "没人见过的事"}
    (seen,) = board.get("documents?mood=利空")["documents"]
    assert seen["mood"] == "negative" and seen["topics"][0]["name"] == "没人见过的事"


def test_what_is_wrong_is_said_in_the_language_of_the_page(board: Client) -> None:
    board.add({"text": "火灾"})
    body = {"who": "小\n王", "topics": []}
    for language, told in (
        ("zh-CN,zh;q=0.9", "操作人姓名里有不能显示的字符"),
        ("en", "cannot be printed"),
    ):
        headers = bearer(ANALYST) | {"Accept-Language": language}
        answer = board.http.post(f"{API}/documents/1/correct", json=body, headers=headers)
        assert answer.status_code == 400 and told in answer.json()["error"]["message"]


def test_a_search_and_its_table(board: Client) -> None:
    board.add({"title": "=火灾一", "text": "甲"}, {"title": "火灾二", "text": "乙", "id": "2"})
    (found,) = board.get("documents?words=火灾一&mood=neutral")["documents"]
    table = board.ask("GET", "documents.csv?words=火灾一&mood=neutral")
    assert table.headers["content-disposition"] == "attachment; filename=documents.csv"
    assert table.text.count("\n") == 2 and f"\n{found['number']},20" in table.text
    assert "'=火灾一" in table.text and "火灾二" not in table.text
    for language, words in (("en", "number,published"), ("zh", "序号,发布时间")):
        chosen = board.ask("GET", f"documents.csv?language={language}").text
        assert chosen.startswith(f"\ufeff{words}") and ("中性" in chosen) == (language == "zh")
    assert board.ask("GET", "documents.csv?mood=cross").status_code == 400


def test_only_one_explanation_at_a_time_and_few_wait(board: Client) -> None:
    board.add({"title": "火灾", "text": "很差"})
    free, at_once = threading.Event(), [0, 0]
    words = board.work.analyst.reasons

    def slow(title: str, text: str):
        at_once[0] += 1
        at_once[1] = max(at_once)
        free.wait(10)
        at_once[0] -= 1
        return words(title, text)

    board.work.analyst.reasons = slow  # type: ignore[method-assign]
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(board.ask("GET", "documents/1/explain")))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    assert waited(lambda: len(answers) == 2)
    assert [each.status_code for each in answers] == [429, 429]
    assert board.get("documents/1")["document"]["text"] == "很差"  # others do not wait
    free.set()
    for thread in threads:
        thread.join()
    assert [each.status_code for each in answers[2:]] == [200] * 8 and at_once[1] == 1
    (reason,) = answers[-1].json()["reasons"]
    assert [(each["text"], each["score"]) for each in reason["words"]] == [
        ("火灾", 1.5),
        ("\n很", -0.5),
    ]


def test_a_stream_resumes_and_hears_of_other_processes(board: Client) -> None:
    events = {"Accept": "text/event-stream", **bearer(ANALYST)}
    with board.http.stream("GET", f"{API}/events", headers=events) as answer:
        stream = iter(Events(answer))
        name, _, last = next(stream)
        assert (name, last) == ("ready", "0.0")
        other = Monitor(board.parts.monitor.store.path)  # as another process would
        other.ingest().add([Incoming("wire", "1", "一", "二")])
        other.close()
        name, data, last = next(stream)
        assert (name, data, last) == ("documents", {"last": 1, "new": 1}, "1.0")
    number = board.add(*burst(40))["alerts"][0]
    board.post(f"alerts/{number}/ack")
    for begin in ("", "9.9", "999.0", "x"):
        head = events | {"Last-Event-ID": begin or last}
        with board.http.stream("GET", f"{API}/events", headers=head) as answer:
            stream = iter(Events(answer))
            name, _, place = next(stream)
            assert (name, place) == ("ready", "41.2" if begin else last)
            if not begin:
                found = [next(stream) for _ in range(3)]
    assert [(name, place) for name, _, place in found] == [
        ("documents", "41.0"), ("alert", "41.1"), ("alert", "41.2"),
    ]  # fmt: skip
    assert [data["what"] for _, data, _ in found[1:]] == ["opened", "acknowledged"]
    assert found[2][1]["alert"]["who"] == "小王"
    assert not board.parts.hub._streams or waited(lambda: not board.parts.hub._streams)


def test_a_step_that_fails_comes_again(board: Client, caplog) -> None:
    add = board.work.ingest.add
    failed = []

    def fails_once(documents):
        if not failed:
            failed.append(documents)
            raise RuntimeError(documents[0].text)
        return add(documents)

    board.work.ingest.add = fails_once
    board.work.todo += [[Incoming("wire", "1", "", "火灾")], [Incoming("wire", "2", "", "退款")]]
    assert waited(lambda: board.parts.monitor.documents.last() == 1)
    assert "a step of the monitor failed: RuntimeError" in caplog.text
    assert "火灾" not in caplog.text
    assert board.http.get("/ready").status_code == 200


def test_a_source_that_is_being_read_does_not_rest(board: Client, monkeypatch) -> None:
    board.work.reading = True
    monkeypatch.setattr(loop, "LOOK", 60.0)
    before = board.work.steps
    assert waited(lambda: board.work.steps > before + 5)


def test_a_document_tells_where_it_was_read(board: Client) -> None:
    origin = Origin("https://a.example/rss", "早报")
    board.work.ingest.add([Incoming("", "1", "", "火灾", origin=origin)])
    (found,) = board.get("documents?source=早报")["documents"]
    assert (found["source"], found["origin"]) == ("早报", "https://a.example/rss")
    table = board.ask("GET", "documents.csv").text.removeprefix("\ufeff")
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["source"], row["origin"]) == ("早报", "https://a.example/rss")


def test_feeds_and_messages_that_did_not_arrive(board: Client) -> None:
    states = FeedStates(board.parts.monitor.store)
    states.save(FeedState("https://a.example/", "早报", checked=5.0, fresh=5.0))
    notes = (
        "the date is in the future (2 entries)",
        "it is larger than 9 MB; what is beyond is left out",
    )
    states.save(FeedState("https://b.example/", stale=3.0, failures=2, error="b", notes=notes))
    feeds = board.get("feeds")["feeds"]
    assert [(each["url"], each["stale"]) for each in feeds] == [
        ("https://b.example/", 3.0), ("https://a.example/", None),
    ]  # fmt: skip
    assert [each["title"] for each in feeds] == ["", "早报"]
    assert feeds[0]["notes"] == [*notes] and feeds[1]["notes"] == []
    assert [note[:2] for note in feeds[0]["zh"]["notes"]] == ["日期", "超过"]
    alert = board.add(*burst(40))["alerts"][0]
    with board.parts.monitor.store.writing() as transaction:
        transaction.insert(
            "deliveries", key="secret", alert=alert, channel="ops", body="{}", state="dead",
            begun=1.0, due=1.0, error="it is down",
        )  # fmt: skip
    found = board.get("deliveries?state=dead")
    assert found["counts"] == {"waiting": 0, "sent": 0, "dead": 1}
    assert found["deliveries"][0]["error"] == "it is down" and "secret" not in json.dumps(found)
    assert board.post("deliveries/1/resend", ADMIN) == {"resent": 1}
    assert board.get("deliveries?state=waiting")["deliveries"][0]["channel"] == "ops"


def test_what_was_saved_is_there_after_a_restart(tmp_path) -> None:
    for known in (0, 3):
        with serving(tmp_path / "monitor.db") as board:
            assert board.add(*burst(3))["known"] == known
            assert len(board.get("documents")["documents"]) == 3


def test_a_client_that_leaves_before_its_body_is_whole_is_no_fault(board: Client) -> None:
    head = (
        f"POST {API}/documents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {INGEST}\r\n"
        "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n["
    )
    with socket.create_connection((board.http.base_url.host, board.http.base_url.port)) as client:
        client.sendall(head.encode())

    def counted() -> str:
        return str(board.http.get("/metrics", headers=bearer(ADMIN)).text)

    assert waited(lambda: 'route="/v1/monitor/documents"' in counted())
    assert 'route="/v1/monitor/documents",status="400"' in counted()
