"""What a person can set about judging a model."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xinye.planning.column_settings import TextColumns
from xinye.planning.settings import BAD_BYTES_HELP, BadBytes


class EvaluateSettings(BaseModel):
    """How well a model predicts a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context: int | None = Field(
        None, ge=2, description="tokens that the model sees at once (the model's own)"
    )
    stride: int | None = Field(
        None, ge=1, description="tokens from window to window (half the context)"
    )
    tokens: int | None = Field(
        None, ge=2, description="judge the first so many tokens of the text alone"
    )
    by_position: bool = Field(
        False, description="what a longer context is worth: the same tokens after 8, 16, 32 …"
    )
    rope_scaling: tuple[str, ...] = Field(
        (),
        description=(
            "measure contexts beyond the trained one: linear:2, dynamic:2, yarn:4 … (all: these "
            "three by 4)"
        ),
    )
    field: str | None = Field(None, description="the column or key that holds the text")
    document_separator: str | None = Field(
        None, description=r"what stands between the documents of a text file: '\n\n'"
    )
    bad_bytes: BadBytes = Field("refuse", description=BAD_BYTES_HELP)
    training_text: tuple[str, ...] = Field(
        (),
        description=(
            "what the model was trained on, where it is not a run from here; may be given several "
            "times"
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
    """Classify by a language model that was not trained for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = Field(
        (),
        description=(
            "what to choose from: a,b,c (else those of the records); 1=good,0=bad names the words "
            "to look for"
        ),
    )
    examples: tuple[str, ...] = Field(
        (), description="file of records to learn from; as many as the context can hold"
    )
    prompt: str | None = Field(
        None, description="how to ask, with places for {text}, {label} and, of pairs, {pair}"
    )
    seed: int = Field(0, ge=0, le=2**31, description="which examples are taken, and in which order")

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        """Several labels in one string, or each in its own."""
        one = [value] if isinstance(value, str) else value
        if isinstance(one, list | tuple) and len(one) == 1 and isinstance(one[0], str):
            return tuple(part.strip() for part in re.split("[,，]", one[0]) if part.strip())
        return value
