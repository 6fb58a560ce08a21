"""Processes of one host train weights in memory that they share."""

import copy
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import open_files
from two import SERVER, meeting
from xinye.data.batches import Batch
from xinye.errors import XinyeError
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.averaged import Averaged, by_messages, can_share, together
from xinye.training.distributed import Processes, processes
from xinye.training.job import LossSum
from xinye.training.loop import Loop
from xinye.training.optimizers import Kind, Optimization, gradient_norm, make_optimizers
from xinye.training.shared_memory import SharedMemory, open_memory
from xinye.training.text_job import text_loss

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has it")


def in_all(count: int, size: int, work: Callable[[SharedMemory], Any]) -> list[Any]:
    """What the work returns in each of several threads, which stand for processes here: each maps
    the memory anew."""
    barrier = threading.Barrier(count, timeout=60)
    handle = os.memfd_create("test")

    def run(rank: int) -> Any:
        memory = SharedMemory(rank, count, barrier.wait)
        assert memory.make_room(handle, size)
        return work(memory)

    try:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(run, range(count)))
    finally:
        os.close(handle)


@pytest.mark.parametrize("count", [2, 3])
def test_a_tensor_is_the_same_in_all_processes(count: int) -> None:
    """One process is late each time: none may read what the others write meanwhile."""

    def write(memory: SharedMemory) -> list[float]:
        shapes = [(3, count), (), (count, 2)]
        tensors = [memory.zeros(shape) for shape in shapes]
        assert [each.shape for each in tensors] == shapes and not any(map(torch.any, tensors))
        assert all(each.data_ptr() % 64 == 0 for each in tensors)
        memory.meet()
        seen: list[float] = []
        late = threading.Event()
        for step in range(30):
            if step % count == memory.rank:
                late.wait(0.002)
                tensors[1].fill_(step)
            tensors[0][:, memory.rank] = step + memory.rank
            tensors[2][memory.rank] = step - memory.rank
            memory.meet()
            seen += [*tensors[0][1].tolist(), tensors[1].item(), *tensors[2][:, 1].tolist()]
            memory.meet()
        return seen

    ranks = range(count)
    expected = [
        number
        for step in range(30)
        for number in (*(step + rank for rank in ranks), step, *(step - rank for rank in ranks))
    ]
    assert in_all(count, 3 * 64, write) == [expected] * count


def test_a_gradient_is_the_mean_over_micro_batches_and_processes() -> None:
    """Its owner has it, and nobody else. Where one process does not use a weight, it is that of
    the others."""
    inputs = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))
    network = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(2, 2)])
    network[0].bias.requires_grad_(False)

    def learn(memory: SharedMemory) -> list[Tensor | None]:
        layers = copy.deepcopy(network)
        weights = [each for each in layers.parameters() if each.requires_grad]
        optimizers = [torch.optim.SGD(weights, 0.1)]
        assert Averaged.room(optimizers, 3) == size
        loss = Averaged(Sometimes(layers), optimizers, memory)
        assert memory.taken == size
        for _ in range(2):  # the second step begins anew
            layers.zero_grad()
            memory.meet()
            for batch in inputs[memory.rank]:
                loss((batch, memory.rank == 0)).backward()
            norms.add(loss.exchange())
        return [each.grad for each in layers.parameters()]

    size = 64 + (1 + 3 + 1) * 5 * 64  # norms; weights, gradients and momentum of five tensors
    norms: set[float] = set()
    found = in_all(3, size, learn)
    for rank, batches in enumerate(inputs):
        for batch in batches:
            (Sometimes(network)((batch, rank == 0)) / 3).backward()
    for weight, gradients in zip(network.parameters(), zip(*found, strict=True), strict=True):
        owned = [each for each in gradients if each is not None]
        assert len(owned) == weight.requires_grad
        for gradient in owned:
            expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
            torch.testing.assert_close(gradient, expected)
    [norm] = norms  # of all processes
    assert norm == pytest.approx(float(gradient_norm(network.parameters())))


class Scaled(nn.Module):
    """A loss times a factor."""

    def __init__(self, loss_sum: nn.Module) -> None:
        super().__init__()
        self.loss_sum, self.factor = loss_sum, 1.0

    def forward(self, batch: Batch) -> Tensor:
        return self.loss_sum(batch) * self.factor


class Trainer:
    """What a process trains: a share of two windows."""

    def __init__(
        self, kind: Kind, memory: SharedMemory, given: list[Sequence[float]], only: str
    ) -> None:
        class Threads(Processes):
            def numbers(self, mine: Sequence[float]) -> list[list[float]]:
                given[self.rank] = list(mine)
                memory.meet()
                found = [list(each) for each in given]
                memory.meet()
                return found

        self.group, self.meet = Threads(memory.rank, memory.count), memory.meet
        self.model = GPT(GPTConfig("modern", 20, 16, 1, 2, 1, 8, 24, 8)).train()
        self.model.initialize(0)
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(only in name)
        plan = Optimization(kind, 1e-2, 0.02, 0.1, 0.01, dtype=torch.float32)
        self.optimizers = make_optimizers(self.model, plan, self.group)
        self.loss = Scaled(LossSum(self.model, text_loss(self.model), torch.device("cpu")))
        self.averaged: nn.Module = self.loss
        if memory.count > 1:
            self.averaged = Averaged(self.loss, self.optimizers, memory)

    def take(self, first: int, end: int) -> list[float]:
        """Take some steps, with gradients that are clipped; returns their losses."""
        tokens = torch.arange(1, 17).view(2, 8)
        windows = [Batch(each, each.roll(-1), None, None) for each in tokens[:, None]]
        start, size = self.group.share(0, 2)
        loop = Loop(
            self.averaged, [*self.model.parameters()], self.optimizers,
            lambda _: windows[start : start + size], lambda step: 1 / (1 + step), 0.1,
            processes=self.group,
        )  # fmt: skip
        return [record.loss for record in loop.take(first, lambda: end)]

    def state(self) -> list[dict[Any, Any]]:
        states = [
            self.model.state_dict(),
            *(each.state_dict()["state"] for each in self.optimizers),
        ]
        return copy.deepcopy(states)

    def load(self, state: list[dict[Any, Any]]) -> None:
        model, *states = copy.deepcopy(state)
        self.model.load_state_dict(model)
        for optimizer, each in zip(self.optimizers, states, strict=True):
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": each, "param_groups": groups})


