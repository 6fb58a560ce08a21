"""Turns tokens into text that can be shown at once: no half characters, no beginnings of stop
strings."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Turns the tokens of one sequence into pieces of text. The joined pieces are the whole text.

    Bytes of an incomplete character are held back, and so is text that may become a stop string.
    """

    def __init__(self, token_bytes: Sequence[bytes], stop: Sequence[str] = ()) -> None:
        self.token_bytes = token_bytes
        self.stop = [text for text in stop if text]
        self.stopped = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def push(self, token: int) -> str:
        """Add a token; returns the text that is certain now, which may be empty."""
        return self._release(self._decoder.decode(self.token_bytes[token]))

    def finish(self) -> str:
        """The text that was still held back. Call this after the last token."""
        return (
            "" if self.stopped else self._release(self._decoder.decode(b"", final=True), final=True)
        )

    def _release(self, text: str, final: bool = False) -> str:
        text = self._pending + text
        found = [(at + len(stop), at) for stop in self.stop if (at := text.find(stop)) >= 0]
        if found:  # the one that ends first, so that the result does not depend on the pieces
            self.stopped, self._pending = True, ""
            return text[: min(found)[1]]
        keep = 0 if final else max((overlap(text, stop) for stop in self.stop), default=0)
        self._pending = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    return next(
        (n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0
    )
