"""Optional packages: whether they are installed, and the command that installs them."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from xinye.errors import XinyeError

# The package that holds a module, if the two names differ.
PACKAGES = {
    "markdown_it": "markdown-it-py",
    "phonenumbers": "phonenumberslite",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
}
# The folder of a checkout. An installed package has no constraints.txt in that place.
PROJECT = Path(__file__).parents[2]


def installed(module: str) -> bool:
    """Whether a module can be imported. This does not import it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None


def need(what: str, *modules: str, extra: str = "") -> None:
    """Raise `XinyeError` if one of the modules that `what` needs is missing. Call it before long
    work.

    `extra` is the extra of Xinye that installs the modules; leave it out if Xinye itself requires
    them.
    """
    missing = [PACKAGES.get(module, module) for module in modules if not installed(module)]
    if missing:
        raise XinyeError(
            f"{what} needs {', '.join(missing)}; to install it: {install_command(extra)}"
        )


def install_command(*extras: str) -> str:
    """The command that installs Xinye with these extras for the Python that is running."""
    wanted = f"[{','.join(extras)}]" if any(extras) else ""
    if not (PROJECT / "constraints.txt").is_file():
        return f'{_pip()} install "xinye{wanted}"'
    if Path.cwd() == PROJECT:
        return f'{_pip()} install -c constraints.txt -e ".{wanted}"'
    return f'{_pip()} install -c "{PROJECT / "constraints.txt"}" -e "{PROJECT}{wanted}"'


def _pip() -> str:
    """The command for this Python's pip: plain `pip` only if the shell finds the same one."""
    found = shutil.which("pip")
    folder = Path(sys.executable).parent
    if found and Path(found).parent == folder:
        return "pip"
    python = (
        os.path.relpath(sys.executable) if folder.is_relative_to(Path.cwd()) else sys.executable
    )
    return f"{python} -m pip"
