"""Attention and RMSNorm, each implemented for the device it runs on.

On CUDA PyTorch's fused kernels are the fastest. On a CPU two of them are slow: its flash attention
reaches a third of the machine's bf16 matrix speed in training, and its RMSNorm passes over memory
ten times. The functions here compute the same, faster (`docs/log.md` has the times).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# The number of queries in one block on a CPU. The scores of a block stay in the processor's cache,
# and no scores of later tokens are computed.
BLOCK = 128


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, is_causal: bool = True
) -> Tensor:
    """Scaled dot-product attention of queries (B, H, T, D) over keys and values (B, H, S, D);
    returns (B, H, T, D).

    `mask` is boolean and broadcasts to (B, H, T, S), True where a query may attend. Without it
    attention is causal for T > 1, and a single query sees everything. A mask that lets queries see
    later tokens needs `is_causal=False`.
    """
    length = queries.shape[2]
    if queries.is_cuda or not torch.is_grad_enabled() or length != keys.shape[2]:
        return F.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=mask is None and length > 1
        )
    batch, heads, _, head_dim = queries.shape
    queries, keys, values = (
        tensor.reshape(batch * heads, length, head_dim) for tensor in (queries, keys, values)
    )
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=queries.device).tril()
    bias = torch.zeros_like(mask, dtype=queries.dtype).masked_fill_(~mask, float("-inf"))
    bias = bias.expand(batch, heads, length, length).reshape(batch * heads, length, length)
    outputs = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        seen = end if is_causal else length
        scores = torch.baddbmm(
            bias[:, start:end, :seen],
            queries[:, start:end],
            keys[:, :seen].transpose(1, 2),
            alpha=head_dim**-0.5,
        )
        outputs.append(scores.softmax(-1) @ values[:, :seen])
    return torch.cat(outputs, dim=1).view(batch, heads, length, head_dim)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation of x over its last dimension (Zhang & Sennrich 2019,
    arXiv:1910.07467)."""
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), eps)
    return _RMSNorm.apply(x, weight, eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[no-untyped-def]
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        normalized = x * scale
        ctx.save_for_backward(normalized, scale, weight)
        return normalized * weight.to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        normalized, scale, weight = ctx.saved_tensors
        product = gradient * normalized
        weight_gradient = product.flatten(0, -2).sum(0, dtype=torch.float32)
        weight = weight.to(gradient.dtype)
        projection = (product @ weight)[..., None] / weight.shape[0]
        return (
            (gradient * weight).addcmul_(normalized, projection, value=-1).mul_(scale),
            weight_gradient,
            None,
        )
