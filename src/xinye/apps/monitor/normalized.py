"""Documents as they are stored: masked, cut, with a date, and with what tells that they repeat
others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.documents import Incoming, dated
from xinye.apps.monitor.identity import Identity
from xinye.apps.monitor.near import Sketch, needed, sketch, title_hash
from xinye.apps.monitor.web_addresses import link
from xinye.data.masking import Masker

Listed = Callable[[str], tuple[str, ...]]  # the watched companies in a text


def no_company(text: str) -> tuple[str, ...]:
    """No company is watched."""
    return ()


@dataclass(frozen=True)
class Normalized:
    """A document before it is written."""

    identity: Identity
    source: str
    origin: str
    title: str
    text: str
    url: str
    at: float
    dated: str
    cut: bool
    listed: Listed
    title_hash: int
    sketch: Sketch | None
    needed: float

    @cached_property
    def companies(self) -> frozenset[str]:
        """The watched companies in it. They are looked for when they are wanted: few documents
        nearly equal another."""
        return frozenset(self.listed(f"{self.title}\n{self.text}"))


def normalize(
    incoming: Incoming, own: Identity, archive: Archive, listed: Listed, now: float
) -> Normalized:
    """A document that is read now, as it is stored."""
    limits, masker = archive.limits, Masker(archive.secret)
    title, text = _unicode(incoming.title).strip(), _unicode(incoming.text).strip()
    cut = len(title) > limits.title_characters or len(text) > limits.text_characters
    title = masker.mask(title)[: limits.title_characters]  # half a number is not recognized
    text = masker.mask(text)[: limits.text_characters]
    url = link(_unicode(incoming.url))
    if masker.mask(url) != url:
        url = ""
    at, known = dated(incoming.published, now)
    return Normalized(
        own, masker.mask(_unicode(incoming.shown_source)),
        _unicode(incoming.origin.place if incoming.origin else ""), title, text, url, at, known,
        cut, listed, title_hash(title), sketch(title, text), needed(title, text),
    )  # fmt: skip


def says_something(document: Incoming) -> bool:
    """Whether there is a character in it that can be seen."""
    return any(
        char.isprintable() and not char.isspace()
        for part in (document.title, document.text)
        for char in part
    )


def _unicode(text: str) -> str:
    """The text with a sign for each half of a character, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
