"""Who may do what: each route, asked by each role."""

from pathlib import Path

from server.in_thread import bearer
from server.recommend.shop_server import KEYS, Client, serving

# For each route: a body, and the status for nobody, a client and an editor, asked in this order.
ROUTES = {
    "POST /v1/recommend": ({"user": "li.lei"}, 401, 200, 200),
    "POST /v1/events": ({"user": "li.lei", "item": "b2"}, 401, 200, 200),
    "GET /v1/items": (None, 401, 200, 200),
    "GET /v1/items/b1": (None, 401, 200, 200),
    "PUT /v1/items/b1": ({"title": "活着"}, 401, 403, 200),
    "GET /v1/users/li.lei": (None, 401, 403, 200),
    "DELETE /v1/users/li.lei": (None, 401, 403, 200),
    "GET /v1/role": (None, 401, 200, 200),
    "GET /metrics": (None, 401, 200, 200),
    "GET /openapi.json": (None, 401, 200, 200),
    "GET /": (None, 200, 200, 200),
    "GET /health": (None, 200, 200, 200),
    "GET /ready": (None, 200, 200, 200),
}


def test_every_route_for_every_role(shop: Client) -> None:
    for route, (body, *expected) in ROUTES.items():
        method, path = route.split()
        keys = ("", KEYS["client"], KEYS["editor"])
        found = [
            shop.http.request(method, path, json=body, headers=bearer(key)).status_code
            for key in keys
        ]
        assert found == expected, route


def test_every_route_is_asked(quiet_shop: Client) -> None:
    document = quiet_shop.http.get("/openapi.json", headers=bearer(KEYS["client"])).json()
    routes = {
        f"{method.upper()} {path}" for path, ways in document["paths"].items() for method in ways
    }
    asked = {
        route.replace("/b1", "/{id}").replace("/li.lei", "/{user}")
        for route in ROUTES
        if route != "GET /openapi.json"
    }
    assert routes == asked


def test_only_a_trial_asks_for_the_host_name(tmp_path: Path, quiet_shop: Client) -> None:
    strange = {"Host": "evil.example"}
    assert quiet_shop.http.get("/", headers=strange).status_code == 200
    with serving(tmp_path, editor_key=None) as trial:
        assert trial.http.get("/", headers=strange).status_code == 403
        assert trial.http.get("/").status_code == 200


def test_the_page_runs_its_own_script_only(quiet_shop: Client) -> None:
    policy = quiet_shop.http.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