def trained(count: int, kind: Kind, work: Callable[[Trainer], Any], only: str = "") -> list[Any]:
    """What the work with a trainer returns in each of several processes. It trains the weights with
    `only` in their names."""
    given: list[Sequence[float]] = [()] * count
    return in_all(count, 2**20, lambda memory: work(Trainer(kind, memory, given, only)))


def equal(first: Any, second: Any) -> bool:
    """Whether all tensors in two structures have the same bits."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        same = first.keys() == second.keys()
        return same and all(equal(each, second[name]) for name, each in first.items())
    return len(first) == len(second) and all(map(equal, first, second))


@pytest.mark.parametrize("only", ["", "down_proj"])  # then the second process owns no weight
@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_two_have_the_bits_of_one_and_the_whole_state(kind: Kind, only: str) -> None:
    def steps(trainer: Trainer) -> list[dict[Any, Any]]:
        trainer.take(0, 5)
        return trainer.state()

    [alone] = trained(1, kind, steps, only)
    first, second = trained(2, kind, steps, only)
    assert equal(first, alone) and equal(second, alone)


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(kind: Kind) -> None:
    """It loads the checkpoint of either process, also after other steps, and one from before the
    first step."""

    def steps(trainer: Trainer) -> list[list[dict[Any, Any]]]:
        fresh = [trainer.state()[0], *({} for _ in trainer.optimizers)]
        trainer.meet()
        trainer.take(0, 2)
        saved = trainer.state()
        trainer.meet()
        trainer.take(2, 4)
        return [fresh, saved, trainer.state()]

    [(fresh, _, expected), (_, saved, _)] = trained(2, kind, steps)

    def resume(trainer: Trainer) -> list[dict[Any, Any]]:
        found = []
        for first, checkpoint in ((2, saved), (0, fresh), (2, saved)):
            trainer.load(checkpoint)
            trainer.take(first, 4)
            found.append(trainer.state())
            trainer.meet()
        return found

    for found in trained(2, kind, resume):
        assert all(equal(each, expected) for each in found)


def test_a_step_without_a_finite_gradient_changes_nothing_in_any_process() -> None:
    def steps(trainer: Trainer) -> tuple[bool, list[float]]:
        trainer.take(0, 2)
        before = trainer.state()
        trainer.loss.factor = float("inf") if trainer.group.rank else 1.0
        trainer.take(2, 3)
        same = equal(trainer.state(), before)
        trainer.loss.factor = 1.0
        return same, trainer.take(3, 5)

    [first, second] = trained(2, "muon", steps)
    assert first == second and first[0] and torch.tensor(first[1]).isfinite().all()


def test_weights_that_are_in_no_optimizer_or_that_adalora_changes_are_not_shared() -> None:
    for method, shared in ("lora", True), ("adalora", False):
        model = GPT(GPTConfig("modern", 20, 16, 1, 2, 1, 8, 24, 8))
        attach(model, AdapterSettings(method=method))
        optimizers = make_optimizers(model, Optimization("adamw", 1e-3, 0.02, 0.1))
        assert can_share(model, optimizers) == shared
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizers = [torch.optim.SGD(layers[0].parameters(), 0.1)]
    assert can_share(layers[0], optimizers) and not can_share(layers, optimizers)
    assert not can_share(model.bfloat16(), make_optimizers(model, Optimization("sgd", 1e-3, 0, 0)))


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
            model = GPT(GPTConfig("modern", 20, 16, 1, 2, 1, 8, 24, 8)).train()
            model.initialize(rank)  # all take the weights of the first one
            plan = Optimization("muon", 1e-3, 0.02, 0.1, dtype=torch.float32)
            optimizers = make_optimizers(model, plan, group)
            alone = LossSum(model, text_loss(model), torch.device("cpu"))
            loss_sum = by_messages(alone) if how == "gloo" else together(alone, optimizers, group)
            assert isinstance(loss_sum, Averaged) == (how != "gloo")
            tokens = torch.arange(1, 33).view(4, 8).remainder(20)
            first, size = group.share(0, 4)
            batches = [Batch(each, each.roll(-1), None, None) for each in tokens[:, None]]

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
    assert shared == by_gloo  # bit for bit


def test_who_waits_for_a_process_that_was_killed_ends(tmp_path: Path) -> None:
    [error] = two("killed", tmp_path)
    assert "the connection to another of the 2 processes was lost" in error


def test_without_memory_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    handle = os.memfd_create("test")
    assert not SharedMemory(0, 1, lambda: None).make_room(handle, 8)
    os.close(handle)


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
