"""The settings of evaluation and of zero-shot classification."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xinye.planning.column_settings import TextColumns, at_commas
from xinye.planning.settings import BAD_BYTES_HELP, BadBytes


class EvaluateSettings(BaseModel):
    """The settings of evaluating a model on a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context: int | None = Field(
        None, ge=2, description="context length in tokens (the model's own)"
    )
    stride: int | None = Field(
        None, ge=1, description="tokens between the starts of two windows (half the context)"
    )
    tokens: int | None = Field(
        None, ge=2, description="evaluate only this many tokens from the start of the text"
    )
    by_position: bool = Field(
        False,
        description=(
            "measure the gain of a longer context: the same tokens after 8, 16, 32 … tokens"
        ),
    )
    rope_scaling: tuple[str, ...] = Field(
        (),
        description=(
            "measure contexts longer than the trained one: linear:2, dynamic:2, "
            "yarn:4 … (all: these three with factor 4)"
        ),
    )
    field: str | None = Field(None, description="the column or key that holds the text")
    document_separator: str | None = Field(
        None, description=r"separator of the documents in a text file: '\n\n'"
    )
    bad_bytes: BadBytes = Field("refuse", description=BAD_BYTES_HELP)
    training_text: tuple[str, ...] = Field(
        (),
        description=(
            "training text of a model that is not a Xinye run; can be given several times"
        ),
    )

    @field_validator("rope_scaling")
    @classmethod
    def _scalings(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each != "all" and not re.fullmatch(
                r"(linear|dynamic|yarn|llama3):\d+(\.\d+)?", each
            ):
                raise ValueError(
                    f"{each!r} is not one of linear:2, dynamic:2, yarn:4, llama3:8, or all"
                )
        return value


class ZeroShotSettings(TextColumns):
    """The settings of classifying with a language model that was not trained for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = Field(
        (),
        description=(
            "labels to choose from: a,b,c (default: those of the records); 1=good,0=bad "
            "replaces labels by words"
        ),
    )
    examples: tuple[str, ...] = Field(
        (),
        description=(
            "file of records to use as few-shot examples, as many as fit into the context"
        ),
    )
    prompt: str | None = Field(
        None, description="the prompt, with {text}, {label} and, for pairs, {pair} in it"
    )
    seed: int = Field(
        0, ge=0, le=2**31, description="seed that chooses the examples and their order"
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        return at_commas(value)
