"""The settings of `xinye support prepare`."""

from pathlib import Path

from pydantic import Field

from xinye.apps.support.desk_settings import ROLES
from xinye.apps.training_settings import TrainingSettings


class PrepareSettings(TrainingSettings):
    """The settings of `xinye support prepare`."""

    roles = ROLES

    logs: tuple[str, ...] = Field(min_length=1, description="files, folders or globs of logs")
    output: Path = Field(description="the desk's folder")
    knowledge: tuple[str, ...] = Field(
        (), description="folders and files of documents to answer from"
    )
    graph: str = Field(
        "", description="file of triples to answer from, with a model for the role relations"
    )
    role: tuple[str, ...] = Field(
        (),
        description=(
            "the run for a role, such as answer=runs/reader; roles: answer, relations, mood, "
            "entities, chat, intents (may be given several times)"
        ),
    )
    precision: float = Field(
        0.95, ge=0.5, le=0.99, description="share of the bot's answers that must be right"
    )
    test_share: float = Field(
        0.1, ge=0, lt=0.5, description="share of the questions kept apart to test on"
    )
    prompt_field: str | None = Field(None, description="column of the question")
    answer_field: str | None = Field(None, description="column of the answer")
    intent_field: str | None = Field(None, description="column of the intent")
    assistant_name: str | None = Field(
        None, description="names of the employees: 小李,小王; all others are customers"
    )
    sheet: str | None = Field(
        None, description="name of the sheet in a workbook (the first one that is a table)"
    )
