"""What is wrong with a request is an answer that names it; the server goes on."""

import json
import socket
import threading

import openai
import pytest
from pydantic import ValidationError

from server.tiny_server import TOKENIZER, serving
from xinye.data.tokenizer import Tokenizer
from xinye.server.bodies import parse
from xinye.server.schemas import CompletionRequest

PROMPT = {"model": "tiny", "prompt": "新"}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}]}


def error(server, path, body, status):
    """The error of an answer, in OpenAI's form."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"} and "\n" not in told["message"]
    assert "Traceback" not in answer.text and "/tmp" not in answer.text
    return told


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", CHAT | {"tools": [{"type": "function"}]}, "tools.0.function"),
        ("/v1/chat/completions", CHAT | {"audio": {"voice": "leaf"}}, "audio"),
        ("/v1/chat/completions", CHAT | {"temprature": 1}, "temprature"),
        (
            "/v1/chat/completions",
            CHAT | {"max_tokens": 1, "max_completion_tokens": 1},
            "max_tokens",
        ),
        ("/v1/chat/completions", CHAT | {"top_logprobs": 2}, "top_logprobs"),
        (
            "/v1/chat/completions",
            CHAT | {"stream_options": {"include_usage": True}},
            "stream_options",
        ),
        (
            "/v1/chat/completions",
            CHAT | {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
        ),
        (
            "/v1/chat/completions",
            CHAT
            | {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "leaf"}},
                }
            },
            "response_format",
        ),
        (
            "/v1/chat/completions",
            CHAT
            | {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"$ref": "http://127.0.0.1:9/a"}},
                }
            },
            "response_format",
        ),
        ("/v1/completions", PROMPT | {"regex": "("}, "regex"),
        ("/v1/completions", PROMPT | {"regex": "a", "choices": ["a"]}, "regex"),
        ("/v1/chat/completions", CHAT | {"messages": []}, "messages"),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [{"role": "boss", "content": ""}]},
            "messages.0.role",
        ),
        ("/v1/chat/completions", {"model": "tiny"}, "messages"),
        ("/v1/completions", PROMPT | {"best_of": 2}, "best_of"),
        ("/v1/completions", PROMPT | {"suffix": "x"}, "suffix"),
        ("/v1/completions", PROMPT | {"n": 0}, "n"),
        ("/v1/completions", PROMPT | {"n": 1000}, "n"),
        ("/v1/completions", PROMPT | {"max_tokens": -1}, "max_tokens"),
        ("/v1/completions", PROMPT | {"max_tokens": 10**30}, "max_tokens"),
        ("/v1/completions", PROMPT | {"temperature": "1"}, "temperature"),
        ("/v1/completions", PROMPT | {"temperature": 2.5}, "temperature"),
        ("/v1/completions", PROMPT | {"stop": ["a"] * 17}, "stop"),
        ("/v1/completions", PROMPT | {"stop": ["a", ""]}, "stop.1"),
        ("/v1/completions", PROMPT | {"stop": "a" * 1001}, "stop"),
        ("/v1/completions", PROMPT | {"logit_bias": {"99999": 1}}, "logit_bias"),
        ("/v1/completions", PROMPT | {"logit_bias": {"1e9": 1}}, "logit_bias.1e9"),
        ("/v1/completions", PROMPT | {"logit_bias": {"新": 1}}, "logit_bias.新"),
        ("/v1/completions", PROMPT | {"max_tokens": 0}, "max_tokens"),
        ("/v1/completions", {"model": "tiny", "prompt": []}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": [99999]}, "prompt"),
        ("/v1/completions", {"model": "reviews", "prompt": "新"}, "model"),
        ("/v1/embeddings", {"model": "tiny", "input": "新", "dimensions": 3}, "dimensions"),
        ("/v1/tasks/tag", {"model": "reviews", "input": "新"}, "model"),
        ("/v1/tasks/tag", {"model": "names", "input": [["新", "叶"]]}, "input"),
        ("/v1/tasks/chat", {"model": "tiny", "input": [["新", "叶"]]}, "input"),
        ("/v1/tasks/chat", {"model": "tiny", "input": ["新"] * 33}, "input"),
        ("/v1/tasks/chat", {"model": "reviews", "input": "新"}, "model"),
        ("/tokenize", {"model": "tiny"}, "prompt"),
        ("/detokenize", {"model": "tiny", "tokens": [99999]}, "tokens"),
    ],
)
def test_a_wrong_field_is_named(server, path, body, param):
    told = error(server, path, body, 400)
    assert told["param"] == param and told["type"] == "invalid_request_error"
    assert param.split(".")[0] in told["message"] or param == "model"


def test_the_nearest_field_is_told(server):
    told = error(server, "/v1/completions", PROMPT | {"max_token": 3}, 400)
    assert told["message"] == "max_token: there is no such field; did you mean 'max_tokens'?"
    assert told["code"] == "unknown_parameter"
    message = {"role": "user", "contnet": "你好"}  # the fields of a message are other ones
    told = error(server, "/v1/chat/completions", CHAT | {"messages": [message]}, 400)
    assert told["message"].endswith("there is no such field; did you mean 'content'?")
    assert told["param"] == "messages.0.contnet"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"NaN",
        b'{"a":' * 5000,
        b"9" * 5000,
        b'{"a": Infinity}',
        b'"\\',
    ],
)
def test_what_is_no_request_is_refused(server, body):
    error(server, "/v1/completions", body, 400)


HALF = "\ud800"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", PROMPT | {HALF: 1}),
        ("/v1/completions", PROMPT | {"model": HALF}),
        ("/v1/completions", PROMPT | {"prompt": HALF}),
        ("/v1/completions", PROMPT | {"stop": [HALF]}),
        ("/v1/completions", PROMPT | {"choices": ["a", HALF]}),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": HALF}]}]},
        ),
        (
            "/v1/chat/completions",
            CHAT | {"response_format": {"type": "json_schema", "json_schema": {"a": [HALF]}}},
        ),
        ("/v1/embeddings", {"model": "tiny", "input": [HALF]}),
        ("/v1/tasks/classify", {"model": "reviews", "input": [["a", HALF]]}),
        ("/v1/tasks/tag", {"model": "names", "input": HALF}),
        ("/tokenize", {"model": "tiny", "prompt": HALF}),
        ("/tokenize", {"model": "tiny", "prompt": HALF, "add_special_tokens": False}),
    ],
)
def test_half_a_character_is_no_text(server, path, body):
    assert error(server, path, body, 400)["code"] == "invalid_json"


def test_a_name_that_stands_twice(server):
    told = error(
        server, "/v1/completions", b'{"model": "tiny", "prompt": ":", "model": "reviews"}', 400
    )
    assert told["message"] == "the body is not valid JSON: it has 'model' twice in one object"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "1" + "0" * 4000])
@pytest.mark.parametrize(
    "field", ["temperature", "seed", "max_tokens", "n", "top_k", "logprobs", "min_p"]
)
def test_numbers_that_are_too_large(server, field, number):
    body = f'{{"model": "tiny", "prompt": "a", "{field}": {number}}}'.encode()
    assert error(server, "/v1/completions", body, 400)["param"] == field


def test_of_very_many_wrong_fields_one_is_told(server):
    """To find what is wrong with each would take the server seconds, in which it answers nobody."""
    many = {f"field{number}": 0 for number in range(5000)}
    with pytest.raises(ValidationError) as caught:
        CompletionRequest.model_validate(PROMPT | many)
    assert caught.value.error_count() == 1
    assert error(server, "/v1/completions", PROMPT | many, 400)["param"] == "field0"
    told = error(server, "/v1/completions", PROMPT | {"logit_bias": many}, 400)
    assert told["message"] == "logit_bias: at most 1024 tokens"


def test_patterns_that_all_must_hold_are_few(server):
    """Each may triple the states of the others: the grammar of thirty would take hours, and the
    server with it."""
    chain = {
        f"{n}": {"type": "string", "pattern": f".*{n}.*", "$ref": f"#/$defs/{n + 1}"}
        for n in range(30)
    }
    for schema in (
        {"allOf": [{"type": "string", "pattern": f".*{number}.*"} for number in range(30)]},
        {"$defs": chain | {"30": {"type": "string"}}, "$ref": "#/$defs/0"},
    ):
        wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        told = error(server, "/v1/chat/completions", CHAT | {"response_format": wanted}, 400)
        assert (
            told["message"]
            == "response_format: a schema with allOf, or with keys beside $ref, may have at most 12 patterns"
        )


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", PROMPT | {"prompt": "新" * 300}, "prompt"),
        ("/v1/completions", PROMPT | {"max_tokens": 256}, "max_tokens"),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [{"role": "user", "content": "好" * 300}]},
            "messages",
        ),
        ("/v1/embeddings", {"model": "tiny", "input": ["新" * 300]}, "input"),
    ],
)
def test_over_the_context(server, path, body, param):
    told = error(server, path, body, 400)
    assert (
        told["code"] == "context_length_exceeded"
        and told["param"] == param
        and "256" in told["message"]
    )


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", PROMPT | {"prompt": ["叶", "x" * 10_000]}, "prompt"),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [{"role": "user", "content": "<" * 400}] * 25},
            "messages",
        ),
        ("/v1/embeddings", {"model": "tiny", "input": "x" * 10_000}, "input"),
        ("/v1/tasks/classify", {"model": "reviews", "input": [["a", "x" * 10_000]]}, "input"),
        ("/v1/tasks/tag", {"model": "names", "input": "x" * 10_000}, "input"),
        ("/v1/tasks/chat", {"model": "tiny", "input": "x" * 10_000}, "input"),
        (
            "/tokenize",
            {"model": "tiny", "prompt": "x" * 10_000, "add_special_tokens": False},
            "prompt",
        ),
        ("/detokenize", {"model": "tiny", "tokens": [1] * 10_000}, "tokens"),
    ],
)
def test_what_is_sure_to_be_too_long_is_not_tokenized(server, path, body, param, monkeypatch):
    def never(*_):
        raise AssertionError("this would take long")

    for way in ("encode", "encode_batch", "encode_chat", "decode"):
        monkeypatch.setattr(Tokenizer, way, never)
    monkeypatch.setattr("xinye.server.worker.Worker.work", never)
    told = error(server, path, body, 400)
    assert told["code"] == "context_length_exceeded" and told["param"] == param


def test_the_longest_text_that_fits_is_read(server):
    longest = max(TOKENIZER.token_bytes, key=len).decode()
    text = longest * (256 - 1 - len(TOKENIZER.prefix))
    assert (
        server.openai.completions.create(model="tiny", prompt=text, max_tokens=1).usage.total_tokens
        == 256
    )


def test_bodies_and_texts_are_read_beside_the_event_loop(server, monkeypatch):
    """So that a long one keeps nobody waiting."""
    threads = []

    def seen(work):
        def do(*arguments):
            threads.append(threading.current_thread().name)
            return work(*arguments)

        return do

    monkeypatch.setattr("xinye.server.bodies.parse", seen(parse))
    for way in ("encode_batch", "encode_chat", "decode"):
        monkeypatch.setattr(Tokenizer, way, seen(getattr(Tokenizer, way)))
    server.openai.completions.create(model="tiny", prompt="叶", max_tokens=1)
    server.openai.chat.completions.create(**CHAT, max_tokens=1)
    for path, what in (("/tokenize", {"prompt": "叶"}), ("/detokenize", {"tokens": [7]})):
        server.http.post(path, json={"model": "tiny", **what})
    assert len(threads) >= 8 and all(name.startswith("asyncio_") for name in threads)


@pytest.mark.parametrize(
    "part",
    ["[1]", '"a"', "{}", '{"type": "text", "text": "a"}', '{"role": "user", "content": "a"}'],
)
def test_a_body_of_very_many_parts_is_not_read(server, part):
    body = '{"model": "tiny", "prompt": [' + ",".join([part] * 60_000) + "]}"
    assert error(server, "/v1/completions", body.encode(), 400)["code"] == "body_too_large"
    text = part * 5000  # as a text it is but one part
    assert (
        error(server, "/v1/completions", PROMPT | {"prompt": text}, 400)["code"]
        == "context_length_exceeded"
    )


def test_lists_are_no_longer_than_a_request_may_have_texts(server):
    for field, path in (
        ("prompt", "/v1/completions"),
        ("input", "/v1/embeddings"),
        ("input", "/v1/tasks/classify"),
    ):
        told = error(server, path, {"model": "tiny", field: ["a"] * 4097}, 400)
        assert told["message"].startswith(f"{field}: List should have at most 4096 items")


def test_characters_that_chats_mark_texts_with(server):
    """All of them once let a request wait for ever; one made each request build a tokenizer."""
    told = error(
        server,
        "/v1/chat/completions",
        CHAT | {"messages": [{"role": "user", "content": "\U000f0000"}]},
        400,
    )
    assert (
        told["message"] == "a message has the character U+F0000, which chats cannot hold; remove it"
    )
    others = "".join(map(chr, range(0xF0001, 0xF0021)))
    message = [{"role": "user", "content": others}]
    assert server.openai.chat.completions.create(
        model="tiny", messages=message, max_tokens=1
    ).usage.total_tokens


def test_errors_are_the_clients_exceptions(server):
    with pytest.raises(openai.NotFoundError) as caught:
        server.openai.completions.create(model="gpt-4", prompt="hello")
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="tools: two of them have the same name"):
        server.openai.chat.completions.create(
            **CHAT, tools=[{"type": "function", "function": {"name": "leaf"}}] * 2
        )
    with pytest.raises(openai.NotFoundError):
        server.openai.models.retrieve("no/such")


def test_other_routes_and_methods(server):
    assert server.http.get("/etc/passwd").json()["error"]["code"] == "not_found"
    answer = server.http.get("/v1/completions")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"
    # that page would load scripts from elsewhere
    assert server.http.get("/docs").status_code == 404
    error(server, "/v1/tasks/sing", {"model": "names", "input": "新"}, 404)


def test_a_body_that_comes_in_drops_is_not_waited_for(folders, monkeypatch):
    monkeypatch.setattr("xinye.server.guard.Guard.body_seconds", 0.2)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
    with (
        serving(folders[:1]) as server,
        socket.create_connection(server.http.base_url.netloc.decode().split(":")) as client,
    ):
        client.sendall(head)
        client.settimeout(0.05)
        answer = b""
        for _ in range(40):  # each drop comes long before the end of the time
            try:
                client.sendall(b" ")
                answer += client.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if answer:
                break
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_large_body_is_not_read(folders):
    with serving(folders[:1], max_body=1) as server:
        error(server, "/v1/completions", PROMPT | {"prompt": "a" * 1_500_000}, 413)
        chunks = (b" " * 100_000 for _ in range(15))  # a client that does not tell the length
        answer = server.http.post(
            "/v1/completions", content=chunks, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413


# -- who may ask


def test_every_route_but_health_and_the_empty_page_wants_the_key(folders):
    with serving(folders[:1], api_key="秘密-leaf".encode("ascii", "ignore").decode()) as server:
        routes = [(path, method) for path, methods in server.http.get(
            "/openapi.json", headers={"Authorization": "Bearer -leaf"}
        ).json()["paths"].items() for method in methods]  # fmt: skip
        closed = {
            path for path, method in routes if server.http.request(method, path).status_code == 401
        }
        assert closed == {path for path, _ in routes} - {"/", "/health"}
        for wrong in (
            "Bearer",
            "Bearer no",
            "Basic -leaf",
            "Bearer -leaf2",
            "-leaf",
            "Bearer 叶".encode(),
        ):
            assert (
                server.http.get("/v1/models", headers={"Authorization": wrong}).status_code == 401
            )
        assert [model.id for model in server.openai.models.list()] == ["tiny"]
        with pytest.raises(openai.AuthenticationError) as caught:
            server.openai.with_options(api_key="no").models.list()
        assert caught.value.code == "invalid_api_key"


def test_without_a_key_only_this_machine_by_its_own_name(server):
    assert server.http.get("/v1/models", headers={"Host": "evil.example:8000"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Host": "localhost:1"}).status_code == 200
    assert (
        server.http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
    )
    assert server.http.get("/v1/models", headers={"Origin": "null"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Origin": "http://[::1"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Host": "[::1"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Host": "[::1]:1"}).status_code == 200
    assert server.http.get("/v1/models", headers={"Host": "LocalHost"}).status_code == 200
    own = server.http.get("/v1/models", headers={"Origin": server.address})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers


def test_an_origin_that_is_named_may_ask(folders):
    origin = "https://example.org"
    with serving(folders[:1], allow_origin=(origin,)) as server:
        before = server.http.options("/v1/models", headers={"Origin": origin})
        assert (
            before.status_code == 204
            and "authorization" in before.headers["access-control-allow-headers"]
        )
        assert (
            server.http.get("/v1/models", headers={"Origin": origin}).headers[
                "access-control-allow-origin"
            ]
            == origin
        )
        assert (
            server.http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code
            == 403
        )
