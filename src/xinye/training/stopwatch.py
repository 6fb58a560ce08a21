"""Where the time of a job goes."""

import time


class Stopwatch:
    """Seconds by name: what has passed since the last `lap`, or the beginning, counts for the name
    given."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
