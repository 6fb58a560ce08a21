"""A step depends on nothing but its number: not on how it is cut, nor on what this process did
before."""

import copy
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from xinye.data.batches import IGNORED, Batch, Windows
from xinye.data.blocks import OneBlock
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.gpt import GPT
from xinye.model.lstm import LSTM
from xinye.training.distributed import Processes
from xinye.training.loop import Loop, Step
from xinye.training.optimizers import Optimization, make_optimizers

V, CONTEXT, BATCH = 30, 16, 6
random = np.random.default_rng(0)
# Some windows are packed, some padded, some full, so that they hold unlike numbers of targets.
ENDS = np.cumsum([40, *range(9, 16), 3, 4, 16, *range(9, 14), 5, 6, 33])
SPANS = np.stack((np.concatenate(([0], ENDS[:-1])), ENDS), axis=1)
WINDOWS = Windows(OneBlock(random.integers(1, V, ENDS[-1]), SPANS), CONTEXT, 0)


class Recorder(torch.optim.SGD):
    """An optimizer that keeps the gradients of its last step and moves nothing."""

    def __init__(self, model: GPT) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self.param_groups[0]["peak_lr"] = 0.0

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.gradients = [parameter.grad.clone() for parameter in self.param_groups[0]["params"]]


def new_model(dropout: float = 0.0) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig("modern", V, 16, 2, 2, 1, 8, 32, CONTEXT, dropout=dropout))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model.train()


def loss_of(model: GPT) -> Callable[[Batch], Tensor]:
    return lambda batch: model.loss(batch.tokens, batch.targets, batch.positions, batch.documents)


def micro_batches(size: int, step: int) -> list[Batch]:
    return [WINDOWS.batch(step * BATCH + first, size) for first in range(0, BATCH, size)]


