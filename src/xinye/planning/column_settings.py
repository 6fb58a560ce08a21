"""The settings that say how records are found in their files. `finetune`, `evaluate` and `data`
share them."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


def at_commas(value: Any) -> Any:
    """Values as a tuple; a single string is split at commas."""
    one = [value] if isinstance(value, str) else value
    if isinstance(one, list | tuple) and len(one) == 1 and isinstance(one[0], str):
        return tuple(part.strip() for part in re.split("[,，]", one[0]) if part.strip())
    return value


class TextColumns(BaseModel):
    """The columns of the texts and their labels."""

    text_field: str | None = Field(
        None, description="column of the text; two with a comma for pairs of texts"
    )
    label_field: str | None = Field(
        None, description="column of the label; several, separated by commas, if each holds 0 or 1"
    )


class EventSettings(BaseModel):
    """The settings about events, in which users used items, and about the items."""

    items: tuple[str, ...] = Field(
        (), description="task recommend: file of the items; can be given several times"
    )
    user_field: str | None = Field(None, description="column of the user")
    item_field: str | None = Field(None, description="column of the item, in events and items")
    time_field: str | None = Field(None, description="column of the time of an event")
    event_field: str | None = Field(None, description="column of the kind of an event")
    rating_field: str | None = Field(None, description="column of the rating")
    title_field: str | None = Field(None, description="column of the title of an item")
    tags_field: str | None = Field(None, description="columns of the tags of an item: tags,brand")
    events: tuple[str, ...] = Field(
        (), description="kinds of events that count: purchase,cart (all)"
    )
    min_rating: float | None = Field(
        None, allow_inf_nan=False, description="leave out events with a lower rating (none)"
    )

    @field_validator("events", mode="before")
    @classmethod
    def _kinds(cls, value: Any) -> Any:
        return at_commas(value)


class ColumnSettings(EventSettings, TextColumns):
    """All settings about columns. Each task says which of them it uses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_separator: str | None = Field(
        None, description="separator of several labels of one text, such as |"
    )
    prompt_field: str | None = Field(
        None, description="column of the prompt, for a model that learns to write"
    )
    answer_field: str | None = Field(
        None, description="column of the answer that the model learns to write or to find"
    )
    question_field: str | None = Field(None, description="column of the question")
    passage_field: str | None = Field(
        None, description="column of the passage that the answer is found in"
    )
    absent_answers: Literal["refuse", "none"] | None = Field(
        None,
        description=(
            "if an answer is not in its passage: refuse the record, or learn that the passage has "
            "none"
        ),
    )
    knowledge: Path | None = Field(
        None,
        description=(
            "task answer: knowledge base to find the passage in, if a record has none; evaluate "
            "answers all questions from it"
        ),
    )
    confusions: tuple[str, ...] = Field(
        (),
        description=(
            "task proofread: file of characters that are taken for each other, with which errors "
            "are made and corrected; can be given several times"
        ),
    )
    assistant_name: str | None = Field(
        None,
        description="names of the speakers who are the assistant: 小李,小王; all others are users",
    )
    tag_names: str | None = Field(
        None, description="names of the numbered tags, from 0: O,B-PER,I-PER"
    )
    offsets: Literal["characters", "bytes", "utf-16"] | None = Field(
        None, description="unit of the spans' offsets (characters)"
    )


COLUMNS = tuple(ColumnSettings.model_fields)


class RecordSettings(ColumnSettings):
    """The settings about files that all tasks share, besides the columns."""

    sheet: str | None = Field(
        None, description=("name of the sheet in a workbook (the first one that is a table)")
    )
    bad_records: Literal["refuse", "skip"] = Field(
        "refuse",
        description=(
            "if records cannot be used for training: refuse the file, or skip them and report "
            "how many"
        ),
    )


BESIDE_COLUMNS = tuple(name for name in RecordSettings.model_fields if name not in COLUMNS)
