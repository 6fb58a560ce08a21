"""Training with FSDP2: each process keeps a part of every weight, of its gradient and of the
optimizers' state, and gathers the weights of a layer while it computes that layer (Rajbhandari et
al. 2020, arXiv:1910.02054; Zhao et al. 2023, arXiv:2304.11277).
"""

import atexit
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xinye.model.gpt import GPT, gpt_in
from xinye.training.distributed import Processes

FORWARDS = ("loss", "hidden")  # methods besides `forward` that compute with the outer weights


def hollow(model: nn.Module) -> Any:
    """A copy of a model whose tensors have no memory."""
    tensors = [*model.parameters(), *model.buffers()]
    empty: dict[int, Any] = {
        id(each): nn.Parameter(each.to("meta"), each.requires_grad)
        if isinstance(each, nn.Parameter)
        else each.to("meta")
        for each in tensors
    }
    return copy.deepcopy(model, empty)


def compile_layers(gpt: GPT) -> None:
    """Compile each layer of a GPT alone, in place. Between the layers their weights are gathered,
    which cannot be compiled."""
    for layer in gpt.model.layers:
        layer.compile()


def shard(model: Any, gpt: GPT, device: torch.device, processes: Processes) -> None:
    """Split a model, which is a GPT or has a head over it, among processes, in place. A model
    without memory gets some, but no values; weights in other dtypes become fp32.

    Layers are computed in the model's dtype, and their weights are gathered in it. Embeddings and
    head stay in fp32, because their gradients are sums over many tokens.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )
    from torch.distributed.tensor.debug import _clear_sharding_prop_cache

    # The cache keeps the mesh, and with it the process group, for ever (see `let_go`).
    atexit.register(_clear_sharding_prop_cache)
    mesh = init_device_mesh(device.type, (processes.count,))
    narrow = None if gpt.compute_dtype == torch.float32 else gpt.compute_dtype
    policy = MixedPrecisionPolicy(param_dtype=narrow, reduce_dtype=torch.float32)
    empty = next(model.parameters()).is_meta
    for layer in gpt.model.layers:
        fully_shard(layer.float(), mesh=mesh, mp_policy=policy)
    fully_shard(model.float(), mesh=mesh)
    for name in FORWARDS:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    if empty:
        model.to_empty(device=device)
    gpt.lm_head.register_forward_hook(_agree)


@contextmanager
def evaluating(model: Any, free: int) -> Iterator[None]:
    """Evaluate a model that is split, where each process has so many bytes of memory `free`.

    Its weights stay gathered meanwhile, if there is room for them: a text is generated token by
    token. Layers are not compiled for the many lengths of such texts."""
    from torch.distributed.fsdp import FSDPModule

    parts = [each for each in model.modules() if isinstance(each, FSDPModule)]
    stays = 2 * sum(each.nbytes for each in model.parameters()) <= free
    if gpt := gpt_in(model):
        gpt.free_memory = free  # so that all generate as many texts at once
    for part in parts[1:]:  # the first is the model, whose outer weights stay anyway
        part.set_reshard_after_forward(not stays, recurse=False)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for part in parts[1:]:
            part.set_reshard_after_forward(True, recurse=False)
        for part in parts:
            part.reshard()


def _agree(head: nn.Module, inputs: Any, logits: Tensor) -> Tensor:
    """Let all processes choose the next tokens by the same logits (n, V). Otherwise one of them
    might end a text earlier, and the others would wait for it."""
    if logits.ndim == 2 and not torch.is_grad_enabled():
        dist.broadcast(logits, 0)
    return logits
