"""Packages that work needs: which of them is missing, and the command that installs it here."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from xinye.errors import XinyeError

# The package of a module, where their names differ.
PACKAGES = {
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
}
PROJECT = Path(__file__).parents[2]  # of a checkout; elsewhere there is no constraints.txt in it


def installed(module: str) -> bool:
    """Whether a module can be imported; it is not imported."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None


def need(what: str, *modules: str, extra: str = "") -> None:
    """Raise `XinyeError` where a module is missing that `what` needs. Call it before any long work.

    `extra` is the extra of Xinye that brings the modules; without it they come with Xinye itself.
    """
    missing = [PACKAGES.get(module, module) for module in modules if not installed(module)]
    if missing:
        raise XinyeError(
            f"{what} needs {', '.join(missing)}; to install it: {install_command(extra)}"
        )


def install_command(*extras: str) -> str:
    """The command that installs all that Xinye needs, with these extras, into the Python that runs
    now."""
    wanted = f"[{','.join(extras)}]" if any(extras) else ""
    if not (PROJECT / "constraints.txt").is_file():
        return f'{_pip()} install "xinye{wanted}"'
    if Path.cwd() == PROJECT:
        return f'{_pip()} install -c constraints.txt -e ".{wanted}"'
    return f'{_pip()} install -c "{PROJECT / "constraints.txt"}" -e "{PROJECT}{wanted}"'


def _pip() -> str:
    """How to call the pip of this Python: by its name alone only where the shell would find that
    very one."""
    found = shutil.which("pip")
    folder = Path(sys.executable).parent
    if found and Path(found).parent == folder:
        return "pip"
    python = (
        os.path.relpath(sys.executable) if folder.is_relative_to(Path.cwd()) else sys.executable
    )
    return f"{python} -m pip"
