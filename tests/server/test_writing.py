"""Completions and chat, as the official client sees them."""

import asyncio
import json

import httpx
import openai
import pytest

from server.tiny_server import TOKENIZER

CHAT = [{"role": "system", "content": "简短"}, {"role": "user", "content": "你好 hello"}]


def test_models(server):
    models = server.openai.models.list().data
    assert [model.id for model in models] == ["tiny", "reviews", "names"]
    assert models[0].tasks == ["chat", "generate", "embed"] and models[1].tasks == [
        "classify",
        "embed",
    ]
    assert server.openai.models.retrieve("tiny").max_model_len == 256


def test_a_chat_and_its_stream_are_one(server):
    asked = {"model": "tiny", "messages": CHAT, "max_tokens": 20, "temperature": 0}
    whole = server.openai.chat.completions.create(**asked)
    choice = whole.choices[0]
    assert (
        whole.id.startswith("chatcmpl-")
        and choice.message.role == "assistant"
        and choice.message.content
    )
    assert whole.usage.prompt_tokens == len(TOKENIZER.encode_chat(CHAT))
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = [
        *server.openai.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
        == choice.message.content
    )
    assert (
        [chunk.choices[0].finish_reason for chunk in chunks[-2:-1]]
        == [choice.finish_reason]
        == ["length"]
    )
    assert chunks[-1].choices == [] and chunks[-1].usage.model_dump() == whole.usage.model_dump()
    assert len({chunk.id for chunk in chunks}) == 1 and not any(
        chunk.usage for chunk in chunks[:-1]
    )


def test_the_async_client_streams_too(server):
    async def texts():
        async with openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none") as client:

            async def one(seed):
                stream = await client.completions.create(
                    model="tiny", prompt="新叶", max_tokens=12, stream=True, seed=seed
                )
                return "".join([chunk.choices[0].text async for chunk in stream])

            return await asyncio.gather(*map(one, range(6)))

    assert len(set(asyncio.run(texts()))) > 1


def test_prompts_of_all_kinds(server):
    tokens = TOKENIZER.encode("新叶")

    def texts(prompt):
        answer = server.openai.completions.create(
            model="tiny", prompt=prompt, max_tokens=5, temperature=0
        )
        assert answer.object == "text_completion" and [
            choice.index for choice in answer.choices
        ] == [*range(len(answer.choices))]
        return [choice.text for choice in answer.choices]

    assert texts(["新叶", "leaf"]) == texts("新叶") + texts("leaf")
    assert texts([*TOKENIZER.prefix, *tokens]) == texts("新叶")
    assert texts([[*TOKENIZER.prefix, *tokens], tokens])[0] == texts("新叶")[0]
    assert texts(None)


def test_several_texts_with_a_seed_differ_and_repeat(server):
    def texts():
        answer = server.openai.completions.create(
            model="tiny", prompt="新", n=3, seed=7, max_tokens=12
        )
        assert answer.usage.prompt_tokens == len(TOKENIZER.prefix) + 1  # the prompt counts once
        assert answer.usage.completion_tokens == 36
        return [choice.text for choice in answer.choices]

    first = texts()
    assert len(set(first)) == 3 and texts() == first


def test_a_stop_string_ends_a_text_before_it(server):
    def text(**more):
        return server.openai.completions.create(
            model="tiny", prompt="新", temperature=0, max_tokens=30, **more
        ).choices[0]

    whole = text()
    stop = whole.text[4:6]
    ended = text(stop=[stop])
    assert ended.finish_reason == "stop" and ended.text == whole.text[: whole.text.index(stop)]
    assert text(stop=stop).text == ended.text


def test_bias_forces_a_token(server):
    leaf = TOKENIZER.encode("叶")[0]
    answer = server.openai.completions.create(
        model="tiny", prompt="新", max_tokens=5, logit_bias={str(leaf): 100}
    )
    assert answer.choices[0].text == "叶" * 5


