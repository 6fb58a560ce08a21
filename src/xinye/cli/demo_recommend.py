"""`xinye demo --application recommend`: from the events of an invented bookshop to books for its
readers, each step with its command."""

import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path

from xinye.cli.demo_steps import show_step
from xinye.cli.evaluate import show_measured
from xinye.cli.output import Display, console, print_result, verbatim
from xinye.cli.recommend import as_json, show
from xinye.demo.bookshop import READERS, Bookshop, books
from xinye.demo.words import RECOMMEND
from xinye.errors import XinyeError, quoted
from xinye.jobs.recommending import Recommender
from xinye.planning.command_line import command_line
from xinye.ranking.suggestions import Asked
from xinye.runs.folder import Figures
from xinye.runs.saved import is_run, read_run
from xinye.runs.words import in_language
from xinye.tasks.registry import find_task
from xinye.tasks.settings import task_settings
from xinye.training import train as recipes

STEPS = 4
TRAINING = {"size": "250k"}  # settings
SUGGESTED = 5  # books for each reader
LOOKED_THROUGH = 20  # books among which the new one is looked for
SHOWN = 3  # of the books that a reader has


@dataclass(frozen=True)
class Place:
    """The folder of the demo, and what is in it."""

    folder: Path

    @property
    def events(self) -> Path:
        """What readers bought and looked at."""
        return self.folder / "events.csv"

    @property
    def items(self) -> Path:
        """The books."""
        return self.folder / "items.csv"

    @property
    def model(self) -> Path:
        """The run."""
        return self.folder / "model"


def main(language: str, output: Path | None, as_json: bool) -> int:
    begin = time.monotonic()
    shop, words = Bookshop(language), in_language(RECOMMEND, language)
    place = Place(output or Path("runs") / f"demo-recommend-{language}")
    invent(shop, place, words, output is None)
    run = train(shop, place, words, output is None)
    if run.interrupted:
        return 128 + run.interrupted
    figures = show_table(place, words)
    teller = Teller(shop, Recommender.load(place.model), words)
    first, second = shop.readers
    show_step(
        3,
        STEPS,
        words["readers"],
        *(
            f"xinye recommend {quoted(place.model)} --user {reader} -k {SUGGESTED}"
            for reader in (first, second)
        ),
    )
    figures["recommended"] = {reader: teller.recommend(reader) for reader in (first, second)}
    figures["arrival"] = teller.arrive(first)
    seconds = time.monotonic() - begin
    console.print(f"\n{words['lies'].format(seconds=seconds, run=run.run)}\n", soft_wrap=True)
    console.print(words["try"], style="bold")
    console.print("\n".join(f"  {line}" for line in further(shop, place)), soft_wrap=True)
    return print_result({"run": run.run, **figures}, as_json)


def invent(shop: Bookshop, place: Place, words: dict[str, str], ours: bool) -> None:
    """Write books and events, and print what they are. Raises `XinyeError` if the folder holds
    something else; the demo's own files are replaced if `ours` is true."""
    begun = ours and (is_run(place.model) or place.events.is_file())
    if place.folder.exists() and not begun and any(place.folder.iterdir()):
        raise XinyeError(f"{place.folder}: exists; choose another folder with -o")
    place.folder.mkdir(parents=True, exist_ok=True)
    counts = {
        "books": shop.write_items(place.items),
        "new": sum(book.is_new for book in books(shop.language)),
        "events": shop.write_events(place.events),
        "readers": READERS,
        "shop": shop.name,
    }
    look = shlex.join(["head", "-n", "3", str(place.items), str(place.events)])
    show_step(1, STEPS, words["files"].format(**counts), look)


def train(shop: Bookshop, place: Place, words: dict[str, str], overwrite: bool) -> recipes.Run:
    """Train the model."""
    values = {
        **TRAINING,
        "task": "recommend",
        "data": (str(place.events),),
        "items": (str(place.items),),
        "events": (shop.bought,),
        "output": place.model,
    }
    show_step(2, STEPS, words["train"], shlex.join(command_line("finetune", values)))
    counted = find_task("recommend").words.unit
    with Display(show_plan=False, counted=counted) as display:
        return recipes.finetune(task_settings(values, "demo"), display, overwrite)


def show_table(place: Place, words: dict[str, str]) -> Figures:
    """Print the figures of the model and its baselines, and what the GPT adds. Returns them."""
    result = read_run(place.model).result.as_read()
    console.print(f"\n{words['table']}", soft_wrap=True)
    show_measured(find_task("recommend").words.figures, result)
    for finding in result["compared"]:
        console.print(finding, soft_wrap=True)
    console.print(words["tested"], soft_wrap=True)
    names = ("measured", "baseline", "mixes", "other_baselines")
    return {name: result[name] for name in names if name in result}


@dataclass(frozen=True)
class Teller:
    """Prints what is recommended to readers."""

    shop: Bookshop
    recommender: Recommender
    words: dict[str, str]

    def recommend(self, reader: str, count: int = SUGGESTED) -> Figures:
        """Print books for a reader. Returns them for JSON; of the `count` only the first are
        printed."""
        titles = "; ".join(
            self.recommender.item(each).title
            for each in self.recommender.history_of(reader)[-SHOWN:]
        )
        said = self.words["reader"].format(reader=reader, titles=titles)
        console.print(verbatim(said, style="bold"), soft_wrap=True)
        asked = Asked(user=reader, k=count)
        found = self.recommender.recommend(asked)
        first = replace(found, items=found.items[:SUGGESTED])
        show(replace(asked, k=SUGGESTED), first, self.recommender)
        console.print()
        return as_json(asked, found)

    def arrive(self, reader: str) -> Figures:
        """Put a new book into the catalogue, and print at which place a reader gets it. Returns
        that for JSON."""
        new = self.shop.arrival.item
        show_step(4, STEPS, self.words["arrival"].format(title=new.title, id=new.id))
        self.recommender.put_item(new)
        found = self.recommend(reader, LOOKED_THROUGH)
        ids = [each["id"] for each in found["items"]]
        place = ids.index(new.id) + 1 if new.id in ids else None
        if place:
            said = self.words["found"].format(place=place, reader=reader)
            console.print(said, style="bold green", soft_wrap=True)
        else:
            said = self.words["missed"].format(count=LOOKED_THROUGH, reader=reader)
            console.print(said, style="yellow", soft_wrap=True)
        return {"id": new.id, "title": new.title, "reader": reader, "place": place}


def further(shop: Bookshop, place: Place) -> list[str]:
    """Commands to try after the demo."""
    model = quoted(place.model)
    new = shop.arrival
    of_author = [book for book in books(shop.language) if book.author == new.author]
    history = ",".join(book.item.id for book in of_author if book.volume in (1, 2))
    other = {"zh": "en", "en": "zh"}[shop.language]
    return [
        f"xinye recommend {model} --history {history} -k 5",
        f"xinye recommend {model} --user {shop.readers[0]} --filter tag={quoted(new.genre)}",
        f"xinye recommend {model} --serve --port 8000",
        f"xinye demo --application recommend --language {other}",
    ]
