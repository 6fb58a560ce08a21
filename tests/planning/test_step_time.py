"""A step on paper: hand-computed cases, and what must hold for every size and cluster."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.model.build import build
from xinye.model.config import GPTConfig
from xinye.planning.gpus import GPUS, Cluster
from xinye.planning.memory import Memory
from xinye.planning.step_time import (
    CUDA,
    FAST,
    MUON_ITERATIONS,
    SLOW,
    Work,
    matrix_shapes,
    muon_flops,
)
from xinye.training.optimizers import ITERATIONS

H100 = GPUS["h100"]
# 2 layers × (4 × 64² + 3 × 64 × 128) = 81,920 weights in matrices; embeddings and head 2 × 64,000.
SMALL = GPTConfig("llama", 1000, 64, 2, 4, 4, 16, 128, 32, tie_word_embeddings=False)
MATRICES, TABLES = 81_920, 128_000
NORMS = 2 * 2 * 64 + 64


def work(hosts: int = 1, per_host: int = 8, **others) -> Work:
    cluster = Cluster(H100, hosts, per_host, H100.network)
    sizes = {"context": 32, "batch_size": 64, "micro_batch_size": 8}
    return Work(config=SMALL, cluster=cluster, **{**sizes, **others})


def test_one_process_exchanges_nothing():
    alone = work(1, 1)
    assert not alone.exchanges() and alone.memory.buckets == 0 and alone.time(SLOW).exchange == 0


def test_ddp_reduces_all_gradients_once_and_gathers_the_updates():
    one = work(1, 8)
    reduced, gathered = one.exchanges()
    assert SMALL.parameters == MATRICES + TABLES + NORMS
    assert reduced.bytes == pytest.approx(2 * 4 * SMALL.parameters * 7 / 8)
    assert gathered.bytes == pytest.approx(2 * MATRICES * 7 / 8)
    assert reduced.seconds == pytest.approx(reduced.bytes / (0.8 * 450e9))
    assert reduced.between_hosts == 0 and one.memory.buckets == 4 * SMALL.parameters
    assert [each.name for each in work(optimizer="adamw").exchanges()] == [reduced.name]


def test_fsdp_gathers_twice_and_reduces_for_each_micro_batch():
    two = work(2, 8, split=True, micro_batch_size=1)
    assert (two.share, two.micro_batches, two.memory.shards) == (4, 4, 16)
    gathered, reduced, swapped = two.exchanges()
    layers = MATRICES + NORMS
    assert gathered.bytes == pytest.approx(4 * (2 * 2 * layers + 4 * TABLES) * 15 / 16)
    assert reduced.bytes == pytest.approx(4 * 4 * SMALL.parameters * 15 / 16)
    assert reduced.between_hosts == pytest.approx(reduced.bytes / 8)
    assert reduced.seconds == pytest.approx(reduced.bytes / (0.8 * 400e9))  # 8 × 400 Gbit/s
    assert swapped.bytes == pytest.approx(2 * 2 * MATRICES / 16 * 15 / 16)
    assert swapped.between_hosts == pytest.approx(swapped.bytes * 8 / 15)


def test_the_time_of_products_is_their_number_over_the_speed():
    time = work(1, 1).time(SLOW)
    flops = 64 * 32 * SMALL.flops_per_token(32)
    assert time.products == pytest.approx(flops / (0.5 * 989.4e12))
    assert time.mfu == pytest.approx(flops / time.step / 989.4e12)
    again = work(1, 1, again=True).time(SLOW)
    layers = SMALL.forward_flops_per_token(32) - 2 * 64 * 1000
    assert again.products == pytest.approx(time.products + 64 * 32 * layers / (0.5 * 989.4e12))


def test_without_bf16_it_computes_and_exchanges_in_float32():
    cluster = Cluster(GPUS["v100"], 1, 8, GPUS["v100"].network)
    old = Work(config=SMALL, cluster=cluster, context=32, batch_size=64, micro_batch_size=8)
    assert old.exchanges()[1].bytes == pytest.approx(4 * MATRICES * 7 / 8)
    flops = 8 * 32 * SMALL.flops_per_token(32)
    assert old.time(SLOW).products == pytest.approx(flops / (0.5 * 15.7e12))


def test_matrices_are_those_of_the_network_and_muon_iterates_as_often():
    config = GPTConfig("modern", 50, 64, 3, 4, 2, 16, 96, 32)
    with torch.device("meta"):
        layers = build(config).model.layers
    found = [tuple(each.shape) for each in layers[0].parameters() if each.ndim == 2]
    assert matrix_shapes(config) == {shape: found.count(shape) for shape in found}
    assert MUON_ITERATIONS == ITERATIONS
    assert muon_flops(10, 20) == muon_flops(20, 10) == 5 * (2 * 2 * 10 * 10 * 20 + 2 * 10**3)


shapes = st.builds(
    lambda heads, layers, vocabulary, tied: GPTConfig(
        "modern", vocabulary, 64 * heads, layers, heads, heads, 64, 160 * heads, 256, tied
    ),
    *(st.integers(1, 32), st.integers(1, 48), st.integers(256, 65_536), st.booleans()),
)


@settings(max_examples=25)
@given(shapes, st.sampled_from(sorted(GPUS)), st.integers(0, 5), st.booleans(), st.booleans())
def test_more_hosts_never_need_more_memory_and_no_step_is_faster_than_the_gpu(
    config, name, doubled, split, again
):
    gpu = GPUS[name]

    def on(hosts: int) -> Work:
        cluster = Cluster(gpu, hosts, 8, gpu.network)
        sizes = {"context": 256, "batch_size": 1024, "micro_batch_size": 16}
        return Work(config=config, cluster=cluster, split=split, again=again, **sizes)

    few, many = on(2**doubled), on(2 ** (doubled + 1))
    assert many.memory.total <= few.memory.total
    tokens = few.at_once * 256
    assert few.memory == Memory(config, tokens, "muon", again, 8 * 2**doubled, split, device=CUDA)
    fast, slow = few.time(FAST), few.time(SLOW)
    assert 0 < fast.step <= slow.step and math.isfinite(slow.step)
    assert 0 < slow.mfu <= fast.mfu <= FAST.kernels
