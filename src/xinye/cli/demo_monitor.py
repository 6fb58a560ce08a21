"""`xinye demo --application monitor`: from labelled texts to an open board, each step with its
command."""

import logging
import shlex
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_settings import SETTINGS, read_settings, write_settings
from xinye.apps.monitor.prepare import prepare
from xinye.apps.monitor.prepare_settings import PrepareSettings
from xinye.apps.monitor.replay import Replay, replay
from xinye.apps.monitor.runner import Runner, open_monitor
from xinye.cli.demo_steps import show_step
from xinye.cli.monitor import show, show_replay
from xinye.cli.output import Display, console, print_json, show_log, verbatim
from xinye.demo.monitor import Market, Month
from xinye.demo.words import MONITOR
from xinye.errors import XinyeError, checked, quoted
from xinye.runs.folder import Figures
from xinye.runs.words import in_language

if TYPE_CHECKING:  # fastapi is imported where it is used
    from xinye.server.monitor.state import Board

STEPS = 4
TIME = "90s"  # to train
HOUR = 3600


@dataclass(frozen=True)
class Place:
    """The folder of the demo, and what is in it."""

    folder: Path

    @property
    def labelled(self) -> Path:
        """The labelled texts."""
        return self.folder / "labelled.jsonl"

    @property
    def month(self) -> Path:
        """The news and posts of the month."""
        return self.folder / "month.jsonl"

    @property
    def monitor(self) -> Path:
        """The monitor that learned from the labelled texts."""
        return self.folder / "monitor"

    @property
    def store(self) -> Path:
        """What became of the month."""
        return self.folder / "monitor.db"

    @property
    def is_whole(self) -> bool:
        """True if the demo has been here before, to its end."""
        return (self.monitor / SETTINGS).is_file() and self.store.is_file()

    def forget_store(self) -> None:
        """Delete a store that holds only a part of the month."""
        for file in self.folder.glob(f"{self.store.name}*"):
            file.unlink()


def main(language: str, output: Path | None, wanted: str | None, as_json: bool) -> int:
    market, words = Market(language), in_language(MONITOR, language)
    place = Place(output or Path("runs") / f"demo-monitor-{language}")
    figures: Figures = {}
    if place.is_whole:
        said = words["again"].format(folder=quoted(place.folder))
        console.print(said, style="bold", soft_wrap=True)
    else:
        month = invent(market, place, words)
        figures = make(market, place, words, wanted or TIME)
        figures |= look_back(market, month, place, words)
    return serve(place, words, figures if as_json else None)


def invent(market: Market, place: Place, words: dict[str, str]) -> Month:
    """Write the texts, and print what they are. Raises `XinyeError` if the folder holds something
    else."""
    begun = place.labelled.is_file() and place.month.is_file()
    if place.folder.exists() and not begun and any(place.folder.iterdir()):
        raise XinyeError(f"{place.folder}: exists; choose another folder with -o")
    place.folder.mkdir(parents=True, exist_ok=True)
    texts = market.write_labelled(place.labelled)
    month = market.write_stream(place.month, int(time.time()) // HOUR * HOUR)
    counts = {"texts": texts, **asdict(month)}
    look = shlex.join(["head", "-n", "3", str(place.labelled), str(place.month)])
    show_step(1, STEPS, words["texts"].format(**counts), look)
    return month


def make(market: Market, place: Place, words: dict[str, str], wanted: str) -> Figures:
    """Make the monitor, and print the report. Returns it for JSON."""
    values = {"labelled": (str(place.labelled),), "output": place.monitor, "time": wanted}
    show_step(
        2,
        STEPS,
        words["monitor"].format(time=wanted),
        f"xinye monitor prepare {quoted(place.labelled)} -o {quoted(place.monitor)} "
        f"--time {wanted}",
    )
    with Display(show_plan=False) as display:
        settings = checked(PrepareSettings, values, "demo")
        report = prepare(settings, display, overwrite=place.monitor.exists())
    edited = place.monitor / SETTINGS
    watched = {"companies": market.companies}
    write_settings(edited, read_settings(edited).model_copy(update=watched))
    show(report)
    console.print(words["tested"], soft_wrap=True)
    return asdict(report)


def look_back(market: Market, month: Month, place: Place, words: dict[str, str]) -> Figures:
    """Replay the month, and print its alarms. Returns them for JSON."""
    show_step(
        3,
        STEPS,
        words["replay"],
        f"xinye monitor replay {quoted(place.monitor)} {quoted(place.month)} --store "
        f"{quoted(place.store)}",
    )
    monitor = MonitorFolder.read(place.monitor)
    try:
        with Display(show_plan=False) as display:
            found = replay(monitor, [str(place.month)], place.store, observer=display)
    except BaseException:
        place.forget_store()
        raise
    show_replay(found, market.zone)
    show_burst(market, month, found, words)
    return {"alerts": [asdict(each) for each in found.alerts]}


def show_burst(market: Market, month: Month, found: Replay, words: dict[str, str]) -> None:
    """Print when the burst began, and how soon it was found."""
    topic, company = market.burst
    begin = month.burst_begins
    opened = [
        each.opened for each in found.alerts if each.subject in market.burst and each.opened > begin
    ]
    gaps = {"topic": topic, "company": company}
    if not opened:
        console.print(words["missed"].format(**gaps), style="yellow", soft_wrap=True)
        return
    gaps["begin"] = f"{datetime.fromtimestamp(begin, market.zone):%Y-%m-%d %H:%M}"
    said = words["found"].format(**gaps, minutes=(min(opened) - begin) / 60)
    console.print(said, style="bold green", soft_wrap=True)


def serve(place: Place, words: dict[str, str], figures: Figures | None) -> int:
    """Open the board until Ctrl-C. Prints its address and keys and what to try, and `figures` as
    JSON unless they are None."""
    from xinye.server.monitor.serve import serve as open_board
    from xinye.server.monitor.settings import BoardSettings

    show_step(
        4,
        STEPS,
        words["open"],
        f"xinye monitor serve {quoted(place.monitor)} --store {quoted(place.store)}",
    )
    settings = BoardSettings(port=0)
    keys = settings.keys()
    folder = MonitorFolder.read(place.monitor)

    def ready(_: "Board", address: str) -> None:
        lines = {"board": f"{address}/", **settings.made_keys(keys)}
        for name, value in lines.items():
            console.print(verbatim(f"  {words[name]}  {value}"), soft_wrap=True)
        console.print(f"\n{words['try']}", style="bold", soft_wrap=True)
        sent = words["send"].format(url=f"{address}/v1/monitor/documents", key=keys["ingest"])
        console.print(verbatim(f"  {sent}"), soft_wrap=True)
        console.print(f"\n{words['stop']}", soft_wrap=True)
        if figures is not None:
            print_json({"url": address} | settings.made_keys(keys) | figures)

    show_log(logging.WARNING)
    open_board(
        lambda: Runner(folder, open_monitor(folder, place.store), ()),
        folder.settings,
        settings,
        keys,
        ready,
    )
    return 0
