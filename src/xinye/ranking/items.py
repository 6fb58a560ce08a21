"""An item that can be recommended."""

from dataclasses import dataclass

LONGEST_ID = 256  # characters of the id of an item or a user


@dataclass(frozen=True)
class Item:
    """An item of the catalogue, with the id that its owner gave it."""

    id: str
    title: str = ""
    text: str = ""
    tags: tuple[str, ...] = ()
