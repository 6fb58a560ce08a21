"""`xinye monitor serve`"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.cli.arguments import Fields, Parser, flag, switch
from xinye.cli.monitor import SOURCE, STORE
from xinye.cli.output import console, print_json
from xinye.cli.role_server import settings_of
from xinye.errors import plural
from xinye.server.monitor.settings import BoardSettings

if TYPE_CHECKING:  # fastapi is imported where it is used
    from xinye.apps.monitor.runner import Runner
    from xinye.server.monitor.state import Board

log = logging.getLogger("xinye.server")


def serve(arguments: list[str]) -> int:
    given = Parser(
        "monitor serve",
        "Serve a monitor: a board with trends, alarms and documents, and an HTTP API. It also "
        "reads the sources again and again, raises alarms and sends messages about them, as xinye "
        "monitor run does. Only this machine can reach it, unless --host gives another address.",
        "xinye monitor serve monitor --store monitor.db --source feeds.opml --port 8000",
        flag("monitor", "MONITOR", "folder of a monitor", type=Path),
        STORE,
        SOURCE,
        switch("--json", "print one JSON object when the server is ready"),
        Fields(BoardSettings),
    ).read(arguments)
    settings = settings_of(BoardSettings, given, "monitor serve")

    from xinye.apps.monitor.runner import Runner, open_monitor
    from xinye.server.monitor.serve import serve as run

    keys = settings.keys()
    analyst_key, admin_key, ingest_key = keys.values()
    folder = MonitorFolder.read(given.monitor)

    def load() -> "Runner":
        monitor = open_monitor(folder, given.store)
        try:
            return Runner(folder, monitor, given.source, warn=log.warning)
        except BaseException:
            monitor.close()
            raise

    def ready(parts: "Board", address: str) -> None:
        count = parts.monitor.documents.last()
        console.print(f"{given.store}: {plural(count, 'document')} so far", soft_wrap=True)
        if settings.analyst_key is None:
            console.print(f"analyst key, for this start: {analyst_key}", soft_wrap=True)
        if settings.admin_key is None:
            console.print(f"admin key, for this start: {admin_key}", soft_wrap=True)
        if settings.ingest_key is None:
            console.print(f"ingest key, for this start: {ingest_key}", soft_wrap=True)
        console.print(f"the board is ready at {address}; press Ctrl-C to stop", soft_wrap=True)
        if given.json:
            print_json({"url": address} | settings.made_keys(keys))

    with console.status("loading …"):
        run(load, folder.settings, settings, keys, ready)
    return 0
