"""Who may do what: each route, asked by each role."""

import httpx
import pytest

from server.in_thread import bearer
from server.support.desk_server import ADMIN, OPERATOR, Customer, Desk, make_desk, serving
from xinye.errors import XinyeError
from xinye.server.support.roles import Rate
from xinye.server.support.settings import SupportSettings

ONE = "/v1/support/conversations/{id}"
BY = {"operator": "小王"}
# For each route: a body, and the status for nobody, the customer, another customer, an operator and
# an admin. Those that change something are asked in this order.
ROUTES = {
    f"GET {ONE}": (None, 401, 200, 404, 200, 200),
    f"GET {ONE}/messages": (None, 401, 200, 404, 200, 200),
    f"POST {ONE}/messages": ({"text": "你好"}, 401, 202, 404, 404, 404),
    f"POST {ONE}/feedback": ({"message": 1, "good": True, **BY}, 401, 400, 404, 400, 400),
    f"POST {ONE}/handover": (None, 401, 200, 404, 404, 404),
    "GET /v1/support/role": (None, 401, 401, 401, 200, 200),
    "GET /v1/support/queue": (None, 401, 401, 401, 200, 200),
    f"POST {ONE}/claim": (BY, 401, 401, 401, 200, 200),
    f"POST {ONE}/suggest": (BY, 401, 401, 401, 200, 200),
    f"POST {ONE}/reply": ({**BY, "text": "好"}, 401, 401, 401, 201, 201),
    f"POST {ONE}/release": (BY, 401, 401, 401, 200, 409),
    f"POST {ONE}/close": (BY, 401, 200, 404, 200, 200),
    "GET /v1/support/feedback": (None, 401, 401, 401, 200, 200),
    "POST /v1/support/feedback/9/approve": (BY, 401, 401, 401, 404, 404),
    "POST /v1/support/feedback/9/decline": (BY, 401, 401, 401, 404, 404),
    "GET /v1/support/figures": (None, 401, 401, 401, 200, 200),
    "GET /v1/support/log": (None, 401, 401, 401, 403, 200),
    "GET /v1/knowledge/documents": (None, 401, 401, 401, 200, 200),
    "GET /v1/knowledge/search?q=a": (None, 401, 401, 401, 200, 200),
    "PUT /v1/knowledge/documents/a": ({"text": "一份文档。"}, 401, 401, 401, 403, 201),
    "DELETE /v1/knowledge/documents/a": (None, 401, 401, 401, 403, 204),
    "GET /metrics": (None, 401, 401, 401, 200, 200),
    "GET /openapi.json": (None, 401, 401, 401, 200, 200),
    "GET /v1/support/about": (None, 200, 200, 200, 200, 200),
    "GET /": (None, 200, 200, 200, 200, 200),
    "GET /desk": (None, 200, 200, 200, 200, 200),
    "GET /widget.js": (None, 200, 200, 200, 200, 200),
    "GET /health": (None, 200, 200, 200, 200, 200),
    "GET /ready": (None, 200, 200, 200, 200, 200),
    "POST /v1/support/conversations": ({"account": "li.lei"}, 403, 403, 403, 201, 201),
}


def test_every_route_for_every_role(desk: Desk) -> None:
    own, other = desk.begin(), desk.begin()
    asked = own
    for route, (body, *expected) in ROUTES.items():
        if "/handover" in route or "/close" in route:
            asked = own
        method, path = route.split()
        tokens = ("", asked.token, other.token, OPERATOR, ADMIN)
        found = [
            desk.http.request(
                method, path.replace("{id}", asked.id), json=body, headers=bearer(token)
            ).status_code
            for token in tokens
        ]
        assert found == expected, route


def test_every_route_is_asked(desk: Desk) -> None:
    document = desk.operator("GET", "/openapi.json").json()
    routes = {
        f"{method.upper()} {path}" for path, ways in document["paths"].items() for method in ways
    }
    asked = {
        route.split("?")[0].replace("{id}", "{conversation}").replace("/9/", "/{number}/")
        for route in ROUTES
    }
    asked = {route.replace("documents/a", "documents/{identity}") for route in asked}
    assert routes == asked - {"GET /openapi.json"}


