"""`xinye recommend RUN --serve`, `--export USER` and `--forget USER`"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.apps.recommend.behaviour import Behaviour, store_of
from xinye.apps.recommend.service import exported, forget_in
from xinye.checkpoints.folders import check_item_folder
from xinye.cli.arguments import JSON, Fields, Given, Parser, flag, switch
from xinye.cli.output import answer, console, print_json
from xinye.cli.role_server import settings_of
from xinye.errors import XinyeError, plural
from xinye.server.recommend.settings import RecommendServeSettings

if TYPE_CHECKING:  # fastapi is imported where it is used
    from xinye.jobs.recommending import Recommender
    from xinye.server.recommend.state import Service

RUN = flag("run", "RUN", "folder of a recommender", type=Path)
STORE = flag(
    "--store",
    "FILE",
    "the store of events and items (default: RUN.recommend.db beside the folder)",
    type=Path,
)
Command = Callable[[list[str]], int]


def command_of(arguments: list[str]) -> Command | None:
    """The command for the service that these arguments of `xinye recommend` ask for, if any."""
    commands = {"--serve": serve, "--export": export, "--forget": forget}
    given = [word.partition("=")[0] for word in arguments]
    return next((commands[word] for word in given if word in commands), None)


def serve(arguments: list[str]) -> int:
    given = Parser(
        "recommend",
        "Serve a recommender: an HTTP API that uses new events in the very next request, and a "
        "page to try it. Only this machine can reach it, unless --host gives another address.",
        "xinye recommend runs/shop --serve --port 8000",
        RUN,
        switch("--serve", "serve the recommender"),
        STORE,
        switch("--json", "print one JSON object when the server is ready"),
        Fields(RecommendServeSettings, ("max_streams",)),
    ).read(arguments)
    settings = settings_of(RecommendServeSettings, given, "recommend")

    import torch

    from xinye.jobs.recommending import Recommender
    from xinye.server.recommend.serve import serve as run

    keys = settings.keys()
    client_key, editor_key = keys.values()
    store = given.store or store_of(given.run)

    def load() -> "Recommender":
        # Several threads for one small network would mostly wait for each other.
        torch.set_num_threads(1)
        recommender = Recommender.load(given.run)
        recommender.read_texts()
        return recommender

    def ready(parts: "Service", address: str) -> None:
        items = plural(len(parts.shop.recommender.catalogue.items), "item")
        console.print(f"{given.run}: {items}; events are saved to {store}", soft_wrap=True)
        if settings.client_key is None:
            console.print(f"client key, for this start: {client_key}", soft_wrap=True)
        if settings.editor_key is None:
            console.print(f"editor key, for this start: {editor_key}", soft_wrap=True)
        console.print(f"ready at {address}; press Ctrl-C to stop", soft_wrap=True)
        if given.json:
            print_json({"url": address} | settings.made_keys(keys))

    with console.status("loading …"):
        run(load, given.run, store, settings, keys, ready)
    return 0


def export(arguments: list[str]) -> int:
    given = Parser(
        "recommend",
        "Print everything that is kept of a user as one JSON object: the history from the "
        "training, and later events.",
        "xinye recommend runs/shop --export li.lei",
        RUN,
        flag("--export", "USER", "print what is kept of this user", required=True),
        STORE,
        JSON,
    ).read(arguments)
    with store_in(given) as behaviour:
        found = exported(behaviour, given.run, given.export)
    if not (found["trained"] or found["events"]):
        raise unknown_user(given.run, given.export)
    print_json(found)
    return 0


def forget(arguments: list[str]) -> int:
    given = Parser(
        "recommend",
        "Delete what is kept of a user: events in the store and in the run. A server that uses "
        "the same store forgets the user at once, too. The network's weights, which were trained "
        "with all users, stay as they are.",
        "xinye recommend runs/shop --forget li.lei",
        RUN,
        flag("--forget", "USER", "delete what is kept of this user", required=True),
        STORE,
        JSON,
    ).read(arguments)
    with store_in(given) as behaviour:
        deleted = forget_in(behaviour, given.run, given.forget)
    if not deleted:
        raise unknown_user(given.run, given.forget)
    if given.json:
        print_json({"user": given.forget, "deleted": deleted})
        return 0
    answer.print(f"deleted {plural(deleted, 'event')} of the user {given.forget!r}")
    if behaviour is None:
        console.print(
            "this run has no store here; a server with another one goes on using the user: give "
            "it with --store",
            soft_wrap=True,
        )
    answer.print(
        "the network was trained with them; to train it without them, delete them in the data, too"
    )
    return 0


@contextmanager
def store_in(given: Given) -> Iterator[Behaviour | None]:
    """The store of a run, or None if there is none yet. Raises `XinyeError` if there is no
    recommender in the folder."""
    check_item_folder(given.run)
    store = given.store or store_of(given.run)
    if not store.exists():
        yield None
        return
    with closing(Behaviour(store, create=False)) as behaviour:
        yield behaviour


def unknown_user(run: Path, user: str) -> XinyeError:
    """The error for a user of whom nothing is kept."""
    return XinyeError(f"{run}: nothing is kept of a user {user!r}; check the id")
