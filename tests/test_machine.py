"""What a container allows, as Linux tells it in either version of its control groups."""

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


def test_the_processor_and_the_dtype_that_suits_it(system):
    system(proc__cpuinfo="\n".join(CPUINFO.format(core=core, flags="avx2 avx512_bf16") for core in (0, 0, 1, 1)))
    assert machine.processor() == "Some CPU (family 26, model 2)" and machine.physical_cores() == 2
    assert machine.fast_dtype(torch.device("cpu")) == (torch.bfloat16, "this CPU has AVX-512 bf16")
    system(proc__cpuinfo=CPUINFO.format(core=0, flags="avx2"))
    machine._cpu_facts.cache_clear()
    assert machine.fast_dtype(torch.device("cpu")) == (torch.float32, "this CPU has no bf16 units")


def test_speeds_are_positive_and_the_best_of_at_least_one(monkeypatch):
    monkeypatch.setattr(machine, "SECONDS", 0)
    monkeypatch.setattr(machine, "memory_bytes", lambda where: 2**23)
    cpu = torch.device("cpu")
    assert machine.matrix_flops_per_second(cpu, torch.bfloat16, 64) > 0 and machine.read_bytes_per_second(cpu) > 0
