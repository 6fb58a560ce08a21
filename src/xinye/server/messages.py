"""The messages of chats in requests and answers: their texts, tools, and calls of tools, with
OpenAI's fields.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from xinye.generation.sampling import Schema
from xinye.generation.tool_calls import MOST_CALLS
from xinye.server.bodies import MOST_PARTS, Body, object_in, or_nothing, parts_of, unsupported

MOST_TOOLS = MOST_CALLS
# OpenAI's names, those in other languages, and those with a path in them
ToolName = Annotated[str, StringConstraints(pattern=r"^[\w./:-]{1,64}$")]


# -- requests ----------------------------------------------------------------------------------


class Function(Body):
    name: ToolName
    description: str | None = None
    parameters: Schema | None = Field(
        None, description="the JSON schema of the arguments; without it there are none"
    )
    strict: bool | None = Field(None, description="the schema always holds")

    @field_validator("parameters")
    @classmethod
    def _is_of_an_object(cls, schema: Schema | None) -> Schema | None:
        if schema and schema.get("type", "object") != "object":
            raise ValueError("the arguments of a function are an object (type: object)")
        return schema


class OfFunction(Body):
    """What says that it is a function. Of other types that OpenAI has, only the type is reported,
    not their fields.
    """

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_types(cls, given: Any) -> Any:
        kind = given.get("type", "function") if isinstance(given, dict) else "function"
        if kind != "function":
            about = {"kind": str(kind)[:100]}
            message = "the type '{kind}' is not supported, only 'function'"
            raise PydanticCustomError("unsupported", message, about)
        return given


class Tool(OfFunction):
    type: Literal["function"]
    function: Function

    @property
    def plain(self) -> dict[str, Any]:
        """The tool as chat templates expect it."""
        return self.model_dump(exclude_unset=True, exclude={"function": {"strict"}})


class FunctionName(Body):
    name: ToolName


class NamedTool(OfFunction):
    """The choice of one tool."""

    type: Literal["function"]
    function: FunctionName


ToolList = Annotated[list[Tool], Field(max_length=MOST_TOOLS, fail_fast=True)]
ToolChoice = Literal["none", "auto", "required"] | NamedTool


class CalledFunction(Body):
    name: ToolName
    arguments: str = Field(description="a JSON object, as text")
    parsed_arguments: Any = Field(
        None, description="without effect: what a client has made of the arguments"
    )

    @field_validator("arguments")
    @classmethod
    def _is_an_object(cls, text: str) -> str:
        text = text or "{}"  # some clients write no arguments so
        try:
            object_in(text)
        except ValueError as error:
            raise ValueError(f"not a JSON object: {error}") from None
        return text


class Call(OfFunction):
    """A call that the assistant has made."""

    id: str
    type: Literal["function"]
    function: CalledFunction
    index: int | None = Field(None, description="without effect: the place of a call in a stream")

    @property
    def plain(self) -> dict[str, Any]:
        """The call as chat templates expect it."""
        arguments = from_json(self.function.arguments)
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": function}


CallList = Annotated[list[Call], Field(max_length=MOST_TOOLS, fail_fast=True)]


@unsupported("prompt_cache_breakpoint image_url input_audio file refusal")
class TextPart(Body):
    type: Literal["text"]
    text: str


@unsupported("refusal function_call audio annotations reasoning reasoning_content")
class Message(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="developer is another word for system; tool: what a tool returned"
    )
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = Field(
        None, description="only an assistant's may be missing, or null: it is empty, then"
    )
    tool_calls: Annotated[CallList | None, or_nothing(CallList)] = Field(
        None, description="only an assistant's: the tools that it called"
    )
    tool_call_id: str | None = Field(
        None, description="of the role tool: the call; models that show no ids go by the order"
    )
    name: str | None = Field(None, description="without effect")
    parsed: Any = Field(
        None, description="without effect: what a client has made of an assistant's content"
    )

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"the content of a message of the role {self.role} is missing")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of the role {self.role} cannot have tool_calls")
        if self.tool_call_id and self.role != "tool":
            raise ValueError(f"a message of the role {self.role} cannot have a tool_call_id")
        return self

    @property
    def plain(self) -> dict[str, Any]:
        """The message as chat templates expect it."""
        role = "system" if self.role == "developer" else self.role
        content = self.content or ""
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        message: dict[str, Any] = {"role": role, "content": content}
        if self.tool_calls:
            message["tool_calls"] = [call.plain for call in self.tool_calls]
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        return message


def few_parts(given: Any) -> Any:
    """Raises `ValueError` if the arguments of all calls have more parts than a body may have. They
    are JSON within a text, which were not counted there.
    """
    if sum(parts_of(text.encode())[0] for text in _arguments(given)) > MOST_PARTS:
        raise ValueError(
            f"the arguments of the calls have too many parts; at most {MOST_PARTS:,} texts, names, "
            "lists and objects are allowed"
        )
    return given


def _arguments(given: Any) -> Iterator[str]:
    """The arguments of all calls in messages that were not checked yet."""
    for message in given if isinstance(given, list) else ():
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            text = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(text, str):
                yield text


Messages = Annotated[
    list[Message],
    Field(min_length=1, max_length=4096, fail_fast=True),
    BeforeValidator(few_parts),
]


# -- answers -----------------------------------------------------------------------------------


class AnswerFunction(BaseModel):
    name: str
    arguments: str = Field(description="a JSON object, as text; cut off if the answer is")


class AnswerCall(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: AnswerFunction

    @classmethod
    def of(cls, identity: str, name: str) -> Self:
        """A call whose arguments are still empty."""
        function = AnswerFunction(name=name, arguments="")
        return cls(id=identity, type="function", function=function)


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None = Field(description="null if there are only calls")
    refusal: None = None
    tool_calls: list[AnswerCall] | None = None


class FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str


class CallDelta(BaseModel):
    """The first delta of a call has its id, type and name, the others a piece of its arguments."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CallDelta] | None = None
