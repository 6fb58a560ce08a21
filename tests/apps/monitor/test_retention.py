"""Deleting texts that are older than they may be."""

from apps.monitor.conftest import EAGER, HOUR, analyse, documents_of, post, posts, totals
from apps.support.conftest import Clock
from xinye.apps.monitor.ingest import Added
from xinye.apps.monitor.monitor_store import Monitor


def test_old_texts_are_deleted_and_their_counts_stay(monitor: Monitor, clock: Clock) -> None:
    def notify(transaction, number, now) -> None:  # type: ignore[no-untyped-def]
        transaction.insert(
            "deliveries",
            key="1",
            alert=number,
            channel="a",
            body="火灾",
            state="sent",
            begun=now,
            due=now,
        )

    ingest = monitor.ingest(EAGER, analyse, notify=notify)
    (alert,) = ingest.add(posts(range(40), "秘密的火灾")).alerts
    clock.move(days=100)
    ingest.add([post(100, "新的火灾", clock.now - 200 * 24 * HOUR)])
    assert monitor.retention.tidy().documents == 0
    clock.move(days=81)
    assert monitor.retention.tidy().documents == 40
    assert monitor.retention.tidy().documents == 0

    assert [document.text for document in documents_of(monitor)] == ["新的火灾 100"]
    assert monitor.alerts.get(alert).summary == ""
    assert {document.text for document in monitor.alerts.get(alert).documents} == {""}
    assert totals(monitor) == (41, 0)
    assert ingest.add(posts(range(40), "秘密的火灾")) == Added(known=40)
    with monitor.store.reading() as transaction:
        assert transaction.select("SELECT * FROM deliveries") == []
    monitor.store.scrub()
    assert "秘密".encode() not in monitor.store.path.read_bytes()
