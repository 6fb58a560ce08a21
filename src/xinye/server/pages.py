"""`Page`: a web page that runs its own script and style only, which a browser knows by their
hashes."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import HTMLResponse

SHARED = Path(__file__).with_name("page_parts")
_INCLUDED = re.compile(r"/\* include ([\w.]+) \*/")


@dataclass(frozen=True)
class Page:
    """A page and its headers."""

    text: str
    headers: dict[str, str]

    @classmethod
    def read(cls, path: Path, framed_by: Sequence[str] = ()) -> "Page":
        """The page in a file, with the parts that pages share: `/* include NAME */` stands for a
        file of `page_parts`. Only pages of the origins `framed_by` may show it in a frame; the
        server's own are called "'self'"."""
        text = _INCLUDED.sub(_part, path.read_text("utf-8"))
        ancestors = " ".join(framed_by) or "'none'"
        policy = (
            "default-src 'none'",
            f"script-src {_hashes(text, 'script')}",
            f"style-src {_hashes(text, 'style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {ancestors}",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
        headers = {
            "Content-Security-Policy": "; ".join(policy),
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-cache",
        }
        if not framed_by:
            headers["X-Frame-Options"] = "DENY"
        return cls(text, headers)

    def response(self) -> HTMLResponse:
        return HTMLResponse(self.text, headers=self.headers)


def _hashes(page: str, tag: str) -> str:
    """The hashes of all scripts or styles in a page, for its Content-Security-Policy."""
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
    digests = (hashlib.sha256(part.encode()).digest() for part in parts)
    return (
        " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    )


def _part(found: re.Match[str]) -> str:
    return (SHARED / found[1]).read_text("utf-8").strip()
