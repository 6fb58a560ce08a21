"""Reads settings from a YAML file."""

from pathlib import Path
from typing import Any

import yaml

from xinye.data.files import read_text
from xinye.errors import XinyeError, checked, reason_of
from xinye.planning.settings import PretrainSettings

LARGEST_CONFIG = 256_000  # bytes
DEEPEST_CONFIG = 20


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, by name. Raises `XinyeError` for an invalid file or setting."""
    try:
        values = _PlainLoader(read_text(path, LARGEST_CONFIG)).get_single_data()
    except XinyeError:
        raise
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file") from None
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # the library raises errors of many kinds
        reason = reason_of(error)
        raise XinyeError(f"{path}: not a YAML file ({reason})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise XinyeError(f"{path}: expected lines such as 'size: 5M'")
    checked(PretrainSettings, values, str(path))
    return values


class _PlainLoader(yaml.SafeLoader):
    """Reads only as much of YAML as settings need: no deep nesting, and no aliases, because a few
    of these can expand to billions of values."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        where = f"line {self.peek_event().start_mark.line + 1}"
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"{where}: aliases (*name) are not supported")
        self.depth += 1
        if self.depth > DEEPEST_CONFIG:
            raise yaml.YAMLError(f"{where}: nested more than {DEEPEST_CONFIG} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node
