"""`xinye doctor` as a person meets it; the speeds are given, so that no test depends on the
machine's."""

import json
import re

import pytest
import torch

from xinye import machine
from xinye.jobs import doctor
from xinye.libraries import install_command


@pytest.fixture
def speeds(monkeypatch, tmp_path):
    """A quiet machine of two cores with all that is wanted, and its speeds by name, to be
    changed."""
    values = {
        torch.float32: 1e11,
        torch.bfloat16: 5e11,
        "read": 4e10,
        "tokens": 10_000.0,
        "measured": 0,
    }

    def matrix(where, dtype, size=None, seconds=0):
        values["measured"] += 1
        return values[dtype]

    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "matrix_flops_per_second", matrix)
    monkeypatch.setattr(machine, "read_bytes_per_second", lambda where: values["read"])
    monkeypatch.setattr(machine, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "physical_cores", lambda: 2)
    monkeypatch.setattr(machine, "core_quota", lambda: None)
    monkeypatch.setattr(machine, "cpp_compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr(machine, "memory_bytes", lambda where: 16 * 10**9)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(
        doctor.Trial,
        "forward_and_backward",
        lambda trial, batch: batch.tokens.numel() / values["tokens"],
    )
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**11})
    )
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(doctor, "version", lambda package: "1.0")
    return values


def report(xinye, *arguments):
    outcome = xinye("doctor", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out.splitlines()[-1])


def test_json_is_one_object_with_everything(xinye, speeds):
    found = report(xinye)
    assert list(found) == ["machine", "speed", "software", "extras", "defaults", "sizes", "advice"]
    assert {each["name"]: each["value"] for each in found["defaults"]} == {
        "device": "cpu", "dtype": "bfloat16", "compile": "yes"
    }  # fmt: skip
    assert found["speed"]["matrix_flops_per_second"] == {"float32": 1e11, "bfloat16": 5e11}
    assert found["software"]["torch"] == torch.__version__
    assert {"tensorboard", "wandb", "mlflow", "onnx"} <= {
        extra["extra"] for extra in found["extras"]
    }
    sizes = {row["size"]: row for row in found["sizes"]}
    # what was measured, scaled by size from there
    assert sizes["5M"]["tokens_per_second"] == 10_000
    assert sizes["1M"]["tokens_per_second"] > 10_000 > sizes["15M"]["tokens_per_second"]
    assert sizes["5M"]["sensible"] and not sizes["125M"]["sensible"]
    assert found["advice"] == []


def widest(shown):
    """The characters of the longest line on a terminal."""
    return max(map(len, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()))


def test_the_report_fits_a_terminal(xinye, terminal, speeds):
    outcome = xinye("doctor")
    assert outcome.code == 0 and widest(terminal("doctor", columns=80).out) <= 80
    for words in (
        "500 GFLOP/s  5.0 × float32",
        "bfloat16  one thread multiplies bf16 5 times as fast",
        "nothing to do",
    ):
        assert words in outcome.out
    places = [
        outcome.out.index(title)
        for title in ("Machine", "Speed", "Software", "Extras", "Defaults", "Sizes")
    ]
    assert places == sorted(places)


def test_speeds_are_kept_until_they_are_wanted_anew(xinye, speeds, tmp_path):
    first = report(xinye)
    count, speeds["read"] = speeds["measured"], 1e9
    assert report(xinye)["speed"] == first["speed"] and speeds["measured"] == count
    assert report(xinye, "--measure")["speed"]["memory_bytes_per_second"] == 1e9
    for damage in ('{"measured": {}}', "damaged"):
        for kept in (tmp_path / "cache" / "machines").iterdir():
            kept.write_text(damage, "utf-8")
        assert report(xinye)["speed"]["memory_bytes_per_second"] == 1e9


