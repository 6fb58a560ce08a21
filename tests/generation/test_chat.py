"""Conversations: what of them a model reads, and what is kept."""

import json

import pytest

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.chat import (
    Conversation,
    check_messages,
    load_messages,
    save_messages,
    start_answer,
)
from xinye.generation.engine import Engine
from xinye.generation.sampling import ChatSampling
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

TOKENIZER = Tokenizer.train(["你好新叶"], kind="char")
QUESTIONS = [
    {"role": role, "content": f"{number}"} for number in range(10) for role in ("user", "assistant")
]


def test_the_oldest_turns_are_left_out_and_the_system_message_stays():
    system, question = {"role": "system", "content": "简短"}, {"role": "user", "content": "最后"}
    sampling = ChatSampling(max_tokens=40)
    reply, left_out = start_answer(TOKENIZER, [system, *QUESTIONS, question], 200, sampling)
    assert 0 < left_out < 20 and left_out % 2 == 0
    assert reply.tokens == TOKENIZER.encode_chat([system, *QUESTIONS[left_out:], question])
    assert (
        len(reply.tokens)
        <= 160
        < len(TOKENIZER.encode_chat([system, *QUESTIONS[left_out - 2 :], question]))
    )
    assert reply.sampling.max_tokens == 40


def test_an_answer_stays_within_the_context():
    messages = [{"role": "user", "content": "好" * 10}]
    reply, left_out = start_answer(TOKENIZER, messages, 60, ChatSampling(max_tokens=500))
    assert left_out == 0 and len(reply.tokens) + reply.sampling.max_tokens == 60


def test_a_question_that_fills_the_context_is_refused():
    with pytest.raises(XinyeError, match="this model reads at most 60: shorten it"):
        start_answer(TOKENIZER, [{"role": "user", "content": "好" * 60}], 60, ChatSampling())


@pytest.fixture
def conversation():
    model = GPT(GPTConfig("modern", TOKENIZER.vocab_size, 16, 1, 2, 2, 8, 16, 128))
    model.initialize(0)
    return Conversation(Engine(model, TOKENIZER), ChatSampling(max_tokens=5, seed=1), "简短")


def test_an_answer_that_is_left_half_way_is_kept(conversation):
    pieces = conversation.answer("你好")
    first = next(pieces)
    pieces.close()
    assert [message["role"] for message in conversation.messages] == ["system", "user", "assistant"]
    assert conversation.messages[2]["content"] == first


def test_a_question_that_fails_is_not_kept(conversation):
    with pytest.raises(XinyeError):
        list(conversation.answer("好" * 200))
    assert conversation.messages == [{"role": "system", "content": "简短"}]


def test_reset_and_system(conversation):
    "".join(conversation.answer("你好"))
    conversation.system = "brief"
    assert conversation.messages[0]["content"] == "brief" and len(conversation.messages) == 3
    conversation.reset()
    assert conversation.messages == [{"role": "system", "content": "brief"}]
    conversation.system = ""
    conversation.reset()
    assert conversation.messages == []


TOOL = {"type": "function", "function": {"name": "price"}}


def test_tools_of_a_loaded_chat_stay_when_its_system_message_changes(conversation):
    loaded = [{"role": "system", "content": "", "tools": json.dumps([TOOL["function"]])}]
    conversation.messages = check_messages(loaded)
    conversation.system = "简短"
    assert conversation.messages == [{"role": "system", "content": "简短", "tools": [TOOL]}]


def test_results_of_tools_fit_their_calls_and_come_in_their_order():
    calls = [{"id": name, "name": "price", "arguments": {"of": name}} for name in ("a", "b")]
    asked = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    results = [{"role": "tool", "content": name, "tool_call_id": name} for name in ("b", "a")]
    checked = check_messages(asked + results)
    assert [each["content"] for each in checked] == ["?", "", "a", "b"]
    more = {"role": "tool", "content": "c"}
    with pytest.raises(XinyeError, match="messages: message 2 has 2 calls, but 3 results after it"):
        start_answer(TOKENIZER, [*asked, *results, more], 64, ChatSampling())


def test_ids_of_calls_may_be_numbers():
    call = {"id": 7, "name": "price", "arguments": {}}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    for identity in (7, "7"):
        *_, result = check_messages(
            [said, {"role": "tool", "content": "", "tool_call_id": identity}]
        )
        assert result["tool_call_id"] == "7"
    with pytest.raises(XinyeError, match="message 2 names the call '8', which"):
        check_messages([said, {"role": "tool", "content": "", "tool_call_id": 8}])


def test_messages_are_saved_and_read_again(tmp_path):
    path = tmp_path / "a.json"
    save_messages(path, QUESTIONS)
    save_messages(path, QUESTIONS[:2])  # its own kind may be replaced
    assert load_messages(path) == QUESTIONS[:2]
    (tmp_path / "mine.json").write_text('{"holiday": "photos"}')
    with pytest.raises(XinyeError, match="exists and does not contain messages"):
        save_messages(tmp_path / "mine.json", QUESTIONS)
    assert "holiday" in (tmp_path / "mine.json").read_text()


@pytest.mark.parametrize(
    "content, says",
    [
        ("{", "damaged"),
        ('{"messages": "你好"}', "this is not a list of messages"),
        ('{"messages": [{"role": "user", "content": "a"}, "b"]}', "message 2 needs a role"),
        ('{"messages": [{"role": "robot", "content": "a"}]}', "message 1 needs a role"),
        ('{"messages": [{"role": "user", "content": ["a"]}]}', "message 1 needs a role"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "not valid Unicode"),
        (
            '{"messages": [{"role": "user", "content": "a", "tools": [{}]}]}',
            "the tools of message 1",
        ),
        (
            '{"messages": [{"role": "system", "content": "a", "tools": 3}]}',
            "the tools of message 1",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}',
            "message 1 has tool_calls that cannot be read",
        ),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "4"}]}',
            "message 2 is the result of a tool, but the message before it calls no tool",
        ),
    ],
)
def test_what_holds_no_messages_is_one_line(tmp_path, content, says):
    (tmp_path / "a.json").write_text(content, "utf-8")
    with pytest.raises(XinyeError, match=says) as caught:
        load_messages(tmp_path / "a.json")
    assert "a.json" in str(caught.value) and "\n" not in str(caught.value)


def test_our_template_ends_an_answer_by_its_own_token():
    assert TOKENIZER.stop_ids == {TOKENIZER.eos_id, TOKENIZER.backend.token_to_id("<|im_end|>")}
