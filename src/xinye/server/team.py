"""What the workers of a server share: numbers in memory that all of them see."""

from dataclasses import dataclass, field
from mmap import mmap


@dataclass
class Team:
    """The workers of a server, of which this process is the one with this `number`, and their
    tallies."""

    workers: int = 1
    number: int = 0
    _tallies: "list[Tally]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ready = self.tally()  # 1 of each worker that answers requests

    def tally(self) -> "Tally":
        """A new tally. It must be made before the workers are."""
        self._tallies.append(Tally(self))
        return self._tallies[-1]

    def forget(self, number: int) -> None:
        """Set the numbers of a worker that has ended to 0."""
        for tally in self._tallies:
            tally.each[number] = 0


class Tally:
    """A number of each worker, such as that of its requests in progress."""

    def __init__(self, team: Team) -> None:
        self._team = team
        # Anonymous memory, which forked processes share. Each number has only one writer, so no
        # lock is needed.
        self.each = memoryview(mmap(-1, 8 * team.workers)).cast("q")

    @property
    def own(self) -> int:
        """The number of this worker."""
        return self.each[self._team.number]

    @own.setter
    def own(self, number: int) -> None:
        self.each[self._team.number] = number

    @property
    def total(self) -> int:
        """The sum for all workers."""
        return sum(self.each)
