"""What a server may be told: where it listens, who may ask, and the limits of what can be asked
for."""

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import XinyeError

MOST_TEXTS = 4096  # of a request, whatever the settings say


class ServeSettings(BaseModel):
    """One flag of `xinye serve` each."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    groups: ClassVar[Mapping[str, str]] = {  # under which titles help shows the settings
        "access": "host port api_key allow_origin",
        "limits": "max_running max_waiting max_requests max_tokens max_choices max_inputs max_body "
        "cache_tokens grace",
    }

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; any other than this machine's own needs an API key",
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    api_key: str | None = Field(
        None,
        description=(
            "require this key from clients; if others can see your "
            "processes, set XINYE_API_KEY instead"
        ),
    )
    allow_origin: tuple[str, ...] = Field(
        (),
        description=(
            "allow requests from web pages of this origin, such as "
            "https://example.org (can be given several times)"
        ),
    )
    dtype: str = Field("auto", description="number format of the weights: float32 or bfloat16")
    max_running: int = Field(32, ge=1, description="most texts that each model writes at once")
    max_waiting: int = Field(
        128, ge=0, description="most texts that wait; further ones are refused (429)"
    )
    max_requests: int = Field(
        512, ge=1, description="most requests that are answered at once (503)"
    )
    max_tokens: int = Field(4096, ge=1, description="most new tokens for each text of a request")
    max_choices: int = Field(
        32,
        ge=1,
        le=MOST_TEXTS,
        description="most texts that a request can have written: prompts times n",
    )
    max_inputs: int = Field(
        2048,
        ge=1,
        le=MOST_TEXTS,
        description="most texts that a request can have embedded or judged",
    )
    max_body: int = Field(2, ge=1, description="largest size of a request in MB (413)")
    cache_tokens: int | None = Field(None, ge=1, description="tokens in the KV cache of each model")
    grace: int = Field(
        30,
        ge=0,
        description="after SIGTERM or Ctrl-C, allow running requests this many seconds to finish",
    )
    log_texts: bool = Field(
        False, description="log the texts of requests and answers; without it no text is logged"
    )

    def check(self) -> None:
        """Raises `XinyeError` where it would be open to all."""
        if self.api_key is not None and not (
            self.api_key.isascii() and self.api_key.isprintable() and self.api_key
        ):
            raise XinyeError("the API key can hold printable ASCII characters only")
        try:  # whether only this machine can reach it
            local = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            local = False
        if not local and self.api_key is None:
            raise XinyeError(
                f"other machines can reach {self.host}: give --api-key KEY, or set XINYE_API_KEY"
            )
        if "*" in self.allow_origin:
            raise XinyeError(
                "--allow-origin *: give each allowed origin, such as https://example.org"
            )
