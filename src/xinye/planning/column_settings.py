"""How records are found in their files: the same flags in `finetune`, `evaluate` and `data`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TextColumns(BaseModel):
    """Which columns hold the texts and their labels."""

    text_field: str | None = Field(
        None, description="column of the text; two columns A,B make a pair of texts"
    )
    label_field: str | None = Field(
        None, description="column of the label; several columns A,B,C hold 0 or 1"
    )


class ColumnSettings(TextColumns):
    """All that a task may need to know of a file to read its records; a task says which of them it
    reads by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_separator: str | None = Field(
        None, description="separator between several labels of one text, such as |"
    )
    prompt_field: str | None = Field(
        None, description="column of the prompt, for a task that writes"
    )
    answer_field: str | None = Field(
        None, description="column of the answer, for a task that writes"
    )
    assistant_name: str | None = Field(
        None, description="who answers in conversations, by name: 小李,小王; others are users"
    )
    tag_names: str | None = Field(
        None, description="names of the tags that are numbers, from 0: O,B-PER,I-PER"
    )
    offsets: Literal["characters", "bytes", "utf-16"] | None = Field(
        None, description="unit in which the borders of spans are counted (characters)"
    )


COLUMNS = tuple(ColumnSettings.model_fields)
