"""A store with an alert in it, an outbox, and a clock that a test moves."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from apps.monitor.receivers import SECRET, Receiver
from xinye.apps.monitor.channel_settings import WebhookSettings
from xinye.apps.monitor.channels import open_channels
from xinye.apps.monitor.notices import Wording
from xinye.apps.monitor.outbox import Delivery, Outbox, Sent, write_deliveries
from xinye.apps.monitor.schema import MIGRATIONS
from xinye.apps.store import Store

START = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
DOCUMENTS = (("退货太难了", "客服一直不回复。", "https://example.com/1?a=1&b=2"),)
CHINESE = Wording("zh")
ENVIRONMENT = {"HOOK_SECRET": SECRET}


def open_store(path: Path) -> Store:
    return Store(path, "monitor", MIGRATIONS)


class Office:
    """A monitor that has nothing but alerts and messages about them."""

    def __init__(self, path: Path, *hooks: Receiver, timeout: float = 5.0) -> None:
        self.now = START
        self.store = open_store(path)
        settings = [
            WebhookSettings(
                name=f"hook{number}", url=hook.url, secret="HOOK_SECRET", timeout=timeout
            )
            for number, hook in enumerate(hooks)
        ]
        self.channels = open_channels(settings, ENVIRONMENT)
        self.outbox = Outbox(self.store, self.channels, lambda: self.now)

    def alert(
        self,
        subject: str = "退货",
        documents: Iterable[tuple[str, str, str]] = DOCUMENTS,
        wording: Wording = CHINESE,
        channels: Iterable[str] | None = None,
        **columns: object,
    ) -> int:
        """Open an alert with a message for each channel. Returns its number."""
        with self.store.writing() as transaction:
            values: Mapping[str, object] = {
                "kind": "topic", "state": "closed", "opened": self.now, "changed": self.now,
                "since": int(START // 3600), "hour": int(START // 3600), "observed": 23, "expected": 4.06, "probability": 1e-9,
                "summary": "退货的人多了。", **columns,
            }  # fmt: skip
            alert = transaction.insert("alerts", subject=subject, **values)
            for place, (title, text, url) in enumerate(documents, 1):
                document = transaction.insert(
                    "documents", key=f"{alert} {place}", source="feed", title=title, text=text,
                    url=url, at=self.now, fetched=self.now, dated="given", language="zh", mood="",
                    named=f"{alert} {place}", origin="",
                )  # fmt: skip
                transaction.insert("alert_documents", alert=alert, place=place, document=document)
            names = self.channels if channels is None else channels
            write_deliveries(transaction, alert, self.now, names, wording)
        return alert

    def sends(self, *, after: float = 0.0) -> Sent:
        """Let time pass, then send what is due."""
        self.now += after
        return self.outbox.send_due()

    def only(self, state: str) -> Delivery:
        (delivery,) = self.outbox.deliveries(state)
        return delivery
