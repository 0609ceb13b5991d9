"""Signing in at a provider: by whom, as what, and everything that must not count."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import OctKey
from pydantic import ValidationError

from cloud.accounts.first_account import FirstAccount
from cloud.accounts.oidc import AGAIN_S, FRESH_S, OidcProvider, SignInAttempt
from cloud.app import create_app
from cloud.configuration.oidc import OidcSettings
from cloud.records.database import Database
from cloud.web.context import Backstage
from shared.clock import Clock, ManualClock, SystemClock
from shared.errors import AccountError
from tests.cloud.web.caller import Caller as Browser
from tests.cloud.web.caller import access_to
from tests.cloud.web.provider import CLIENT, ISSUER, SECRET, WilfulProvider, new_key
from tests.cloud.web.test_access import OURS, ROOT, Site, sign_in
from tests.cloud.web.test_api import healthy
from tests.support.waiting import wait_until

CLOUD = "https://plant.example"
ROLES = {"quality": "inspector", "plant-it": "admin", "line": "engineer"}
SETTINGS: dict[str, Any] = {
    "issuer": ISSUER,
    "client_id": CLIENT,
    "client_secret": SECRET,
    "url": CLOUD,
    "name": "the plant's login",
    "roles": ROLES,
}


def site_with(database: Database, tmp_path: Path, clock: Clock, provider: OidcProvider) -> Site:
    access = access_to(database, clock)
    first = FirstAccount(database, clock, tmp_path / "link")
    backstage = Backstage(
        database, healthy, clock=clock, access=access, first=first, provider=provider
    )
    return Site(access, create_app(backstage), clock)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def elsewhere(clock: ManualClock) -> WilfulProvider:
    return WilfulProvider(clock)


@pytest.fixture
def site(database: Database, tmp_path: Path, clock: ManualClock, elsewhere: WilfulProvider) -> Site:
    settings = OidcSettings.model_validate(SETTINGS)
    provider = OidcProvider(settings, clock, elsewhere.transport)
    made = site_with(database, tmp_path, clock, provider)
    made.add("root", "admin")
    return made


def leave(browser: Browser, to: str = "/parts?line=a") -> str:
    """The address that a browser is sent to."""
    sent = browser.get("/sign-in/oidc", params={"to": to})
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def come_back(browser: Browser, query: dict[str, str]) -> httpx.Response:
    return browser.get("/sign-in/oidc/back", params=query)


def signed_in(browser: Browser, elsewhere: WilfulProvider) -> httpx.Response:
    return come_back(browser, elsewhere.consent(leave(browser)))


def test_an_account_is_made_with_the_role_of_the_claims_and_goes_on_to_where_one_wanted(
    site: Site, elsewhere: WilfulProvider
) -> None:
    browser = site.browser()
    assert "Sign in with the plant" in browser.get("/sign-in").text
    done = signed_in(browser, elsewhere)
    assert (done.status_code, done.headers["location"]) == (303, "/parts?line=a")
    me = browser.get("/api/v1/me").json()
    assert (me["name"], me["role"], me["means"]) == ("ada.lovelace", "inspector", "session")
    entries = {one.what: one for one in reversed(site.access.audit.newest(9))}
    assert entries["sign in"].after == {"at": ISSUER}
    assert (entries["account add"].who, entries["account add"].after) == (
        "ada.lovelace",
        {"role": "inspector"},
    )
    assert ISSUER in browser.get("/me").text
    # No password lets anybody in as her: there is none.
    for password in ("", "x" * 20):
        assert sign_in(site.browser(), "ada.lovelace", password).status_code == 401


def test_who_comes_again_has_the_same_account_and_the_role_of_now(
    site: Site, elsewhere: WilfulProvider
) -> None:
    signed_in(site.browser(), elsewhere)
    elsewhere.claims = {"preferred_username": "ada.king", "groups": ["line", "quality"]}
    browser = site.browser()
    assert signed_in(browser, elsewhere).status_code == 303
    assert browser.get("/api/v1/me").json()["role"] == "engineer"
    assert [one.name for one in site.access.accounts.all()] == ["ada.lovelace", "root"]


@pytest.mark.parametrize("groups", [[], ["staff"], None, "staff", 7, [{"name": "quality"}]])
def test_who_has_no_role_there_is_refused_by_name_and_is_signed_in_nowhere_any_more(
    site: Site, elsewhere: WilfulProvider, groups: object
) -> None:
    before = site.browser()
    signed_in(before, elsewhere)
    elsewhere.claims = {"groups": groups}
    elsewhere.told = {"sub": "person-1"}
    browser = site.browser()
    refused = signed_in(browser, elsewhere)
    assert refused.status_code == 401
    assert "gives no role here" in refused.text
    assert browser.get("/api/v1/me").status_code == 401
    assert before.get("/api/v1/me").status_code == 401


def test_who_was_put_out_here_stays_out_whatever_the_provider_says(
    site: Site, elsewhere: WilfulProvider
) -> None:
    signed_in(site.browser(), elsewhere)
    site.access.accounts.disable("ada.lovelace", ROOT)
    refused = signed_in(site.browser(), elsewhere)
    assert (refused.status_code, "was put out" in refused.text) == (401, True)


def test_nobody_becomes_a_local_account_or_another_person_by_choosing_their_name(
    site: Site, elsewhere: WilfulProvider
) -> None:
    elsewhere.claims = {"preferred_username": "root", "groups": ["quality"]}
    refused = signed_in(site.browser(), elsewhere)
    assert (refused.status_code, "another account" in refused.text) == (401, True)
    elsewhere.claims = {}
    signed_in(site.browser(), elsewhere)
    elsewhere.claims = {"sub": "person-2"}
    assert signed_in(site.browser(), elsewhere).status_code == 401


def test_the_last_admin_is_not_unmade_by_a_provider(site: Site, elsewhere: WilfulProvider) -> None:
    elsewhere.claims = {"groups": ["plant-it"]}
    signed_in(site.browser(), elsewhere)
    site.access.accounts.disable("root", ROOT)
    elsewhere.claims = {"groups": ["quality"]}
    refused = signed_in(site.browser(), elsewhere)
    assert (refused.status_code, "is the last admin" in refused.text) == (401, True)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.example.org/other"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": [CLIENT, "another"]},
        {"aud": None},
        {"azp": "another"},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"exp": 0},
        {"exp": None},
        {"exp": float("nan")},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 7},
        {"preferred_username": None},
        {"preferred_username": "@@@"},
    ],
)
def test_what_a_token_must_not_say_signs_nobody_in(
    site: Site, elsewhere: WilfulProvider, claims: dict[str, Any]
) -> None:
    elsewhere.claims = claims
    browser = site.browser()
    refused = signed_in(browser, elsewhere)
    assert refused.status_code == 401
    assert 'role="alert"' in refused.text
    assert browser.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("claim", "by_s", "good"),
    [("iat", 50, True), ("iat", 90, False), ("exp", -50, True), ("exp", -90, False)],
)
def test_the_providers_clock_may_differ_by_as_much_as_is_set_and_no_more(
    site: Site, elsewhere: WilfulProvider, claim: str, by_s: int, good: bool
) -> None:
    elsewhere.claims = {claim: int(site.clock.utc()) + by_s}
    assert signed_in(site.browser(), elsewhere).status_code == (303 if good else 401)


def test_a_token_that_the_provider_has_not_signed_signs_nobody_in(
    site: Site, elsewhere: WilfulProvider
) -> None:
    elsewhere.shows = [new_key("one")]
    assert signed_in(site.browser(), elsewhere).status_code == 401
    # Signed with what everybody can read, and not at all.
    elsewhere.shows = None
    shown = elsewhere.signs
    elsewhere.signs, elsewhere.alg = OctKey.import_key("x" * 64, {"kid": "one"}), "HS256"
    elsewhere.shows = [shown]  # type: ignore[list-item]
    assert signed_in(site.browser(), elsewhere).status_code == 401

    def part(of: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b"=").decode()

    for token in (f"{part({'alg': 'none'})}.{part({'sub': 'x'})}.", "", "a.b.c", "x" * 5000):
        elsewhere.token = token or " "
        assert signed_in(site.browser(), elsewhere).status_code == 401


def test_keys_that_were_changed_are_looked_up_again_and_not_for_every_stranger(
    site: Site, elsewhere: WilfulProvider
) -> None:
    assert signed_in(site.browser(), elsewhere).status_code == 303
    elsewhere.signs = new_key("two")
    assert signed_in(site.browser(), elsewhere).status_code == 401
    site.clock.advance(AGAIN_S)
    assert signed_in(site.browser(), elsewhere).status_code == 303
    looked = elsewhere.asked.count("/keys")
    elsewhere.shows = [new_key("three")]
    for _ in range(5):
        assert signed_in(site.browser(), elsewhere).status_code in {303, 401}
    assert elsewhere.asked.count("/keys") <= looked + 1


def test_an_answer_belongs_to_the_browser_that_asked_and_counts_once(
    site: Site, elsewhere: WilfulProvider
) -> None:
    mine, other = site.browser(), site.browser()
    query = elsewhere.consent(leave(mine))
    leave(other)
    stolen = come_back(other, query)
    assert (stolen.status_code, "began in this browser" in stolen.text) == (401, True)
    assert come_back(site.browser(), query).status_code == 401
    assert come_back(mine, {**query, "state": ""}).status_code == 401
    # That was an end, too: it begins anew.
    query = elsewhere.consent(leave(mine))
    assert come_back(mine, query).status_code == 303
    assert come_back(mine, query).status_code == 401


def test_a_code_of_somebody_else_is_not_redeemed_in_ones_own_browser(
    site: Site, elsewhere: WilfulProvider
) -> None:
    victim, thief = site.browser(), site.browser()
    code = elsewhere.consent(leave(victim))["code"]
    state = elsewhere.consent(leave(thief))["state"]
    assert come_back(thief, {"code": code, "state": state}).status_code == 401


@pytest.mark.parametrize("more", [{"error": "access_denied"}, {"code": ""}, {"iss": "https://x"}])
def test_a_provider_that_says_no_is_told_of(
    site: Site, elsewhere: WilfulProvider, more: dict[str, str]
) -> None:
    browser = site.browser()
    refused = come_back(browser, {**elsewhere.consent(leave(browser)), **more})
    assert (refused.status_code, 'role="alert"' in refused.text) == (401, True)


def test_with_the_provider_away_a_password_is_the_way_in(
    site: Site, elsewhere: WilfulProvider
) -> None:
    elsewhere.away = True
    browser = site.browser()
    refused = browser.get("/sign-in/oidc?to=/parts")
    assert (refused.status_code, "can&#39;t be reached" in refused.text) == (502, True)
    assert 'name="password"' in refused.text
    assert sign_in(browser, "root").status_code == 303


def test_the_providers_addresses_are_kept_for_a_while_and_longer_while_it_is_away(
    site: Site, elsewhere: WilfulProvider
) -> None:
    browser = site.browser()
    for _ in range(3):
        leave(browser)
    assert len(elsewhere.asked) == 1
    site.clock.advance(FRESH_S)
    elsewhere.away = True
    leave(browser)
    elsewhere.away = False
    leave(browser)
    assert len(elsewhere.asked) == 3


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://login.example.org"},
        {"issuer": ISSUER + "/"},
        {"token_endpoint": "http://login.example.org/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_provider_that_is_another_one_is_not_used(
    site: Site, elsewhere: WilfulProvider, discovery: dict[str, Any]
) -> None:
    elsewhere.discovery = discovery
    assert site.browser().get("/sign-in/oidc").status_code == 502


@pytest.mark.parametrize("bulk", [b"x", b"[]", b"{" + b" " * (2 << 20) + b"}"])
def test_an_answer_that_is_none_or_does_not_end_is_refused(
    site: Site, elsewhere: WilfulProvider, bulk: bytes
) -> None:
    elsewhere.bulk = bulk
    assert site.browser().get("/sign-in/oidc").status_code == 502


def test_what_is_not_in_the_token_is_asked_for_and_must_be_of_the_same_person(
    site: Site, elsewhere: WilfulProvider
) -> None:
    elsewhere.claims = {"groups": None}
    elsewhere.told = {"sub": "person-1", "groups": ["line"]}
    browser = site.browser()
    assert signed_in(browser, elsewhere).status_code == 303
    assert browser.get("/api/v1/me").json()["role"] == "engineer"
    elsewhere.told = {"sub": "person-2", "groups": ["plant-it"]}
    assert signed_in(site.browser(), elsewhere).status_code == 401


def test_one_signs_out_here_and_is_told_where_else(site: Site, elsewhere: WilfulProvider) -> None:
    browser = site.browser()
    signed_in(browser, elsewhere)
    out = browser.post("/sign-out", headers=OURS)
    assert out.headers["location"] == "/sign-in?out=yes"
    assert browser.get("/api/v1/me").status_code == 401
    page = browser.get(out.headers["location"]).text
    assert 'href="https://login.example.org/out?client_id=splitsight"' in page


def test_nobody_is_sent_on_to_another_site(site: Site, elsewhere: WilfulProvider) -> None:
    browser = site.browser()
    query = elsewhere.consent(leave(browser, "https://evil.example/"))
    assert come_back(browser, query).headers["location"] == "/"


def test_a_role_may_lie_deep_in_the_claims(
    database: Database, tmp_path: Path, clock: ManualClock, elsewhere: WilfulProvider
) -> None:
    settings = OidcSettings.model_validate(SETTINGS | {"role_claim": "realm_access.roles"})
    provider = OidcProvider(settings, clock, elsewhere.transport)
    site = site_with(database, tmp_path, clock, provider)
    elsewhere.claims = {"realm_access": {"roles": ["plant-it"]}}
    browser = site.browser()
    assert signed_in(browser, elsewhere).status_code == 303
    assert browser.get("/api/v1/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://login.example.org"},
        {"issuer": "https://login.example.org?x=1"},
        {"url": "ftp://plant.example"},
        {"roles": {}},
        {"roles": {"a": "king"}},
        {"skew_s": 3600},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OidcSettings.model_validate(SETTINGS | wrong)


def test_two_sign_ins_have_nothing_in_common(clock: ManualClock) -> None:
    one, two = SignInAttempt.new(), SignInAttempt.new()
    parts = {one.state, one.nonce, one.verifier, two.state, two.nonce, two.verifier}
    assert len(parts) == 6
    assert all(43 <= len(part) <= 128 for part in parts)


# ---- a provider that is somebody else's program, on loopback


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ada = {"sub": "ada", "preferred_username": "ada", "groups": ["line"]}
    eve = {"sub": "eve", "preferred_username": "eve", "groups": ["guests"]}
    command = [sys.executable, "-m", "oidc_provider_mock", "-p", str(port), "-n", "true"]
    for person in (ada, eve):
        command += ["--user-claims", json.dumps(person)]
    log = (tmp_path_factory.mktemp("provider") / "log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, "the provider ended"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/jwks").is_success
        except httpx.HTTPError:
            return False

    wait_until(answers, "the provider answers")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)
    log.close()


@pytest.mark.process
def test_people_sign_in_at_a_real_provider(real: str, database: Database, tmp_path: Path) -> None:
    settings = OidcSettings.model_validate(SETTINGS | {"issuer": real})
    clock = SystemClock()
    provider = OidcProvider(settings, clock)
    site = site_with(database, tmp_path, clock, provider)

    def through(browser: Browser, subject: str) -> httpx.Response:
        there = httpx.post(leave(browser), data={"sub": subject})
        back = urlsplit(there.headers["location"])
        assert f"{back.scheme}://{back.netloc}" == CLOUD
        return browser.get(f"{back.path}?{back.query}")

    browser = site.browser()
    assert through(browser, "ada").headers["location"] == "/parts?line=a"
    me = browser.get("/api/v1/me").json()
    assert (me["name"], me["role"]) == ("ada", "engineer")
    refused = through(site.browser(), "eve")
    assert (refused.status_code, "guests" in refused.text) == (401, True)
    denied = httpx.post(leave(browser), data={"action": "deny"})
    query = {n: v[0] for n, v in parse_qs(urlsplit(denied.headers["location"]).query).items()}
    assert come_back(browser, query).status_code == 401
    provider.close()


@pytest.mark.process
def test_a_real_provider_takes_a_code_once(real: str) -> None:
    settings = OidcSettings.model_validate(SETTINGS | {"issuer": real})
    provider = OidcProvider(settings, SystemClock())
    attempt = SignInAttempt.new()
    there = httpx.post(provider.way_there(attempt), data={"sub": "ada"})
    code = parse_qs(urlsplit(there.headers["location"]).query)["code"][0]
    assert provider.vouched(code, attempt)["groups"] == ["line"]
    with pytest.raises(AccountError, match="it took no code"):
        provider.vouched(code, attempt)
    provider.close()
