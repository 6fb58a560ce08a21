"""The pages of a desk in a real browser: what a customer and an operator see and do."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server.browser import CHROMIUM, Page, another, click, go, press, write
from server.support.desk_server import ADMIN, OPERATOR, Customer, Desk, Echo, make_desk, serving
from server.test_page import INJECTIONS
from xinye.apps.support.log import (
    DOCUMENTS,
    ENTRY,
    FORBIDDEN,
    GROUNDS,
    INTENT,
    REASONS,
    UNCERTAIN,
)
from xinye.apps.support.reply import Reply, Source

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
TEXTS = "[...document.querySelectorAll('#messages .bubble p')].map(each => each.textContent)"
MINE = "!document.querySelector('#text').disabled"


class Quoting(Echo):
    """Answers with the question, and gives it as source, too."""

    def answer(self, turns):
        asked = turns[-1].text
        return Reply("passage", asked, (Source(INJECTIONS[2], 3, asked),), 0.9, 0.8, asked)

    def suggestions(self, turns, count=3):
        return [self.answer(turns)]


class Shop(BaseHTTPRequestHandler):
    """A page of a shop with the widget, which is included twice."""

    desk = ""

    def do_GET(self):
        script = f'<script src="{self.desk}/widget.js" defer></script>'
        told = (
            "<script>addEventListener('message', event => { window.told = event.origin })</script>"
        )
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<!doctype html><html lang=zh-CN>{told}{script}{script}".encode())

    def log_message(self, *_):
        pass


@dataclass
class Wire:
    """A wire to a server, which can be cut."""

    port: int
    whole: bool = True
    ends: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        self.whole = False
        for each in self.ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                if not self.whole:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.port))
                self.ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                target.sendall(data)


@contextmanager
def wired(address: str) -> Iterator[tuple[Wire, str]]:
    wire = Wire(int(address.rpartition(":")[2]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=wire.accept, args=(listener,), daemon=True).start()
        yield wire, f"http://127.0.0.1:{listener.getsockname()[1]}"
        wire.cut()


@pytest.fixture(scope="module")
def shop() -> Iterator[int]:
    """The port of a shop."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, shop: int) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("pages")
    allowed = (f"http://127.0.0.1:{shop}",)
    store = folder / "support.db"
    with serving(make_desk(folder / "desk"), store, load=Quoting, allow_origin=allowed) as desk:
        Shop.desk = desk.address
        yield desk


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    with another(browser) as page:
        yield page


def say(page: Page, text: str) -> None:
    write(page, "#prompt", text)
    click(page, "#send")


def sign_in(page: Page, desk: Desk, name: str, key: str = OPERATOR, language: str = "zh") -> None:
    go(page, f"{desk.address}/desk?lang={language}")
    write(page, "#name", name)
    write(page, "#key", key)
    click(page, "#enter button")
    page.until("document.querySelector('#queue').childElementCount > 0")


def begun(page: Page, desk: Desk) -> Customer:
    """The conversation of a page."""
    chat = json.loads(page.run("sessionStorage.getItem('xinye.chat')"))
    return Customer(desk.http, chat["id"], chat["token"])


def waiting(desk: Desk, text: str) -> Customer:
    """A customer who has asked and waits for a person."""
    customer = desk.begin()
    customer.says(text)
    customer.waits_for(2)
    customer.ask("POST", "/handover")
    return customer


def test_of_two_operators_one_gets_it(desk: Desk, browser: Page) -> None:
    customer = waiting(desk, "怎么退货？")
    with another(browser) as wang, another(browser) as smith:
        sign_in(wang, desk, "小王")
        sign_in(smith, desk, "Smith", language="en")
        for page in (wang, smith):
            click(page, f'[data-conversation="{customer.id}"]')
            page.until("document.querySelectorAll('#history article').length === 2")
        for page in (wang, smith):  # neither waits for the other
            page.run("void document.querySelector('#claim').click()")
        for page in (wang, smith):
            page.until("opened.state.state === 'human' && !document.querySelector('#owner').hidden")
        assert [page.run(MINE) for page in (wang, smith)].count(True) == 1
        first, second = (wang, smith) if wang.run(MINE) else (smith, wang)
        taken = {wang: "会话已由 Smith 接入。", smith: "小王 has this conversation."}[second]
        second.until(f"document.querySelector('#line span').textContent === '{taken}'")
        assert second.run("document.querySelector('#hint').textContent") == taken
        click(first, ".use")
        assert first.run("document.querySelector('#text').value") == "怎么退货？"
        write(first, "#text", "七天内可以退。")
        first.run("document.querySelector('#text').focus()")
        press(first, "Enter", 13, text="\r")
        second.until("document.querySelectorAll('#history .operator').length === 1")
        reply = desk.operator("GET", f"/v1/support/conversations/{customer.id}/messages").json()
        last = reply["messages"][-1]
        assert (last["text"], last["suggestion"]) == ("七天内可以退。", "怎么退货？")
        click(first, "#release")
        second.until("!document.querySelector('#claim').hidden")


