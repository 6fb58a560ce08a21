"""Requests that a proxy could read in another way than the server: none of them lets a second one
through."""

import json
import socket
import time
from contextlib import suppress

import pytest

from xinye.server.http import MOST_CHUNKS

HEAD = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"model": "tiny", "prompt": "a"}'
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SECOND = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def statuses(server, request):
    """Of all answers on a connection, until the server ends it. An end before all was sent may lose
    the last one."""
    with socket.create_connection(
        server.http.base_url.netloc.decode().split(":"), timeout=20
    ) as client:
        answer = b""
        with suppress(ConnectionError):
            client.sendall(request)
            while piece := client.recv(65536):
                answer += piece
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "request_", [HEAD + LENGTH + b"\r\n" + BODY, HEAD + CHUNKED + b"\r\n" + CHUNKS]
)
def test_two_requests_on_a_connection(server, request_):
    assert statuses(server, request_ + SECOND) == [200, 200]


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + LENGTH + CHUNKED + b"\r\n" + CHUNKS,
        HEAD + CHUNKED + b"Content-Length: 4\r\n\r\n" + CHUNKS,
        HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS,
        HEAD + LENGTH + b"Content-Length: 4\r\n\r\n" + BODY,
        HEAD + b"Content-Length: +32\r\n\r\n" + BODY,
        HEAD + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
        HEAD + b"X: a\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        HEAD + CHUNKED + b"\r\n" + CHUNKS.replace(b"\r\n0", b"\n0"),
        HEAD + CHUNKED + b"\r\n" + CHUNKS.replace(b"\r\n{", b";a\n\r\n{"),
    ],
)
def test_what_could_be_read_in_two_ways_ends_the_connection(server, request_):
    assert statuses(server, request_ + SECOND) == [400]


@pytest.mark.parametrize("cut", [200, 20, 9])  # where the network cuts the request
def test_an_address_may_have_letters_of_any_language(server, cut):
    """A browser escapes them; curl sends them as they were typed."""
    request = "GET /v1/models/退货?q=é HTTP/1.1\r\nHost: localhost\r\nX: é\r\n\r\n".encode()
    with connected(server) as client:
        client.sendall(request[:cut])
        time.sleep(0.05)
        client.sendall(request[cut:])
        answer = answer_from(client)
        assert b" 404 " in answer and "退货" in answer.decode()
        client.sendall(SECOND)
        assert b" 200 " in client.recv(65536)


def test_what_would_keep_the_event_loop_busy_ends_the_connection(server):
    """Each header, and each chunk of a body, takes as long as a small request."""
    few = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY + b" " * 1000) + b"0\r\n\r\n"
    assert statuses(server, HEAD + CHUNKED + b"\r\n" + few + SECOND) == [200, 200]
    many = b"\r\n" + b"1\r\n \r\n" * (MOST_CHUNKS + 1)
    assert 200 not in statuses(server, HEAD + CHUNKED + many)
    assert (
        len(statuses(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED + many)) <= 1
    )
    assert 200 not in statuses(server, HEAD + b"a:\r\n" * 20_000 + LENGTH + b"\r\n" + BODY)
    assert statuses(server, SECOND) == [200]


def test_what_is_no_request_is_refused_in_the_form_of_the_others(server):
    """Also where it is refused before it is a request."""
    address = server.http.base_url.netloc.decode().split(":")
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(HEAD + b"Content-Length: -5\r\n\r\n" + BODY)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head and b"application/json" in head
    error = json.loads(body)["error"]
    assert error["code"] == "invalid_http" and "Content-Length" in error["message"]


def test_a_body_that_is_called_compressed_is_refused(server):
    encoding = b"Content-Encoding: gzip\r\n"
    assert statuses(server, HEAD + encoding + LENGTH + b"\r\n" + BODY + SECOND) == [415, 200]
    plain = encoding.replace(b"gzip", b"identity")
    assert statuses(server, HEAD + plain + LENGTH + b"\r\n" + BODY + SECOND) == [200, 200]


def connected(server):
    return socket.create_connection(server.http.base_url.netloc.decode().split(":"), timeout=5)


def answer_from(client):
    """One answer that is an error, whose body ends with a brace."""
    answer = b""
    while not answer.endswith(b"}"):
        piece = client.recv(65536)
        assert piece, answer
        answer += piece
    return answer


@pytest.mark.parametrize("zeros", [b"", b"0" * 8])
def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(server, zeros):
    """Who waited for it would wait until it is too late. The next request is answered."""
    size = 3_000_000
    with connected(server) as client:
        client.sendall(HEAD + b"Content-Length: " + zeros + b"%d\r\n\r\n" % size)
        answer = answer_from(client)
        assert b" 413 " in answer.split(b"\r\n")[0] and b"body_too_large" in answer
        client.sendall(b" " * size + SECOND)
        assert b" 200 " in client.recv(65536).split(b"\r\n")[0]


def test_a_body_in_chunks_is_refused_when_it_is_too_large(server):
    piece = b" " * 500_000
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
    body = chunk * 5 + b"0\r\n\r\n"
    assert statuses(server, HEAD + CHUNKED + b"\r\n" + body + SECOND) == [413, 200]


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: -1\r\n", b"Content-Length: 1_0\r\n", b"Content-Length: \r\n",
     b"Content-Length: 1, 2\r\n", b"Content-Length: 9\r\nContent-Length: 8\r\n", b"Content-Length: 0x9\r\n"],
)  # fmt: skip
def test_after_a_refusal_the_connection_ends_and_the_server_goes_on(server, headers):
    with connected(server) as client:
        client.sendall(HEAD + headers + b"\r\n")
        answer = answer_from(client)
        assert b" 400 " in answer.split(b"\r\n")[0] and b"connection: close" in answer.lower()
        assert client.recv(1) == b""
    assert statuses(server, SECOND) == [200]


def test_a_request_without_a_length_has_no_body(server):
    assert statuses(server, HEAD + b"\r\n" + SECOND) == [400, 200]


def test_what_follows_a_refused_request_is_not_read(server):
    refused = HEAD + b"Content-Length: -1\r\n\r\n"
    assert statuses(server, refused + SECOND + SECOND) == [400]