@pytest.mark.parametrize(
    "change, problem, remedy",
    [
        (
            {"speeds": {"tokens": 1000.0}},
            "the model reads fewer tokens in ten minutes",
            "use --size 1M",
        ),
        (
            {"threads": 1, "environment": {"OMP_NUM_THREADS": "1"}},
            "torch uses 1 of 2 cores",
            "unset OMP_NUM_THREADS",
        ),
        (
            {"threads": 8},
            "torch runs 8 threads, but this process may use only 2 of the cores",
            "export OMP_NUM_THREADS=2",
        ),
        ({"quota": 1.5}, "may use only 1 of the cores", "export OMP_NUM_THREADS=1"),
        ({"compiler": None}, "no C++ compiler", "g++"),
        ({"load": 1.6}, "other programs were running", "xinye doctor --measure"),
        ({"memory": 5 * 10**7}, "the default --size 5M does not fit", "use --size 1M"),
        (
            {"driver": "NVRM: NVIDIA UNIX Open Kernel Module for x86_64  570.86  Release"},
            "sees no GPU",
            "nvidia-smi",
        ),
        (
            {"encoding": "ISO-8859-1"},
            "set to iso-8859-1, which cannot show Chinese",
            "PYTHONUTF8=1",
        ),
    ],
)
def test_each_shortcoming_has_its_remedy(xinye, speeds, monkeypatch, change, problem, remedy):
    speeds.update(change.get("speeds", {}))
    for name, value in change.get("environment", {}).items():
        monkeypatch.setenv(name, value)
    if "threads" in change:
        monkeypatch.setattr(torch, "get_num_threads", lambda: change["threads"])
    if "quota" in change:
        monkeypatch.setattr(machine, "core_quota", lambda: change["quota"])
    if "compiler" in change:
        monkeypatch.setattr(machine, "cpp_compiler", lambda: None)
    if "load" in change:
        monkeypatch.setattr(doctor.os, "getloadavg", lambda: (change["load"],))
    if "memory" in change:
        monkeypatch.setattr(machine, "memory_bytes", lambda where: change["memory"])
    if "driver" in change:
        (machine.PROC / "driver" / "nvidia").mkdir(parents=True)
        (machine.PROC / "driver" / "nvidia" / "version").write_text(change["driver"], "utf-8")
    if "encoding" in change:
        monkeypatch.setattr(
            doctor.sys, "stdout", type("Out", (), {"encoding": change["encoding"]})()
        )
        (advice,) = doctor.examine(False, doctor.Observer()).advice
    else:
        (advice,) = report(xinye)["advice"]
    assert problem in advice["problem"] and remedy in advice["remedy"]


def test_a_gpu_is_described(xinye, terminal, speeds, monkeypatch):
    report(xinye)  # a speed to take for the GPU's
    kept = doctor.Speed(**report(xinye)["speed"])
    gpu = type(
        "GPU", (), {"name": "NVIDIA Test 80GB", "major": 9, "minor": 0, "total_memory": 80 * 10**9}
    )
    monkeypatch.setattr(machine, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(doctor, "measured", lambda *arguments: kept)
    out = xinye("doctor").out
    assert "2 × NVIDIA Test 80GB, capability 9.0" in out and "80.0 GB, 16.0 GB free" in out
    assert widest(terminal("doctor", columns=80).out) <= 80


def test_a_missing_extra_is_told_with_the_command(xinye, speeds, monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda package: None if package == "wandb" else "1")
    (wandb,) = (extra for extra in report(xinye)["extras"] if extra["extra"] == "wandb")
    assert wandb["missing"] == ["wandb"] and wandb["use"].startswith("curves")
    assert install_command("wandb") in xinye("doctor").out


def test_wrong_use_is_one_line(xinye):
    outcome = xinye("doctor", "--mesure")
    assert outcome.code == 2 and "did you mean '--measure'?" in outcome.complaint
    assert "example:\n  xinye doctor" in xinye("doctor", "--help").out


def test_a_slow_dtype_has_two_digits():
    from xinye.cli.machine import two_digits

    shown = [two_digits(value) for value in (0.0163, 0.163, 1.63, 16.3, 9.99, 2500)]
    assert shown == ["0.016", "0.16", "1.6", "16", "10", "2,500"]