def test_customers_do_not_see_what_is_for_operators(desk: Desk) -> None:
    customer = desk.begin()
    customer.says("怎么退货？")
    customer.waits_for(2)
    names = {"suggestion", "score", "threshold", "why"}
    seen = customer.ask("GET", "/messages").json()["messages"][1]
    assert not names & {*seen} and seen["sources"] == [] and seen["kind"] == "faq"
    path = f"/v1/support/conversations/{customer.id}"
    whole = desk.operator("GET", f"{path}/messages").json()["messages"][1]
    assert whole["score"] == 0.9 and whole["why"] == "it was asked"
    customers = {"id", "state", "begun", "changed", "messages", "operator"}
    assert {*customer.ask("GET").json()} == customers
    assert {*desk.operator("GET", path).json()} > customers | {"reason", "claimed_until"}


def test_errors_say_what_kind_they_are(desk: Desk) -> None:
    refused = desk.http.get("/v1/support/queue")
    assert refused.json()["error"]["type"] == "authentication_error"
    lost = Customer(desk.http, "no-such-id", "x").ask("GET")
    assert lost.status_code == 404 and lost.json()["error"]["code"] == "not_found"


def test_only_a_trial_asks_for_the_host_name(tmp_path, desk: Desk) -> None:
    strange = {"Host": "evil.example"}
    assert desk.http.get("/v1/support/about", headers=strange).status_code == 200
    with serving(make_desk(tmp_path / "desk"), tmp_path / "a.db", admin_key=None) as trial:
        assert trial.http.get("/v1/support/about", headers=strange).status_code == 403
        cross = {"Origin": "https://evil.example"}
        begun = trial.http.post("/v1/support/conversations", json={}, headers=cross)
        assert begun.status_code == 403
        assert trial.http.get("/v1/support/about").status_code == 200


def test_pages_of_the_shop_may_frame_the_chat_only(desk: Desk) -> None:
    chat, page = desk.http.get("/").headers, desk.http.get("/desk").headers
    assert "frame-ancestors 'self' https://shop.example" in chat["content-security-policy"]
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert desk.http.get("/widget.js").headers["content-type"].startswith("text/javascript")
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
    allowed = desk.http.options("/v1/support/queue", headers=preflight).headers
    assert "last-event-id" in allowed["access-control-allow-headers"]


def test_an_address_begins_few_conversations_a_minute(tmp_path) -> None:
    with serving(
        make_desk(tmp_path / "desk"), tmp_path / "a.db", begun_per_minute=2, proxy=True
    ) as desk:

        def begin(*addresses: str) -> httpx.Response:
            forwarded = {"X-Forwarded-For": ", ".join(addresses)}
            return desk.http.post("/v1/support/conversations", json={}, headers=forwarded)

        assert [begin("9.9.9.9", "1.1.1.1").status_code for _ in range(3)] == [201, 201, 429]
        assert begin("1.1.1.1", "2.2.2.2").status_code == 201
        assert 1 <= int(begin("1.1.1.1").headers["retry-after"]) <= 60
        own = desk.operator("POST", "/v1/support/conversations", {"account": "a"})
        assert own.status_code == 201  # the shop's server begins them for many
        for number in range(3):
            begin(f"2001:db8::{number}")
        assert begin("2001:db8::9").status_code == 429


def test_a_minute_passes() -> None:
    now = [0.0]
    rate = Rate(1, "too many", lambda: now[0])
    rate.check("a")
    now[0] = 60.5
    rate.check("a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "other machines can reach 0.0.0.0; choose all keys: --operator-key"),
        (
            {"host": "0.0.0.0", "admin_key": "a"},
            "--operator-key, --admin-key, or XINYE_OPERATOR_KEY, XINYE_ADMIN_KEY",
        ),
        ({"operator_key": "a", "admin_key": "a"}, "two of the keys are equal"),
        ({"operator_key": "钥匙"}, "--operator-key must consist of printable ASCII"),
        ({"allow_origin": ("*",)}, "name each allowed origin"),
        ({"allow_origin": ("https://a; script-src *",)}, "this is no origin"),
    ],
)
def test_settings_that_are_refused(given, said) -> None:
    with pytest.raises(XinyeError, match=said.replace("*", "[*]")):
        SupportSettings(**given).check()
