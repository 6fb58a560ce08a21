"""Runs the server of a desk from loading it to shutting down."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from xinye.apps.support.conversations import Conversations
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.limits import Limits
from xinye.data.locks import locked
from xinye.errors import XinyeError
from xinye.server.http import StreamingServer, end_lost, listen, run
from xinye.server.hub import Hub
from xinye.server.keys import Keys
from xinye.server.support.answers import Answering, Answers, Load
from xinye.server.support.app import build_app
from xinye.server.support.bots import Bots
from xinye.server.support.documents import Documents
from xinye.server.support.roles import Rate
from xinye.server.support.settings import SupportSettings
from xinye.server.support.state import Support
from xinye.server.threads import Threads

OnReady = Callable[[Support, str], None]


def load(folder: Path, before: Answering | None) -> Answering:
    """What answers from a desk. Its models are not loaded again if they are the same."""
    from xinye.apps.support.replies import Answerer

    if isinstance(before, Answerer):
        desk = DeskFolder.read(folder)
        same = desk.models == before.desk.models and desk.settings == before.desk.settings
        if same and desk.folder == before.desk.folder:
            return Answerer(desk, before.models).warm()
    return Answerer.read(folder)


@contextmanager
def alone(store: Path) -> Iterator[None]:
    """Inside, no other server uses this store. Raises `XinyeError` if one does now."""
    problem = f"{store}: another server is using this store; stop it, or name another with --store"
    path = store.resolve()
    with locked(path.with_name(f"{path.name}.lock"), XinyeError(problem)):
        yield


@contextmanager
def opened(
    desk: Path, store: Path, settings: SupportSettings, keys: Mapping[str, str], load: Load = load
) -> Iterator[Support]:
    """Everything that serves a desk, running. Raises `XinyeError` if the desk or the store cannot
    be opened."""
    with alone(store):
        documents = Documents(desk)
        answers = Answers(desk, load, documents.repair)
        wanted = answers.current.desk.settings
        limits = Limits(claim_minutes=wanted.claim_minutes, retention_days=wanted.retention_days)
        begun = Rate(
            settings.begun_per_minute, "too many conversations were begun from this address"
        )
        said = Rate(settings.messages_per_minute, "too many messages in this conversation")
        with closing(Conversations(store, limits, answers.tags)) as conversations:
            hub = Hub(settings.max_streams)
            bots = Bots(conversations, answers, hub)
            threads = Threads(
                desk.absolute(), desk, conversations.store.path, knowledge=1, suggest=2
            )
            try:
                bots.start()
                yield Support(
                    settings, Keys(**keys), conversations, answers, documents, hub, bots, threads,
                    begun, said,
                )  # fmt: skip
            finally:
                hub.close()
                threads.stop()
                bots.stop(settings.grace)


def serve(
    desk: Path,
    store: Path,
    settings: SupportSettings,
    keys: Mapping[str, str],
    on_ready: OnReady = lambda *_: None,
    load: Load = load,
) -> None:
    """Serve a desk until SIGTERM or Ctrl-C. `keys` are those of the roles; `on_ready` is
    called with the parts of the server and its URL.

    Raises `XinyeError` if the desk or the store cannot be opened, or the port is in use."""
    settings.check()
    with listen(settings) as listener, opened(desk, store, settings, keys, load) as parts:
        end_lost(listener)
        server = StreamingServer(build_app(parts), settings, parts.hub)
        run(server, listener, lambda address: on_ready(parts, address))
