"""The server's headers, cookie and key."""

from __future__ import annotations

import inspect
import stat

import pytest
from flask.testing import FlaskClient

from backend.core import errors
from backend.core.settings import Settings
from backend.http.answers import STATUS, status_of
from backend.http.server import content_policy
from backend.http.session import signing_key


@pytest.mark.parametrize("url", ["/healthz", "/api/atlas", "/api/nothing", "/no/such/page"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, url: str) -> None:
    headers = client.get(url).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_policy_allows_no_other_host_and_no_inline_script_but_the_named() -> None:
    policy = content_policy(["'sha256-abc='"])
    scripts = next(p for p in policy.split("; ") if p.startswith("script-src"))
    assert scripts == "script-src 'self' 'sha256-abc='"
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_the_cookie_is_signed_random_and_out_of_reach_of_scripts(client: FlaskClient) -> None:
    cookie = client.get("/api/jobs").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    other = client.application.test_client().get("/api/jobs").headers["Set-Cookie"]
    assert cookie.split(";")[0] != other.split(";")[0]


def test_a_forged_cookie_is_a_new_session(client: FlaskClient) -> None:
    made = client.post("/api/uploads", json={"name": "q", "size": 5}).get_json()["id"]
    forger = client.application.test_client()
    forger.set_cookie("atlas_session", "eyJvd25lciI6ICJ4In0.Zm9yZ2Vk.c2lnbmF0dXJl")
    assert forger.get(f"/api/uploads/{made}").status_code == 404


def test_reading_sets_no_cookie(client: FlaskClient) -> None:
    assert "Set-Cookie" not in client.get("/api/atlas").headers


def test_the_key_is_made_once_and_is_private(settings: Settings) -> None:
    path = settings.data / "session.key"
    key = signing_key(path)
    assert len(key) == 32
    assert signing_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_error_has_a_status() -> None:
    named = [
        e
        for _, e in inspect.getmembers(errors, inspect.isclass)
        if issubclass(e, errors.AtlasError) and e is not errors.PortInUse
    ]
    assert [e.__name__ for e in named if e not in STATUS] == []
    assert status_of(errors.UnknownGene("x")) == 404
    assert status_of(RuntimeError()) == 500
