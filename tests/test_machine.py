"""What a container allows, as Linux tells it in either version of its control groups."""

import os
from types import SimpleNamespace

import pytest
import torch

from xinye import machine

GIB = 2**30
CPUINFO = (
    "model name\t: Some CPU\ncpu family\t: 26\nmodel\t\t: 2\nphysical id\t: 0\ncore id\t\t: {core}\n"
    "flags\t\t: {flags}\n"
)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A /proc and /sys/fs/cgroup of one's own: writes files by path."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "total_memory", lambda: 64 * GIB)
    machine._cpu_facts.cache_clear()

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    yield write
    machine._cpu_facts.cache_clear()


def test_limits_of_version_2_also_of_an_outer_group(system):
    system(
        proc__self__cgroup="0::/job/inner\n",
        proc__meminfo=f"MemTotal: {64 * 2**20} kB\nMemAvailable: {60 * 2**20} kB\n",
        groups__job__inner__cpu_dot_max="max 100000\n",
        groups__job__cpu_dot_max="150000 100000\n",
        groups__job__inner__memory_dot_max="max\n",
        groups__job__memory_dot_max=f"{4 * GIB}\n",
        groups__job__memory_dot_current=f"{3 * GIB}\n",
        groups__job__memory_dot_stat=f"anon {2 * GIB}\ninactive_file {GIB}\n",
    )
    assert machine.core_quota() == 1.5 and machine.memory_limit() == 4 * GIB
    assert machine.memory_bytes(torch.device("cpu")) == 2 * GIB  # cached files can give way


def test_limits_of_version_1(system):
    system(
        proc__self__cgroup="4:memory:/job\n1:cpu,cpuacct:/elsewhere\n",
        groups__cpu__cpu_dot_cfs_quota_us="200000\n",
        groups__cpu__cpu_dot_cfs_period_us="100000\n",
        groups__memory__job__memory_dot_limit_in_bytes=f"{8 * GIB}\n",
        groups__memory__job__memory_dot_usage_in_bytes=f"{GIB}\n",
        groups__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
        groups__memory__memory_dot_usage_in_bytes=f"{GIB}\n",
    )
    assert machine.core_quota() == 2 and machine.memory_limit() == 8 * GIB
    assert machine.memory_bytes(torch.device("cpu")) == 7 * GIB


def test_no_limits_and_nothing_to_read(system):
    assert machine.core_quota() is None and machine.memory_limit() is None
    assert machine.memory_bytes(torch.device("cpu")) == 64 * GIB
    assert machine.processor() and (machine.physical_cores() or 1) >= 1


def test_the_processor_and_its_cores(system):
    system(
        proc__cpuinfo="\n".join(CPUINFO.format(core=core, flags="avx2") for core in (0, 0, 1, 1))
    )
    assert machine.processor() == "Some CPU (family 26, model 2)" and machine.physical_cores() == 2


@pytest.fixture
def speeds(monkeypatch, tmp_path):
    """What each dtype is multiplied with, to be changed, and how often it was measured."""
    found = {torch.float32: 1e11, torch.bfloat16: 3e11, "measured": 0}

    def measure(where, dtype, size=None, seconds=0):
        found["measured"] += 1
        return found[dtype]

    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "matrix_flops_per_second", measure)
    return found


@pytest.mark.parametrize(
    "ratio, dtype", [(3.0, torch.bfloat16), (1.1, torch.float32), (0.3, torch.float32)]
)
def test_the_dtype_is_the_one_that_is_multiplied_clearly_faster(speeds, ratio, dtype):
    speeds[torch.bfloat16] = ratio * speeds[torch.float32]
    reason = f"one thread multiplies bf16 {ratio:.2g} times as fast as fp32 here"
    assert machine.fast_dtype(torch.device("cpu")) == (dtype, reason)


def test_the_dtype_is_measured_once_for_each_limit(speeds, monkeypatch, tmp_path):
    cpu = torch.device("cpu")
    assert machine.fast_dtype(cpu)[0] == torch.bfloat16
    count, speeds[torch.bfloat16] = speeds["measured"], 1e9
    assert machine.fast_dtype(cpu)[0] == torch.bfloat16 and speeds["measured"] == count
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # as if it were another processor
    assert machine.fast_dtype(cpu)[0] == torch.float32
    for damage in ("", "[]", '{"measured": {"float32": 1}}', "[" * 100_000):
        for kept in (tmp_path / "cache" / "machines").iterdir():
            kept.write_text(damage, "utf-8")
        assert machine.fast_dtype(cpu)[0] == torch.float32


@pytest.mark.parametrize(
    "variable, value, limit",
    [
        ("ATEN_CPU_CAPABILITY", "avx2", "avx2"),
        ("ATEN_CPU_CAPABILITY", "default", "avx2"),
        ("ATEN_CPU_CAPABILITY", "avx512", None),  # tells nothing of bf16
        ("ONEDNN_MAX_CPU_ISA", "AVX2_VNNI", "avx2"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", "avx512"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", None),
        ("DNNL_MAX_CPU_ISA", "SSE41", "avx2"),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX512", "avx512"),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX", "avx2"),
    ],
)
def test_the_limits_of_the_libraries_are_understood(monkeypatch, variable, value, limit):
    for name in machine.LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert machine.instruction_limit() is None
    monkeypatch.setenv(variable, value)
    assert machine.instruction_limit() == limit


def test_speeds_are_positive_and_the_best_of_at_least_one(monkeypatch):
    monkeypatch.setattr(machine, "SECONDS", 0)
    monkeypatch.setattr(machine, "memory_bytes", lambda where: 2**23)
    cpu = torch.device("cpu")
    assert (
        machine.matrix_flops_per_second(cpu, torch.bfloat16, 64, 0) > 0
        and machine.read_bytes_per_second(cpu) > 0
    )


def test_a_dtype_that_cannot_be_multiplied_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))

    def refuse(where, dtype, size=None, seconds=0):
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(machine, "matrix_flops_per_second", refuse)
    assert machine.matrix_speed(torch.device("cpu"), torch.float16) is None


def test_a_matrix_speed_is_measured_once_and_for_its_dtype_alone(speeds):
    cpu = torch.device("cpu")
    # a small product, a large one
    assert machine.matrix_speed(cpu, torch.float32) == 1e11 and speeds["measured"] == 2
    assert machine.matrix_speed(cpu, torch.float32) == 1e11 and speeds["measured"] == 2
    assert machine.matrix_speed(cpu, torch.float32, anew=True) == 1e11 and speeds["measured"] == 4


def test_a_measurement_holds_for_the_library_that_multiplied(speeds, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(machine, "prefers_onednn", lambda: False)
    assert machine.matrix_speed(cpu, torch.float32) == 1e11
    speeds[torch.float32] = 2e11
    monkeypatch.setattr(machine, "prefers_onednn", lambda: True)
    assert machine.matrix_speed(cpu, torch.float32) == 2e11


@pytest.mark.parametrize(
    "variable, value, calls",
    [
        ("MALLOC_ARENA_MAX", "1", 0),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0", 0),
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 2),
    ],
)
def test_freed_memory_is_kept_unless_the_user_has_chosen(monkeypatch, variable, value, calls):
    done = []
    library = SimpleNamespace(mallopt=lambda *option: done.append(option))
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda path: library)
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    machine.keep_freed_memory()
    assert len(done) == calls
