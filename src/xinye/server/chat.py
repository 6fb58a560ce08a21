"""The route `/v1/chat/completions`, which answers messages by the model's chat template, also with
calls of tools.
"""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from xinye.data.tool_calls import CallFormat, with_tools
from xinye.data.tool_results import in_order_of_calls
from xinye.errors import XinyeError
from xinye.generation.sampling import Schema, Tools
from xinye.generation.sequence import LogProbability
from xinye.generation.tool_calls import CallPart, CallReader
from xinye.server.bodies import JSONRoute
from xinye.server.completions import LEAST_LOGPROB, Writing, streams, token_text
from xinye.server.errors import APIError, as_api_error
from xinye.server.messages import (
    AnswerCall,
    AnswerMessage,
    CallDelta,
    Delta,
    FunctionDelta,
    Message,
    NamedTool,
)
from xinye.server.models import ServedModel, check_choices, find_model, token_limit
from xinye.server.schemas import (
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatFinishReason,
    ChatLogprobs,
    ChatRequest,
    TokenLogprob,
    TopLogprob,
)
from xinye.server.worker import Piece

router = APIRouter(route_class=JSONRoute)


@router.post("/v1/chat/completions", response_model=ChatAnswer, responses=streams(ChatChunk))
async def chat(body: ChatRequest, request: Request) -> Any:
    """Answer the last message. With `stream`, the answer is sent as server-sent events."""
    model = find_model(request, body.model, "chat")
    check_choices(request, body.n or 1, "n")
    if body.top_logprobs and not body.logprobs:
        raise APIError(400, "top_logprobs: requires logprobs", "top_logprobs")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise APIError(
            400, "max_tokens: give either max_tokens or max_completion_tokens", "max_tokens"
        )
    param = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
    asked = body.max_completion_tokens or body.max_tokens
    tools = await asked_tools(body, model)
    messages = plain_messages(body.messages)
    if tools:
        messages = with_tools(messages, [tool.plain for tool in body.tools or ()])
    tokens = await model.encode_messages(messages)
    writing = ChatWriting(request, body, model, tools)
    sequences = await writing.begin(
        tokens,
        max_tokens=token_limit(request, model, len(tokens), asked, param, "messages"),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        json_schema=asked_schema(body),
        tools=tools,
    )
    return await writing.respond(sequences)


def plain_messages(given: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as chat templates expect them. Raises `APIError` for the results of tools that
    do not fit the calls.
    """
    try:
        return in_order_of_calls([message.plain for message in given])
    except XinyeError as error:
        raise as_api_error(error, "messages") from None


def asked_schema(body: ChatRequest) -> Schema | None:
    """The JSON schema that `response_format` asks for, or None."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if (wanted.type == "json_schema") != (wanted.json_schema is not None):
        place = "response_format.json_schema"
        raise APIError(
            400, f"{place}: required for the type json_schema, and allowed for no other", place
        )
    return wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}


async def asked_tools(body: ChatRequest, model: ServedModel) -> Tools | None:
    """The tools that the answer may call, or None. Raises `APIError` if the model knows no tools,
    or if the choice is not one of them.
    """
    choice = body.tool_choice or ("auto" if body.tools else "none")
    if not body.tools and choice not in ("none", "auto"):
        raise APIError(400, "tool_choice: requires tools", "tool_choice")
    if not (body.tools or any(each.tool_calls or each.role == "tool" for each in body.messages)):
        return None
    call_format = await call_format_of(model, "tools" if body.tools else "messages")
    if not body.tools or choice == "none":
        return None
    schemas = {tool.function.name: tool.function.parameters or {} for tool in body.tools}
    if len(schemas) < len(body.tools):
        raise APIError(400, "tools: two of them have the same name", "tools")
    if isinstance(choice, NamedTool):
        name = choice.function.name
        if name not in schemas:
            raise APIError(400, f"tool_choice: there is no tool {name!r}", "tool_choice")
        return Tools(call_format, {name: schemas[name]}, required=True, parallel=False)
    return Tools(call_format, schemas, choice == "required", body.parallel_tool_calls is not False)


