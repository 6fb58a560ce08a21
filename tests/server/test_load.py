"""Places: who gets one, who waits, who is turned away, and when one is free again."""

import threading
from contextlib import contextmanager

import openai
import pytest

from server.tiny_server import TOKENIZER, serving, until

LEAVES = {str(TOKENIZER.encode("叶")[0]): 100}  # each token is a text that can be shown at once


class Gate:
    """Lets an engine do one step for each pass."""

    def __init__(self):
        self.passes = threading.Semaphore(0)

    def __call__(self, models):
        engine = models["tiny"].queue.engine
        step = engine.step

        def gated():
            self.passes.acquire(timeout=10)  # a failing test must end, too
            return step()

        engine.step = gated

    def open(self):
        self.passes.release(10_000)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@contextmanager
def streaming(server, **asked):
    with server.openai.completions.create(
        model="tiny", prompt="新", stream=True, logit_bias=LEAVES, **asked
    ) as stream:
        yield stream


def in_background(do):
    results = []

    def run():
        try:
            results.append(do())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def test_a_client_that_leaves_frees_its_place(folders, gate):
    with serving(folders[:1], gate, max_running=1, max_waiting=1) as server:
        gate.passes.release(3)
        with streaming(server, max_tokens=200) as stream:
            next(iter(stream))
            assert len(server.queue.engine.running) == 1
        until(lambda: server.queue.unfinished == 0)
        gate.passes.release(1)  # the step that it was in
        until(lambda: not server.queue.engine.busy)
        assert server.queue.owners == {}


def test_one_that_leaves_before_its_first_text_too(folders, gate):
    with serving(folders[:1], gate, max_running=1, max_waiting=1) as server:
        with pytest.raises(openai.APITimeoutError):
            server.openai.with_options(timeout=0.3).completions.create(
                model="tiny", prompt="新", max_tokens=200
            )
        until(lambda: server.queue.unfinished == 0)
        gate.passes.release(1)
        until(lambda: not server.queue.engine.busy)


def test_too_many_are_turned_away_and_health_is_not(folders, gate):
    with serving(folders[:1], gate, max_running=1, max_waiting=1, max_requests=3) as server:

        def ask():
            return (
                server.openai.completions.create(model="tiny", prompt="新", max_tokens=2)
                .choices[0]
                .text
            )

        asking = [in_background(ask) for _ in range(2)]
        until(lambda: server.queue.unfinished == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            ask()
        assert (
            caught.value.response.headers["retry-after"] == "1"
            and caught.value.code == "rate_limit_exceeded"
        )
        assert server.http.get("/health").status_code == 200  # while the engine stands still
        with pytest.raises(openai.RateLimitError):
            server.openai.completions.create(model="tiny", prompt="新", n=3)
        gate.open()
        for thread, results in asking:
            thread.join(20)
            assert isinstance(results[0], str)


def test_too_many_requests_at_once(folders, gate):
    with serving(folders[:1], gate, max_requests=1) as server:
        thread, _ = in_background(
            lambda: server.openai.completions.create(model="tiny", prompt="新", max_tokens=2)
        )
        until(lambda: server.queue.unfinished == 1)
        with pytest.raises(openai.InternalServerError) as caught:
            server.openai.models.list()
        assert caught.value.status_code == 503 and "retry-after" in caught.value.response.headers
        assert server.http.get("/health").status_code == 200
        gate.open()
        thread.join(20)


def test_what_runs_after_the_grace_time_is_told_so(folders, gate):
    with serving(folders[:1], gate, grace=0) as server:
        gate.passes.release(3)
        with streaming(server, max_tokens=200) as stream:
            pieces = iter(stream)
            next(pieces)
            server.server.should_exit = True
            with pytest.raises(openai.APIError, match="the server is shutting down"):
                for _ in pieces:
                    pass
        gate.open()
