"""The settings of generation: how the next token is chosen, and when a text ends. This module does
not need torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xinye.data.tool_calls import CallFormat

Bias = Annotated[float, Field(ge=-100, le=100)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
# constraints on the text; at most one may be set
CONSTRAINTS = ("json_schema", "regex", "choices", "tools")
Schema = dict[str, Any]  # a JSON schema, as the caller wrote it


class Sampling(BaseModel):
    """How the next token is chosen and when a text ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which help lists the settings
        "length and end": "max_tokens min_tokens stop stop_token_ids",
        "sampling": "temperature top_k top_p min_p seed repetition_penalty "
        "presence_penalty frequency_penalty logit_bias",
        "format of the text": "json_schema regex choices",
    }

    max_tokens: int = Field(200, ge=1, description="generate at most this many tokens")
    min_tokens: int = Field(
        0,
        ge=0,
        description=(
            "generate at least this many tokens; a stop string can still end the text earlier"
        ),
    )
    temperature: float = Field(
        0.8,
        ge=0,
        description="0 always takes the most likely token; higher values are more varied",
    )
    top_k: int | None = Field(None, ge=1, description="sample among the k most likely tokens")
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="sample among the most likely tokens whose probabilities add up to this",
    )
    min_p: Share | None = Field(
        None,
        description=(
            "drop tokens less likely than this share of the most likely one's probability"
        ),
    )
    repetition_penalty: float = Field(
        1.0, gt=0, description="above 1, tokens that the text already has become less likely"
    )
    presence_penalty: Penalty = Field(
        0.0, description="above 0, tokens already written become less likely (as in OpenAI's API)"
    )
    frequency_penalty: Penalty = Field(
        0.0, description="the same, for each time that the token was written"
    )
    logit_bias: dict[int, Bias] = Field(
        {}, description="numbers to add to the logits of tokens, by token id"
    )
    stop: tuple[str, ...] = Field((), description="stop before any of these strings")
    stop_token_ids: tuple[int, ...] = Field((), description="stop at any of these tokens")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=20,
        description="print the log-probability of each token and of this many most likely ones",
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description=("random seed: the same seed gives the same texts")
    )
    json_schema: Schema | None = Field(None, description="write JSON that follows this schema")
    regex: str | None = Field(
        None, description="write a text that matches this regular expression as a whole"
    )
    choices: tuple[str, ...] | None = Field(None, description="write one of these choices: a,b,c")

    @field_validator("choices", mode="before")
    @classmethod
    def _choices(cls, value: Any) -> Any:
        """The choices as a list; a string is split at commas."""
        if isinstance(value, str):
            value = [part.strip() for part in re.split("[,，]", value)]
        if isinstance(value, list | tuple) and (not value or "" in value):
            raise ValueError("give at least one, and none that is empty")
        return value

    @model_validator(mode="after")
    def _one_constraint(self) -> Self:
        given = [name for name in CONSTRAINTS if getattr(self, name, None) is not None]
        if len(given) > 1:
            raise ValueError(f"give only one of {' and '.join(given)}")
        if given and (self.stop or self.stop_token_ids):
            raise ValueError(
                f"stop: with {given[0]} the text ends when it is complete; leave stop out"
            )
        return self

    @cached_property
    def shifts(self) -> bool:
        """Whether these settings change logits by more than the temperature."""
        return bool(
            self.repetition_penalty != 1
            or self.presence_penalty
            or self.frequency_penalty
            or self.logit_bias
            or self.min_tokens
        )


class ChatSampling(Sampling):
    """How an answer is sampled. It has a higher limit of tokens, because an answer usually ends by
    itself."""

    max_tokens: int = Field(1000, ge=1, description="generate at most this many tokens per answer")


@dataclass(frozen=True)
class Tools:
    """The tools that a text may call, by name, with the schemas of their arguments.

    A text that is `required` to call begins with a call. `parallel` texts may have several calls.
    """

    format: CallFormat
    schemas: dict[str, Schema]
    required: bool = False
    parallel: bool = True


class ToolSampling(Sampling):
    """How an answer is sampled that may call tools."""

    tools: Tools
