"""How files are called where a user must not see the folders of this machine."""

import os
from collections.abc import Iterable


def shared_folder(files: Iterable[str]) -> str:
    """The folder that all these files share; "" if they share none, or only the root."""
    try:
        shared = os.path.commonpath({os.path.dirname(file) for file in files})
    except ValueError:
        return ""
    return "" if os.path.dirname(shared) == shared else shared


def name_below(folder: str, file: str) -> str:
    """The path of a file below a folder; its name alone if the folder is "". Bytes that are not
    Unicode are replaced."""
    name = os.path.relpath(file, folder) if folder else os.path.basename(file)
    return name.encode("utf-8", "replace").decode()
