"""The settings of a server: where it listens, who may use it, and its limits."""

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import XinyeError

MOST_TEXTS = 4096  # texts in one request, whatever the settings say


class ServeSettings(BaseModel):
    """The settings of `xinye serve`, one for each flag."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which --help lists the settings
        "access": "host port api_key allow_origin",
        "limits": "max_running max_waiting max_requests max_tokens max_choices max_inputs max_body "
        "cache_tokens grace",
    }

    host: str = Field(
        "127.0.0.1",
        description=(
            "address to listen on; any address except this machine's own needs an API key"
        ),
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes any free port")
    api_key: str | None = Field(
        None,
        description="require this key; if others can see your processes, set XINYE_API_KEY instead",
    )
    allow_origin: tuple[str, ...] = Field(
        (),
        description=(
            "allow web pages of this origin, such as https://example.org (may be given several "
            "times)"
        ),
    )
    knowledge: tuple[str, ...] = Field(
        (),
        description=(
            "also serve the knowledge base in this folder, to search it and to answer from it; or "
            "NAME=KB to name it (may be given several times)"
        ),
    )
    graph: str | None = Field(
        None,
        description=(
            "also answer questions from the triples in this file or folder, by the models that "
            "classify its relations"
        ),
    )
    dtype: str = Field("auto", description="keep the weights in float32 or bfloat16")
    max_running: int = Field(
        32, ge=1, description="generate at most this many texts at once with each model"
    )
    max_waiting: int = Field(
        128, ge=0, description="let at most this many texts wait; refuse more with status 429"
    )
    max_requests: int = Field(
        512,
        ge=1,
        description=("handle at most this many requests at once; refuse more with status 503"),
    )
    max_tokens: int = Field(
        4096, ge=1, description=("generate at most this many new tokens for each text")
    )
    max_choices: int = Field(
        32,
        ge=1,
        le=MOST_TEXTS,
        description="generate at most this many texts for each request: prompts times n",
    )
    max_inputs: int = Field(
        2048,
        ge=1,
        le=MOST_TEXTS,
        description="embed or classify at most this many texts for each request",
    )
    max_body: int = Field(
        2, ge=1, description=("refuse a request of more than this many MB, with status 413")
    )
    cache_tokens: int | None = Field(
        None, ge=1, description="size of the KV cache of each model, in tokens"
    )
    grace: int = Field(
        30,
        ge=0,
        description=("seconds that texts in progress have to finish after SIGTERM or Ctrl-C"),
    )
    log_texts: bool = Field(
        False, description="log the text of requests and answers; by default no text is logged"
    )

    def check(self) -> None:
        """Raises `XinyeError` for an invalid API key or origin, and if other machines could use the
        server without a key.
        """
        if self.api_key is not None and not (
            self.api_key.isascii() and self.api_key.isprintable() and self.api_key
        ):
            raise XinyeError("the API key must consist of printable ASCII characters")
        try:  # True if only this machine can reach the server
            local = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            local = False
        if not local and self.api_key is None:
            raise XinyeError(
                f"other machines can reach {self.host}; give --api-key KEY, or set XINYE_API_KEY"
            )
        if "*" in self.allow_origin:
            raise XinyeError(
                "--allow-origin *: name each allowed origin, such as https://example.org"
            )
