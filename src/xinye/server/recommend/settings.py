"""The settings of the server of recommendations: where it listens, who may use it, its limits."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from xinye.server.settings import RoleSettings


class RecommendServeSettings(RoleSettings):
    """The settings of `xinye recommend RUN --serve`, one for each flag."""

    roles: ClassVar[tuple[str, ...]] = ("client", "editor")
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which --help lists the settings
        "access": "host port client_key editor_key allow_origin",
        "limits": "max_requests max_body grace",
    }

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; any address except this machine's own needs both keys",
    )
    client_key: str | None = Field(
        None,
        description=(
            "the key of programs that ask for recommendations and send events; if others can see "
            "your processes, set XINYE_CLIENT_KEY instead (default: a new one for each start)"
        ),
    )
    editor_key: str | None = Field(
        None,
        description=(
            "the key of who also puts items, and reads and deletes what is known of users, or set "
            "XINYE_EDITOR_KEY (default: a new one for each start)"
        ),
    )
    grace: int = Field(
        10,
        ge=0,
        description="seconds that answers in progress have to finish after SIGTERM or Ctrl-C",
    )
