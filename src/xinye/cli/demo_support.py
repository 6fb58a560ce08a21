"""`xinye demo --application support`: from the log of an invented shop to an open desk, each step
with its command."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from xinye.apps.support.desk_settings import SETTINGS, read_settings, write_settings
from xinye.apps.support.prepare import prepare
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.cli.demo_steps import show_step
from xinye.cli.output import Display, console, print_json, show_log, verbatim
from xinye.cli.support import show
from xinye.demo.support import Shop
from xinye.demo.words import SUPPORT
from xinye.errors import XinyeError, checked, quoted
from xinye.runs.folder import Figures
from xinye.runs.words import in_language

STEPS = 3


@dataclass(frozen=True)
class Place:
    """The folder of the demo, and what is in it."""

    folder: Path

    @property
    def log(self) -> Path:
        """The conversations of the shop."""
        return self.folder / "logs.csv"

    @property
    def handbook(self) -> Path:
        """Its documents."""
        return self.folder / "handbook"

    @property
    def desk(self) -> Path:
        """The desk that is made of both."""
        return self.folder / "desk"

    @property
    def store(self) -> Path:
        """The conversations of the desk."""
        return self.folder / "support.db"

    @property
    def has_desk(self) -> bool:
        """True if the demo has been here before."""
        return (self.desk / SETTINGS).is_file()


def main(language: str, output: Path | None, as_json: bool) -> int:
    shop, words = Shop(language), in_language(SUPPORT, language)
    place = Place(output or Path("runs") / f"demo-support-{language}")
    figures: Figures = {}
    if place.has_desk:
        said = words["again"].format(folder=quoted(place.folder))
        console.print(said, style="bold", soft_wrap=True)
    else:
        invent(shop, place, words)
        figures = make(shop, place, words)
    return serve(shop, place, words, figures if as_json else None)


def invent(shop: Shop, place: Place, words: dict[str, str]) -> None:
    """Write log and handbook, and print what they are. Raises `XinyeError` if the folder holds
    something else."""
    begun = place.log.is_file() and place.handbook.is_dir()
    if place.folder.exists() and not begun and any(place.folder.iterdir()):
        raise XinyeError(f"{place.folder}: exists; choose another folder with -o")
    place.handbook.mkdir(parents=True, exist_ok=True)
    conversations = shop.write_log(place.log)
    documents = shop.write_handbook(place.handbook)
    counts = {"conversations": conversations, "documents": documents, "company": shop.company}
    show_step(1, STEPS, words["log"].format(**counts), " ".join(["head", quoted(place.log)]))


def make(shop: Shop, place: Place, words: dict[str, str]) -> Figures:
    """Make the desk, and print the report. Returns it for JSON."""
    values = {
        "logs": (str(place.log),),
        "knowledge": (str(place.handbook),),
        "output": place.desk,
        "time": "0s",
    }
    show_step(
        2,
        STEPS,
        words["desk"],
        f"xinye support prepare {quoted(place.log)} --knowledge {quoted(place.handbook)} "
        f"-o {quoted(place.desk)} --time 0s",
    )
    with Display(show_plan=False) as display:
        report = prepare(checked(PrepareSettings, values, "demo"), display)
    named = {"company": shop.company, "bot": shop.bot, "forbidden": shop.forbidden}
    settings = place.desk / SETTINGS
    write_settings(settings, read_settings(settings).model_copy(update=named))
    show(report)
    console.print(words["tested"], soft_wrap=True)
    return asdict(report)


def serve(shop: Shop, place: Place, words: dict[str, str], figures: Figures | None) -> int:
    """Open the desk until Ctrl-C. Prints its addresses and keys and what to try, and `figures` as
    JSON unless they are None."""
    from xinye.server.support.serve import serve as open_desk
    from xinye.server.support.settings import SupportSettings

    show_step(
        3,
        STEPS,
        words["open"],
        f"xinye support serve {quoted(place.desk)} --store {quoted(place.store)}",
    )
    settings = SupportSettings(port=0)
    keys = settings.keys()

    def ready(_: object, address: str) -> None:
        lines = {"customers": f"{address}/", "operators": f"{address}/desk"}
        lines |= settings.made_keys(keys)
        for name, value in lines.items():
            console.print(verbatim(f"  {words[name]}  {value}"), soft_wrap=True)
        console.print(f"\n{words['try']}", style="bold", soft_wrap=True)
        for question in shop.questions:
            console.print(verbatim(f"  {question}"), soft_wrap=True)
        console.print(f"\n{words['stop']}", soft_wrap=True)
        if figures is not None:
            print_json({"url": address} | settings.made_keys(keys) | figures)

    show_log(logging.WARNING)
    open_desk(place.desk, place.store, settings, keys, ready)
    return 0