async def call_format_of(model: ServedModel, param: str) -> CallFormat:
    """The format in which the model calls tools. Raises `APIError` if it knows none."""
    # in another thread, which waits for the process that fills in the template
    found = await asyncio.to_thread(lambda: model.tokenizer.call_format)
    if found is None:
        raise APIError(
            400,
            f"{param}: the chat template of {model.id} knows no tools, or none that are called "
            "with JSON in <tool_call>",
            param,
        )
    return found


@dataclass
class ChatWriting(Writing):
    """A request for an answer in a chat. A stream sends the role of each choice, its text and
    calls, and why it ended.
    """

    body: ChatRequest
    tools: Tools | None = None
    begun: set[int] = field(default_factory=set)  # choices whose role was sent
    readers: dict[int, CallReader] = field(default_factory=dict)  # of each choice

    id_prefix = "chatcmpl"
    whole = ChatAnswer
    chunk = ChatChunk

    def choice(self, text: Piece) -> ChatChoice:
        content, calls = "", []
        for part in self.read(text):
            if isinstance(part, str):
                content += part
            elif part.name:
                calls.append(AnswerCall.of(call_id(), part.name))
            else:
                calls[-1].function.arguments += part.arguments
        message = AnswerMessage(role="assistant", content=content, refusal=None)
        if calls:
            message.content, message.tool_calls = content or None, calls
        return ChatChoice(
            index=text.number,
            message=message,
            logprobs=self.logprobs(text.logprobs),
            finish_reason=self.finish_reason(text),
        )

    def parts(self, piece: Piece) -> Iterator[ChatChunkChoice]:
        part = partial(ChatChunkChoice, index=piece.number, logprobs=None, finish_reason=None)
        if piece.number not in self.begun:
            self.begun.add(piece.number)
            yield part(delta=Delta(role="assistant", content=""))
        found = [*self.read(piece)]
        if piece.logprobs and not (found and isinstance(found[0], str)):
            found = ["", *found]  # for the log-probabilities
        logprobs = self.logprobs(piece.logprobs) if piece.logprobs else None
        for each in found:
            if isinstance(each, CallPart):
                yield part(delta=Delta(tool_calls=[call_delta(each)]))
            else:
                yield part(delta=Delta(content=each), logprobs=logprobs)
                logprobs = None
        if piece.finish_reason:
            yield part(delta=Delta(), finish_reason=self.finish_reason(piece))

    def read(self, piece: Piece) -> Iterator[str | CallPart]:
        """The content and the calls in a piece of a text."""
        if self.tools is None:
            return iter([piece.text] if piece.text else [])
        if piece.number not in self.readers:
            self.readers[piece.number] = CallReader(self.tools.format, self.tools.schemas)
        cut = piece.finish_reason == "length"
        return self.readers[piece.number].push(piece.text, bool(piece.finish_reason), cut)

    def finish_reason(self, piece: Piece) -> ChatFinishReason:
        """Why a text ended, which was read to its end."""
        reader = self.readers.get(piece.number)
        called = piece.finish_reason == "stop" and reader is not None and reader.calls
        # After a call of the one tool that was chosen, OpenAI's API answers "stop".
        chosen = isinstance(self.body.tool_choice, NamedTool)
        return "tool_calls" if called and not chosen else piece.finish_reason

    def logprobs(self, logprobs: tuple[LogProbability, ...]) -> ChatLogprobs | None:
        if not self.body.logprobs:
            return None
        content = [
            TokenLogprob(
                **vars(self.of_token(token, logprob)),
                top_logprobs=[self.of_token(*other) for other in others],
            )
            for token, logprob, others in logprobs
        ]
        return ChatLogprobs(content=content, refusal=None)

    def of_token(self, token: int, logprob: float) -> TopLogprob:
        return TopLogprob(
            token=token_text(self.model, token),
            logprob=max(LEAST_LOGPROB, logprob),
            bytes=list(self.model.tokenizer.token_bytes[token]),
        )


def call_id() -> str:
    """A new id for a call."""
    return f"call_{secrets.token_hex(12)}"


def call_delta(part: CallPart) -> CallDelta:
    """A part of a call, as a stream sends it."""
    if not part.name:
        return CallDelta(index=part.index, function=FunctionDelta(arguments=part.arguments))
    function = FunctionDelta(name=part.name, arguments="")
    return CallDelta(index=part.index, id=call_id(), type="function", function=function)