def test_echo_puts_the_prompt_before_the_text(server):
    asked = {"model": "tiny", "prompt": "新叶", "max_tokens": 3, "temperature": 0}
    plain = server.openai.completions.create(**asked).choices[0].text
    assert server.openai.completions.create(**asked, echo=True).choices[0].text == "新叶" + plain
    stream = server.openai.completions.create(**asked, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "新叶" + plain


def test_log_probabilities_of_chat(server):
    asked = {
        "model": "tiny",
        "messages": CHAT,
        "max_tokens": 4,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    answer = server.openai.chat.completions.create(**asked)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    assert all(
        len(each.top_logprobs) == 2 and each.logprob == each.top_logprobs[0].logprob <= 0
        for each in content
    )
    assert (
        b"".join(bytes(each.bytes) for each in content).decode("utf-8", "replace")
        == answer.choices[0].message.content
    )
    streamed = [
        each
        for chunk in server.openai.chat.completions.create(**asked, stream=True)
        if chunk.choices[0].logprobs
        for each in chunk.choices[0].logprobs.content
    ]
    assert [each.token for each in streamed] == [each.token for each in content]


def test_log_probabilities_of_completions(server):
    asked = {"model": "tiny", "prompt": "新", "max_tokens": 4, "temperature": 0, "logprobs": 3}
    logprobs = server.openai.completions.create(**asked).choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset) == 4
    assert all(len(top) == 3 for top in logprobs.top_logprobs) and logprobs.text_offset[0] == 0
    streamed = [*server.openai.completions.create(**asked, stream=True)]
    assert [
        token for chunk in streamed for token in chunk.choices[0].logprobs.tokens
    ] == logprobs.tokens


def test_without_a_limit_an_answer_may_fill_the_context(server):
    answer = server.openai.chat.completions.create(model="tiny", messages=CHAT, temperature=0)
    assert answer.choices[0].finish_reason == "stop" or answer.usage.total_tokens == 256


def test_content_in_parts_is_one_text(server):
    def text(content):
        messages = [{"role": "user", "content": content}]
        return server.openai.chat.completions.create(
            model="tiny", messages=messages, max_completion_tokens=8, temperature=0
        ).choices[0]

    assert (
        text([{"type": "text", "text": "你"}, {"type": "text", "text": "好"}]).message
        == text("你好").message
    )


def test_a_constraint_holds(server):
    schema = {
        "type": "object",
        "properties": {"叶": {"enum": ["新", "old"]}},
        "required": ["叶"],
        "additionalProperties": False,
    }
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "leaf", "schema": schema, "strict": True},
    }
    answer = server.openai.chat.completions.create(
        model="tiny", messages=CHAT, response_format=wanted
    )
    assert json.loads(answer.choices[0].message.content)["叶"] in ("新", "old")
    assert answer.choices[0].finish_reason == "stop"
    for more, allowed in (
        ({"choices": ["新叶", "leaf"]}, ("新叶", "leaf")),
        ({"regex": "[新叶]{2}"}, None),
    ):
        text = (
            server.openai.completions.create(
                model="tiny", prompt="新", extra_body=more, max_tokens=20
            )
            .choices[0]
            .text
        )
        assert text in allowed if allowed else set(text) <= {"新", "叶"} and len(text) == 2


def test_an_error_in_the_middle_of_a_stream_is_the_clients_exception(server):
    step = server.line.engine.step
    steps = iter(range(100))

    def failing():
        if next(steps) == 5:
            raise RuntimeError("/home/secret: out of memory")
        return step()

    server.line.engine.step = failing  # the engine that takes its place has its own
    asked = {"max_tokens": 50, "extra_body": {"min_tokens": 50}}
    stream = server.openai.completions.create(model="tiny", prompt="新", stream=True, **asked)
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            pass
    assert "secret" not in str(caught.value) and caught.value.code == "internal_error"
    assert server.openai.completions.create(model="tiny", prompt="新", max_tokens=2).choices[0].text


def test_every_answer_has_an_id(server):
    answers = [server.http.get("/health"), server.http.post("/v1/completions", json={})]
    assert all(answer.headers["x-request-id"].startswith("req-") for answer in answers)
    assert isinstance(json.loads(answers[1].text)["error"], dict) and isinstance(
        answers[0], httpx.Response
    )
