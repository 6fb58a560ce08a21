"""How records are found in their files: the same flags in `finetune`, `evaluate` and `data`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TextColumns(BaseModel):
    """Which columns hold the texts and their labels."""

    text_field: str | None = Field(
        None, description="column of the text; two with a comma between are a pair"
    )
    label_field: str | None = Field(
        None, description="column of the label; several with a comma between hold 0 or 1"
    )


class ColumnSettings(TextColumns):
    """All that a task may need to know of a file to read its records; a task says which of them it
    reads by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_separator: str | None = Field(
        None, description="what stands between several labels of one text, such as |"
    )
    prompt_field: str | None = Field(
        None, description="column of what is asked, where a model learns to write"
    )
    answer_field: str | None = Field(None, description="column of what shall be written")
    assistant_name: str | None = Field(
        None, description="who answers in conversations, by name: 小李,小王; others are users"
    )
    tag_names: str | None = Field(
        None, description="what the numbers of tags stand for, from 0: O,B-PER,I-PER"
    )
    offsets: Literal["characters", "bytes", "utf-16"] | None = Field(
        None, description="what the borders of spans count (characters)"
    )


COLUMNS = tuple(ColumnSettings.model_fields)


class RecordSettings(ColumnSettings):
    """What every task can be told of its files, besides the columns."""

    sheet: str | None = Field(
        None, description="the sheet of workbooks, by name (the first that is a table)"
    )
    bad_records: Literal["refuse", "skip"] = Field(
        "refuse",
        description="records that cannot be learned from: refuse the file, or leave them out and "
        "report how many",
    )


BESIDE_COLUMNS = tuple(name for name in RecordSettings.model_fields if name not in COLUMNS)
