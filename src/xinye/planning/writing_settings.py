"""How the tasks that read and write texts are used: the settings of `xinye summarize`, `translate`
and the like, with the same names in Python and over HTTP."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xinye.errors import XinyeError
from xinye.planning.kinds import find_kind


class UseSettings(BaseModel):
    """The settings of using a model for its task."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    # Settings that name files of this machine, which no client of a server may set.
    of_this_machine: ClassVar[tuple[str, ...]] = ()


class WritingSettings(UseSettings):
    """How an answer is written. Whatever stays None is the task's own default."""

    of_this_machine = ("examples",)

    examples: tuple[str, ...] = Field(
        (),
        description=(
            "file of records to show as few-shot examples to a model that was not fine-tuned for "
            "the task"
        ),
    )
    candidates: int | None = Field(
        None,
        ge=1,
        le=64,
        description=(
            "answers to write for each text (summaries 16, translations 8); the one that is most "
            "like the others is kept"
        ),
    )
    temperature: float | None = Field(
        None,
        ge=0,
        le=5,
        description="of the candidates after the first, which is always greedy (0.7)",
    )
    max_tokens: int | None = Field(None, ge=1, description="write at most this many tokens (256)")
    seed: int = Field(
        0, ge=0, le=2**31, description="seed that draws the candidates and chooses the examples"
    )


class SummarizeSettings(WritingSettings):
    """The settings of summaries."""

    characters: int | None = Field(
        None, ge=1, description="longest summary, in characters; for English in words"
    )
    extract: bool = Field(
        False,
        description="quote clauses of the text (default: whichever was better on validation)",
    )
    free: bool = Field(
        False,
        description="write in the model's own words (default: whichever was better on validation)",
    )
    faithful: bool = Field(
        False, description="leave out candidates with a number or name that the text lacks"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.extract and self.free:
            raise ValueError("extract and free exclude each other; give one of them")
        return self


class TranslateSettings(WritingSettings):
    """The settings of translations."""

    to: Literal["zh", "en"] | None = Field(
        None, description="the language to translate into (the other one than the text's)"
    )


class WriteSettings(WritingSettings):
    """The settings of texts that are written from facts."""

    kind: str | None = Field(
        None, description="kind of the text: news, mail, advert or story (the one that it learned)"
    )
    candidates: int | None = Field(
        None,
        ge=1,
        le=64,
        description=(
            "texts to write (4); the one with the most facts, the fewest invented numbers and the "
            "least repetition is kept"
        ),
    )
    characters: int | None = Field(
        None, ge=10, le=10_000, description="wanted length, in characters; for English in words"
    )
    reply_to: str = Field("", max_length=50_000, description="the mail to answer")

    @field_validator("kind")
    @classmethod
    def _kind(cls, value: str | None) -> str | None:
        """The kind by its usual name."""
        try:
            return value if value is None else find_kind(value)
        except XinyeError as error:
            raise ValueError(str(error)) from None


class ProofreadSettings(UseSettings):
    """The settings of proofreading."""

    diff: bool = Field(False, description="mark each change: [-deleted-] and {+inserted+}")
