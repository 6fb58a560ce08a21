"""Remembers how many windows each block of a text has in each epoch.

To find sample 1,000,000 of a text one must know how many windows the blocks before it have. That
takes packing, some tenths of a second for each block, so a resumed run looks the numbers up. They
are kept in the cache. What is damaged there is counted again, and so is everything if a block that
is packed has another number. The number of a block that is skipped is believed: only its checksum
and its key, which has the version of packing, speak for it.
"""

import contextlib
from pathlib import Path

from xinye.cache import cache_folder
from xinye.data.blocks import Blocks
from xinye.data.files import read_json, write_json
from xinye.data.manifest import digest_of
from xinye.errors import XinyeError

PACKING = 1  # the version of how `Windows` cuts and packs a block; another version counts anew


class WindowCounts:
    """The counts of windows of `blocks` that are cut in one way."""

    def __init__(self, blocks: Blocks, context: int, seed: int, shuffle: bool) -> None:
        self._counts: dict[str, int] = {}
        self._path: Path | None = None
        if blocks.key and len(blocks) > 1:  # a single block is packed whenever it is read
            cut = {"text": blocks.key, "context": context, "seed": seed, "shuffle": shuffle}
            cut |= {"packing": PACKING}
            self._path = cache_folder() / "windows" / f"{digest_of(cut)}.json"
            self._counts = self._read(self._path)

    @staticmethod
    def _read(path: Path) -> dict[str, int]:
        """The counts in a file; none if it is missing or damaged."""
        try:
            saved = read_json(path)
            counts: dict[str, int] = saved["counts"]
            return counts if saved["checksum"] == digest_of(counts) else {}
        except (XinyeError, KeyError, TypeError):
            return {}

    def of(self, epoch: int, block: int) -> int | None:
        """How many windows a block has in an epoch, if it is known."""
        return self._counts.get(f"{epoch}:{block}")

    def agrees(self, epoch: int, block: int, count: int) -> bool:
        """Hear how many windows a block has. False if another number was remembered: then all are
        forgotten."""
        key = f"{epoch}:{block}"
        known = self._counts.get(key)
        if known == count:
            return True
        if known is not None:
            self._counts.clear()
        self._counts[key] = count
        if self._path is not None:
            self._write(self._path)
        return known is None

    def _write(self, path: Path) -> None:
        """Save the counts. A cache that cannot be written, or that another process is writing now,
        is done without."""
        with contextlib.suppress(OSError, XinyeError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"counts": self._counts, "checksum": digest_of(self._counts)})
