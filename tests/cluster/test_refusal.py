"""`make test-cluster` makes networks and mounts only where that does no harm."""

import os

import hosts


def test_only_root_in_a_container_makes_hosts(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in hosts.refusal()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(hosts, "in_container", lambda: False)
    monkeypatch.delenv(hosts.ALLOWED, raising=False)
    assert "neither a container" in hosts.refusal()
    monkeypatch.setattr(hosts, "TOOLS", ())
    monkeypatch.setenv(hosts.ALLOWED, "1")
    assert hosts.refusal() == ""


def test_a_tool_that_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(hosts, "in_container", lambda: True)
    monkeypatch.setattr(hosts, "TOOLS", ("no-such-tool",))
    assert hosts.refusal().startswith("no-such-tool: not found; apt-get install")
