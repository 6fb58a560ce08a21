"""The settings of the server of a desk: where it listens, who may use it, and its limits."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from xinye.server.settings import RoleSettings


class SupportSettings(RoleSettings):
    """The settings of `xinye support serve`, one for each flag."""

    roles: ClassVar[tuple[str, ...]] = ("operator", "admin")
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which --help lists the settings
        "access": "host port operator_key admin_key allow_origin proxy",
        "limits": "begun_per_minute messages_per_minute max_streams max_requests max_body grace",
    }

    host: str = Field(
        "127.0.0.1",
        description=("address to listen on; any address except this machine's own needs both keys"),
    )
    operator_key: str | None = Field(
        None,
        description=(
            "the operator key; if others can see your processes, set XINYE_OPERATOR_KEY "
            "instead (default: a new one for each start)"
        ),
    )
    admin_key: str | None = Field(
        None,
        description=(
            "the key of who changes documents and reads the log, or set XINYE_ADMIN_KEY (default: "
            "a new one for each start)"
        ),
    )
    proxy: bool = Field(
        False,
        description=(
            "customers come through a proxy, which appends their address to X-Forwarded-For"
        ),
    )
    begun_per_minute: int = Field(
        30,
        ge=1,
        description=(
            "let one address begin at most this many conversations a minute; refuse more with "
            "status 429"
        ),
    )
    messages_per_minute: int = Field(
        30,
        ge=1,
        description=(
            "take at most this many messages a minute in one conversation; refuse more with status "
            "429"
        ),
    )
    grace: int = Field(
        10,
        ge=0,
        description="seconds that answers in progress have to finish after SIGTERM or Ctrl-C",
    )
