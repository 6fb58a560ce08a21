"""The scripts that start a training on several hosts, without any other host."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"
BASH = shutil.which("bash")
PYTHON = f"""#!{BASH}
case "$*" in
    *xinye.training.torchrun*) echo started ;;
    *"import torch, xinye"*) ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


def run(*command: object, **settings: str) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(
        [str(BASH), *words], env=settings, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def python(workplace: Path) -> str:
    """A Python that only says that it was started. No other command is found, as on a system that
    lacks `hostname -I` and `timeout`."""
    (workplace / "python").write_text(PYTHON, "utf-8")
    os.chmod(workplace / "python", 0o700)
    return str(workplace / "python")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one local address")
def test_the_first_host_knows_itself_by_any_of_its_addresses(python) -> None:
    asked = {"HOSTS": "1", "FIRST": "127.0.0.2", "WAIT": "1", "PYTHON": python, "PATH": "/none"}
    assert run(CLUSTER / "torchrun.sh", "pretrain", **asked).stdout == "started\n"


def test_a_script_for_slurm_says_what_to_start_it_with() -> None:
    done = run(CLUSTER / "slurm.sbatch", "pretrain", PATH=os.environ["PATH"])
    assert done.returncode == 2
    assert done.stderr == f"{CLUSTER / 'slurm.sbatch'}: submit this script with sbatch\n"
