"""A headless Chromium, driven by its own protocol (DevTools)."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import ClientConnection, connect

CHINESE = ("--lang=zh-CN", "--accept-lang=zh-CN")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
) or next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None
)


class Page:
    def __init__(self, socket: ClientConnection, browser: str) -> None:
        self.socket, self.browser, self.number = socket, browser, 0
        self.events: list[dict[str, Any]] = []  # what the page has complained of, or asked for

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.number:
                return message["result"]
            self.events.append(message)

    def run(self, script: str) -> Any:
        """The value of an expression; a promise's is awaited."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> None:
        for _ in range(600):
            if self.run(script):
                return
            time.sleep(0.02)
        raise AssertionError(f"never true: {script}")

    def go(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until(
            "document.readyState === 'complete' && document.querySelector('#model') !== null"
        )


@contextmanager
def browsing(folder: Path, *flags: str) -> Iterator[Page]:
    """A fresh browser with one empty page."""
    command = [
        *(
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
        ),
        *(
            "--disable-background-networking",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            *flags,
        ),
        "about:blank",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            told = folder / "DevToolsActivePort"
            while not (told.exists() and told.read_text().count("\n")):
                assert process.poll() is None, "Chromium did not start"
                time.sleep(0.05)
            browser = f"http://127.0.0.1:{told.read_text().splitlines()[0]}/json"
            with urlopen(browser) as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
            with _connected(pages[0], browser) as page:
                yield page
        finally:
            process.terminate()


@contextmanager
def another(page: Page) -> Iterator[Page]:
    """One more page in the same browser, with a session of its own."""
    with urlopen(Request(f"{page.browser}/new?about:blank", method="PUT")) as answer:
        target = json.load(answer)
    with _connected(target, page.browser) as other:
        yield other
        other.call("Page.close")


@contextmanager
def _connected(target: dict[str, Any], browser: str) -> Iterator[Page]:
    with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
        page = Page(socket, browser)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        yield page


def go(page: Page, address: str, until: str = "true") -> None:
    page.call("Page.navigate", url=address)
    there = f"location.href.startsWith('{address}') && document.readyState === 'complete'"
    page.until(f"{there} && {until}")


def write(page: Page, place: str, text: str) -> None:
    page.run(
        f"document.querySelector('{place}').value = {json.dumps(text)}; document.querySelector("
        f"'{place}').dispatchEvent(new Event('input', {{ bubbles: true }}))"
    )


def click(page: Page, place: str) -> None:
    page.until(f"document.querySelector('{place}') !== null")
    page.run(f"document.querySelector('{place}').click()")


def press(page: Page, key: str, code: int, **more: str) -> None:
    for kind in ("keyDown", "keyUp"):
        about = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
        page.call("Input.dispatchKeyEvent", **about, **more)
