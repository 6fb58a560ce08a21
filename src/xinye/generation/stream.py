"""From tokens to text that can be shown at once: never half a character, never the start of a stop
string."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Turns one sequence's tokens into pieces of text, whose concatenation is the whole text.

    Bytes of a character that is not complete yet are held back, and so is text that may become a
    stop string.
    """

    def __init__(self, token_bytes: Sequence[bytes], stop: Sequence[str] = ()) -> None:
        self.token_bytes = token_bytes
        self.stop = [text for text in stop if text]
        self.stopped = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, token: int) -> str:
        """The text that this token makes certain."""
        return self._release(self._decoder.decode(self.token_bytes[token]))

    def finish(self) -> str:
        """What was held back; to be called at the end."""
        return (
            "" if self.stopped else self._release(self._decoder.decode(b"", final=True), final=True)
        )

    def _release(self, text: str, final: bool = False) -> str:
        text = self._held + text
        found = [(at + len(stop), at) for stop in self.stop if (at := text.find(stop)) >= 0]
        if found:  # the one that ends first, so that it does not matter how much text comes at once
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        keep = 0 if final else max((_overlap(text, stop) for stop in self.stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    return next(
        (n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0
    )
