"""Files that anybody may have made: only regular ones are opened, and JSON is read whole or refused in one line."""

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from xinye.errors import XinyeError

LARGEST_JSON = 1 << 28  # bytes; the largest tokenizer.json known has 33 million


def open_regular(path: Path) -> BufferedReader:
    """A file's bytes. Raises `OSError` as `open` does, and `XinyeError` for what is no regular file: a pipe would be
    waited for, and a device can go on for ever."""
    check_regular(path)
    return path.open("rb")


def check_regular(path: Path) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise XinyeError(f"{path}: this is {kind}; only files are read")


def check_file(path: Path) -> None:
    """Raises `XinyeError` for what is not there, too."""
    try:
        check_regular(path)
    except FileNotFoundError:
        raise XinyeError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror}") from None


def read_text(path: Path, largest: int) -> str:
    """A UTF-8 file of at most `largest` bytes. Raises `OSError`, `UnicodeDecodeError` and `XinyeError`."""
    with open_regular(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise XinyeError(
            f"{path}: larger than {largest / 1e6:,.1f} MB, too large for what it should be"
        )
    return data.decode("utf-8")


def read_json(path: Path, problem: str = "damaged") -> dict[str, Any]:
    """An object from a JSON file; a missing or damaged file is one clear line."""
    try:
        data = json.loads(read_text(path, LARGEST_JSON))
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file") from None
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise XinyeError(f"{path}: {problem} ({str(error)[:200]})") from None
    if not isinstance(data, dict):
        raise XinyeError(f"{path}: {problem} (not an object)")
    return data
