"""Writes the pictures of docs/images, with Chromium and what the demos invent:
`python tests/pictures.py` those of the shop, which it makes itself, and
`python tests/pictures.py DEMO…` those of the boards of `xinye demo --application monitor -o DEMO`.
"""

import base64
import io
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from server.browser import Page, another, browsing
from server.monitor.board_server import ANALYST
from server.support.desk_server import OPERATOR, Desk, serving
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.cli.demo_support import Place, invent, make
from xinye.demo.support import Shop
from xinye.demo.words import SUPPORT
from xinye.runs.words import in_language
from xinye.server.support.serve import load

FOLDER = Path(__file__).parents[1] / "docs" / "images"
PHONE, WIDE = (360, 720), (1160, 700)
COLOURS = 224  # so that a picture is small
MOST = 80_000  # bytes


@dataclass(frozen=True)
class Scene:
    """What is said in a language, and who says it. The last of the `waiting` is the first to be
    seen."""

    language: str
    asked: tuple[str, ...]
    waiting: tuple[str, ...]
    operator: str
    colleague: str
    dark: bool


SCENES = (
    Scene(
        "zh",
        ("收到不喜欢可以退货吗？", "店里的茶艺课要怎么报名？"),
        ("茶壶盖子有一道裂纹，能换一个吗？", "我的包裹到哪里了？", "发票可以开公司抬头吗？"),
        "小王",
        "李敏",
        dark=False,
    ),
    Scene(
        "en",
        ("How do I return something?", "When is the tea class?"),
        (
            "The lid of my teapot has a crack. Can I exchange it?",
            "Where is my parcel?",
            "Can you combine two orders?",
        ),
        "Ann",
        "James",
        dark=True,
    ),
)


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    sizes = {}
    for demo in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as name:
            sizes |= board(Path(demo), Path(name))
    for scene in SCENES if not sys.argv[1:] else ():
        with tempfile.TemporaryDirectory() as name:
            sizes |= pictures(scene, Path(name))
    for name, size in sizes.items():
        print(f"{size:>7,} bytes  {name}")
    return int(max(sizes.values()) > MOST)


def pictures(scene: Scene, folder: Path) -> dict[str, int]:
    """Take the pictures of a language. Returns the sizes of their files."""
    shop, words = Shop(scene.language), in_language(SUPPORT, scene.language)
    place = Place(folder)
    invent(shop, place, words)
    make(shop, place, words)
    tag = {"zh": "zh-CN", "en": "en-GB"}[scene.language]
    flags = (f"--lang={tag}", f"--accept-lang={tag}", "--hide-scrollbars")
    with (
        serving(place.desk, place.store, load=load) as desk,
        browsing(folder / "browser", *flags) as browser,
        another(browser) as customer,
        another(browser) as operator,
    ):
        chat = take_chat(customer, desk, scene)
        return chat | take_desk(operator, desk, scene)


def take_chat(page: Page, desk: Desk, scene: Scene) -> dict[str, int]:
    """The page of a customer, whom the bot answers."""
    go(page, f"{desk.address}/?lang={scene.language}", PHONE, scene.dark)
    for number, text in enumerate(scene.asked, 1):
        write(page, "#prompt", text)
        click(page, "#send")
        page.until(f"document.querySelectorAll('#messages article').length === {2 * number + 1}")
    page.run(
        "for (const each of document.querySelectorAll('details')) each.open = true; document.activeElement.blur(); down()"
    )
    return save(page, f"support-customer-{scene.language}.png")


def take_desk(page: Page, desk: Desk, scene: Scene) -> dict[str, int]:
    """The desk of an operator, who is about to reply; also on a phone."""
    for text in reversed(scene.waiting):
        customer = desk.begin()
        customer.says(text)
        customer.waits_for(2)
        customer.ask("POST", "/handover")
        if text == scene.waiting[-1]:
            desk.does(customer.id, "claim", operator=scene.colleague)
            claimed = customer
    desk.does(claimed.id, "suggest", operator=scene.colleague)
    go(page, f"{desk.address}/desk?lang={scene.language}", WIDE, scene.dark)
    write(page, "#name", scene.operator)
    write(page, "#key", OPERATOR)
    click(page, "#enter button")
    page.until("document.querySelectorAll('[data-conversation]').length === 3")
    place = f'[data-conversation="{customer.id}"]'
    click(page, place)
    page.until("document.querySelectorAll('#history article').length > 1")
    click(page, "#claim")
    page.until("!document.querySelector('#text').disabled")
    page.until("document.querySelector('#suggestions .use') !== null")
    click(page, ".use")
    page.run("document.querySelector('#suggestions details').open = true")
    page.run("document.activeElement.blur()")
    sizes = save(page, f"support-desk-{scene.language}.png")
    size(page, PHONE, scene.dark)
    return sizes | save(page, f"support-phone-{scene.language}.png")


def board(demo: Path, folder: Path) -> dict[str, int]:
    """The board of a monitor with an alarm."""
    language = MonitorFolder.read(demo / "monitor").settings.languages[0]
    command = (
        sys.executable, "-m", "xinye", "monitor", "serve", demo / "monitor",
        "--store", demo / "monitor.db", "--port", "0", "--analyst-key", ANALYST, "--json", "--quiet",
    )  # fmt: skip
    flags = (f"--lang={language}", f"--accept-lang={language}", "--hide-scrollbars")
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        browsing(folder / "browser", *flags) as browser,
        another(browser) as page,
    ):
        try:
            assert server.stdout
            address = json.loads(server.stdout.readline())["url"]
            go(page, f"{address}/?lang={language}", WIDE, language == "zh")
            write(page, "#myName", {"zh": "小陈", "en": "Ann"}[language])
            write(page, "#key", ANALYST)
            click(page, "#enter button")
            page.until("document.querySelectorAll('.alert li').length > 0")
            page.until("document.querySelectorAll('#chart rect').length > 0")
            return save(page, f"monitor-board-{language}.png")
        finally:
            server.terminate()


# -- the browser -----------------------------------------------------------------------------------


def go(page: Page, address: str, shape: tuple[int, int], dark: bool) -> None:
    size(page, shape, dark)
    page.call("Page.navigate", url=address)
    page.until(f"location.href === '{address}' && document.readyState === 'complete'")


def size(page: Page, shape: tuple[int, int], dark: bool) -> None:
    width, height = shape
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.call("Emulation.setEmulatedMedia", features=[scheme])


def write(page: Page, place: str, text: str) -> None:
    page.run(
        f"document.querySelector('{place}').value = {json.dumps(text)}; document.querySelector("
        f"'{place}').dispatchEvent(new Event('input', {{ bubbles: true }}))"
    )


def click(page: Page, place: str) -> None:
    page.run(f"document.querySelector('{place}').click()")


def save(page: Page, name: str) -> dict[str, int]:
    """Write a picture of the page. Returns the size of the file."""
    page.call("Page.bringToFront")  # others draw nothing
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    data = base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / name, optimize=True)
    return {name: (FOLDER / name).stat().st_size}


if __name__ == "__main__":
    sys.exit(main())
