"""The first page in a real browser: whatever a model writes is text there."""

import json
from types import SimpleNamespace

import pytest

from server.browser import CHROMIUM, browsing
from server.tiny_server import serving

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

INJECTIONS = [
    "<script>window.broken = 1</script>",
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "<svg onload=window.broken=1></svg>",
    "<iframe srcdoc='<script>parent.broken = 1</script>'></iframe>",
    "<a href='javascript:window.broken=1' autofocus onfocus=window.broken=1>叶</a>",
    "<style>body{display:none}</style><link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "![](https://evil.example/x.png) [叶](javascript:window.broken=1)",
    "<math><mtext></p><table><mglyph><style><img src=x onerror=window.broken=1>",
    "&lt;b&gt; \u202e ${window.broken = 1} {{constructor.constructor('window.broken=1')()}}",
    'data: [DONE]\n\ndata: {"error": {"message": "<b>"}}\n\n',
]


class Parrot:
    """An engine that writes what it is told, in small pieces, instead of what a model would."""

    context, cache = 4096, SimpleNamespace(used=0, total=0)

    def __init__(self, text):
        self.text, self.running, self.waiting = text, [], []

    busy = property(lambda self: bool(self.running))

    def add(self, sequence):
        self.running.append(sequence)

    def cancel(self, sequence):
        if sequence in self.running:
            self.running.remove(sequence)

    def step(self):
        written = []
        for sequence in [*self.running]:
            begin = len(sequence.text)
            piece = self.text[begin : begin + 7]
            sequence.pieces.append(piece)
            sequence.tokens.append(0)
            if begin + 7 >= len(self.text):
                sequence.finish_reason = "stop"
                self.running.remove(sequence)
            written.append((sequence, piece))
        return written


def say(page, text):
    page.run(
        f"document.querySelector('#prompt').value = {json.dumps(text)}; "
        "document.querySelector('#send').click()"
    )
    page.until("!document.querySelector('.busy') && document.querySelector('#stop').hidden")


def test_what_a_model_writes_is_text_and_nothing_runs(folders, tmp_path):
    text = "\n".join(INJECTIONS)
    name = "<script>window.broken++</script>"

    def parrot(models):
        models[name].queue.engine = Parrot(text)

    with serving([f"{name}={folders[0]}"], parrot) as server, browsing(tmp_path) as page:
        page.go(server.address)
        page.until("document.querySelector('#model').options.length === 1")
        names = "[...document.querySelectorAll('*')].map(each => each.tagName)"
        tags = f"JSON.stringify([...new Set({names})].sort())"
        say(page, INJECTIONS[0])
        asked, answered = page.run(
            "[...document.querySelectorAll('article')].map(each => each.children[0].textContent)"
        )
        assert (asked, answered) == (INJECTIONS[0], text)
        after = page.run(tags)
        page.run("document.querySelector('#write').click()")
        say(page, INJECTIONS[2])
        assert page.run("document.querySelector('article p').textContent") == INJECTIONS[2] + text
        assert page.run(tags) == after and not {"IMG", "SVG", "svg", "IFRAME", "A", "LINK"} & set(
            after.split('"')
        )
        assert page.run("typeof window.broken") == "undefined"
        asked_for = {
            event["params"]["request"]["url"]
            for event in page.events
            if event["method"] == "Network.requestWillBeSent"
        }
        assert all(url.startswith(server.address) for url in asked_for)
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded")
        found = [event for event in page.events if event["method"] in wrong]
        assert not [event for event in found if "favicon" not in str(event)]


def test_it_speaks_the_browsers_language_and_can_be_stopped(folders, tmp_path):
    with (
        serving(folders) as server,
        browsing(tmp_path, "--lang=zh-CN", "--accept-lang=zh-CN") as page,
    ):
        page.go(server.address)
        # those that judge write nothing
        page.until("document.querySelector('#model').options.length === 1")
        assert page.run("document.querySelector('#send').textContent") == "发送"
        page.run("document.querySelector('#write').click()")
        engine = server.queue.engine
        engine.step, step = lambda: [], engine.step  # it takes forever
        page.run(
            "document.querySelector('#prompt').value = '从前'; "
            "document.querySelector('#send').click()"
        )
        page.until("!document.querySelector('#stop').hidden")
        page.run("document.querySelector('#stop').click()")
        page.until("document.querySelector('article footer span').textContent === '已停止'")
        engine.step = step
        page.run("document.querySelector('#language').click()")
        assert page.run("document.querySelector('#send').textContent") == "Continue"


def test_it_asks_for_the_key(folders, tmp_path):
    with serving(folders[:1], api_key="leaf") as server, browsing(tmp_path) as page:
        page.go(server.address)
        page.until("document.querySelector('#door').open")
        page.run(
            "document.querySelector('#key').value = 'leaf'; document.querySelector('#door "
            "button').click()"
        )
        page.until("document.querySelector('#model').options.length === 1")
