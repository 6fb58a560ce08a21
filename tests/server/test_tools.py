"""Tool calls, as the official client sees them."""

import json
from dataclasses import replace
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from server.tiny_server import SHAPE, TOKENIZER, serving
from xinye.checkpoints.huggingface import save_model
from xinye.data.tool_calls import HERMES, with_tools
from xinye.generation import engine
from xinye.model.gpt import GPT

TEA = {"type": "string", "enum": ["白茶", "oolong"]}
PRICE = {
    "name": "price",
    "description": "茶的价格",
    "parameters": {"type": "object", "properties": {"tea": TEA}, "required": ["tea"]},
}
TOOLS = [{"type": "function", "function": function} for function in (PRICE, {"name": "close"})]
CHOSEN = {"type": "function", "function": {"name": "price"}}
ASKED = [{"role": "user", "content": "白茶多少钱？"}]
CALL = HERMES.text("price", {"tea": "白茶"})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A model with room for tools in its context, and one whose template knows none."""
    root = tmp_path_factory.mktemp("tools")
    model = GPT(replace(SHAPE, max_position_embeddings=1024))
    model.initialize(1)
    save_model(root / "tiny", model, TOKENIZER)
    template = "{% for message in messages %}{{ message.role + message.content }}{% endfor %}"
    save_model(root / "deaf", model, TOKENIZER.with_template(template))
    folders = [str(root / "tiny"), str(root / "deaf")]
    with serving(folders) as running:
        running.folders = folders
        yield running


@pytest.fixture
def wants(monkeypatch):
    """Makes the model want to write a text and then to end. Constraints still hold."""
    draw = engine.next_tokens

    def want(text):
        wanted = [*TOKENIZER.encode(text), TOKENIZER.eos_id]

        def next_tokens(logits, sequences):
            logits = logits.clone()
            for row, sequence in zip(logits, sequences, strict=True):
                row[wanted[min(sequence.completion_tokens, len(wanted) - 1)]] += 1000
            return draw(logits, sequences)

        monkeypatch.setattr(engine, "next_tokens", next_tokens)

    return want


def ask(server, **more):
    asked = {"model": "tiny", "messages": ASKED, "tools": TOOLS, "max_tokens": 200} | more
    return server.openai.chat.completions.create(**asked)


def told(server, **more):
    """The content, the calls and the finish reason of an answer, which is the same in a stream."""
    [choice] = ask(server, **more).choices
    calls = choice.message.tool_calls or []
    content, streamed, reason = "", {}, None
    for chunk in ask(server, stream=True, **more):
        delta, reason = chunk.choices[0].delta, chunk.choices[0].finish_reason
        content += delta.content or ""
        for part in delta.tool_calls or []:
            if part.id:
                assert part.type == "function" and part.function.arguments == ""
                assert part.index == len(streamed)
                streamed[part.index] = [part.function.name, ""]
            else:
                streamed[part.index][1] += part.function.arguments
    whole = [[call.function.name, call.function.arguments] for call in calls]
    assert (content, [*streamed.values()], reason) == (
        choice.message.content or "",
        whole,
        choice.finish_reason,
    )
    assert len({call.id for call in calls}) == len(calls)
    return content, whole, reason


@pytest.mark.parametrize("choice", ["required", CHOSEN])
def test_a_forced_call_follows_its_schema(server, choice):
    answer = ask(server, tool_choice=choice, parallel_tool_calls=False, n=3, seed=1)
    for each in answer.choices:
        [call] = each.message.tool_calls
        arguments = json.loads(call.function.arguments)
        # as OpenAI's API answers after a named function
        assert each.finish_reason == ("stop" if choice == CHOSEN else "tool_calls")
        assert each.message.content is None
        assert call.type == "function" and call.id.startswith("call_")
        assert call.function.name == "price" or choice == "required"
        assert arguments == {} if call.function.name == "close" else arguments["tea"] in TEA["enum"]


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("一斤", {}, ("一斤", [], "stop")),
        (f"看看\n{CALL}", {}, ("看看", [["price", '{"tea": "白茶"}']], "tool_calls")),
        (
            f"{CALL}\n{HERMES.text('close', {})}",
            {"tool_choice": "required"},
            ("", [["price", '{"tea": "白茶"}'], ["close", "{}"]], "tool_calls"),
        ),
        (CALL + CALL, {"parallel_tool_calls": False}, ("", [["price", '{"tea": "白茶"}']], "tool_calls")),
        # what the schema does not allow is not written
        (
            HERMES.text("price", {"tea": "oolong!", "cups": 2}),
            {"parallel_tool_calls": False},
            ("", [["price", '{"tea": "oolong"}']], "tool_calls"),
        ),
        ("<tool_cal>", {}, ("<tool_cal>", [], "stop")),
        (CALL, {"tool_choice": "none"}, (CALL, [], "stop")),
        (CALL, {"max_tokens": 47}, ("", [["price", '{"te']], "length")),
        (CALL, {"max_tokens": 20}, ("", [], "length")),
        (CALL, {"max_tokens": 32}, ("", [["price", ""]], "length")),
    ],
)  # fmt: skip
def test_what_a_model_wants_to_write(server, wants, text, more, expected):
    wants(text)
    assert told(server, **more) == expected


def test_log_probabilities_are_those_of_all_tokens(server, wants):
    wants(f"看\n{CALL}")
    chunks = [*ask(server, stream=True, logprobs=True)]
    found = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert bytes(byte for one in found for each in one.content for byte in each.bytes).decode() == (
        f"看\n{CALL}"
    )


def test_the_answer_of_a_tool_is_read(server, wants):
    """As the client's own documents have it: the answer and the result are the next messages."""
    wants(CALL)
    message = ask(server).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "九十元"}
    wants("九十元。")
    answer = ask(server, messages=[*ASKED, message, result])
    assert answer.choices[0].message.content == "九十元。"
    call = {"type": "function", "function": {"name": "price", "arguments": {"tea": "白茶"}}}
    said = [*ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}, result]
    read = TOKENIZER.encode_chat(with_tools(said, TOOLS))
    assert answer.usage.prompt_tokens == len(read)
    assert CALL in TOKENIZER.decode(read)


