"""What a request may hold, and what an answer holds: OpenAI's fields, and those of `Sampling` that it lacks.

A field that is not here is refused by its name; so is a value of another type ("3" is no number). OpenAI's fields that
this server does not have are `Off`: what asks for nothing passes, so that any client's own messages do.
"""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from xinye.server.settings import MOST_TEXTS

Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[
    list[Token], Field(min_length=1, fail_fast=True)
]  # else a long list gives as many findings
Text = Annotated[str, StringConstraints(min_length=1)]
Several = Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True)
TextOrTokens = Text | Tokens | Annotated[list[Text], Several] | Annotated[list[Tokens], Several]
PromptOrTokens = str | Tokens | Annotated[list[str], Several] | Annotated[list[Tokens], Several]
Pair = Annotated[list[Text], Field(min_length=2, max_length=2)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
NoStop = Literal[""]
MOST_BIASES = 1024
FinishReason = Literal["stop", "length"]


def few_biases(given: Any) -> Any:
    """Not so many that all that is wrong with them would take seconds to tell."""
    if isinstance(given, dict) and len(given) > MOST_BIASES:
        raise ValueError(f"at most {MOST_BIASES} tokens")
    return given


Bias = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")],
        Annotated[float, Field(ge=-100, le=100)],
    ],
    BeforeValidator(few_biases),
    Field(max_length=MOST_BIASES),
]


class Off:
    """Marks a field that this server does not have: only null, what is empty or false, and `values` pass."""

    def __init__(self, *values: Any) -> None:
        self.values = [None, False, "", [], {}, *values]

    def __get_pydantic_core_schema__(self, *_: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return {"enum": self.values, "description": "not supported"}

    def _check(self, given: Any) -> None:
        # True is equal to 1
        if not any(
            given == value and isinstance(given, bool) == isinstance(value, bool)
            for value in self.values
        ):
            raise PydanticCustomError("unsupported", "not supported by this server")


Nothing = Annotated[Any, Off()]


class Body(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _one_unknown_field(cls, given: Any) -> Any:
        """Of the fields that are not here one is told: to find out of many takes seconds, and nobody is answered."""
        if not isinstance(given, dict):
            return given
        unknown = given.keys() - known_fields(cls)
        if len(unknown) > 1:
            unknown.remove(next(name for name in given if name in unknown))
            given = {name: value for name, value in given.items() if name not in unknown}
        return given


@cache
def known_fields(kind: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in kind.model_fields.items())


# -- requests --------------------------------------------------------------------------------------------------------


class StreamOptions(Body):
    include_usage: bool | None = Field(
        None, description="a last chunk tells the tokens that were used"
    )
    include_obfuscation: Nothing = None


class Writing(Body):
    """What both ways to write share."""

    model: str = Field(description="its id, as /v1/models tells")
    n: int | None = Field(None, ge=1, le=2**31, description="texts for each prompt (1)")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0 always takes the likeliest token (1)"
    )
    top_p: float | None = Field(None, ge=0, le=1, description="0 leaves the likeliest token only")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: Bias | None = Field(None, description="added to the logits of tokens")
    seed: int | None = Field(
        None,
        ge=-(2**63),
        lt=2**63,
        description="the same seed, alone at the server, gives the same text; -1 is none",
    )
    stop: NoStop | Stop | Annotated[list[Stop], Field(max_length=16)] | None = Field(
        None, description="end before any of these"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    user: str | None = Field(None, description="goes to the log, where texts are logged")
    # beyond OpenAI's
    top_k: int | None = Field(None, ge=-1, le=2**31, description="0 and -1 are without effect")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=100)
    min_tokens: int | None = Field(None, ge=0, le=2**31)
    stop_token_ids: Annotated[list[Token], Field(max_length=16)] | None = None
    regex: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = Field(
        None, description="the text matches this as a whole"
    )
    choices: Annotated[list[Text], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="the text is one of these"
    )
    # OpenAI's without effect on a text
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Annotated[Any, Off("auto", "default")] = None
    # OpenAI's, and the best known of vLLM's and llama.cpp's, that are not here
    store: Nothing = None
    metadata: Nothing = None
    moderation: Nothing = None
    prompt_cache_options: Nothing = None
    prompt_cache_retention: Annotated[Any, Off("in_memory", "in-memory")] = None
    ignore_eos: Nothing = None
    use_beam_search: Nothing = None
    length_penalty: Annotated[Any, Off(1)] = None
    skip_special_tokens: Annotated[Any, Off(True)] = None
    typical_p: Annotated[Any, Off(1)] = None
    mirostat: Annotated[Any, Off(0)] = None


class CompletionRequest(Writing):
    prompt: PromptOrTokens | None = Field(
        None,
        description="a text or tokens, or several; without it, or empty, the model begins a text of its own",
    )
    max_tokens: int | None = Field(None, ge=1, le=2**31, description="new tokens at most (16)")
    logprobs: int | None = Field(
        None, ge=0, le=20, description="log-probabilities of each token, and of so many others"
    )
    echo: bool | None = Field(
        None, description="the prompt comes before the text; not with logprobs"
    )
    best_of: int | None = Field(None, ge=1, le=2**31, description="only what n is")
    suffix: Nothing = None


class TextPart(Body):
    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: Nothing = None
    image_url: Nothing = None
    input_audio: Nothing = None
    file: Nothing = None
    refusal: Nothing = None


class Message(Body):
    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="developer is another word for system"
    )
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = Field(
        None, description="only an assistant's may be missing, or null: it is empty, then"
    )
    name: str | None = Field(None, description="without effect")
    parsed: Any = Field(
        None, description="without effect: what a client has made of an assistant's content"
    )
    refusal: Nothing = None
    tool_calls: Nothing = None
    tool_call_id: Nothing = None
    function_call: Nothing = None
    audio: Nothing = None
    annotations: Nothing = None
    reasoning: Nothing = None
    reasoning_content: Nothing = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"the content of a message of the role {self.role} is missing")
        return self

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


