"""The channel to a mailbox."""

import json
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from xinye.apps.monitor.channel_settings import MailSettings
from xinye.apps.monitor.notices import as_text
from xinye.apps.monitor.sending import Undelivered, explained

READY = 220  # what a server says first
NO_MAIL_SERVER = "the server does not answer as a mail server does"


@dataclass(frozen=True)
class Mail:
    """Sends plain text to one mailbox, so that a mailbox that is refused keeps nobody else's mail
    back."""

    settings: MailSettings
    to: str
    password: str = field(repr=False)

    def send(self, key: str, body: str, now: float) -> None:
        """Hand a mail over to the server of the settings."""
        mail = self._mail(key, json.loads(body), now)
        settings = self.settings
        client = _client(settings)
        with explained(settings.timeout, lambda: client.sock):
            try:
                code, _ = client.connect(settings.host, settings.port)
                if code < 0:
                    raise Undelivered(NO_MAIL_SERVER)
                if code != READY:
                    raise Undelivered(f"the server is not ready (code {code})")
                if settings.tls == "starttls":
                    client.starttls(context=ssl.create_default_context())
                if self.password:
                    client.login(settings.user, self.password)
                client.send_message(mail)
                with suppress(OSError, smtplib.SMTPException):  # it has arrived already
                    client.quit()
            except smtplib.SMTPServerDisconnected:
                raise  # or it took too long
            except smtplib.SMTPException as error:
                raise _undelivered(error) from None
            finally:
                client.close()

    def _mail(self, key: str, values: dict[str, Any], now: float) -> EmailMessage:
        sender = self.settings.sender
        mail = EmailMessage()
        mail["From"] = sender
        mail["To"] = self.to
        mail["Subject"] = values["title"]
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        mail["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"  # the same when sent again
        mail["X-Xinye-Delivery"] = key
        mail["Auto-Submitted"] = "auto-generated"  # so that no absence is answered to us
        mail.set_content(as_text(values), cte="base64")  # not each server takes 8 bits
        return mail


def _client(settings: MailSettings) -> smtplib.SMTP:
    """A client that is not yet connected."""
    if settings.tls == "tls":
        context = ssl.create_default_context()
        client: smtplib.SMTP = smtplib.SMTP_SSL(timeout=settings.timeout, context=context)
    else:
        client = smtplib.SMTP(timeout=settings.timeout)
    # Certificates are checked for this name, which a constructor sets only if it connects, too.
    client._host = settings.host  # type: ignore[attr-defined]
    return client


def _undelivered(error: smtplib.SMTPException) -> Undelivered:
    """Why a server did not take a mail. What it says about itself can change with the settings;
    what it says about the mailbox or the message cannot."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = max((code for code, _ in error.recipients.values()), default=0)
            return Undelivered(f"the server refused the mailbox (code {code})", code >= 500)
        case smtplib.SMTPDataError():
            code = error.smtp_code
            return Undelivered(f"the server refused the message (code {code})", code >= 500)
        case smtplib.SMTPAuthenticationError():
            code = error.smtp_code
            return Undelivered(f"the server refused the user or the password (code {code})")
        case smtplib.SMTPSenderRefused():
            code = error.smtp_code
            return Undelivered(f"the server refused the sender (code {code})")
        case smtplib.SMTPNotSupportedError():
            return Undelivered(
                "the server does not offer what the settings ask for: encryption, or a password"
            )
    return Undelivered(NO_MAIL_SERVER)
