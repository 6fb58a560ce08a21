"""Processes of one host exchange numbers through memory that they share."""

import copy
import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import open_files
from two import SERVER, meeting
from xinye.data.batches import Batch
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.distributed import processes
from xinye.training.job import LossSum
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.shared_memory import Averaged, SharedMemory, open_memory
from xinye.training.text_job import text_loss

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


@pytest.mark.parametrize("count", [2, 3])
def test_a_mean_is_that_of_all_and_the_same_bits_in_each(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinye.training.shared_memory.AT_ONCE", 4)  # several pieces, of uneven size
    given = torch.randn(count, 29, generator=torch.Generator().manual_seed(0))

    def average(memory: SharedMemory) -> tuple[float, Tensor, Tensor]:
        memory.parts[memory.rank] = given[memory.rank]
        norm, mean = memory.average(), memory.mean.clone()
        memory.meet()
        memory.scale(0.5)
        return norm, mean, memory.mean.clone()

    first, *others = in_all(count, 29, average)
    norm, mean, half = first
    torch.testing.assert_close(mean, given.mean(0))
    assert norm == pytest.approx(float(mean.norm())) and torch.equal(half, mean / 2)
    for other in others:
        assert other[0] == norm and torch.equal(other[1], mean) and torch.equal(other[2], half)


def test_exchanges_that_follow_each_other_do_not_mix() -> None:
    """One process is late each time: none may read what the others write meanwhile."""

    def exchange(memory: SharedMemory) -> list[float]:
        seen: list[float] = []
        late = threading.Event()
        for step in range(30):
            memory.parts[memory.rank] = step + memory.rank
            memory.average()
            whole = memory.assembled(torch.full((2,), step * 3.0 + memory.rank), [2, 2, 2])
            if step % 3 == memory.rank:
                late.wait(0.002)
            seen += [*memory.mean[::4].tolist(), *whole[1::2].tolist()]
        return seen

    steps = [(3 * [step + 1.0], [step * 3.0 + rank for rank in range(3)]) for step in range(30)]
    expected = [number for means, wholes in steps for number in (*means, *wholes)]
    assert in_all(3, 9, exchange) == [expected] * 3


def test_only_what_fits_is_assembled_there() -> None:
    def fits(memory: SharedMemory) -> list[bool]:
        kinds = (torch.float32, torch.bfloat16)
        return [
            memory.fits(torch.zeros(0, dtype=kind), (size, 1)) for kind in kinds for size in (7, 8)
        ]

    assert in_all(2, 8, fits) == [[True, False, True, True]] * 2


def test_a_gradient_is_the_mean_over_micro_batches_and_processes() -> None:
    """A parameter that one process does not use has the gradients of the others."""
    inputs = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    network = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 1)])
    network[0].bias.requires_grad_(False)

    def learn(memory: SharedMemory) -> tuple[float, list[Tensor]]:
        layers = copy.deepcopy(network)
        loss = Averaged(Sometimes(layers), memory)
        for _ in range(2):  # the second step begins anew
            for batch in inputs[memory.rank]:
                loss((batch, memory.rank == 0)).backward()
            assert layers[1].weight.grad is None
            norm = loss.exchange()
            found = [each.grad.clone() for each in layers.parameters() if each.grad is not None]
            memory.meet()
            loss.scale(0.0)
            assert not layers[0].weight.grad.any()
            layers.zero_grad()
        return norm, found

    found = in_all(2, 4 * 4 + 4 + 1, learn)
    for rank, batches in enumerate(inputs):
        for batch in batches:
            (Sometimes(network)((batch, rank == 0)) / 2).backward()
    expected = [each.grad for each in network.parameters() if each.grad is not None]
    for norm, means in found:
        torch.testing.assert_close(means, expected)
        assert norm == pytest.approx(float(torch.cat([each.flatten() for each in means]).norm()))


class Sometimes(nn.Module):
    """A loss of two layers, the first of which is not always used."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, batch: tuple[Tensor, bool]) -> Tensor:
        x, both = batch
        x = self.layers[0](x) if both else x
        return self.layers[1](x).square().sum()


def train(how: str, rank: int, where: dict[str, str], place: Path) -> None:
    """Be one of two processes that take three steps; writes the weights, or the error, to a
    file."""
    os.environ.update(where, RANK=str(rank))
    torch.set_num_threads(1)
    try:
        with processes() as group:
            assert group.memory
            group = replace(group, memory=None) if how == "gloo" else group
            model = GPT(GPTConfig("modern", 20, 16, 1, 2, 1, 8, 24, 8)).train()
            model.initialize(rank)  # all take the weights of the first one
            loss_sum = group.together(LossSum(model, text_loss(model), torch.device("cpu")))
            assert isinstance(loss_sum, Averaged) == (how != "gloo")
            tokens = torch.arange(1, 33).view(4, 8).remainder(20)
            first, size = group.share(0, 4)
            batches = [Batch(each, each.roll(-1), None, None) for each in tokens[:, None]]
            plan = Optimization("muon", 1e-3, 0.02, 0.1, dtype=torch.float32)
            optimizers = make_optimizers(model, plan, group)

            def micro_batches(step: int) -> list[Batch]:
                if how == "killed" and rank and step == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return batches[first : first + size]

            weights = list(model.parameters())
            loop = Loop(
                loss_sum, weights, optimizers, micro_batches, lambda _: 1.0, processes=group
            )
            losses = [record.loss for record in loop.take(0, lambda: 3)]
            flat = torch.cat([each.detach().flatten() for each in weights])
            place.write_text(json.dumps([losses, flat.tolist()]), "utf-8")
    except XinyeError as error:
        place.write_text(str(error), "utf-8")


def two(how: str, folder: Path) -> list[str]:
    """What two processes have written."""
    where, places = meeting(), [folder / f"{how}-{rank}" for rank in range(2)]
    started = [
        SERVER.Process(target=train, args=(how, rank, where, place))
        for rank, place in enumerate(places)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        process.kill()
    return [place.read_text("utf-8") for place in places if place.exists()]


def test_two_learn_in_shared_memory_what_they_learn_by_gloo(tmp_path: Path) -> None:
    shared, other = two("shared", tmp_path)
    assert shared == other
    by_gloo, _ = two("gloo", tmp_path)
    for mine, theirs in zip(json.loads(shared), json.loads(by_gloo), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_who_waits_for_a_process_that_was_killed_ends(tmp_path: Path) -> None:
    [error] = two("killed", tmp_path)
    assert "the connection to another of the 2 processes was lost" in error


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
    before = open_files()
    assert open_memory(0, lambda text: [text, ""]) is None
    assert not open_files() - before
