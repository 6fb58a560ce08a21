"""What asks for nothing passes; what would change the text, and is not here, is refused."""

import openai
import pytest
from pydantic import BaseModel

from server.tiny_server import TOKENIZER

CHAT = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "你好"}],
    "max_tokens": 4,
    "temperature": 0,
}
PROMPT = {"model": "tiny", "prompt": "新", "max_tokens": 4, "temperature": 0}
NOTHING = [None, False, "", [], {}]


def text(server, path, body):
    answer = server.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return choice["message"]["content"] if "message" in choice else choice["text"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        *(
            (name, NOTHING)
            for name in (
                "tools",
                "functions",
                "store",
                "metadata",
                "audio",
                "prediction",
                "documents",
            )
        ),
        *((name, [*NOTHING, "none", "auto"]) for name in ("tool_choice", "function_call")),
        *(
            (name, NOTHING)
            for name in ("web_search_options", "chat_template", "chat_template_kwargs", "echo")
        ),
        *((name, [None, True, False]) for name in ("parallel_tool_calls", "skip_special_tokens")),
        ("service_tier", [None, "auto", "default"]),
        ("modalities", [None, ["text"]]),
        ("verbosity", [None, "medium"]),
        ("reasoning_effort", [None, "none"]),
        ("length_penalty", [None, 1, 1.0]),
        ("seed", [None, -1, -(2**63), 2**63 - 1]),
        ("top_k", [None, 0, -1]),
        ("top_p", [None, 0, 1]),
        ("min_p", [None, 0]),
        ("stop", [None, "", []]),
        ("logit_bias", [None, {}]),
        ("response_format", [None, {"type": "text", "json_schema": None}]),
        ("stream", [None, False]),
        ("stream_options", [None, {}, {"include_usage": False, "include_obfuscation": False}]),
        ("logprobs", [None, False]),
        ("top_logprobs", [None, 0]),
        ("max_completion_tokens", [None]),
        *((name, [None, "", "leaf"]) for name in ("user", "safety_identifier", "prompt_cache_key")),
    ],
)
def test_of_a_chat(server, field, values):
    expected = text(server, "/v1/chat/completions", CHAT)
    for value in values:
        assert text(server, "/v1/chat/completions", CHAT | {field: value}) == expected, value


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("suffix", NOTHING),
        ("best_of", [None, 1]),
        ("echo", [None, False]),
        ("seed", [-1]),
        ("stop", [""]),
    ],
)
def test_of_a_completion(server, field, values):
    expected = text(server, "/v1/completions", PROMPT)
    for value in values:
        assert text(server, "/v1/completions", PROMPT | {field: value}) == expected, value


def test_an_empty_prompt_begins_anew(server):
    expected = text(server, "/v1/completions", PROMPT | {"prompt": None})
    for prompt in ("", [""], [[*TOKENIZER.prefix]]):
        assert text(server, "/v1/completions", PROMPT | {"prompt": prompt}) == expected


@pytest.mark.parametrize(
    "field", ["refusal", "tool_calls", "function_call", "audio", "annotations", "reasoning_content"]
)
def test_of_a_message(server, field):
    for value in (None, "", []):
        messages = [{"role": "assistant", "content": "好", field: value}, *CHAT["messages"]]
        assert text(server, "/v1/chat/completions", CHAT | {"messages": messages})


def test_an_assistant_that_has_said_nothing(server):
    def answer(**said):
        return text(
            server,
            "/v1/chat/completions",
            CHAT | {"messages": [*CHAT["messages"], {"role": "assistant", **said}]},
        )

    assert (
        answer(content=None)
        == answer(content="")
        == answer(content=[])
        == answer()
        == answer(content="", name="叶")
    )


def message(**fields):
    return {"messages": [fields]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"store": 0}, "store"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"length_penalty": True}, "length_penalty"),
        ({"metadata": {"a": "b"}}, "metadata"),
        (message(role="assistant", content=None, refusal="No."), "messages.0.refusal"),
        (message(role="assistant", tool_calls=[{"id": "a"}]), "messages.0.tool_calls.0.type"),
        (
            message(role="user", content=[{"type": "image_url", "image_url": {"url": "a"}}]),
            "messages.0.content.0.image_url",
        ),
        (message(role="user", content=None), "messages.0"),
    ],
)
def test_what_would_change_the_text_is_refused(server, more, param):
    answer = server.http.post("/v1/chat/completions", json=CHAT | more)
    told = answer.json()["error"]
    assert (
        answer.status_code == 400 and told["param"] == param and told["message"].startswith(param)
    ), told


def test_best_of_more_texts_than_are_told(server):
    assert server.openai.completions.create(**PROMPT, n=2, best_of=2).usage.completion_tokens
    with pytest.raises(openai.BadRequestError, match="best_of"):
        server.openai.completions.create(**PROMPT, n=1, best_of=2)


class Leaf(BaseModel):
    colour: bool


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # the client's own, of what it has parsed
@pytest.mark.parametrize("way", ["create", "dump", "stream", "parse"])
def test_a_conversation_of_several_turns(server, way):
    """As the official client's own documents have it: its answers are the next request's
    messages."""
    chat, messages = server.openai.chat.completions, []
    for turn in range(3):
        messages.append({"role": "user", "content": f"你好 {turn}"})
        asked = {"model": "tiny", "messages": messages, "temperature": 0}
        if way == "stream":
            with chat.stream(**asked, extra_body={"choices": ["新叶", "好"]}) as stream:
                answer = stream.get_final_completion()
        elif way == "parse":
            answer = chat.parse(**asked, response_format=Leaf)
        else:
            answer = chat.create(**asked, max_tokens=20)
        message = answer.choices[0].message
        messages.append(message.model_dump() if way == "dump" else message)
    assert message.content and len(messages) == 6
