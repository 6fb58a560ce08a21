"""The board in a real browser: what an analyst sees and does."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.browser import CHROMIUM, Page, another, click, go, press, write
from server.monitor.board_server import ADMIN, ANALYST, INGEST, Client, burst, serving
from server.test_page import INJECTIONS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
OPEN = "document.querySelectorAll('.alert.open').length"
CARDS = "document.querySelectorAll('[data-document]').length"
LABELS = "document.querySelector('[data-document=\"{}\"] .badge').parentNode.textContent"


def sign_in(page: Page, board: Client, key: str = ANALYST, language: str = "zh") -> None:
    go(page, f"{board.address}/?lang={language}", "!document.querySelector('#door').hidden")
    write(page, "#myName", "小王")
    write(page, "#key", key)
    click(page, "#enter button")
    page.until("last !== '' && document.querySelector('#raised').childElementCount > 0")


def choose(page: Page, place: str, value: str) -> None:
    page.until(f"[...document.querySelector('{place}').options].some(o => o.value === '{value}')")
    page.run(
        f"document.querySelector('{place}').value = {json.dumps(value)}; document.querySelector("
        f"'{place}').dispatchEvent(new Event('change'))"
    )


def test_an_alarm_appears_and_is_acknowledged(board: Client, page: Page) -> None:
    sign_in(page, board)
    assert page.run("document.querySelector('#raised').textContent") == "目前没有预警。"
    board.add(*burst(40))
    page.until(f"{OPEN} === 1")
    assert page.run("document.title") == "(1) 新叶舆情监测"
    assert page.run("document.querySelectorAll('.alert li').length") == 5
    page.until("document.querySelectorAll('#chart rect.negative').length === 1")  # the trend, too
    board.add(*burst(2, "火灾 另"))
    page.until("document.querySelector('.alert .now').textContent.endsWith('至今已有 42 篇')")
    for number in range(1, 4):
        board.post(f"documents/{number}/correct", topics=["门店"])
    page.until("document.querySelector('.alert .now').textContent.endsWith('更正后为 39 篇')")
    with another(page) as colleague:
        sign_in(colleague, board, language="en")
        click(page, ".alert button.main")
        for each, told in ((page, "小王 正在处理"), (colleague, "小王 deals with it")):
            each.until(f"{OPEN} === 0 && document.querySelectorAll('.alert').length === 1")
            assert told in each.run("document.querySelector('.alert').textContent")
    (alert,) = board.get("alerts?state=acknowledged")["alerts"]
    assert alert["who"] == "小王"
    board.post(f"alerts/{alert['number']}/close")
    page.until("document.querySelectorAll('#closed .alert').length === 1")


def test_a_correction_is_kept_after_a_reload(board: Client, page: Page) -> None:
    board.add(*burst(3))
    sign_in(page, board, ADMIN)
    click(page, "[data-tab=documents]")
    page.until(f"{CARDS} === 3")
    page.run("document.querySelectorAll('[data-document=\"2\"] [aria-expanded]')[1].click()")
    page.until("document.querySelector('.why [name=another]') !== null")
    write(page, ".why [name=another]", "没人见过的事")
    assert page.run("document.querySelector('.why input[value=门店]') !== null")  # of the model
    click(page, ".why input[value=安全]")
    click(page, ".why input[value=positive]")
    click(page, ".why button.main")
    page.until(f"{LABELS.format(2)} === '正面没人见过的事已更正'")
    page.call("Page.reload")
    page.until(f"document.readyState === 'complete' && {CARDS} === 3")
    assert page.run(LABELS.format(2)) == "正面没人见过的事已更正"
    assert page.run(LABELS.format(3)) == "负面 80%安全 90%"
    click(page, "[data-tab=corrections]")
    page.until("document.querySelectorAll('#opinions article').length === 2")
    click(page, "#opinions article button.main")
    page.until("document.querySelectorAll('#opinions article').length === 1")
    assert [each["value"] for each in board.get("corrections", ADMIN)["corrections"]] == [
        "positive"
    ]


def test_filters_words_that_decided_and_new_documents(board: Client, page: Page) -> None:
    board.add(*burst(60, "火灾"), {"title": "𠮷 退款", "text": "很差"})  # of two units in UTF-16
    sign_in(page, board)
    click(page, "[data-tab=documents]")
    page.until(f"{CARDS} === 50")
    click(page, "#older")
    page.until(f"{CARDS} === 61")
    choose(page, "#topic", "售后")
    page.until(f"{CARDS} === 1")
    click(page, "[data-document] [aria-expanded]")
    page.until("document.querySelectorAll('mark').length === 2")
    assert page.run("[...document.querySelectorAll('mark')].map(m => m.textContent)") == [
        "𠮷 ",
        "退款",
    ]
    assert page.run("document.querySelectorAll('mark.for.three').length") == 1
    board.add({"title": "退款", "text": "又一次"})
    page.until("!document.querySelector('#fresh').hidden")
    click(page, "#fresh")
    page.until(f"{CARDS} === 2")
    write(page, "#words", "又一")
    page.run("document.querySelector('#words').focus()")
    press(page, "Enter", 13, text="\r")
    page.until(f"{CARDS} === 1")
    page.run("window.made = URL.createObjectURL; window.saved = []; void 0")
    page.run("URL.createObjectURL = blob => { saved.push(blob); return made.call(URL, blob) }; 0")
    click(page, "#csv")
    page.until("saved.length === 1")
    assert page.run("saved[0].text().then(text => text.trim().split('\\n').length)") == 2


def test_on_a_phone_the_filters_are_folded_and_say_what_is_chosen(
    board: Client, page: Page
) -> None:
    board.add(*burst(3))
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=390, height=844, deviceScaleFactor=1, mobile=True,
    )  # fmt: skip
    sign_in(page, board)
    shown = "document.querySelector('#topic').checkVisibility()"
    assert not page.run(shown)
    click(page, "#narrowed")
    page.until(shown)
    choose(page, "#topic", "安全")
    page.until("document.querySelector('#narrowed').textContent === '筛选 · 最近 7 天 · 安全'")
    page.call("Emulation.clearDeviceMetricsOverride")
    page.until("!document.querySelector('#narrowed').checkVisibility()")
    assert page.run(shown)


def test_what_is_wrong_is_said_in_chinese(board: Client, page: Page) -> None:
    board.add(*burst(1))
    sign_in(page, board)
    page.run("me.name = '小\\u200b王'; void 0")
    click(page, "[data-tab=documents]")
    page.until(f"{CARDS} === 1")
    page.run("document.querySelectorAll('[data-document] [aria-expanded]')[1].click()")
    click(page, ".why input[value=positive]")
    click(page, ".why button.main")
    page.until(
        "document.querySelector('#line').textContent.includes('操作人姓名里有不能显示的字符')"
    )
    page.events.clear()  # the browser has complained of the answer


def test_texts_of_documents_are_data(board: Client, page: Page) -> None:
    hostile: list[Any] = [
        {
            "title": f"火灾 {text}",
            "text": chr(0x4E00 + place) * 30 + text,
            "url": url,
            "source": text[:150],
        }
        for place, (text, url) in enumerate(zip(INJECTIONS, URLS * 6, strict=False))
    ]
    board.add(*hostile, *burst(40))
    sign_in(page, board)
    page.until(f"{OPEN} === 1")
    click(page, "[data-tab=documents]")
    page.until(f"{CARDS} === 50")
    page.run("document.querySelectorAll('[data-document] [aria-expanded]')[0].click()")
    page.run("document.querySelector('#older').click()")
    page.until(f"{CARDS} === {len(hostile) + 40}")
    for each in page.run(
        "[...document.querySelectorAll('[data-document]')].map(e => e.dataset.document)"
    ):
        page.run(f"document.querySelector('[data-document=\"{each}\"] [aria-expanded]').click()")
    page.until("document.querySelectorAll('mark').length > 40")
    assert page.run("window.broken") is None
    tags = page.run("[...new Set([...document.querySelectorAll('main *')].map(e => e.tagName))]")
    assert not {*tags} & {"SCRIPT", "IMG", "IFRAME", "STYLE", "LINK", "META", "MATH"}
    texts = page.run("[...document.querySelectorAll('[data-document] h3')].map(e => e.textContent)")
    assert {f"火灾 {text}".strip() for text in INJECTIONS} <= {*texts}
    links = page.run("[...document.querySelectorAll('main a')].map(a => [a.protocol, a.rel])")
    assert links and {protocol for protocol, _ in links} == {"https:"}
    assert {rel for _, rel in links} == {"noopener noreferrer"}
    asked = {
        each["params"]["request"]["url"].split("/v1/")[0]
        for each in page.events
        if each["method"] == "Network.requestWillBeSent"
    }
    assert {each.split("?")[0].rstrip("/") for each in asked} == {board.address}


URLS = ["https://a.example/", "javascript:window.broken=1", "data:text/html,<b>", "//a.example"]


def test_every_control_has_a_name_in_both_languages(board: Client, page: Page) -> None:
    board.add(*burst(40))
    sign_in(page, board, ADMIN)
    for language in ("zh", "en"):
        page.until(f"{OPEN} === 1 && document.documentElement.lang.startsWith('{language}')")
        for tab in ("overview", "documents", "corrections", "sources"):
            click(page, f"[data-tab={tab}]")
            if tab == "documents":
                page.until(f"{CARDS} === 40")
                click(page, "[data-document] [aria-expanded]:nth-of-type(2)")
                page.until("document.querySelector('.why [name=another]') !== null")
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            for node in nodes:
                role = node.get("role", {}).get("value")
                if role in ("button", "combobox", "textbox", "searchbox", "checkbox", "radio", "img",
                            "link", "article"):  # fmt: skip
                    assert node.get("name", {}).get("value"), (tab, node)
        click(page, "[data-tab=overview]")
        click(page, "#language")
    keys = "JSON.stringify(Object.keys(WORDS.{0}).sort())"
    assert page.run(keys.format("en")) == page.run(keys.format("zh"))


def test_the_key_of_a_program_does_not_sign_in(board: Client, page: Page) -> None:
    go(page, f"{board.address}/?lang=en", "!document.querySelector('#door').hidden")
    write(page, "#myName", "Wang")
    write(page, "#key", INGEST)
    click(page, "#enter button")
    page.until("document.querySelector('#line').textContent.includes('only sends documents')")
    assert page.run("sessionStorage.getItem('xinye.analyst')") is None


def test_the_stream_comes_back(tmp_path: Path, page: Page) -> None:
    with serving(tmp_path / "monitor.db") as board:
        sign_in(page, board)
        port = int(board.address.rpartition(":")[2])
    page.until("document.querySelector('#live').className.includes('alarm')")
    page.run("base = 50")
    with serving(tmp_path / "monitor.db", port=port) as board:
        board.add(*burst(40))
        page.until(f"{OPEN} === 1 && !document.querySelector('#live').className.includes('alarm')")
    page.events.clear()  # the browser has complained of the connection that was refused
