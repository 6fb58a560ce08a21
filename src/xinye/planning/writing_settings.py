"""How the tasks that read and write texts are used: the settings of `xinye summarize`, `translate`
and the like, with the same names in Python and over HTTP."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


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
            "answers to write for each text; the one that is most like the others is kept"
        ),
    )
    temperature: float | None = Field(
        None, ge=0, le=5, description="of the candidates after the first, which is always greedy"
    )
    max_tokens: int | None = Field(None, ge=1, description="write at most this many tokens")
    seed: int = Field(
        0, ge=0, le=2**31, description="seed that draws the candidates and chooses the examples"
    )


class SummarizeSettings(WritingSettings):
    """The settings of summaries."""

    characters: int | None = Field(
        None, ge=1, description="longest summary, in characters; for English in words"
    )
    extract: bool = Field(False, description="quote the best clauses of the text")
    free: bool = Field(False, description="write the summary in the model's own words")
    faithful: bool = Field(
        False, description="write only numbers and names that the text itself has"
    )


class TranslateSettings(WritingSettings):
    """The settings of translations."""

    to: Literal["zh", "en"] | None = Field(
        None, description="the language to translate into (the other one than the text's)"
    )


class ProofreadSettings(UseSettings):
    """The settings of proofreading."""

    diff: bool = Field(False, description="mark each change: [-deleted-] and {+inserted+}")
