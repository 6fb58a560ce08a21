"""`xinye serve`"""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xinye.cli.arguments import Fields, Parser, flag, switch
from xinye.cli.output import console, print_json, show_log
from xinye.errors import checked, plural
from xinye.libraries import need
from xinye.server.settings import ServeSettings

if TYPE_CHECKING:  # torch and fastapi are imported where they are used
    from xinye.server.graph import ServedGraph
    from xinye.server.knowledge import ServedBase
    from xinye.server.models import ServedModel


def main(arguments: list[str]) -> int:
    given = Parser(
        "serve",
        "Serve models over an OpenAI-compatible HTTP API, with a web page to write and "
        "chat. Only this machine can reach it, unless --host gives another address.",
        "xinye serve runs/novel runs/reviews --port 8000",
        flag(
            "models",
            "MODEL",
            "a run, a Hugging Face folder, a GGUF file; or NAME=MODEL to name it",
            nargs="+",
        ),
        switch("--json", "print one JSON object when the server is ready"),
        Fields(ServeSettings),
    ).read(arguments)
    key = {"api_key": os.environ.get("XINYE_API_KEY") or None}
    settings = checked(ServeSettings, key | given.settings, "serve")
    settings.check()
    need("the server", "fastapi", "uvicorn", "prometheus_client")

    from xinye.server.serve import serve

    show_log(logging.INFO)

    def ready(
        models: "dict[str, ServedModel]",
        bases: "dict[str, ServedBase]",
        graph: "ServedGraph | None",
        address: str,
    ) -> None:
        for identity, served in models.items():
            parameters = served.model.network.config.parameters
            tasks = ", ".join(served.tasks)
            console.print(
                (
                    f"{identity}: {parameters:,} parameters, context {served.context:,}"
                    f"; tasks: {tasks}"
                ),
                soft_wrap=True,
            )
        show_sources(bases, graph)
        console.print(
            f"ready at {address} (OpenAI-compatible API: {address}/v1); press Ctrl-C to stop",
            soft_wrap=True,
        )
        if given.json:
            print_json({"url": address, "models": [*models], "knowledge": [*bases]})

    with console.status("loading …") as status:
        serve(given.models, settings, ready, status.stop)
    return 0


def show_sources(bases: "Mapping[str, ServedBase]", graph: "ServedGraph | None") -> None:
    """Print what the served models answer from."""
    for name, base in bases.items():
        amount = base.use(base.describe)
        console.print(
            f"{name}: knowledge base; {plural(amount.documents, 'document')}, "
            f"{plural(amount.passages, 'passage')}",
            soft_wrap=True,
        )
    if graph:
        triples = plural(graph.graph.count, "triple")
        names = ", ".join(graph.models)
        console.print(
            f"{graph.path}: knowledge graph; {triples}; answered by {names}",
            soft_wrap=True,
        )
        for note in graph.notes:
            console.print(f"note: {note}", soft_wrap=True)
