"""What the commands that start a server with roles have in common."""

import logging
import os
from typing import TypeVar

from xinye.cli.arguments import Given
from xinye.cli.output import console, show_log
from xinye.errors import checked
from xinye.libraries import need
from xinye.server.settings import RoleSettings

Settings = TypeVar("Settings", bound=RoleSettings)


def settings_of(kind: type[Settings], given: Given, verb: str) -> Settings:
    """The checked settings of a server, from its flags and from the keys in the environment. Prints
    their warnings; from now on the server's log is shown. Raises `XinyeError` for wrong settings
    and missing packages."""
    settings = checked(kind, kind.keys_of(os.environ) | given.settings, verb)
    settings.check()
    for warning in settings.warnings():
        console.print(warning, soft_wrap=True)
    need("the server", "fastapi", "uvicorn", "prometheus_client")
    show_log(logging.INFO)
    return settings
