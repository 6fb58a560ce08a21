"""The page in a real browser: what somebody who tries it sees and does."""

import pytest

from server.browser import CHROMIUM, Page, click, go, write
from server.recommend.shop_server import CLIENT, EDITOR, Client
from server.test_page import INJECTIONS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
FIRST = "document.querySelector('#suggestions li')?.dataset.item"
TEXT = "document.querySelector('#suggestions').textContent"


def sign_in(page: Page, shop: Client, key: str = CLIENT, language: str = "zh") -> None:
    go(page, f"{shop.address}/?lang={language}", "!document.querySelector('#door').hidden")
    write(page, "#key", key)
    click(page, "#enter button")
    page.until(f"{FIRST} !== undefined && document.querySelector('#found button') !== null")


def test_clicked_items_make_a_history(shop: Client, page: Page) -> None:
    sign_in(page, shop)
    assert page.run("!document.querySelector('#cold').hidden && document.title") == "推荐"
    assert page.run("document.querySelector('#put').hidden")
    write(page, "#words", "dune")
    page.until("document.querySelectorAll('#found button').length === 1")
    click(page, "#found button")
    page.until(f"{FIRST} === 'b4' && document.querySelector('#cold').hidden")
    assert "选过“Dune”的人也常选" in page.run(TEXT)
    click(page, "#language")
    page.until(f"{TEXT}.includes('Often chosen with “Dune”')")
    click(page, "#suggestions li button")  # uses Emma
    page.until("document.querySelectorAll('#history button').length === 2")
    page.until("document.querySelector('#suggestions li b').textContent === '7'")
    page.call("Page.reload")
    page.until(f"document.readyState === 'complete' && {FIRST} === '7'")
    click(page, "#clear")
    page.until(f"{FIRST} === 'b1' && document.querySelectorAll('#history button').length === 0")


def test_items_of_a_user_are_saved_as_events(shop: Client, page: Page) -> None:
    sign_in(page, shop)
    write(page, "#user", "新来的")
    page.until("document.querySelector('#note').textContent.includes('保存')")
    page.until("document.querySelector('[data-item=b3]') !== null")
    click(page, "[data-item=b3] button")
    page.until(f"{FIRST} === 'b4'")
    assert shop.parts.shop.history_of("新来的") == ["b3"]


def test_an_editor_adds_an_item_whose_words_are_only_text(shop: Client, page: Page) -> None:
    sign_in(page, shop, EDITOR)
    title = "".join(INJECTIONS[:3])
    for place, text in (("#id", "a/书 ?#"), ("#name", title), ("#tags", "小说， sf")):
        write(page, place, text)
    click(page, "#put .main")
    page.until("document.querySelector('#line').textContent.startsWith('已保存')")
    page.until(f"{TEXT}.includes('<script>')")
    assert shop.parts.shop.item("a/书 ?#").tags == ("小说", "sf")
    assert page.run("window.broken === undefined")
    write(page, "#tag", "没有的")
    page.until("!document.querySelector('#nothing').hidden")
