"""`xinye recommend`: items for a user or after a history, each with the reason."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.apps.recommend.reasons import sentence
from xinye.cli.arguments import JSON, Given, Parser, flag, switch
from xinye.cli.output import answer, console, print_json, print_table, verbatim
from xinye.cli.recommend_serve import command_of
from xinye.data.sources import read_lines
from xinye.errors import XinyeError, plural, refuse_first
from xinye.language import screen_language
from xinye.planning.column_settings import at_commas
from xinye.ranking.suggestions import Asked, Reason, Recommended

if TYPE_CHECKING:  # torch is imported where it is used
    from xinye.jobs.recommending import Recommender

COUNT = 10
_FILTER = re.compile(r"\s*([^=\s]+)\s*=\s*(\S.*?)\s*")


def parser() -> Parser:
    return Parser(
        "recommend",
        "Recommend items to a user of the training, or to anybody after a history of items. Each "
        "comes with a score and the reason. A user who is not known gets what is popular.",
        "xinye recommend runs/shop --user li.lei\n"
        "  xinye recommend runs/movies --history 1,260 --filter tag=Sci-Fi --diversity 0.3\n"
        "  xinye recommend runs/shop --serve --port 8000",
        flag("run", "RUN", "folder of a recommender", type=Path),
        flag("--user", "USER", "recommend to this user"),
        flag("--history", "ITEMS", "recommend after these items, oldest first: a,b,c"),
        flag("-k --count", "N", f"number of items ({COUNT})", COUNT, type=int),
        flag("--exclude", "FILE", "file of items to leave out, one id per line", type=Path),
        flag("--filter", "tag=NAME", "only items with this tag", [], action="append"),
        flag(
            "--diversity",
            "0–1",
            "how different the items should be from each other (0)",
            0.0,
            type=float,
        ),
        switch("--serve", "serve the recommender: an HTTP API and a page; --serve --help has more"),
        flag("--export", "USER", "print what is kept of this user"),
        flag("--forget", "USER", "delete what is kept of this user"),
        JSON,
    )


def main(arguments: list[str]) -> int:
    if command := command_of(arguments):
        return command(arguments)
    given = parser().read(arguments)
    asked = asked_of(given)

    from xinye.jobs.recommending import Recommender

    with console.status("loading …"):
        recommender = Recommender.load(given.run)
    unknown = sorted(asked.exclude - recommender.catalogue.numbers.keys())
    if unknown:
        console.print(
            f"{given.exclude}: {plural(len(unknown), 'item')} unknown, such as {unknown[0]!r}",
            soft_wrap=True,
        )
    found = recommender.recommend(asked)
    if given.json:
        print_json(as_json(asked, found))
    else:
        show(asked, found, recommender)
    return 0


def asked_of(given: Given) -> Asked:
    """What the arguments ask for. Raises `XinyeError` if they do not say for whom."""
    refuse_first(
        (
            (given.user is None) == (given.history is None),
            "say for whom: either --user USER or --history a,b,c",
        ),
        (given.count < 1, "--count: use at least 1"),
        (not 0 <= given.diversity <= 1, f"--diversity {given.diversity:g}: use 0 to 1"),
    )
    history = None if given.history is None else tuple(at_commas(given.history))
    excluded = read_ids(given.exclude) if given.exclude else []
    filters = tuple(filter_of(text) for text in given.filter)
    return Asked(given.user, history, given.count, frozenset(excluded), filters, given.diversity)


def read_ids(path: Path) -> Sequence[str]:
    """The ids in a file, one per line."""
    try:
        lines = [line.strip() for _, line in read_lines(path)]
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror}") from None
    return [line for line in lines if line]


def filter_of(text: str) -> tuple[str, str]:
    """The name and the value of a filter."""
    found = _FILTER.fullmatch(text)
    if not found:
        raise XinyeError(f"--filter {text}: write it as tag=NAME")
    return found[1], found[2]


def as_json(asked: Asked, found: Recommended) -> dict[str, Any]:
    """What `--json` prints."""
    items = [
        {
            "id": each.id,
            "title": each.title,
            "score": round(each.score, 4),
            "reason": {"kind": each.reason.kind}
            | ({"to": each.reason.to} if each.reason.to else {}),
        }
        for each in found.items
    ]
    return {"user": asked.user, "cold": found.cold, "items": items}


def show(asked: Asked, found: Recommended, recommender: "Recommender") -> None:
    """Print the items as a table, and what a person should know about them."""
    if found.cold and asked.user is not None:
        console.print(
            f"the user {asked.user!r} is not known, so these are what is popular", soft_wrap=True
        )
    if not found.items:
        answer.print("no item is left to recommend")
        return
    rows = [
        (
            verbatim(each.id),
            verbatim(each.title),
            f"{each.score:.2f}",
            verbatim(why(each.reason, recommender)),
        )
        for each in found.items
    ]
    print_table(("item", "title", "score", "reason"), rows, left=(0, 1, 3))
    if len(found.items) < asked.k:
        items = plural(len(found.items), "item")
        console.print(f"only {items} left to recommend", soft_wrap=True)


def why(reason: Reason, recommender: "Recommender") -> str:
    """The reason for an item in the language of the screen."""
    title = recommender.item(reason.to).title or reason.to if reason.to else ""
    return sentence(reason, title, chinese=screen_language() == "zh")
