"""The channels through which messages about alarms are sent, by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from xinye.apps.monitor.channel_settings import (
    AnyChannel,
    FeishuSettings,
    MailSettings,
    WebhookSettings,
    value_of,
    wrong_url,
)
from xinye.apps.monitor.feishu import Feishu
from xinye.apps.monitor.mail import Mail
from xinye.apps.monitor.webhook import Webhook
from xinye.errors import XinyeError

SHORT_SECRET = 16  # characters


class Channel(Protocol):
    """Something that sends messages."""

    def send(self, key: str, body: str, now: float) -> None:
        """Send the body of a delivery. Raises `Undelivered`."""


def open_channels(
    settings: Iterable[AnyChannel],
    environment: Mapping[str, str],
    warn: Callable[[str], None] = lambda text: None,
) -> dict[str, Channel]:
    """The channels, with their secrets from the environment. One of mail has a channel for each
    mailbox, "NAME/ADDRESS". `warn` hears of secrets that can be guessed. Raises `XinyeError` that
    names a variable which is missing."""
    channels: dict[str, Channel] = {}
    for each in settings:
        secret = value_of(each.secret, environment, each.name) if each.secret else ""
        if isinstance(each, MailSettings):
            channels |= {f"{each.name}/{to}": Mail(each, to, secret) for to in each.to}
            continue
        if isinstance(each, WebhookSettings) and len(secret) < SHORT_SECRET:
            warn(
                f"channel {each.name!r}: the secret in {each.secret} has fewer than {SHORT_SECRET} "
                "characters and can be guessed; take a long random one, such as that of: openssl "
                "rand -hex 16"
            )
        kind = Feishu if isinstance(each, FeishuSettings) else Webhook
        channels[each.name] = kind(_url(each, environment), secret, each.timeout)
    return channels


def _url(settings: AnyChannel, environment: Mapping[str, str]) -> str:
    assert not isinstance(settings, MailSettings)
    if not settings.url_from:
        return settings.url
    url = value_of(settings.url_from, environment, settings.name)
    if problem := wrong_url(url):
        raise XinyeError(f"channel {settings.name!r}: {settings.url_from}: {problem}")
    return url
