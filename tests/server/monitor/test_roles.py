"""Who may do what: each route, asked by each role."""

from server.in_thread import bearer
from server.monitor.board_server import KEYS, Client, burst, serving

BY = {"who": "小王"}
API = "/v1/monitor"
# For each route: a body, and the status for nobody, a program that sends documents, an analyst and
# an admin, asked in this order.
ROUTES = {
    f"POST {API}/documents": ({"text": "一"}, 401, 200, 403, 200),
    f"GET {API}/documents": (None, 401, 403, 200, 200),
    f"GET {API}/documents.csv": (None, 401, 403, 200, 200),
    f"GET {API}/documents/1": (None, 401, 403, 200, 200),
    f"GET {API}/documents/1/explain": (None, 401, 403, 200, 200),
    f"POST {API}/documents/1/correct": ({**BY, "mood": "neutral"}, 401, 403, 200, 200),
    f"GET {API}/corrections": (None, 401, 403, 403, 200),
    f"POST {API}/corrections/1/approve": (BY, 401, 403, 403, 200),
    f"POST {API}/corrections/1/decline": (BY, 401, 403, 403, 200),
    f"GET {API}/trend": (None, 401, 403, 200, 200),
    f"GET {API}/topics": (None, 401, 403, 200, 200),
    f"GET {API}/companies": (None, 401, 403, 200, 200),
    f"GET {API}/alerts": (None, 401, 403, 200, 200),
    f"GET {API}/alerts/1": (None, 401, 403, 200, 200),
    f"POST {API}/alerts/1/ack": (BY, 401, 403, 200, 200),
    f"POST {API}/alerts/1/mute": ({**BY, "hours": 4}, 401, 403, 200, 200),
    f"GET {API}/mutes": (None, 401, 403, 200, 200),
    f"POST {API}/unmute": ({**BY, "kind": "topic", "subject": "安全"}, 401, 403, 200, 404),
    f"POST {API}/alerts/1/close": (BY, 401, 403, 200, 200),
    f"GET {API}/feeds": (None, 401, 403, 200, 200),
    f"GET {API}/deliveries": (None, 401, 403, 200, 200),
    f"POST {API}/deliveries/1/resend": (BY, 401, 403, 403, 404),
    f"GET {API}/log": (None, 401, 403, 403, 200),
    f"GET {API}/events": (None, 401, 403, 200, 200),
    f"GET {API}/role": (None, 401, 200, 200, 200),
    "GET /metrics": (None, 401, 403, 200, 200),
    "GET /openapi.json": (None, 401, 403, 200, 200),
    f"GET {API}/about": (None, 200, 200, 200, 200),
    "GET /": (None, 200, 200, 200, 200),
    "GET /health": (None, 200, 200, 200, 200),
    "GET /ready": (None, 200, 200, 200, 200),
}


def test_every_route_for_every_role(board: Client) -> None:
    board.add(*burst(40))
    for route, (body, *expected) in ROUTES.items():
        method, path = route.split()
        found = []
        for key in ("", KEYS["ingest"], KEYS["analyst"], KEYS["admin"]):
            with board.http.stream(method, path, json=body, headers=bearer(key)) as answer:
                found.append(answer.status_code)
        assert found == expected, route


def test_every_route_is_asked(board: Client) -> None:
    document = board.http.get("/openapi.json", headers=bearer(KEYS["admin"])).json()
    routes = {
        f"{method.upper()} {path}" for path, ways in document["paths"].items() for method in ways
    }
    assert routes == {route.replace("/1", "/{number}") for route in ROUTES} - {"GET /openapi.json"}


def test_only_a_trial_asks_for_the_host_name(tmp_path, board: Client) -> None:
    strange = {"Host": "evil.example"}
    assert board.http.get(f"{API}/about", headers=strange).status_code == 200
    with serving(tmp_path / "other.db", ingest_key=None) as trial:
        assert trial.http.get(f"{API}/about", headers=strange).status_code == 403
        assert trial.http.get(f"{API}/about").status_code == 200


def test_the_page_runs_its_own_script_only(board: Client) -> None:
    policy = board.http.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
