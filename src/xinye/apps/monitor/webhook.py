"""The channel to a program of the owner: a webhook."""

import hashlib
import hmac
from dataclasses import dataclass, field

from xinye.apps.monitor.sending import post


@dataclass(frozen=True)
class Webhook:
    """Sends JSON with a POST request. The receiver knows by `X-Xinye-Signature: t=TIME,v1=HEX` that
    it comes from us: HEX is the HMAC-SHA256 of "TIME.BODY" with the secret as its key."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    timeout: float

    def send(self, key: str, body: str, now: float) -> None:
        """Send the body. Any answer from 200 to 299 says that it has arrived."""
        data = body.encode()
        headers = {
            "X-Xinye-Delivery": key,
            "X-Xinye-Signature": signature(self.secret, data, int(now)),
        }
        post(self.url, data, headers, self.timeout).check(now)


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of `X-Xinye-Signature` at this time, in seconds since 1970."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"
