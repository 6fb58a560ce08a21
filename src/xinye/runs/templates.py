"""The templates of report and card, which lie beside this file."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


@cache
def template(name: str, escape: bool, *filters: Callable[..., Any]) -> Any:
    """A template by its file's name, with functions that it calls by theirs; `escape` for HTML."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in filters}
    return environment.get_template(name)
