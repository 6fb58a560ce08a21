"""Completions and chat, as the official client sees them."""

import asyncio
import json

import httpx
import openai
import pytest
import torch

from server.tiny_server import TOKENIZER, serving

CHAT = [{"role": "system", "content": "简短"}, {"role": "user", "content": "你好 hello"}]


def test_models(server):
    models = server.openai.models.list().data
    assert [model.id for model in models] == ["tiny", "reviews", "names", "reader"]
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


def test_echo_scores_the_prompt_too(server):
    """As what judges models by this route reads it: the first token of a prompt has none."""
    first, second = TOKENIZER.encode("新叶"), TOKENIZER.encode("The leaf")
    asked = {"model": "tiny", "echo": True, "logprobs": 1, "temperature": 0}

    def choices(prompt, **more):
        return server.openai.completions.create(prompt=prompt, **asked | more).choices

    alone = choices("新叶", max_tokens=0)[0]
    assert alone.text == "新叶" and alone.finish_reason == "length"
    assert alone.logprobs.tokens == ["新", "叶"] and alone.logprobs.text_offset == [0, 1]
    assert alone.logprobs.token_logprobs[0] is alone.logprobs.top_logprobs[0] is None
    both = choices([first, second], max_tokens=0, n=2)
    assert [each.text for each in both] == ["新叶", "新叶", "The leaf", "The leaf"]
    shorter = both[0].logprobs
    assert shorter.token_logprobs == pytest.approx(
        choices([first], max_tokens=0)[0].logprobs.token_logprobs
    )
    # What was written is scored as it was when it was written.
    leaf = TOKENIZER.encode("叶")[0]
    forced = {"max_tokens": 5, "logit_bias": {str(leaf): 100}}
    written = choices([second], **forced)[0].logprobs
    again = choices([second + [leaf] * 5], max_tokens=1)[0].logprobs
    assert again.text_offset[:-1] == written.text_offset
    assert again.token_logprobs[1:-1] == pytest.approx(written.token_logprobs[1:], abs=1e-4)
    assert len(again.tokens) == len(second) + 6
    pairs = [*zip(again.token_logprobs, again.top_logprobs, strict=True)][1:]
    assert all(len(top) == 1 and score <= max(top.values()) for score, top in pairs)
    assert pairs[-1][0] == max(pairs[-1][1].values())  # written greedily
    streamed = [*server.openai.completions.create(prompt=[second], stream=True, **asked, **forced)]
    parts = [chunk.choices[0].logprobs for chunk in streamed if chunk.choices[0].logprobs]
    assert [token for part in parts for token in part.tokens] == written.tokens
    assert [offset for part in parts for offset in part.text_offset] == written.text_offset


def test_the_score_of_a_prompt_is_the_models_own(server):
    """Also of the first token, where a client sends what stands before it."""
    model = server.app.state.models["tiny"].model
    tokens = [*TOKENIZER.prefix, *TOKENIZER.encode("一片新叶")]
    logs = model.gpt(torch.tensor([tokens])).detach()[0].float().log_softmax(-1)
    expected = [float(logs[at, token]) for at, token in enumerate(tokens[1:])]
    answer = server.openai.completions.create(
        model="tiny", prompt=tokens, max_tokens=0, echo=True, logprobs=0
    )
    assert answer.usage.completion_tokens == 0 and answer.usage.prompt_tokens == len(tokens)
    logprobs = answer.choices[0].logprobs
    assert logprobs.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)


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
    step = server.queue.engine.step
    steps = iter(range(100))

    def failing():
        if next(steps) == 5:
            raise RuntimeError("/home/secret: out of memory")
        return step()

    server.queue.engine.step = failing  # the engine that takes its place has its own
    asked = {"max_tokens": 50, "extra_body": {"min_tokens": 50}}
    stream = server.openai.completions.create(model="tiny", prompt="新", stream=True, **asked)
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            pass
    assert "secret" not in str(caught.value) and caught.value.code == "internal_error"
    again = server.openai.completions.create(model="tiny", prompt="新", max_tokens=2)
    assert again.choices[0].finish_reason in ("stop", "length")


@pytest.mark.parametrize("asked", [{}, {"stream": True}])
def test_texts_are_logged_only_where_that_is_asked_for(server, folders, caplog, asked):
    body = {"model": "tiny", "prompt": "新叶", "max_tokens": 3, "temperature": 0, **asked}
    with caplog.at_level("INFO", "xinye"), serving(folders[:1], log_texts=True) as logging_one:
        server.http.post("/v1/completions", json=body)
        assert not caplog.records
        text = logging_one.openai.completions.create(**{**body, "stream": False}).choices[0].text
        caplog.clear()
        logging_one.http.post("/v1/completions", json=body)
    told = json.loads(caplog.messages[0])
    assert told == {"path": "/v1/completions", "request": body, "answers": [text]}


def test_every_answer_has_an_id(server):
    answers = [server.http.get("/health"), server.http.post("/v1/completions", json={})]
    assert all(answer.headers["x-request-id"].startswith("req-") for answer in answers)
    assert isinstance(json.loads(answers[1].text)["error"], dict) and isinstance(
        answers[0], httpx.Response
    )


def test_head_and_a_trailing_slash(server):
    for path in ("/", "/health", "/v1/models", "/v1/models/tiny"):
        whole = server.http.get(path)
        head = server.http.head(path)
        assert head.status_code == whole.status_code == 200 and head.content == b""
        assert head.headers["content-length"] == whole.headers["content-length"]
        assert server.http.get(path.rstrip("/") + "/").content == whole.content
    assert server.http.head("/v1/completions").status_code == 405
    assert server.http.head("/v1/models/none").status_code == 404
    asked = {"model": "tiny", "prompt": "新", "max_tokens": 1}
    assert server.http.post("/v1/completions/", json=asked).status_code == 200
