"""Conversations: what is trained of them, in every format and by whichever template."""

import gzip
import json

import pytest

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.loss import IGNORED
from xinye.tasks.chat import Chat
from xinye.tasks.exercises import chats

RECORDS = [*chats(4, "zh", 3), *chats(4, "en", 4)]
TURNS = [("你好", "您好！"), ("And in English?", "Of course."), ("那再见", "再见。")]
MESSAGES = [
    {"role": r, "content": c}
    for turn in TURNS
    for r, c in zip(("user", "assistant"), turn, strict=True)
]
# Foreign: another wording, and one that (as Qwen3's) writes the last answer otherwise than those
# before it.
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + ']\\n\\n' + m.content | trim + "
    "eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]\\n\\n' }}{% endif %}"
)
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if loop.last and m.role == "
    "'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' "
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [message["content"] for record in RECORDS for message in record["messages"]]
    return Tokenizer.train([*texts, str(MESSAGES), "systemuserassistant"], kind="char")


def read(tmp_path, *rows, name="chats.jsonl"):
    (tmp_path / name).write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8"
    )
    return Chat.read([str(tmp_path / name)])


def trained(tokenizer, example) -> list[str]:
    """The texts that are trained: each must end with a token that ends it."""
    texts, tokens = [], []
    for target in [*example.targets, IGNORED]:
        if target != IGNORED:
            tokens.append(target)
        elif tokens:
            assert tokens[-1] in tokenizer.stop_ids
            texts.append(tokenizer.decode(tokens))
            tokens = []
    return texts


def test_all_records_without_an_answer_are_named(tmp_path):
    silent, good = {"prompt": "在吗", "response": ""}, {"prompt": "你好", "response": "您好！"}
    told = []
    (tmp_path / "chats.jsonl").write_text(
        "\n".join(map(json.dumps, [silent, good, silent])), "utf-8"
    )
    records = Chat.read([str(tmp_path / "chats.jsonl")], told.append)
    assert [record.place.rpartition(" ")[2] for record in records] == ["2"]
    assert "chats.jsonl, line 1, line 3: there is no answer from the assistant" in str(told[0])
    (tmp_path / "a.json").write_text(json.dumps([silent, good, silent]), "utf-8")
    Chat.read([str(tmp_path / "a.json")], told.append)
    assert "a.json, record 1, record 3: there is no answer from the assistant" in str(told[1])


@pytest.mark.parametrize("template", [None, LLAMA])
def test_only_answers_and_their_ends_are_trained(tmp_path, tokenizer, template):
    own = tokenizer.with_template(template) if template else tokenizer
    example = Chat().examples(own, read(tmp_path, {"messages": MESSAGES}), 512)[0]
    assert trained(own, example) == [answer for _, answer in TURNS]
    # what a model is given that shall write the second answer
    asked = own.encode_chat(MESSAGES[:3])
    assert example.tokens[: len(asked)] == asked and example.targets[len(asked) - 1] != IGNORED


def test_a_template_that_writes_the_last_answer_otherwise(tmp_path, tokenizer):
    own = tokenizer.with_template(THINKING)
    examples = Chat().examples(own, read(tmp_path, {"messages": MESSAGES}), 512)
    assert [trained(own, each) for each in examples] == [
        [f"<think>\n\n</think>\n\n{answer}"] for _, answer in TURNS
    ]


def test_formats(tmp_path, tokenizer):
    rows = {
        "ShareGPT": {
            "conversations": [
                {"from": "human", "value": "你好"},
                {"from": "gpt", "value": "您好！"},
            ]
        },
        "Alpaca": {"instruction": "你好", "input": "", "output": "\n您好！"},
        "'prompt' and 'response'": {"prompt": "你好", "response": "您好！"},
        "'ask' and 'answer'": {"department": "x", "ask": "你好", "answer": "您好！"},
        "ShareGPT and 'chosen'": {
            "conversations": [{"from": "human", "value": "你好"}],
            "chosen": {"from": "gpt", "value": "您好！"},
            "rejected": {"from": "gpt", "value": "走开"},
        },
        "OpenAI messages": {
            "messages": [
                MESSAGES[0],
                {"role": "assistant", "content": [{"type": "text", "text": "您好！"}]},
            ]
        },
    }
    for kind, row in rows.items():
        (record,) = read(tmp_path, row)
        assert record.format == kind and list(record.messages) == MESSAGES[:2]
    (tmp_path / "chats.json.gz").write_bytes(
        gzip.compress(json.dumps([{"messages": MESSAGES}]).encode())
    )
    assert list(Chat.read([str(tmp_path / "chats.json.gz")])[0].messages) == MESSAGES


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "你好"}, "line 1: expected messages"),
        ({"prompt": "你好", "response": 3}, "line 1, field 'response': expected a text, found 3"),
        ({"prompt": "你好", "response": " "}, "line 1: there is no answer from the assistant"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "field 'messages', message 1: expected a role",
        ),
        ({"conversations": {}}, "field 'conversations': expected a list of messages, found {}"),
    ],
)
def test_a_wrong_record_is_told_of(tmp_path, row, says):
    with pytest.raises(XinyeError, match=r"chats\.jsonl, ") as error:
        read(tmp_path, row)
    assert says in str(error.value)


