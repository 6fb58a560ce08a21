"""The settings of learning which items users want next."""

from typing import Literal

from pydantic import BaseModel, Field


class ItemSettings(BaseModel):
    """The settings of the task recommend, besides those about its files."""

    size: str | None = Field(
        None, description="task recommend: parameters of the model that is built (1M)"
    )
    min_events: int = Field(
        5, ge=1, description="task recommend: learn the items that so many users used"
    )
    split: Literal["last", "time"] = Field(
        "last",
        description=(
            "task recommend: evaluate on the last event of each user (last), or on the last tenth "
            "of all events (time)"
        ),
    )
    new_items: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description=(
            "task recommend: share of the items to leave out of training, which measures how well "
            "new items are recommended"
        ),
    )


ITEM_SETTINGS = tuple(ItemSettings.model_fields)
