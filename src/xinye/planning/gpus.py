"""GPUs with the values of their data sheets, and hosts full of them.

Matrix speeds are dense: data sheets also print twice the figure for sparse matrices, which no
training reaches. Links count one direction: data sheets add up both.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from xinye.errors import XinyeError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class GPU:
    """A GPU, and the host that is usual for it. Speeds count operations or bytes per second."""

    title: str
    bfloat16: float | None  # matrix products with sums in fp32; None without bf16 units
    float32: float  # without tensor cores
    memory: float  # bytes
    memory_speed: float
    link: float  # between two GPUs of a host, one direction
    per_host: int
    network: float  # of a host, all its network cards together
    source: str

    @property
    def dtype(self) -> str:
        """The dtype that Xinye computes in here. It has no fp16."""
        return "bfloat16" if self.bfloat16 else "float32"

    @property
    def peak(self) -> float:
        """The floating-point operations per second of matrix products in that dtype."""
        return self.bfloat16 or self.float32


GBIT, GB, TERA = 1e9 / 8, 1e9, 1e12
_A100 = GPU(
    title="A100 SXM 80 GB",
    bfloat16=312 * TERA,
    float32=19.5 * TERA,
    memory=80 * GB,
    memory_speed=2039 * GB,
    link=300 * GB,
    per_host=8,
    network=8 * 200 * GBIT,
    source="NVIDIA A100 and DGX A100 data sheets",
)
_H100 = GPU(
    title="H100 SXM 80 GB",
    bfloat16=989.4 * TERA,
    float32=67 * TERA,
    memory=80 * GB,
    memory_speed=3350 * GB,
    link=450 * GB,
    per_host=8,
    network=8 * 400 * GBIT,
    source="NVIDIA H100 and DGX H100 data sheets",
)
_V100 = GPU(
    title="V100 SXM2 32 GB",
    bfloat16=None,
    float32=15.7 * TERA,
    memory=32 * GB,
    memory_speed=900 * GB,
    link=150 * GB,
    per_host=8,
    network=4 * 100 * GBIT,
    source="NVIDIA V100 and DGX-1 data sheets",
)
_L40S = GPU(
    title="L40S 48 GB",
    bfloat16=362 * TERA,
    float32=91.6 * TERA,
    memory=48 * GB,
    memory_speed=864 * GB,
    link=32 * GB,  # PCIe 4.0 × 16
    per_host=8,
    network=400 * GBIT,
    source="NVIDIA L40S data sheet; host and network are assumed",
)
_RTX_4090 = GPU(
    title="RTX 4090 24 GB",
    bfloat16=165.2 * TERA,
    float32=82.6 * TERA,
    memory=24 * GB,
    memory_speed=1008 * GB,
    link=32 * GB,  # PCIe 4.0 × 16
    per_host=1,
    network=10 * GBIT,
    source="NVIDIA Ada architecture whitepaper; host and network are assumed",
)
GPUS = {
    "a100": _A100,
    "a100-40": replace(_A100, title="A100 SXM 40 GB", memory=40 * GB, memory_speed=1555 * GB),
    "a800": replace(_A100, title="A800 SXM 80 GB", link=200 * GB, source="NVIDIA A800 data sheet"),
    "h100": _H100,
    "h800": replace(_H100, title="H800 SXM 80 GB", link=200 * GB, source="NVIDIA H800 data sheet"),
    "h20": replace(
        _H100,
        title="H20 SXM 96 GB",
        bfloat16=148 * TERA,
        float32=44 * TERA,
        memory=96 * GB,
        memory_speed=4000 * GB,
        source="NVIDIA H20 data sheet; the network is assumed",
    ),
    "h200": replace(
        _H100,
        title="H200 SXM 141 GB",
        memory=141 * GB,
        memory_speed=4800 * GB,
        source="NVIDIA H200 and DGX H200 data sheets",
    ),
    "b200": GPU(
        title="B200 SXM 180 GB",
        bfloat16=2250 * TERA,
        float32=75 * TERA,
        memory=180 * GB,
        memory_speed=8000 * GB,
        link=900 * GB,
        per_host=8,
        network=8 * 400 * GBIT,
        source="NVIDIA DGX B200 data sheet",
    ),
    "l40s": _L40S,
    "l20": replace(
        _L40S,
        title="L20 48 GB",
        bfloat16=119.5 * TERA,
        float32=59.8 * TERA,
        source="NVIDIA L20 data sheet; host and network are assumed",
    ),
    "rtx3090": replace(
        _RTX_4090,
        title="RTX 3090 24 GB",
        bfloat16=71 * TERA,
        float32=35.6 * TERA,
        memory_speed=936 * GB,
        source="NVIDIA Ampere GA102 whitepaper; host and network are assumed",
    ),
    "rtx4090": _RTX_4090,
    "v100": _V100,
    "v100-16": replace(_V100, title="V100 SXM2 16 GB", memory=16 * GB),
    "t4": GPU(
        title="T4 16 GB",
        bfloat16=None,
        float32=8.1 * TERA,
        memory=16 * GB,
        memory_speed=320 * GB,
        link=16 * GB,  # PCIe 3.0 × 16
        per_host=1,
        network=10 * GBIT,
        source="NVIDIA T4 data sheet; host and network are assumed",
    ),
}


def find_gpu(name: str) -> GPU:
    """The GPU of this name, whatever its case. Raises `XinyeError`."""
    plain = name.lower().replace(" ", "")
    if plain not in GPUS:
        raise XinyeError(
            f"--gpu {name}: this GPU is not known; known are {', '.join(GPUS)}"
            f"{did_you_mean(next((name for name in GPUS if plain in name), plain), GPUS)}"
        )
    return GPUS[plain]


class Cluster(NamedTuple):
    """Hosts of equal GPUs, with one process on each GPU."""

    gpu: GPU
    hosts: int
    per_host: int
    network: float  # of a host, in bytes per second

    @property
    def processes(self) -> int:
        return self.hosts * self.per_host

    @property
    def ring(self) -> float:
        """The bytes per second that each GPU passes on while all pass data around in rings. The
        rings leave a host through all of its network cards, each GPU's share in turn."""
        return self.gpu.link if self.hosts == 1 else min(self.gpu.link, self.network)

    @property
    def direct(self) -> float:
        """The bytes per second that each GPU sends if it sends to all others at the same time."""
        if self.hosts == 1:
            return self.gpu.link
        leaving = (self.processes - self.per_host) / (self.processes - 1)
        return min(self.gpu.link, self.network / self.per_host / leaving)