def take(
    model: GPT,
    optimizers: Sequence[torch.optim.Optimizer],
    first: int,
    steps: int,
    size: int = 3,
    clip: float = 1.0,
    loss: Callable[[Batch], Tensor] | None = None,
) -> list[Step]:
    loop = Loop(
        loss or loss_of(model), list(model.parameters()), optimizers, lambda step: micro_batches(size, step),
        lambda step: 1 / (step + 1), clip,
    )  # fmt: skip
    return list(loop.take(first, lambda: steps))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_one_batch_is_its_micro_batches(size: int) -> None:
    # or a mean of means would also pass
    assert len({batch.counted for batch in micro_batches(size, 0)}) > 1
    model = new_model()
    whole, cut = Recorder(model), Recorder(model)
    [expected] = take(model, [whole], 0, 1, BATCH)
    [record] = take(model, [cut], 0, 1, size)
    assert record.loss == pytest.approx(expected.loss, rel=1e-6)
    assert record.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-5)
    assert record.tokens == expected.tokens == WINDOWS.batch(0, BATCH).counted
    for one, other in zip(cut.gradients, whole.gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_loss_is_nats_per_counted_token() -> None:
    model = new_model()
    batch = WINDOWS.batch(0, BATCH)
    [record] = take(model, [Recorder(model)], 0, 1)
    assert record.loss == pytest.approx(
        float(loss_of(model)(batch).detach()) / batch.counted, rel=1e-6
    )


def test_a_gradient_is_clipped_and_its_record_tells_what_it_was() -> None:
    model = new_model()
    free, clipped = Recorder(model), Recorder(model)
    [record] = take(model, [free], 0, 1, clip=1e9)
    [same] = take(model, [clipped], 0, 1, clip=record.gradient_norm / 4)
    assert same.gradient_norm == pytest.approx(record.gradient_norm, rel=1e-6)
    for one, other in zip(clipped.gradients, free.gradients, strict=True):
        assert torch.allclose(one, other / 4, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(value: float) -> None:
    model = new_model()
    optimizers = make_optimizers(model, Optimization("muon", 1e-2, 1e-2, 0.1))
    take(model, optimizers, 0, 1)
    before = copy.deepcopy(
        [model.state_dict(), *(optimizer.state_dict()["state"] for optimizer in optimizers)]
    )
    poisoned = loss_of(model)
    [record] = take(model, optimizers, 1, 2, loss=lambda batch: poisoned(batch) * value)
    assert not record.gradient_norm < float("inf")
    after = [model.state_dict(), *(optimizer.state_dict()["state"] for optimizer in optimizers)]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    [healthy] = take(model, optimizers, 2, 3)  # nothing is left over in the gradients
    assert healthy.gradient_norm < float("inf")


@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_stopping_and_going_on_ends_bit_for_bit_where_one_run_ends(kind: str) -> None:
    def made() -> tuple[GPT, list[torch.optim.Optimizer]]:
        model = new_model(dropout=0.2)
        return model, make_optimizers(model, Optimization(kind, 1e-2, 1e-2, 0.1))  # type: ignore[arg-type]

    model, optimizers = made()
    records = take(model, optimizers, 0, 6)
    stopped, stopped_optimizers = made()
    take(stopped, stopped_optimizers, 0, 3)
    torch.rand(100)  # whatever else happens between
    resumed, resumed_optimizers = made()
    resumed.load_state_dict(stopped.state_dict())
    for new, old in zip(resumed_optimizers, stopped_optimizers, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    again = take(resumed, resumed_optimizers, 3, 6)
    assert [(step.step, step.loss, step.gradient_norm) for step in again] == [
        (step.step, step.loss, step.gradient_norm) for step in records[3:]
    ]
    torch.testing.assert_close(resumed.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_dropout_differs_from_step_to_step_and_from_seed_to_seed() -> None:
    model = new_model(dropout=0.5)
    batch = [WINDOWS.batch(0, 2)]
    losses = [
        step.loss
        for seed in (0, 1)
        for step in Loop(
            loss_of(model), list(model.parameters()), [Recorder(model)], lambda step: batch, lambda step: 1.0, seed=seed
        ).take(0, lambda: 3)
    ]  # fmt: skip
    assert len(set(losses)) == 6


def test_every_optimizer_moves_at_its_own_peak_times_the_factor_of_the_step() -> None:
    model = new_model()
    optimizers = make_optimizers(model, Optimization("muon", 1e-3, 2e-2, 0.1))
    [record] = take(model, optimizers, 4, 5)
    assert (record.step, record.rate_factor) == (5, 0.2)
    assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == pytest.approx(
        [4e-3, 2e-4]
    )


def test_a_step_tells_where_its_time_goes() -> None:
    def slow(amount: float, result: object) -> object:
        time.sleep(amount)
        return result

    model = new_model()
    loss = loss_of(model)
    [record] = Loop(
        lambda batch: slow(0.01, loss(batch)), list(model.parameters()), [Recorder(model)],
        lambda step: slow(0.03, micro_batches(3, step)), lambda step: 1.0,
    ).take(0, lambda: 1)  # fmt: skip
    parts = (
        record.data_seconds,
        record.forward_seconds,
        record.backward_seconds,
        record.optimizer_seconds,
    )
    assert record.data_seconds > 0.03 and record.forward_seconds > 0.02  # two micro-batches
    assert record.seconds == pytest.approx(sum(parts)) and min(parts) > 0


@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_l1_shrinks_the_matrices_by_its_rate_after_the_step(kind: str) -> None:
    after = {}
    for l1 in (0.0, 0.5):
        model = new_model()
        optimizers = make_optimizers(model, Optimization(kind, 0.1, 0.1, 0.1, l1))  # type: ignore[arg-type]
        take(model, optimizers, 1, 2)  # at half the peak rate
        after[l1] = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for name, plain in after[0.0].items():
        matrix = plain.ndim == 2 and (kind != "muon" or "layers" in name)
        expected = plain.sign() * (plain.abs() - 0.05 * 0.5).clamp(min=0) if matrix else plain
        torch.testing.assert_close(after[0.5][name], expected, rtol=0, atol=1e-7)
        assert bool((after[0.5][name] == 0).any()) == matrix


@pytest.mark.parametrize("kind", ["gpt", "lstm"])
def test_smoothed_labels_are_a_sum_over_counted_targets(kind: str) -> None:
    model: GPT | LSTM = new_model()
    if kind == "lstm":
        model = LSTM(LSTMConfig(V, 16, 1, CONTEXT))
        model.initialize(0)
    batch = WINDOWS.batch(0, BATCH)
    counted = batch.targets != IGNORED
    assert batch.documents is not None and int((~counted).sum()) > 0  # packed, and padded
    mask = (batch.documents[:, :, None] == batch.documents[:, None, :]).tril()[:, None]
    surprises = -model(batch.tokens, batch.positions, mask).log_softmax(-1)[counted]  # (N, V)
    of_target = surprises.gather(1, batch.targets[counted][:, None])[:, 0]
    expected = (0.9 * of_target + 0.1 * surprises.mean(1)).sum()
    loss = model.loss(
        batch.tokens, batch.targets, batch.positions, batch.documents, label_smoothing=0.1
    )
    torch.testing.assert_close(loss, expected)
    plain = model.loss(batch.tokens, batch.targets, batch.positions, batch.documents)
    torch.testing.assert_close(plain, of_target.sum())


def test_the_next_batches_are_made_during_a_step_and_two_exchange_once_a_step() -> None:
    exchanged: list[Sequence[float]] = []

    class Twins(Processes):
        def numbers(self, mine: Sequence[float]) -> list[list[float]]:
            exchanged.append(mine)
            return [list(mine)] * 2

    def made_by(step: int) -> list[Batch]:
        makers.append((step, threading.current_thread() is threading.main_thread()))
        return micro_batches(3, step)

    makers: list[tuple[int, bool]] = []
    model, asked = new_model(), iter([False, True])
    loop = Loop(
        loss_of(model), list(model.parameters()), [Recorder(model)], made_by, lambda step: 1.0,
        processes=Twins(0, 2), interrupted=lambda: next(asked),
    )  # fmt: skip
    records = loop.take(0, lambda: 3)
    first, second = records
    assert makers == [(0, True), (1, False), (2, False)]
    assert exchanged[0] == [sum(batch.counted for batch in micro_batches(3, 0))]
    assert len(exchanged) == 3 and second.tokens == 2 * exchanged[1][2]
    [alone] = take(model, [Recorder(model)], 0, 1)
    assert first.loss == pytest.approx(alone.loss, rel=1e-6)


def test_nothing_is_made_for_a_step_that_is_not_taken() -> None:
    model, made = new_model(), []
    loop = Loop(
        loss_of(model), list(model.parameters()), [Recorder(model)],
        lambda step: made.append(step) or micro_batches(3, step), lambda step: 1.0,
    )  # fmt: skip
    assert [record.step for record in loop.take(1, lambda: 3)] == [2, 3] and made == [1, 2]
