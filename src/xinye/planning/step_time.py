"""How long a step takes on a cluster, estimated on paper: what is computed, what passes through
memory, and what the processes exchange, each over the speed of the data sheet (Williams et al.
2009, "Roofline", doi:10.1145/1498765.1498785).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xinye.model.config import GPTConfig
from xinye.planning.gpus import Cluster
from xinye.planning.memory import (
    LOGIT_BYTES,
    STATES,
    Memory,
    layer_bytes,
    table_parameters,
)

CUDA = torch.device("cuda")  # a name only; nothing is computed there
BANDWIDTH = 0.8  # share of their data-sheet speed that memory and links reach
MUON_ITERATIONS = 5
# Bytes that pass through memory for each weight and micro-batch: fp32 read and cast to bf16 forward
# and backward (12), its gradient written in bf16 and added to that in fp32 (12).
WEIGHT_TRAFFIC = 24


@dataclass(frozen=True)
class Assumption:
    """What is assumed of kernels and exchange."""

    kernels: float  # share of the data-sheet speed that matrix products reach
    passes: float  # times that each activation which is kept passes through memory
    overlap: bool  # whether the exchange runs while the backward pass computes


# One large product reached 80 % on an H100 (benchmarks/README.md); layers have smaller ones.
# Kernels that are well fused write an activation once and read it once; others do so twice.
FAST = Assumption(kernels=0.75, passes=2, overlap=True)
SLOW = Assumption(kernels=0.5, passes=4, overlap=False)


@dataclass(frozen=True)
class Transfer:
    """What each process sends in one step."""

    name: str
    bytes: float
    between_hosts: float  # bytes of these that leave the host, as a mean over its GPUs
    seconds: float
    beside: bool  # whether the computation can go on meanwhile


@dataclass(frozen=True)
class StepTime:
    """The seconds of a step under one assumption, and what follows from them. The exchange counts
    only as far as the computation waits for it."""

    products: float
    memory: float
    optimizer: float
    exchange: float
    step: float
    mfu: float  # model FLOPs over data-sheet FLOPs
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """The training of a GPT on a cluster. Sizes of batches count windows of `context` tokens."""

    config: GPTConfig
    cluster: Cluster
    context: int
    batch_size: int
    micro_batch_size: int
    optimizer: str = "muon"
    split: bool = False  # FSDP
    again: bool = False  # activation checkpointing

    @property
    def share(self) -> int:
        """The windows of a batch that a process computes; some processes may have one fewer."""
        return math.ceil(self.batch_size / self.cluster.processes)

    @property
    def at_once(self) -> int:
        """The windows that a process computes at once."""
        return min(self.micro_batch_size, self.share)

    @property
    def micro_batches(self) -> int:
        return math.ceil(self.share / self.at_once)

    @property
    def bytes_of_dtype(self) -> int:
        return 2 if self.cluster.gpu.dtype == "bfloat16" else 4

    @property
    def memory(self) -> Memory:
        """The memory that each process needs."""
        tokens = self.at_once * self.context
        how = self.optimizer, self.again, self.cluster.processes, self.split
        return Memory(self.config, tokens, *how, device=CUDA)

    @property
    def flops_per_token(self) -> float:
        return self.config.flops_per_token(self.context)

    def exchanges(self) -> Sequence[Transfer]:
        """What each process sends in a step, for each kind. Ring algorithms send (n − 1) / n of the
        data to gather or to reduce it, and twice as much to do both (Thakur et al. 2005,
        doi:10.1177/1094342005051521)."""
        if self.cluster.processes == 1:
            return []
        config, size = self.config, self.bytes_of_dtype
        tables, matrices = table_parameters(config), config.layer_parameters
        if not self.split:
            found = [self._ring("all-reduce of the gradients", 2 * 4 * config.parameters, True)]
            if self.optimizer == "muon":
                found.append(self._ring("all-gather of Muon's updates", size * matrices, False))
            return found
        layers = config.parameters - tables
        gathered = self.micro_batches * (2 * size * layers + 4 * tables)
        reduced = self.micro_batches * 4 * config.parameters
        found = [
            self._ring("all-gather of the weights, forward and backward", gathered, True),
            self._ring("reduce-scatter of the gradients", reduced, True),
        ]
        if self.optimizer == "muon":
            found.append(self._swap("all-to-all of Muon's matrices", 2 * size * matrices))
        return found

    def time(self, assumed: Assumption) -> StepTime:
        """The time of a step under an assumption."""
        gpu, tokens = self.cluster.gpu, self.share * self.context
        speed, bandwidth = gpu.peak * assumed.kernels, gpu.memory_speed * BANDWIDTH
        products = tokens * (self.flops_per_token + self._flops_again()) / speed
        layers = self.config.num_hidden_layers * layer_bytes(self.config)
        kept = layers * (4 / 3 if self.again else 1) + self.config.vocab_size * LOGIT_BYTES
        weights = self.micro_batches * self.config.parameters * WEIGHT_TRAFFIC
        memory = (tokens * kept * assumed.passes + weights) / bandwidth
        optimizer = self._optimizer_flops() / speed + self._optimizer_bytes() / bandwidth
        exchange = self._waiting(products + memory, assumed.overlap)
        step = products + memory + optimizer + exchange
        per_second = self.batch_size * self.context / step
        mfu = per_second * self.flops_per_token / (gpu.peak * self.cluster.processes)
        return StepTime(products, memory, optimizer, exchange, step, mfu, per_second)

    def _ring(self, name: str, data: float, beside: bool) -> Transfer:
        count = self.cluster.processes
        sent = data * (count - 1) / count
        leaving = sent / self.cluster.per_host if self.cluster.hosts > 1 else 0.0
        return Transfer(name, sent, leaving, sent / (self.cluster.ring * BANDWIDTH), beside)

    def _swap(self, name: str, data: float) -> Transfer:
        """Each process has its part of the data and sends as much to each other one."""
        count = self.cluster.processes
        sent = data / count * (count - 1) / count
        leaving = sent * (count - self.cluster.per_host) / (count - 1)
        return Transfer(name, sent, leaving, sent / (self.cluster.direct * BANDWIDTH), False)

    def _waiting(self, computing: float, overlap: bool) -> float:
        """The seconds that a process waits for the exchange. With DDP only the backward pass of the
        last micro-batch runs beside it, two thirds of its time."""
        exchanges = self.exchanges()
        beside = sum(each.seconds for each in exchanges if each.beside)
        alone = sum(each.seconds for each in exchanges if not each.beside)
        covered = computing if self.split else computing * 2 / 3 / self.micro_batches
        return alone + max(0.0, beside - (covered if overlap else 0.0))

    def _flops_again(self) -> float:
        """What activation checkpointing computes again for each token: the layers, forward."""
        if not self.again:
            return 0.0
        head = 2 * self.config.hidden_size * self.config.vocab_size
        return self.config.forward_flops_per_token(self.context) - head

    def _optimizer_flops(self) -> float:
        """The products of Muon in the process that has most of them. Processes share the matrices
        of one shape."""
        if self.optimizer != "muon":
            return 0.0
        layers = self.config.num_hidden_layers
        return sum(
            math.ceil(layers * number / self.cluster.processes) * muon_flops(rows, columns)
            for (rows, columns), number in matrix_shapes(self.config).items()
        )

    def _optimizer_bytes(self) -> float:
        """Weights, gradients and state, each read and written."""
        return 2 * (4 + 4 + STATES[self.optimizer]) * self.config.parameters / self.memory.shards


def matrix_shapes(config: GPTConfig) -> dict[tuple[int, int], int]:
    """The shapes (rows, columns) of the matrices in a layer, and how many there are of each."""
    width, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    shapes = [(queries, width), (keys, width), (keys, width), (width, queries), (width, inner)]
    shapes += [(inner, width)] * (2 if config.rotary else 1)
    return {shape: shapes.count(shape) for shape in shapes}


def muon_flops(rows: int, columns: int) -> float:
    """The floating-point operations to make a matrix orthogonal: in each iteration a product of it
    with itself, the square of that, and their product with the matrix."""
    small, large = sorted((rows, columns))
    return MUON_ITERATIONS * (2 * small**2 * large + 2 * small**3 + 2 * small**2 * large)
