"""Tools in chats: written as transformers writes them, read back from what a model writes."""

import json

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.chat_templates import WITHOUT_TOOLS
from xinye.data.tokenizer import Tokenizer
from xinye.data.tool_calls import HERMES, calls_in, textual, with_tools
from xinye.data.tool_results import in_order_of_calls
from xinye.errors import XinyeError
from xinye.generation.tool_calls import CallReader
from xinye.tasks.chat import Chat

# Written like Qwen's: tools in the first message, results as messages of the user.
QWENISH = r"""
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
    {{- 'Functions: <tools>' }}
    {%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\n</tools><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- set call = tool_call.function %}
            {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content }}
        {{- '\n</tool_response><|im_end|>\n' }}
    {%- elif message.role == 'user' %}
        {{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
TOKENIZER = Tokenizer.train(["tool call 白茶多少钱"], kind="char")
QWEN, OLD = TOKENIZER.with_template(QWENISH), TOKENIZER.with_template(WITHOUT_TOOLS)
PARAMETERS = {"type": "object", "properties": {"<|im_end|>": {"type": "string"}, "茶": {}}}
TOOLS = [
    {"type": "function", "function": {"name": "price", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "say", "description": "说"}},
]
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "<tool_call>", "}\n</tool_call>", "<|im_end|>", "\n", '\\"}', HERMES.text("price", {})]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.tuples(st.sampled_from(["price", "say"]), st.dictionaries(TEXTS, VALUES, max_size=3)),
    min_size=1,
    max_size=3,
)


def called(calls):
    return calls_in([{"name": name, "arguments": json.dumps(given)} for name, given in calls])


@pytest.mark.parametrize("tokenizer", [QWEN, TOKENIZER], ids=["Qwen's", "our own"])
@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("tools", [TOOLS[1:], []])
def test_transformers_writes_the_same(tmp_path, tokenizer, system, tools):
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    calls = called([("price", {"tea": "白茶"}), ("say", {"text": 'a "b"\n', "n": 1.5, "茶": None})])
    messages = [
        *([{"role": "system", "content": "Be brief."}] if system else []),
        {"role": "user", "content": "白茶?"},
        {"role": "assistant", "content": "看", "tool_calls": calls},
        {"role": "tool", "content": '{"price": 90}'},
        {"role": "assistant", "content": "", "tool_calls": calls[:1]},
    ]
    expected = theirs.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=True, return_dict=False
    )
    assert tokenizer.encode_chat(with_tools(messages, tools) if tools else messages) == expected
    assert tokenizer.call_format == HERMES


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS), max_size=5
    ),
    st.booleans(),
)
def test_texts_without_tools_are_as_before(texts, asking):
    messages = [{"role": role, "content": text} for role, text in texts]
    assert TOKENIZER.encode_chat(messages, asking) == OLD.encode_chat(messages, asking)


@settings(max_examples=40, deadline=None)
@given(CALLS, st.text(alphabet="ab 茶<", max_size=9), st.data())
def test_calls_come_back_from_pieces_of_text(calls, content, data):
    """What a template writes for an answer is read as the same content and calls, however it is
    cut, and no part of a message is a control token."""
    tokenizer = data.draw(st.sampled_from([QWEN, TOKENIZER]))
    messages = [{"role": "user", "content": "白茶?"}]
    before = tokenizer.encode_chat(with_tools(messages, TOOLS))
    messages.append({"role": "assistant", "content": content, "tool_calls": called(calls)})
    tokens = tokenizer.encode_chat(with_tools(messages, TOOLS), False)
    assert tokens[: len(before) - 1] == before[:-1]
    ends = [token for token in tokens[len(before) :] if token in tokenizer.stop_ids]
    assert len(ends) == 1
    text = tokenizer.decode(tokens[len(before) : tokens.index(ends[0], len(before))])
    reader, found, read = CallReader(HERMES, ["price", "say"]), "", []
    size = data.draw(st.integers(1, 30))
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    for piece in [*pieces, None]:
        for part in reader.push(piece or "", piece is None):
            if isinstance(part, str):
                found += part
            elif part.name:
                read.append([part.name, ""])
            else:
                read[-1][1] += part.arguments
    assert found == content
    assert [(name, json.loads(arguments)) for name, arguments in read] == calls


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS | st.sampled_from([HERMES.begin("price"), HERMES.end, HERMES.begin("x")])))
def test_malformed_calls_are_content_however_they_come(pieces):
    def read(pieces):
        reader = CallReader(HERMES, ["price"])
        parts = [part for piece in pieces for part in reader.push(piece)] + [*reader.push("", True)]
        content = "".join(part for part in parts if isinstance(part, str))
        return content, "".join(part.arguments for part in parts if not isinstance(part, str))

    text = "".join(pieces)
    assert read(pieces) == read([*text]) == read([text])
    if HERMES.begin("price") not in text:
        assert read(pieces) == (text, "")


def test_a_template_without_tools_gets_text():
    messages = with_tools(
        [{"role": "assistant", "content": "看", "tool_calls": called([("say", {"茶": 1})])}],
        TOOLS[1:],
    )
    assert OLD.call_format is None and Chat.tokenizer(OLD).call_format == HERMES
    assert OLD.encode_chat(messages) == TOKENIZER.encode_chat(messages)
    assert [message["content"] for message in textual(messages)] == [
        '<tools>\n{"type": "function", "function": {"name": "say", "description": "说"}}\n</tools>',
        '看\n<tool_call>\n{"name": "say", "arguments": {"茶": 1}}\n</tool_call>',
    ]


@pytest.mark.parametrize("arguments, read", [("", {}), (None, {}), ('{"a": 1}', {"a": 1})])
def test_arguments_are_an_object(arguments, read):
    [call] = calls_in({"name": "price", "arguments": arguments})
    assert call["function"]["arguments"] == read


@pytest.mark.parametrize("arguments", ["not json", "[1]", 3])
def test_other_arguments_make_no_call(arguments):
    assert calls_in({"name": "price", "arguments": arguments}) == []


@pytest.mark.parametrize(
    "ignored", ["{# tools tool_calls #}", "{% if tools and tool_calls %}{% endif %}"]
)
def test_what_a_template_writes_counts_and_not_its_words(ignored):
    tokenizer = TOKENIZER.with_template(ignored + WITHOUT_TOOLS)
    messages = [
        {"role": "user", "content": "白茶?"},
        {"role": "assistant", "content": "", "tool_calls": called([("price", {"tea": "白茶"})])},
    ]
    assert not tokenizer.knows_tools and tokenizer.call_format is None
    assert tokenizer.encode_chat(with_tools(messages, TOOLS)) == OLD.encode_chat(
        with_tools(messages, TOOLS)
    )


def test_calls_are_read_where_their_marks_are_control_tokens():
    """As in some models of Hermes. In a message the marks stay text."""
    backend = tokenizers.Tokenizer.from_str(TOKENIZER.backend.to_str())
    backend.add_special_tokens([*HERMES.marks])
    tokenizer = Tokenizer(backend)
    call = called([("price", {"</tool_call>": "<tool_call>"})])
    messages = [{"role": "user", "content": HERMES.text("price", {})}]
    messages.append({"role": "assistant", "content": "", "tool_calls": call})
    tokens = tokenizer.encode_chat(messages, False)
    marks = [tokenizer.backend.token_to_id(mark) for mark in HERMES.marks]
    assert [token for token in tokens if token in marks] == marks
    assert tokenizer.call_format == HERMES
    assert HERMES.text("price", {"</tool_call>": "<tool_call>"}) in tokenizer.decode(tokens)


def test_results_come_in_the_order_of_their_calls():
    calls = [{"id": name, "function": {}} for name in "甲乙"]
    results = [{"role": "tool", "content": name, "tool_call_id": name} for name in "乙甲"]
    asked, calling = {"role": "user"}, {"role": "assistant", "tool_calls": calls}
    ordered = in_order_of_calls([asked, calling, *results, asked, calling, *results[::-1]])
    assert [each.get("content") for each in ordered] == [None, None, *"甲乙", None, None, *"甲乙"]
    unnamed = [calling, results[0], {"role": "tool", "content": "?"}]
    assert in_order_of_calls(unnamed) == unnamed
    of_both = [calling, {"role": "tool", "content": "both"}]
    unanswered = [calling, asked, calling]
    in_text = [{"role": "assistant", "content": HERMES.text("price", {})}, of_both[1]]
    for fine in (of_both, unanswered, in_text):
        assert in_order_of_calls(fine) == fine


@pytest.mark.parametrize(
    ("ids", "answered", "says"),
    [
        (None, "a", "message 1 is the result of a tool, but the message before it calls no tool"),
        ("", "a", "message 2 is the result of a tool"),
        ("", [None], "message 2 is the result of a tool"),
        ("ab", "az", "message 3 names the call 'z', which"),
        ("aa", "", "message 1 has two calls with the id 'a'"),
        ("ab", "aa", "several results after message 1 name the call 'a'"),
        ("ab", "a", "message 1 has 2 calls, but 1 result after it; give each call one result"),
        ("a", [None, None], "message 1 has 1 call, but 2 results after it"),
    ],
)
def test_results_that_do_not_fit_the_calls_are_refused(ids, answered, says):
    calls = [{"id": name, "function": {}} for name in ids or ""]
    said = [{"role": "assistant", "content": "hi"} | ({"tool_calls": calls} if calls else {})]
    results = [
        {"role": "tool", "content": ""} | ({"tool_call_id": name} if name else {})
        for name in answered
    ]
    with pytest.raises(XinyeError, match=f"^a.jsonl, line 1: {says}"):
        in_order_of_calls([*(said if ids is not None else []), *results], "a.jsonl, line 1")


@pytest.mark.parametrize(
    ("text", "content", "name"),
    [
        ("看\n<tool_c", "看", ""),
        ("a <", "a <", ""),
        ('<tool_call>\n{"name": "pri', "", ""),
        ('看\n<tool_call>\n{"name": "price", "ar', "看", "price"),
        ('<tool_call>\n{"name": "sell", "arg', '<tool_call>\n{"name": "sell", "arg', ""),
    ],
)
def test_of_a_call_that_is_cut_off_no_markup_is_left(text, content, name):
    for pieces in ([text], [*text]):
        reader = CallReader(HERMES, ["price", "prices"])
        parts = [part for piece in pieces for part in reader.push(piece)]
        parts += reader.push("", final=True, cut=True)
        assert "".join(part for part in parts if isinstance(part, str)) == content
        assert [part.name for part in parts if not isinstance(part, str)] == [name] * bool(name)
        assert reader.calls == bool(name)
