"""The channels of monitor.toml: where messages about alarms go. A secret is never written there:
the settings name the environment variable that holds it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from xinye.apps.monitor.web_addresses import wrong_address
from xinye.errors import XinyeError, did_you_mean, validated

LONGEST_TIMEOUT = 30.0  # seconds
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+")


class ChannelSettings(BaseModel):
    """What all channels have. `secret` is the name of an environment variable, and `timeout` is how
    many seconds an attempt may take."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[\w-]{1,40}$")
    secret: str = ""
    timeout: float = Field(10.0, gt=0, le=LONGEST_TIMEOUT)

    @field_validator("secret")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        return _variable(value)

    def variables(self) -> list[str]:
        """The names of the environment variables that it needs."""
        return [self.secret] if self.secret else []


class _ToAddress(ChannelSettings):
    """A channel to a web address. Some addresses are secrets themselves: `url_from` names the
    environment variable that holds one."""

    url: str = ""
    url_from: str = ""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and (problem := wrong_url(value)):
            raise ValueError(problem)
        return value

    @field_validator("url_from")
    @classmethod
    def _names_a_variable_too(cls, value: str) -> str:
        return _variable(value)

    @model_validator(mode="after")
    def _has_one_address(self) -> "_ToAddress":
        if bool(self.url) == bool(self.url_from):
            raise ValueError("set url, or url_from with the name of an environment variable")
        return self

    def variables(self) -> list[str]:
        return [*super().variables(), *([self.url_from] if self.url_from else [])]


class WebhookSettings(_ToAddress):
    """A program that gets JSON, signed with the secret."""

    kind: Literal["webhook"] = "webhook"

    @model_validator(mode="after")
    def _is_signed(self) -> "WebhookSettings":
        if not self.secret:
            raise ValueError("set secret to the name of an environment variable; it signs messages")
        return self


class FeishuSettings(_ToAddress):
    """A custom bot in a group of Feishu or Lark. The secret is the one of its signature check."""

    kind: Literal["feishu"] = "feishu"


class MailSettings(ChannelSettings):
    """Mail through a server. `tls` says how it is encrypted: "starttls" (usually port 587), "tls"
    from the first byte (usually 465), or "none". The secret is the password of `user`."""

    kind: Literal["mail"] = "mail"
    host: str = Field(min_length=1)
    port: int = Field(587, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    sender: str
    to: tuple[str, ...] = Field(min_length=1)

    @field_validator("sender", "to")
    @classmethod
    def _are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in (value,) if isinstance(value, str) else value:
            if not address.isascii() or not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is not a mail address such as ops@example.com")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> "MailSettings":
        if bool(self.user) != bool(self.secret):
            raise ValueError("user and secret belong together; set both, or leave both out")
        if self.secret and self.tls == "none":
            raise ValueError(
                'a password is not sent without encryption; set tls to "starttls" or "tls"'
            )
        return self


AnyChannel = WebhookSettings | MailSettings | FeishuSettings
KINDS: dict[str, type[AnyChannel]] = {
    "webhook": WebhookSettings,
    "mail": MailSettings,
    "feishu": FeishuSettings,
}


def read_channels(values: Any) -> tuple[AnyChannel, ...]:
    """The settings of the `[[channels]]` of monitor.toml. Raises `XinyeError` that names the
    channel and the key that is wrong, and never a value that might be secret."""
    if not isinstance(values, list | tuple):
        raise XinyeError("channels: begin each channel with a line [[channels]]")
    channels = tuple(_read_channel(number, each) for number, each in enumerate(values, 1))
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise XinyeError(f"channels: two have the name {name!r}; rename one")
    return channels


Channels = Annotated[tuple[AnyChannel, ...], BeforeValidator(read_channels)]


def wrong_url(url: str) -> str:
    """What is wrong with the address of a receiver; "" if nothing. The address may be secret, so
    it is not repeated."""
    if not url.isprintable() or " " in url:
        return "the address has spaces or characters that cannot be printed"
    return wrong_address(url)


def value_of(variable: str, environment: Mapping[str, str], channel: str) -> str:
    """The value of an environment variable. Raises `XinyeError` if it is not set."""
    value = environment.get(variable, "").strip()
    if not value:
        raise XinyeError(
            f"channel {channel!r} needs the environment variable {variable}, which is not set; set "
            "it, then start again"
        )
    return value


def _variable(name: str) -> str:
    if name and not _VARIABLE.fullmatch(name):
        raise ValueError(
            "this must be the name of an environment variable, in capitals, such as "
            "MONITOR_SECRET; never write a secret here"
        )
    return name


def _read_channel(number: int, values: Any) -> AnyChannel:
    if isinstance(values, ChannelSettings):
        return values  # type: ignore[return-value]
    if not isinstance(values, dict):
        raise XinyeError("channels: begin each channel with a line [[channels]]")
    name = values.get("name")
    where = f"channel {name!r}" if isinstance(name, str) and name else f"[[channels]] {number}"
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        raise XinyeError(f"{where}: set kind to webhook, mail or feishu{near}")
    for key in ("secret", "url", "url_from"):
        if not isinstance(values.get(key, ""), str):  # pydantic's message would show the value
            raise XinyeError(f"{where}: {key}: write this as a text in quotes")
    return validated(KINDS[kind], values, where)
