"""The OpenAPI document is true: what is asked by it, rightly or wrongly, is answered as it says,
and never by a 500. `EXAMPLES=2500 pytest -m slow tests/server/test_document.py` asks so often on
each route, rightly and wrongly."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    *(
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ),
    negative_data_rejection,
]
ROUTES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
    "/v1/tasks/{task}",
    "/v1/tasks/answer",
    "/v1/knowledge/search",
)
MODELS = {"TaskRequest": "reviews", "AnswerRequest": "reader"}  # where not `tiny`
EXAMPLES = int(os.environ.get("EXAMPLES", "400"))  # of the slow test


def examine(server, route, mode, examples):
    """Requests that the document allows, with a model that is there; or such as it does not
    allow."""
    document = server.http.get("/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Request"):
            properties = schema["properties"]
            if "model" in properties:
                properties["model"]["enum"] = [MODELS.get(name, "tiny")]
            if "knowledge" in properties:
                properties["knowledge"]["anyOf"][0]["enum"] = ["kb"]
            for tokens in ("max_tokens", "max_completion_tokens"):  # so that it does not take long
                if tokens in properties:
                    properties[tokens]["anyOf"][0]["maximum"] = 8
    operation = schemathesis.openapi.from_dict(document)[route]["POST"]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy(mode))
    def run(case):
        case.call_and_validate(base_url=server.address, checks=CHECKS, timeout=60)

    run()


@pytest.mark.parametrize("route", ROUTES)
def test_requests_by_the_document(server, route):
    examine(server, route, GenerationMode.POSITIVE, 3)
    examine(server, route, GenerationMode.NEGATIVE, 5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("route", ROUTES)
def test_many_requests_by_the_document(server, route, mode):
    examine(server, route, mode, EXAMPLES)


def test_the_document_knows_every_route(server):
    paths = server.http.get("/openapi.json").json()["paths"]
    assert set(ROUTES) | {
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/v1/knowledge",
        "/v1/models",
        "/v1/models/{model}",
    } == set(paths)
    for path, methods in paths.items():
        for operation in methods.values():
            assert (
                "422" not in operation["responses"]
                and operation["summary" if path == "/" else "description"]
            )
