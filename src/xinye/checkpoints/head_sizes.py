"""Which servers refuse a model for the size of its attention heads.

vLLM on GPUs takes every size that a model here can have: it changes to another kernel. Read in
vLLM 0.32 (`v1/attention/backends/`) and in the documentation and issues of SGLang and FlashInfer,
November 2026.
"""

ALL_ACCEPT = (64, 128, 256)  # all kernels of both, FlashInfer's included
VLLM_ON_CPU = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def refusal(head_dim: int) -> str:
    """Who refuses heads of this many dimensions, as a sentence; empty if nobody does."""
    if head_dim in ALL_ACCEPT:
        return ""
    if head_dim in VLLM_ON_CPU:
        return f"SGLang with FlashInfer refuses heads of {head_dim} dimensions"
    return (
        f"vLLM on a CPU and SGLang with FlashInfer refuse heads of {head_dim} dimensions; a width "
        "that is a multiple of 64 avoids this"
    )


def preferred(head_dims: list[int]) -> int:
    """The first of these sizes that the most servers accept."""
    return min(head_dims, key=lambda each: (each not in ALL_ACCEPT) + (each not in VLLM_ON_CPU))
