"""Processes of one host exchange numbers through memory that they share."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xinye.training.shared_memory import SharedMemory, open_memory

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has it")


def in_all(count: int, size: int, work: Callable[[SharedMemory], Any]) -> list[Any]:
    """What the work returns in each of several threads, which stand for processes here: each maps
    the memory anew."""
    barrier = threading.Barrier(count, timeout=10)
    handle = os.memfd_create("test")

    def run(rank: int) -> Any:
        memory = SharedMemory(rank, count, handle, barrier.wait)
        assert memory.make_room(size)
        return work(memory)

    try:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(run, range(count)))
    finally:
        os.close(handle)


def gradients(rank: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    noise = torch.Generator().manual_seed(rank)
    shapes = [(7, 3), (1,), (5,), ()]
    return [torch.randn(shape, generator=noise).to(dtype) for shape in shapes]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_average_is_that_of_all_and_the_same_bits_in_each(
    count: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinye.training.shared_memory.AT_ONCE", 4)  # several pieces, of uneven size

    def average(memory: SharedMemory) -> list[Tensor]:
        tensors = gradients(memory.rank, dtype)
        memory.average(tensors)
        return tensors

    found = in_all(count, 28, average)
    together = zip(*(gradients(rank, dtype) for rank in range(count)), strict=True)
    for mean, parts in zip(found[0], together, strict=True):
        torch.testing.assert_close(mean, torch.stack(parts).float().mean(0).to(dtype))
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def test_exchanges_that_follow_each_other_do_not_mix() -> None:
    """One process is late each time: none may read what the others write meanwhile."""

    def exchange(memory: SharedMemory) -> list[float]:
        seen = []
        late = threading.Event()
        for step in range(30):
            if step % 3 == memory.rank:
                late.wait(0.002)
            tensor = torch.full((9,), float(step + memory.rank))
            memory.average([tensor])
            rows = torch.full((1, 2), float(step * 3 + memory.rank))
            whole = memory.assembled(rows, memory.rank, 3)
            if step % 2 == memory.rank % 2:
                late.wait(0.002)
            seen.append(float(tensor.sum()))
            seen += whole[:, 1].tolist()
        return seen

    expected = [x for step in range(30) for x in (9.0 * (step + 1), *(3.0 * step + r for r in range(3)))]
    assert in_all(3, 9, exchange) == [expected] * 3


def test_only_what_fits_is_assembled_there() -> None:
    def fits(memory: SharedMemory) -> list[bool]:
        rows = [torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bfloat16)]
        return [memory.fits(row, size) for row in rows for size in (2, 3, 5)]

    assert in_all(2, 8, fits) == [[True, False, False, True, True, False]] * 2


def test_without_memory_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(AssertionError):
        in_all(2, 8, lambda memory: None)


def test_memory_is_opened_only_where_all_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process is on this host, or on another one, where its number belongs to nobody or
    to a process with another file."""
    here = open_memory(0, lambda text: [text] * 2)
    assert here is not None
    name = os.readlink(f"/proc/self/fd/{here}").removeprefix("/memfd:").removesuffix(" (deleted)")
    for place, found in (
        (f"/proc/{os.getpid()}/fd/{here} {name}", True),
        (f"/proc/{os.getpid()}/fd/0 {name}", False),
        (f"/proc/0/fd/9 {name}", False),
        ("", False),
    ):
        answers = iter([[place], ["opened", "opened" if found else ""]])
        handle = open_memory(1, lambda text, answers=answers: next(answers))  # type: ignore[misc]
        assert (handle is not None) == found
        if handle is not None:
            assert os.path.sameopenfile(handle, here)
            os.close(handle)
    os.close(here)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert open_memory(0, lambda text: [text, ""]) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
