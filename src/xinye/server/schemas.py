"""The fields of requests and answers: OpenAI's, and those of `Sampling` that OpenAI lacks.

Fields of OpenAI, and well-known ones of vLLM and llama.cpp, that this server does not support are
listed, too.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from xinye.generation.sampling import Bias, Penalty, Schema, Share
from xinye.server.bodies import Body, or_nothing, unsupported
from xinye.server.messages import AnswerMessage, Delta, Messages, ToolChoice, ToolList
from xinye.server.settings import MOST_TEXTS

Token = Annotated[int, Field(ge=0, lt=2**31)]
# `fail_fast`, because a long list would otherwise give as many errors.
Tokens = Annotated[list[Token], Field(min_length=1, fail_fast=True)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Several = Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True)
SeveralTokens = Annotated[list[Tokens], Several]
TextOrTokens = NonEmpty | Tokens | Annotated[list[NonEmpty], Several] | SeveralTokens
PromptOrTokens = str | Tokens | Annotated[list[str], Several] | SeveralTokens
Pair = Annotated[list[NonEmpty], Field(min_length=2, max_length=2)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=1, le=2**31)]
MOST_BIASES = 1024
FinishReason = Literal["stop", "length"]
ChatFinishReason = Literal["stop", "length", "tool_calls"]


def few_biases(given: Any) -> Any:
    """Raises `ValueError` for too many biases, because reporting the errors of all could take
    seconds.
    """
    if isinstance(given, dict) and len(given) > MOST_BIASES:
        raise ValueError(f"at most {MOST_BIASES} tokens")
    return given


Biases = Annotated[
    dict[Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")], Bias],
    BeforeValidator(few_biases),
    Field(max_length=MOST_BIASES),
]


# -- requests ----------------------------------------------------------------------------------


class Request(Body):
    model: str = Field(description="its id, as /v1/models lists it")


@unsupported("include_obfuscation")
class StreamOptions(Body):
    include_usage: bool | None = Field(
        None, description="a last chunk has the tokens that were used"
    )


@unsupported(
    "store metadata moderation prompt_cache_options ignore_eos use_beam_search",
    service_tier=("auto", "default"),
    prompt_cache_retention=("in_memory", "in-memory"),
    length_penalty=(1,),
    skip_special_tokens=(True,),
    typical_p=(1,),
    mirostat=(0,),
)
class GenerationRequest(Request):
    """The fields that both routes for generating text share."""

    n: Count | None = Field(None, description="texts for each prompt (1)")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0 always takes the likeliest token (1)"
    )
    top_p: Share | None = Field(None, description="0 leaves the likeliest token only")
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = Field(None, description="added to the logits of tokens")
    seed: int | None = Field(
        None,
        ge=-(2**63),
        lt=2**63,
        description="the same seed, alone at the server, gives the same text; -1 is none",
    )
    stop: Literal[""] | Stop | Annotated[list[Stop], Field(max_length=16)] | None = Field(
        None, description="end before any of these"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    user: str | None = Field(None, description="goes to the log, where texts are logged")
    safety_identifier: str | None = Field(None, description="without effect")
    prompt_cache_key: str | None = Field(None, description="without effect")
    # beyond OpenAI's
    top_k: int | None = Field(None, ge=-1, le=2**31, description="0 and -1 are without effect")
    min_p: Share | None = None
    repetition_penalty: float | None = Field(None, ge=0.01, le=100)
    min_tokens: int | None = Field(None, ge=0, le=2**31)
    stop_token_ids: Annotated[list[Token], Field(max_length=16)] | None = None
    regex: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = Field(
        None, description="the text matches this as a whole"
    )
    choices: Annotated[list[NonEmpty], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="the text is one of these"
    )


@unsupported("suffix")
class CompletionRequest(GenerationRequest):
    prompt: PromptOrTokens | None = Field(
        None,
        description="a text or tokens, or several; without it, or empty, the model begins a text",
    )
    max_tokens: int | None = Field(
        None, ge=0, le=2**31, description="new tokens at most (16); 0 with echo only"
    )
    logprobs: int | None = Field(
        None, ge=0, le=20, description="log-probabilities of each token, and of so many others"
    )
    echo: bool | None = Field(
        None,
        description="the prompt comes before the text, and with logprobs those of its tokens; "
        "the first has none",
    )
    best_of: Count | None = Field(None, description="only what n is")


class JSONSchema(Body):
    name: Annotated[str, StringConstraints(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: Schema = Field(alias="schema")
    strict: bool | None = Field(None, description="the schema always holds")


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = Field(None, description="only with type json_schema")


@unsupported(
    "functions audio prediction web_search_options echo continue_final_message chat_template "
    "chat_template_kwargs documents",
    function_call=("none", "auto"),
    modalities=(["text"],),
    reasoning_effort=("none",),
    verbosity=("medium",),
    add_generation_prompt=(True,),
)
class ChatRequest(GenerationRequest):
    messages: Messages
    max_completion_tokens: Count | None = Field(
        None, description="new tokens at most (all that fit)"
    )
    max_tokens: Count | None = Field(None, description="the same, by its old name")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, description="only with logprobs")
    response_format: ResponseFormat | None = None
    tools: Annotated[ToolList | None, or_nothing(ToolList)] = Field(
        None, description="functions that the answer may call"
    )
    tool_choice: Annotated[ToolChoice | None, or_nothing(ToolChoice)] = Field(
        None, description="auto: text, calls or both; required: calls only; or one function"
    )
    parallel_tool_calls: bool | None = Field(
        None, description="an answer may have several calls (true)"
    )


@unsupported("dimensions")
class EmbeddingRequest(Request):
    user: str | None = Field(None, description="goes to the log, where texts are logged")
    input: TextOrTokens
    encoding_format: Literal["float", "base64"] | None = None


class TokenizeRequest(Request):
    """Either `prompt` or `messages`."""

    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = Field(
        None, description="with what the model is used to see before a text (true)"
    )


class DetokenizeRequest(Request):
    tokens: Annotated[list[Token], Field(fail_fast=True)]


class TaskRequest(Request):
    input: NonEmpty | Annotated[list[NonEmpty | Pair], Several] = Field(
        description="a text, or several; pairs of texts where the task takes them"
    )
    settings: dict[str, Any] = Field(
        {},
        description="how to use the model, as the flags of the task's command: to, characters …",
    )


# -- answers -----------------------------------------------------------------------------------


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: ErrorDetail


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "xinye"
    max_model_len: int = Field(
        description="tokens that it reads at once, prompt and answer together"
    )
    tasks: list[str] = Field(description="generate, chat, embed, or the task that it has learned")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class PromptUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Usage(PromptUsage):
    completion_tokens: int


class Answer(BaseModel):
    """The answer of the two routes that generate text, complete or as a chunk of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[BaseModel]
    usage: Usage | None = None


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]
    refusal: None = None


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatAnswer(Answer):
    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]
    usage: Usage


class ChatChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None = None


class ChatChunk(Answer):
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: list[ChatChunkChoice]


class LegacyLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None] = Field(description="null for the first token of a prompt")
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: LegacyLogprobs | None = None
    finish_reason: FinishReason | None = None


class Completion(Answer):
    object: Literal["text_completion"] = "text_completion"
    choices: list[CompletionChoice]


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="numbers; or base64 of float32, little-endian")


class EmbeddingAnswer(BaseModel):
    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: PromptUsage


class TokenizeAnswer(BaseModel):
    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizeAnswer(BaseModel):
    prompt: str


class TaskAnswer(BaseModel):
    object: Literal["list"] = "list"
    model: str
    task: str
    data: list[Any] = Field(
        description=(
            "of each text what the task finds, as in Python: a label with probabilities, spans, or "
            "a text"
        )
    )


class Health(BaseModel):
    status: Literal["ok"]
