"""What is missing is named, with a command that is right here; and all that is installed is
pinned."""

import itertools
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from xinye import XinyeError, libraries

PROJECT = Path(__file__).parents[1]


def test_a_package_that_is_there_is_not_missed():
    libraries.need("nothing", "torch", "json")


@pytest.mark.parametrize(
    ("extra", "checkout", "inside", "command"),
    [
        ("onnx", True, True, 'pip install -c constraints.txt -e ".[onnx]"'),
        ("", True, True, 'pip install -c constraints.txt -e "."'),
        ("onnx", True, False, 'pip install -c "{0}/constraints.txt" -e "{0}[onnx]"'),
        ("onnx", False, False, 'pip install "xinye[onnx]"'),
        ("", False, False, 'pip install "xinye"'),
    ],
)
def test_the_command_is_right_for_a_checkout_and_for_a_package(
    tmp_path, monkeypatch, extra, checkout, inside, command
):
    project, bin_folder = tmp_path / "project", tmp_path / "bin"
    for folder in (project, bin_folder):
        folder.mkdir()
    if checkout:
        (project / "constraints.txt").touch()
    monkeypatch.setattr(libraries, "PROJECT", project)
    monkeypatch.setattr(sys, "executable", str(bin_folder / "python"))
    monkeypatch.chdir(project if inside else tmp_path)
    pip = f"{bin_folder / 'python' if inside else 'bin/python'} -m pip"
    command = command.format(project)
    with pytest.raises(XinyeError) as missing:
        libraries.need("leaves", "no_such_module", extra=extra)
    assert (
        str(missing.value)
        == f"leaves needs no_such_module; to install it: {command.replace('pip', pip, 1)}"
    )
    (bin_folder / "pip").touch(mode=0o755)  # the shell finds that pip first: its name is enough
    monkeypatch.setenv("PATH", str(bin_folder))
    assert libraries.install_command(extra) == command


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()


def test_everything_that_is_installed_is_pinned():
    """Also what only another Python or system installs, as far as the packages here tell."""
    lines = (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    # one release, on every machine
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    pinned = {name_of(str(pin)) for pin in pins}
    about = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    extras = about["project"]["optional-dependencies"]
    asked = [
        *about["build-system"]["requires"],
        *about["project"]["dependencies"],
        *itertools.chain(*extras.values()),
    ]
    waiting = [Requirement(each) for each in asked if not each.startswith("xinye")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (name_of(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            needs = map(Requirement, metadata.requires(wanted.name) or ())
        except metadata.PackageNotFoundError:
            continue
        waiting += [each for each in needs if on_some_machine(each, wanted.extras)]
    # for Linux with a GPU: torch pins them itself
    wheels_of_torch = re.compile("nvidia|cuda|triton")
    assert {name for name, _ in seen if not wheels_of_torch.match(name)} <= pinned


def on_some_machine(requirement: Requirement, extras: set[str]) -> bool:
    if requirement.marker is None:
        return True
    machines = itertools.product(
        ("3.11", "3.12", "3.13", "3.14"), (("linux", "Linux"), ("darwin", "Darwin"))
    )
    for (python, (system, name)), extra in itertools.product(machines, extras or {""}):
        there = {"python_version": python, "python_full_version": f"{python}.1", "os_name": "posix"}
        there |= {"sys_platform": system, "platform_system": name, "extra": extra}
        if requirement.marker.evaluate(there):
            return True
    return False
