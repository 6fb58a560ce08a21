"""The bodies of requests to a monitor's server."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from xinye.apps.monitor.sources.files import columns_of
from xinye.server.bodies import OR_NUMBER, Body

NAME = 64  # characters of a person's name
MOST = 256  # documents in one request


class IncomingRequest(Body):
    """A document. One with the same `source` and `id` is the same document; an `id` may be a
    number. `published` is in seconds since 1970, or a date such as 2024-05-01T08:00:00+08:00. The
    fields may have the usual names of columns, too, such as 正文 and 发布时间."""

    source: str = Field("http", min_length=1, max_length=200)
    id: Annotated[str, Field(max_length=500), OR_NUMBER] = ""
    title: str = Field("", max_length=5_000)
    text: str = Field("", max_length=1_000_000)
    url: str = Field("", max_length=2_000)
    published: int | float | str | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_usual_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        columns = vars(columns_of(tuple(given)))
        fields = {columns[field]: field for field in columns if field not in given}
        return {fields.get(name, name): value for name, value in given.items()}


class PersonRequest(Body):
    """Something that a person does, by name."""

    who: str = Field(min_length=1, max_length=NAME)


class MuteRequest(PersonRequest):
    """No alarms about a subject for so many hours."""

    hours: float = Field(gt=0)


class UnmuteRequest(PersonRequest):
    """Alarms about a subject again."""

    kind: str = Field(max_length=20)
    subject: str = Field(max_length=200)


class CorrectRequest(PersonRequest):
    """The right topics, perhaps none, or the right mood (positive, 正面, 利好 …), or both."""

    topics: list[str] | None = None
    mood: str | None = None
