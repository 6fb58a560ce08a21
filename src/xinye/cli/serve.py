"""`xinye serve`"""

import logging
import os
from typing import TYPE_CHECKING

from xinye.cli.arguments import Parser
from xinye.errors import checked
from xinye.libraries import need
from xinye.server.settings import ServeSettings

if TYPE_CHECKING:
    from xinye.server.models import ServedModel


def main(arguments: list[str]) -> int:
    parser = Parser(
        "serve",
        "Serve models by OpenAI's HTTP API, with a page to write and chat at its address. It "
        "answers to this machine only, unless --host says otherwise.",
        "xinye serve runs/novel runs/reviews --port 8000",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a run, a Hugging Face folder, a GGUF file; or NAME=MODEL to name it",
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object once it is ready"
    )
    parser.add_fields(ServeSettings, {})
    values = parser.values(arguments)
    names, as_json = values.pop("models"), values.pop("json")
    settings = checked(
        ServeSettings, {"api_key": os.environ.get("XINYE_API_KEY") or None} | values, "serve"
    )
    settings.check()
    need("the server", "fastapi", "uvicorn", "prometheus_client")

    from xinye.cli.output import LogFormatter, console, print_json
    from xinye.server.serve import serve

    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("xinye").setLevel(logging.INFO)

    def ready(models: dict[str, "ServedModel"], address: str) -> None:
        for identity, served in models.items():
            parameters = served.model.network.config.parameters
            tasks = ", ".join(served.tasks)
            console.print(
                f"{identity}: {parameters:,} parameters, context {served.context:,}; can {tasks}",
                soft_wrap=True,
            )
        console.print(
            f"ready at {address} (OpenAI's API: {address}/v1); Ctrl-C ends it", soft_wrap=True
        )
        if as_json:
            print_json({"url": address, "models": [*models]})

    with console.status("loading …"):
        serve(names, settings, ready)
    return 0