def test_the_first_words_are_the_bots_in_the_language_of_the_page(desk: Desk, page: Page) -> None:
    go(page, f"{desk.address}/?lang=zh", f"{TEXTS}.length === 1")
    assert page.run(TEXTS) == ["您好！我是新叶的智能客服小叶，请问有什么可以帮您？"]
    click(page, "#language")
    english = "Hello! I am 小叶, the automatic assistant of 新叶. How can I help you?"
    page.until(f"{TEXTS}[0] === {json.dumps(english)}")


def test_a_reload_and_a_cut_lose_and_repeat_nothing(desk: Desk, page: Page) -> None:
    with wired(desk.address) as (wire, address):
        go(page, address)
        say(page, "第一")
        page.until(f"{TEXTS}.length === 3")
        write(page, "#prompt", "还没写完")
        page.run("window.before = true")
        page.call("Page.reload")
        loaded = "!window.before && document.readyState === 'complete'"
        page.until(f"{loaded} && {TEXTS}.length === 3")
        assert page.run(TEXTS)[1:] == ["第一", "第一"]
        page.run(  # Enter that ends the word of an input method sends nothing
            "document.querySelector('#prompt').dispatchEvent(new KeyboardEvent('keydown', "
            "{ key: 'Enter', isComposing: true }))"
        )
        assert page.run("document.querySelector('#prompt').value") == "还没写完"
        wire.cut()
        page.until("document.querySelector('#status').className === 'off'")
        customer = begun(page, desk)
        desk.does(customer.id, "claim", operator="小王")
        desk.does(customer.id, "reply", operator="小王", text="第二")
        say(page, "第三")
        page.until("document.querySelector('#outbox .late') !== null")
        wire.whole = True
        page.run("wake()")
        page.until(f"{TEXTS}.length === 5 && !document.querySelector('#outbox article')")
        assert page.run(TEXTS)[1:] == ["第一", "第一", "第二", "第三"] == customer.texts
        banner = page.run("document.querySelector('#banner').textContent")
        assert "小王 已接入" in banner


def test_a_message_whose_answer_is_cut_off_is_sent_again_and_counts_once(
    desk: Desk, page: Page
) -> None:
    go(page, desk.address)
    page.run(
        """(whole => {
            let cut = true;
            window.fetch = async (path, options) => {
                const answer = await whole(path, options);
                if (cut && options?.method === "POST" && path.endsWith("/messages")) {
                    cut = false;
                    answer.json = () => Promise.reject(new TypeError("cut off"));
                }
                return answer;
            };
        })(window.fetch)"""
    )
    say(page, "第一")
    page.until(f"{TEXTS}.length === 3 && !document.querySelector('#outbox article')")
    assert page.run(TEXTS)[1:] == ["第一", "第一"] == begun(page, desk).texts
    assert page.run("document.querySelector('#prompt').value") == ""


def test_what_others_write_is_text_and_nothing_runs(desk: Desk, page: Page) -> None:
    text = "\n".join(INJECTIONS).strip()
    go(page, desk.address)
    say(page, text)
    page.until(f"{TEXTS}.length === 3")
    assert page.run(TEXTS)[2] == text
    assert page.run("document.querySelector('blockquote').textContent") == text
    links = page.run("[...document.links].map(each => each.protocol + each.rel)")
    assert {*links} == {"https:noopener noreferrer nofollow"}
    click(page, ".vote button:last-of-type")
    click(page, "#person")
    page.until("!document.querySelector('#banner').hidden")
    check(page, desk, {"IMG", "IFRAME", "math"})

    desk.admin("PUT", "/v1/knowledge/documents/注入", {"text": f"# 退货\n\n{text}\n"})
    customer = begun(page, desk)
    sign_in(page, desk, INJECTIONS[0], ADMIN)
    click(page, f'[data-conversation="{customer.id}"]')
    page.until("document.querySelectorAll('#history article').length === 2")
    page.until("document.querySelector('#suggestions .use') !== null")
    assert page.run("document.querySelector('#history .customer p').textContent") == text
    assert page.run("document.querySelector('#suggestions p').textContent") == text
    click(page, "#claim")
    page.until(MINE)
    click(page, "[data-tab=knowledge]")
    write(page, "#words", "退货 script")
    click(page, "#seek button")
    page.until("document.querySelector('#found').textContent.includes('onerror=')")
    click(page, "[data-tab=feedback]")
    page.until("document.querySelector('#opinions').textContent.includes('onerror=')")
    check(page, desk, {"IMG", "IFRAME", "math", "svg", "A"})


