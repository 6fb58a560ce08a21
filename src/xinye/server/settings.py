"""The settings of a server: where it listens, who may use it, and its limits."""

import ipaddress
import re
import secrets
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import XinyeError

MOST_WORKERS = 256
MOST_TEXTS = 4096  # texts in one request, whatever the settings say

# settings of every server
SHORT_KEY = 16  # characters
PORT = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes any free port")
ALLOW_ORIGIN = Field(
    (),
    description=(
        "allow web pages of this origin, such as https://example.org (may be given several times)"
    ),
)
MAX_REQUESTS = Field(
    512, ge=1, description="handle at most this many requests at once; refuse more with status 503"
)
MAX_STREAMS = Field(
    2000,
    ge=1,
    description="keep at most this many streams open; refuse more with status 503",
)
MAX_BODY = Field(2, ge=1, description="refuse a request of more than this many MB, with status 413")


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
    port: int = PORT
    api_key: str | None = Field(
        None,
        description="require this key; if others can see your processes, set XINYE_API_KEY instead",
    )
    allow_origin: tuple[str, ...] = ALLOW_ORIGIN
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
    speculation: Literal["auto", "off"] = Field(
        "auto",
        description=(
            "speculative decoding: guess tokens from the text itself where that is faster; the "
            "texts stay the same"
        ),
    )
    workers: int = Field(
        1,
        ge=1,
        le=MOST_WORKERS,
        description="answer with so many processes behind one port, which share the weights",
    )
    max_running: int = Field(
        32, ge=1, description="generate at most this many texts at once with each model"
    )
    max_waiting: int = Field(
        128, ge=0, description="let at most this many texts wait; refuse more with status 429"
    )
    max_requests: int = MAX_REQUESTS
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
    max_body: int = MAX_BODY
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
        check_key(self.api_key, "the API key")
        if self.api_key is None and not is_local(self.host):
            raise XinyeError(
                f"other machines can reach {self.host}; give --api-key KEY, or set XINYE_API_KEY"
            )
        check_origins(self.allow_origin)
        if self.max_running < self.workers:
            raise XinyeError(
                f"--max-running {self.max_running}: this is less than one text for each of the "
                f"{self.workers} workers; use at least {self.workers}, or fewer --workers"
            )


class RoleSettings(BaseModel):
    """The settings of a server whose callers have roles, each with a key. `roles` are those that
    need one; their fields are called `…_key`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: ClassVar[tuple[str, ...]] = ("admin",)

    host: str
    port: int = PORT
    allow_origin: tuple[str, ...] = ALLOW_ORIGIN
    max_streams: int = MAX_STREAMS
    max_requests: int = MAX_REQUESTS
    max_body: int = MAX_BODY

    @property
    def api_key(self) -> str | None:
        """No key is asked of everybody: each route asks for that of its role."""
        return None

    @property
    def given_keys(self) -> dict[str, str | None]:
        """The key of each role, None where none is given."""
        return {role: getattr(self, f"{role}_key") for role in self.roles}

    @property
    def is_trial(self) -> bool:
        """Whether a key was left out, as on the machine of somebody who tries it."""
        return None in self.given_keys.values()

    @classmethod
    def keys_of(cls, environment: Mapping[str, str]) -> dict[str, str | None]:
        """The keys that environment variables give, as values of these settings."""
        return {
            f"{role}_key": environment.get(f"XINYE_{role.upper()}_KEY") or None
            for role in cls.roles
        }

    def made_keys(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Those of the keys that nobody gave, by the names of their settings."""
        return {
            f"{role}_key": keys[role] for role, given in self.given_keys.items() if given is None
        }

    def keys(self) -> dict[str, str]:
        """The key of each role; a new random one where none is given."""
        return {role: given or secrets.token_urlsafe(24) for role, given in self.given_keys.items()}

    def warnings(self) -> list[str]:
        """What is to be told of the keys that were given."""
        return [
            f"the {role} key has fewer than {SHORT_KEY} characters and can be guessed; take a long "
            "random one, such as that of: openssl rand -hex 16"
            for role, key in self.given_keys.items()
            if key is not None and len(key) < SHORT_KEY
        ]

    def check(self) -> None:
        """Raises `XinyeError` for a wrong key or origin, and if other machines can reach the server
        and a key is missing."""
        keys = self.given_keys
        for role, key in keys.items():
            check_key(key, f"--{role}-key")
        chosen = [key for key in keys.values() if key is not None]
        if len({*chosen}) < len(chosen):
            raise XinyeError("two of the keys are equal; choose different ones")
        if not is_local(self.host) and self.is_trial:
            flags = ", ".join(f"--{role}-key" for role in keys)
            variables = ", ".join(f"XINYE_{role.upper()}_KEY" for role in keys)
            raise XinyeError(
                f"other machines can reach {self.host}; choose all keys: {flags}, or {variables}"
            )
        check_origins(self.allow_origin)
        for origin in self.allow_origin:
            if not re.fullmatch(r"https?://[\w.:\[\]-]+", origin, re.ASCII):
                raise XinyeError(
                    f"--allow-origin {origin}: this is no origin; write it like "
                    "https://shop.example, without a path"
                )


def check_key(key: str | None, what: str) -> None:
    """Raises `XinyeError` for a key that cannot be sent in a header."""
    if key is not None and not (key.isascii() and key.isprintable() and key):
        raise XinyeError(f"{what} must consist of printable ASCII characters")


def is_local(host: str) -> bool:
    """True if only this machine can reach a server that listens on this address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_origins(origins: tuple[str, ...]) -> None:
    """Raises `XinyeError` for an origin that stands for all."""
    if "*" in origins:
        raise XinyeError("--allow-origin *: name each allowed origin, such as https://example.org")
