"""A real bot, whose desk is improved while customers ask it."""

import threading
import time
from pathlib import Path

from server.support.desk_server import Desk, serving
from xinye.apps.support.improve import improve
from xinye.apps.support.prepare import prepare
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.server.support.serve import load

THINGS = ("紫砂壶", "白瓷杯", "竹茶盘", "龙井", "红茶", "茶叶罐")
NEW, RIGHT = "礼盒能印公司标志吗", "可以印，五十盒起。"


def make(folder: Path) -> Path:
    rows = [
        f"{thing}{ask}？,{thing}的{what}：请看说明书第{number}页。"
        for number, thing in enumerate(THINGS)
        for ask, what in (("怎么退货", "退货"), ("怎么洗", "保养"))
    ]
    (folder / "faq.csv").write_text("\n".join(["question,answer", *rows]), "utf-8")
    logs = [str(folder / "faq.csv")]
    prepare(PrepareSettings(logs=logs, output=folder / "desk", time="0s", test_share=0.2))
    return folder / "desk"


def asks(desk: Desk, question: str) -> str:
    """The reply to the first question of a new customer."""
    customer = desk.begin()
    assert customer.says(question).status_code == 202
    return customer.waits_for(2)[1]


def test_a_desk_is_improved_while_customers_ask(tmp_path: Path) -> None:
    folder, store = make(tmp_path), tmp_path / "support.db"
    with serving(folder, store, load=load) as desk:
        stop, replies, problems = threading.Event(), list[str](), list[BaseException]()

        def keep_asking(thing: str) -> None:
            try:
                while not stop.is_set():
                    replies.append(asks(desk, f"请问{thing}怎么退货"))
                    assert replies[-1].startswith(f"{thing}的退货")
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=keep_asking, args=(thing,)) for thing in THINGS]
        for thread in threads:
            thread.start()
        customer = desk.begin()
        customer.says(NEW)
        assert customer.waits_for(2)[1] != RIGHT
        wrong = {"operator": "李", "message": 2, "good": False, "text": RIGHT}
        path = f"/v1/support/conversations/{customer.id}/feedback"
        number = desk.operator("POST", path, wrong).json()["feedback"]
        desk.operator("POST", f"/v1/support/feedback/{number}/approve", {"operator": "李"})
        assert improve(folder, store).replaced
        before, end = len(replies), time.monotonic() + 20
        while asks(desk, NEW) != RIGHT and time.monotonic() < end:
            time.sleep(0.1)
        assert asks(desk, NEW) == RIGHT
        stop.set()
        for thread in threads:
            thread.join()
        assert problems == []
        assert 0 < before < len(replies)
