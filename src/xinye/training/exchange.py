"""Matrices of which each process has some rows, made whole where they are computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from xinye.training.distributed import Processes


@dataclass(frozen=True)
class Exchange:
    """The exchange of matrices (rows, columns) between processes that keep some rows of each, and
    their owners. Each process owns its share of the `count` matrices."""

    processes: Processes
    count: int
    rows: int
    columns: int

    def to_owners(self, parts: Tensor) -> Tensor:
        """The whole matrices that this process owns, (owned, rows, columns), for its rows of all
        matrices, (count, its rows, columns)."""
        mine = self._owned[self.processes.rank]
        sent = [parts[0].numel() * owned for owned in self._owned]
        received = [mine * rows * self.columns for rows in self._rows]
        pieces = _swapped(parts.reshape(-1), sent, received)
        shaped = zip(pieces, self._rows, strict=True)
        return torch.cat([each.view(mine, rows, self.columns) for each, rows in shaped], dim=1)

    def to_parts(self, matrices: Tensor) -> Tensor:
        """This process's rows of all matrices, for the whole ones that it owns."""
        mine = self._rows[self.processes.rank]
        sent = [len(matrices) * rows * self.columns for rows in self._rows]
        received = [owned * mine * self.columns for owned in self._owned]
        split = [each.reshape(-1) for each in matrices.split(self._rows, dim=1)]
        return torch.cat(_swapped(torch.cat(split), sent, received)).view(
            self.count, mine, self.columns
        )

    @property
    def _owned(self) -> Sequence[int]:
        """The number of matrices of each process."""
        return [each.share(0, self.count)[1] for each in self.processes.all()]

    @property
    def _rows(self) -> list[int]:
        """The number of rows that each process has of a matrix. FSDP cuts it into equal parts, the
        last of which may be smaller, or empty."""
        part = -(-self.rows // self.processes.count)
        starts = [min(self.rows, rank * part) for rank in range(self.processes.count + 1)]
        return [end - start for start, end in pairwise(starts)]


def _swapped(flat: Tensor, sent: list[int], received: list[int]) -> list[Tensor]:
    """What each process sends to this one, for what this one sends to each: so many elements, one
    part after another."""
    found = flat.new_empty(sum(received))
    dist.all_to_all_single(found, flat, received, sent)
    return list(found.split(received))
