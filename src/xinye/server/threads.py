"""`Threads`: do what takes longer than the event loop may wait."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from xinye.errors import Unavailable, XinyeError
from xinye.server.errors import LATER, APIError

log = logging.getLogger("xinye.server")
READERS, WRITERS = 8, 32  # threads; those that write may wait for a store that is locked
Result = TypeVar("Result")


class Threads:
    """The threads that read the store, those that write to it, and others by name, each with how
    many there are. Errors that name a file of the server are logged, and do not show it to the
    client."""

    def __init__(self, *private: Path, **others: int) -> None:
        self._private = [str(path) for path in private]
        self._pools = {
            name: ThreadPoolExecutor(count, f"xinye-{name}")
            for name, count in {"read": READERS, "write": WRITERS, **others}.items()
        }

    async def read(self, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that reads the store."""
        return await self.run("read", do, *values)

    async def write(self, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that writes to the store."""
        return await self.run("write", do, *values)

    async def run(self, pool: str, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that one of these threads does."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pools[pool], do, *values)
        except XinyeError as error:
            if not any(path in str(error) for path in self._private):
                raise
            log.error("%s", error)
            if isinstance(error, Unavailable):
                raise APIError(
                    503, "this cannot be saved or read now; try again later", code="unavailable",
                    headers=LATER,
                ) from None  # fmt: skip
            raise APIError(500, "the server's log says what failed") from None

    def stop(self) -> None:
        """End the threads when they have finished."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
