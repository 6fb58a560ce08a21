"""The settings of the server of a monitor: where it listens, who may use it, and its limits."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from xinye.server.settings import RoleSettings


class BoardSettings(RoleSettings):
    """The settings of `xinye monitor serve`, one for each flag."""

    roles: ClassVar[tuple[str, ...]] = ("analyst", "admin", "ingest")
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which --help lists the settings
        "access": "host port analyst_key admin_key ingest_key allow_origin",
        "limits": "max_streams max_requests max_body grace",
    }

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; any address except this machine's own needs all keys",
    )
    analyst_key: str | None = Field(
        None,
        description=(
            "the key of who reads the board, acknowledges alarms and corrects documents; if others "
            "can see your processes, set XINYE_ANALYST_KEY instead (default: a new one for each "
            "start)"
        ),
    )
    admin_key: str | None = Field(
        None,
        description=(
            "the key of who also decides on corrections, sends messages again and reads the log, "
            "or set XINYE_ADMIN_KEY (default: a new one for each start)"
        ),
    )
    ingest_key: str | None = Field(
        None,
        description=(
            "the key of programs that only send documents, or set XINYE_INGEST_KEY (default: a new "
            "one for each start)"
        ),
    )
    max_body: int = Field(
        16, ge=1, description="refuse a request of more than this many MB, with status 413"
    )
    grace: int = Field(
        10,
        ge=0,
        description="seconds that work in progress has to finish after SIGTERM or Ctrl-C",
    )