def corrects(desk: Desk, question: str, text: str) -> Customer:
    """A customer who says what the right answer is."""
    customer = desk.begin()
    customer.says(question)
    customer.waits_for(2)
    customer.ask("POST", "/feedback", {"message": 2, "good": False, "text": text})
    return customer


def test_feedback_on_one_question_is_shown_together(desk: Desk, page: Page) -> None:
    for question, text in (
        ("猫粮开封后能放多久？", "放两个月。"),
        ("请问猫粮开封后能放多久", "放一个月。"),
        ("猫粮开封后能放多久？", "放两个月。"),
    ):
        corrects(desk, question, text)
    sign_in(page, desk, "小王")
    click(page, "[data-tab=feedback]")
    group = "[...document.querySelectorAll('.group')].find(one => one.textContent.includes('猫粮'))"
    page.until(f"{group} !== undefined")
    assert page.run(f"{group}.querySelectorAll('.card').length") == 2
    told = page.run(f"{group}.textContent")
    assert "3 次猫粮开封后能放多久？这个问题有不同的答案" in told and "2 次问题" in told
    page.run(f"{group}.querySelector('.main').click()")
    page.until(
        "document.querySelector('#opinions').textContent.includes('已通过的另一个答案：放两个月。')"
    )
    assert page.run(f"{group} === undefined")
    approved = [each.chosen for each in desk.parts.store.feedback.records()]
    assert approved.count("放两个月。") == 2
    page.run(
        "[...document.querySelectorAll('#opinions .card')]"
        ".find(one => one.textContent.includes('猫粮')).querySelector('.main').click()"
    )
    page.until("document.querySelector('#sure').open")
    click(page, "#sure .main")
    page.until("document.querySelector('#line').textContent.includes('以这个答案为准')")
    assert desk.parts.store.feedback.records()[-1].chosen == "放一个月。"


def test_what_was_decided_is_gone_though_a_later_one_failed(desk: Desk, page: Page) -> None:
    one, other = (corrects(desk, "茶饼怎么保存？", "放在干燥处。") for _ in range(2))
    sign_in(page, desk, "小王")
    click(page, "[data-tab=feedback]")
    card = "[...document.querySelectorAll('#opinions .card')].find(one => one.textContent.includes('茶饼'))"
    page.until(f"{card} !== undefined")
    desk.parts.store.retention.forget_conversation(other.id)
    page.run(f"{card}.querySelector('.main').click()")
    page.until("document.querySelector('#line').textContent.includes('内容已不存在')")
    assert page.run(f"{card} === undefined")
    assert desk.parts.store.feedback.records()[-1].conversation == one.id


def check(page: Page, desk: Desk, strange: set[str]) -> None:
    """No element came out of a text, nothing ran, and nothing was asked of another server."""
    names = page.run("[...document.querySelectorAll('body *')].map(each => each.tagName)")
    assert not strange & {*names}
    assert names.count("SCRIPT") == 1 and "STYLE" not in names
    assert page.run("typeof window.broken") == "undefined"
    asked = [each for each in page.events if each["method"] == "Network.requestWillBeSent"]
    urls = {each["params"]["request"]["url"] for each in asked}
    assert all(url.startswith(desk.address) for url in urls - {"about:blank"})
    wrong = ("Runtime.exceptionThrown", "Log.entryAdded")
    found = [str(each) for each in page.events if each["method"] in wrong]
    assert not [each for each in found if "favicon" not in each]


