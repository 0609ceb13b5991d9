"""Accounts, sessions, tokens and the audit log over the API, on which the pages stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.records.database import Database
from tests.cloud.web.caller import Caller as Browser
from tests.cloud.web.test_access import OURS, SECRET, Site, sign_in, site_of


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    return site_of(database, tmp_path)


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.signed_in("ada", "admin")


def test_an_admin_makes_changes_and_puts_out_accounts(site: Site, admin: Browser) -> None:
    wanted = {"name": "bob", "role": "viewer", "password": SECRET}
    made = admin.post("/api/v1/accounts", json=wanted, headers=OURS)
    assert made.status_code == 201
    assert [one["name"] for one in made.json()] == ["ada", "bob"]
    assert "password" not in made.text
    bob = site.browser()
    assert sign_in(bob, "bob").status_code == 303
    changed = admin.patch("/api/v1/accounts/bob", json={"role": "inspector"}, headers=OURS)
    assert changed.json()[1]["role"] == "inspector"
    assert bob.get("/api/v1/me").json()["role"] == "inspector"
    assert len(admin.get("/api/v1/accounts/bob/sessions").json()) == 1
    assert admin.delete("/api/v1/accounts/bob/sessions", headers=OURS).json() == {"ended": 1}
    assert bob.get("/api/v1/me").status_code == 401
    new = {"password": f"{SECRET}, again"}
    assert admin.put("/api/v1/accounts/bob/password", json=new, headers=OURS).status_code == 204
    assert sign_in(site.browser(), "bob").status_code == 401
    assert sign_in(bob, "bob", f"{SECRET}, again").status_code == 303
    admin.patch("/api/v1/accounts/bob", json={"disabled": True}, headers=OURS)
    assert bob.get("/api/v1/me").status_code == 401
    last = admin.patch("/api/v1/accounts/ada", json={"role": "viewer"}, headers=OURS)
    assert (last.status_code, "last admin" in last.json()["error"]) == (409, True)
    told = [entry for entry in site.audited() if entry[1].startswith(("account", "sessions"))]
    assert told[0] == ("ada", "account disable", "bob")
    assert {who for who, _, subject in told if subject == "bob"} == {"ada"}


def test_a_token_made_over_the_api_is_shown_once_and_revoked(site: Site, admin: Browser) -> None:
    wanted = {"purpose": "MES", "scopes": ["read"], "days": 1}
    made = admin.post("/api/v1/tokens", json=wanted, headers=OURS)
    assert made.status_code == 201
    bearer = {"authorization": f"Bearer {made.json()['token']}"}
    program = site.browser()
    assert program.get("/api/v1/devices", headers=bearer).status_code == 200
    me = program.get("/api/v1/me", headers=bearer).json()
    assert me == {"name": "ada", "role": "admin", "scopes": ["read"], "means": "token"}
    (listed,) = admin.get("/api/v1/tokens").json()
    assert made.json()["token"] not in str(listed)
    assert admin.delete(f"/api/v1/tokens/{listed['id']}", headers=OURS).status_code == 204
    assert program.get("/api/v1/devices", headers=bearer).status_code == 401
    assert admin.delete(f"/api/v1/tokens/{listed['id']}", headers=OURS).status_code == 404


def test_what_was_done_is_read_page_by_page(site: Site, admin: Browser) -> None:
    for number in range(5):
        site.add(f"person-{number}", "viewer")
    first = admin.get("/api/v1/audit", params={"limit": 3}).json()
    rest = admin.get("/api/v1/audit", params={"before": first[-1]["number"]}).json()
    assert [one["number"] for one in [*first, *rest]] == list(range(7, 0, -1))
    assert first[0]["after"] == {"role": "viewer"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/accounts", {"name": "bob", "role": "king", "password": SECRET}),
        ("/api/v1/accounts", {"name": "bob", "role": "viewer", "password": SECRET, "more": 1}),
        ("/api/v1/tokens", {"purpose": "MES", "scopes": []}),
        ("/api/v1/tokens", {"purpose": "MES", "scopes": ["everything"]}),
        ("/api/v1/tokens", {"purpose": "MES", "scopes": ["read"], "days": 0}),
    ],
)
def test_what_makes_no_sense_is_refused_and_no_secret_comes_back(
    admin: Browser, path: str, body: dict[str, object]
) -> None:
    answer = admin.post(path, json=body, headers=OURS)
    assert answer.status_code == 422
    assert SECRET not in answer.text