def test_what_clients_make_of_an_answer_can_be_sent_back(server, wants):
    """The client's parsed message, and the deltas of a stream as many programs collect them; with
    names in Chinese."""

    class 查价(BaseModel):
        茶: Literal["白茶", "oolong"]

    wants(HERMES.text("查价", {"茶": "白茶"}))
    asked = {"model": "tiny", "tools": [openai.pydantic_function_tool(查价)]}
    chats = server.openai.chat.completions
    parsed = chats.parse(messages=ASKED, **asked).choices[0].message
    assert parsed.tool_calls[0].function.parsed_arguments == 查价(茶="白茶")
    collected = {"role": "assistant", "content": None, "tool_calls": []}
    for chunk in chats.create(messages=ASKED, stream=True, **asked):
        for part in chunk.choices[0].delta.tool_calls or []:
            if part.id:
                collected["tool_calls"].append(part.model_dump())
            else:
                collected["tool_calls"][part.index]["function"]["arguments"] += (
                    part.function.arguments
                )
    wants("九十元。")
    for message in (parsed, collected):
        assert (
            chats.create(messages=[*ASKED, message], **asked).choices[0].message.content
            == "九十元。"
        )


def test_guesses_are_counted_and_can_be_turned_off(server, wants):
    """What a schema forces is guessed; the text is the same without guesses."""

    def answered(server):
        before = figures(server)
        [call] = ask(server, tool_choice=CHOSEN, seed=1).choices[0].message.tool_calls
        return call.function.arguments, [
            new - old for new, old in zip(figures(server), before, strict=True)
        ]

    def figures(server):
        lines = server.http.get("/metrics").text.split("\n")
        named = [f'xinye_{word}_tokens_total{{model="tiny"}} ' for word in ("draft", "accepted")]
        return [
            float(line.removeprefix(name))
            for name in named
            for line in lines
            if line.startswith(name)
        ] or [0, 0]

    wants(CALL)
    arguments, (drafted, accepted) = answered(server)
    assert drafted >= accepted > 10
    with serving(server.folders, speculation="off") as plain:
        assert answered(plain) == (arguments, [0, 0])


