"""How long PyTorch's waiting threads spin is set before PyTorch is loaded, unless a person has
chosen."""

import os
import subprocess
import sys

import pytest

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@pytest.mark.parametrize(
    "given, found",
    [
        ({}, ["10000", None]),
        ({"GOMP_SPINCOUNT": "7"}, ["7", None]),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, [None, "PASSIVE"]),
    ],
)
def test_a_choice_of_ones_own_is_kept(given: dict[str, str], found: list[str | None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    program = f"import os, xinye; print([os.environ.get(name) for name in {NAMES}])"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == str(found)