def test_what_is_too_long_loses_what_hurts_least(tmp_path, tokenizer):
    system = {"role": "system", "content": "回答简短。"}
    (record,) = read(tmp_path, {"messages": [system, *MESSAGES]})
    (example,) = Chat().examples(tokenizer, [record], 60)
    assert trained(tokenizer, example) == ["再见。"] and example.cut > 0
    assert tokenizer.decode(example.tokens).startswith("system\n回答简短。\nuser\n那再见")
    (record,) = read(tmp_path, {"prompt": "你好" * 100 + "?", "response": "再见。" * 5})
    (example,) = Chat().examples(tokenizer, [record], 60)
    assert trained(tokenizer, example) == ["再见。" * 5] and "?" in tokenizer.decode(example.tokens)
    (record,) = read(tmp_path, {"prompt": "你好", "response": "再见。" * 100})
    (example,) = Chat().examples(tokenizer, [record], 60)
    assert trained(tokenizer, example)[0].startswith("再见。" * 5) and len(example.tokens) <= 60


def test_a_changed_template_is_refused(tmp_path, tokenizer):
    Chat.tokenizer(tokenizer).save(tmp_path)
    assert Tokenizer.load(tmp_path).golden
    path = tmp_path / "chat_template.jinja"
    path.write_text(path.read_text("utf-8").replace(r"role + '\n'", "role + ' '"), "utf-8")
    with pytest.raises(XinyeError, match="has changed since training"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("knows", [True, False])
def test_calls_are_trained_and_results_are_not(tmp_path, tokenizer, knows):
    """OpenAI's form and ShareGPT's are the same record."""
    price = {"name": "price", "description": "茶价"}
    called = {"name": "price", "arguments": {"tea": "白茶"}}
    function = {**called, "arguments": json.dumps(called["arguments"])}
    openai = [
        {"role": "user", "content": "白茶?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "90"},
        {"role": "assistant", "content": "九十元。"},
    ]
    sharegpt = [
        {"from": "human", "value": "白茶?"},
        {"from": "function_call", "value": json.dumps(called)},
        {"from": "observation", "value": "90"},
        {"from": "gpt", "value": "九十元。"},
    ]
    records = read(
        tmp_path,
        {"messages": openai, "tools": [{"type": "function", "function": price}]},
        {"conversations": sharegpt, "tools": json.dumps([price])},
    )
    if not knows:
        tokenizer = tokenizer.with_template(LLAMA)
    call = '<tool_call>\n{"name": "price", "arguments": {"tea": "白茶"}}\n</tool_call>'
    for example in Chat().examples(tokenizer, records, 512):
        *_, said, answer = trained(tokenizer, example)
        assert [said, answer] == [call, "九十元。"]
        assert '"description": "茶价"' in tokenizer.decode(example.tokens)
    findings = [*Chat.token_findings(tokenizer, tokenizer, records, [])]
    assert [finding for finding in findings if "does not know tools" in finding] == (
        []
        if knows
        else [
            f"the model's chat template does not know tools, so tools and calls are written as text: first {records[0].place}"
        ]
    )


def test_tools_that_are_longer_than_the_context_are_named(tmp_path, tokenizer):
    tools = [{"name": "price", "description": "茶" * 300}]
    said = [{"role": "user", "content": "白茶?"}, {"role": "assistant", "content": "九十元。"}]
    plain = [{"role": "system", "content": "茶" * 300}, *said]
    records = read(tmp_path, {"messages": said, "tools": tools}, {"messages": plain})
    says = "the tools and .* 64 tokens.*--context .*--task-mix chat=", "the messages before .* 64"
    for record, words in zip(records, says, strict=True):
        with pytest.raises(XinyeError, match=f"line .: {words}"):
            Chat().examples(tokenizer, [record], 64)