CALLED = {"id": "a", "type": "function", "function": {"name": "price", "arguments": "{}"}}


LISTS = {"name": "price", "arguments": json.dumps({"a": [[]] * 30_000})}
MANY = CALLED | {"function": LISTS}
UNFIT = [
    ('{"a": 1e999}', "the number 1e999 is too large"),
    ('{"a": [-1.5E+0999]}', "the number -1.5E"),
    ('{"a": 1, "a": 2}', "'a' twice"),
    ('{"a": NaN}', "JSON"),
    ("[1e9]", "it is no object"),
]


def with_arguments(text):
    call = CALLED | {"function": {"name": "price", "arguments": text}}
    return {"messages": [{"role": "assistant", "tool_calls": [call]}]}


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"model": "deaf"}, "tools", "knows no tools"),
        ({"model": "deaf", "tools": None, "messages": [*ASKED, {"role": "tool", "content": "9"}]}, "messages", "knows no tools"),
        ({"tools": [{"type": "function"}]}, "tools.0.function", "required"),
        ({"tools": [{"type": "web_search", "size": 1}]}, "tools.0", "'web_search' is not supported, only 'function'"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", "'web_search' is not supported, only 'function'"),
        ({"max_tokens": 1024}, "max_tokens", "tokens in the messages, and 1024 new ones"),
        ({"tools": TOOLS + TOOLS}, "tools", "same name"),
        ({"tools": TOOLS * 65}, "tools", "128"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name", "pattern"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]}, "tools.0.function.parameters", "object"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"properties": {"b": {"type": "leaf"}}}}}]}, "tools", "leaf"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"properties": {"b": {"multipleOf": 99991}}}}}]}, "tools", "too large"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"description": "x" * 50_000}}}]}, "messages", "context"),
        ({"tool_choice": "any"}, "tool_choice", "required"),
        ({"tool_choice": CHOSEN | {"function": {}}}, "tool_choice.function.name", "required"),
        ({"tool_choice": CHOSEN | {"function": {"name": "sell"}}}, "tool_choice", "no tool 'sell'"),
        ({"tools": None, "tool_choice": "required"}, "tool_choice", "requires tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "only one of"),
        ({"stop": "a"}, "tools", "leave stop out"),
        ({"messages": [{"role": "user", "content": "", "tool_calls": [CALLED]}]}, "messages.0", "cannot have tool_calls"),
        ({"messages": [{"role": "user", "content": "", "tool_call_id": "a"}]}, "messages.0", "role user cannot have a tool_call_id"),
        ({"messages": [*ASKED, {"role": "tool", "tool_call_id": "b", "content": ""}]}, "messages", "message 2 is the result of a tool"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALLED]}, {"role": "tool", "tool_call_id": "b", "content": ""}]}, "messages", "names the call 'b'"),
        ({"messages": [{"role": "assistant", "tool_calls": [MANY, MANY]}]}, "messages", "too many parts"),
        ({"tools": [*TOOLS, {"type": "function", "function": {"name": "查", "parameters": {"required": ["b"]}}}]}, "tools", "the parameters of 查: Unsatisfiable"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"$ref": "#"}}}], "tool_choice": "required"}, None, "no text can satisfy it"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALLED | {"function": {"name": "price", "arguments": "{"}}]}]}, "messages.0.tool_calls.0.function.arguments", "JSON"),
        *((with_arguments(text), "messages.0.tool_calls.0.function.arguments", words) for text, words in UNFIT),
    ],
)  # fmt: skip
def test_what_is_refused(server, more, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(server, **more)
    assert caught.value.param == param and words in str(caught.value), caught.value
