"""What is wrong with a request is an answer that names it; the server goes on."""

import json
import socket

import openai
import pytest
from pydantic import ValidationError

from server.tiny_server import serving
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
        ("/v1/chat/completions", CHAT | {"tools": []}, "tools"),
        ("/v1/chat/completions", CHAT | {"audio": {}}, "audio"),
        ("/v1/chat/completions", CHAT | {"temprature": 1}, "temprature"),
        ("/v1/chat/completions", CHAT | {"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ("/v1/chat/completions", CHAT | {"top_logprobs": 2}, "top_logprobs"),
        ("/v1/chat/completions", CHAT | {"stream_options": {}}, "stream_options"),
        ("/v1/chat/completions", CHAT | {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            "/v1/chat/completions",
            CHAT
            | {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "leaf"}}}},
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
        ("/v1/chat/completions", CHAT | {"messages": [{"role": "boss", "content": ""}]}, "messages.0.role"),
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
        ("/v1/completions", PROMPT | {"echo": True, "logprobs": 1}, "logprobs"),
        ("/v1/completions", {"model": "tiny", "prompt": ""}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": []}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": [99999]}, "prompt"),
        ("/v1/completions", {"model": "tiny", "prompt": "\ud800"}, "prompt"),
        ("/v1/completions", {"model": "reviews", "prompt": "新"}, "model"),
        ("/v1/embeddings", {"model": "tiny", "input": "新", "dimensions": 3}, "dimensions"),
        ("/v1/tasks/tag", {"model": "reviews", "input": "新"}, "model"),
        ("/v1/tasks/tag", {"model": "names", "input": [["新", "叶"]]}, "input"),
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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"NaN", b'{"a":' * 5000, b"9" * 5000])
def test_what_is_no_request_is_refused(server, body):
    error(server, "/v1/completions", body, 400)


def test_half_a_character_in_a_fields_name(server):
    error(server, "/v1/completions", PROMPT | {"\ud800": 1}, 400)


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
    """Each may triple the states of the others: the grammar of thirty would take hours, and the server with it."""
    chain = {f"{n}": {"type": "string", "pattern": f".*{n}.*", "$ref": f"#/$defs/{n + 1}"} for n in range(30)}
    for schema in (
        {"allOf": [{"type": "string", "pattern": f".*{number}.*"} for number in range(30)]},
        {"$defs": chain | {"30": {"type": "string"}}, "$ref": "#/$defs/0"},
    ):
        wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        told = error(server, "/v1/chat/completions", CHAT | {"response_format": wanted}, 400)
        assert told["message"] == "response_format: at most 12 patterns go with allOf, or with keys beside $ref"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", PROMPT | {"prompt": "新" * 300}, "prompt"),
        ("/v1/completions", PROMPT | {"max_tokens": 256}, "max_tokens"),
        ("/v1/chat/completions", CHAT | {"messages": [{"role": "user", "content": "好" * 300}]}, "messages"),
        ("/v1/embeddings", {"model": "tiny", "input": ["新" * 300]}, "input"),
    ],
)
def test_over_the_context(server, path, body, param):
    told = error(server, path, body, 400)
    assert told["code"] == "context_length_exceeded" and told["param"] == param and "256" in told["message"]


def test_errors_are_the_clients_exceptions(server):
    with pytest.raises(openai.NotFoundError) as caught:
        server.openai.completions.create(model="gpt-4", prompt="hello")
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="tools: not supported"):
        server.openai.chat.completions.create(**CHAT, tools=[])
    with pytest.raises(openai.NotFoundError):
        server.openai.models.retrieve("no/such")


def test_other_routes_and_methods(server):
    assert server.http.get("/etc/passwd").json()["error"]["code"] == "not_found"
    answer = server.http.get("/v1/completions")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"
    assert server.http.get("/docs").status_code == 404  # that page would load scripts from elsewhere
    error(server, "/v1/tasks/sing", {"model": "names", "input": "新"}, 404)


def test_a_body_that_comes_in_drops_is_not_waited_for(folders, monkeypatch):
    monkeypatch.setattr("xinye.server.guard.BODY_SECONDS", 0.2)
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
        answer = server.http.post("/v1/completions", content=chunks, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413


# -- who may ask -----------------------------------------------------------------------------------------------------


def test_every_route_but_health_and_the_empty_page_wants_the_key(folders):
    with serving(folders[:1], api_key="秘密-leaf".encode("ascii", "ignore").decode()) as server:
        routes = [(path, method) for path, methods in server.http.get(
            "/openapi.json", headers={"Authorization": "Bearer -leaf"}
        ).json()["paths"].items() for method in methods]  # fmt: skip
        closed = {path for path, method in routes if server.http.request(method, path).status_code == 401}
        assert closed == {path for path, _ in routes} - {"/", "/health"}
        for wrong in ("Bearer", "Bearer no", "Basic -leaf", "Bearer -leaf2", "-leaf", "Bearer 叶".encode()):
            assert server.http.get("/v1/models", headers={"Authorization": wrong}).status_code == 401
        assert [model.id for model in server.openai.models.list()] == ["tiny"]
        with pytest.raises(openai.AuthenticationError) as caught:
            server.openai.with_options(api_key="no").models.list()
        assert caught.value.code == "invalid_api_key"


def test_without_a_key_only_this_machine_by_its_own_name(server):
    assert server.http.get("/v1/models", headers={"Host": "evil.example:8000"}).status_code == 403
    assert server.http.get("/v1/models", headers={"Host": "localhost:1"}).status_code == 200
    assert server.http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
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
        assert before.status_code == 204 and "authorization" in before.headers["access-control-allow-headers"]
        assert (
            server.http.get("/v1/models", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin
        )
        assert server.http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