def test_the_desk_says_why_in_the_language_of_its_reader(desk: Desk, page: Page) -> None:
    customer = waiting(desk, "找人工")
    sign_in(page, desk, "小王")
    wrong = [each for each in page.events if each["method"] == "Log.entryAdded"]
    assert not [each for each in wrong if "favicon" not in str(each)]
    for language in ("en", "zh"):
        known = page.run(f"JSON.stringify(Object.keys(WORDS.{language}.reasons))")
        assert {*REASONS, *GROUNDS} <= {*json.loads(known)}
    for why, said in (
        (f"{UNCERTAIN}: 2×", "没有把握：2×"),
        (f"{INTENT}: greeting", "这类意图的固定回复：问候"),
        (f"{ENTRY}: faq.jsonl:3", "FAQ 条目：faq.jsonl:3"),
        (f"{FORBIDDEN}: a: constructor", "禁答话题：a: constructor"),
        (DOCUMENTS, "文档中的段落"),
    ):
        assert page.run(f"because({json.dumps(why)})") == said
    for score, least, said in (
        (0.9, 0.885, "置信度 90.0% ≥ 阈值 88.5%"),
        (0.88, 0.885, "置信度 88.0% < 阈值 88.5%"),
        (0.5, None, "置信度 50.0%，没有阈值"),
    ):
        shown = f"evidence({{ score: {score}, threshold: {json.dumps(least)} }}).textContent"
        assert said in page.run(shown)
    for rejected, said in (("三天", "更正"), ("", "有帮助")):
        given = {"number": 1, "at": 0, "giver": "operator", "good": True, "question": "何时发货？"}
        given |= {"answer": "两天", "chosen": "两天", "rejected": rejected}
        given |= {"first": 1, "approved": []}
        badge = f"opinion([{json.dumps(given)}]).querySelector('.badge').textContent"
        assert page.run(badge) == said
    assert page.run("[seconds(0.02), seconds(0.1)].join()") == "不到 0.1 秒,0.1 秒"
    click(page, "[data-tab=figures]")
    page.until("document.querySelector('.tiles') !== null")
    assert "未转人工（已结束且有提问的" in page.run("document.querySelector('.tiles').textContent")
    customer.ask("POST", "/close")


def test_the_widget_opens_the_chat_where_it_is_allowed(desk: Desk, page: Page, shop: int) -> None:
    host = "document.querySelectorAll('[data-xinye-support]').length"
    go(page, f"http://127.0.0.1:{shop}/", f"{host} > 0")
    assert page.run(host) == 1
    assert not any("embed=1" in str(each) for each in page.events)  # it is loaded when it is opened
    press(page, "Tab", 9)
    assert page.run("document.activeElement.dataset.xinyeSupport") == desk.address
    press(page, "Enter", 13, text="\r")
    page.until(f"window.told === '{desk.address}'")
    assert page.run("Object.keys(window).filter(each => /xinye/i.test(each))") == []
    assert any("embed=1&lang=zh" in str(each) for each in page.events)


def test_the_widget_shows_nothing_where_it_is_not_allowed(
    desk: Desk, page: Page, shop: int
) -> None:
    go(page, f"http://localhost:{shop}/", "document.readyState === 'complete'")
    end = time.monotonic() + 5
    while not any(f"--allow-origin http://localhost:{shop}" in str(each) for each in page.events):
        assert time.monotonic() < end, "the console does not say what to do"
        page.run("0")
    assert page.run("document.querySelectorAll('[data-xinye-support], iframe').length") == 0
    policy = desk.http.get("/").headers["content-security-policy"]
    assert f"frame-ancestors 'self' http://127.0.0.1:{shop};" in policy


def test_both_languages_say_the_same(desk: Desk, page: Page) -> None:
    keys = "JSON.stringify(Object.keys(WORDS.{}).sort())"
    for path in ("/", "/desk"):
        go(page, f"{desk.address}{path}?lang=en", "document.documentElement.lang === 'en'")
        assert page.run(keys.format("en")) == page.run(keys.format("zh"))
        chinese = r"document.body.innerText.replace('中文', '').match(/[\u4e00-\u9fff]/g)"
        if path == "/":
            page.until("document.title === '新叶 support'")
            assert "Send" in page.run("document.body.innerText")
        else:
            assert page.run(chinese) is None
        click(page, "#language")
        page.until("document.documentElement.lang === 'zh-CN'")
        words = page.run("document.body.innerText")
        assert ("转人工" if path == "/" else "登录客服工作台") in words and "Send" not in words
        page.run("sessionStorage.clear()")


def test_the_page_says_how_a_conversation_stands(desk: Desk, page: Page) -> None:
    banner = "document.querySelector('#banner span').textContent"
    go(page, desk.address)
    click(page, "#person")
    page.until(f"{banner}.includes('正在排队')")
    customer = begun(page, desk)
    desk.does(customer.id, "claim", operator="小王")
    page.until(f"{banner} === '人工客服 小王 已接入，正在为您服务。'")
    desk.does(customer.id, "close", operator="小王")
    page.until(f"{banner} === '会话已结束，感谢您的咨询。'")
    write(page, "#prompt", "还有一问")
    click(page, "#again")
    assert page.run("document.querySelector('#prompt').value") == "还有一问"
    click(page, "#send")
    page.until(f"{TEXTS}.length === 3")
    assert begun(page, desk).id != customer.id
