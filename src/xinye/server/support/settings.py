"""The settings of the server of a desk: where it listens, who may use it, and its limits."""

import re
import secrets
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import XinyeError
from xinye.server.settings import (
    ALLOW_ORIGIN,
    MAX_BODY,
    MAX_REQUESTS,
    PORT,
    check_key,
    check_origins,
    is_local,
)


class SupportSettings(BaseModel):
    """The settings of `xinye support serve`, one for each flag."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which --help lists the settings
        "access": "host port operator_key admin_key allow_origin proxy",
        "limits": "begun_per_minute messages_per_minute max_streams max_requests max_body grace",
    }

    host: str = Field(
        "127.0.0.1",
        description=("address to listen on; any address except this machine's own needs both keys"),
    )
    port: int = PORT
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
    allow_origin: tuple[str, ...] = ALLOW_ORIGIN
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
    max_streams: int = Field(
        2000,
        ge=1,
        description="keep at most this many streams open; refuse more with status 503",
    )
    max_requests: int = MAX_REQUESTS
    max_body: int = MAX_BODY
    grace: int = Field(
        10,
        ge=0,
        description="seconds that answers in progress have to finish after SIGTERM or Ctrl-C",
    )

    @property
    def api_key(self) -> str | None:
        """No key is asked of everybody: each route asks for that of its role."""
        return None

    def check(self) -> None:
        """Raises `XinyeError` for a wrong key or origin, and if other machines can reach the server
        and a key is missing."""
        check_key(self.operator_key, "the operator key")
        check_key(self.admin_key, "the admin key")
        if self.operator_key is not None and self.operator_key == self.admin_key:
            raise XinyeError("the operator key and the admin key are equal; choose two")
        if not is_local(self.host) and None in (self.operator_key, self.admin_key):
            raise XinyeError(
                f"other machines can reach {self.host}; give --operator-key and --admin-key, or "
                "set XINYE_OPERATOR_KEY and XINYE_ADMIN_KEY"
            )
        check_origins(self.allow_origin)
        for origin in self.allow_origin:
            if not re.fullmatch(r"https?://[\w.:\[\]-]+", origin, re.ASCII):
                raise XinyeError(
                    f"--allow-origin {origin}: this is no origin; write it like "
                    "https://shop.example, without a path"
                )

    def keys(self) -> tuple[str, str]:
        """The operator key and the admin key; new random ones where none is given."""
        return tuple(  # type: ignore[return-value]
            given or secrets.token_urlsafe(24) for given in (self.operator_key, self.admin_key)
        )

    @property
    def is_trial(self) -> bool:
        """Whether a key was left out, as on the machine of somebody who tries it."""
        return None in (self.operator_key, self.admin_key)