Messages = Annotated[list[Message], Field(min_length=1, max_length=4096, fail_fast=True)]


class JSONSchema(Body):
    name: Annotated[str, StringConstraints(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = Field(None, description="the schema always holds")


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = Field(None, description="only with type json_schema")


class ChatRequest(Writing):
    messages: Messages
    max_completion_tokens: int | None = Field(
        None, ge=1, le=2**31, description="new tokens at most (all that fit)"
    )
    max_tokens: int | None = Field(None, ge=1, le=2**31, description="the same, by its old name")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, description="only with logprobs")
    response_format: ResponseFormat | None = None
    # OpenAI's, and the best known of vLLM's and llama.cpp's, that are not here
    tools: Nothing = None
    tool_choice: Annotated[Any, Off("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, Off(True)] = None
    functions: Nothing = None
    function_call: Annotated[Any, Off("none", "auto")] = None
    audio: Nothing = None
    modalities: Annotated[Any, Off(["text"])] = None
    prediction: Nothing = None
    reasoning_effort: Annotated[Any, Off("none")] = None
    verbosity: Annotated[Any, Off("medium")] = None
    web_search_options: Nothing = None
    echo: Nothing = None
    add_generation_prompt: Annotated[Any, Off(True)] = None
    continue_final_message: Nothing = None
    chat_template: Nothing = None
    chat_template_kwargs: Nothing = None
    documents: Nothing = None


class EmbeddingRequest(Body):
    model: str
    input: TextOrTokens
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Nothing = None
    user: str | None = Field(None, description="goes to the log, where texts are logged")


class TokenizeRequest(Body):
    """One of `prompt` and `messages`."""

    model: str
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = Field(
        None, description="with what the model is used to see before a text (true)"
    )


class DetokenizeRequest(Body):
    model: str
    tokens: Annotated[list[Token], Field(fail_fast=True)]


class TaskRequest(Body):
    model: str
    input: Text | Annotated[list[Text | Pair], Several] = Field(
        description="a text, or several; to classify also pairs of texts"
    )


# -- answers ---------------------------------------------------------------------------------------------------------


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
    tasks: list[str] = Field(description="of generate, chat, classify, tag, embed")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatAnswer(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None


class LegacyLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: LegacyLogprobs | None = None
    finish_reason: FinishReason | None = None


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="numbers; or base64 of float32, little-endian")


class PromptUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


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


class Judgement(BaseModel):
    """Of a text's label, or of several labels."""

    label: str | None = None
    probability: float | None = None
    labels: list[str] | None = None
    probabilities: dict[str, float]


class Span(BaseModel):
    start: int
    end: int = Field(description="behind its last character")
    type: str
    text: str
    probability: float


class TaskAnswer(BaseModel):
    object: Literal["list"] = "list"
    model: str
    task: str
    data: list[Judgement] | list[list[Span]]


class Health(BaseModel):
    status: Literal["ok"]
