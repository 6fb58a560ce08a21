"""Documents that an admin writes, and what the server finds in them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.support.desk_server import Desk, make_desk, serving
from xinye.apps.support.desk_folder import KNOWLEDGE, UNSURE, beside
from xinye.data.files import write_json_lines
from xinye.retrieval import knowledge
from xinye.retrieval.changing import alone
from xinye.retrieval.confidence import Calibration
from xinye.server.support.documents import Documents

URL = "/v1/knowledge/documents"
PARKING = "# 停车\n\n门店停车场在地下二层，会员免费停车三小时。\n"


@pytest.fixture
def own(tmp_path: Path):
    with serving(make_desk(tmp_path / "desk"), tmp_path / "support.db") as running:
        yield running


def found(desk: Desk, question: str) -> list[str]:
    passages = desk.operator("GET", "/v1/knowledge/search", params={"q": question}).json()
    return [each["passage"] for each in passages["passages"]]


def test_documents_are_written_replaced_and_deleted(own: Desk) -> None:
    assert own.operator("GET", URL).json() == {"documents": []}
    assert found(own, "停车") == []
    written = own.admin("PUT", f"{URL}/停车", {"text": PARKING})
    assert written.status_code == 201 and written.json() == {"id": "停车", "passages": 1}
    assert own.operator("GET", URL).json()["documents"] == [
        {"id": "停车", "file": "documents/停车.md", "passages": 1}
    ]
    assert "三小时" in found(own, "会员停车")[0]
    replaced = own.admin("PUT", f"{URL}/停车", {"text": PARKING.replace("三", "五")})
    assert replaced.status_code == 200
    own.admin("PUT", f"{URL}/parking.en", {"text": "Parking is free for members.\n"})
    assert "五小时" in "".join(found(own, "会员停车")) and "三小时" not in found(own, "会员停车")
    assert own.admin("DELETE", f"{URL}/停车").status_code == 204
    assert found(own, "会员停车") == [] and found(own, "parking members")
    assert own.admin("DELETE", f"{URL}/停车").status_code == 404
    binary = own.admin("PUT", f"{URL}/停车", {"text": "\0\1"})
    assert binary.status_code == 400 and str(own.parts.answers.folder) not in binary.text


def test_new_documents_are_calibrated_on_what_customers_asked(own: Desk) -> None:
    folder = own.parts.answers.folder
    asked = [f"{number}号柜放什么" for number in range(10, 40)]
    answers = (f"{number}号柜放第{number}批茶叶" for number in range(10, 40))
    rows = [
        {"question": text, "answer": answer} for text, answer in zip(asked, answers, strict=True)
    ]
    write_json_lines(folder / UNSURE, rows)
    shelves = "\n\n".join(
        f"# {n}号柜\n\n{n}号柜在{n % 3}楼，放第{n}批茶叶。" for n in range(10, 40)
    )
    own.admin("PUT", f"{URL}/柜子", {"text": shelves})
    first = Calibration.load(folder / KNOWLEDGE)
    assert first and first.questions == len(asked) and not first.made
    own.admin("PUT", f"{URL}/停车", {"text": PARKING})  # too little to calibrate again
    assert Calibration.load(folder / KNOWLEDGE) == first


def test_damaged_questions_do_not_keep_documents_silent(own: Desk, caplog) -> None:
    folder = own.parts.answers.folder
    (folder / UNSURE).write_text("{oops", "utf-8")
    shelves = "\n\n".join(
        f"# {n}号柜\n\n{n}号柜在{n % 3}楼，放第{n}批茶叶。" for n in range(10, 40)
    )
    own.admin("PUT", f"{URL}/柜子", {"text": shelves})
    assert Calibration.load(folder / KNOWLEDGE) is not None
    assert "unsure.jsonl: damaged file (line 1" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["..%2F..%2Fetc", "%2e%2e", ".hidden", "a%00b", "a" * 65, "a%5Cb", "%F0%9F%8C%BF", "%20"],
)
def test_an_id_is_no_path(desk: Desk, name: str) -> None:
    folder = desk.parts.answers.folder
    before = {*folder.parent.rglob("*")}
    refused = desk.admin("PUT", f"{URL}/{name}", {"text": "文字"})
    assert refused.status_code in (400, 404, 405)
    assert desk.admin("DELETE", f"{URL}/{name}").status_code in (400, 404, 405)
    assert {*folder.parent.rglob("*")} - before <= {folder / "documents"}


def test_a_full_disk_keeps_the_old_text(own: Desk, monkeypatch) -> None:
    own.admin("PUT", f"{URL}/a", {"text": PARKING})

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(knowledge, "write_json", full)
    answers = [
        own.admin("PUT", f"{URL}/a", {"text": "新的文字。"}),
        own.admin("PUT", f"{URL}/b", {"text": "新的文字。"}),
        own.admin("DELETE", f"{URL}/a"),
    ]
    monkeypatch.undo()
    for refused in answers:
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert str(own.parts.answers.folder) not in refused.text
    folder = own.parts.documents.folder
    assert (folder / "a.md").read_text("utf-8") == PARKING
    assert {path.name for path in folder.iterdir()} == {"a.md", ".lock"}
    assert "三小时" in found(own, "会员停车")[0]
    assert own.admin("PUT", f"{URL}/a", {"text": "新的文字。"}).status_code == 200


def test_one_change_at_a_time(own: Desk) -> None:
    def change(number: int) -> int:
        if number % 2:
            own.parts.answers.refresh()
        if number % 4 == 3:
            return own.admin("DELETE", f"{URL}/d{number % 3}").status_code
        return own.admin("PUT", f"{URL}/d{number % 3}", {"text": f"第 {number} 份。"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(change, range(12))} <= {200, 201, 204, 404}
    for number in range(3):
        own.admin("PUT", f"{URL}/d{number}", {"text": f"第 {number} 份。"})
    with alone(own.parts.documents.folder):  # as if another process changed them
        assert own.admin("PUT", f"{URL}/d", {"text": "文字"}).status_code == 503
    assert len(own.operator("GET", URL).json()["documents"]) == 3


def test_what_was_interrupted_is_brought_up_to_date(tmp_path: Path) -> None:
    folder = make_desk(tmp_path / "desk")
    documents = Documents(folder)
    documents.put("a", PARKING)
    documents.put("b", "第二份文档，谈配送。")
    (folder / "documents" / "a.md").write_text(PARKING.replace("三", "四"), "utf-8")  # not indexed
    (folder / "documents" / "b.md").rename(folder / "documents" / ".b.md.old")  # half deleted
    moved = folder.rename(tmp_path / "moved")
    with serving(moved, tmp_path / "support.db") as desk:
        assert "四小时" in found(desk, "会员停车")[0] and len(found(desk, "会员停车")) == 1
        assert found(desk, "配送") == []


def test_a_desk_that_is_prepared_again_keeps_its_documents(tmp_path: Path) -> None:
    folder = make_desk(tmp_path / "desk")
    with serving(folder, tmp_path / "support.db") as desk:
        desk.admin("PUT", f"{URL}/a", {"text": PARKING})
        made = make_desk(tmp_path / "new")
        with beside(folder, overwrite=True) as new:
            for path in made.iterdir():
                path.rename(new / path.name)
        desk.parts.answers.refresh()
        assert "三小时" in found(desk, "会员停车")[0]
